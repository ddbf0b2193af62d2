"""Latent treatments: cells, pooled rewards, component effects."""

from __future__ import annotations

import altair as alt
import pandas as pd

from causalpref.figures import _layers as lay
from causalpref.figures import _style as look

__all__ = ["amce_by_density", "cells_against_truth", "pooled_curve"]

_TASKS = ["summarisation", "creative writing"]
_BY_TASK = look.signs("task", _TASKS, [look.BLUE, look.ORANGE], ["circle", "diamond"], title="task")


def cells_against_truth(table: pd.DataFrame, *, source: str | None = None) -> alt.LayerChart:
    """Mean label of each latent cell against the potential outcome it stands for.

    Parameters
    ----------
    table : pandas.DataFrame
        One row for each cell: ``task`` ("summarisation" or "creative writing"), ``first`` and
        ``second`` (the responses in words), ``truth``, ``mean``, ``low``, ``high``, ``pairs``,
        ``source``.
    source : str, optional
        What the data are. Default: the column ``source``.
    """
    worst = (table["mean"] - table.truth).abs().max()
    inside = ((table.low <= table.truth) & (table.truth <= table.high)).sum()
    scale = alt.Scale(domain=[0, 1])
    picked = alt.selection_point(fields=["task"], bind="legend")
    line = (
        alt.Chart(pd.DataFrame({"x": [0, 1]}))
        .mark_line(strokeDash=[4, 4], color=look.GREY)
        .encode(
            x=alt.X("x:Q", scale=scale, title="truth, P(L(x; y, y') = 1)"),
            y=alt.Y("x:Q", scale=scale, title="mean label of the cell"),
        )
    )
    base = alt.Chart(table).encode(
        x=alt.X("truth:Q", scale=scale, title="truth, P(L(x; y, y') = 1)"),
        color=_BY_TASK.colour,
        opacity=lay.fading(picked),
        tooltip=[
            "task",
            "first",
            "second",
            *lay.numbers(".3f", "truth", "mean", "low", "high"),
            "pairs",
        ],
    )
    return lay.drawn(
        [
            line,
            lay.interval(base, alt.Y("low:Q", scale=scale)),
            base.mark_point(size=60, filled=True).encode(
                y=alt.Y("mean:Q", scale=scale), shape=_BY_TASK.shape
            ),
        ],
        dials=[picked],
        title=look.headline("Cell means are potential outcomes", table, source),
        height=300,
        description=f"{len(table)} dots with 95 % intervals, one for each combination of task "
        f"and two responses. The mean label lies on the diagonal, at the potential "
        f"outcome, give or take at most {worst:.2f}; {inside} intervals of "
        f"{len(table)} hold the truth.",
    )


def pooled_curve(table: pd.DataFrame, *, source: str | None = None) -> alt.VConcatChart:
    """A reward fitted across two tasks against the two true ones (example 2).

    Two dials, the share of creative prompts and the distance of the two best levels, pick the
    row to be shown. Rewards are drawn with their maximum at 0, since their height is not
    identified.

    Parameters
    ----------
    table : pandas.DataFrame
        One row for each pair of dial values: ``share``, ``distance``, the fitted weights
        ``slope`` of z and ``bend`` of z squared, the shares of test pairs put in the wrong order
        ``wrong_summarisation``, ``wrong_creative``, ``wrong_all``, and ``source``. The true
        rewards are minus the squared distance from plus and minus half of ``distance``.
    source : str, optional
        What the data are. Default: the column ``source``.
    """
    steps = {c: sorted(table[c].unique()) for c in ("share", "distance")}
    start = {
        c: min(v, key=lambda s, c=c: abs(s - {"share": 0.5, "distance": 2.0}[c]))
        for c, v in steps.items()
    }

    def dial(column: str, label: str) -> alt.Parameter:
        values = steps[column]
        return lay.slider_over(f"dial_{column}", label, float(start[column]), values)

    dials = [
        dial("share", "share of creative prompts: "),
        dial("distance", "distance of best levels, γ₀ − γ₁: "),
    ]
    near = "abs(datum.share - dial_share) < 0.001 && abs(datum.distance - dial_distance) < 0.001"
    here = (
        alt.Chart(table)
        .transform_filter(near)
        .transform_calculate(best="-datum.slope / (2 * datum.bend)")
    )
    x = alt.X("z:Q", title="conciseness", scale=alt.Scale(domain=[-3, 3]))
    y = alt.Y("reward:Q", title="reward, best level at 0", scale=look.between(-6, 0.9))
    names = [*_TASKS, "pooled fit"]
    legend = alt.Legend(symbolSize=600, symbolStrokeWidth=3, columns=2)
    by = look.signs(
        "curve",
        names,
        [look.BLUE, look.ORANGE, look.GREY],
        dashes=[look.SOLID, look.DASHED, look.DOTTED],
        title="reward",
        legend=legend,
    )
    curves = (
        here.transform_calculate(z="sequence(-3, 3.01, 0.1)")
        .transform_flatten(["z"])
        .transform_calculate(
            s="-pow(datum.z - datum.distance / 2, 2)",
            c="-pow(datum.z + datum.distance / 2, 2)",
            p="datum.bend * pow(datum.z - datum.best, 2)",
        )
        .transform_fold(["s", "c", "p"], as_=["which", "reward"])
        .transform_calculate(
            curve="datum.which == 's' ? 'summarisation' : datum.which == 'c' ? "
            "'creative writing' : 'pooled fit'"
        )
        .mark_line(clip=True, strokeWidth=3)
        .encode(x=x, y=y, color=by.colour, strokeDash=by.dash)
    )
    said = here.transform_calculate(
        z="datum.best",
        reward="0",
        words="'pooled: best at ' + replace(format(datum.best, '.2f'), '-', '−')",
    )
    top = look.layered(
        curves,
        said.mark_point(size=130, filled=True, opacity=1, color=look.GREY).encode(x=x, y=y),
        said.mark_text(dy=-16, fontSize=13, fontWeight="bold").encode(x=x, y=y, text="words:N"),
    ).properties(
        width=430, height=250, title=look.headline("One reward for two tasks", table, source)
    )
    groups = ["summarisation", "creative writing", "all pairs"]
    bars = (
        here.transform_fold(
            ["wrong_summarisation", "wrong_creative", "wrong_all"], as_=["column", "wrong"]
        )
        .transform_calculate(
            group="datum.column == 'wrong_summarisation' ? 'summarisation' : "
            "datum.column == 'wrong_creative' ? 'creative writing' : 'all pairs'",
            words="format(datum.wrong, '.0%')",
        )
        .encode(
            y=alt.Y("group:N", title=None, sort=groups),
            x=alt.X(
                "wrong:Q",
                title="share of test pairs in the wrong order",
                scale=look.between(0, 1.12),
                axis=alt.Axis(format="%", values=[0, 0.25, 0.5, 0.75, 1]),
            ),
        )
    )
    coin = lay.guide("x", 0.5, x="x:Q")
    bottom = look.layered(
        coin,
        bars.mark_bar(height=16, opacity=1).encode(
            color=look.signs(
                "group", groups, [look.BLUE, look.ORANGE, look.GREY], legend=None
            ).colour
        ),
        bars.mark_text(align="left", dx=2, fontSize=13, fontWeight="bold").encode(
            x=alt.datum(1), text="words:N"
        ),
    ).properties(width=430, height=100)
    first = table[
        (table.share - start["share"]).abs().lt(1e-6)
        & (table.distance - start["distance"]).abs().lt(1e-6)
    ].iloc[0]
    worst = table.loc[table.wrong_creative.idxmax()]
    return lay.stacked(
        top,
        bottom,
        apart=["color", "strokeDash"],
        dials=dials,
        description="Above, three curves of reward over conciseness: the true ones of the two "
        "tasks and one fitted to both. Below, bars: the share of test pairs that the "
        f"fitted one puts in the wrong order. With {start['share']:.0%} creative "
        f"prompts and best levels {start['distance']:g} apart the fitted curve has its "
        f"best level at {-first.slope / (2 * first.bend):.2f} and errs on "
        f"{first.wrong_summarisation:.0%} of the summarisation pairs and "
        f"{first.wrong_creative:.0%} of the creative ones. At {worst.share:.0%} and "
        f"{worst.distance:g} it errs on {worst.wrong_summarisation:.0%} and "
        f"{worst.wrong_creative:.0%}. Two sliders set the share and the distance.",
    )


def amce_by_density(table: pd.DataFrame, *, source: str | None = None) -> alt.LayerChart:
    """The average marginal component effect under two densities, over the mix of tasks.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns ``share`` (of creative prompts in the data), ``density`` ("uniform" or
        "empirical"), ``value``, ``low``, ``high``, ``truth``, ``source``.
    source : str, optional
        What the data are. Default: the column ``source``.
    """
    by = look.signs(
        "density",
        ["uniform", "empirical"],
        [look.BLUE, look.PINK],
        ["circle", "diamond"],
        title="density m",
    )
    ends = table[table.share.isin([table.share.min(), table.share.max()])]
    cells = "; ".join(
        f"{r.density} density at {r.share:.0%} creative prompts {r.value:.2f} "
        f"({r.low:.2f} to {r.high:.2f})"
        for r in ends.itertuples()
    )
    picked = alt.selection_point(fields=["density"], bind="legend")
    y = alt.Scale(domain=[0.2, 0.8])
    coin = lay.guide("y", 0.5, y=alt.Y("y:Q", scale=y, title="AMCE of conciseness"))
    base = alt.Chart(table).encode(
        x=alt.X(
            "share:Q",
            title="share of prompts that ask for creative writing",
            axis=alt.Axis(format="%"),
            scale=alt.Scale(domain=[0.05, 0.95]),
        ),
        color=by.colour,
        opacity=lay.fading(picked),
        tooltip=[
            "density",
            alt.Tooltip("share:Q", format=".0%"),
            *lay.numbers(".3f", "value", "low", "high", "truth"),
        ],
    )
    return lay.drawn(
        [
            coin,
            base.mark_line(strokeWidth=1.5).encode(y=alt.Y("truth:Q", scale=y)),
            lay.interval(base, alt.Y("low:Q", scale=y)),
            base.mark_point(size=70, filled=True).encode(
                y=alt.Y("value:Q", scale=y), shape=by.shape
            ),
        ],
        dials=[picked],
        title=look.headline("Same preferences, two averages", table, source),
        height=250,
        description=f"Dots with 95 % intervals on lines of the truth, probability that the "
        f"concise response is preferred: {cells}. The dashed line is no effect.",
    )
