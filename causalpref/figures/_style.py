"""Colours, shapes, scales and titles that the charts share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import pandas as pd

GREY, BLUE, ORANGE, PINK = "#858585", "#2f86c8", "#d1672c", "#c2578f"
COLOURS = {
    "helpful": BLUE,
    "harmless": ORANGE,
    "base": GREY,
    "multihead": BLUE,
    "adversarial": PINK,
}
"""Colour of each objective and of each reward model, legible on a light page and on a dark one."""
SHAPES = {
    "helpful": "circle",
    "harmless": "diamond",
    "base": "circle",
    "multihead": "square",
    "adversarial": "triangle-up",
}
SOLID, DOTTED, DASHED = [1, 0], [2, 3], [8, 4]


@dataclass(frozen=True)
class Signs:
    """How a chart tells names apart: by colour, and by a shape or a dash as well."""

    field: str
    colour: alt.Color
    shape: alt.Shape
    dash: alt.StrokeDash


def signs(
    field: str,
    names: Sequence[str],
    colours: Iterable[str],
    shapes: Iterable[str] = (),
    dashes: Iterable[list[int]] = (),
    **shared: Any,
) -> Signs:
    """Colour, shape and dash of ``names`` in a column, in their order; title and legend shared."""

    def scale(values: Iterable[Any]) -> alt.Scale:
        return alt.Scale(domain=list(names), range=list(values)[: len(names)])

    return Signs(
        field,
        alt.Color(f"{field}:N", scale=scale(colours), **shared),
        alt.Shape(f"{field}:N", scale=scale(shapes), **shared),
        alt.StrokeDash(f"{field}:N", scale=scale(dashes), **shared),
    )


def scale_of(names: list[str], values: dict[str, str]) -> alt.Scale:
    return alt.Scale(domain=names, range=[values[n] for n in names])


def between(low: float, high: float, **more: Any) -> alt.Scale:
    """A scale that ends where it is told."""
    return alt.Scale(domain=[low, high], nice=False, **more)


def layered(*charts: alt.Chart | alt.LayerChart) -> alt.LayerChart:
    """Charts on one another; :func:`altair.layer` may also give a chart of facets."""
    made = alt.layer(*charts)
    assert isinstance(made, alt.LayerChart)
    return made


def headline(
    text: str, table: pd.DataFrame, source: str | None, *, offset: Any = alt.Undefined
) -> alt.TitleParams:
    said = source or " / ".join(dict.fromkeys(table["source"]))
    return alt.TitleParams(text, subtitle=f"Data: {said}", anchor="start", offset=offset)
