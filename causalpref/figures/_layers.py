"""Layers, dials and tooltips that the charts share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from causalpref.figures._style import DOTTED, GREY, Signs, layered

WIDTH = 430
"""Width of a chart in pixels: the column of text of a page."""


def slider(
    name: str, label: str, value: float, low: float, high: float, step: float
) -> alt.Parameter:
    """A dial between two numbers; ``name`` is its name in expressions."""
    bind = alt.binding_range(min=low, max=high, step=step, name=label)
    return alt.param(name=name, value=value, bind=bind)


def slider_over(
    name: str, label: str, value: float, steps: np.ndarray | Sequence[float]
) -> alt.Parameter:
    """A dial over numbers in equal steps."""
    step = round(float(steps[1] - steps[0]), 6)
    return slider(name, label, value, float(steps[0]), float(steps[-1]), step)


def radio(name: str, label: str, value: Any, options: list[Any], **more: Any) -> alt.Parameter:
    bind = alt.binding_radio(options=options, name=label, **more)
    return alt.param(name=name, value=value, bind=bind)


def menu(name: str, label: str, value: Any, options: list[Any]) -> alt.Parameter:
    bind = alt.binding_select(options=options, name=label)
    return alt.param(name=name, value=value, bind=bind)


def numbers(form: str, *columns: str) -> list[alt.Tooltip]:
    """Numbers to read at a mark, in one format."""
    return [alt.Tooltip(f"{c}:Q", format=form) for c in columns]


def guide(
    column: str,
    value: float,
    *,
    dash: Sequence[int] | None = (4, 4),
    width: Any = alt.Undefined,
    **place: Any,
) -> alt.Chart:
    """A grey line at one value of an axis, ``x`` or ``y``."""
    dashes = alt.Undefined if dash is None else list(dash)
    rule = alt.Chart(pd.DataFrame({column: [value]})).mark_rule(
        color=GREY, strokeDash=dashes, strokeWidth=width
    )
    return rule.encode(**place)


def interval(
    rows: alt.Chart, low: alt.X | alt.Y, *, width: float = 1.5, **encoding: Any
) -> alt.Chart:
    """Rules from ``low`` to the column "high", along the axis of ``low``."""
    end = "x2" if isinstance(low, alt.X) else "y2"
    return rows.mark_rule(strokeWidth=width).encode(low, **{end: "high:Q"}, **encoding)


def marked(rows: alt.Chart, size: int, **encoding: Any) -> alt.Chart:
    """Filled points."""
    return rows.mark_point(size=size, filled=True, opacity=1).encode(**encoding)


def fading(picked: alt.Parameter) -> Any:
    """Full where picked in the legend, faint elsewhere."""
    return alt.condition(picked, alt.value(1), alt.value(0.12))


def dashed(
    rows: alt.Chart, field: str, dashes: Mapping[str, list[int]], **encoding: Any
) -> list[alt.Chart]:
    """One line for each name in ``field``, each dashed in its own way."""
    return [
        rows.transform_filter(alt.FieldEqualPredicate(field=field, equal=name))
        .mark_line(strokeWidth=2.5, strokeDash=dash)
        .encode(**encoding)
        for name, dash in dashes.items()
    ]


def line_and_dots(
    base: alt.Chart, y: alt.Y, low: alt.Y, shape: alt.Shape, dash: Any = alt.Undefined, **dot: Any
) -> list[alt.Chart]:
    """Intervals from ``low`` to "high", a line and points; ``base`` has x, colour and tooltip."""
    return [
        interval(base, low),
        base.mark_line(strokeWidth=2).encode(y=y, strokeDash=dash),
        base.mark_point(filled=True, **{"size": 60, **dot}).encode(y=y, shape=shape),
    ]


def cursor(rows: alt.Chart, x: alt.X) -> alt.Chart:
    """A dotted grey line where a dial stands."""
    return rows.mark_rule(color=GREY, strokeDash=DOTTED, strokeWidth=1.5).encode(x=x)


def tell_groups(rates: Mapping[str, float], x: alt.X) -> list[alt.Chart]:
    """A grey line and its name, above the chart, at the "rate" of each of some groups."""
    lines = alt.Chart(pd.DataFrame({"words": list(rates), "rate": list(rates.values())}))
    names = lines.mark_text(dy=-7, fontSize=12, baseline="bottom")
    return [
        lines.mark_rule(color=GREY, strokeWidth=2).encode(x=x),
        names.encode(x=x, y=alt.value(0), text="words:N"),
    ]


def curves_and_fits(
    curve: alt.Chart,
    fits: alt.Chart,
    by: Signs,
    dashes: Mapping[str, list[int]],
    *,
    x: alt.X,
    y: alt.Y,
    low: alt.Y,
    at: alt.Y | None = None,
    tooltip: list[Any],
) -> list[alt.Chart]:
    """Dashed curves by group, and points with intervals for what was simulated."""
    fits = fits.encode(x=x, color=by.colour)
    return [
        *dashed(curve, by.field, dashes, x=x, y=y, color=by.colour),
        interval(fits, low),
        marked(fits, 75, y=at or y, shape=by.shape, tooltip=tooltip),
    ]


def stacked(
    *charts: alt.LayerChart,
    dials: Sequence[alt.Parameter],
    description: str,
    title: alt.TitleParams | None = None,
    apart: Sequence[str] = (),
    spacing: Any = alt.Undefined,
) -> alt.VConcatChart:
    """Charts below one another; ``apart`` names the scales that each has for itself."""
    stack = alt.vconcat(*charts, spacing=spacing)
    if apart:
        own: dict[str, Any] = dict.fromkeys(apart, "independent")
        stack = stack.resolve_scale(**own)
    if title is not None:
        stack = stack.properties(title=title)
    return stack.add_params(*dials).properties(description=description)


def in_percent(table: pd.DataFrame) -> pd.DataFrame:
    """Means of shares in per cent, with ``low`` and ``high`` one standard error away."""
    se = table["se"].fillna(0)
    return (
        table.assign(
            percent=100 * table["mean"],
            low=100 * (table["mean"] - se),
            high=100 * (table["mean"] + se),
        )
        .drop(columns=["mean", "se", "source"], errors="ignore")
        .round(3)
    )


PERCENT_TIPS = [
    alt.Tooltip("percent:Q", format=".1f", title="accuracy, %"),
    *numbers(".1f", "low", "high"),
]


def accuracies(
    base: alt.Chart, dash: alt.StrokeDash, shape: alt.Shape, **dot: Any
) -> list[alt.Chart]:
    """Test accuracies as of :func:`in_percent`: intervals, lines and points."""
    scale, title = alt.Scale(zero=False), "test accuracy, %"
    y, low = (alt.Y(f"{c}:Q", title=title, scale=scale) for c in ("percent", "low"))
    return line_and_dots(base, y, low, shape, dash, **dot)


def sentence(
    rows: alt.Chart,
    words: str,
    height: float,
    *,
    x: int | str = 0,
    size: int = 13,
    field: str = "words",
    align: Any = "left",
    **mark: Any,
) -> alt.Chart:
    """A sentence at ``x``, computed from a row by the expression ``words``."""
    return (
        rows.transform_calculate(**{field: words})
        .mark_text(align=align, fontSize=size, fontWeight="bold", **mark)
        .encode(text=f"{field}:N", x=alt.value(x), y=alt.value(height))
    )


def drawn(
    layers: Sequence[alt.Chart | alt.LayerChart],
    *,
    dials: Sequence[alt.Parameter] = (),
    title: alt.TitleParams,
    description: str,
    height: int,
) -> alt.LayerChart:
    """Layers on one another with their dials, a title and a text for screen readers."""
    return (
        layered(*layers)
        .add_params(*dials)
        .properties(width=WIDTH, height=height, title=title, description=description)
    )
