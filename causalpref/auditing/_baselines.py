"""How far one gets without reading: content-blind baselines."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from causalpref.assumptions import group_openings
from causalpref.assumptions.evidence import row, table
from causalpref.data import PreferenceData
from causalpref.estimators import longer_preferred
from causalpref.statistics import cluster_proportion, folds, logistic_fit
from causalpref.text.surface import RESPONSE_FEATURES, surface_features

__all__ = ["baselines"]


def baselines(
    data: PreferenceData,
    *,
    seed: int | np.random.Generator = 0,
    surface: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """How often one is right about the label without reading: by length, position, formatting.

    A reward model's accuracy has to be read against these.

    Parameters
    ----------
    data : PreferenceData
        Prompts of one ``prompt_group`` are neither independent nor on two sides of a fit; without
        groups, those that open with the same human turn. Position predicts nothing where
        ``order_known`` is False.
    seed : int or numpy.random.Generator
        For the folds.
    surface : pandas.DataFrame, optional
        Of :func:`causalpref.text.surface.surface_features`, when it was computed before.

    Returns
    -------
    pandas.DataFrame
        ``what``, ``value`` (accuracy, a coin for ties; None where it makes no sense), ``low``,
        ``high`` (95 %, robust to dependence within groups), ``n`` (pairs), ``note``. A rule is
        reversed when the reverse is more accurate, and named accordingly; the logistic
        regression on the surface is cross-fitted. With two to six objectives, "the longer one
        wins" follows for each, never reversed.
    """
    data = group_openings(data)
    if surface is None:
        surface = surface_features(data.responses)
    group, n, y = data.pair_group, len(data), data.label
    first, second = data.pairs.T
    longer = longer_preferred(data)
    ties = (
        f"{(longer == 0.5).mean():.1%} of pairs are equally long" if (longer == 0.5).any() else ""
    )
    rows = [_rule(longer, group, "the longer one wins", "the shorter one wins", ties)]
    if data.order_known and 0 < y.sum() < n:
        rows.append(_rule(y.astype(float), group, "the first one wins", "the second one wins"))
    else:
        why = "all labels are the same" if data.order_known else "order shown not recorded"
        rows.append(row("the first one wins", n=n, note=why))
    marks = surface["formatting"].to_numpy()
    gap = marks[first] - marks[second]
    if gap.any():
        rows.append(
            _rule(
                _hits(gap, y),
                group,
                "the one with more formatting wins",
                "the one with less formatting wins",
                f"{(gap == 0).mean():.1%} of pairs have equally much",
            )
        )
    rows.append(_regression(data, surface, seed))
    values = np.empty(0) if data.objective is None else np.unique(data.objective)
    if 2 <= len(values) <= 6:
        for value, name in zip(values, data.names_of("objective", values)):
            here = data.objective == value
            rows.append(_rule(longer[here], group[here], f"the longer one wins, objective {name}"))
    return table(rows).drop(columns="p_value")


def _regression(
    data: PreferenceData, surface: pd.DataFrame, seed: int | np.random.Generator
) -> dict[str, Any]:
    """Cross-fitted logistic regression of the label on differences of the surface."""
    what, n, y, group = "logistic regression on the surface", len(data), data.label, data.pair_group
    z = surface[list(RESPONSE_FEATURES)].to_numpy()
    d = z[data.pairs[:, 0]] - z[data.pairs[:, 1]]
    size = np.sqrt((d**2).mean(axis=0))
    d = d[:, size > 1e-9] / size[size > 1e-9]
    kept = [name for name, s in zip(RESPONSE_FEATURES, size) if s > 1e-9]
    if n < 20 or len(np.unique(group)) < 5 or not kept:
        why = "too few pairs" if kept else "the surface never differs within a pair"
        return row(what, n=n, note=why)
    fold = folds(group, 5, seed=seed)
    margin = np.zeros(n)
    for k in range(fold.max() + 1):
        held = fold == k
        fit = logistic_fit(d[~held], y[~held].astype(float), ridge=1.0)
        margin[held] = d[held] @ fit.weights
    note = f"cross-fitted, on differences in {', '.join(kept)}"
    return _rule(_hits(margin, y), group, what, note=note)


def _hits(margin: np.ndarray, label: np.ndarray) -> np.ndarray:
    """1 where a margin has the sign of the label, a half where it is 0."""
    return np.where(margin == 0, 0.5, (margin > 0) == (label == 1))


def _rule(
    hit: np.ndarray, group: np.ndarray, what: str, opposite: str = "", note: str = ""
) -> dict[str, Any]:
    """A row for a rule that is right where ``hit`` is 1, or for its opposite if that is better."""
    if opposite and hit.mean() < 0.5:
        hit, what = 1 - hit, opposite
    return row(what, cluster_proportion(hit, group), note=note)
