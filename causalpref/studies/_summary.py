"""Tables of many runs, summed up."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

__all__ = ["summarise"]


def summarise(runs: pd.DataFrame, by: Sequence[str], value: str = "accuracy") -> pd.DataFrame:
    """Mean over seeds with its standard error.

    Parameters
    ----------
    runs : pandas.DataFrame
        One row a run and group, with the columns ``by``, ``seed`` and ``value``.
    by : sequence of str
    value : str

    Returns
    -------
    pandas.DataFrame
        ``by``, ``mean``, ``se`` (sample standard deviation over seeds divided by the
        root of their number; nan for a single one) and ``seeds``. Order of first appearance.
    """
    grouped = runs.groupby(list(by), sort=False)[value]
    return grouped.agg(mean="mean", se="sem", seeds="count").reset_index()
