"""Assumption 4, latent sufficiency: does the embedding predict the label beyond the latents?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

from causalpref.assumptions._check import Check, Settings, run_check
from causalpref.assumptions._units import indicators, modifiers
from causalpref.assumptions.evidence import dots, row, table
from causalpref.assumptions.report import Report, Verdict, Words
from causalpref.data import PreferenceData
from causalpref.statistics import (
    TINY,
    WIDEST,
    Estimate,
    cluster_mean,
    distinct,
    folds,
    logistic_fit,
    permutation_p_value,
    projected,
    ridge_scores,
    unit_spread,
)

__all__ = ["Sufficiency", "check_sufficiency"]


@dataclass(frozen=True)
class Sufficiency:
    """Numbers of the check of latent sufficiency.

    Parameters
    ----------
    n : int
        Pairs.
    latents, both : Estimate
        Accuracy of the latents alone, and with the embedding.
    gain : float
        Their difference.
    gain_low, gain_high : float or None
        Its 95 % interval; None when the embedding is of no use at all.
    correlation : float
        Of the residuals with the direction of the embedding that fits the other folds best.
    p_value : float
    alpha : float
    """

    n: int
    latents: Estimate
    both: Estimate
    gain: float
    gain_low: float | None
    gain_high: float | None
    correlation: float
    p_value: float
    alpha: float


def check_sufficiency(
    data: PreferenceData,
    *,
    n_folds: int = 5,
    permutations: int = 199,
    most_pairs: int = 20_000,
    alpha: float = 0.05,
    seed: int | np.random.Generator = 0,
) -> Report:
    """Does the embedding predict the label beyond Z?

    Under latent sufficiency L depends on the texts through (Z^X, Z^T, Z'^T) only, so nothing else
    that is read off the texts predicts what a model of L given Z leaves over. A logistic
    Bradley-Terry model (reward quadratic in Z^T, interacting with Z^X and C)
    gives residuals; e - e' is cleared of that model's terms; a ridge regression
    of the residuals of the other folds on it gives a direction. The statistic is the sum of
    residual times direction over held-out pairs, in the spirit of the projected covariance measure
    of Lundborg et al. (2024). Summed over folds it is a degenerate U-statistic, each product of two
    residuals standing in it twice, so a normal tail would reject far too often. Its law is
    taken from flipping the signs of all residuals of a group together.

    Parameters
    ----------
    data : PreferenceData
        With embeddings and response latents.
    n_folds, most_pairs, seed
        As for :func:`causalpref.assumptions.check_unconfoundedness`.
    permutations : int
        Flips of the signs; the smallest p-value is 1 / (permutations + 1).
    alpha : float

    Returns
    -------
    Report
        ``value`` is the gain in accuracy from adding what the embedding says, cross-fitted, to the
        model of the latents, which is fitted to all pairs. Violated when
        the test rejects and the interval of the gain lies above 0, strained when only the
        test rejects.

    Notes
    -----
    What is rejected is sufficiency *and* the form of the reward: an embedding also helps when
    the reward bends in Z more than a quadratic. False alarms at most 5 % where the form holds.
    Needs ten informative pairs for each term of the reward; with fewer it cannot be tested. Power
    is above 80 % with 1,000 pairs when a latent as strong as the one known is missing and the
    embedding carries it.
    """
    settings = Settings(None, most_pairs, n_folds, permutations, alpha, seed)
    return run_check(SUFFICIENCY, data, settings)


def _reward_terms(data: PreferenceData, most: int) -> np.ndarray:
    """Terms of a reward that is quadratic in Z^T and interacts with Z^X and C, as differences.

    phi(z) - phi(z') for phi = (z_j, z_j z_k), each alone and times every latent of the prompt
    and every context but one; the linear terms only, where that makes more than ``most``.
    Scaled to root mean square 1; terms that are zero or repeat another are left out.
    """
    scaled = unit_spread(data.require("response_latents"))
    m = scaled.shape[1]
    j, k = np.triu_indices(m) if m <= 8 else (np.arange(m), np.arange(m))
    phi = np.concatenate([scaled, scaled[:, j] * scaled[:, k]], axis=1)
    first, second = data.pairs.T
    d = phi[first] - phi[second]
    under = indicators(data)
    by = np.concatenate([modifiers(data), under - under.mean(axis=0)], axis=1)
    crossed = d if d.shape[1] * (1 + by.shape[1]) <= most else d[:, :m]
    parts = [d] + [crossed * b[:, None] for b in by.T]
    return distinct(np.concatenate(parts, axis=1))


def _compute(data: PreferenceData, settings: Settings) -> Sufficiency | Words:
    absent = [n for n in ("embeddings", "response_latents") if getattr(data, n) is None]
    if absent:
        return Words(
            n=len(data),
            sentence=f"The data have no {' and no '.join(absent)}: there is nothing to compare.",
            next_step="Name the latents that are meant to suffice, and embed the texts "
            "(causalpref.text.embedding).",
        )
    rng = settings.rng
    n, member = len(data), data.pair_group
    y = data.label.astype(float)
    n_groups = len(np.unique(member))
    terms = np.column_stack([np.ones(n), _reward_terms(data, min(WIDEST, n_groups // 20))])
    e = projected(data.difference("embeddings"), seed=rng)
    sd = np.sqrt((e**2).mean(axis=0))
    live = sd > TINY * np.abs(data.require("embeddings")).max()
    e = e[:, live] / sd[live]
    # labels that are nearly certain say little of the weights: count pairs by their variance
    spread = special.expit(terms @ logistic_fit(terms, y, ridge=0.1).weights)
    informative = 4 * (spread * (1 - spread)).sum()
    if (
        informative < 10 * terms.shape[1]
        or n_groups < 2 * settings.n_folds
        or e.shape[1] == 0
        or y.min() == y.max()
    ):
        return Words(
            n=n,
            sentence="There is too little to fit: few prompts for the number of latents and "
            "objectives, embeddings that never differ within a pair, or labels "
            "that leave nothing over.",
            next_step="Collect more prompts, or look at fewer latents.",
        )
    # One base for all rows: bases of folds share training data, their errors agree, and the
    # direction would learn them. e is cleared in the metric of the information matrix, so that
    # errors of the base drop out to first order.
    base = terms @ logistic_fit(terms, y, ridge=1e-3).weights
    root = np.sqrt(special.expit(base) * special.expit(-base))[:, None]
    cleared = e - terms @ np.linalg.lstsq(terms * root, e * root, rcond=1e-10)[0]
    residual = y - special.expit(base)
    fold = folds(member, settings.n_folds, seed=rng)
    # flip the residuals of whole groups: the same sum, had nothing been missing
    _, of = np.unique(member, return_inverse=True)
    signs = rng.choice([-1.0, 1.0], size=(n_groups, settings.permutations))
    outcomes = residual[:, None] * np.column_stack([np.ones(n_groups), signs])[of]
    scores = ridge_scores(cleared - cleared.mean(axis=0), outcomes, fold)
    sums = (scores * outcomes).sum(axis=0)
    product = scores[:, 0] / (np.sqrt((scores[:, 0] ** 2).mean()) or 1.0)

    # how far to go along the direction: one number, fitted to what was held out
    step = max(0.0, float(logistic_fit(product[:, None], y, ridge=1.0, offset=base).weights[0]))
    hit_base, hit_full = (
        np.where(m == 0, 0.5, (m > 0) == (y == 1)) for m in (base, base + step * product)
    )
    gain = cluster_mean(hit_full - hit_base, member)
    # a direction of no use at all is not followed: no gain, and no interval to be had
    low, high = (gain.low, gain.high) if step > 0 else (None, None)
    return Sufficiency(
        n,
        latents=cluster_mean(hit_base, member),
        both=cluster_mean(hit_full, member),
        gain=gain.value,
        gain_low=low,
        gain_high=high,
        correlation=float(np.corrcoef(product, residual)[0, 1]) if product.std() > 0 else 0.0,
        p_value=permutation_p_value(sums[0], sums[1:]),
        alpha=settings.alpha,
    )


def _judge(r: Sufficiency) -> Verdict:
    if r.p_value > r.alpha:
        return Verdict.NOT_FOUND
    return Verdict.VIOLATED if r.gain_low is not None and r.gain_low > 0 else Verdict.STRAINED


def _word(r: Sufficiency, verdict: Verdict) -> Words:
    accuracy = [
        row("accuracy of the latents alone", r.latents),
        row("accuracy of latents and embedding", r.both),
    ]
    direction = row(
        "correlation of residuals with the direction of the embedding that fits the other folds "
        "best",
        value=r.correlation,
        p_value=r.p_value,
        n=r.n,
    )
    if verdict.alarm:
        sentence = (
            "The embedding predicts the label beyond the latents "
            f"(accuracy {r.latents.value:.1%} without it, {r.both.value:.1%} "
            "with it): something that moves preferences is missing from them, or the reward "
            "bends more than assumed."
        )
        step = (
            "Read pairs that the latents get wrong and the embedding right; name what they "
            "share, measure it and add it. Until then effects of single latents may be those of "
            "what goes with them."
        )
    else:
        sentence = (
            "The direction of the embedding that fits some pairs is of no use on others: "
            if r.gain_high is None
            else f"The embedding adds {r.gain:+.1%} of accuracy to the latents, at most "
            f"{r.gain_high:+.1%}: "
        ) + "nothing that it carries was seen to be missing."
        step = "Try a stronger encoder: what it cannot read, this check cannot miss."
    return Words(
        sentence=sentence,
        next_step=step,
        statistic="gain in accuracy from the embedding",
        short="gain",
        value=r.gain,
        low=r.gain_low,
        high=r.gain_high,
        p_value=r.p_value,
        n=r.n,
        evidence=table([*accuracy, direction]),
        picture=dots(accuracy, "accuracy (what the embedding adds is cross-fitted)", digits=3),
        rests_on=("response_latents",),
    )


SUFFICIENCY = Check(
    "sufficiency",
    4,
    "latent sufficiency",
    _compute,
    _judge,
    _word,
    sees="features that move preferences, stand in the embedding and are not among the latents",
    blind="features that the embedding does not carry; and the difference between a missing "
    "latent and a reward that bends more than a quadratic",
    reads_texts=lambda data: True,
)
