"""Assumptions broken one at a time."""

from __future__ import annotations

import altair as alt
import pandas as pd

from causalpref.figures import _layers as lay
from causalpref.figures import _style as look

__all__ = ["broken_assumptions"]


def broken_assumptions(table: pd.DataFrame, *, source: str | None = None) -> alt.VConcatChart:
    """An estimate and the check of an assumption, as the assumption is broken step by step.

    A menu picks the assumption and what is on record, a dial the step.

    Parameters
    ----------
    table : pandas.DataFrame
        One row for each ``case`` (assumption and record, in words), ``step`` (0, 1, ...; 0 is
        unbroken) and ``estimator`` ("cell mean", and "adjusted for C" where there is one):
        ``dial`` (the step in words); means over simulated logs ``estimate``, ``low``, ``high``
        (None without any log that has one) and ``pairs``; ``covered``, share of logs whose interval
        holds ``truth``; ``missing``, share of logs without an estimate; ``alarms`` and
        ``untestable``, shares of the check's verdicts; ``logs``; ``source``.
    source : str, optional
        What the data are. Default: the column ``source``.
    """
    cases, names = list(dict.fromkeys(table.case)), ["cell mean", "adjusted for C"]
    last, logs = int(table.step.max()), int(table.logs.max())
    case = lay.menu("brokencase", "assumption, and what is on record: ", cases[0], cases)
    step = lay.slider(
        "brokenstep", f"how far it is broken, 0 to {last}: ", min(5, last), 0, last, 1
    )
    shown = (
        alt.Chart(table)
        .transform_filter("datum.case == brokencase")
        .transform_calculate(at="datum.step + (datum.estimator == 'cell mean' ? 0 : 0.22)")
    )
    here = shown.transform_filter("datum.step == brokenstep")
    there = "isValid(datum.estimate)"
    room = look.between(-0.5, last + 0.5)
    ticks = alt.Axis(values=[*range(last + 1)], labels=False, grid=False)
    x = alt.X("step:Q", scale=room, title=None, axis=ticks)
    y = alt.Y("estimate:Q", scale=alt.Scale(domain=[0, 1]), title="P(L(x; y, y′) = 1)")
    legend = alt.Legend(symbolSize=90, symbolOpacity=1, orient="bottom", direction="horizontal")
    by = look.signs(
        "estimator",
        names,
        [look.BLUE, look.PINK],
        ["circle", "diamond"],
        title="estimate",
        legend=legend,
    )
    at = alt.X("at:Q", scale=room, title=None, axis=ticks)
    tips = [
        alt.Tooltip("dial:N", title="broken"),
        "estimator:N",
        *lay.numbers(".3f", "estimate", "low", "high", "truth"),
        alt.Tooltip("pairs:Q", format=".1f"),
        *lay.numbers(".0%", "covered", "alarms"),
    ]
    truth = shown.mark_line(strokeDash=[6, 4], strokeWidth=2, color=look.GREY).encode(
        x=x, y=alt.Y("truth:Q", scale=alt.Scale(domain=[0, 1]))
    )
    label = (
        here.transform_filter("datum.estimator == 'cell mean'")
        .mark_text(align="right", dx=-4, dy=9, fontSize=12)
        .encode(
            x=alt.value("width"),
            y=alt.Y("truth:Q", scale=alt.Scale(domain=[0, 1])),
            text=alt.value("truth"),
        )
    )
    found = shown.transform_filter(there)
    bars = found.mark_rule(strokeWidth=1.5, opacity=1).encode(
        x=at, y=alt.Y("low:Q", scale=alt.Scale(domain=[0, 1])), y2="high:Q", color=by.colour
    )
    dots = lay.marked(found, 55, x=at, y=y, color=by.colour, shape=by.shape, tooltip=tips)
    rule = lay.cursor(here.transform_filter("datum.estimator == 'cell mean'"), x)
    big = (
        here.transform_filter(there)
        .mark_point(size=230, strokeWidth=2.5, opacity=1)
        .encode(x=at, y=y, color=by.colour, shape=by.shape)
    )

    def words(text: str, height: int, keep: str = "true") -> alt.Chart:
        return lay.sentence(here.transform_filter(keep), text, height, lineBreak=";")

    value = "format(datum.estimate, '.2f')"
    span = "format(datum.low, '.2f') + ' to ' + format(datum.high, '.2f')"
    told = (
        f"{there} ? datum.estimator + ' ' + {value} + ' (' + {span} + '),;holds ' + "
        "format(datum.truth, '.2f') + ' in ' + format(datum.covered, '.0%') + ' of logs' : "
        "datum.estimator + ': there is nothing to average'"
    )
    top = look.layered(
        truth,
        label,
        rule,
        bars,
        dots,
        big,
        words("datum.dial", -78, "datum.estimator == 'cell mean'"),
        words(told, -60, "datum.estimator == 'cell mean'"),
        words(told, -27, "datum.estimator != 'cell mean'"),
    )
    one = shown.transform_filter("datum.estimator == 'cell mean'")
    share = alt.Y(
        "alarms:Q",
        scale=alt.Scale(domain=[0, 1]),
        title="alarms",
        axis=alt.Axis(format="%", values=[0, 0.5, 1]),
    )
    below = alt.X(
        "step:Q",
        scale=room,
        title="how far the assumption is broken",
        axis=alt.Axis(values=[*range(last + 1)], grid=False, format="d"),
    )
    usual = lay.guide("alarms", 0.05, y=share, dash=[6, 4], width=1.5)
    told_of = one.transform_filter("datum.untestable <= 0.5")
    line = told_of.mark_line(color=look.ORANGE, strokeWidth=2).encode(x=below, y=share)
    marks = told_of.mark_point(
        color=look.ORANGE, shape="square", size=45, filled=True, opacity=1
    ).encode(x=below, y=share, tooltip=tips[:1] + tips[-1:])
    verdict = words(
        "datum.untestable > 0.5 ? 'the check says that it cannot test this' : "
        "'alarms in ' + format(datum.alarms, '.0%') + ' of the logs'",
        -10,
        "datum.estimator == 'cell mean'",
    )
    bottom = look.layered(usual, line, marks, rule.encode(x=below), verdict)
    mean = table[table.estimator == "cell mean"]
    cells = []
    for name, rows in mean.groupby("case", sort=False):
        rows = rows.set_index("step")
        steps = "; ".join(
            f"step {s}, {rows.dial[s]}: "
            + (f"estimate {rows.estimate[s]:.2f}" if pd.notna(rows.estimate[s]) else "no estimate")
            + (", not testable" if rows.untestable[s] > 0.5 else f", alarms {rows.alarms[s]:.0%}")
            for s in sorted({0, (last + 1) // 2, last})
        )
        cells.append(f"{name}: {steps}")
    title = look.headline("One assumption at a time", table, source, offset=14)
    return lay.stacked(
        top.properties(width=430, height=230, title=title),
        bottom.properties(width=430, height=90),
        spacing=26,
        dials=[case, step],
        description=f"Above, estimates with 95 % intervals over steps 0 to {last} of breaking "
        f"an assumption, means over {logs} simulated logs, with a dashed line at the "
        f"truth, {table.truth.iloc[0]:.2f}. Below, the share of logs in which the "
        f"check of the assumption raises an alarm, dashed at 5 %. {'. '.join(cells)}. "
        "A menu picks the assumption, a slider the step.",
    )
