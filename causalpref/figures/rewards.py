"""What a label says of rewards."""

from __future__ import annotations

import altair as alt
import numpy as np
import pandas as pd

from causalpref.figures import _layers as lay
from causalpref.figures import _style as look

__all__ = ["judge_noise", "reward_shift"]


def reward_shift(table: pd.DataFrame, *, source: str | None = None) -> alt.VConcatChart:
    """Two rewards of each pair; a dial shifts those of one kind of prompt (section 3.1).

    Shifted pairs slide along the diagonal, so their distance from it, which is all that
    a label depends on, stays. The order of the mean rewards does not.

    Parameters
    ----------
    table : pandas.DataFrame
        One row a pair: ``prompts`` ("easy" or "hard"), ``first`` and ``second`` (rewards of the two
        responses), ``label``, ``source``.
    source : str, optional
        What the data are. Default: the column ``source``.
    """
    kinds = ["easy", "hard"]
    inks = look.scale_of(kinds, {"easy": look.BLUE, "hard": look.ORANGE})
    by = look.signs(
        "prompts", kinds, [look.BLUE, look.ORANGE], ["circle", "diamond"], title="prompt"
    )
    reach = float(np.ceil(table[["first", "second"]].abs().to_numpy().max() + 3))
    scale = look.between(-reach, reach)
    shift = lay.slider("shift", "h, added to every reward on hard prompts: ", 0, -3, 3, 0.25)
    moved = alt.Chart(table).transform_calculate(
        h="datum.prompts == 'hard' ? shift : 0",
        r="datum.first + datum.h",
        q="datum.second + datum.h",
        chosen="datum.label == 1 ? 'first' : 'second'",
        p="1 / (1 + exp(datum.q - datum.r))",
        loss="-log(datum.label == 1 ? datum.p : 1 - datum.p)",
    )
    diagonal = (
        alt.Chart(pd.DataFrame({"r": [-reach, reach]}))
        .mark_line(strokeDash=[4, 4], color=look.GREY)
        .encode(
            x=alt.X("r:Q", scale=scale, title="reward of the first answer"),
            y=alt.Y("r:Q", scale=scale, title="reward of the second answer"),
        )
    )
    dots = moved.mark_point(size=38, strokeWidth=1.6, opacity=0.9).encode(
        x="r:Q",
        y="q:Q",
        stroke=alt.Stroke("prompts:N", title="prompt", scale=inks),
        shape=by.shape,
        fill=alt.Fill("prompts:N", title="prompt", scale=inks),
        fillOpacity=alt.condition("datum.label == 1", alt.value(0.9), alt.value(0)),
        tooltip=[
            "prompts:N",
            alt.Tooltip("r:Q", format=".2f", title="reward of the first"),
            alt.Tooltip("q:Q", format=".2f", title="reward of the second"),
            alt.Tooltip("p:Q", format=".3f", title="P(L = 1)"),
            alt.Tooltip("chosen:N", title="preferred"),
        ],
    )
    loss = lay.sentence(
        moved.transform_aggregate(mean="mean(loss)"),
        "'loss: ' + format(datum.mean, '.4f') + ' nats a pair'",
        14,
        x=8,
        field="text",
    )
    mean_of = moved.transform_calculate(both="(datum.r + datum.q) / 2").transform_aggregate(
        mean="mean(both)", groupby=["prompts"]
    )
    means = mean_of.transform_calculate(text="format(datum.mean, '+.2f')")
    near = alt.X("mean:Q", title="mean reward of the answers", scale=look.between(-3.75, 3.75))
    row = alt.Y("prompts:N", title="prompt", sort=kinds)
    mean_dots = lay.marked(means, 150, x=near, y=row, color=by.colour, shape=by.shape)
    mean_text = means.mark_text(dy=-15, fontSize=13, fontWeight="bold").encode(
        x=near, y=row, text="text:N"
    )
    verdict = lay.sentence(
        mean_of.transform_pivot("prompts", value="mean"),
        "'better served: ' + (datum.hard > datum.easy ? 'hard' : 'easy') + ' prompts'",
        98,
        x="width",
        field="text",
        align="right",
        dx=-6,
    )
    mean = table.assign(both=(table["first"] + table["second"]) / 2).groupby("prompts").both.mean()
    p = 1 / (1 + np.exp(table["second"] - table["first"]))
    nats = -np.log(p.where(table["label"] == 1, 1 - p)).mean()
    below = mean["easy"] - mean["hard"]
    return lay.stacked(
        look.layered(diagonal, dots, loss).properties(width=430, height=330),
        look.layered(mean_dots, mean_text, verdict).properties(width=430, height=110),
        dials=[shift],
        title=look.headline("Same labels, any shift", table, source),
        description=f"Above, {len(table)} pairs, the reward of the first answer against that "
        "of the second, filled where the first is preferred, with the diagonal. Below, the "
        f"mean reward on easy prompts ({mean['easy']:+.2f}) and on hard prompts "
        f"({mean['hard']:+.2f}). A slider adds h to both rewards of every pair on a hard "
        f"prompt. They slide along the diagonal, the loss of the labels stays at {nats:.4f} "
        "nats a pair, and hard prompts have the lower mean reward when h is below "
        f"{below:.2f}.",
    )


def judge_noise(table: pd.DataFrame, *, source: str | None = None) -> alt.VConcatChart:
    """How often the first answer wins by reward gap, and the ceiling of accuracy, by noise.

    Parameters
    ----------
    table : pandas.DataFrame
        One row for each noise scale and bin of gaps: ``noise``, ``gap`` (centre of the bin),
        ``share`` (of L = 1), ``pairs``; and, the same for all bins of a scale, ``ceiling`` (best
        possible accuracy), ``accuracy`` (of the fitted rewards), ``weights`` (the fitted ones, as
        text) and ``source``.
    source : str, optional
        What the data are. Default: the column ``source``.
    """
    each = table.drop_duplicates("noise")
    step = float(each.noise.diff().min())
    least, most = float(each.noise.min()), float(each.noise.max())
    noise = lay.slider("noise", "s, scale of the judge's noise: ", 1, least, most, step)
    picked = "abs(datum.noise - noise) < 0.001"
    reach = float(table.gap.abs().max()) + 0.4
    x = alt.X("gap:Q", title="difference of rewards, r − r′", scale=look.between(-reach, reach))
    y = alt.Scale(domain=[0, 1])
    curve = (
        alt.Chart(alt.sequence(-reach, reach, reach / 60, as_="gap"))
        .transform_calculate(p="1 / (1 + exp(-datum.gap / noise))")
        .mark_line(color=look.GREY, strokeDash=[6, 4], strokeWidth=2)
        .encode(x=x, y=alt.Y("p:Q", scale=y, title="share with L = 1"))
    )
    dots = (
        alt.Chart(table)
        .transform_filter(picked)
        .mark_point(size=70, filled=True, opacity=1, color=look.BLUE)
        .encode(
            x=x,
            y=alt.Y("share:Q", scale=y),
            tooltip=[
                alt.Tooltip("gap:Q", format=".1f", title="centre of the bin"),
                alt.Tooltip("share:Q", format=".3f"),
                "pairs",
            ],
        )
    )
    chosen = alt.Chart(each).transform_filter(picked)
    said = lay.sentence(chosen, "'fitted weights: ' + datum.weights", 14, x=8, field="text")
    names = ["best possible", "fitted rewards"]
    long = each.rename(columns={"ceiling": names[0], "accuracy": names[1]}).melt(
        id_vars="noise", value_vars=names, var_name="rule", value_name="rate"
    )
    by = look.signs(
        "rule",
        names,
        [look.PINK, look.BLUE],
        ["square", "circle"],
        [look.SOLID, [5, 3]],
        title="accuracy",
    )
    at = alt.X("noise:Q", title="scale of the judge's noise, s", scale=look.between(0, most + step))
    rate = alt.Y("rate:Q", title="expected accuracy", scale=alt.Scale(domain=[0.5, 1]))
    lines = (
        alt.Chart(long)
        .mark_line(strokeWidth=2)
        .encode(x=at, y=rate, color=by.colour, strokeDash=by.dash)
    )
    asked = lay.guide("rate", 0.7, y=rate, dash=[2, 3])
    here = alt.Chart(long).transform_filter(picked)
    rule = here.mark_rule(color=look.GREY).encode(x=at, y=rate, y2=alt.value(190))
    marks = lay.marked(here, 80, x=at, y=rate, color=by.colour, shape=by.shape)
    texts = [
        lay.sentence(chosen, words, height, x="width", field="text", align="right", dx=-6)
        for words, height in (
            (
                "'best possible ' + format(datum.ceiling, '.3f') + ', fitted ' + "
                "format(datum.accuracy, '.3f')",
                14,
            ),
            (
                "'0.70 is ' + (datum.ceiling < 0.7 ? 'out of reach' : "
                "format(datum.ceiling - 0.7, '.3f') + ' below the best')",
                32,
            ),
        )
    ]
    ends = "; ".join(
        f"at s = {r.noise:g} best possible {r.ceiling:.3f}, fitted {r.accuracy:.3f}, "
        f"weights {r.weights}"
        for r in each.iloc[[0, len(each) // 2, -1]].itertuples()
    )
    return lay.stacked(
        look.layered(curve, dots, said).properties(width=430, height=200),
        look.layered(asked, lines, rule, marks, *texts).properties(width=430, height=190),
        dials=[noise],
        title=look.headline("What a noisier judge does", table, source),
        description="Above, the share of pairs whose first answer is preferred, by difference "
        "of rewards, with the logistic curve. Below, expected accuracy by noise scale, "
        f"best possible and fitted: {ends}. A slider sets the noise scale s: the curve "
        "flattens and both accuracies fall towards one half as it grows. A dotted line "
        "marks an accuracy of 0.70, out of reach where the best possible is lower.",
    )
