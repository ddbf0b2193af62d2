"""Causal graphs."""

from __future__ import annotations

from collections.abc import Mapping

import altair as alt
import numpy as np
import pandas as pd

from causalpref.figures._style import BLUE, GREY, ORANGE, layered
from causalpref.graph import CausalGraph, pretty

__all__ = ["causal_graph"]


def causal_graph(
    edges: CausalGraph | list[tuple[str, str]],
    positions: dict[str, tuple[float, float]] | None = None,
    *,
    hidden: tuple[str, ...] = (),
    cut: tuple[tuple[str, str], ...] = (),
    words: Mapping[str, str] | None = None,
    title: str | None = None,
    subtitle: str = "Assumptions, no data",
    width: int = 430,
    height: int = 220,
) -> alt.LayerChart:
    """A causal graph: a circle for each variable, an arrow for each direct influence.

    Arrows are laid out in the browser, so that they meet the circles at any width. The chart
    is one of its own and does not go into a row with others.

    Parameters
    ----------
    edges : CausalGraph or list of (str, str)
        A graph, which brings all of the rest with it; ``positions``, ``words`` and ``title``
        may be replaced. Or its arrows, from and to.
    positions : dict of str to (float, float)
        Where each node stands, in any unit: x to the right, y upwards. Needed with arrows.
    hidden : tuple of str
        Nodes that are not observed: dashed circles.
    cut : tuple of (str, str)
        Edges that an intervention cuts: dashed, orange and without a head.
    words : mapping of str to str, optional
        A word or two under a node, above it in the upper half.
    title, subtitle : str
    width, height : int

    Raises
    ------
    ValueError
        An edge from or to a node without a position, or a cut, hidden or named one that is
        not there. A graph together with ``hidden`` or ``cut``.
    """
    if isinstance(edges, CausalGraph):
        graph = edges
        if hidden or cut:
            raise ValueError(
                "hidden and cut come from the graph: use graph.with_hidden(...) and graph.do(...)"
            )
        edges, hidden, cut = [*graph.edges, *graph.cut], graph.hidden, graph.cut
        positions = graph.layout() if positions is None else positions
        for node in graph.nodes:
            if node not in positions:
                raise ValueError(f"node {node!r} has no position (known: {', '.join(positions)})")
        positions = {node: positions[node] for node in graph.nodes}
        words = graph.words if words is None else words
        title = graph.title if title is None else title
    if positions is None:
        raise ValueError("positions are missing: give one for each node, or a CausalGraph")
    words, title = dict(words or {}), "A causal graph" if title is None else title
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
        return (
            f"{radius + 5} + (datum.{x} - {xs.min()}) * (width - {2 * radius + 10})"
            f" / {np.ptp(xs) or 1.0}",
            f"{radius + 21} + ({ys.max()} - datum.{y}) * (height - {2 * radius + 44})"
            f" / {np.ptp(ys) or 1.0}",
        )

    nodes = pd.DataFrame(
        [
            {
                "node": pretty(n),
                "x": float(x),
                "y": float(y),
                "words": words.get(n, ""),
                "observed": n not in hidden,
            }
            for n, (x, y) in positions.items()
        ]
    )
    arrows = pd.DataFrame(
        [
            {
                "x": float(positions[a][0]),
                "y": float(positions[a][1]),
                "x2": float(positions[b][0]),
                "y2": float(positions[b][1]),
                "cut": (a, b) in cut,
            }
            for a, b in edges
        ]
    )
    (px, py), (qx, qy) = place("x", "y"), place("x2", "y2")
    gap = radius + 2
    lines = (
        alt.Chart(arrows)
        .transform_calculate(px=px, py=py, qx=qx, qy=qy)
        .transform_calculate(way="atan2(datum.qy - datum.py, datum.qx - datum.px)")
        .transform_calculate(
            ax=f"datum.px + {gap} * cos(datum.way)",
            ay=f"datum.py + {gap} * sin(datum.way)",
            bx=f"datum.qx - {gap + 6} * cos(datum.way)",
            by=f"datum.qy - {gap + 6} * sin(datum.way)",
            turn="datum.way * 180 / PI + 90",
        )
    )
    colour = alt.condition("datum.cut", alt.value(ORANGE), alt.value(GREY))
    shafts = lines.mark_rule(strokeWidth=2).encode(
        x=alt.X("ax:Q", scale=None, axis=None),
        y=alt.Y("ay:Q", scale=None, axis=None),
        x2="bx:Q",
        y2="by:Q",
        color=colour,
        strokeDash=alt.condition("datum.cut", alt.value([3, 5]), alt.value([1, 0])),
    )
    heads = (
        lines.transform_filter("!datum.cut")
        .mark_point(shape="triangle-up", size=90, filled=True, opacity=1, color=GREY)
        .encode(
            x=alt.X("bx:Q", scale=None, axis=None),
            y=alt.Y("by:Q", scale=None, axis=None),
            angle=alt.Angle("turn:Q", scale=None),
        )
    )
    at = (
        alt.Chart(nodes)
        .transform_calculate(px=px, py=py)
        .encode(x=alt.X("px:Q", scale=None, axis=None), y=alt.Y("py:Q", scale=None, axis=None))
    )
    circles = at.mark_point(
        shape="circle", size=4 * radius**2, filled=False, strokeWidth=2, opacity=1, stroke=BLUE
    ).encode(strokeDash=alt.condition("datum.observed", alt.value([1, 0]), alt.value([4, 4])))
    names = at.mark_text(fontSize=17, fontStyle="italic", fontWeight="bold").encode(text="node:N")
    middle = float(ys.min() + ys.max()) / 2
    above, below = (
        at.transform_filter(f"datum.y {side} {middle}")
        .mark_text(fontSize=12, dy=dy)
        .encode(text="words:N")
        for side, dy in ((">", -radius - 10), ("<=", radius + 11))
    )
    seen = ", ".join(n for n in positions if n not in hidden)
    tell = "; ".join(f"{a} to {b}" for a, b in edges if (a, b) not in cut)
    return (
        layered(shafts, heads, circles, names, above, below)
        .properties(
            width=width,
            height=height,
            title=alt.TitleParams(title, subtitle=subtitle, anchor="start"),
            description=f"A graph with the nodes {seen}"
            + (f" and, not observed, {', '.join(hidden)}" if hidden else "")
            + f". Arrows: {tell}."
            + (f" Cut: {'; '.join(f'{a} to {b}' for a, b in cut)}." if cut else ""),
        )
        .configure_view(stroke=None)
    )
