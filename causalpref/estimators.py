"""Quantities one may want to know of preferences, with intervals."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd
from scipy import special, stats

from causalpref.data import PreferenceData, expect_preferences
from causalpref.statistics import (
    Estimate,
    LinearFit,
    cluster_covariance,
    logistic_fit,
    wilson_interval,
)

__all__ = [
    "amce",
    "borda_count",
    "delta",
    "expected_utility",
    "fit_linear",
    "longer_preferred",
    "outcome_table",
    "reward_difference",
]


def delta(data: PreferenceData) -> np.ndarray:
    """delta = Z - Z' of every pair (equation 7), shape (n_pairs, m).

    Raises
    ------
    ValueError
        Data without response latents.
    """
    return data.difference("response_latents")


def reward_difference(p: np.ndarray | float) -> np.ndarray | float:
    """R(x, y) - R'(x, y') from P(L(x; y, y') = 1), by corollary 1: the inverse sigmoid.

    Absolute rewards are not identified: adding any function of the prompt to both leaves
    p as it is.

    Parameters
    ----------
    p : float or array in [0, 1]
        0 and 1 give -inf and inf.

    Raises
    ------
    ValueError
        A p outside [0, 1].
    """
    p = np.asarray(p, dtype=float)
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError(f"p = {p[~((p >= 0) & (p <= 1))].flat[0]} is not a probability")
    return special.logit(p)[()]


def outcome_table(data: PreferenceData, *, level: float = 0.95) -> pd.DataFrame:
    """E[L | Z^X, Z^T, Z'^T] cell by cell, for discrete latents (proposition 2).

    Under assumptions 1, 2, 4 and 5 each mean is an expected potential outcome.

    Parameters
    ----------
    data : PreferenceData
        With response latents of few values.
    level : float
        Of the Wilson intervals.

    Returns
    -------
    pandas.DataFrame
        One row for each cell that is not empty: ``zx0, ..., z0, ..., zp0, ...`` (Z^X, Z^T, Z'^T),
        ``mean``, ``low``, ``high``, ``pairs``.
    """
    expect_preferences(data, "outcome_table")
    z = data.require("response_latents")
    columns = {}
    if data.prompt_latents is not None:
        for j, v in enumerate(data.prompt_latents[data.pair_prompt].T):
            columns[f"zx{j}"] = v
    for prefix, rows in zip(("z", "zp"), data.pairs.T):
        for j, v in enumerate(z[rows].T):
            columns[f"{prefix}{j}"] = v
    table = (
        pd.DataFrame(columns)
        .assign(label=data.label)
        .groupby(list(columns))
        .label.agg(["mean", "size"])
        .reset_index()
        .rename(columns={"size": "pairs"})
    )
    low, high = wilson_interval(table["mean"], table["pairs"], level=level)
    table["low"], table["high"] = low, high
    return table[[*columns, "mean", "low", "high", "pairs"]]


def amce(
    data: PreferenceData,
    k: int | str,
    *,
    density: Literal["uniform", "empirical"] = "uniform",
    context: int | str = "ignore",
    level: float = 0.95,
) -> Estimate:
    """Average marginal component effect of latent k (equation 6), for discrete latents.

    The probability that a response with Z^k = 1 is preferred to one with Z^k = 0 that is the
    same in everything else, averaged over everything else with density m; both orders of the
    two are pooled, so with a position bias (R against R') it is an average over places. It is
    estimated without a model: pairs that differ in Z^k alone are averaged within each stratum of
    (Z^X, Z^-k), and the strata are weighted by m. A half means no effect.

    Parameters
    ----------
    data : PreferenceData
        Latent ``k`` of the responses holds 0 and 1.
    k : int or str
        Column of the latent, or its name.
    density : {"uniform", "empirical"}
        m: every stratum that occurs alike, or as often as it occurs among responses. It is
        taken as given: the interval does not cover its estimation.
    context : int or str
        A context, by code or name: the pairs judged in it. ``"ignore"``: all pairs, as if there
        were no C. ``"adjust"``: the average over contexts of the effect in each, weighted by
        their shares of pairs.
    level : float
        Of the interval, which treats the pairs of one prompt, or of one ``prompt_group``, as a
        cluster. Its variance is never below that of independent pairs at rates pulled towards a
        half by two made-up pairs a stratum, so that a handful of unanimous pairs does not pass
        for certainty.

    Returns
    -------
    Estimate
        ``n`` counts the pairs that it rests on.

    Raises
    ------
    ValueError
        A latent or context that is not there, a latent that is not binary, or a stratum without
        a pair that differs in Z^k alone (assumption 5 fails there); the message names it.
    """
    expect_preferences(data, "amce")
    z, k = data.require("response_latents"), data.index_of("response_latents", k)
    latent = f"latent {k} ({data.names_of('response_latents')[k]})"
    if not np.isin(z[:, k], (0, 1)).all():
        values = np.unique(z[:, k])[:6].tolist()
        raise ValueError(
            f"{latent} takes {values}, expected 0 and 1: replace it by an indicator, "
            "such as whether it is above its median"
        )
    adjust = context == "adjust"
    if not adjust and context != "ignore":
        objective = data.require("objective")
        try:
            data = data.select(objective == data.index_of("objective", context))
        except ValueError as error:
            raise ValueError(
                f"context is {context!r}, expected 'ignore', 'adjust' or a context: {error}"
            ) from None

    rest = np.delete(z, k, axis=1)
    if data.prompt_latents is not None:
        rest = np.column_stack([data.prompt_latents[data.response_prompt], rest])
    first, second = data.pairs.T
    if rest.shape[1] == 0:
        rest = np.zeros((len(z), 1))
    strata, stratum = np.unique(rest, axis=0, return_inverse=True)
    stratum = stratum.ravel()
    used = np.unique(data.pairs)
    weight = np.bincount(stratum[used], minlength=len(strata)).astype(float)
    if density == "uniform":
        weight = (weight > 0).astype(float)
    elif density != "empirical":
        raise ValueError(f"density is {density!r}, expected 'uniform' or 'empirical'")
    weight /= weight.sum()

    use = (stratum[first] == stratum[second]) & (z[first, k] != z[second, k])
    won = np.where(z[first, k] == 1, data.label, 1 - data.label)[use].astype(float)
    cell, group = stratum[first][use], data.pair_group[use]
    names = [f"(Z^X, Z^-k) = {row.tolist()}" for row in strata]
    if adjust:
        values, c = np.unique(data.require("objective"), return_inverse=True)
        share = np.bincount(c) / len(c)
        cell = cell * len(values) + c[use]
        names = [f"{name}, {c}" for name in names for c in data.names_of("objective", values)]
        weight = (weight[:, None] * share).ravel()
    n = np.bincount(cell, minlength=len(weight))
    empty = np.flatnonzero((weight > 0) & (n == 0))
    if len(empty):
        raise ValueError(
            f"no pair differs in {latent} alone in {len(empty)} of "
            f"{(weight > 0).sum()} strata, among them {names[empty[0]]}: latent "
            "positivity (assumption 5) fails there, the effect is not identified"
        )
    mean = np.bincount(cell, weights=won, minlength=len(weight)) / np.maximum(n, 1)
    value = float(weight @ mean)
    influence = (weight / np.maximum(n, 1))[cell] * (won - mean[cell])
    robust = float(cluster_covariance(influence, group))
    pulled = (mean * n + 1) / (n + 2)
    floor = (weight**2 * pulled * (1 - pulled) / np.maximum(n, 1)).sum()
    se = float(np.sqrt(max(robust, floor)))
    half = stats.norm.ppf((1 + level) / 2) * se
    return Estimate(value, value - half, value + half, se, int(use.sum()))


def fit_linear(
    features: np.ndarray, label: np.ndarray, *, clusters: np.ndarray | None = None
) -> LinearFit:
    """Bradley-Terry with a linear reward, by maximum likelihood: the plain baseline.

    P(L = 1) = sigmoid(w . delta) (equations 1 and 8): logistic regression without an intercept.

    Parameters
    ----------
    features : array, shape (n, d)
        delta = Z - Z', see :func:`delta`; or differences of embeddings.
    label : array of {0, 1}, shape (n,)
    clusters : array, shape (n,) or (n, 2), optional
        Equal values belong together (``data.pair_group``): standard errors are then
        robust to dependence within them; two columns, such as prompts and annotators, allow for
        both. Default: from the information matrix.

    Returns
    -------
    LinearFit

    Raises
    ------
    ValueError
        Shapes that do not fit, columns that are linearly dependent, or labels that the
        features separate perfectly, so that no finite weights are best.
    """
    x, y = np.asarray(features, dtype=float), np.asarray(label, dtype=float)
    if x.ndim != 2 or len(x) != len(y) or len(x) == 0:
        raise ValueError(f"features {x.shape} and label {y.shape} must be (n, d) and (n,), n > 0")
    bad = np.flatnonzero((y != 0) & (y != 1))
    if len(bad):
        raise ValueError(f"label[{bad[0]}] = {y[bad[0]]:g} is neither 0 nor 1")
    if np.linalg.matrix_rank(x) < x.shape[1]:
        raise ValueError(
            f"the {x.shape[1]} columns of features are linearly dependent: their "
            "weights cannot be told apart"
        )
    fit = logistic_fit(x, y, clusters=clusters)
    if fit.separated:
        raise ValueError("the features separate the labels perfectly: no finite weights fit best")
    return fit


def borda_count(p: np.ndarray) -> np.ndarray:
    """Mean probability of each response to be preferred to another one, shape (n,).

    What a reward model that ignores a hidden context orders responses by
    (Siththaranjan et al., 2024).

    Parameters
    ----------
    p : array, shape (n, n)
        P(i is preferred to j), averaged over whatever context is hidden. The diagonal is
        not used.

    Raises
    ------
    ValueError
        A matrix that is not square, or of one response.
    """
    p = np.asarray(p, dtype=float)
    if p.ndim != 2 or p.shape[0] != p.shape[1] or len(p) < 2:
        raise ValueError(f"p has shape {p.shape}, expected (n, n) with n of 2 or more")
    return p[~np.eye(len(p), dtype=bool)].reshape(len(p), -1).mean(1)


def expected_utility(rewards: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Reward of each response averaged over contexts, shape (n,).

    Parameters
    ----------
    rewards : array, shape (n_contexts, n)
    shares : array, shape (n_contexts,)
        P(C = c).
    """
    return np.asarray(shares, dtype=float) @ np.asarray(rewards, dtype=float)


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
