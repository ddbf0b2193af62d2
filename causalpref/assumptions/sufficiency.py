"""Assumption 4, latent sufficiency: does the embedding predict the label beyond the latents?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

from causalpref.assumptions._check import Check, Settings, run_check
from causalpref.assumptions._taste import clusters_of, level
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
    score_test,
    standardised,
    unit_spread,
)

__all__ = ["Sufficiency", "check_sufficiency"]

_ANNOTATORS = 10
"""Fewest annotators, where they are recorded."""


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
    surer : float
        p-value of the hypothesis that the texts do not tell how sure annotators are.
    level : str
        What the standard errors are clustered by.
    margin, alpha : float
    """

    n: int
    latents: Estimate
    both: Estimate
    gain: float
    gain_low: float | None
    gain_high: float | None
    correlation: float
    p_value: float
    surer: float
    level: str
    margin: float
    alpha: float


def check_sufficiency(
    data: PreferenceData,
    *,
    n_folds: int = 5,
    permutations: int = 199,
    most_pairs: int = 20_000,
    margin: float = 0.02,
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
    taken from flipping the signs of all residuals of a cluster together.

    Texts may tell how sure annotators are (they are surer on some prompts) without telling what
    they prefer beyond Z. The model's reward difference is therefore allowed a positive factor that
    changes with what pairs of texts are about, and the alarm rests on accuracy, which
    such a factor leaves as it is.

    Prompt groups are clusters, and so are annotators where several are recorded: then no
    direction is tried on a pair whose prompt or annotator it was fitted to, and the
    larger of the p-values of flips by prompt and by annotator counts.

    Parameters
    ----------
    data : PreferenceData
        With embeddings and response latents. Ties are left out.
    n_folds, most_pairs, seed
        As for :func:`causalpref.assumptions.check_unconfoundedness`.
    permutations : int
        Flips of the signs; the smallest p-value is 1 / (permutations + 1).
    margin : float
        A gain in accuracy that does not matter, in [0, 1).
    alpha : float

    Returns
    -------
    Report
        ``value`` is the gain in accuracy from adding what the embedding says, cross-fitted, to the
        model of the latents, which is fitted to all pairs. Violated when the test rejects and the
        interval of the gain lies above the margin, strained when the test rejects and the gain,
        but not its interval, is above the margin.

    Raises
    ------
    ValueError
        A margin outside [0, 1).

    Notes
    -----
    What is rejected is sufficiency *and* the form of the reward: an embedding also helps when
    the reward bends in Z more than a quadratic.
    Needs ten informative pairs for each term of the reward, and where annotators are recorded ten
    of them; with fewer it cannot be tested.

    Size, 300 simulated sets a world of mostly 40 annotators with 25 pairs each: the test rejects in
    3 to 6 % where annotators have slopes and topics of their own (in latents, or in what the
    texts carry beside them), are surer on some prompts (recorded or not), where every other one
    is twice as sure, and with log-normal lengths. Alarms, which also need the margin, are at most
    2 % (12 annotators), else 0 to 0.3 %.

    A latent worth a third of the known one adds less than the default margin of
    accuracy: the test rejects in 77 % and the alarm is raised in 5 %. Power
    is above 80 % with 1,000 pairs when a latent as strong as the one known is missing and the
    embedding carries it.
    """
    if not 0 <= margin < 1:
        raise ValueError(
            f"margin is {margin!r}, expected a gain in accuracy of 0 or more and below 1, like 0.02"
        )
    settings = Settings(None, most_pairs, n_folds, permutations, alpha, seed)
    return run_check(SUFFICIENCY, data, settings, margin=margin)


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


def _compute(
    data: PreferenceData, settings: Settings, *, margin: float = 0.02
) -> Sufficiency | Words:
    absent = [n for n in ("embeddings", "response_latents") if getattr(data, n) is None]
    if absent:
        return Words(
            n=len(data),
            sentence=f"The data have no {' and no '.join(absent)}: there is nothing to compare.",
            next_step="Name the latents that are meant to suffice, and embed the texts "
            "(causalpref.text.embedding).",
        )
    rng = settings.rng
    if data.tie.any() and not data.tie.all():
        data = data.select(~data.tie)
    n = len(data)
    clusters = clusters_of(data)
    if len(clusters) == 2 and (who := int(clusters[1].max()) + 1) < _ANNOTATORS:
        return Words(
            n=n,
            sentence=f"There are {who} annotators: too few to separate what the latents leave out "
            f"from the taste of these people. It takes {_ANNOTATORS}.",
            next_step=f"Collect labels from {_ANNOTATORS} annotators or more.",
        )
    y = data.label.astype(float)
    n_groups = int(clusters[0].max()) + 1
    terms = np.column_stack([np.ones(n), _reward_terms(data, min(WIDEST, n_groups // 20))])
    e = projected(data.difference("embeddings"), seed=rng)
    sd = np.sqrt((e**2).mean(axis=0))
    live = sd > TINY * np.abs(data.require("embeddings")).max()
    e = e[:, live] / sd[live]
    # labels that are nearly certain say little of the weights: count pairs by their variance
    index = terms @ logistic_fit(terms, y, ridge=0.1).weights
    spread = special.expit(index) * special.expit(-index)
    informative = 4 * spread.sum()
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
            "that the latents predict almost perfectly.",
            next_step="Collect more prompts, or look at fewer latents.",
        )
    # how sure annotators are may change with what the texts are about
    about = _topics(data, rng, int(min(10, informative // 10 - terms.shape[1])))
    factors = index[:, None] * about
    both = np.stack(clusters, axis=1) if len(clusters) == 2 else clusters[0]
    surer = score_test(terms, factors, y, both).p_value
    terms = np.column_stack([terms, distinct(factors)])
    # One base for all rows: bases of folds share training data, their errors agree, and the
    # direction would learn them. e is cleared in the metric of the information matrix, so that
    # errors of the base drop out to first order.
    base = terms @ logistic_fit(terms, y, ridge=1e-3).weights
    root = np.sqrt(special.expit(base) * special.expit(-base))[:, None]
    cleared = e - terms @ np.linalg.lstsq(terms * root, e * root, rcond=1e-10)[0]
    cleared -= cleared.mean(axis=0)
    residual = y - special.expit(base)
    # flip the residuals of whole clusters: the same sum, had nothing been missing
    fold = [folds(member, settings.n_folds, seed=rng) for member in clusters]
    p_value, scores = 0.0, np.zeros(n)
    for member in clusters:
        signs = rng.choice([-1.0, 1.0], size=(member.max() + 1, settings.permutations))
        outcomes = residual[:, None] * np.column_stack([np.ones(len(signs)), signs])[member]
        predicted = _predicted(cleared, outcomes, fold)
        sums = (predicted * outcomes).sum(axis=0)
        p_value = max(p_value, permutation_p_value(sums[0], sums[1:]))
        scores = predicted[:, 0]
    product = scores / (np.sqrt((scores**2).mean()) or 1.0)

    # how far to go along the direction: one number, fitted to what was held out
    step = max(0.0, float(logistic_fit(product[:, None], y, ridge=1.0, offset=base).weights[0]))
    hit_base, hit_full = (
        np.where(m == 0, 0.5, (m > 0) == (y == 1)) for m in (base, base + step * product)
    )
    gain = cluster_mean(hit_full - hit_base, both)
    # a direction of no use at all is not followed: no gain, and no interval to be had
    low, high = (gain.low, gain.high) if step > 0 else (None, None)
    return Sufficiency(
        n,
        latents=cluster_mean(hit_base, both),
        both=cluster_mean(hit_full, both),
        gain=gain.value,
        gain_low=low,
        gain_high=high,
        correlation=float(np.corrcoef(product, residual)[0, 1]) if product.std() > 0 else 0.0,
        p_value=p_value,
        surer=surer,
        level=level(clusters),
        margin=margin,
        alpha=settings.alpha,
    )


def _topics(data: PreferenceData, rng: np.random.Generator, most: int) -> np.ndarray:
    """What pairs of texts are about: latents of the prompt, leading directions of the embeddings.

    Shape (n_pairs, k) with k at most ``most``, centred and scaled.
    """
    mean = standardised(data.mean("embeddings"), seed=rng)
    by = modifiers(data)
    wanted = most - by.shape[1]
    if wanted > 0 and mean.shape[1] > 0:
        vectors = np.linalg.eigh(mean.T @ mean)[1]
        by = np.concatenate([by, mean @ vectors[:, ::-1][:, :wanted]], axis=1)
    return unit_spread(by[:, : max(most, 0)])


def _predicted(x: np.ndarray, y: np.ndarray, fold: list[np.ndarray]) -> np.ndarray:
    """Ridge predictions of columns of y from rows that share no fold of any kind, (n, m).

    Two kinds of folds cross: a cell of both is predicted from the rows outside either.
    """
    if len(fold) == 1:
        return ridge_scores(x, y, fold[0])
    k = [int(f.max()) + 1 for f in fold]
    cell = fold[0] * k[1] + fold[1]
    rows = [np.flatnonzero(cell == c) for c in range(k[0] * k[1])]
    q, out = x.shape[1], np.zeros_like(y)
    gram = np.zeros((len(rows), q, q))
    cross = np.zeros((len(rows), q, y.shape[1]))
    size = np.array([len(r) for r in rows])
    for c, r in enumerate(rows):
        gram[c], cross[c] = x[r].T @ x[r], x[r].T @ y[r]
    for c, r in enumerate(rows):
        if len(r) == 0:
            continue
        a, b = divmod(c, k[1])
        other = [i for i in range(len(rows)) if i // k[1] != a and i % k[1] != b]
        inner = gram[other].sum(axis=0)
        inner[np.diag_indices(q)] += 0.05 * size[other].sum() + q
        out[r] = x[r] @ np.linalg.solve(inner, cross[other].sum(axis=0))
    return out


def _judge(r: Sufficiency) -> Verdict:
    if r.p_value > r.alpha or r.gain_low is None or r.gain <= r.margin:
        return Verdict.NOT_FOUND
    return Verdict.VIOLATED if r.gain_low > r.margin else Verdict.STRAINED


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
    if verdict.alarm and r.gain_low is not None and r.gain_high is not None:
        sentence = (
            f"The texts predict the label {100 * r.gain:.1f} points more often than the latents do "
            f"alone ({r.both.value:.1%} against {r.latents.value:.1%}; 95 % interval of the gain "
            f"{100 * r.gain_low:.1f} to {100 * r.gain_high:.1f} points): something that moves "
            "preferences is missing from the latents, or the reward bends more than assumed."
        )
        step = (
            "Read pairs that the latents get wrong and the texts right; name what they "
            "share, measure it and add it. Until then the effect of a latent may be that of "
            "something associated with it."
        )
    else:
        if r.gain_high is None:
            sentence = "What the embedding learns from some pairs is of no use on others."
        elif r.gain_high <= r.margin:
            sentence = (
                "The texts say little about the label beyond the latents: the gain in accuracy is "
                f"no larger than {100 * max(r.gain_high, 0):.1f} points."
            )
        elif r.p_value > r.alpha:
            sentence = (
                "The texts were not found to say more about the label than the latents; a gain "
                f"in accuracy of up to {100 * r.gain_high:.1f} points could have been missed."
            )
        else:
            sentence = (
                "The texts say something about the label beyond the latents, but the gain in "
                f"accuracy is small: {100 * r.gain:+.1f} points, at most "
                f"{100 * r.gain_high:+.1f}."
            )
        step = "Try a stronger encoder: what it cannot read, this check cannot miss."
    if r.surer <= r.alpha:
        sentence += (
            " How sure annotators are depends on the texts, which is not a violation of this "
            "assumption."
        )
    sentence += f" {r.level}"
    rows = [
        *accuracy,
        direction,
        row("the texts tell how sure annotators are", p_value=r.surer, n=r.n),
    ]
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
        evidence=table(rows),
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
