"""Quantities one may want to know of preferences, with intervals."""

from __future__ import annotations

import numpy as np

from causalpref.data import PreferenceData

__all__ = ["longer_preferred", "mean_interval"]


def longer_preferred(data: PreferenceData, *, tie: float = 0.5) -> np.ndarray:
    """1 for each pair whose longer response is preferred, 0 where the shorter one is.

    Parameters
    ----------
    data : PreferenceData
    tie : float
        Value for two responses of one length, in characters: 0.5 by default, so that
        the mean is the accuracy of "the longer one wins" with a coin for ties.

    Returns
    -------
    array of float, shape (n_pairs,)
    """
    length = np.array([len(text) for text in data.responses])
    first, second = length[data.pairs].T
    return np.where(first == second, tie, (first > second) == data.label)


def mean_interval(values: np.ndarray, clusters: np.ndarray, *, seed: int | np.random.Generator,
                  level: float = 0.95, draws: int = 2000) -> tuple[float, float, float]:
    """Mean with a percentile interval from a bootstrap over whole clusters.

    Pairs of one prompt are not independent, so prompts are redrawn, not pairs.

    Parameters
    ----------
    values : array of float, shape (n,)
    clusters : array, shape (n,)
        Equal values belong together, e.g. ``data.pair_prompt``.
    seed : int or numpy.random.Generator
    level : float
        Nominal coverage.
    draws : int
        Bootstrap samples.

    Returns
    -------
    mean, low, high : float

    Raises
    ------
    ValueError
        No values, lengths that differ, or fewer than two clusters.
    """
    values, clusters = np.asarray(values, dtype=float), np.asarray(clusters)
    if values.shape != clusters.shape or values.ndim != 1 or len(values) == 0:
        raise ValueError(f"values {values.shape} and clusters {clusters.shape} must be two "
                         "vectors of one length above 0")
    _, member = np.unique(clusters, return_inverse=True)
    n = member.max() + 1
    if n < 2:
        raise ValueError("all values are in one cluster: there is nothing to redraw")
    sums = np.bincount(member, weights=values)
    counts = np.bincount(member).astype(float)
    rng = np.random.default_rng(seed)
    means = np.empty(draws)
    for i in range(draws):
        weight = np.bincount(rng.integers(0, n, n), minlength=n)
        means[i] = weight @ sums / (weight @ counts)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(values.mean()), float(low), float(high)
