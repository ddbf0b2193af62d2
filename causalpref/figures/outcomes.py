"""Seeing, doing and imagining."""

from __future__ import annotations

import altair as alt
import numpy as np
import pandas as pd

from causalpref.figures import _layers as lay
from causalpref.figures import _style as look

__all__ = ["imagined_label", "seeing_doing_imagining"]


def seeing_doing_imagining(
    table: pd.DataFrame, *, groups: dict[str, float], source: str | None = None
) -> alt.LayerChart:
    """Three answers to "do longer answers win?", as rho moves from 0 to 1.

    Parameters
    ----------
    table : pandas.DataFrame
        One row for each ``rho`` and ``level`` ("seeing", "doing" or "imagining"): ``rate``,
        ``low``, ``high``, ``n``, ``source``.
    groups : dict of str to float
        What each kind of user would say when shown a longer answer first, in words and rate.
    source : str, optional
        What the data are. Default: the column ``source``.
    """
    names = ["seeing", "doing", "imagining"]
    by = look.signs(
        "level",
        names,
        [look.ORANGE, look.BLUE, look.PINK],
        ["diamond", "circle", "square"],
        legend=None,
    )
    steps = np.sort(table.rho.unique())
    rho = lay.slider_over("who", "ρ, users ask their own type: ", 0.9, steps)
    here = alt.Chart(table).transform_filter("abs(datum.rho - who) < 0.001")
    room = look.between(0.2, 0.85)
    axis = alt.Axis(values=[0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8], format=".1f")
    x, low = (
        alt.X(f"{c}:Q", scale=room, axis=axis, title="P(the longer answer is preferred)")
        for c in ("rate", "low")
    )
    y = alt.Y("level:N", sort=names, title=None)
    base = here.encode(y=y, color=by.colour)
    bars = lay.interval(base, low, width=2)
    tips = ["level", *lay.numbers(".3f", "rate", "low", "high"), "n"]
    dots = lay.marked(base, 150, x=x, shape=by.shape, tooltip=tips)
    said = (
        here.transform_calculate(
            words="format(datum.rate, '.2f') + (datum.low > 0.5 ? ': longer wins' : "
            "datum.high < 0.5 ? ': longer loses' : ': too close to call')"
        )
        .mark_text(dy=-17, fontSize=13, fontWeight="bold")
        .encode(x=x, y=y, text="words:N")
    )
    cells = "; ".join(
        f"rho {r.rho:g} {r.level} {r.rate:.2f}"
        for r in table.itertuples()
        if min(abs(r.rho - s) for s in (0, 0.5, 0.9, 1)) < 1e-6
    )
    ends = " and ".join(f"{k} {v:.2f}" for k, v in groups.items())
    return lay.drawn(
        [lay.guide("rate", 0.5, x=x), *lay.tell_groups(groups, x), bars, dots, said],
        dials=[rho],
        title=look.headline("Do longer answers win?", table, source, offset=26),
        height=210,
        description=f"Three dots with 95 % intervals, the rate at which the longer answer is "
        f"preferred: {cells}. Vertical lines: a coin toss, and the rates of the two "
        f"kinds of user, {ends}. A slider sets rho: seeing moves with it, doing and "
        "imagining do not.",
    )


def imagined_label(table: pd.DataFrame, *, source: str | None = None) -> alt.LayerChart:
    """P(L' = 1) at a new gap, for units that said 1 and 0 at an old one (abduction).

    The lines are the closed forms for standard logistic noise, the dots shares of simulated
    units.

    Parameters
    ----------
    table : pandas.DataFrame
        One row for each ``gap``, ``new_gap`` and ``units`` ("said 1", "said 0", "all units"):
        ``share``, ``n``, ``source``.
    source : str, optional
        What the data are. Default: the column ``source``.
    """
    names = ["said 1", "all units", "said 0"]
    legend = alt.Legend(symbolSize=90, columns=3, orient="bottom")
    by = look.signs(
        "units",
        names,
        [look.BLUE, look.GREY, look.ORANGE],
        ["circle", "square", "diamond"],
        [look.SOLID, look.DOTTED, look.DASHED],
        title="units",
        legend=legend,
    )
    old, new = np.sort(table.gap.unique()), np.sort(table.new_gap.unique())
    gap = lay.slider_over("oldgap", "gap g of the pair that was shown: ", 1.0, old)
    reach = float(new[-1])
    scale = look.between(-reach - 0.2, reach + 0.2)
    x = alt.X("new_gap:Q", scale=scale, title="gap g′ of the pair that was not shown")
    y = alt.Y("share:Q", scale=alt.Scale(domain=[0, 1]), title="P(it would have said 1)")
    lines = (
        alt.Chart(alt.sequence(-reach, reach + 1e-9, reach / 60, as_="new_gap"))
        .transform_calculate(f="1 / (1 + exp(-oldgap))", h="1 / (1 + exp(-datum.new_gap))")
        .transform_calculate(
            a="min(1, datum.h / datum.f)",
            b="datum.h",
            c="max(0, (datum.h - datum.f) / (1 - datum.f))",
        )
        .transform_fold(["a", "b", "c"], as_=["which", "share"])
        .transform_calculate(
            units="datum.which == 'a' ? 'said 1' : datum.which == 'b' ? 'all units' : 'said 0'"
        )
        .mark_line(strokeWidth=2.5)
        .encode(x=x, y=y, color=by.colour, strokeDash=by.dash)
    )
    here = alt.Chart(table).transform_filter("abs(datum.gap - oldgap) < 0.001")
    rule = here.mark_rule(color=look.GREY, strokeDash=[4, 4]).encode(
        x=alt.X("gap:Q", scale=scale, title="gap g′ of the pair that was not shown")
    )
    tips = ["units", "new_gap", alt.Tooltip("share:Q", format=".3f"), "n"]
    dots = lay.marked(here, 70, x=x, y=y, color=by.colour, shape=by.shape, tooltip=tips)
    told = lay.sentence(
        alt.Chart(pd.DataFrame({"one": [1]})),
        "format(1 / (1 + exp(-oldgap)), '.0%') + ' of units said 1 at g = ' + "
        "replace(format(oldgap, '.0f'), '-', '−')",
        -10,
    )
    cells = "; ".join(
        f"shown {r.gap:g}, new {r.new_gap:g}, {r.units} {r.share:.2f}"
        for r in table[(table.new_gap == 0) & table.gap.isin([old[0], 1, old[-1]])].itertuples()
    )
    return lay.drawn(
        [rule, lines, dots, told],
        dials=[gap],
        title=look.headline("What they would have said", table, source, offset=24),
        height=260,
        description="Three curves with dots over the gap of a pair not shown: the probability "
        "to say 1 for units that said 1, for those that said 0, and for all. Units that "
        "said 1 would say 1 for certain at any larger gap, those that said 0 would say "
        "0 for certain at any smaller one; the curve of all units lies between and "
        f"does not move with the slider, which sets the gap shown. At gap 0: {cells}.",
    )
