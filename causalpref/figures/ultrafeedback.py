"""The UltraFeedback case study (table 1) and its counterpart on real ratings."""

from __future__ import annotations

import textwrap

import altair as alt
import numpy as np
import pandas as pd

from causalpref.figures import _layers as lay
from causalpref.figures import _style as look

__all__ = [
    "accuracy_by_correlation",
    "aspect_accuracy",
    "dialled_pairs",
    "foretold_falls",
    "labels_and_noise",
]

_SPLITS = ["ID", "OOD"]
_BY_SPLIT = look.signs(
    "split", _SPLITS, [look.BLUE, look.ORANGE], ["circle", "diamond"], title="test pairs"
)


def accuracy_by_correlation(scores: pd.DataFrame, *, source: str | None = None) -> alt.LayerChart:
    """Accuracy on pairs drawn alike (ID) and on opposed ones (OOD), the paper's beside ours.

    Parameters
    ----------
    scores : pandas.DataFrame
        Columns ``rho``, ``split`` ("ID" or "OOD"), ``mean``, ``se``, ``source``, accuracies in
        [0, 1]; see :func:`causalpref.studies.ultrafeedback.correlated_latents`.
    source : str, optional
        What the data of ``scores`` are. Default: the column ``source``.
    """
    from causalpref.studies.ultrafeedback import PAPER_TABLE_1

    names = ["ours", "the paper's"]
    kept = ["rho", "split", "mean", "se"]
    t = pd.concat(
        [scores[kept].assign(whose=names[0]), PAPER_TABLE_1[kept].assign(whose=names[1])],
        ignore_index=True,
    )
    t = lay.in_percent(t)
    shown = lay.radio("whose", "accuracies shown: ", "both", ["both", *names])
    base = (
        alt.Chart(t)
        .transform_filter("whose == 'both' || whose == datum.whose")
        .encode(
            x=_rho_axis(t.rho, look.between(t.rho.min() - 0.04, t.rho.max() + 0.04)),
            color=_BY_SPLIT.colour,
            tooltip=["whose", "split", "rho", *lay.PERCENT_TIPS],
        )
    )
    dash = alt.StrokeDash(
        "whose:N", title="whose", scale=alt.Scale(domain=names, range=[[1, 0], [6, 4]])
    )
    cells = "; ".join(
        f"{r.whose}, {r.split}, rho {r.rho:g}: {r.percent:.1f} %" for r in t.itertuples()
    )
    said = source or " / ".join(dict.fromkeys(scores["source"]))
    return lay.drawn(
        lay.accuracies(base, dash, _BY_SPLIT.shape, size=70, opacity=1),
        dials=[shown],
        title=alt.TitleParams(
            "Accuracy when two latents are correlated in training",
            anchor="start",
            subtitle=[
                *textwrap.wrap(f"Ours: {said}", 76),
                "The paper's: table 1, UltraFeedback, Llama-3-8B",
            ],
        ),
        height=280,
        description=f"Lines, test accuracy with standard errors over seeds: {cells}.",
    )


def _rho_axis(rhos: pd.Series, scale: alt.Scale) -> alt.X:
    axis = alt.Axis(values=sorted(rhos.unique()), format=".2~f")
    return alt.X("rho:Q", title="ρ in training, correlation of δ₁ and δ₂", scale=scale, axis=axis)


def dialled_pairs(
    cells: pd.DataFrame, scores: pd.DataFrame, *, source: str | None = None
) -> alt.LayerChart:
    """Which pairs a dial at rho draws, for three ways of drawing them.

    Parameters
    ----------
    cells : pandas.DataFrame
        One row for each ``tilt``, ``rho`` and cell ``d1``, ``d2`` of the latent differences:
        ``share`` of the pairs drawn, in [0, 1], and ``kind`` ("the latents disagree", "tie" or
        "rest").
    scores : pandas.DataFrame
        One row for each ``tilt`` and ``rho``: ``ties``, ``ID`` and ``OOD`` (accuracies), all in
        [0, 1], and ``source``.
    source : str, optional
        What the data are. Default: the column ``source`` of ``scores``.
    """
    kinds = ["rest", "the latents disagree", "tie"]
    tilts, rhos = list(dict.fromkeys(scores.tilt)), np.sort(scores.rho.unique())
    dials = [
        lay.radio("tilt", "tilt: ", tilts[0], tilts),
        lay.slider_over("dialrho", "ρ: ", float(rhos[0]), rhos),
    ]
    # the words stand on a row of their own with every cell: one table, one filter
    kept = cells[["tilt", "rho", "d1", "d2", "share", "kind"]].round({"share": 4})
    picked = "datum.tilt == tilt && abs(datum.rho - dialrho) < 0.001"
    here = alt.Chart(kept[kept.share > 0]).transform_filter(picked)
    reach = float(np.abs(cells[["d1", "d2"]]).to_numpy().max()) + 0.6
    room = look.between(-reach, reach)
    legend = alt.Legend(orient="bottom", symbolSize=90, title=None)
    by_kind = look.signs(
        "kind",
        kinds,
        [look.GREY, look.ORANGE, look.BLUE],
        ["circle", "diamond", "square"],
        legend=legend,
    )
    area = alt.Scale(domain=[0, float(kept.share.max())], range=[0, 1100])
    dots = here.mark_point(filled=True, opacity=1).encode(
        x=alt.X("d1:Q", scale=room, title="δ₁", axis=alt.Axis(grid=False)),
        y=alt.Y("d2:Q", scale=room, title="δ₂", axis=alt.Axis(grid=False)),
        size=alt.Size("share:Q", legend=None, scale=area),
        color=by_kind.colour,
        shape=by_kind.shape,
        tooltip=["d1", "d2", alt.Tooltip("share:Q", format=".1%", title="share of pairs"), "kind"],
    )
    told = lay.sentence(
        alt.Chart(scores[["tilt", "rho", "ties", "ID", "OOD"]].round(4)).transform_filter(picked),
        "'ρ = ' + format(datum.rho, '.1f') + ': ' + format(datum.ties, '.0%') + "
        "' ties,;accuracy ' + format(datum.ID, '.1%') + ' ID, ' + "
        "format(datum.OOD, '.1%') + ' OOD'",
        -29,
        lineBreak=";",
    )
    said = "; ".join(
        f"tilt {r.tilt}, rho {r.rho:g}: {r.ties:.0%} ties, {r.ID:.1%} ID, {r.OOD:.1%} OOD"
        for r in scores.itertuples()
        if r.rho in (rhos[0], rhos[-1])
    )
    return lay.drawn(
        [dots, told],
        dials=dials,
        title=look.headline("Which pairs the dial draws", scores, source, offset=30),
        height=330,
        description="Dots on the grid of the differences of two ratings, larger where more "
        "pairs are drawn; diamonds where the latents disagree, squares where the rewards "
        f"tie. {said}. A slider sets rho, buttons the way of drawing.",
    )


def labels_and_noise(table: pd.DataFrame, *, source: str | None = None) -> alt.LayerChart:
    """Accuracy on opposed pairs by number of labels, with exact and with noisy readings.

    Parameters
    ----------
    table : pandas.DataFrame
        One row for each ``rho``, ``reading`` ("exact" or "noisy") and ``n``: ``accuracy``,
        ``limit`` (with infinitely many labels), in [0, 1], and ``source``.
    source : str, optional
        What the data are. Default: the column ``source``.
    """
    by = look.signs(
        "reading",
        ["exact", "noisy"],
        [look.BLUE, look.ORANGE],
        ["circle", "diamond"],
        title="readings",
    )
    rhos = np.sort(table.rho.unique())
    dial = lay.slider_over("noiserho", "ρ in training: ", float(rhos[-1]), rhos)
    kept = table[["rho", "reading", "n", "accuracy", "limit"]].round(4)
    here = alt.Chart(kept).transform_filter("abs(datum.rho - noiserho) < 0.001")
    x = alt.X(
        "n:Q",
        title="training pairs",
        scale=alt.Scale(type="log", nice=False),
        axis=alt.Axis(values=sorted(kept.n.unique()), format="~s"),
    )
    title, room = "accuracy on opposed pairs", look.between(0.45, 1.02)
    y = alt.Y("accuracy:Q", title=title, axis=alt.Axis(format="%"), scale=room)
    base = here.encode(x=x, color=by.colour)
    limits = base.mark_line(strokeDash=[6, 4], strokeWidth=1.5).encode(
        y=alt.Y("limit:Q", scale=room, title=title)
    )
    lines = base.mark_line(strokeWidth=2.5).encode(y=y)
    tips = ["reading", "n", *lay.numbers(".1%", "accuracy", "limit")]
    dots = lay.marked(base, 80, y=y, shape=by.shape, tooltip=tips)
    last = (
        here.transform_filter(f"datum.n == {int(kept.n.max())}")
        .mark_text(dy=-15, dx=-12, fontSize=13, fontWeight="bold")
        .encode(x=x, y=y, text=alt.Text("accuracy:Q", format=".1%"))
    )
    ends = kept[kept.n == kept.n.max()]
    said = "; ".join(
        f"{r.reading} readings, rho {r.rho:g}: {r.accuracy:.1%}, limit {r.limit:.1%}"
        for r in ends.itertuples()
    )
    return lay.drawn(
        [limits, lines, dots, last],
        dials=[dial],
        title=look.headline("Do more labels help?", table, source),
        height=260,
        description="Lines, accuracy on opposed pairs by number of training pairs; dashed, the "
        f"limit. With {int(kept.n.max()):,} pairs: {said}. A slider sets rho.",
    )


def aspect_accuracy(table: pd.DataFrame, *, source: str | None = None) -> alt.LayerChart:
    """ID and OOD accuracy over rho for a pair of rated aspects, chosen by two menus.

    Parameters
    ----------
    table : pandas.DataFrame
        One row for each ``z1``, ``z2``, ``rho`` and ``split`` ("ID" or "OOD"): ``mean``, ``low``
        and ``high`` over splits of the prompts, ``expected``, all in [0, 1]; ``source``.
    source : str, optional
        What the data are. Default: the column ``source``.
    """
    names = list(dict.fromkeys([*table.z1, *table.z2]))
    first = table.iloc[0]
    menus = [
        lay.menu("aspect1", "z₁, weight 1/4: ", first.z1, names),
        lay.menu("aspect2", "z₂, weight 3/4: ", first.z2, names),
    ]
    kept = table[["z1", "z2", "rho", "split", "mean", "low", "high", "expected"]].round(3)
    here = alt.Chart(kept).transform_filter("datum.z1 == aspect1 && datum.z2 == aspect2")
    room = look.between(0.35, 0.85)
    x = _rho_axis(table.rho, look.between(-0.06, 0.96))
    y, low, expected = (
        alt.Y(f"{c}:Q", scale=room, axis=alt.Axis(format="%"), title="test accuracy")
        for c in ("mean", "low", "expected")
    )
    base = here.encode(x=x, color=_BY_SPLIT.colour)
    bars, lines = lay.interval(base, low, width=2), base.mark_line(strokeWidth=2.5).encode(y=y)
    foretold = (
        here.transform_filter("datum.split == 'OOD'")
        .mark_line(strokeWidth=2, strokeDash=[6, 4], color=look.GREY)
        .encode(x=x, y=expected)
    )
    tips = ["z1", "z2", "split", "rho", *lay.numbers(".1%", "mean", "low", "high", "expected")]
    dots = lay.marked(base, 80, y=y, shape=_BY_SPLIT.shape, tooltip=tips)
    same = (
        alt.Chart(pd.DataFrame({"words": ["choose two different aspects"]}))
        .transform_filter("aspect1 == aspect2")
        .mark_text(fontSize=14, fontWeight="bold")
        .encode(text="words:N", x=alt.value(alt.expr("width / 2")), y=alt.value(60))
    )
    wide = table[table.split == "OOD"].pivot_table(index=["z1", "z2"], columns="rho", values="mean")
    low, high = wide.columns.min(), wide.columns.max()
    ends = [
        f"{a} and {b}: {r[low]:.0%} at rho {low:g}, {r[high]:.0%} at rho {high:g}"
        for (a, b), r in wide.loc[(wide[high] - wide[low]).sort_values().index[[0, -1]]].iterrows()
    ]
    return lay.drawn(
        [lay.guide("mean", 0.5, y=y, dash=look.DOTTED), foretold, bars, lines, dots, same],
        dials=menus,
        title=look.headline("The same question, any two aspects", table, source),
        height=280,
        description=f"Lines, accuracy on pairs drawn alike and on opposed ones over rho, for "
        f"{len(wide)} ordered pairs of aspects chosen by menus. Opposed pairs, largest "
        f"fall and least: {'; '.join(ends)}.",
    )


def foretold_falls(table: pd.DataFrame, *, source: str | None = None) -> alt.LayerChart:
    """Fall of accuracy on opposed pairs, measured against what noisy readings foretell.

    Parameters
    ----------
    table : pandas.DataFrame
        One row for each ``z1`` and ``z2``: ``fall``, ``low``, ``high`` and ``expected``, in
        percentage points; ``source``.
    source : str, optional
        What the data are. Default: the column ``source``.
    """
    names = list(dict.fromkeys(table.z2))
    picked = lay.menu("fallaspect", "z₂, the aspect that weighs 3/4: ", "any", ["any", *names])
    t = table[["z1", "z2", "fall", "low", "high", "expected"]].round(2)
    ends = [
        float(t[["low", "expected"]].min().min()) - 0.5,
        float(t[["high", "expected"]].max().max()) + 0.5,
    ]
    room = alt.Scale(domain=ends, nice=False)
    x = alt.X("expected:Q", scale=room, title="foretold fall, points")
    y, low = (alt.Y(f"{c}:Q", scale=room, title="measured fall, points") for c in ("fall", "low"))
    line = (
        alt.Chart(pd.DataFrame({"expected": ends, "fall": ends}))
        .mark_line(strokeDash=[4, 4], color=look.GREY)
        .encode(x=x, y=y)
    )
    base = (
        alt.Chart(t)
        .transform_calculate(shown="fallaspect == 'any' || fallaspect == datum.z2 ? 1 : 0")
        .encode(x=x, opacity=alt.condition("datum.shown == 1", alt.value(1), alt.value(0.12)))
    )
    by = look.signs(
        "z2",
        names,
        [look.BLUE, look.ORANGE, look.PINK, look.GREY, "#3a9a6a", "#9a7d20"],
        ["circle", "diamond", "square", "triangle-up", "triangle-down", "cross"],
        title="z₂",
        sort=names,
    )
    bars = lay.interval(base, low, width=1, color=by.colour)
    tips = ["z1", "z2", "fall", "low", "high", "expected"]
    dots = base.mark_point(size=75, filled=True).encode(
        y=y, color=by.colour, shape=by.shape, tooltip=tips
    )
    r = float(np.corrcoef(t.expected, t.fall)[0, 1])
    return lay.drawn(
        [line, bars, dots],
        dials=[picked],
        title=look.headline("Which pairs of aspects lose accuracy", table, source),
        height=300,
        description=f"{len(t)} dots, one an ordered pair of aspects: measured fall of accuracy "
        f"on opposed pairs from {t.fall.min():.1f} to {t.fall.max():.1f} points against "
        f"the foretold one, correlation {r:.2f}. The dashed line is equality.",
    )
