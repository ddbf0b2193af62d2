"""What the checks share: folds by group, ridge scores for many outcomes at once, score tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import special, stats

from causalpref.data import PreferenceData

WIDEST = 256
"""Columns that a check works with; wider features are projected to this many first."""
TINY = 1e-9
"""A spread below this share of the largest value is rounding."""
FEWEST = 5
"""Prompts that a context needs to be looked at."""


# -- rows, groups and features ---------------------------------------------


def groups_of(data: PreferenceData, groups: Sequence[Any] | None) -> np.ndarray:
    """A number for the group of each prompt, shape (n_prompts,); its own row by default."""
    if groups is None:
        return np.arange(len(data.prompts))
    if len(groups) != len(data.prompts):
        raise ValueError(
            f"groups has {len(groups)} values, the data have {len(data.prompts)} prompts"
        )
    import pandas as pd

    return pd.factorize(pd.Series(list(groups), dtype=object), use_na_sentinel=False)[0]


def sampled_rows(
    data: PreferenceData, most: int, rng: np.random.Generator, group: np.ndarray
) -> np.ndarray:
    """Rows of the pairs of groups of prompts drawn at random, ``most`` at the most; or all."""
    if len(data) <= most:
        return np.arange(len(data))
    member = group[data.pair_prompt]
    size = np.bincount(member, minlength=group.max() + 1)
    order = rng.permutation(len(size))
    keep = order[: max(1, np.searchsorted(np.cumsum(size[order]), most, side="right"))]
    return np.flatnonzero(np.isin(member, keep))[:most]


def pair_features(data: PreferenceData, features: np.ndarray | None) -> np.ndarray | None:
    """What is known of the texts of each pair, whichever response stood first, (n_pairs, q).

    ``features`` if given; else the mean embedding of the two responses, else latents of the
    prompt with the mean and the absolute difference of those of the responses.
    """
    if features is not None:
        features = np.asarray(features, dtype=float)
        if features.ndim != 2 or len(features) != len(data):
            raise ValueError(
                f"features has shape {features.shape}, expected ({len(data)}, any): one row a pair"
            )
        bad = ~np.isfinite(features)
        if bad.any():
            row, column = np.argwhere(bad)[0].tolist()
            raise ValueError(f"features[{row}, {column}] = {features[row, column]} is not finite")
        return features
    first, second = data.pairs.T
    if data.embeddings is not None:
        return (data.embeddings[first].astype(float) + data.embeddings[second]) / 2
    parts = []
    if data.prompt_latents is not None:
        parts.append(data.prompt_latents[data.pair_prompt])
    if data.response_latents is not None:
        a, b = data.response_latents[first], data.response_latents[second]
        parts += [(a + b) / 2, np.abs(a - b)]
    return np.concatenate(parts, axis=1) if parts else None


def standardised(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Columns of mean 0 and standard deviation 1; constant ones dropped, many ones projected."""
    if x.shape[1] > WIDEST:
        x = x @ (rng.standard_normal((x.shape[1], WIDEST)) / np.sqrt(x.shape[1]))
    sd = x.std(axis=0)
    keep = sd > TINY * np.abs(x).max(axis=0, initial=0)
    return (x[:, keep] - x[:, keep].mean(axis=0)) / sd[keep]


def folds(group: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    """The fold, 0 to k - 1, of each row; rows of one group share it."""
    values, member = np.unique(group, return_inverse=True)
    k = min(k, len(values))
    return rng.permutation(np.arange(len(values)) % k)[member]


def rare_contexts(data: PreferenceData) -> tuple[np.ndarray, np.ndarray]:
    """Contexts with pairs of fewer than :data:`FEWEST` prompts, and the others."""
    values, code = np.unique(data.objective, return_inverse=True)
    key = np.unique(np.stack([code, data.pair_prompt], axis=1), axis=0)
    many = np.bincount(key[:, 0], minlength=len(values)) >= FEWEST
    return values[~many], values[many]


def judged_units(
    data: PreferenceData,
    x: np.ndarray,
    values: np.ndarray,
    group: np.ndarray,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """What a context was dealt to: whole prompts, or single pairs.

    As a rule the pairs of one prompt are no independent draws of C, and a prompt counts once under
    each context. Where most prompts with several pairs were judged under several contexts, C
    was dealt pair by pair, and how often each context met a prompt is what there is to see.

    Parameters
    ----------
    x : array, shape (n_pairs, q)
    values : array
        The contexts, sorted.
    group : array, shape (n_prompts,)

    Returns
    -------
    array, shape (n_units, q')
        Features, means over the pairs of a unit, standardised.
    code, prompt : array of int, shape (n_units,)
        Place of the context in ``values``, and row of the prompt.
    fold_group : array of int, shape (n_units,)
        Units that have to share a fold.
    """
    code = np.searchsorted(values, data.objective)
    prompt = data.pair_prompt
    key, member = np.unique(prompt * len(values) + code, return_inverse=True)
    pairs_of = np.bincount(prompt)
    contexts_of = np.bincount(key // len(values), minlength=len(pairs_of))
    several = pairs_of > 1
    if several.any() and (contexts_of[several] > 1).mean() > 0.5:
        return standardised(x, rng), code, prompt, np.arange(len(data))
    size = np.bincount(member)
    unit = (
        np.stack([np.bincount(member, weights=v) / size for v in x.T], axis=1)
        if x.shape[1]
        else np.zeros((len(size), 0))
    )
    prompt = key // len(values)
    return standardised(unit, rng), key % len(values), prompt, group[prompt]


def modifiers(data: PreferenceData) -> np.ndarray:
    """Latents of each pair's prompt, or indicators of its type; centred and scaled, (n, k)."""
    if data.prompt_latents is not None:
        x = data.prompt_latents[data.pair_prompt]
    elif data.prompt_type is not None:
        kind = data.prompt_type[data.pair_prompt]
        x = (kind[:, None] == np.unique(kind)[1:]).astype(float)
    else:
        x = np.zeros((len(data), 0))
    return unit_spread(x)


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


def auc_interval(score: np.ndarray, positive: np.ndarray) -> tuple[float, float, float]:
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
    return area, float(min(low, area)), float(max(high, area))


# -- logistic fits ---------------------------------------------------------


def logistic(
    x: np.ndarray, y: np.ndarray, ridge: float = 0.0, offset: float | np.ndarray = 0.0
) -> np.ndarray:
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
    return w


def clustered(values: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Sums of the rows of each group, shape (n_groups, ...)."""
    found, member = np.unique(group, return_inverse=True)
    if values.ndim == 1:
        return np.bincount(member, weights=values)
    if values.shape[1] == 0:
        return np.zeros((len(found), 0))
    return np.stack([np.bincount(member, weights=v) for v in values.T], axis=1)


def proportion(values: np.ndarray, group: np.ndarray) -> tuple[float, float, float]:
    """Mean of numbers in [0, 1] with a 95 % Wilson interval at the effective sample size.

    The effective size divides n by the design effect of the groups, so that pairs of one prompt
    do not count as independent.
    """
    n = len(values)
    p = float(values.mean())
    sums = clustered(values - p, group)
    g = len(sums)
    plain = p * (1 - p) / n
    robust = (sums**2).sum() / n**2 * g / max(g - 1, 1)
    size = n / max(1.0, robust / plain) if plain > 1e-12 else g
    return (p, *wilson(p, size))


def wilson(p: float, n: float) -> tuple[float, float]:
    """The 95 % Wilson interval of a proportion p among n."""
    z = 1.959964
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * np.sqrt(max(p * (1 - p), 0) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    return (
        0.0 if p == 0 else float(max(centre - half, 0)),
        1.0 if p == 1 else float(min(centre + half, 1)),
    )


def score_test(
    base: np.ndarray, extra: np.ndarray, label: np.ndarray, group: np.ndarray
) -> tuple[float, int, float, np.ndarray]:
    """Do columns ``extra`` help a logistic model on ``base``? A score test, robust to clusters.

    Parameters
    ----------
    base : array, shape (n, p)
    extra : array, shape (n, q)
    label : array of {0, 1}, shape (n,)
    group : array, shape (n,)
        Rows with equal values may depend on one another.

    Returns
    -------
    statistic, degrees of freedom, p-value
        Of chi squared; degrees of freedom count independent directions.
    z : array, shape (q,)
        For each extra column alone.
    """
    if extra.shape[1] == 0:
        return 0.0, 0, 1.0, np.zeros(0)
    w = logistic(base, label, ridge=1e-6)
    p = special.expit(base @ w)
    weight = p * (1 - p)
    scaled = base * np.sqrt(weight)[:, None]
    target = extra * np.sqrt(weight)[:, None]
    fitted = np.linalg.lstsq(scaled, target, rcond=1e-10)[0]
    left = extra - base @ fitted
    left[:, (left**2).sum(axis=0) < TINY * (extra**2).sum(axis=0)] = 0  # nothing new in these
    by_group = clustered(left * (label - p)[:, None], group)
    u = by_group.sum(axis=0)
    n_groups = len(by_group)
    spread = by_group.T @ by_group
    alone = np.sqrt(np.diag(spread))
    z = np.divide(u, alone, out=np.zeros_like(u), where=alone > 1e-9 * max(alone.max(initial=0), 1))
    size = np.diag(spread).copy()
    size[size <= 1e-18 * max(size.max(initial=0), 1e-300)] = np.inf
    correlation = spread / np.sqrt(np.outer(size, size))
    values, vectors = np.linalg.eigh(correlation)
    keep = values > 1e-8 * max(values.max(initial=0), 1e-300)
    df = int(keep.sum())
    if df == 0 or n_groups <= df:
        return 0.0, 0, 1.0, z
    along = vectors[:, keep].T @ (u / np.sqrt(size))
    statistic = float((along**2 / values[keep]).sum())
    # Hotelling's T squared for the mean of the groups' scores: exact F tail for normal scores
    share = statistic / n_groups
    scaled_f = share / max(1 - share, 1e-12) * (n_groups - df) / df
    return statistic, df, float(stats.f.sf(scaled_f, df, n_groups - df)), z


def holm(p: np.ndarray) -> np.ndarray:
    """p-values adjusted by Holm's method: the smallest below alpha errs with probability alpha."""
    p = np.asarray(p, dtype=float)
    order = np.argsort(p)
    out = np.empty_like(p)
    out[order] = np.minimum(np.maximum.accumulate(p[order] * (len(p) - np.arange(len(p)))), 1)
    return out
