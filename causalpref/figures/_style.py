"""Colours, shapes and titles that the charts share."""

from __future__ import annotations

import altair as alt
import pandas as pd

COLOURS = {
    "helpful": "#2f86c8",
    "harmless": "#d1672c",
    "base": "#858585",
    "multihead": "#2f86c8",
    "adversarial": "#c2578f",
}
"""Colour of each objective and of each reward model, legible on a light page and on a dark one."""
SHAPES = {
    "helpful": "circle",
    "harmless": "diamond",
    "base": "circle",
    "multihead": "square",
    "adversarial": "triangle-up",
}


def scale_of(names: list[str], values: dict[str, str]) -> alt.Scale:
    return alt.Scale(domain=names, range=[values[n] for n in names])


def layered(*charts: alt.Chart | alt.LayerChart) -> alt.LayerChart:
    """Charts on one another; :func:`altair.layer` may also give a chart of facets."""
    made = alt.layer(*charts)
    assert isinstance(made, alt.LayerChart)
    return made


def headline(text: str, table: pd.DataFrame, source: str | None) -> alt.TitleParams:
    said = source or " / ".join(dict.fromkeys(table["source"]))
    return alt.TitleParams(text, subtitle=f"Data: {said}", anchor="start")
