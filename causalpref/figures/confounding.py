"""Overlap, and a context that nobody recorded."""

from __future__ import annotations

import altair as alt
import numpy as np
import pandas as pd

from causalpref.figures import _layers as lay
from causalpref.figures import _style as look

__all__ = ["hidden_context", "overlap_by_rho"]


def overlap_by_rho(
    bins: pd.DataFrame,
    estimates: pd.DataFrame,
    *,
    groups: dict[str, float],
    truth: float,
    source: str | None = None,
) -> alt.VConcatChart:
    """Propensities of the objective and what adjusting for it gives, as rho moves (section 3.1).

    Parameters
    ----------
    bins : pandas.DataFrame
        Counts of prompts: ``rho``, ``objective`` ("helpful" or "harmless"), ``left`` and
        ``right`` (log odds of "harmless" given the texts), ``count``.
    estimates : pandas.DataFrame
        One row for each ``rho`` and ``how`` ("seen" or "adjusted"): ``rate``, ``low``, ``high``
        (None where there is nothing to average), ``rarest`` (pairs of the objective that is
        rarer), ``size`` (effective sample size of the adjusted rate), ``n``, ``source``.
    groups : dict of str to float
        Rate under each objective, in words and rate.
    truth : float
        The rate if every prompt were judged under both objectives alike.
    source : str, optional
        What the data are. Default: the column ``source``.
    """
    names, ways = ["helpful", "harmless"], ["seen", "adjusted"]
    by = look.signs("how", ways, [look.ORANGE, look.BLUE], ["diamond", "circle"], legend=None)
    steps = np.sort(estimates.rho.unique())
    rho = lay.slider_over("overlap", "ρ = P(type(X) = C): ", 0.95, steps)
    picked = "abs(datum.rho - overlap) < 0.001"
    top = int(np.ceil(bins["count"].max() * 1.06))
    up = alt.Y(
        "signed:Q",
        title="prompts",
        scale=look.between(-top, top),
        axis=alt.Axis(labelExpr="format(abs(datum.value), ',.0f')", tickCount=5),
    )
    bars = (
        alt.Chart(bins[bins["count"] > 0])
        .transform_filter(picked)
        .transform_calculate(signed="datum.objective == 'helpful' ? datum.count : -datum.count")
        .mark_bar(opacity=1)
        .encode(
            x=alt.X(
                "left:Q",
                title="log odds of the harmless objective, given the texts",
                scale=look.between(float(bins.left.min()), float(bins.right.max())),
            ),
            x2="right:Q",
            y=up,
            y2=alt.datum(0),
            color=alt.Color("objective:N", legend=None, scale=look.scale_of(names, look.COLOURS)),
            tooltip=["objective", *lay.numbers(".2f", "left", "right"), "count"],
        )
    )
    said = [
        alt.Chart(pd.DataFrame({"words": [f"judged for being {n}"]}))
        .mark_text(align="left", fontSize=13, fontWeight="bold")
        .encode(text="words:N", x=alt.value(8), y=alt.value(y))
        for n, y in zip(names, (12, 148))
    ]
    middle = lay.guide("signed", 0, y=up, dash=None)

    room = look.between(0.3, 0.9)
    x, low = (
        alt.X(f"{c}:Q", scale=room, title="P(the more helpful answer wins), risky prompts")
        for c in ("rate", "low")
    )
    y = alt.Y("how:N", scale=alt.Scale(domain=ways), title=None)
    here = alt.Chart(estimates).transform_filter(picked)
    there = here.transform_filter("isValid(datum.rate)").encode(y=y, color=by.colour)
    rates = lay.tell_groups({**groups, "everyone": truth}, x)
    spans = there.mark_rule(strokeWidth=2, clip=True).encode(x=low, x2="high:Q")
    tips = ["how", *lay.numbers(".3f", "rate", "low", "high"), "n"]
    dots = lay.marked(there, 150, x=x, shape=by.shape, tooltip=tips)
    worth = lay.sentence(
        here.transform_filter("datum.how == 'adjusted'"),
        "isValid(datum.rate) ? 'rarer objective: ' + datum.rarest + ' pairs;in effect ' "
        "+ format(datum.size, ',.0f') + ' of ' + format(datum.n, ',') : "
        "'no risky prompt was judged;for helpfulness: no estimate'",
        -43,
        lineBreak=";",
    )
    cells = "; ".join(
        f"rho {r.rho:g} {r.how} "
        + ("impossible" if pd.isna(r.rate) else f"{r.rate:.2f} ({r.low:.2f} to {r.high:.2f})")
        for r in estimates.itertuples()
        if min(abs(r.rho - s) for s in (steps[0], 0.9, 0.95, steps[-1])) < 1e-6
    )
    return lay.stacked(
        look.layered(bars, middle, *said).properties(
            width=430,
            height=160,
            title=look.headline("Who judges which prompts", estimates, source),
        ),
        look.layered(lay.guide("rate", 0.5, x=x), *rates, spans, dots, worth).properties(
            width=430, height=120
        ),
        spacing=24,
        apart=["color", "shape"],
        dials=[rho],
        description="Above, two histograms back to back, prompts judged for being helpful and "
        "for being harmless, over the log odds of the latter given the texts. They lie "
        "on one another at rho 0.5 and move apart as rho grows to 1. Below, the rate "
        "at which the more helpful answer wins on risky prompts, as seen and "
        f"adjusted for the objective, with 95 % intervals: {cells}. Vertical lines: a "
        "coin toss, "
        + ", ".join(f"{k} {v:.2f}" for k, v in groups.items())
        + f", everyone {truth:.2f}. A slider sets rho.",
    )


def hidden_context(
    rates: pd.DataFrame,
    frontier: pd.DataFrame,
    *,
    benchmark: tuple[str, float, float],
    source: str | None = None,
) -> alt.VConcatChart:
    """What a context that nobody recorded could do to a rate, by its two strengths.

    The bands are computed in the browser with the formula of
    :func:`causalpref.assumptions.hidden_context_bound`.

    Parameters
    ----------
    rates : pandas.DataFrame
        Rates seen: ``what``, ``value``, ``low``, ``high``, ``source``.
    frontier : pandas.DataFrame
        ``what``, ``spread`` and ``strength``, the smallest gamma that overturns the rate; None
        where none does.
    benchmark : (str, float, float)
        A recorded context: name, gamma, spread.
    source : str, optional
        What the data are. Default: the column ``source`` of ``rates``.
    """
    names = list(rates.what)
    inks, shapes = [look.BLUE, look.ORANGE, look.PINK], ["circle", "diamond", "square"]
    most = 16
    dials = [
        lay.slider("gamma", "Γ, change of odds: ", 2, 1, most, 0.25),
        lay.slider("spread", "δ, contexts differ by at most: ", 0.5, 0, 1, 0.05),
    ]

    def drop(p: str, out: str) -> dict[str, str]:
        """Vega expressions for how far below p the rate of everybody may lie."""
        s = (
            f"clamp(sqrt(gamma) / (1 + sqrt(gamma)), max(0, ({p} - 1 + spread) / spread), "
            f"min(1, {p} / spread))"
        )
        return {
            f"s_{out}": f"spread > 0 ? {s} : 0",
            out: f"spread * (datum.s_{out} - datum.s_{out} / "
            f"(datum.s_{out} + gamma * (1 - datum.s_{out})))",
        }

    fall, rise = drop("datum.low", "fall"), drop("(1 - datum.high)", "rise")
    here = (
        alt.Chart(rates)
        .transform_calculate(s_fall=fall["s_fall"], s_rise=rise["s_rise"])
        .transform_calculate(fall=fall["fall"], rise=rise["rise"])
        .transform_calculate(bottom="datum.low - datum.fall", top="datum.high + datum.rise")
        .transform_calculate(
            words="datum.bottom > 0.5 ? 'still above one half' : datum.top < 0.5 ? "
            "'still below one half' : 'overturned'"
        )
    )
    room = look.between(0, 1)
    y = alt.Y("what:N", sort=names, title=None, axis=alt.Axis(labelLimit=200))
    by = look.signs("what", names, inks, shapes, legend=None)
    value, low, bottom = (
        alt.X(f"{c}:Q", scale=room, title="P(the answer with more jargon wins)")
        for c in ("value", "low", "bottom")
    )
    base = here.encode(y=y, color=by.colour)
    band = base.mark_rule(strokeWidth=12, opacity=0.35).encode(x=bottom, x2="top:Q")
    tips = [
        "what",
        *lay.numbers(".3f", "value", "low", "high"),
        alt.Tooltip("bottom:Q", format=".3f", title="everyone, at least"),
        alt.Tooltip("top:Q", format=".3f", title="everyone, at most"),
    ]
    seen = lay.interval(base, low, width=3)
    dots = lay.marked(base, 110, x=value, shape=by.shape, tooltip=tips)
    verdict = here.mark_text(align="right", dy=-17, fontSize=13, fontWeight="bold").encode(
        x=alt.datum(0.99), y=y, text="words:N"
    )

    legend = alt.Legend(orient="bottom", symbolSize=600, symbolStrokeWidth=3, labelLimit=240)
    gx = alt.X("spread:Q", title="δ, contexts differ by at most", scale=look.between(0, 1))
    gy = alt.Y(
        "strength:Q",
        title="Γ, change of odds",
        scale=look.between(1, most, type="log"),
        axis=alt.Axis(values=[1, 2, 4, 8, 16]),
    )
    over = look.signs(
        "what",
        names,
        inks,
        dashes=[look.SOLID, look.DASHED, look.DOTTED],
        title="overturned above",
        legend=legend,
    )
    curves = (
        alt.Chart(frontier[frontier.strength <= 2 * most])
        .mark_line(strokeWidth=2.5, clip=True)
        .encode(x=gx, y=gy, color=over.colour, strokeDash=over.dash)
    )
    name, at_gamma, at_spread = benchmark
    mark = alt.Chart(pd.DataFrame({"spread": [at_spread], "strength": [at_gamma], "words": [name]}))
    known = mark.mark_point(
        shape="cross", size=150, filled=True, opacity=1, color=look.GREY
    ).encode(x=gx, y=gy)
    known_text = mark.mark_text(align="left", dx=10, fontSize=13, fontWeight="bold").encode(
        x=gx, y=gy, text="words:N"
    )
    dial = (
        alt.Chart(pd.DataFrame({"one": [1]}))
        .transform_calculate(spread="spread", strength="gamma")
        .mark_point(size=200, strokeWidth=3, opacity=1, color=look.PINK)
        .encode(x=gx, y=gy)
    )
    ends = "; ".join(
        f"{r.what} {r.value:.2f} ({r.low:.2f} to {r.high:.2f})" for r in rates.itertuples()
    )
    at = frontier[np.isclose(frontier.spread, 1)]
    tips = "; ".join(f"{r.what} at {r.strength:.2f}" for r in at.itertuples())
    return lay.stacked(
        look.layered(band, lay.guide("value", 0.5, x=value), seen, dots, verdict).properties(
            width=430,
            height=60 * len(names),
            title=look.headline("What could an unrecorded context do?", rates, source),
        ),
        look.layered(curves, known, known_text, dial).properties(width=430, height=220),
        apart=["color", "shape", "strokeDash"],
        dials=dials,
        description=f"Above, rates seen with 95 % intervals: {ends}; and around each a band, "
        "where the rate of everybody may lie if a hidden context changes odds by at most "
        "gamma and contexts differ by at most delta. Two sliders set these; the band "
        "widens with both, and a text says whether it holds one half. Below, gamma "
        "against delta with one falling curve for each rate, above which it is "
        f"overturned; with delta 1 that is {tips}. A cross marks {name}, gamma "
        f"{at_gamma:.1f} and delta {at_spread:.2f}; a circle marks the sliders.",
    )
