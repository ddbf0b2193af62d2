"""The figure of a report, drawn with matplotlib: SVG that needs no script."""

from __future__ import annotations

import html
import io
import os
import re
import textwrap
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from causalpref.assumptions.evidence import Picture, excerpt, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["SVG", "draw"]

_WIDTH = 440  # of a figure of a report, in pixels: fits a telephone, nearly unscaled
_LETTERS = 54  # on one line of it
_INK = "#010203"  # stands for the colour of the text around the figure
_MOST_ROWS, _MOST_COLUMNS = 24, 8
_BLUE, _RED = "#2f86c8", "#d1672c"  # those of the book
_DASHED: dict[str, Any] = {"color": _INK, "alpha": 0.7, "dashes": (3, 2), "linewidth": 1.2}
_NOT_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, repr=False)
class SVG:
    """A drawing as text.

    Parameters
    ----------
    svg : str
        An ``<svg>`` element. Text and axes take the colour of the text around it, so it can be
        read on a light and on a dark page.
    """

    svg: str

    def _repr_html_(self) -> str:
        return f'<div style="overflow-x:auto">{self.svg}</div>'

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write a file of its own, dark on white."""
        path = Path(path)
        path.write_text(
            '<?xml version="1.0" encoding="utf-8"?>\n'
            + self.svg.replace('style="', 'style="color:#222832;background:#ffffff;', 1)
            + "\n",
            encoding="utf-8",
        )
        return path


def draw(picture: Picture, *, title: str | None = None) -> SVG:
    """The figure of a report: dots with intervals, a histogram for each group, or a matrix.

    Parameters
    ----------
    picture : Picture
        ``report.picture``; :meth:`Report.plot` draws it with the report's heading.
    title : str, optional
        Name of the figure for a screen reader. Default: what its axis says.

    Returns
    -------
    SVG
        Equal pictures give equal text.

    Raises
    ------
    ValueError
        A picture of another kind.
    """
    draw = {"intervals": _intervals, "histogram": _histograms, "matrix": _matrix}
    if picture.kind not in draw:
        raise ValueError(f"picture.kind is {picture.kind!r}, expected one of {list(draw)}")
    title = picture.axis if title is None else title
    import matplotlib as mpl

    # ids are hashes with this salt: two figures of one page must not share them
    salt = f"{title} {picture.description} {picture.table.to_csv()}"
    settings = {
        "svg.fonttype": "none",
        "svg.hashsalt": salt,
        "font.family": ["DejaVu Sans"],
        "font.size": 13,
        "text.color": _INK,
        "axes.edgecolor": _INK,
        "axes.labelcolor": _INK,
        "xtick.color": _INK,
        "ytick.color": _INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.spines.left": False,
        "text.parse_math": False,
        "axes.unicode_minus": True,
    }
    with mpl.rc_context(settings), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # letters are the reader's font's business
        figure = draw[picture.kind](picture)
        text = io.StringIO()
        figure.savefig(
            text, format="svg", transparent=True, metadata={"Date": None, "Creator": None}
        )
    return SVG(_inline(text.getvalue(), title, picture.description))


def _inline(svg: str, title: str, description: str) -> str:
    """Matplotlib's file as an element for a page: no styles, links or ids of its own."""
    width, height = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg).groups()
    body = svg[svg.index(">", svg.index("<svg")) + 1 : svg.rindex("</svg>")]
    body = re.sub(
        r"<metadata>.*?</metadata>|<defs>\s*<style.*?</style>\s*</defs>", "", body, flags=re.DOTALL
    )
    body = re.sub(r'<g id="[^"]*"', "<g", body)
    body = re.sub(r' transform="rotate\(-?0 [^"]*\)"', "", body)
    body = body.replace("'DejaVu Sans'", "sans-serif").replace(_INK, "currentColor")
    body = re.sub(r"\s*\n\s*", " ", body).strip()
    said = "".join(
        f"<{tag}>{html.escape(_plain(text))}</{tag}>"
        for tag, text in (("title", title), ("desc", description))
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'class="cp-evidence" role="img" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" style="max-width:min(100%,{_WIDTH}px);height:auto">'
        f"{said}{body}</svg>"
    )


def _plain(text: str) -> str:
    """One line, without what an XML file may not hold."""
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", " ".join(str(text).split()))


def _wrapped(text: str, width: int, lines: int) -> str:
    return "\n".join(textwrap.wrap(_plain(text), width, max_lines=lines, placeholder=" …")) or " "


def _axes(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Axes by their place in pixels from the top left corner."""
    w, h = figure.get_size_inches() * figure.dpi
    axes = figure.add_axes((left / w, 1 - (top + height) / h, width / w, height / h))
    axes.patch.set_visible(False)
    axes.set_yticks([])
    return axes


def _canvas(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width / 72, height / 72), dpi=72)


def _axis_title(axes: Axes, text: str) -> None:
    axes.set_xlabel(_wrapped(text, _LETTERS, 2), labelpad=6)
    axes.tick_params(labelsize=12)
    axes.locator_params(axis="x", nbins=5)


def _left_out(figure: Figure, text: str) -> None:
    figure.text(8 / _WIDTH, 4 / (figure.get_size_inches()[1] * 72), text, va="bottom", fontsize=12)


def _intervals(picture: Picture) -> Figure:
    """Each row's label and numbers, and below it a dot with its interval."""
    rows = list(picture.table.head(_MOST_ROWS).itertuples())
    more = len(picture.table) - len(rows)
    labels = [_labelled(r) for r in rows]
    step = [17 * (label.count("\n") + 1) + 24 for label in labels]
    end = float(sum(step))
    figure = _canvas(_WIDTH, end + 54 + 20 * (more > 0))
    axes = _axes(figure, 14, 4, _WIDTH - 28, end)
    ends = [v for r in rows for v in (r.value, r.low, r.high) if _finite(v)]
    ends = np.array([*ends, *picture.reference] or [0.0, 1.0], dtype=float)
    pad = 0.05 * (np.ptp(ends) or max(abs(ends[0]), 1))
    axes.set_xlim(ends.min() - pad, ends.max() + pad)
    axes.set_ylim(end, 0)
    above = axes.get_yaxis_transform()
    top = 0.0
    for row, label, height in zip(rows, labels, step):
        y = top + height - 13
        axes.text(0, top + 2, label, transform=above, va="top", linespacing=1.15)
        for x in picture.reference:  # not through the words
            axes.plot([x, x], [y - 9, y + 9], **_DASHED)
        if _finite(row.low) and _finite(row.high):
            axes.plot(
                [row.low, row.high], [y, y], color=_BLUE, linewidth=2.5, solid_capstyle="round"
            )
        if _finite(row.value):
            axes.plot([row.value], [y], "o", color=_BLUE, markersize=9)
        top += height
    _axis_title(axes, picture.axis)
    if more > 0:
        _left_out(figure, f"and {more} more, not drawn")
    return figure


def _histograms(picture: Picture) -> Figure:
    """One panel a group, on one axis: nobody has to tell groups by colour."""
    size = picture.table.groupby("group", sort=False)["count"].sum()
    shown = size.index[np.argsort(-size.to_numpy(), kind="stable")[:8]]
    names = [g for g in size.index if g in set(shown)]
    more = len(size) - len(names)
    panel, bars = 84, 56
    figure = _canvas(_WIDTH, panel * len(names) + 54 + 20 * (more > 0))
    for i, name in enumerate(names):
        part = picture.table[picture.table["group"] == name].sort_values("left")
        axes = _axes(figure, 14, panel * i + panel - bars, _WIDTH - 28, bars)
        edges = np.append(part["left"].to_numpy(), part["right"].to_numpy()[-1])
        axes.stairs(part["count"].to_numpy(), edges, fill=True, color=_BLUE)
        for x in picture.reference:
            axes.plot([x, x], [0, 1], transform=axes.get_xaxis_transform(), **_DASHED)
        axes.set_xlim(picture.table["left"].min(), picture.table["right"].max())
        axes.set_ylim(0, 1.08 * max(part["count"].max(), 1))
        axes.text(
            0,
            1,
            _wrapped(f"{name} ({size[name]:,})", _LETTERS, 1),
            va="bottom",
            transform=axes.transAxes,
        )
        if i + 1 < len(names):
            axes.set_xticks([])
        else:
            _axis_title(axes, picture.axis)
    if more > 0:
        _left_out(figure, f"and {more} smaller groups, not drawn")
    return figure


def _matrix(picture: Picture) -> Figure:
    """Numbers in cells; the stronger the colour, the further from 0, blue above and red below."""
    wide = picture.table.pivot(index="row", columns="column", values="value").reindex(
        index=picture.table["row"].drop_duplicates(),
        columns=picture.table["column"].drop_duplicates(),
    )
    full = wide.shape
    for axis, most in ((0, _MOST_ROWS), (1, _MOST_COLUMNS)):
        if wide.shape[axis] > most:
            # a row is as large as its largest value off the diagonal
            off = wide.where(wide.index.to_numpy()[:, None] != wide.columns.to_numpy())
            size = off.abs().max(axis=1 - axis).fillna(0).to_numpy()
            keep = np.sort(np.argsort(-size, kind="stable")[:most])
            wide = wide.take(keep, axis=axis)
    n, m = wide.shape
    left, cell, line = 132, min(76, (_WIDTH - 140) / m), 30
    small = 12 if m <= 5 else 10
    letters = int(cell / (0.6 * small))
    heads = [_wrapped(excerpt(_plain(c), 3 * letters - 2), letters, 3) for c in wide.columns]
    top = 14 + 15 * max(h.count("\n") + 1 for h in heads)
    less = (n, m) != full
    figure = _canvas(_WIDTH, top + line * n + 34 + 20 * less)
    axes = _axes(figure, left, top, cell * m, line * n)
    axes.set_xlim(0, m)
    axes.set_ylim(n, 0)
    axes.set_axis_off()
    values = wide.to_numpy(dtype=float)
    strongest = np.abs(values[np.isfinite(values)]).max(initial=0) or 1.0
    for i, j in np.ndindex(n, m):
        value = values[i, j]
        if np.isfinite(value):
            axes.fill(
                [j, j + 1, j + 1, j],
                [i, i, i + 1, i + 1],
                linewidth=0,
                color=_BLUE if value >= 0 else _RED,
                alpha=0.4 * abs(value) / strongest,
            )
        axes.text(
            j + 0.5,
            i + 0.5,
            "" if np.isnan(value) else f"{value:.2f}".replace("-", "−"),
            ha="center",
            va="center_baseline",
            fontsize=small + 1,
        )
    for i, name in enumerate(wide.index):
        axes.text(
            -8 / cell,
            i + 0.5,
            _wrapped(excerpt(_plain(name), 32), 17, 2),
            ha="right",
            va="center_baseline" if len(_plain(name)) <= 17 else "center",
            linespacing=1.0,
            fontsize=12,
        )
    for j, name in enumerate(heads):
        axes.text(j + 0.5, -0.3, name, ha="center", va="baseline", fontsize=small, linespacing=1.1)
    height = figure.get_size_inches()[1] * 72
    figure.text(
        (left + cell * m / 2) / _WIDTH,
        (10 + 20 * less) / height,
        _wrapped(picture.axis, _LETTERS, 1),
        ha="center",
        va="bottom",
    )
    if less:
        _left_out(figure, f"the {n} x {m} with the largest values, of {full[0]} x {full[1]}")
    return figure


def _finite(value: object) -> bool:
    return value is not None and bool(np.isfinite(value))


def _labelled(row: Any) -> str:
    """What a row is, its value and its interval."""
    label = _wrapped(row.what, _LETTERS, 3)
    text = "not known" if row.value is None or np.isnan(row.value) else number(row.value)
    if _finite(row.low) and _finite(row.high):
        text += f" ({number(row.low)} to {number(row.high)})"
    fits = len(label.rsplit("\n", 1)[-1]) + len(text) <= _LETTERS - 2
    return f"{label}:{' ' if fits else chr(10)}{text}"
