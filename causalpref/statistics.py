"""Statistics, once: fits, cluster-robust inference, tests, folds and resampling.

Arrays in, arrays or small frozen results out. Nothing here knows of preferences.

``clusters`` has one value for each row, shape (n,): rows with equal values may depend on one
another. Where two kinds of clusters cross (prompts and annotators, say), it has two columns,
shape (n, 2), and variances are those of Cameron, Gelbach & Miller (2011), "Robust inference with
multiway clustering": the two one-way variances, less the one by both at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special, stats

__all__ = [
    "Estimate",
    "LinearFit",
    "Minimum",
    "ScoreTest",
    "auc",
    "auc_interval",
    "cluster_bootstrap",
    "cluster_covariance",
    "cluster_mean",
    "cluster_permutations",
    "cluster_proportion",
    "cluster_sums",
    "correlation_interval",
    "distinct",
    "folds",
    "gaussian_information",
    "holm",
    "independent",
    "logistic_fit",
    "newton",
    "normal_mean",
    "normal_sigmoid",
    "permutation_p_value",
    "projected",
    "proportion",
    "ridge_scores",
    "score_test",
    "sigmoid_slope",
    "standardised",
    "symmetric",
    "unit_spread",
    "wilson_interval",
]

WIDEST = 256
"""Columns that a fit works with; wider features are projected to this many first."""
TINY = 1e-9
"""A spread below this share of the largest value is rounding."""
Z95 = 1.96
"""Half the width of a 95 % normal interval in standard errors, where no level is asked for."""


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
        Rows that it rests on.
    """

    value: float
    low: float
    high: float
    se: float = np.nan
    n: int = 0

    def cells(self, value: str = "value") -> dict[str, Any]:
        """Value and interval as cells of a table, the first under the name given."""
        return {value: self.value, "low": self.low, "high": self.high}


@dataclass(frozen=True)
class Minimum:
    """Where a loss is smallest.

    Parameters
    ----------
    at : array, shape (d,)
    loss : float
    converged : bool
        False if the steps were still moving when their number ran out.
    """

    at: np.ndarray
    loss: float
    converged: bool


@dataclass(frozen=True)
class LinearFit:
    """Weights of a linear predictor, fitted by maximum likelihood or with a ridge.

    Parameters
    ----------
    weights : array, shape (d,)
    covariance : array, shape (d, d)
    loss : float
        Mean negative log-likelihood, nats a row.
    converged : bool
    separated : bool
        Along some direction the labels are predicted perfectly, or nearly so: no finite weights
        fit best. Never with a ridge, which keeps the weights finite.
    """

    weights: np.ndarray
    covariance: np.ndarray
    loss: float
    converged: bool = True
    separated: bool = False

    @property
    def se(self) -> np.ndarray:
        """Standard errors of the weights, shape (d,)."""
        return np.sqrt(np.diag(self.covariance))

    def interval(self, level: float = 0.95) -> np.ndarray:
        """Normal intervals, shape (d, 2)."""
        half = stats.norm.ppf((1 + level) / 2) * self.se
        return np.stack([self.weights - half, self.weights + half], axis=1)


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
        From Hotelling's F, which is exact for normal scores of few clusters.
    z : array, shape (q,)
        For each added column alone.
    """

    statistic: float
    df: int
    p_value: float
    z: np.ndarray


# -- features ----------------------------------------------------------------


def projected(
    x: np.ndarray, width: int = WIDEST, *, seed: int | np.random.Generator = 0
) -> np.ndarray:
    """Columns projected at random to ``width`` of them; as they are if there are no more.

    Parameters
    ----------
    x : array, shape (n, q)
    width : int
    seed : int or numpy.random.Generator
        Decides the projection, whose entries are normal with variance 1 / q.

    Returns
    -------
    array, shape (n, min(q, width))
    """
    if x.shape[1] <= width:
        return x
    rng = np.random.default_rng(seed)
    return x @ (rng.standard_normal((x.shape[1], width)) / np.sqrt(x.shape[1]))


def standardised(x: np.ndarray, *, seed: int | np.random.Generator = 0) -> np.ndarray:
    """Columns of mean 0 and standard deviation 1; constant ones dropped, many ones projected."""
    x = projected(x, seed=seed)
    sd = x.std(axis=0)
    keep = sd > TINY * np.abs(x).max(axis=0, initial=0)
    return (x[:, keep] - x[:, keep].mean(axis=0)) / sd[keep]


def unit_spread(x: np.ndarray) -> np.ndarray:
    """Columns of mean 0 and standard deviation 1; those that do not vary become 0."""
    sd = x.std(axis=0)
    varies = sd > TINY * np.abs(x).max(axis=0, initial=0)
    return np.where(varies, (x - x.mean(axis=0)) / np.where(varies, sd, 1), 0.0)


def independent(x: np.ndarray) -> np.ndarray:
    """Which columns do not depend on others before them, shape (q,), bool.

    Columns that are zero are left out too.
    """
    size = np.sqrt((x**2).mean(axis=0))
    keep = size > 1e-150
    if not keep.any():
        return keep
    live = x[:, keep] / size[keep]
    sample = live if len(live) <= 20_000 else live[:: len(live) // 20_000 + 1]
    r = np.abs(np.diag(np.linalg.qr(sample, mode="r")))
    n = min(len(sample), live.shape[1])
    new = np.zeros(live.shape[1], dtype=bool)
    new[:n] = r[:n] > 1e-6 * max(r.max(), 1e-300)
    keep[keep] = new
    return keep


def distinct(x: np.ndarray) -> np.ndarray:
    """Columns scaled to root mean square 1, without those that depend on others before them."""
    x = x[:, independent(x)]
    return x / np.sqrt((x**2).mean(axis=0))


# -- out-of-fold scores ------------------------------------------------------


def folds(clusters: np.ndarray, k: int, *, seed: int | np.random.Generator = 0) -> np.ndarray:
    """Folds for cross-fitting: rows of one cluster share a fold.

    Parameters
    ----------
    clusters : array, shape (n,)
    k : int
        Number of folds; with fewer clusters there are only as many folds as clusters.
    seed : int or numpy.random.Generator

    Returns
    -------
    array of int, shape (n,)
        The fold of each row, 0 to k - 1. Folds hold equally many clusters, give or take one.
    """
    values, member = np.unique(clusters, return_inverse=True)
    k = min(k, len(values))
    return np.random.default_rng(seed).permutation(np.arange(len(values)) % k)[member]


def ridge_scores(x: np.ndarray, y: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """Out-of-fold ridge predictions of every column of y at once.

    The penalty is n (0.05 + q / n) for q standardised columns. One factorisation a fold
    serves all outcomes, so a permutation test costs little more than one fit.

    Parameters
    ----------
    x : array, shape (n, q)
        Columns of mean 0 and standard deviation 1 (:func:`standardised`).
    y : array, shape (n, m)
    fold : array of int, shape (n,)
        See :func:`folds`.

    Returns
    -------
    array, shape (n, m)
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
    """AUC with its 95 % interval on the logit scale, standard error by DeLong et al. (1988).

    Parameters
    ----------
    score : array, shape (n,)
    positive : array of bool, shape (n,)

    Returns
    -------
    Estimate
        Where every positive ranks above every negative there is no spread to estimate from: the
        end inside (0, 1) is then that of a sample with one pair in the wrong order.
    """
    ones, zeros = score[positive], score[~positive]
    rank, n1, n0 = stats.rankdata(score), len(ones), len(zeros)
    above = (rank[positive] - stats.rankdata(ones)) / n0  # share of zeros below each one
    below = 1 - (rank[~positive] - stats.rankdata(zeros)) / n1
    area = float(above.mean())
    variance = sum(np.var(v, ddof=1) / len(v) if len(v) > 1 else 0.25 for v in (above, below))
    p = np.clip(area, 0.5 / max(n1, n0, 1), 1 - 0.5 / max(n1, n0, 1))
    half = Z95 * max(np.sqrt(variance), 1 / (n1 * n0)) / (p * (1 - p))
    low, high = special.expit(special.logit(p) + np.array([-half, half]))
    return Estimate(
        area, float(min(low, area)), float(max(high, area)), float(np.sqrt(variance)), len(score)
    )


# -- fits --------------------------------------------------------------------


def newton(
    loss: Callable[[np.ndarray], float],
    derivatives: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]],
    start: np.ndarray,
    *,
    most: int = 100,
    tolerance: float = 1e-10,
) -> Minimum:
    """The minimum of a smooth convex loss by Newton's method; a step that overshoots is halved.

    Parameters
    ----------
    loss : callable
        Of weights, shape (d,).
    derivatives : callable
        Gradient, shape (d,), and curvature, shape (d, d), of the loss at some weights. The
        expected curvature makes it Fisher scoring. A singular one gives the shortest step.
    start : array, shape (d,)
    most : int
        Steps.
    tolerance : float
        A step that moves no weight by more than this is the last.
    """
    w = np.array(start, dtype=float)
    value = loss(w)
    for _ in range(most):
        gradient, curvature = derivatives(w)
        step = np.linalg.lstsq(curvature, -gradient, rcond=1e-12)[0]
        size = 1.0
        while (new := loss(w + size * step)) > value + 1e-12 * max(abs(value), 1) and size > 1e-8:
            size /= 2
        w, value = w + size * step, new
        if np.abs(size * step).max(initial=0) < tolerance:
            return Minimum(w, float(value), True)
    return Minimum(w, float(value), False)


def logistic_fit(
    x: np.ndarray,
    y: np.ndarray,
    *,
    ridge: float = 0.0,
    offset: float | np.ndarray = 0.0,
    clusters: np.ndarray | None = None,
) -> LinearFit:
    """Logistic regression P(y = 1) = sigmoid(x w + offset), without an intercept.

    Parameters
    ----------
    x : array, shape (n, d)
    y : array of {0, 1}, shape (n,)
    ridge : float
        Penalty of ridge / 2 times w @ w. If positive, the weights are finite whatever the labels,
        and ``covariance`` is that of the Laplace approximation under a normal prior of variance
        1 / ridge.
    offset : float or array, shape (n,)
    clusters : array, shape (n,) or (n, 2), optional
        For a covariance that is robust to dependence within clusters (:func:`cluster_covariance`,
        between two inverses of the curvature). Default: the inverse of the curvature.
    """
    penalty = ridge * np.eye(x.shape[1])
    sign = 1 - 2 * y

    def nll(w: np.ndarray) -> float:
        return np.logaddexp(0, sign * (x @ w + offset)).sum()

    def derivatives(w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        p = special.expit(x @ w + offset)
        return x.T @ (p - y) + ridge * w, (x * (p * (1 - p))[:, None]).T @ x + penalty

    found = newton(lambda w: float(nll(w) + ridge / 2 * w @ w), derivatives, np.zeros(x.shape[1]))
    w, curvature = found.at, derivatives(found.at)[1]
    regular = np.linalg.matrix_rank(curvature, hermitian=True) == len(curvature)
    covariance = np.linalg.inv(curvature) if regular else np.linalg.pinv(curvature, hermitian=True)
    if clusters is not None:
        scores = x * (y - special.expit(x @ w + offset))[:, None]
        covariance = covariance @ cluster_covariance(scores, clusters) @ covariance
    return LinearFit(
        w,
        covariance,
        float(nll(w) / max(len(x), 1)),
        found.converged,
        ridge == 0 and _smallest_share(curvature, x.T @ x) < 1e-7,
    )


def _smallest_share(a: np.ndarray, b: np.ndarray) -> float:
    """The smallest of v'a v / v'b v over directions in which b is not 0."""
    values, vectors = np.linalg.eigh(b)
    keep = values > 1e-12 * values.max(initial=0)
    if not keep.any():
        return np.inf
    root = vectors[:, keep] / np.sqrt(values[keep])
    return float(np.linalg.eigvalsh(root.T @ a @ root)[0])


# -- cluster-robust inference ------------------------------------------------


def cluster_sums(values: np.ndarray, clusters: np.ndarray) -> np.ndarray:
    """Sums of the rows of each cluster, shape (n_clusters,) or (n_clusters, q)."""
    found, member = np.unique(clusters, return_inverse=True)
    if values.ndim == 1:
        return np.bincount(member, weights=values)
    if values.shape[1] == 0:
        return np.zeros((len(found), 0))
    return np.stack([np.bincount(member, weights=v) for v in values.T], axis=1)


def _crossed(clusters: np.ndarray, n: int) -> list[np.ndarray]:
    """Numbers of the clusters of each row: one array, or two and their intersection."""
    clusters = np.asarray(clusters)
    if clusters.shape not in ((n,), (n, 2)):
        raise ValueError(f"clusters has shape {clusters.shape}, expected ({n},) or ({n}, 2)")
    if clusters.ndim == 1:
        return [np.unique(clusters, return_inverse=True)[1]]
    a, b = (np.unique(column, return_inverse=True)[1] for column in clusters.T)
    return [a, b, np.unique(a * (b.max(initial=0) + 1) + b, return_inverse=True)[1]]


def _fewest(crossed: list[np.ndarray]) -> int:
    return min(int(member.max(initial=-1)) + 1 for member in crossed)


def cluster_covariance(
    scores: np.ndarray, clusters: np.ndarray, *, small_sample: bool = True
) -> np.ndarray:
    """Covariance of the sum of rows of mean 0 that may depend on one another within clusters.

    The middle of a sandwich: with the inverse B of a likelihood's curvature and the scores of
    its rows, B @ cluster_covariance(scores, clusters) @ B is the robust covariance of the fit.

    Parameters
    ----------
    scores : array, shape (n,) or (n, d)
    clusters : array, shape (n,) or (n, 2)
    small_sample : bool
        Multiply by G / (G - 1) for G clusters.

    Returns
    -------
    array, shape () or (d, d)
        Two-way covariances are made positive semi-definite: negative eigenvalues become 0
        (Cameron, Gelbach & Miller, 2011, section 2.3).

    Raises
    ------
    ValueError
        Clusters that do not go with the scores.
    """

    def one_way(member: np.ndarray) -> np.ndarray:
        sums = cluster_sums(scores, member)
        factor = len(sums) / max(len(sums) - 1, 1) if small_sample else 1.0
        return np.asarray(sums.T @ sums * factor)

    parts = [one_way(member) for member in _crossed(clusters, len(scores))]
    if len(parts) == 1:
        return parts[0]
    total = parts[0] + parts[1] - parts[2]
    if total.ndim == 0:
        return np.maximum(total, 0)
    values, vectors = np.linalg.eigh(total)
    return total if (values >= 0).all() else (vectors * np.maximum(values, 0)) @ vectors.T


def cluster_mean(
    values: np.ndarray, clusters: np.ndarray, *, small_sample: bool = True
) -> Estimate:
    """Mean with a cluster-robust standard error and a 95 % normal interval.

    Parameters
    ----------
    values : array, shape (n,)
    clusters : array, shape (n,) or (n, 2)
    small_sample : bool
        See :func:`cluster_covariance`.

    Returns
    -------
    Estimate
        Standard error and interval are NaN when all rows are in one cluster.

    Raises
    ------
    ValueError
        Clusters that do not go with the values, or no values.
    """
    values = np.asarray(values, dtype=float)
    n = len(values)
    if n == 0:
        raise ValueError("there are no values to take the mean of")
    mean = float(values.mean())
    variance = cluster_covariance(values - mean, clusters, small_sample=small_sample)
    se = float(np.sqrt(variance)) / n if _fewest(_crossed(clusters, n)) > 1 else np.nan
    return Estimate(mean, mean - Z95 * se, mean + Z95 * se, se, n)


def cluster_proportion(values: np.ndarray, clusters: np.ndarray) -> Estimate:
    """Mean of numbers in [0, 1] with a 95 % Wilson interval at the effective sample size.

    The effective size divides n by the design effect of the clusters, which is at least 1, so that
    rows of one cluster do not count as independent. If all values are 0 or all are 1, each cluster
    counts as one row.

    Parameters
    ----------
    values : array, shape (n,)
    clusters : array, shape (n,) or (n, 2)
    """
    n = len(values)
    p = float(values.mean())
    plain = p * (1 - p) / n
    if plain > 1e-12:
        robust = float(cluster_covariance(values - p, clusters)) / n**2
        size = n / max(1.0, robust / plain)
    else:
        size = _fewest(_crossed(clusters, n))
    low, high = wilson_interval(p, size)
    return Estimate(p, float(low), float(high), n=n)


def cluster_bootstrap(
    values: np.ndarray,
    clusters: np.ndarray,
    *,
    seed: int | np.random.Generator = 0,
    level: float = 0.95,
    draws: int = 2000,
) -> Estimate:
    """Mean with a percentile interval from a bootstrap over whole clusters.

    Parameters
    ----------
    values : array of float, shape (n,)
    clusters : array, shape (n,)
    seed : int or numpy.random.Generator
    level : float
        Nominal coverage.
    draws : int
        Bootstrap samples.

    Raises
    ------
    ValueError
        No values, lengths that differ, or fewer than two clusters.
    """
    values, clusters = np.asarray(values, dtype=float), np.asarray(clusters)
    if values.shape != clusters.shape or values.ndim != 1 or len(values) == 0:
        raise ValueError(
            f"values {values.shape} and clusters {clusters.shape} must be two "
            "vectors of one length above 0"
        )
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
    return Estimate(float(values.mean()), float(low), float(high), float(means.std()), len(values))


# -- intervals ---------------------------------------------------------------


def wilson_interval(
    p: float | np.ndarray, n: float | np.ndarray, *, level: float = 0.95
) -> tuple[np.ndarray, np.ndarray]:
    """Low and high end of the Wilson interval of a proportion.

    Parameters
    ----------
    p : float or array, shape (...)
        Proportions, in [0, 1].
    n : float or array, shape (...)
        Numbers of independent cases, above 0; they need not be whole.
    level : float
        Confidence level, in (0, 1).

    Returns
    -------
    low, high : array, shape (...)
    """
    z = stats.norm.ppf((1 + level) / 2)
    p, n = np.asarray(p, dtype=float), np.asarray(n, dtype=float)
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * np.sqrt(np.maximum(p * (1 - p), 0) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    low = np.where(p == 0, 0.0, np.maximum(centre - half, 0))
    high = np.where(p == 1, 1.0, np.minimum(centre + half, 1))
    return low[()], high[()]


def proportion(p: float, n: int) -> Estimate:
    """A proportion among n independent cases, with its 95 % Wilson interval."""
    low, high = wilson_interval(p, n)
    return Estimate(p, float(low), float(high), n=n)


def correlation_interval(r: float, n: int) -> tuple[float, float]:
    """Low and high end of the 95 % interval of a correlation of n rows, by Fisher's z."""
    half = Z95 / np.sqrt(max(n - 3, 1))
    z = np.arctanh(np.clip(r, -1 + 1e-12, 1 - 1e-12))
    return float(np.tanh(z - half)), float(np.tanh(z + half))


# -- tests -------------------------------------------------------------------


def cluster_permutations(
    values: np.ndarray, clusters: np.ndarray, draws: int, *, seed: int | np.random.Generator = 0
) -> np.ndarray:
    """Values as they are, then ``draws`` times permuted: shape (n, 1 + draws).

    Where every cluster has one value, the values of whole clusters are permuted; else those of
    single rows, since what varies within clusters was assigned to rows.

    Parameters
    ----------
    values : array, shape (n,)
    clusters : array, shape (n,)
    draws : int
    seed : int or numpy.random.Generator
    """
    rng = np.random.default_rng(seed)
    first, member = np.unique(clusters, return_index=True, return_inverse=True)[1:]
    if (values[first][member] != values).any():
        first = member = np.arange(len(values))
    rows = [first, *(first[rng.permutation(len(first))] for _ in range(draws))]
    return np.stack([values[row[member]] for row in rows], axis=1)


def permutation_p_value(observed: float, drawn: np.ndarray) -> float:
    """One-sided p-value (1 + #{drawn >= observed}) / (1 + number drawn) (Phipson & Smyth, 2010).

    The 1 counts the observed value among the draws, which makes the test exact. Values that are
    equal up to rounding count as ties, against the observed one.
    """
    return float((1 + (np.asarray(drawn) >= observed - 1e-12).sum()) / (1 + len(drawn)))


def score_test(
    base: np.ndarray, extra: np.ndarray, label: np.ndarray, clusters: np.ndarray
) -> ScoreTest:
    """Do columns ``extra`` help a logistic model on ``base``? A score test, robust to clusters.

    Parameters
    ----------
    base : array, shape (n, p)
    extra : array, shape (n, q)
    label : array of {0, 1}, shape (n,)
    clusters : array, shape (n,) or (n, 2)
        Two-way variances are never taken to be smaller than those of the fewer clusters alone.
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
    scores = left * (label - p)[:, None]
    u = scores.sum(axis=0)
    n_clusters = _fewest(_crossed(clusters, len(scores)))
    spread = _score_spread(scores, clusters)
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


def _score_spread(scores: np.ndarray, clusters: np.ndarray) -> np.ndarray:
    """Covariance of the sum of the scores; the two-way one is floored at that of one way."""
    total = cluster_covariance(scores, clusters, small_sample=False)
    if np.ndim(clusters) == 1:
        return total
    columns = np.asarray(clusters).T
    fewer = min(columns, key=lambda column: len(np.unique(column)))
    floor = cluster_covariance(scores, fewer, small_sample=False)
    values, vectors = np.linalg.eigh(floor)
    keep = values > 1e-10 * max(values.max(initial=0), 1e-300)
    half = vectors[:, keep] * np.sqrt(values[keep])
    white = vectors[:, keep] / np.sqrt(values[keep])
    ratio, along = np.linalg.eigh(white.T @ total @ white)
    whole = half @ along
    return (whole * np.maximum(ratio, 1)) @ whole.T


def holm(p: np.ndarray) -> np.ndarray:
    """p-values adjusted by Holm's method: the smallest below alpha errs with probability alpha."""
    p = np.asarray(p, dtype=float)
    order = np.argsort(p)
    out = np.empty_like(p)
    out[order] = np.minimum(np.maximum.accumulate(p[order] * (len(p) - np.arange(len(p)))), 1)
    return out


# -- means under a normal logit --------------------------------------------

_U = np.arange(-9, 9.25, 0.5)  # standard deviations; step 0.5
_PHI = np.exp(-(_U**2) / 2) / np.sqrt(2 * np.pi) * 0.5
_T = np.arange(-42, 42.25, 0.5)  # logits


def normal_mean(
    f: Callable[[np.ndarray], np.ndarray], mean: np.ndarray, sd: np.ndarray
) -> np.ndarray:
    """E[f(t)], t normal, for an analytic f that dies out beyond 42: sums of equal steps.

    The trapezoidal rule is exact to rounding here: the nearest singularity of functions of a
    sigmoid lies pi off the real axis, and the step in t is at most a half.
    """
    out = np.empty(len(mean))
    small = sd < 1
    out[small] = f(mean[small, None] + sd[small, None] * _U) @ _PHI
    far = ~small
    z = (_T - mean[far, None]) / sd[far, None]
    out[far] = (np.exp(-(z**2) / 2) @ f(_T)) * 0.5 / (np.sqrt(2 * np.pi) * sd[far])
    return out


def normal_sigmoid(mean: np.ndarray, sd: np.ndarray) -> np.ndarray:
    """E[sigmoid(t)], t normal."""
    out = np.empty(len(mean))
    small = sd < 1
    out[small] = special.expit(mean[small, None] + sd[small, None] * _U) @ _PHI
    far = ~small  # sigmoid(t) is the chance that t + a logistic variable is positive
    out[far] = special.ndtr((mean[far, None] + _T) / sd[far, None]) @ sigmoid_slope(_T) * 0.5
    return np.clip(out, 0, 1)


def sigmoid_slope(t: np.ndarray) -> np.ndarray:
    """The derivative of the sigmoid."""
    return special.expit(t) * special.expit(-t)


def gaussian_information(covariance: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Expected information of one label about logistic weights w, for normal features delta.

    E[sigmoid'(w . delta) delta delta'] = s_0 (S - S w w' S / tau^2) + s_2 S w w' S / tau^2 with
    tau^2 = w' S w, s_0 = E[sigmoid'(tau u)], s_2 = E[sigmoid'(tau u) u^2] and u standard normal:
    the information behind the paper's appendix D.1, for any number of features. The mean is zero.

    Parameters
    ----------
    covariance : array, shape (d, d)
        S, of delta (equation 7).
    weights : array, shape (d,)

    Returns
    -------
    array, shape (d, d)

    Raises
    ------
    ValueError
        A covariance that is not symmetric and positive semi-definite, or shapes that do not fit.
    """
    s = symmetric("covariance", covariance, semidefinite=True)
    w = np.asarray(weights, dtype=float)
    if w.shape != (len(s),):
        raise ValueError(f"weights has shape {w.shape}, expected ({len(s)},) to go with covariance")
    tau = float(np.sqrt(max(w @ s @ w, 0.0)))
    if tau < 1e-12:
        return s / 4
    zero, sd = np.zeros(1), np.array([tau])
    s_0 = normal_mean(sigmoid_slope, zero, sd)[0]
    s_2 = normal_mean(lambda t: sigmoid_slope(t) * t**2, zero, sd)[0] / tau**2
    u = s @ w / tau
    return s_0 * (s - np.outer(u, u)) + s_2 * np.outer(u, u)


def symmetric(name: str, matrix: np.ndarray, *, semidefinite: bool = False) -> np.ndarray:
    """The matrix, once it is seen to be symmetric and positive (semi-)definite.

    Raises
    ------
    ValueError
        It is not, or holds a number that is not finite; the message begins with ``name``.
    """
    m = np.asarray(matrix, dtype=float)
    if m.ndim != 2 or m.shape[0] != m.shape[1] or not np.isfinite(m).all():
        raise ValueError(f"{name} has shape {m.shape}, expected a square matrix of finite numbers")
    if not np.allclose(m, m.T, rtol=1e-8, atol=1e-10 * max(np.abs(m).max(), 1e-300)):
        raise ValueError(f"{name} is not symmetric")
    low, high = np.linalg.eigvalsh(m)[[0, -1]]
    if (low < -1e-9 * max(high, 0)) if semidefinite else (low <= 1e-13 * high):
        kind = "positive semi-definite" if semidefinite else "positive definite"
        raise ValueError(f"{name} is not {kind}: its smallest eigenvalue is {low:.3g}")
    return (m + m.T) / 2
