"""The chart of a study, kept beside its tables."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from causalpref.figures.hh_rlhf import accuracy_by_rho
from causalpref.figures.ultrafeedback import accuracy_by_correlation

__all__ = ["save_chart"]

_CHARTS = {
    "hh-rlhf": ("figure6.html", accuracy_by_rho, "table2"),
    "ultrafeedback": ("table1.html", accuracy_by_correlation, "table1"),
}


def save_chart(study: str, tables: Mapping[str, pd.DataFrame], folder: Path) -> list[str]:
    """Write the main chart of a study as a page, if it has one; its file names.

    Parameters
    ----------
    study : str
        Name of the study, as in ``causalpref run``.
    tables : mapping of str to pandas.DataFrame
        What it found.
    folder : path
    """
    if study not in _CHARTS:
        return []
    file, chart, table = _CHARTS[study]
    inline = importlib.util.find_spec("vl_convert") is not None  # else it asks a CDN when opened
    chart(tables[table]).save(folder / file, inline=inline)
    return [file]
