"""What limited latent positivity costs (appendix D.1, figure 7)."""

from __future__ import annotations

import altair as alt
import numpy as np
import pandas as pd

from causalpref.figures import _layers as lay
from causalpref.figures import _style as look
from causalpref.simulation.boundary import alpha_variance, expected_accuracy, opposed_probability

__all__ = ["boundary_wedge", "labels_by_correlation"]


def boundary_wedge(
    points: pd.DataFrame,
    *,
    draws: list[float] | np.ndarray,
    scale: float = 2.0,
    source: str | None = None,
) -> alt.LayerChart:
    """The plane of latent differences with a true and a fitted boundary (figure 7).

    Everything is computed in the browser from rho, alpha and n, with the formulas of
    :mod:`causalpref.simulation.boundary`; alpha-hat is kept within [0, 1].

    Parameters
    ----------
    points : pandas.DataFrame
        Independent standard normals ``u1`` and ``u2``, one row a pair; ``source``. The pair drawn
        has delta_1 = u1 and delta_2 = rho u1 + sqrt(1 - rho^2) u2.
    draws : sequence of float
        Standard normals: fit i has alpha-hat = alpha + standard error times draws[i].
    scale : float
        Log odds are ``scale`` times the difference of rewards.
    source : str, optional
        What the data are. Default: the column ``source``.
    """
    draws = [round(float(z), 2) for z in draws]
    start, reach, far = {"rho": 0.9, "alpha": 0.25, "n": 300}, 3.2, 12
    nodes, weights = np.polynomial.hermite_e.hermegauss(200)
    weights = weights / weights.sum()
    keep = weights > 1e-9
    # E[s(tau u)] is even in u: twice the sum over the positive nodes
    bend = " + ".join(
        f"{2 * w:.3g} / pow(exp(wtau * {z / 2:.4f}) + exp(-wtau * {z / 2:.4f}), 2)"
        for z, w in zip(nodes, weights)
        if z > 0 and w > 1e-6
    )
    dials = [
        lay.slider("wrho", "ρ, correlation of δ₁ and δ₂: ", start["rho"], -0.9, 0.98, 0.02),
        lay.slider("walpha", "α, true weight of the first latent: ", start["alpha"], 0, 1, 0.05),
        lay.menu("wn", "n, labels to fit: ", start["n"], [100, 300, 1000, 3000, 10_000, 30_000]),
        lay.slider("wfit", "which of the fits: ", 1, 1, len(draws), 1),
    ]
    found = {
        "wq": "1 - 2 * (1 - wrho) * walpha * (1 - walpha)",
        "wflat": "sqrt(1 - wrho * wrho)",
        "wtau": f"{scale:g} * sqrt(wq)",
        "wbend": bend,
        "wse": f"sqrt(wq / (wn * wbend)) / ({scale:g} * wflat)",
        "what": f"clamp(walpha + wse * {draws}[wfit - 1], 0, 1)",
        "wlow": "clamp(walpha - 1.96 * wse, 0, 1)",
        "whigh": "clamp(walpha + 1.96 * wse, 0, 1)",
    }
    computed = [alt.param(name=name, expr=expr) for name, expr in found.items()]
    room = look.between(-reach, reach)
    axis = alt.Axis(grid=False, values=[-3, -2, -1, 0, 1, 2, 3])
    x = alt.X("x:Q", scale=room, axis=axis, title="δ₁, first minus second response")
    y = alt.Y("y:Q", scale=room, axis=axis, title="δ₂, first minus second response")

    def wedge(a: str, b: str, colour: str, opacity: float) -> list[alt.Chart]:
        """What lies between the boundaries of two weights, on either side of the origin."""
        return [
            alt.Chart(pd.DataFrame({"turn": [0, 1, 2, 3]}))
            .transform_calculate(
                x=f"[0, {s} * ({a} - 1), {s} * ({b} - 1), 0][datum.turn]",
                y=f"[0, {s} * {a}, {s} * {b}, 0][datum.turn]",
            )
            .mark_line(fill=colour, fillOpacity=opacity, strokeWidth=0, clip=True)
            .encode(x=x, y=y, order="turn:Q")
            for s in (far, -far)
        ]

    quadrants = (
        alt.Chart(
            pd.DataFrame({"x": [-reach, 0], "x2": [0, reach], "y": [0, -reach], "y2": [reach, 0]})
        )
        .mark_rect(color=look.GREY, opacity=0.16)
        .encode(x=x, x2="x2:Q", y=y, y2="y2:Q")
    )
    corner = alt.Chart(pd.DataFrame({"words": ["opposed"]}))
    named = [
        corner.mark_text(align=align, fontSize=12, fontStyle="italic", dx=dx, dy=dy).encode(
            x=alt.value(px), y=alt.value(py), text="words:N"
        )
        for align, px, py, dx, dy in (("left", 0, 0, 6, 12), ("right", "width", "height", -6, -12))
    ]
    fate, kinds = ["rightly", "wrongly"], ["true", "fitted"]
    wide = alt.Legend(orient="bottom", symbolSize=90, symbolOpacity=1, symbolStrokeWidth=2)
    long = alt.Legend(orient="bottom", symbolSize=700, symbolStrokeWidth=3)
    by = look.signs(
        "order",
        fate,
        [look.BLUE, look.ORANGE],
        ["circle", "diamond"],
        title="pairs, ordered by the fit",
        legend=wide,
    )
    dots = (
        alt.Chart(points[["u1", "u2"]].round(2))
        .transform_calculate(x="datum.u1", y="wrho * datum.u1 + wflat * datum.u2")
        .transform_calculate(
            order="(walpha * datum.x + (1 - walpha) * datum.y) * "
            "(what * datum.x + (1 - what) * datum.y) < 0 ? 'wrongly' : 'rightly'"
        )
        .mark_point(filled=True, opacity=0.9, clip=True)
        .encode(
            x=x,
            y=y,
            size=alt.condition("datum.order == 'wrongly'", alt.value(60), alt.value(26)),
            color=by.colour,
            shape=by.shape,
        )
    )
    lines = (
        alt.Chart(pd.DataFrame({"line": kinds}))
        .transform_calculate(a="datum.line == 'true' ? walpha : what")
        .transform_calculate(
            x=f"{far} * (datum.a - 1)",
            y=f"{far} * datum.a",
            x2=f"{far} * (1 - datum.a)",
            y2=f"-{far} * datum.a",
        )
        .mark_rule(strokeWidth=3, clip=True, color=look.PINK)
        .encode(
            x=x,
            y=y,
            x2="x2:Q",
            y2="y2:Q",
            strokeDash=alt.StrokeDash(
                "line:N",
                title="boundary",
                legend=long,
                scale=alt.Scale(domain=kinds, range=[[1, 0], [7, 5]]),
            ),
        )
    )
    turned = (
        "abs(atan2((1 - walpha) * wflat, walpha + (1 - walpha) * wrho)"
        " - atan2((1 - datum.guess) * wflat, datum.guess + (1 - datum.guess) * wrho))"
    )
    mean = (
        alt.Chart(pd.DataFrame({"z": nodes[keep].round(5), "w": weights[keep].round(9)}))
        .transform_calculate(guess="clamp(walpha + wse * datum.z, 0, 1)")
        .transform_calculate(miss=f"datum.w * {turned}")
        .transform_aggregate(miss="sum(miss)")
        .transform_calculate(
            first="'opposed: ' + format(acos(wrho) / PI, '.1%') + ' of pairs;fitted α: s.e. ' + "
            "format(wse, '.3f') + ', this fit ' + format(what, '.2f')",
            second="'expected accuracy: ' + format(1 - datum.miss / PI, '.1%') + ' on pairs like;"
            "these, ' + format(1 - datum.miss / acos(wrho), '.1%') + ' on the opposed ones'",
        )
    )
    told = [
        mean.mark_text(align="left", fontSize=12, fontWeight="bold", lineBreak=";").encode(
            text=f"{name}:N", x=alt.value(0), y=alt.value(height)
        )
        for name, height in (("first", -56), ("second", -26))
    ]
    cells = []
    for rho in (0.0, start["rho"]):
        se = np.sqrt(alpha_variance(start["alpha"], rho, scale=scale) / start["n"])
        opposed = expected_accuracy(start["n"], start["alpha"], rho, scale=scale, opposed=True)
        same = 1 - opposed_probability(rho) * (1 - opposed)  # alpha-hat in [0, 1], as drawn
        cells.append(
            f"at rho {rho:g} {opposed_probability(rho):.1%} of the pairs are opposed, "
            f"the standard error of alpha-hat is {se:.3f}, and the expected accuracy is "
            f"{same:.1%} on pairs like these and {opposed:.1%} on opposed ones"
        )
    return lay.drawn(
        [
            quadrants,
            *wedge("wlow", "whigh", look.GREY, 0.3),
            *wedge("walpha", "what", look.ORANGE, 0.35),
            dots,
            lines,
            *named,
            *told,
        ],
        dials=[*dials, *computed],
        title=look.headline("Where a fitted reward goes wrong", points, source, offset=14),
        height=400,
        description=f"{len(points)} pairs in the plane of latent differences, the second and "
        "fourth quadrant shaded as opposed. A solid line is the true boundary, a dashed "
        "one a fitted boundary, both falling through the origin; a grey wedge holds "
        "95 % of fits and an orange wedge, within the opposed quadrants, is ordered "
        f"wrongly. With alpha {start['alpha']:g} and {start['n']} labels, "
        f"{'; '.join(cells)}. Sliders set rho, alpha and the fit, a menu the number "
        "of labels: the wedges widen as rho grows and narrow with labels.",
    )


def labels_by_correlation(
    lines: pd.DataFrame, dots: pd.DataFrame, *, source: str | None = None
) -> alt.LayerChart:
    """Labels until the opposed pairs are ordered well enough, by correlation in training.

    Parameters
    ----------
    lines : pandas.DataFrame
        One row for each ``scale`` (of log odds), ``rho`` and ``accuracy`` (wanted, in [0, 1]):
        ``labels`` and ``source``; see :func:`causalpref.simulation.boundary.labels_needed`.
    dots : pandas.DataFrame
        Counts on simulated labels: ``scale``, ``rho``, ``accuracy``, ``labels``, ``low``,
        ``high``.
    source : str, optional
        What the data are. Default: the column ``source`` of ``lines``.
    """
    steps, scales = np.sort(lines.rho.unique()), [float(s) for s in np.sort(lines.scale.unique())]
    wanted = [float(a) for a in np.sort(lines.accuracy.unique())[::-1]]
    names = [f"{a:.0%}" for a in wanted]
    step = round(float(steps[1] - steps[0]), 6)
    begin, first = (min(v, key=lambda s, c=c: abs(s - c)) for v, c in ((steps, 0.9), (scales, 2)))
    dials = [
        lay.slider_over("costrho", "ρ in training: ", float(begin), steps),
        lay.menu("costscale", "k, how sure judges are: ", first, scales),
    ]
    both = [t.assign(goal=t.accuracy.map(lambda a: f"{a:.0%}")) for t in (lines, dots)]
    curve, points = (
        alt.Chart(t).transform_filter("datum.scale == costscale")
        for t in (
            both[0][["scale", "rho", "goal", "labels"]].round({"labels": 0, "rho": 6}),
            both[1][["scale", "rho", "goal", "labels", "low", "high"]].round(
                {"labels": 0, "low": 0, "high": 0}
            ),
        )
    )
    here = curve.transform_filter(f"abs(datum.rho - costrho) < {step / 2:g}")
    low, high = (
        10.0 ** f(np.log10(v))
        for f, v in (
            (np.floor, min(lines.labels.min(), dots.low.min())),
            (np.ceil, lines.labels.max()),
        )
    )
    room = look.between(low, high, type="log")
    ticks = [10.0**i for i in range(int(np.log10(low)), int(np.log10(high)) + 1)]
    x = alt.X("rho:Q", title="ρ in training", scale=look.between(float(steps[0]), 1))
    y = alt.Y(
        "labels:Q", title="labels needed", scale=room, axis=alt.Axis(values=ticks, format=",.0f")
    )
    goal = "accuracy wanted"
    legend = alt.Legend(orient="bottom", symbolSize=110, symbolStrokeWidth=2.5)
    by = look.signs(
        "goal",
        names,
        [look.PINK, look.BLUE, look.ORANGE],
        ["square", "circle", "diamond"],
        title=goal,
        legend=legend,
        sort=names,
    )
    path = [
        curve.transform_filter(f"datum.goal == '{n}'")
        .mark_line(strokeWidth=2.5, strokeDash=dash)
        .encode(x=x, y=y, color=by.colour)
        for n, dash in zip(names, [look.DOTTED, look.SOLID, look.DASHED])
    ]
    points = points.encode(x=x, color=by.colour)
    tips = [
        alt.Tooltip("goal:N", title=goal),
        alt.Tooltip("rho:Q", title="ρ"),
        *lay.numbers(",.0f", "labels", "low", "high"),
    ]
    bars = lay.interval(points, alt.Y("low:Q", scale=room))
    marks = lay.marked(points, 75, y=y, shape=by.shape, tooltip=tips)
    rule = lay.cursor(here.transform_filter(f"datum.goal == '{names[0]}'"), x)
    told = lay.sentence(
        here.transform_pivot("goal", value="labels", groupby=["rho"]),
        "'at ρ = ' + format(datum.rho, '.2f') + ': ' + "
        + " + ', ' + ".join(
            f"format(datum['{n}'], ',.0f') + ' for {n}'" for n in names[::-1]
        ).replace("', '", "',;'", 1),
        -27,
        lineBreak=";",
    )
    at = lines[np.isclose(lines.scale, first)].set_index(["rho", "accuracy"]).labels
    cells = "; ".join(
        f"rho {r:g}: " + ", ".join(f"{at[r, a]:,.0f} for {a:.0%}" for a in wanted)
        for r in (steps[0], begin, steps[-1])
    )
    return lay.drawn(
        [*path, bars, marks, rule, told],
        dials=dials,
        title=look.headline("What correlation costs in labels", lines, source, offset=24),
        height=280,
        description="Lines, labels needed for an expected accuracy on opposed pairs, on a "
        "logarithmic axis, rising with the correlation rho in training; dots with bars "
        f"are counts on simulated labels. At k = {first:g}, {cells}. A slider sets "
        "rho, a menu k.",
    )
