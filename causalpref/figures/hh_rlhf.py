"""The figures of the HH-RLHF chapters."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import pandas as pd

from causalpref.figures import _layers as lay
from causalpref.figures import _style as look
from causalpref.studies import summarise

__all__ = [
    "accuracy_beside_the_paper",
    "accuracy_by_pairs",
    "accuracy_by_rho",
    "cell_differences",
    "lambda_dial",
    "length_by_objective",
    "readable_by_rho",
    "who_asked",
]

_MODELS = ["base", "multihead", "adversarial"]
_SPLITS = ["inconsistent", "consistent"]
_TARGETS = {"type": "the type of the prompt", "objective": "the objective"}
_BY_MODEL = look.signs(
    "model",
    _MODELS,
    [look.COLOURS[m] for m in _MODELS],
    [look.SHAPES[m] for m in _MODELS],
    title="model",
)
_KINDS = ["helpful", "harmless"]
_BY_OBJECTIVE = look.signs(
    "objective",
    _KINDS,
    [look.COLOURS[n] for n in _KINDS],
    [look.SHAPES[n] for n in _KINDS],
    title="judged for being",
)
_LONGER, _LONGER_TITLE = alt.Scale(domain=[0.35, 0.75]), "P(the longer response is preferred)"
_LONGER_COIN = lay.guide("x", 0.5, x=alt.X("x:Q", scale=_LONGER, title=_LONGER_TITLE))


def length_by_objective(table: pd.DataFrame, *, source: str | None = None) -> alt.LayerChart:
    """P(the longer response is preferred) by prompt type and objective, with 95 % intervals.

    Parameters
    ----------
    table : pandas.DataFrame
        Of :func:`causalpref.studies.length_rates`.
    source : str, optional
        What the data are. Default: the column ``source``.
    """
    cells = "; ".join(
        f"{r.prompts} prompts judged for being {r.objective} {r.rate:.2f} "
        f"({r.low:.2f} to {r.high:.2f})"
        for r in table.itertuples()
    )
    picked = alt.selection_point(fields=["objective"], bind="legend")
    base = alt.Chart(table).encode(
        y=alt.Y("prompts:N", title="type of prompt", sort=_KINDS),
        yOffset=alt.YOffset("objective:N", sort=_KINDS),
        color=_BY_OBJECTIVE.colour,
        opacity=alt.condition(picked, alt.value(1), alt.value(0.15)),
        tooltip=["prompts", "objective", *lay.numbers(".3f", "rate", "low", "high"), "pairs"],
    )
    x = alt.X("rate:Q", scale=_LONGER, title=_LONGER_TITLE)
    return lay.drawn(
        [
            _LONGER_COIN,
            lay.interval(base, alt.X("low:Q", scale=_LONGER), width=2),
            lay.marked(base, 110, x=x, shape=_BY_OBJECTIVE.shape),
        ],
        dials=[picked],
        title=look.headline("How often the longer response is preferred", table, source),
        height=170,
        description=f"Dots with 95 % intervals, probability that the longer response is "
        f"preferred: {cells}. The dashed line is a coin toss.",
    )


def accuracy_by_rho(table: pd.DataFrame, *, source: str | None = None) -> alt.LayerChart:
    """Test accuracy of the three reward models over rho (figure 6), with standard errors.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns ``rho``, ``model``, ``split``, ``mean``, ``se``, ``source``, accuracies
        in [0, 1]; see :func:`causalpref.studies.summarise`.
    source : str, optional
        What the data are. Default: the column ``source``.
    """
    t = table.assign(
        percent=100 * table["mean"],
        low=100 * (table["mean"] - table["se"]),
        high=100 * (table["mean"] + table["se"]),
    )
    ends = t[t.rho.isin([t.rho.min(), t.rho.max()])]
    cells = "; ".join(
        f"{r.model} on {r.split} pairs at rho {r.rho:g} {r.percent:.1f} %"
        for r in ends.itertuples()
    )
    shown = lay.radio("pairs", "pairs shown: ", "both", ["both", "consistent", "inconsistent"])
    picked = alt.selection_point(fields=["model"], bind="legend")
    base = (
        alt.Chart(t)
        .transform_filter("pairs == 'both' || pairs == datum.split")
        .encode(
            x=alt.X(
                "rho:Q",
                title="ρ = P(type(X) = C) in training",
                scale=alt.Scale(domain=[t.rho.min() - 0.02, t.rho.max() + 0.02]),
            ),
            color=_BY_MODEL.colour,
            opacity=lay.fading(picked),
            tooltip=["model", "split", "rho", *lay.PERCENT_TIPS],
        )
    )
    free = alt.Scale(zero=False)
    y = alt.Y("percent:Q", title="test accuracy, %", scale=free)
    dash = alt.StrokeDash(
        "split:N",
        title="test pairs",
        legend=alt.Legend(symbolSize=600, symbolStrokeWidth=2),
        scale=alt.Scale(domain=["consistent", "inconsistent"], range=[[1, 0], [6, 4]]),
    )
    return lay.drawn(
        lay.line_and_dots(base, y, alt.Y("low:Q", scale=free), _BY_MODEL.shape, dash),
        dials=[shown, picked],
        title=look.headline("Accuracy on held-out pairs", table, source),
        height=280,
        description=f"Lines, test accuracy with standard errors over seeds: {cells}.",
    )


def who_asked(table: pd.DataFrame, *, source: str | None = None) -> alt.LayerChart:
    """What an analyst who ignores C would say of length, as rho moves from 0.5 to 1.

    With equally many pairs for each objective, a share rho of the pairs on either type of
    prompt is judged under the objective that matches the type, so the pooled rate is
    rho times the matching rate plus 1 - rho times the other.

    Parameters
    ----------
    table : pandas.DataFrame
        Of :func:`causalpref.studies.length_rates`.
    source : str, optional
        What the data are. Default: the column ``source``.
    """
    rate = table.set_index(["prompts", "objective"]).rate
    wide = pd.DataFrame(
        [
            {"prompts": p, "matching": rate[p, p], "other": rate[p, _KINDS[1 - _KINDS.index(p)]]}
            for p in _KINDS
        ]
    )
    rho = lay.slider("rho", "ρ, how often people ask what they judge for: ", 1.0, 0.5, 1.0, 0.01)
    y = alt.Y("prompts:N", title="type of prompt", sort=_KINDS)
    truth = (
        alt.Chart(table)
        .mark_tick(thickness=3, size=40, opacity=1)
        .encode(
            x=alt.X("rate:Q", scale=_LONGER),
            y=y,
            color=_BY_OBJECTIVE.colour,
            tooltip=["prompts", "objective", alt.Tooltip("rate:Q", format=".3f")],
        )
    )
    pooled = (
        alt.Chart(wide)
        .transform_calculate(
            pooled="rho * datum.matching + (1 - rho) * datum.other",
            label="format(datum.pooled, '.2f')",
        )
        .encode(y=y, x=alt.X("pooled:Q", scale=_LONGER, title=_LONGER_TITLE))
    )
    return lay.drawn(
        [
            _LONGER_COIN,
            truth,
            pooled.mark_point(size=300, strokeWidth=3, opacity=1, color=look.GREY),
            pooled.mark_text(dy=-28, fontSize=13, fontWeight="bold").encode(text="label:N"),
        ],
        dials=[rho],
        title=look.headline("What you would conclude if you did not know who asked", table, source),
        height=190,
        description="Two rows, helpful and harmless prompts. Ticks: probability that the "
        "longer response is preferred when judged for helpfulness "
        f"({rate['helpful', 'helpful']:.2f} and {rate['harmless', 'helpful']:.2f}) "
        "and for harmlessness "
        f"({rate['helpful', 'harmless']:.2f} and {rate['harmless', 'harmless']:.2f}). "
        "A slider for rho moves the pooled rate from the tick of the matching "
        "objective at rho 1 to halfway between the two ticks at rho 0.5.",
    )


def accuracy_beside_the_paper(
    table: pd.DataFrame, *, source: str | None = None, dials: str = "six"
) -> alt.LayerChart:
    """Figure 6: accuracy of the three models over rho, ours and the paper's, or any two tables.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns ``rho``, ``model``, ``split``, ``mean``, ``se`` (accuracies in [0, 1]), ``whose``
        (two names, ours first) and ``source``.
    source : str, optional
        What our data are. Default: the column ``source``.
    dials : str
        Begins the names of the dials, to tell apart those of several charts on one page.
    """
    names = list(dict.fromkeys(table["whose"]))
    t = lay.in_percent(table)
    cells = "; ".join(
        f"{r.whose}, {r.model} on {r.split} pairs at rho {r.rho:g}: {r.percent:.1f} %"
        for r in t[t.rho.isin([t.rho.min(), t.rho.max()])].itertuples()
    )
    said = {
        name: " / ".join(dict.fromkeys(table.loc[table["whose"] == name, "source"]))
        for name in names
    }
    if source:
        said[names[0]] = source
    whose = lay.radio(f"{dials}whose", "accuracies of: ", "both", ["both", *names])
    pairs = lay.radio(f"{dials}pairs", "test pairs: ", "inconsistent", ["both", *_SPLITS])
    picked = alt.selection_point(fields=["model"], bind="legend")
    base = (
        alt.Chart(t)
        .transform_filter(
            f"({dials}whose == 'both' || {dials}whose == datum.whose) && "
            f"({dials}pairs == 'both' || {dials}pairs == datum.split)"
        )
        .encode(
            x=_rho_axis(t),
            detail="split:N",
            color=_BY_MODEL.colour,
            opacity=lay.fading(picked),
            tooltip=["whose", "model", "split", "rho", *lay.PERCENT_TIPS],
        )
    )
    dash = alt.StrokeDash(
        "whose:N", title="whose", scale=alt.Scale(domain=names, range=[[1, 0], [6, 4]])
    )
    return lay.drawn(
        lay.accuracies(base, dash, _BY_MODEL.shape),
        dials=[whose, pairs, picked],
        title=alt.TitleParams(
            "Test accuracy against confounding",
            anchor="start",
            subtitle=[f"{name}: {what}" for name, what in said.items()],
        ),
        height=300,
        description=f"Lines, test accuracy with standard errors over seeds: {cells}. Radio "
        "buttons pick whose accuracies and which test pairs.",
    )


def _rho_axis(t: pd.DataFrame) -> alt.X:
    return alt.X(
        "rho:Q",
        title="ρ = P(type(X) = C) in training",
        axis=alt.Axis(values=sorted(t.rho.unique()), format=".1f"),
        scale=look.between(t.rho.min() - 0.02, t.rho.max() + 0.02),
    )


def cell_differences(table: pd.DataFrame, *, source: str | None = None) -> alt.HConcatChart:
    """Ours minus the paper's, one mark a cell, with a band of three points.

    Parameters
    ----------
    table : pandas.DataFrame
        Of :func:`causalpref.studies.hh_rlhf.beside_the_paper`, ``rho``, ``model``, ``split``,
        ``mean``, ``paper``, ``difference`` in [0, 1], ``source``, and ``table``: which table of
        the paper, in words.
    source : str, optional
        What the data are. Default: the column ``source``.
    """
    tables = list(dict.fromkeys(table["table"]))
    t = table.assign(
        points=100 * table["difference"], ours=100 * table["mean"], theirs=100 * table["paper"]
    ).round(2)
    t = t[["rho", "model", "split", "table", "points", "ours", "theirs"]]
    dial = lay.radio("celltable", "table: ", tables[0], tables)
    reach = max(4.0, float(t.points.abs().max()) + 1)
    scale, title = look.between(-reach, reach), "ours − the paper's, points"
    x = alt.X("points:Q", title=title, scale=scale)
    panels = []
    for split in _SPLITS:
        shown = alt.Chart(t[t.split == split]).transform_filter("datum.table == celltable")
        y = alt.Y("rho:O", title="ρ" if split == _SPLITS[0] else None, axis=alt.Axis(format=".1f"))
        band = (
            alt.Chart(pd.DataFrame({"a": [-3], "b": [3]}))
            .mark_rect(opacity=0.15, color=look.GREY)
            .encode(x=alt.X("a:Q", title=title, scale=scale), x2="b:Q")
        )
        zero = lay.guide("a", 0, x=alt.X("a:Q", title=title, scale=scale), dash=None)
        dots = lay.marked(
            shown,
            75,
            x=x,
            y=y,
            yOffset=alt.YOffset("model:N", sort=_MODELS),
            color=_BY_MODEL.colour,
            shape=_BY_MODEL.shape,
            tooltip=[
                "model",
                "rho",
                alt.Tooltip("ours:Q", format=".1f"),
                alt.Tooltip("theirs:Q", format=".1f", title="the paper's"),
                alt.Tooltip("points:Q", format="+.1f", title="difference"),
            ],
        )
        panels.append(
            look.layered(band, zero, dots).properties(
                width=190,
                height=260,
                title=alt.TitleParams(f"{split} pairs", fontSize=12, fontWeight="normal"),
            )
        )
    worst = t.loc[
        t.groupby(["table", "split"], sort=False).points.apply(lambda d: d.abs().idxmax())
    ]
    said = "; ".join(
        f"{r.table}, {r.split} pairs: largest {r.points:+.1f} points ({r.model}, rho {r.rho:g})"
        for r in worst.itertuples()
    )
    return (
        alt.hconcat(*panels, spacing=12)
        .add_params(dial)
        .properties(
            title=look.headline("Cell by cell, ours minus the paper's", table, source),
            description=f"Dots, difference of accuracies in points, by rho and model: {said}. A "
            "grey band marks three points on either side of zero. Radio buttons pick the table.",
        )
    )


def readable_by_rho(table: pd.DataFrame, *, source: str | None = None) -> alt.LayerChart:
    """How well type(X) or C can be read from what each model has learned, over rho.

    Parameters
    ----------
    table : pandas.DataFrame
        Of :func:`causalpref.studies.remedies.probes`.
    source : str, optional
        What the data are. Default: the column ``source``.
    """
    models = look.signs(
        "model",
        ["embedding", *_MODELS],
        ["#4f9d69", *(look.COLOURS[m] for m in _MODELS)],
        ["cross", *(look.SHAPES[m] for m in _MODELS)],
        title="read from",
    )
    by = ["target", "model", "rho"]
    t = summarise(table, by).merge(table.groupby(by)["best"].mean().reset_index())
    se = t["se"].fillna(0)
    t = (
        t.assign(target=t.target.map(_TARGETS), low=t["mean"] - se, high=t["mean"] + se)
        .drop(columns=["se", "seeds"])
        .round(4)
    )
    dial = lay.radio("readtarget", "to be read: ", _TARGETS["type"], list(_TARGETS.values()))
    picked = alt.selection_point(fields=["model"], bind="legend")
    shown = alt.Chart(t).transform_filter("datum.target == readtarget")
    scale = look.between(min(0.45, float(t.low.min())), 1.0)
    y, low, top = (
        alt.Y(f"{c}:Q", title="accuracy of a linear probe", scale=scale)
        for c in ("mean", "low", "best")
    )
    base = shown.encode(
        x=_rho_axis(t),
        color=models.colour,
        opacity=lay.fading(picked),
        tooltip=[
            "model",
            "target",
            "rho",
            alt.Tooltip("mean:Q", format=".3f", title="accuracy"),
            *lay.numbers(".3f", "low", "high"),
        ],
    )
    best = (
        shown.transform_filter("datum.model == 'embedding'")
        .mark_line(strokeDash=[2, 3], color=look.GREY)
        .encode(x=_rho_axis(t), y=top)
    )
    cells = "; ".join(
        f"{r.target} from {r.model} at rho {r.rho:g} {r.mean:.2f}"
        for r in t[t.rho.isin([t.rho.min(), t.rho.max()])].itertuples()
    )
    return lay.drawn(
        [best, *lay.line_and_dots(base, y, low, models.shape)],
        dials=[dial, picked],
        title=look.headline("What can be read from the representations", table, source),
        height=280,
        description="Lines, accuracy of a linear probe with standard errors over seeds: "
        f"{cells}. The dotted line is what knowing the type would give. Radio buttons pick "
        "what is to be read.",
    )


def lambda_dial(
    runs: pd.DataFrame, read: pd.DataFrame, *, source: str | None = None
) -> alt.VConcatChart:
    """Accuracy, and what a probe reads of type and objective, over the adversary's weight.

    Parameters
    ----------
    runs, read : pandas.DataFrame
        Of :func:`causalpref.studies.remedies.lambda_sweep`.
    source : str, optional
        What the data are. Default: the column ``source`` of ``runs``.
    """
    rhos = [float(r) for r in sorted(runs["rho"].unique())]
    parts = [
        runs.assign(what=runs["split"], value=runs["accuracy"]),
        read.assign(what=read["target"].map(_TARGETS), value=read["accuracy"]),
    ]
    t = pd.concat([p[["rho", "lambda_", "seed", "what", "value"]] for p in parts]).round(4)
    dial = lay.radio(
        "lambdarho", "ρ: ", rhos[len(rhos) // 2], rhos, labels=[f"{r:g}" for r in rhos]
    )
    x = alt.X(
        "lambda_:O", title="λ, weight of the adversary", axis=alt.Axis(labelAngle=0, format="~g")
    )
    top = _seeds_and_means(t, _SPLITS, "test accuracy", "test pairs", x, 190)
    bottom = _seeds_and_means(t, list(_TARGETS.values()), "accuracy of a probe", "read", x, 150)
    mean = t.groupby(["rho", "what", "lambda_"], sort=False).value.mean()
    ends = (t.lambda_.min(), t.lambda_.max())
    cells = "; ".join(
        f"rho {r:g}: "
        + ", ".join(
            f"{w} {mean[r, w, ends[0]]:.2f} at lambda {ends[0]:g} and {mean[r, w, ends[1]]:.2f} at "
            f"{ends[1]:g}"
            for w in [*_SPLITS, *_TARGETS.values()]
        )
        for r in rhos
    )
    return lay.stacked(
        top,
        bottom,
        spacing=20,
        apart=["color", "shape"],
        dials=[dial],
        title=look.headline("What the weight of the adversary does", runs, source),
        description="Above, test accuracy over lambda; below, accuracy with which a linear "
        "probe reads the type of the prompt and the objective from the representation. "
        f"Small points are seeds, lines their means: {cells}. Radio buttons pick rho.",
    )


def _seeds_and_means(
    t: pd.DataFrame, names: Sequence[str], title: str, legend: str, x: alt.X, height: int
) -> alt.LayerChart:
    here = t[t.what.isin(names)]
    room = look.between(float(here.value.min()) - 0.01, float(here.value.max()) + 0.01)
    key = alt.Legend(orient="bottom", direction="horizontal", symbolOpacity=1)
    ways = look.signs(
        "what", names, [look.ORANGE, look.BLUE], ["diamond", "circle"], title=legend, legend=key
    )
    rows = alt.Chart(here).transform_filter("datum.rho == lambdarho").encode(x=x, color=ways.colour)
    mean = rows.transform_aggregate(value="mean(value)", groupby=["lambda_", "what"])
    y = alt.Y("value:Q", title=title, scale=room)
    seeds = rows.mark_point(size=28, filled=False, strokeWidth=1.2, opacity=1).encode(
        y=y,
        shape=ways.shape,
        tooltip=["rho", "lambda_", "what", "seed", alt.Tooltip("value:Q", format=".3f")],
    )
    tips = ["lambda_", "what", alt.Tooltip("value:Q", format=".3f", title="mean")]
    line = mean.mark_line(strokeWidth=2.5).encode(y=y)
    means = lay.marked(mean, 110, y=y, shape=ways.shape, tooltip=tips)
    return look.layered(seeds, line, means).properties(width=lay.WIDTH, height=height)


def accuracy_by_pairs(table: pd.DataFrame, *, source: str | None = None) -> alt.LayerChart:
    """Accuracy over the number of training pairs, all of them or those of the tested kind.

    Parameters
    ----------
    table : pandas.DataFrame
        Of :func:`causalpref.studies.remedies.by_size`.
    source : str, optional
        What the data are. Default: the column ``source``.
    """
    rhos = [float(r) for r in sorted(table["rho"].unique())]
    t = lay.in_percent(summarise(table, ["rho", "model", "split", "size"]).drop(columns="seeds"))
    share = t.rho.where(t.split == "consistent", 1 - t.rho)
    t = t.assign(same=(t["size"] * share).round(), rho=t.rho.map("{:g}".format))
    counts = ["all training pairs", "training pairs of the tested kind"]
    dials = [
        lay.radio("pairsmodel", "model: ", "multihead", _MODELS),
        lay.radio("pairscount", "count: ", counts[0], counts),
    ]
    names = [f"{r:g}" for r in rhos]
    marks = look.signs(
        "rho",
        names,
        [look.BLUE, look.ORANGE, look.PINK, "#4f9d69"],
        ["circle", "diamond", "square", "triangle-up"],
        title="ρ",
    )
    domain = [0.9 * float(t.same.min()), 1.1 * float(t["size"].max())]
    ticks = [v for e in range(8) for v in (10**e, 3 * 10**e) if domain[0] <= v <= domain[1]]
    base = (
        alt.Chart(t)
        .transform_filter("datum.model == pairsmodel")
        .transform_calculate(n=f"pairscount == '{counts[0]}' ? datum.size : datum.same")
        .encode(
            x=alt.X(
                "n:Q",
                title="pairs (logarithmic)",
                axis=alt.Axis(values=ticks, format=","),
                scale=alt.Scale(type="log", domain=domain, nice=False),
            ),
            color=marks.colour,
            detail="split:N",
            tooltip=[
                "model",
                "rho",
                "split",
                alt.Tooltip("size:Q", format=",", title="pairs"),
                alt.Tooltip("same:Q", format=",", title="of the kind"),
                *lay.PERCENT_TIPS,
            ],
        )
    )
    dash = alt.StrokeDash(
        "split:N", title="test pairs", scale=alt.Scale(domain=_SPLITS[::-1], range=[[1, 0], [6, 4]])
    )
    last = t[t["size"] == t["size"].max()]
    cells = "; ".join(
        f"{r.model}, rho {r.rho}, {r.split} {r.percent:.1f} %" for r in last.itertuples()
    )
    return lay.drawn(
        lay.accuracies(base, dash, marks.shape, opacity=1),
        dials=dials,
        title=look.headline("Accuracy against the number of pairs", table, source),
        height=280,
        description="Lines, test accuracy with standard errors over seeds against the number "
        f"of training pairs. With {t['size'].max():,} pairs: {cells}. Radio buttons pick "
        "the model, and whether all training pairs are counted or those of the tested "
        "kind.",
    )
