"""What the words of a check are made of: rows of a table, a picture, numbers as text."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from causalpref.statistics import Estimate

__all__ = ["Picture", "absent", "dots", "excerpt", "matrix", "number", "p_text", "row", "table"]


@dataclass(frozen=True, eq=False)
class Picture:
    """Numbers for the figure of a report; :mod:`causalpref.assumptions.drawing` draws them.

    Parameters
    ----------
    kind : {"intervals", "histogram", "matrix"}
        Dots with intervals (columns ``what``, ``value``, ``low``, ``high``); counts of two or
        more groups over bins (``left``, ``right``, ``group``, ``count``); a matrix (``row``,
        ``column``, ``value``).
    table : pandas.DataFrame
    axis : str
        What the numbers are, with units.
    reference : tuple of float
        Where dashed lines stand.
    description : str
        For a screen reader: what the figure shows, with numbers.
    """

    kind: str
    table: pd.DataFrame
    axis: str
    reference: tuple[float, ...] = ()
    description: str = ""


COLUMNS = ("what", "value", "low", "high", "p_value", "n", "note")


def table(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """An evidence table: the columns of :class:`Report`, None where nothing is stated."""
    full = [{c: r.get(c) for c in COLUMNS} for r in rows]
    return pd.DataFrame(full, columns=list(COLUMNS), dtype=object)


def row(
    what: str,
    found: Estimate | None = None,
    *,
    value: float | None = None,
    p_value: float | None = None,
    n: int | None = None,
    note: str = "",
) -> dict[str, Any]:
    """A row of an evidence table, from an estimate with its interval or from a plain number."""
    known: dict[str, Any] = {"value": value, "low": None, "high": None, "p_value": p_value, "n": n}
    if found is not None:
        known |= found.cells() | {"n": n or found.n or None}
    return {"what": what, "note": note} | {
        k: v.item() if isinstance(v, np.generic) else v for k, v in known.items()
    }


def dots(
    rows: Sequence[Mapping[str, Any]],
    axis: str,
    *,
    about: str = "",
    after: str = "",
    digits: int = 2,
    reference: tuple[float, ...] = (0.5,),
) -> Picture | None:
    """The rows that have an interval as dots with intervals; None without any."""
    shown = [r for r in rows if not absent(r["low"])]
    if not shown:
        return None
    said = "; ".join(f"{r['what']} {r['value']:.{digits}f}" for r in shown)
    return Picture(
        "intervals",
        pd.DataFrame(shown)[["what", "value", "low", "high"]],
        axis,
        reference,
        f"Dots with 95 % intervals{about}: {said}.{after}",
    )


def matrix(
    cells: Sequence[tuple[str, str]], values: np.ndarray, axis: str, description: str
) -> Picture:
    """Values of (row, column) as a matrix."""
    frame = pd.DataFrame(cells, columns=["row", "column"]).assign(value=values)
    return Picture("matrix", frame, axis, (), description)


def p_text(p: float) -> str:
    """A p-value to read."""
    return f"p {'< 0.001' if p < 0.001 else f'= {p:.3f}'}"


def number(value: float) -> str:
    """A number in as few characters as tell it apart."""
    if isinstance(value, int) or (float(value).is_integer() and abs(value) >= 10):
        return f"{int(value):,}"
    if math.isinf(value):
        return "infinite" if value > 0 else "minus infinite"
    if abs(value) >= 100:
        return f"{value:,.0f}" if abs(value) < 1e6 else f"{value:.1e}"
    if value != 0 and abs(value) < 0.001:
        return f"{value:.1e}"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"


def excerpt(text: str, width: int = 110) -> str:
    """The text on one line, its middle left out when it is long."""
    flat = " ".join(text.split())
    if len(flat) <= width:
        return flat
    half = (width - 3) // 2
    return flat[:half] + " … " + flat[-half:]


def absent(value: Any) -> bool:
    """Whether a cell of a table is empty."""
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))
