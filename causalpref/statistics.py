"""Statistics, once: fits, cluster-robust inference, tests, folds and resampling.

Arrays in, arrays or small frozen results out. Nothing here knows of preferences. ``clusters``
holds a value for each row; rows with equal values may depend on one another.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special, stats

__all__ = [
    "Estimate",
    "LogisticFit",
    "ScoreTest",
    "auc",
    "auc_interval",
    "cluster_proportion",
    "cluster_sums",
    "distinct",
    "folds",
    "holm",
    "logistic_fit",
    "ridge_scores",
    "score_test",
    "standardised",
    "unit_spread",
    "wilson_interval",
]

WIDEST = 256
"""Columns that a fit works with; wider features are projected to this many first."""
TINY = 1e-9
"""A spread below this share of the largest value is rounding."""


@dataclass(frozen=True)
class Estimate:
    """A number with its interval.

    Parameters
    ----------
    value : float
    low, high : float
        Ends of the interval.
    se : float
        Standard error; NaN where the interval does not come from one.
    n : int
        Observations that it rests on.
    """

    value: float
    low: float
    high: float
    se: float = np.nan
    n: int = 0


@dataclass(frozen=True)
class LogisticFit:
    """A logistic regression.

    Parameters
    ----------
    weights : array, shape (d,)
    """

    weights: np.ndarray


@dataclass(frozen=True)
class ScoreTest:
    """A score test of added columns.

    Parameters
    ----------
    statistic : float
        Chi squared in large samples.
    df : int
        Degrees of freedom: independent directions among the added columns.
    p_value : float
    z : array, shape (q,)
        For each added column alone.
    """

    statistic: float
    df: int
    p_value: float
    z: np.ndarray


# -- features ----------------------------------------------------------------


def standardised(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Columns of mean 0 and standard deviation 1; constant ones dropped, many ones projected."""
    if x.shape[1] > WIDEST:
        x = x @ (rng.standard_normal((x.shape[1], WIDEST)) / np.sqrt(x.shape[1]))
    sd = x.std(axis=0)
    keep = sd > TINY * np.abs(x).max(axis=0, initial=0)
    return (x[:, keep] - x[:, keep].mean(axis=0)) / sd[keep]


def unit_spread(x: np.ndarray) -> np.ndarray:
    """Columns of mean 0 and standard deviation 1; those that do not vary become 0."""
    sd = x.std(axis=0)
    varies = sd > TINY * np.abs(x).max(axis=0, initial=0)
    return np.where(varies, (x - x.mean(axis=0)) / np.where(varies, sd, 1), 0.0)


def distinct(x: np.ndarray) -> np.ndarray:
    """Columns scaled to root mean square 1, without those that depend on others before them."""
    size = np.sqrt((x**2).mean(axis=0))
    live = size > 1e-150
    x = x[:, live] / size[live]
    if x.shape[1] == 0:
        return x
    sample = x if len(x) <= 20_000 else x[:: len(x) // 20_000 + 1]
    r = np.abs(np.diag(np.linalg.qr(sample, mode="r")))
    n = min(len(sample), x.shape[1])
    keep = np.zeros(x.shape[1], dtype=bool)
    keep[:n] = r[:n] > 1e-6 * max(r.max(), 1e-300)
    return x[:, keep]


# -- folds ---


def folds(clusters: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    """The fold, 0 to k - 1, of each row, shape (n,); rows of one cluster share it."""
    values, member = np.unique(clusters, return_inverse=True)
    k = min(k, len(values))
    return rng.permutation(np.arange(len(values)) % k)[member]


# -- ridge scores ----------------------------------------------------------


def ridge_scores(x: np.ndarray, y: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """Out-of-fold ridge predictions of every column of y at once, shape of y.

    The penalty is n (0.05 + q / n) for q standardised columns. One factorisation a fold
    serves all outcomes, so a permutation test costs little more than one fit.
    """
    out = np.zeros_like(y, dtype=float)
    n, q = x.shape
    if q == 0:
        return out
    gram, cross = x.T @ x, x.T @ y
    for k in range(fold.max() + 1):
        held = fold == k
        xh, yh = x[held], y[held]
        m = n - len(xh)
        centre = (y.sum(axis=0) - yh.sum(axis=0)) / max(m, 1)
        mean = -xh.sum(axis=0) / max(m, 1)  # of the training rows: all rows have mean 0
        a = gram - xh.T @ xh - m * np.outer(mean, mean)
        a[np.diag_indices(q)] += 0.05 * m + q
        b = cross - xh.T @ yh - m * np.outer(mean, centre)
        out[held] = centre + (xh - mean) @ np.linalg.solve(a, b)
    return out


def auc(score: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """P(a positive scores above a negative), ties one half; one value for each column.

    Parameters
    ----------
    score : array, shape (n, p)
    positive : array of bool, shape (n, p)
    """
    rank = stats.rankdata(score, axis=0)
    ones = positive.sum(axis=0)
    zeros = len(score) - ones
    area = (rank * positive).sum(axis=0) - ones * (ones + 1) / 2
    return area / np.maximum(ones * zeros, 1)


def auc_interval(score: np.ndarray, positive: np.ndarray) -> Estimate:
    """AUC with its 95 % interval on the logit scale, standard error by DeLong et al. (1988)."""
    ones, zeros = score[positive], score[~positive]
    rank, n1, n0 = stats.rankdata(score), len(ones), len(zeros)
    above = (rank[positive] - stats.rankdata(ones)) / n0  # share of zeros below each one
    below = 1 - (rank[~positive] - stats.rankdata(zeros)) / n1
    area = float(above.mean())
    variance = sum(np.var(v, ddof=1) / len(v) if len(v) > 1 else 0.25 for v in (above, below))
    # all ranked right: no spread to estimate from; take that of one pair in the wrong order
    p = np.clip(area, 0.5 / max(n1, n0, 1), 1 - 0.5 / max(n1, n0, 1))
    half = 1.96 * max(np.sqrt(variance), 1 / (n1 * n0)) / (p * (1 - p))
    low, high = special.expit(special.logit(p) + np.array([-half, half]))
    return Estimate(
        area, float(min(low, area)), float(max(high, area)), float(np.sqrt(variance)), len(score)
    )


# -- logistic fits ---------------------------------------------------------


def logistic_fit(
    x: np.ndarray, y: np.ndarray, *, ridge: float = 0.0, offset: float | np.ndarray = 0.0
) -> LogisticFit:
    """Weights of a logistic regression with an L2 penalty of ridge / 2 |w|^2, by Newton's method.

    Always finite when ``ridge`` is positive, whatever the labels.
    """
    w = np.zeros(x.shape[1])
    penalty = ridge * np.eye(x.shape[1])
    sign = 1 - 2 * y

    def loss(w: np.ndarray) -> float:
        return np.logaddexp(0, sign * (x @ w + offset)).sum() + ridge / 2 * w @ w

    value = loss(w)
    for _ in range(50):
        p = special.expit(x @ w + offset)
        gradient = x.T @ (y - p) - ridge * w
        step = np.linalg.lstsq((x * (p * (1 - p))[:, None]).T @ x + penalty, gradient, rcond=1e-12)[
            0
        ]
        size = 1.0
        while (new := loss(w + size * step)) > value + 1e-12 * abs(value) and size > 1e-8:
            size /= 2
        w, value = w + size * step, new
        if np.abs(size * step).max(initial=0) < 1e-9:
            break
    return LogisticFit(w)


def cluster_sums(values: np.ndarray, clusters: np.ndarray) -> np.ndarray:
    """Sums of the rows of each cluster, shape (n_clusters,) or (n_clusters, q)."""
    found, member = np.unique(clusters, return_inverse=True)
    if values.ndim == 1:
        return np.bincount(member, weights=values)
    if values.shape[1] == 0:
        return np.zeros((len(found), 0))
    return np.stack([np.bincount(member, weights=v) for v in values.T], axis=1)


def cluster_proportion(values: np.ndarray, clusters: np.ndarray) -> Estimate:
    """Mean of numbers in [0, 1] with a 95 % Wilson interval at the effective sample size.

    The effective size divides n by the design effect of the clusters, so that rows of one
    cluster do not count as independent.
    """
    n = len(values)
    p = float(values.mean())
    sums = cluster_sums(values - p, clusters)
    g = len(sums)
    plain = p * (1 - p) / n
    robust = (sums**2).sum() / n**2 * g / max(g - 1, 1)
    size = n / max(1.0, robust / plain) if plain > 1e-12 else g
    return Estimate(p, *wilson_interval(p, size), n=n)


def wilson_interval(p: float, n: float) -> tuple[float, float]:
    """The 95 % Wilson interval of a proportion p among n."""
    z = 1.959964
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * np.sqrt(max(p * (1 - p), 0) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    return (
        0.0 if p == 0 else float(max(centre - half, 0)),
        1.0 if p == 1 else float(min(centre + half, 1)),
    )


def score_test(
    base: np.ndarray, extra: np.ndarray, label: np.ndarray, clusters: np.ndarray
) -> ScoreTest:
    """Do columns ``extra`` help a logistic model on ``base``? A score test, robust to clusters.

    Parameters
    ----------
    base : array, shape (n, p)
    extra : array, shape (n, q)
    label : array of {0, 1}, shape (n,)
    clusters : array, shape (n,)
    """
    if extra.shape[1] == 0:
        return ScoreTest(0.0, 0, 1.0, np.zeros(0))
    w = logistic_fit(base, label, ridge=1e-6).weights
    p = special.expit(base @ w)
    weight = p * (1 - p)
    scaled = base * np.sqrt(weight)[:, None]
    target = extra * np.sqrt(weight)[:, None]
    fitted = np.linalg.lstsq(scaled, target, rcond=1e-10)[0]
    left = extra - base @ fitted
    left[:, (left**2).sum(axis=0) < TINY * (extra**2).sum(axis=0)] = 0  # nothing new in these
    by_cluster = cluster_sums(left * (label - p)[:, None], clusters)
    u = by_cluster.sum(axis=0)
    n_clusters = len(by_cluster)
    spread = by_cluster.T @ by_cluster
    alone = np.sqrt(np.diag(spread))
    z = np.divide(u, alone, out=np.zeros_like(u), where=alone > 1e-9 * max(alone.max(initial=0), 1))
    size = np.diag(spread).copy()
    size[size <= 1e-18 * max(size.max(initial=0), 1e-300)] = np.inf
    correlation = spread / np.sqrt(np.outer(size, size))
    values, vectors = np.linalg.eigh(correlation)
    keep = values > 1e-8 * max(values.max(initial=0), 1e-300)
    df = int(keep.sum())
    if df == 0 or n_clusters <= df:
        return ScoreTest(0.0, 0, 1.0, z)
    along = vectors[:, keep].T @ (u / np.sqrt(size))
    statistic = float((along**2 / values[keep]).sum())
    # Hotelling's T squared for the mean of the clusters' scores: exact F tail for normal scores
    share = statistic / n_clusters
    scaled_f = share / max(1 - share, 1e-12) * (n_clusters - df) / df
    return ScoreTest(statistic, df, float(stats.f.sf(scaled_f, df, n_clusters - df)), z)


def holm(p: np.ndarray) -> np.ndarray:
    """p-values adjusted by Holm's method: the smallest below alpha errs with probability alpha."""
    p = np.asarray(p, dtype=float)
    order = np.argsort(p)
    out = np.empty_like(p)
    out[order] = np.minimum(np.maximum.accumulate(p[order] * (len(p) - np.arange(len(p)))), 1)
    return out
