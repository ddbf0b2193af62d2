"""One function per figure: a tidy table in, an Altair chart out.

Every chart names its data in the subtitle (simulated, real, recorded) and carries
a description for screen readers, written from the numbers it shows. Colours have
a contrast of at least 3:1 on the book's light and dark backgrounds, and none of
them is the only sign of what a mark means.
"""

from __future__ import annotations

import altair as alt
import numpy as np
import pandas as pd

__all__ = ["accuracy_by_rho", "amce_by_density", "causal_graph", "cells_against_truth",
           "imagined_label", "judge_noise", "length_by_objective", "pooled_curve", "reward_shift",
           "seeing_doing_imagining", "who_asked"]

COLOURS = {"helpful": "#2f86c8", "harmless": "#d1672c",
           "base": "#858585", "multihead": "#2f86c8", "adversarial": "#c2578f"}
_SHAPES = {"helpful": "circle", "harmless": "diamond",
           "base": "circle", "multihead": "square", "adversarial": "triangle-up"}


def _scale(names: list[str], values: dict[str, str]) -> alt.Scale:
    return alt.Scale(domain=names, range=[values[n] for n in names])


def _title(text: str, table: pd.DataFrame, source: str | None) -> alt.TitleParams:
    said = source or " / ".join(dict.fromkeys(table["source"]))
    return alt.TitleParams(text, subtitle=f"Data: {said}", anchor="start")


def length_by_objective(table: pd.DataFrame, *, source: str | None = None) -> alt.LayerChart:
    """P(the longer response is preferred) by prompt type and objective, with 95 % intervals.

    Parameters
    ----------
    table : pandas.DataFrame
        Of :func:`causalpref.experiments.length_rates`.
    source : str, optional
        What the data are. Default: the column ``source``.
    """
    names = ["helpful", "harmless"]
    cells = "; ".join(f"{r.prompts} prompts judged for being {r.objective} {r.rate:.2f} "
                      f"({r.low:.2f} to {r.high:.2f})" for r in table.itertuples())
    picked = alt.selection_point(fields=["objective"], bind="legend")
    base = alt.Chart(table).encode(
        y=alt.Y("prompts:N", title="type of prompt", sort=names),
        yOffset=alt.YOffset("objective:N", sort=names),
        color=alt.Color("objective:N", title="judged for being", scale=_scale(names, COLOURS)),
        opacity=alt.condition(picked, alt.value(1), alt.value(0.15)),
        tooltip=["prompts", "objective", alt.Tooltip("rate:Q", format=".3f"),
                 alt.Tooltip("low:Q", format=".3f"), alt.Tooltip("high:Q", format=".3f"), "pairs"])
    x, title = alt.Scale(domain=[0.35, 0.75]), "P(the longer response is preferred)"
    coin = alt.Chart(pd.DataFrame({"x": [0.5]})).mark_rule(
        strokeDash=[4, 4], color="#858585").encode(x=alt.X("x:Q", scale=x, title=title))
    return alt.layer(
        coin, base.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q", scale=x), x2="high:Q"),
        base.mark_point(size=110, filled=True, opacity=1).encode(
            x=alt.X("rate:Q", scale=x, title=title), shape=alt.Shape("objective:N", title="judged for being",
                                 scale=_scale(names, _SHAPES))),
    ).add_params(picked).properties(
        width=430, height=170, title=_title("How often the longer response is preferred",
                                            table, source),
        description=f"Dots with 95 % intervals, probability that the longer response is "
                    f"preferred: {cells}. The dashed line is a coin toss.")


def accuracy_by_rho(table: pd.DataFrame, *, source: str | None = None) -> alt.LayerChart:
    """Test accuracy of the three reward models over rho (figure 6), with standard errors.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns ``rho``, ``model``, ``split``, ``mean``, ``se``, ``source``, accuracies
        in [0, 1]; see :func:`causalpref.rewards.summarise`.
    source : str, optional
        What the data are. Default: the column ``source``.
    """
    names = ["base", "multihead", "adversarial"]
    t = table.assign(percent=100 * table["mean"],
                     low=100 * (table["mean"] - table["se"]),
                     high=100 * (table["mean"] + table["se"]))
    ends = t[t.rho.isin([t.rho.min(), t.rho.max()])]
    cells = "; ".join(f"{r.model} on {r.split} pairs at rho {r.rho:g} {r.percent:.1f} %"
                      for r in ends.itertuples())
    shown = alt.param(name="pairs", value="both", bind=alt.binding_radio(
        options=["both", "consistent", "inconsistent"], name="pairs shown: "))
    picked = alt.selection_point(fields=["model"], bind="legend")
    base = alt.Chart(t).transform_filter(
        "pairs == 'both' || pairs == datum.split").encode(
        x=alt.X("rho:Q", title="ρ = P(type(X) = C) in training",
                scale=alt.Scale(domain=[t.rho.min() - 0.02, t.rho.max() + 0.02])),
        color=alt.Color("model:N", title="model", scale=_scale(names, COLOURS)),
        opacity=alt.condition(picked, alt.value(1), alt.value(0.12)),
        tooltip=["model", "split", "rho", alt.Tooltip("percent:Q", format=".1f", title="accuracy, %"),
                 alt.Tooltip("low:Q", format=".1f"), alt.Tooltip("high:Q", format=".1f")])
    y = alt.Y("percent:Q", title="test accuracy, %", scale=alt.Scale(zero=False))
    dash = alt.StrokeDash("split:N", title="test pairs", scale=alt.Scale(
        domain=["consistent", "inconsistent"], range=[[1, 0], [6, 4]]))
    return alt.layer(
        base.mark_rule(strokeWidth=1.5).encode(
            y=alt.Y("low:Q", scale=alt.Scale(zero=False)), y2="high:Q"),
        base.mark_line(strokeWidth=2).encode(y=y, strokeDash=dash),
        base.mark_point(size=60, filled=True).encode(
            y=y, shape=alt.Shape("model:N", title="model", scale=_scale(names, _SHAPES))),
    ).add_params(shown, picked).properties(
        width=430, height=280, title=_title("Accuracy on held-out pairs", table, source),
        description=f"Lines, test accuracy with standard errors over seeds: {cells}.")


def who_asked(table: pd.DataFrame, *, source: str | None = None) -> alt.LayerChart:
    """What an analyst who ignores C would say of length, as rho moves from 0.5 to 1.

    With equally many pairs for each objective, a share rho of the pairs on either type of
    prompt is judged under the objective that matches the type, so the pooled rate is
    rho times the matching rate plus 1 - rho times the other.

    Parameters
    ----------
    table : pandas.DataFrame
        Of :func:`causalpref.experiments.length_rates`.
    source : str, optional
        What the data are. Default: the column ``source``.
    """
    names = ["helpful", "harmless"]
    rate = table.set_index(["prompts", "objective"]).rate
    wide = pd.DataFrame([{"prompts": p, "matching": rate[p, p],
                          "other": rate[p, names[1 - names.index(p)]]} for p in names])
    rho = alt.param(name="rho", value=1.0, bind=alt.binding_range(
        min=0.5, max=1.0, step=0.01, name="ρ, how often people ask what they judge for: "))
    x = alt.Scale(domain=[0.35, 0.75])
    title = "P(the longer response is preferred)"
    y = alt.Y("prompts:N", title="type of prompt", sort=names)
    coin = alt.Chart(pd.DataFrame({"x": [0.5]})).mark_rule(
        strokeDash=[4, 4], color="#858585").encode(x=alt.X("x:Q", scale=x, title=title))
    truth = alt.Chart(table).mark_tick(thickness=3, size=40, opacity=1).encode(
        x=alt.X("rate:Q", scale=x), y=y,
        color=alt.Color("objective:N", title="judged for being", scale=_scale(names, COLOURS)),
        tooltip=["prompts", "objective", alt.Tooltip("rate:Q", format=".3f")])
    pooled = alt.Chart(wide).transform_calculate(
        pooled="rho * datum.matching + (1 - rho) * datum.other",
        label="format(datum.pooled, '.2f')").encode(
        y=y, x=alt.X("pooled:Q", scale=x, title=title))
    return alt.layer(
        coin, truth, pooled.mark_point(size=300, strokeWidth=3, opacity=1, color="#858585"),
        pooled.mark_text(dy=-28, fontSize=13, fontWeight="bold").encode(text="label:N"),
    ).add_params(rho).properties(
        width=430, height=190,
        title=_title("What you would conclude if you did not know who asked", table, source),
        description="Two rows, helpful and harmless prompts. Ticks: probability that the longer "
                    "response is preferred when judged for helpfulness "
                    f"({rate['helpful', 'helpful']:.2f} and {rate['harmless', 'helpful']:.2f}) "
                    "and for harmlessness "
                    f"({rate['helpful', 'harmless']:.2f} and {rate['harmless', 'harmless']:.2f}). "
                    "A slider for rho moves the pooled rate from the tick of the matching "
                    "objective at rho 1 to halfway between the two ticks at rho 0.5.")


_TASKS = ["summarisation", "creative writing"]
_TASK_COLOURS = alt.Scale(domain=_TASKS, range=["#2f86c8", "#d1672c"])
_TASK_SHAPES = alt.Scale(domain=_TASKS, range=["circle", "diamond"])


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
    line = alt.Chart(pd.DataFrame({"x": [0, 1]})).mark_line(
        strokeDash=[4, 4], color="#858585").encode(
        x=alt.X("x:Q", scale=scale, title="truth, P(L(x; y, y') = 1)"),
        y=alt.Y("x:Q", scale=scale, title="mean label of the cell"))
    base = alt.Chart(table).encode(
        x=alt.X("truth:Q", scale=scale, title="truth, P(L(x; y, y') = 1)"),
        color=alt.Color("task:N", title="task", scale=_TASK_COLOURS),
        opacity=alt.condition(picked, alt.value(1), alt.value(0.12)),
        tooltip=["task", "first", "second", alt.Tooltip("truth:Q", format=".3f"),
                 alt.Tooltip("mean:Q", format=".3f"), alt.Tooltip("low:Q", format=".3f"),
                 alt.Tooltip("high:Q", format=".3f"), "pairs"])
    return alt.layer(
        line, base.mark_rule(strokeWidth=1.5).encode(y=alt.Y("low:Q", scale=scale), y2="high:Q"),
        base.mark_point(size=60, filled=True).encode(
            y=alt.Y("mean:Q", scale=scale),
            shape=alt.Shape("task:N", title="task", scale=_TASK_SHAPES)),
    ).add_params(picked).properties(
        width=430, height=300, title=_title("Cell means are potential outcomes", table, source),
        description=f"{len(table)} dots with 95 % intervals, one for each combination of task and "
                    f"two responses. The mean label lies on the diagonal, at the potential "
                    f"outcome, give or take at most {worst:.2f}; {inside} intervals of "
                    f"{len(table)} hold the truth.")


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
    start = {c: min(v, key=lambda s, c=c: abs(s - {"share": 0.5, "distance": 2.0}[c]))
             for c, v in steps.items()}

    def dial(column: str, label: str) -> alt.Parameter:
        values = steps[column]
        return alt.param(name=f"dial_{column}", value=float(start[column]),
                         bind=alt.binding_range(min=float(values[0]), max=float(values[-1]),
                                                step=round(float(values[1] - values[0]), 6),
                                                name=label))

    dials = [dial("share", "share of creative prompts: "),
             dial("distance", "distance of best levels, γ₀ − γ₁: ")]
    near = ("abs(datum.share - dial_share) < 0.001 && "
            "abs(datum.distance - dial_distance) < 0.001")
    here = alt.Chart(table).transform_filter(near).transform_calculate(
        best="-datum.slope / (2 * datum.bend)")
    x = alt.X("z:Q", title="conciseness", scale=alt.Scale(domain=[-3, 3]))
    y = alt.Y("reward:Q", title="reward, best level at 0",
              scale=alt.Scale(domain=[-6, 0.9], nice=False))
    names = [*_TASKS, "pooled fit"]
    dash = alt.StrokeDash("curve:N", title="reward", legend=alt.Legend(
        symbolSize=600, symbolStrokeWidth=3, columns=2), scale=alt.Scale(
        domain=names, range=[[1, 0], [8, 4], [2, 3]]))
    colour = alt.Color("curve:N", title="reward", legend=alt.Legend(
        symbolSize=600, symbolStrokeWidth=3, columns=2), scale=alt.Scale(
        domain=names, range=["#2f86c8", "#d1672c", "#858585"]))
    curves = here.transform_calculate(z="sequence(-3, 3.01, 0.1)").transform_flatten(
        ["z"]).transform_calculate(
        s="-pow(datum.z - datum.distance / 2, 2)", c="-pow(datum.z + datum.distance / 2, 2)",
        p="datum.bend * pow(datum.z - datum.best, 2)").transform_fold(
        ["s", "c", "p"], as_=["which", "reward"]).transform_calculate(
        curve="datum.which == 's' ? 'summarisation' : datum.which == 'c' ? "
              "'creative writing' : 'pooled fit'").mark_line(clip=True, strokeWidth=3).encode(
        x=x, y=y, color=colour, strokeDash=dash)
    said = here.transform_calculate(
        z="datum.best", reward="0",
        words="'pooled: best at ' + replace(format(datum.best, '.2f'), '-', '−')")
    top = alt.layer(
        curves, said.mark_point(size=130, filled=True, opacity=1, color="#858585").encode(x=x, y=y),
        said.mark_text(dy=-16, fontSize=13, fontWeight="bold").encode(x=x, y=y, text="words:N"),
    ).properties(width=430, height=250,
                 title=_title("One reward for two tasks", table, source))
    groups = ["summarisation", "creative writing", "all pairs"]
    bars = here.transform_fold(["wrong_summarisation", "wrong_creative", "wrong_all"],
                               as_=["column", "wrong"]).transform_calculate(
        group="datum.column == 'wrong_summarisation' ? 'summarisation' : "
              "datum.column == 'wrong_creative' ? 'creative writing' : 'all pairs'",
        words="format(datum.wrong, '.0%')").encode(
        y=alt.Y("group:N", title=None, sort=groups),
        x=alt.X("wrong:Q", title="share of test pairs in the wrong order",
                scale=alt.Scale(domain=[0, 1.12], nice=False),
                axis=alt.Axis(format="%", values=[0, 0.25, 0.5, 0.75, 1])))
    coin = alt.Chart(pd.DataFrame({"x": [0.5]})).mark_rule(
        strokeDash=[4, 4], color="#858585").encode(x="x:Q")
    bottom = alt.layer(
        coin, bars.mark_bar(height=16, opacity=1).encode(color=alt.Color(
            "group:N", legend=None, scale=alt.Scale(
                domain=groups, range=["#2f86c8", "#d1672c", "#858585"]))),
        bars.mark_text(align="left", dx=2, fontSize=13, fontWeight="bold").encode(
            x=alt.datum(1), text="words:N"),
    ).properties(width=430, height=100)
    first = table[(table.share - start["share"]).abs().lt(1e-6)
                  & (table.distance - start["distance"]).abs().lt(1e-6)].iloc[0]
    worst = table.loc[table.wrong_creative.idxmax()]
    return alt.vconcat(top, bottom).resolve_scale(
        color="independent", strokeDash="independent").add_params(*dials).properties(
        description="Above, three curves of reward over conciseness: the true ones of the two "
                    "tasks and one fitted to both. Below, bars: the share of test pairs that the "
                    f"fitted one puts in the wrong order. With {start['share']:.0%} creative "
                    f"prompts and best levels {start['distance']:g} apart the fitted curve has its "
                    f"best level at {-first.slope / (2 * first.bend):.2f} and errs on "
                    f"{first.wrong_summarisation:.0%} of the summarisation pairs and "
                    f"{first.wrong_creative:.0%} of the creative ones. At {worst.share:.0%} and "
                    f"{worst.distance:g} it errs on {worst.wrong_summarisation:.0%} and "
                    f"{worst.wrong_creative:.0%}. Two sliders set the share and the distance.")


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
    names = ["uniform", "empirical"]
    ends = table[table.share.isin([table.share.min(), table.share.max()])]
    cells = "; ".join(f"{r.density} density at {r.share:.0%} creative prompts {r.value:.2f} "
                      f"({r.low:.2f} to {r.high:.2f})" for r in ends.itertuples())
    picked = alt.selection_point(fields=["density"], bind="legend")
    colour = alt.Color("density:N", title="density m", scale=alt.Scale(
        domain=names, range=["#2f86c8", "#c2578f"]))
    y = alt.Scale(domain=[0.2, 0.8])
    coin = alt.Chart(pd.DataFrame({"y": [0.5]})).mark_rule(
        strokeDash=[4, 4], color="#858585").encode(
        y=alt.Y("y:Q", scale=y, title="AMCE of conciseness"))
    base = alt.Chart(table).encode(
        x=alt.X("share:Q", title="share of prompts that ask for creative writing",
                axis=alt.Axis(format="%"), scale=alt.Scale(domain=[0.05, 0.95])),
        color=colour, opacity=alt.condition(picked, alt.value(1), alt.value(0.12)),
        tooltip=["density", alt.Tooltip("share:Q", format=".0%"),
                 alt.Tooltip("value:Q", format=".3f"), alt.Tooltip("low:Q", format=".3f"),
                 alt.Tooltip("high:Q", format=".3f"), alt.Tooltip("truth:Q", format=".3f")])
    return alt.layer(
        coin, base.mark_line(strokeWidth=1.5).encode(y=alt.Y("truth:Q", scale=y)),
        base.mark_rule(strokeWidth=1.5).encode(y=alt.Y("low:Q", scale=y), y2="high:Q"),
        base.mark_point(size=70, filled=True).encode(
            y=alt.Y("value:Q", scale=y), shape=alt.Shape("density:N", title="density m",
                scale=alt.Scale(domain=names, range=["circle", "diamond"]))),
    ).add_params(picked).properties(
        width=430, height=250, title=_title("Same preferences, two averages", table, source),
        description=f"Dots with 95 % intervals on lines of the truth, probability that the "
                    f"concise response is preferred: {cells}. The dashed line is no effect.")


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
    kinds, colours = ["easy", "hard"], {"easy": "#2f86c8", "hard": "#d1672c"}
    shapes = {"easy": "circle", "hard": "diamond"}
    reach = float(np.ceil(table[["first", "second"]].abs().to_numpy().max() + 3))
    scale = alt.Scale(domain=[-reach, reach], nice=False)
    shift = alt.param(name="shift", value=0, bind=alt.binding_range(
        min=-3, max=3, step=0.25, name="h, added to every reward on hard prompts: "))
    moved = alt.Chart(table).transform_calculate(
        h="datum.prompts == 'hard' ? shift : 0", r="datum.first + datum.h",
        q="datum.second + datum.h",
        chosen="datum.label == 1 ? 'first' : 'second'",
        p="1 / (1 + exp(datum.q - datum.r))",
        loss="-log(datum.label == 1 ? datum.p : 1 - datum.p)")
    colour = alt.Color("prompts:N", title="prompt", scale=_scale(kinds, colours))
    shape = alt.Shape("prompts:N", title="prompt", scale=_scale(kinds, shapes))
    diagonal = alt.Chart(pd.DataFrame({"r": [-reach, reach]})).mark_line(
        strokeDash=[4, 4], color="#858585").encode(
        x=alt.X("r:Q", scale=scale, title="reward of the first answer"),
        y=alt.Y("r:Q", scale=scale, title="reward of the second answer"))
    dots = moved.mark_point(size=38, strokeWidth=1.6, opacity=0.9).encode(
        x="r:Q", y="q:Q", stroke=alt.Stroke("prompts:N", title="prompt",
                                            scale=_scale(kinds, colours)), shape=shape,
        fill=alt.Fill("prompts:N", title="prompt", scale=_scale(kinds, colours)),
        fillOpacity=alt.condition("datum.label == 1", alt.value(0.9), alt.value(0)),
        tooltip=["prompts:N", alt.Tooltip("r:Q", format=".2f", title="reward of the first"),
                 alt.Tooltip("q:Q", format=".2f", title="reward of the second"),
                 alt.Tooltip("p:Q", format=".3f", title="P(L = 1)"),
                 alt.Tooltip("chosen:N", title="preferred")])
    loss = moved.transform_aggregate(mean="mean(loss)").transform_calculate(
        text="'loss: ' + format(datum.mean, '.4f') + ' nats a pair'",
    ).mark_text(align="left", fontSize=13, fontWeight="bold", color="#858585").encode(
        text="text:N", x=alt.value(8), y=alt.value(14))
    means = moved.transform_calculate(both="(datum.r + datum.q) / 2").transform_aggregate(
        mean="mean(both)", groupby=["prompts"]).transform_calculate(
        text="format(datum.mean, '+.2f')")
    near = alt.X("mean:Q", title="mean reward of the answers",
                 scale=alt.Scale(domain=[-3.75, 3.75], nice=False))
    row = alt.Y("prompts:N", title="prompt", sort=kinds)
    mean_dots = means.mark_point(size=150, filled=True, opacity=1).encode(
        x=near, y=row, color=colour, shape=shape)
    mean_text = means.mark_text(dy=-15, fontSize=13, fontWeight="bold", color="#858585").encode(
        x=near, y=row, text="text:N")
    verdict = moved.transform_calculate(both="(datum.r + datum.q) / 2").transform_aggregate(
        mean="mean(both)", groupby=["prompts"]).transform_pivot(
        "prompts", value="mean").transform_calculate(
        text="'better served: ' + (datum.hard > datum.easy ? 'hard' : 'easy') + ' prompts'",
    ).mark_text(align="right", dx=-6, fontSize=13, fontWeight="bold", color="#858585").encode(
        text="text:N", x=alt.value("width"), y=alt.value(98))
    mean = table.assign(both=(table["first"] + table["second"]) / 2).groupby("prompts").both.mean()
    p = 1 / (1 + np.exp(table["second"] - table["first"]))
    nats = -np.log(p.where(table["label"] == 1, 1 - p)).mean()
    below = mean["easy"] - mean["hard"]
    return alt.vconcat(
        alt.layer(diagonal, dots, loss).properties(width=430, height=330),
        alt.layer(mean_dots, mean_text, verdict).properties(width=430, height=110),
    ).add_params(shift).properties(
        title=_title("Same labels, any shift", table, source),
        description=f"Above, {len(table)} pairs, the reward of the first answer against that of "
                    "the second, filled where the first is preferred, with the diagonal. Below, the mean reward on easy prompts "
                    f"({mean['easy']:+.2f}) and on hard prompts ({mean['hard']:+.2f}). A slider "
                    "adds h to both rewards of every pair on a hard prompt. They slide along the "
                    f"diagonal, the loss of the labels stays at {nats:.4f} nats a pair, and hard "
                    f"prompts have the lower mean reward when h is below {below:.2f}.")


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
    noise = alt.param(name="noise", value=1, bind=alt.binding_range(
        min=float(each.noise.min()), max=float(each.noise.max()), step=step,
        name="s, scale of the judge's noise: "))
    picked = "abs(datum.noise - noise) < 0.001"
    reach = float(table.gap.abs().max()) + 0.4
    x = alt.X("gap:Q", title="difference of rewards, r − r′",
              scale=alt.Scale(domain=[-reach, reach], nice=False))
    y = alt.Scale(domain=[0, 1])
    curve = alt.Chart(alt.sequence(-reach, reach, reach / 60, as_="gap")).transform_calculate(
        p="1 / (1 + exp(-datum.gap / noise))").mark_line(
        color="#858585", strokeDash=[6, 4], strokeWidth=2).encode(
        x=x, y=alt.Y("p:Q", scale=y, title="share with L = 1"))
    dots = alt.Chart(table).transform_filter(picked).mark_point(
        size=70, filled=True, opacity=1, color="#2f86c8").encode(
        x=x, y=alt.Y("share:Q", scale=y),
        tooltip=[alt.Tooltip("gap:Q", format=".1f", title="centre of the bin"),
                 alt.Tooltip("share:Q", format=".3f"), "pairs"])
    said = alt.Chart(each).transform_filter(picked).transform_calculate(
        text="'fitted weights: ' + datum.weights").mark_text(
        align="left", fontSize=13, fontWeight="bold", color="#858585").encode(
        text="text:N", x=alt.value(8), y=alt.value(14))
    names = ["best possible", "fitted rewards"]
    long = each.rename(columns={"ceiling": names[0], "accuracy": names[1]}).melt(
        id_vars="noise", value_vars=names, var_name="rule", value_name="rate")
    colour = alt.Color("rule:N", title="accuracy", scale=alt.Scale(
        domain=names, range=["#c2578f", "#2f86c8"]))
    at = alt.X("noise:Q", title="scale of the judge's noise, s",
               scale=alt.Scale(domain=[0, float(each.noise.max()) + step], nice=False))
    rate = alt.Y("rate:Q", title="expected accuracy", scale=alt.Scale(domain=[0.5, 1]))
    lines = alt.Chart(long).mark_line(strokeWidth=2).encode(
        x=at, y=rate, color=colour, strokeDash=alt.StrokeDash(
            "rule:N", title="accuracy", scale=alt.Scale(domain=names, range=[[1, 0], [5, 3]])))
    asked = alt.Chart(pd.DataFrame({"rate": [0.7]})).mark_rule(
        color="#858585", strokeDash=[2, 3]).encode(y=rate)
    here = alt.Chart(long).transform_filter(picked)
    rule = here.mark_rule(color="#858585").encode(x=at, y=rate, y2=alt.value(190))
    marks = here.mark_point(size=80, filled=True, opacity=1).encode(
        x=at, y=rate, color=colour, shape=alt.Shape("rule:N", title="accuracy", scale=alt.Scale(
            domain=names, range=["square", "circle"])))
    text = alt.Chart(each).transform_filter(picked).transform_calculate(
        text="'best possible ' + format(datum.ceiling, '.3f') + ', fitted ' + "
             "format(datum.accuracy, '.3f')").mark_text(
        align="right", dx=-6, fontSize=13, fontWeight="bold", color="#858585").encode(
        text="text:N", x=alt.value("width"), y=alt.value(14))
    verdict = alt.Chart(each).transform_filter(picked).transform_calculate(
        text="'0.70 is ' + (datum.ceiling < 0.7 ? 'out of reach' : "
             "format(datum.ceiling - 0.7, '.3f') + ' below the best')").mark_text(
        align="right", dx=-6, fontSize=13, fontWeight="bold", color="#858585").encode(
        text="text:N", x=alt.value("width"), y=alt.value(32))
    ends = "; ".join(f"at s = {r.noise:g} best possible {r.ceiling:.3f}, fitted {r.accuracy:.3f}, "
                     f"weights {r.weights}" for r in each.iloc[[0, len(each) // 2, -1]].itertuples())
    return alt.vconcat(
        alt.layer(curve, dots, said).properties(width=430, height=200),
        alt.layer(asked, lines, rule, marks, text, verdict).properties(width=430, height=190),
    ).add_params(noise).properties(
        title=_title("What a noisier judge does", table, source),
        description="Above, the share of pairs whose first answer is preferred, by difference of "
                    "rewards, with the logistic curve. Below, expected accuracy by noise scale, "
                    f"best possible and fitted: {ends}. A slider sets the noise scale s: the curve "
                    "flattens and both accuracies fall towards one half as it grows. A dotted line "
                    "marks an accuracy of 0.70, out of reach where the best possible is lower.")


def causal_graph(edges: list[tuple[str, str]], positions: dict[str, tuple[float, float]], *,
                 hidden: tuple[str, ...] = (), cut: tuple[tuple[str, str], ...] = (),
                 words: dict[str, str] | None = None, title: str = "A causal graph",
                 subtitle: str = "Assumptions, no data", width: int = 430,
                 height: int = 220) -> alt.LayerChart:
    """A causal graph: a circle for each variable, an arrow for each direct influence.

    Arrows are laid out in the browser, so that they meet the circles at any width. The chart
    is one of its own and does not go into a row with others.

    Parameters
    ----------
    edges : list of (str, str)
        Arrows, from and to.
    positions : dict of str to (float, float)
        Where each node stands, in any unit: x to the right, y upwards.
    hidden : tuple of str
        Nodes that are not observed: dashed circles.
    cut : tuple of (str, str)
        Edges that an intervention cuts: dashed, orange and without a head.
    words : dict of str to str, optional
        A word or two under a node, above it in the upper half.
    title, subtitle : str
    width, height : int

    Raises
    ------
    ValueError
        An edge from or to a node without a position, or a cut, hidden or named one that is
        not there.
    """
    words = dict(words or {})
    for node in [*(n for e in edges for n in e), *hidden, *words]:
        if node not in positions:
            raise ValueError(f"node {node!r} has no position (known: {', '.join(positions)})")
    for edge in cut:
        if edge not in edges:
            raise ValueError(f"cut edge {edge} is not among the edges")
    xs, ys = (np.array([p[i] for p in positions.values()], dtype=float) for i in (0, 1))
    radius = 21

    def place(x: str, y: str) -> tuple[str, str]:
        """Pixels of a position, with room for the circles at the rims."""
        return (f"{radius + 5} + (datum.{x} - {xs.min()}) * (width - {2 * radius + 10})"
                f" / {np.ptp(xs) or 1.0}",
                f"{radius + 21} + ({ys.max()} - datum.{y}) * (height - {2 * radius + 44})"
                f" / {np.ptp(ys) or 1.0}")

    nodes = pd.DataFrame([{"node": n.replace("'", "′"), "x": float(x), "y": float(y),
                           "words": words.get(n, ""), "observed": n not in hidden}
                          for n, (x, y) in positions.items()])
    arrows = pd.DataFrame([{"x": float(positions[a][0]), "y": float(positions[a][1]),
                            "x2": float(positions[b][0]), "y2": float(positions[b][1]),
                            "cut": (a, b) in cut} for a, b in edges])
    (px, py), (qx, qy) = place("x", "y"), place("x2", "y2")
    gap = radius + 2
    lines = alt.Chart(arrows).transform_calculate(px=px, py=py, qx=qx, qy=qy).transform_calculate(
        way="atan2(datum.qy - datum.py, datum.qx - datum.px)").transform_calculate(
        ax=f"datum.px + {gap} * cos(datum.way)", ay=f"datum.py + {gap} * sin(datum.way)",
        bx=f"datum.qx - {gap + 6} * cos(datum.way)", by=f"datum.qy - {gap + 6} * sin(datum.way)",
        turn="datum.way * 180 / PI + 90")
    colour = alt.condition("datum.cut", alt.value("#d1672c"), alt.value("#858585"))
    shafts = lines.mark_rule(strokeWidth=2).encode(
        x=alt.X("ax:Q", scale=None, axis=None), y=alt.Y("ay:Q", scale=None, axis=None),
        x2="bx:Q", y2="by:Q", color=colour,
        strokeDash=alt.condition("datum.cut", alt.value([3, 5]), alt.value([1, 0])))
    heads = lines.transform_filter("!datum.cut").mark_point(
        shape="triangle-up", size=90, filled=True, opacity=1, color="#858585").encode(
        x=alt.X("bx:Q", scale=None, axis=None), y=alt.Y("by:Q", scale=None, axis=None),
        angle=alt.Angle("turn:Q", scale=None))
    at = alt.Chart(nodes).transform_calculate(px=px, py=py).encode(
        x=alt.X("px:Q", scale=None, axis=None), y=alt.Y("py:Q", scale=None, axis=None))
    circles = at.mark_point(shape="circle", size=4 * radius**2, filled=False, strokeWidth=2,
                            opacity=1, stroke="#2f86c8").encode(
        strokeDash=alt.condition("datum.observed", alt.value([1, 0]), alt.value([4, 4])))
    names = at.mark_text(fontSize=17, fontStyle="italic", fontWeight="bold").encode(text="node:N")
    middle = float(ys.min() + ys.max()) / 2
    above, below = (at.transform_filter(f"datum.y {side} {middle}").mark_text(
        fontSize=12, dy=dy).encode(text="words:N")
        for side, dy in ((">", -radius - 10), ("<=", radius + 11)))
    seen = ", ".join(n for n in positions if n not in hidden)
    tell = "; ".join(f"{a} to {b}" for a, b in edges if (a, b) not in cut)
    return alt.layer(shafts, heads, circles, names, above, below).properties(
        width=width, height=height,
        title=alt.TitleParams(title, subtitle=subtitle, anchor="start"),
        description=f"A graph with the nodes {seen}"
                    + (f" and, not observed, {', '.join(hidden)}" if hidden else "")
                    + f". Arrows: {tell}."
                    + (f" Cut: {'; '.join(f'{a} to {b}' for a, b in cut)}." if cut else ""),
    ).configure_view(stroke=None)


def seeing_doing_imagining(table: pd.DataFrame, *, groups: dict[str, float],
                           source: str | None = None) -> alt.LayerChart:
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
    colours = {"seeing": "#d1672c", "doing": "#2f86c8", "imagining": "#c2578f"}
    shapes = {"seeing": "diamond", "doing": "circle", "imagining": "square"}
    steps = np.sort(table.rho.unique())
    rho = alt.param(name="who", value=0.9, bind=alt.binding_range(
        min=float(steps[0]), max=float(steps[-1]), step=round(float(steps[1] - steps[0]), 6),
        name="ρ, users ask their own type: "))
    here = alt.Chart(table).transform_filter("abs(datum.rho - who) < 0.001")
    room = alt.Scale(domain=[0.2, 0.85], nice=False)
    axis = alt.Axis(values=[0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8], format=".1f")
    x = alt.X("rate:Q", scale=room, axis=axis, title="P(the longer answer is preferred)")
    y = alt.Y("level:N", sort=names, title=None)
    colour = alt.Color("level:N", legend=None, scale=_scale(names, colours))
    coin = alt.Chart(pd.DataFrame({"rate": [0.5]})).mark_rule(
        strokeDash=[4, 4], color="#858585").encode(x=x)
    users = alt.Chart(pd.DataFrame({"words": list(groups), "rate": list(groups.values())}))
    ticks = users.mark_rule(color="#858585", strokeWidth=2).encode(x=x)
    told = users.mark_text(dy=-7, fontSize=12, baseline="bottom").encode(
        x=x, y=alt.value(0), text="words:N")
    bars = here.mark_rule(strokeWidth=2).encode(
        x=alt.X("low:Q", scale=room, axis=axis, title="P(the longer answer is preferred)"),
        x2="high:Q", y=y, color=colour)
    dots = here.mark_point(size=150, filled=True, opacity=1).encode(
        x=x, y=y, color=colour, shape=alt.Shape("level:N", legend=None,
                                                scale=_scale(names, shapes)),
        tooltip=["level", alt.Tooltip("rate:Q", format=".3f"), alt.Tooltip("low:Q", format=".3f"),
                 alt.Tooltip("high:Q", format=".3f"), "n"])
    said = here.transform_calculate(
        words="format(datum.rate, '.2f') + (datum.low > 0.5 ? ': longer wins' : "
              "datum.high < 0.5 ? ': longer loses' : ': too close to call')").mark_text(
        dy=-17, fontSize=13, fontWeight="bold").encode(x=x, y=y, text="words:N")
    cells = "; ".join(
        f"rho {r.rho:g} {r.level} {r.rate:.2f}" for r in table.itertuples()
        if min(abs(r.rho - s) for s in (0, 0.5, 0.9, 1)) < 1e-6)
    ends = " and ".join(f"{k} {v:.2f}" for k, v in groups.items())
    title = _title("Do longer answers win?", table, source)
    title.offset = 26
    return alt.layer(coin, ticks, told, bars, dots, said).add_params(rho).properties(
        width=430, height=210, title=title,
        description=f"Three dots with 95 % intervals, the rate at which the longer answer is "
                    f"preferred: {cells}. Vertical lines: a coin toss, and the rates of the two "
                    f"kinds of user, {ends}. A slider sets rho: seeing moves with it, doing and "
                    "imagining do not.")


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
    colours = {"said 1": "#2f86c8", "all units": "#858585", "said 0": "#d1672c"}
    shapes = {"said 1": "circle", "all units": "square", "said 0": "diamond"}
    dashes = {"said 1": [1, 0], "all units": [2, 3], "said 0": [8, 4]}
    old, new = np.sort(table.gap.unique()), np.sort(table.new_gap.unique())
    gap = alt.param(name="oldgap", value=1.0, bind=alt.binding_range(
        min=float(old[0]), max=float(old[-1]), step=float(old[1] - old[0]),
        name="gap g of the pair that was shown: "))
    reach = float(new[-1])
    scale = alt.Scale(domain=[-reach - 0.2, reach + 0.2], nice=False)
    x = alt.X("new_gap:Q", scale=scale, title="gap g′ of the pair that was not shown")
    y = alt.Y("share:Q", scale=alt.Scale(domain=[0, 1]), title="P(it would have said 1)")
    legend = alt.Legend(symbolSize=90, columns=3, orient="bottom")
    colour = alt.Color("units:N", title="units", legend=legend, scale=_scale(names, colours))
    lines = alt.Chart(alt.sequence(-reach, reach + 1e-9, reach / 60, as_="new_gap"),
                      ).transform_calculate(
        f="1 / (1 + exp(-oldgap))", h="1 / (1 + exp(-datum.new_gap))").transform_calculate(
        a="min(1, datum.h / datum.f)", b="datum.h",
        c="max(0, (datum.h - datum.f) / (1 - datum.f))").transform_fold(
        ["a", "b", "c"], as_=["which", "share"]).transform_calculate(
        units="datum.which == 'a' ? 'said 1' : datum.which == 'b' ? 'all units' : 'said 0'",
    ).mark_line(strokeWidth=2.5).encode(
        x=x, y=y, color=colour, strokeDash=alt.StrokeDash(
            "units:N", title="units", legend=legend, scale=alt.Scale(
                domain=names, range=[dashes[n] for n in names])))
    here = alt.Chart(table).transform_filter("abs(datum.gap - oldgap) < 0.001")
    rule = here.mark_rule(color="#858585", strokeDash=[4, 4]).encode(
        x=alt.X("gap:Q", scale=scale, title="gap g′ of the pair that was not shown"))
    dots = here.mark_point(size=70, filled=True, opacity=1).encode(
        x=x, y=y, color=colour, shape=alt.Shape("units:N", title="units", legend=legend,
                                                scale=_scale(names, shapes)),
        tooltip=["units", "new_gap", alt.Tooltip("share:Q", format=".3f"), "n"])
    told = alt.Chart(pd.DataFrame({"one": [1]})).transform_calculate(
        words="format(1 / (1 + exp(-oldgap)), '.0%') + ' of units said 1 at g = ' + "
              "replace(format(oldgap, '.0f'), '-', '−')").mark_text(
        align="left", fontSize=13, fontWeight="bold").encode(
        text="words:N", x=alt.value(0), y=alt.value(-10))
    title = _title("What they would have said", table, source)
    title.offset = 24
    cells = "; ".join(f"shown {r.gap:g}, new {r.new_gap:g}, {r.units} {r.share:.2f}"
                      for r in table[(table.new_gap == 0) & table.gap.isin(
                          [old[0], 1, old[-1]])].itertuples())
    return alt.layer(rule, lines, dots, told).add_params(gap).properties(
        width=430, height=260, title=title,
        description="Three curves with dots over the gap of a pair not shown: the probability to "
                    "say 1 for units that said 1, for those that said 0, and for all. Units that "
                    "said 1 would say 1 for certain at any larger gap, those that said 0 would say "
                    "0 for certain at any smaller one; the curve of all units lies between and "
                    f"does not move with the slider, which sets the gap shown. At gap 0: {cells}.")
