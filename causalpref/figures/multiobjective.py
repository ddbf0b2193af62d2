"""Three reward models drawn, two players, and what a balanced representation keeps."""

from __future__ import annotations

from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from causalpref.figures import _layers as lay
from causalpref.figures import _style as look

__all__ = ["architectures", "balancing", "two_players"]

_PARTS = {"input": look.GREY, "trunk": look.BLUE, "head": look.ORANGE, "adversary": look.PINK}
_MEASURES = {
    "consistent": (look.BLUE, "circle", look.SOLID),
    "inconsistent": (look.ORANGE, "diamond", [6, 4]),
    "its own adversary": (look.PINK, "triangle-up", look.SOLID),
    "a fresh probe": (look.GREY, "square", [6, 4]),
}


def architectures(layers: pd.DataFrame) -> alt.VConcatChart:
    """Reward models as boxes, one for each linear layer (figure 5).

    Parameters
    ----------
    layers : pandas.DataFrame
        One row a linear layer, in order: ``model``; ``part`` ("trunk", "head 0", "head 1", ...
        or "adversary"); ``n_in`` and ``n_out``, its widths; ``parameters``, weights and biases. A
        model without heads gives the reward from its trunk and takes C as an input.

    Raises
    ------
    ValueError
        A model without a trunk.
    """
    charts, said = [], []
    for model, rows in layers.groupby("model", sort=False):
        trunk = rows[rows.part == "trunk"]
        if trunk.empty:
            raise ValueError(f"model {model!r} has no layer of the part 'trunk'")
        branches = list(dict.fromkeys(rows.part[rows.part != "trunk"]))
        middle = (max(len(branches), 1) - 1) / 2
        boxes = [(0, middle, f"{trunk.n_in.iloc[0]:,}", "e" if branches else "e and c", "input")]
        for x, layer in enumerate(trunk.itertuples(), 1):
            last = x == len(trunk)
            boxes.append(
                (
                    x,
                    middle,
                    f"{layer.n_out:,}",
                    ("ẑ" if branches else "reward") if last else "",
                    "trunk",
                )
            )
        links = [(x, middle, x + 1, middle, False) for x in range(len(trunk))]
        for k, part in enumerate(branches):
            y, x, kind = len(branches) - 1 - k, len(trunk), part.split()[0]
            links.append((x, middle, x + 1, y, kind == "adversary"))
            for step, layer in enumerate(rows[rows.part == part].itertuples(), 1):
                boxes.append((x + step, y, f"{layer.n_out:,}", "", kind))
                if step > 1:
                    links.append((x + step - 1, y, x + step, y, False))
            told = "log odds of C" if kind == "adversary" else f"reward, C = {part.split()[-1]}"
            boxes[-1] = (*boxes[-1][:3], told, kind)
        parameters = int(rows.parameters.sum())
        charts.append(
            _boxes(boxes, links, max(len(branches), 1), f"{model}: {parameters:,} parameters")
        )
        widths = " to ".join(str(w) for w in [trunk.n_in.iloc[0], *trunk.n_out])
        said.append(
            f"{model}, {parameters} parameters: a trunk of widths {widths}"
            + ("" if branches else ", which takes e and c and ends in the reward")
            + "".join(
                f"; {part} of widths "
                + " to ".join(
                    str(w)
                    for w in [rows[rows.part == part].n_in.iloc[0], *rows[rows.part == part].n_out]
                )
                + (", behind a reversal of the gradient" if part == "adversary" else "")
                for part in branches
            )
        )
    return (
        alt.vconcat(*charts, spacing=14)
        .properties(
            title=alt.TitleParams(
                "Three reward models", subtitle="A drawing, no data", anchor="start"
            ),
            description="Boxes joined by arrows, from the embedding on the left to the reward on "
            "the right. " + ". ".join(said) + ".",
        )
        .configure_view(stroke=None)
    )


def _boxes(
    boxes: list[tuple[Any, ...]], links: list[tuple[Any, ...]], lanes: int, title: str
) -> alt.LayerChart:
    half, tall = 0.36, 0.22
    nodes = pd.DataFrame(boxes, columns=["x", "y", "width", "words", "part"])
    nodes = nodes.assign(
        left=nodes.x - half, right=nodes.x + half, low=nodes.y - tall, high=nodes.y + tall
    )
    ties = pd.DataFrame(links, columns=["x", "y", "x2", "y2", "reversed"])
    ties = ties.assign(x=ties.x + half, x2=ties.x2 - half - 0.06)
    across = look.between(-0.5, 5.5)
    up = look.between(-0.6, lanes - 0.45)

    def at(name: str, scale: alt.Scale) -> Any:
        return (alt.X if scale is across else alt.Y)(f"{name}:Q", scale=scale, axis=None)

    base = alt.Chart(nodes)
    outline = base.mark_rect(filled=False, strokeWidth=2, cornerRadius=4).encode(
        x=at("left", across),
        x2="right:Q",
        y=at("low", up),
        y2="high:Q",
        stroke=alt.Stroke("part:N", legend=None, scale=look.scale_of(list(_PARTS), _PARTS)),
    )
    width = base.mark_text(fontSize=13, fontWeight="bold").encode(
        x=at("x", across), y=at("y", up), text="width:N"
    )
    words = base.mark_text(fontSize=12, baseline="top", dy=4).encode(
        x=at("x", across), y=at("low", up), text="words:N"
    )
    lines = alt.Chart(ties)
    shade = alt.condition("datum.reversed", alt.value(_PARTS["adversary"]), alt.value(look.GREY))
    shafts = lines.mark_rule(strokeWidth=2).encode(
        x=at("x", across),
        x2="x2:Q",
        y=at("y", up),
        y2="y2:Q",
        color=shade,
        strokeDash=alt.condition("datum.reversed", alt.value([4, 4]), alt.value([1, 0])),
    )
    heads = lines.mark_point(shape="triangle-right", size=45, filled=True, opacity=1).encode(
        x=at("x2", across), y=at("y2", up), color=shade
    )
    parts = nodes[nodes.part.isin(["trunk", "head", "adversary"])].drop_duplicates(["part", "y"])
    named = (
        alt.Chart(parts)
        .mark_text(fontSize=12, fontStyle="italic", baseline="bottom", dy=-4)
        .encode(x=at("x", across), y=at("high", up), text="part:N")
    )
    layers = [shafts, heads, outline, width, words, named]
    if ties.reversed.any():
        turn = ties[ties.reversed]
        layers.append(
            alt.Chart(turn)
            .mark_text(align="right", fontSize=12, dx=-8, text="gradient × (−λ)")
            .encode(x=at("x2", across), y=at("y2", up))
        )
    return look.layered(*layers).properties(
        width=430,
        height=int(40 + 62 * lanes),
        title=alt.TitleParams(title, fontSize=12, anchor="start"),
    )


def two_players(
    *,
    start: tuple[float, float] = (1.5, 0.0),
    steps: int = 60,
    source: str = "a game with two numbers, computed from its formula",
) -> alt.LayerChart:
    """Simultaneous gradient play of f(u, v) = κ/2 u² + λ u v − κ/2 v², u down and v up.

    A step of size η multiplies u + iv by 1 − ηκ + iηλ, so the play is drawn in the browser from
    the powers of one complex number. Three dials set λ, κ and η.

    Parameters
    ----------
    start : (float, float)
        Where u and v begin.
    steps : int
        Steps drawn.
    source : str
        What is shown, for the subtitle.

    Raises
    ------
    ValueError
        A start at the equilibrium (0, 0), or no steps.
    """
    away = float(np.hypot(*start))
    if away == 0 or steps < 1:
        raise ValueError(
            f"start is {start} and steps is {steps}: expected a start away from "
            "(0, 0) and at least one step"
        )
    turned = float(np.arctan2(start[1], start[0]))
    dials = [
        lay.slider(
            "playlambda", "λ, how much the two have to do with each other: ", 1.0, 0, 3, 0.1
        ),
        lay.slider("playkappa", "κ, curvature: ", 0.0, 0, 1, 0.05),
        lay.slider("playeta", "η, step: ", 0.2, 0.02, 0.6, 0.02),
    ]
    growth = "sqrt(pow(1 - playeta * playkappa, 2) + pow(playeta * playlambda, 2))"
    turn = "atan2(playeta * playlambda, 1 - playeta * playkappa)"
    room = 1.6 * away
    span = look.between(-room, room)
    walk = (
        alt.Chart(alt.sequence(0, steps + 1, as_="k"))
        .transform_calculate(r=f"{away} * pow({growth}, datum.k)", a=f"{turned} + datum.k * {turn}")
        .transform_calculate(u="datum.r * cos(datum.a)", v="datum.r * sin(datum.a)")
        .transform_filter(f"datum.r < {2.5 * away}")
    )
    x = alt.X("u:Q", scale=span, title="u, what the representation shows (it descends)")
    y = alt.Y("v:Q", scale=span, title="v, what the adversary bets (it ascends)")
    path = walk.mark_line(strokeWidth=1.5, color=look.GREY, clip=True).encode(x=x, y=y, order="k:Q")
    dots = walk.mark_point(filled=True, size=35, color=look.BLUE, opacity=1, clip=True).encode(
        x=x, y=y, tooltip=[alt.Tooltip("k:Q", title="step"), *lay.numbers(".3f", "u", "v")]
    )
    first = (
        walk.transform_filter("datum.k == 0")
        .mark_point(shape="diamond", size=170, filled=True, color=look.ORANGE, opacity=1)
        .encode(x=x, y=y)
    )
    rest = (
        alt.Chart(pd.DataFrame({"u": [0.0], "v": [0.0]}))
        .mark_point(shape="cross", size=130, filled=True, color=look.PINK, opacity=1)
        .encode(x=x, y=y)
    )
    one = lay.sentence(
        walk.transform_filter("datum.k == 0").transform_calculate(g=growth),
        "'a step multiplies the distance by ' + format(datum.g, '.4f') + (datum.g > 1 + "
        "1e-12 ? ';it spirals out' : datum.g < 1 - 1e-12 ? ';it comes to rest' : "
        "';it stays')",
        -26,
        lineBreak=";",
    )
    grown = float(np.hypot(1.0, 0.2))
    title = alt.TitleParams(
        "Two players, one gradient step at a time",
        subtitle=f"Data: {source}",
        anchor="start",
        offset=36,
    )
    return lay.drawn(
        [path, dots, first, rest, one],
        dials=dials,
        title=title,
        height=330,
        description=f"The play of two numbers u and v from ({start[0]:g}, {start[1]:g}) around "
        "the equilibrium (0, 0). With lambda 1, curvature 0 and step 0.2 every step "
        f"multiplies the distance by {grown:.4f} and the path spirals out. With "
        "curvature kappa above 0 it spirals in if the step is below "
        "2 kappa / (kappa squared + lambda squared). Three dials set lambda, kappa "
        "and the step.",
    )


def balancing(table: pd.DataFrame, *, source: str | None = None) -> alt.VConcatChart:
    """What hiding C costs and buys, over lambda: accuracies, and what is left of C.

    Parameters
    ----------
    table : pandas.DataFrame
        One row a run and measure: ``world`` (in words), ``lambda_``, ``seed``, ``measure``
        ("consistent" or "inconsistent": test accuracy in [0, 1]; "its own adversary" or "a fresh
        probe": nats about C read from the representation), ``value``, ``ceiling`` (nats that
        anything can read), ``source``.
    source : str, optional
        What the data are. Default: the column ``source``.
    """
    worlds = list(dict.fromkeys(table.world))
    values = [float(v) for v in sorted(table.lambda_.unique())]
    slim = table.drop(columns="source").assign(value=table.value.round(4))
    world = lay.radio("balanceworld", "the type is: ", worlds[0], worlds)
    dial = lay.radio("balancelambda", "λ: ", values[0], values)
    shown = alt.Chart(slim).transform_filter("datum.world == balanceworld")
    x = alt.X(
        "lambda_:O",
        title="λ, weight of the adversary",
        sort=values,
        axis=alt.Axis(labelAngle=0, format="~g"),
    )

    def panel(
        names: list[str],
        title: str,
        domain: list[float],
        form: str,
        height: int,
        line_at: alt.Chart,
        field: str,
        dash: list[int],
        what: str,
    ) -> alt.LayerChart:
        y, level = (
            alt.Y(
                f"{c}:Q",
                title=title,
                scale=look.between(*domain),
                axis=alt.Axis(format=form, tickCount=5),
            )
            for c in ("value", field)
        )
        legend = alt.Legend(orient="bottom", symbolSize=90, symbolOpacity=1, direction="horizontal")
        keep = " || ".join(f"datum.measure == '{n}'" for n in names)
        rows = shown.transform_filter(keep)
        by = look.signs(
            "measure", names, *zip(*(_MEASURES[n] for n in names)), title=what, legend=legend
        )
        seeds = rows.mark_point(
            size=28, filled=False, strokeWidth=1.2, opacity=1, clip=True
        ).encode(
            x=x,
            y=y,
            color=by.colour,
            shape=by.shape,
            tooltip=["world", "lambda_", "measure", "seed", alt.Tooltip("value:Q", format=".3f")],
        )
        mean = rows.transform_aggregate(value="mean(value)", groupby=["lambda_", "measure"])
        line = mean.mark_line(strokeWidth=2.5, clip=True).encode(
            x=x, y=y, color=by.colour, strokeDash=by.dash
        )
        big = (
            mean.transform_filter("datum.lambda_ == balancelambda")
            .mark_point(size=230, strokeWidth=2.5, opacity=1, clip=True)
            .encode(x=x, y=y, color=by.colour, shape=by.shape)
        )
        here = mean.transform_filter("datum.lambda_ == balancelambda")
        told = [
            lay.sentence(
                here.transform_filter(f"datum.measure == '{n}'"),
                f"'{n} ' + format(datum.value, '{form}')",
                -12 - 16 * (1 - k),
            )
            for k, n in enumerate(names)
        ]
        flat = line_at.mark_rule(strokeDash=dash, color=look.GREY).encode(y=level)
        return look.layered(flat, seeds, line, big, *told).properties(width=430, height=height)

    coin = alt.Chart(pd.DataFrame({"value": [0.5]}))
    top = shown.transform_aggregate(ceiling="max(ceiling)")
    of_pairs = table.value[table.measure.isin(["consistent", "inconsistent"])]
    lowest = min(float(np.floor(10 * of_pairs.min()) / 10), 0.4)
    ceiling = float(table.ceiling.max())
    above = panel(
        ["consistent", "inconsistent"],
        "test accuracy",
        [lowest, 0.9],
        ".2f",
        190,
        coin,
        "value",
        [4, 4],
        "test pairs",
    )
    below = panel(
        ["its own adversary", "a fresh probe"],
        "nats about C",
        [-0.2, 1.1 * ceiling],
        ".2f",
        130,
        top,
        "ceiling",
        [2, 3],
        "C read by",
    )
    title = look.headline("Hiding who is judging", table, source, offset=36)
    mean = table.groupby(["world", "lambda_", "measure"], sort=False).value.mean()
    cells = "; ".join(
        f"{w}, lambda {v:g}: " + ", ".join(f"{m} {mean[w, v, m]:.2f}" for m in _MEASURES)
        for w in worlds
        for v in values
    )
    return lay.stacked(
        above.properties(title=title),
        below,
        spacing=50,
        apart=["color", "shape", "strokeDash"],
        dials=[world, dial],
        description="Above, test accuracy on consistent and inconsistent pairs over lambda; "
        "below, nats about C that the model's own adversary and a fresh probe read "
        "from the representation, with a dotted line at what the type tells. Small "
        f"points are seeds, lines their means: {cells}. Two radio buttons pick the "
        "world and lambda.",
    )
