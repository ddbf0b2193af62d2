"""What to collect next (appendix C.2): what budgets buy, selection that errs, hands that slip."""

from __future__ import annotations

import altair as alt
import numpy as np
import pandas as pd

from causalpref.figures import _layers as lay
from causalpref.figures import _style as look

__all__ = ["error_by_budget", "leaking_control", "selection_curves"]

_INKS = [look.GREY, look.BLUE, look.ORANGE, look.PINK, "#2a9d74"]
_SHAPES = ["circle", "square", "diamond", "triangle-up", "cross"]
_DASHES = [[1, 0], [8, 4], [2, 3], [10, 3, 2, 3], [5, 2]]


def _marks(names: list[str], legend: alt.Legend) -> tuple[look.Signs, dict[str, list[int]]]:
    """Colour and shape, and the dash, of up to five names."""
    if len(names) > len(_INKS):
        raise ValueError(f"{len(names)} kinds to tell apart, at most {len(_INKS)}: {names}")
    by = look.signs("how", names, _INKS, _SHAPES, title=None, sort=names, legend=legend)
    return by, dict(zip(names, _DASHES))


def error_by_budget(
    lines: pd.DataFrame,
    dots: pd.DataFrame,
    *,
    start: float = 0.9,
    budget: float = 2000,
    source: str | None = None,
) -> alt.LayerChart:
    """Standard error of a weight's share by budget, one line for each way to spend it.

    Parameters
    ----------
    lines : pandas.DataFrame
        One row for each ``how`` (of at most five), ``rho`` and ``budget``: ``se``, ``source``.
        The same budgets for all; rho in equal steps.
    dots : pandas.DataFrame
        Root mean squared errors of simulated fits: ``how``, ``rho``, ``budget``, ``rmse``,
        ``low``, ``high``.
    start, budget : float
        Where the two dials begin: rho, and one of the budgets.
    source : str, optional
        What the data are. Default: the column ``source`` of ``lines``.
    """
    names = list(dict.fromkeys(lines.how))
    legend = alt.Legend(
        orient="bottom", columns=2, symbolSize=110, symbolStrokeWidth=1, labelLimit=280
    )
    by, dashes = _marks(names, legend)
    rhos = np.sort(lines.rho.unique())
    budgets = [int(b) for b in np.sort(lines.budget.unique())]
    begin = float(min(rhos, key=lambda r: abs(r - start)))
    step = round(float(rhos[1] - rhos[0]), 6)
    if budget not in budgets:
        raise ValueError(f"budget is {budget}, expected one of {budgets}")
    dials = [
        lay.slider_over("buyrho", "ρ in the log: ", begin, rhos),
        lay.menu("buybudget", "budget, in labels: ", int(budget), budgets),
    ]
    curve, points = (
        alt.Chart(t).transform_filter(f"abs(datum.rho - buyrho) < {step / 2:g}")
        for t in (
            lines[["how", "rho", "budget", "se"]].round({"se": 5, "rho": 6}),
            dots[["how", "rho", "budget", "rmse", "low", "high"]].round(5),
        )
    )
    low, high = lines.se.min() / 1.4, lines.se.max() * 1.2
    y_scale = look.between(float(low), float(high), type="log")
    ticks = [t for t in (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0) if low <= t <= high]
    x = alt.X(
        "budget:Q",
        title="budget, in labels",
        axis=alt.Axis(values=budgets, format=",.0f"),
        scale=look.between(budgets[0] / 1.15, budgets[-1] * 1.15, type="log"),
    )
    y = alt.Y(
        "se:Q", title="standard error of α̂", scale=y_scale, axis=alt.Axis(values=ticks, format="~g")
    )
    tips = [
        alt.Tooltip("how:N"),
        alt.Tooltip("rho:Q", title="ρ"),
        alt.Tooltip("budget:Q", format=",.0f"),
        alt.Tooltip("rmse:Q", format=".3f"),
    ]
    low, rmse = (alt.Y(f"{c}:Q", scale=y_scale) for c in ("low", "rmse"))
    marks = lay.curves_and_fits(curve, points, by, dashes, x=x, y=y, low=low, at=rmse, tooltip=tips)
    here = curve.transform_filter("datum.budget == buybudget")
    rule = lay.cursor(
        here.transform_filter(alt.FieldEqualPredicate(field="how", equal=names[0])), x
    )
    told = [
        lay.sentence(
            here.transform_filter(alt.FieldEqualPredicate(field="how", equal=name)),
            f"'{name}: ' + format(datum.se, '.3f')",
            -12 - 16 * (len(names) - 1 - i),
            size=12,
        )
        for i, name in enumerate(names)
    ]
    at = lines.set_index(["how", "rho", "budget"]).se
    cells = "; ".join(
        f"at rho {r:g}: " + ", ".join(f"{n} {at[n, r, budget]:.3f}" for n in names)
        for r in (float(rhos[0]), begin, float(rhos[-1]))
    )
    return lay.drawn(
        [*marks, rule, *told],
        dials=dials,
        title=look.headline("What a budget buys", lines, source, offset=24 + 16 * (len(names) - 1)),
        height=290,
        description="Lines, the standard error of the fitted share of the first weight, "
        "falling with the budget, both axes logarithmic; dots with bars are simulated fits. "
        f"With {budget:,.0f} labels, {cells}. A slider sets rho, a menu the budget.",
    )


def selection_curves(table: pd.DataFrame, *, source: str | None = None) -> alt.LayerChart:
    """Accuracy of a fitted reward as labels are bought, by who picked the pairs.

    Parameters
    ----------
    table : pandas.DataFrame
        One row for each ``world``, ``how`` (of at most five) and ``labels``: ``accuracy``, ``low``
        and ``high`` in [0, 1], ``source``.
    source : str, optional
        What the data are. Default: the column ``source``.
    """
    names, worlds = list(dict.fromkeys(table.how)), list(dict.fromkeys(table.world))
    legend = alt.Legend(orient="bottom", symbolSize=110, symbolStrokeWidth=1, labelLimit=200)
    by, dashes = _marks(names, legend)
    dial = lay.radio("pickworld", "the pool: ", worlds[0], worlds)
    rows = alt.Chart(
        table[["world", "how", "labels", "accuracy", "low", "high"]].round(4)
    ).transform_filter("datum.world == pickworld")
    span = float(table.labels.max() - table.labels.min())
    x = alt.X(
        "labels:Q",
        title="labels, the log included",
        scale=look.between(
            float(table.labels.min()) - span / 40, float(table.labels.max()) + span / 40
        ),
        axis=alt.Axis(values=[int(v) for v in np.sort(table.labels.unique())]),
    )
    y_scale = look.between(float(table.low.min()) - 0.01, 1.0)
    y = alt.Y(
        "accuracy:Q", title="pairs ordered rightly", scale=y_scale, axis=alt.Axis(format=".0%")
    )
    tips = [
        alt.Tooltip("how:N"),
        alt.Tooltip("labels:Q"),
        *lay.numbers(".1%", "accuracy", "low", "high"),
    ]
    low = alt.Y("low:Q", scale=y_scale)
    last = table[table.labels == table.labels.max()].set_index(["world", "how"]).accuracy
    first = table[table.labels == table.labels.min()].set_index(["world", "how"]).accuracy
    cells = "; ".join(
        f"{w}: " + ", ".join(f"{n} from {first[w, n]:.1%} to {last[w, n]:.1%}" for n in names)
        for w in worlds
    )
    return lay.drawn(
        lay.curves_and_fits(rows, rows, by, dashes, x=x, y=y, low=low, tooltip=tips),
        dials=[dial],
        title=look.headline("Who picks the pairs", table, source),
        height=280,
        description="Accuracy of a fitted reward on fresh pairs by the number of labels, with "
        f"95 % intervals, for pairs picked in different ways. {cells}. Buttons choose the "
        "pool.",
    )


def leaking_control(
    lines: pd.DataFrame,
    dots: pd.DataFrame,
    passive: pd.DataFrame,
    *,
    truth: float,
    half: float,
    start: float = 0.9,
    source: str | None = None,
) -> alt.LayerChart:
    """A weight from pairs meant to differ in one feature, by what else they moved.

    Parameters
    ----------
    lines : pandas.DataFrame
        What the estimate tends to: ``how`` (two kinds of fit), ``leak``, ``value``, ``source``.
    dots : pandas.DataFrame
        Simulated fits: ``how``, ``leak``, ``value``, ``low``, ``high``.
    passive : pandas.DataFrame
        What the log says when the other feature is left out: ``rho``, ``value``; rho in
        equal steps.
    truth : float
        The weight.
    half : float
        Half-width of the 95 % interval of the passive fit.
    start : float
        Where the dial of rho begins.
    source : str, optional
        What the data are. Default: the column ``source`` of ``lines``.
    """
    names = list(dict.fromkeys(lines.how))
    rhos = np.sort(passive.rho.unique())
    step = round(float(rhos[1] - rhos[0]), 6)
    begin = float(min(rhos, key=lambda r: abs(r - start)))
    dial = lay.slider_over("leakrho", "ρ in the log: ", begin, rhos)
    values = np.r_[lines.value, dots.low, dots.high, passive.value + half, passive.value - half]
    room = look.between(float(values.min()) - 0.05, float(values.max()) + 0.05)
    edge = float(np.ptp(lines.leak)) / 40
    x = alt.X(
        "leak:Q",
        title="γ: what the other feature moves by, for each unit",
        scale=look.between(float(lines.leak.min()) - edge, float(lines.leak.max()) + edge),
        axis=alt.Axis(values=[float(v) for v in np.sort(dots.leak.unique())], format=".2~f"),
    )
    y = alt.Y("value:Q", title="weight of sources", scale=room)
    legend = alt.Legend(orient="bottom", symbolSize=110, symbolStrokeWidth=1, labelLimit=280)
    by = look.signs(
        "how",
        names,
        [look.ORANGE, look.BLUE],
        ["diamond", "circle"],
        title=None,
        sort=names,
        legend=legend,
    )
    path = [
        alt.Chart(lines[lines.how == name][["how", "leak", "value"]].round(4))
        .mark_line(strokeWidth=2.5, strokeDash=dash)
        .encode(x=x, y=y, color=by.colour)
        for name, dash in zip(names, _DASHES)
    ]
    spots = alt.Chart(dots[["how", "leak", "value", "low", "high"]].round(4))
    spots = spots.encode(x=x, color=by.colour)
    tips = [
        alt.Tooltip("how:N"),
        alt.Tooltip("leak:Q", title="γ"),
        *lay.numbers(".2f", "value", "low", "high"),
    ]
    bars = lay.interval(spots, alt.Y("low:Q", scale=room))
    marks = lay.marked(spots, 75, y=y, shape=by.shape, tooltip=tips)
    log = (
        alt.Chart(passive[["rho", "value"]].round(4))
        .transform_filter(f"abs(datum.rho - leakrho) < {step / 2:g}")
        .transform_calculate(low=f"datum.value - {half:g}", high=f"datum.value + {half:g}")
    )
    band = log.mark_rect(color=look.GREY, opacity=0.35).encode(
        y=alt.Y("low:Q", scale=room), y2="high:Q"
    )
    middle = log.mark_rule(color=look.GREY, strokeWidth=2).encode(y=alt.Y("value:Q", scale=room))
    flat = lay.guide("value", truth, y=y, width=1.5)
    words = (
        alt.Chart(pd.DataFrame({"value": [truth], "words": ["truth"]}))
        .mark_text(align="right", dx=-6, dy=11, fontSize=12, fontStyle="italic")
        .encode(y=y, x=alt.value("width"), text="words:N")
    )
    told = lay.sentence(
        log,
        "'log without length, ρ = ' + format(datum.rho, '.2f') + ': ' + "
        f"format(datum.value, '.2f') + ';truth {truth:.2f}'",
        -28,
        lineBreak=";",
    )
    at = passive.set_index("rho").value
    ends = "; ".join(
        f"{n}: "
        + ", ".join(
            f"{row.value:.2f} at gamma {row.leak:g}"
            for row in lines[lines.how == n].iloc[[0, -1]].itertuples()
        )
        for n in names
    )
    return lay.drawn(
        [band, flat, words, *path, bars, marks, middle, told],
        dials=[dial],
        title=look.headline("Control that leaks", lines, source, offset=40),
        height=280,
        description=f"Estimates of a weight whose truth is {truth:.2f}, by the leakage gamma. "
        f"Lines are limits, dots with bars simulated fits. {ends}. A grey band is what "
        "the log says without the other feature: "
        + ", ".join(f"{at[r]:.2f} at rho {r:g}" for r in (float(rhos[0]), begin, float(rhos[-1])))
        + ". A slider sets rho.",
    )
