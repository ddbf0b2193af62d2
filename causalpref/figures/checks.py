"""What the checks can and cannot do."""

from __future__ import annotations

import altair as alt
import numpy as np
import pandas as pd

from causalpref.figures import _layers as lay
from causalpref.figures import _style as look

__all__ = ["place_ceilings", "power_by_strength"]

_INKS, _SHAPES = [look.PINK, look.BLUE, look.ORANGE], ["square", "circle", "diamond"]
_DASHES = [look.DOTTED, look.SOLID, look.DASHED]
_LEGEND = alt.Legend(orient="bottom", symbolSize=110, symbolOpacity=1)


def _lines(rows: alt.Chart, field: str, names: list[str], x: alt.X, y: alt.Y) -> list[alt.Chart]:
    """A line for each name, in its colour and dash."""
    return [
        rows.transform_filter(f"datum.{field} == '{n}'")
        .mark_line(strokeWidth=2.5, color=ink, strokeDash=dash)
        .encode(x=x, y=y)
        for n, ink, dash in zip(names, _INKS, _DASHES)
    ]


def place_ceilings(table: pd.DataFrame, *, source: str | None = None) -> alt.LayerChart:
    """How right a rule can be that is blind to place, knows only place, or knows both.

    Parameters
    ----------
    table : pandas.DataFrame
        One row for each ``spread`` (standard deviation of r - r'), ``bias`` (worth of the first
        place) and ``rule`` ("blind to place", "place alone" or "both"): ``ceiling`` (best
        expected accuracy), ``counted`` (accuracy of that rule on simulated labels), ``first``
        (P(the first is preferred)), ``source``.
    source : str, optional
        What the data are. Default: the column ``source``.
    """
    names = ["both", "blind to place", "place alone"]
    by = look.signs("rule", names, _INKS, _SHAPES, title="rule", legend=_LEGEND)
    spreads, biases = np.sort(table.spread.unique()), np.sort(table.bias.unique())
    step = round(float(biases[1] - biases[0]), 6)
    dials = [
        lay.slider_over(
            "placespread", "spread of r − r′: ", float(spreads[len(spreads) // 3]), spreads
        ),
        lay.slider_over(
            "placebias", "b, worth of the first place: ", float(biases[len(biases) // 3]), biases
        ),
    ]
    shown = alt.Chart(table).transform_filter("abs(datum.spread - placespread) < 0.001")
    here = shown.transform_filter(f"abs(datum.bias - placebias) < {step / 2:g}")
    room = look.between(0.48, 1)
    x = alt.X(
        "bias:Q",
        title="b, worth of the first place, in reward",
        scale=look.between(float(biases[0]) - step / 2, float(biases[-1]) + step / 2),
    )
    y = alt.Y("ceiling:Q", title="best accuracy", scale=room, axis=alt.Axis(format="%"))
    tips = [
        "rule:N",
        alt.Tooltip("bias:Q", title="b"),
        *lay.numbers(".3f", "ceiling", "counted", "first"),
    ]
    blind = shown.transform_filter("datum.rule == 'blind to place'")
    bound = (
        blind.transform_calculate(ceiling="1 - abs(datum.first - 0.5)")
        .mark_line(color=look.GREY, strokeDash=[6, 4], strokeWidth=1.5)
        .encode(x=x, y=y)
    )
    lines = _lines(shown, "rule", names, x, y)
    counted = alt.Y("counted:Q", scale=room)
    dots = lay.marked(shown, 55, x=x, y=counted, color=by.colour, shape=by.shape, tooltip=tips)
    rule = lay.cursor(here.transform_filter("datum.rule == 'both'"), x)
    pct = "format(datum['{}'], '.0%')"
    wide = here.transform_pivot("rule", value="ceiling", groupby=["first"])
    said = [
        lay.sentence(wide, text, height, size=12, lineBreak=";")
        for text, height in (
            ("'the first is preferred in ' + format(datum.first, '.0%')", -42),
            (
                f"'best accuracy: both ' + {pct.format('both')} + ',;blind to place ' + "
                f"{pct.format('blind to place')} + ', place alone ' + {pct.format('place alone')}",
                -26,
            ),
        )
    ]
    at = table.set_index(["spread", "bias", "rule"]).ceiling
    cells = "; ".join(
        f"spread {s:g}, b {b:g}: " + ", ".join(f"{n} {at[s, b, n]:.2f}" for n in names)
        for s in (spreads[0], spreads[-1])
        for b in (biases[0], biases[-1])
    )
    return lay.drawn(
        [bound, *lines, dots, rule, *said],
        dials=dials,
        title=look.headline("What place does to accuracy", table, source, offset=14),
        height=260,
        description="Lines of the best accuracy over b, the worth of the first place, for "
        "rules that know place and rewards, that are blind to place, and that know place "
        "alone; dots are counts on simulated labels, a grey dashed line is the bound "
        f"from how often the first is preferred. {cells}. Two sliders set the spread "
        "of reward differences and b.",
    )


def power_by_strength(table: pd.DataFrame, *, source: str | None = None) -> alt.LayerChart:
    """How often a check raises an alarm, by strength of the violation and number of prompts.

    Parameters
    ----------
    table : pandas.DataFrame
        Of :func:`causalpref.studies.checks.power_curves`, three sizes a scenario.
    source : str, optional
        What the data are. Default: the column ``source``.
    """
    t = table.assign(
        case=table.assumption + ": " + table.looks_at,
        size=table.groupby("scenario").n.rank("dense").astype(int),
    )
    cases, steps = list(dict.fromkeys(t.case)), np.sort(t.step.unique())
    t["label"] = t["size"].map({1: "half as many", 2: "as many as stated", 3: "twice as many"})
    names = ["twice as many", "as many as stated", "half as many"]
    by = look.signs("label", names, _INKS, _SHAPES, title="prompts", legend=_LEGEND)
    dials = [
        lay.menu("powercase", "check: ", cases[0], cases),
        lay.slider_over(
            "powerstep", "strength, as a share of the stated one: ", float(steps[-1]), steps
        ),
    ]
    kept = ["case", "step", "label", "strength", "n", "alarms", "low", "high", "dial"]
    shown = alt.Chart(t[kept].round(4)).transform_filter("datum.case == powercase")
    here = shown.transform_filter("abs(datum.step - powerstep) < 0.001")
    x = alt.X(
        "step:Q",
        title="strength of the violation, as a share of the stated one",
        scale=look.between(-0.05, float(steps[-1]) + 0.05),
        axis=alt.Axis(values=steps.tolist(), grid=False, format=".2f"),
    )
    room = look.between(0, 1)
    y = alt.Y("alarms:Q", title="data sets with an alarm", scale=room, axis=alt.Axis(format="%"))
    marks = (
        alt.Chart(pd.DataFrame({"alarms": [0.05, 0.8]}))
        .mark_rule(color=look.GREY, strokeDash=[6, 4], strokeWidth=1.5)
        .encode(y=y)
    )
    shares = shown.encode(x=x, color=by.colour)
    bars = shares.mark_rule(strokeWidth=1.5, opacity=1).encode(
        y=alt.Y("low:Q", scale=room), y2="high:Q"
    )
    lines = _lines(shown, "label", names, x, y)
    tips = [
        alt.Tooltip("dial:N"),
        alt.Tooltip("strength:Q"),
        "n:Q",
        *lay.numbers(".1%", "alarms", "low", "high"),
    ]
    dots = lay.marked(shares, 65, y=y, shape=by.shape, tooltip=tips)
    rule = lay.cursor(here.transform_filter("datum.label == 'as many as stated'"), x)

    def words(label: str, text: str, height: int) -> alt.Chart:
        return lay.sentence(
            here.transform_filter(f"datum.label == '{label}'"), text, height, size=12
        )

    share = "datum.n + ' prompts: alarm in ' + format(datum.alarms, '.0%')"
    said = [
        words("as many as stated", "datum.dial + ': ' + datum.strength", -60),
        words("half as many", share, -44),
        words("as many as stated", share, -28),
        words("twice as many", share, -12),
    ]
    full = t[(t.step == steps[-1]) & (t["size"] == 2)]
    null = t[(t.step == 0) & (t["size"] == 2)].set_index("case").alarms
    cells = "; ".join(
        f"{r.case}, {r.n} prompts, {r.dial} {r.strength:g}: {r.alarms:.0%}, "
        f"unbroken {null[r.case]:.0%}"
        for r in full.itertuples()
    )
    return lay.drawn(
        [marks, bars, *lines, dots, rule, *said],
        dials=dials,
        title=look.headline("How often a check raises an alarm", table, source, offset=14),
        height=240,
        description="Lines, share of simulated data sets in which a check raises an alarm, "
        "rising with the strength of the violation and the number of prompts; dashed at 5 % "
        f"and 80 %. {cells}. A menu picks the check, a slider the strength.",
    )
