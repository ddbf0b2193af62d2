"""Assumption 4, latent sufficiency, and whether Z^X may be left out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import special, stats

from causalpref.assumptions._fits import groups_of, modifiers, sampled_rows
from causalpref.assumptions.confounding import Names, _names
from causalpref.assumptions.report import Picture, Report, Verdict, table
from causalpref.data import PreferenceData
from causalpref.statistics import (
    TINY,
    WIDEST,
    cluster_mean,
    distinct,
    folds,
    holm,
    logistic_fit,
    permutation_p_value,
    projected,
    ridge_scores,
    score_test,
    unit_spread,
)

__all__ = ["check_additivity", "check_sufficiency"]


def _reward_terms(data: PreferenceData, most: int) -> np.ndarray:
    """Terms of a reward that is quadratic in Z^T and interacts with Z^X and C, as differences.

    phi(z) - phi(z') for phi = (z_j, z_j z_k), each alone and times every latent of the prompt
    and every context but one; the linear terms only, where that makes more than ``most``.
    Scaled to root mean square 1; terms that are zero or repeat another are left out.
    """
    m = data.response_latents.shape[1]
    scaled = unit_spread(data.response_latents)
    j, k = np.triu_indices(m)
    square = (j, k) if m <= 8 else (np.arange(m), np.arange(m))
    phi = np.concatenate([scaled, scaled[:, square[0]] * scaled[:, square[1]]], axis=1)
    first, second = data.pairs.T
    d = phi[first] - phi[second]
    by = modifiers(data)
    if data.objective is not None:
        values = np.unique(data.objective)[1:]
        hot = (data.objective[:, None] == values).astype(float)
        by = np.concatenate([by, hot - hot.mean(axis=0)], axis=1)
    crossed = d if d.shape[1] * (1 + by.shape[1]) <= most else d[:, :m]
    parts = [d] + [crossed * b[:, None] for b in by.T]
    return distinct(np.concatenate(parts, axis=1))


def check_sufficiency(
    data: PreferenceData,
    *,
    groups: Sequence[Any] | None = None,
    n_folds: int = 5,
    flips: int = 199,
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
    residual times direction over held-out pairs, in the spirit of the projected covariance measure of
    Lundborg et al. (2024). Summed over folds it is a degenerate U-statistic, each product of two
    residuals standing in it twice, so a normal tail would reject far too often. Its law is
    taken from flipping the signs of all residuals of a group together.

    Parameters
    ----------
    data : PreferenceData
        With embeddings and response latents.
    groups, n_folds, most_pairs, seed
        As for :func:`causalpref.assumptions.check_unconfoundedness`.
    flips : int
        The smallest p-value is 1 / (flips + 1).
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
    common = dict(
        assumption="4, latent sufficiency",
        sees="features that move preferences, stand in the embedding and are not among the latents",
        blind="features that the embedding does not carry; and the difference between a missing "
        "latent and a reward that bends more than a quadratic",
        source=data.source,
        simulated=data.simulated,
    )
    missing = [n for n in ("embeddings", "response_latents") if getattr(data, n) is None]
    if missing:
        return Report(
            verdict=Verdict.UNTESTABLE,
            n=len(data),
            **common,
            sentence=f"The data have no {' and no '.join(missing)}: there is nothing to compare.",
            next_step="Name the latents that are meant to suffice, and embed the texts "
            "(causalpref.text.embedding).",
        )
    rng = np.random.default_rng(seed)
    group = groups_of(data, groups)
    kept = sampled_rows(data, most_pairs, rng, group)
    if len(kept) < len(data):
        data = data.select(kept)
    n, member = len(data), group[data.pair_prompt]
    first, second = data.pairs.T
    y = data.label.astype(float)
    n_groups = len(np.unique(member))
    terms = np.column_stack([np.ones(n), _reward_terms(data, min(WIDEST, n_groups // 20))])
    e = data.embeddings[first].astype(float) - data.embeddings[second]
    e = projected(e, seed=rng)
    sd = np.sqrt((e**2).mean(axis=0))
    live = sd > TINY * np.abs(data.embeddings).max()
    e = e[:, live] / sd[live]
    # labels that are nearly certain say little of the weights: count pairs by their variance
    spread = special.expit(terms @ logistic_fit(terms, y, ridge=0.1).weights)
    informative = 4 * (spread * (1 - spread)).sum()
    if (
        informative < 10 * terms.shape[1]
        or n_groups < 2 * n_folds
        or e.shape[1] == 0
        or y.min() == y.max()
    ):
        return Report(
            verdict=Verdict.UNTESTABLE,
            n=n,
            **common,
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
    fold = folds(member, n_folds, seed=rng)
    # flip the residuals of whole groups: the same sum, had nothing been missing
    _, of = np.unique(member, return_inverse=True)
    signs = rng.choice([-1.0, 1.0], size=(n_groups, flips))
    outcomes = residual[:, None] * np.column_stack([np.ones(n_groups), signs])[of]
    scores = ridge_scores(cleared - cleared.mean(axis=0), outcomes, fold)
    sums = (scores * outcomes).sum(axis=0)
    p = permutation_p_value(sums[0], sums[1:])
    product = scores[:, 0] / (np.sqrt((scores[:, 0] ** 2).mean()) or 1.0)

    # how far to go along the direction: one number, fitted to what was held out
    step = max(0.0, float(logistic_fit(product[:, None], y, ridge=1.0, offset=base).weights[0]))
    full = base + step * product
    hit_base, hit_full = (np.where(m == 0, 0.5, (m > 0) == (y == 1)) for m in (base, full))
    gained = cluster_mean(hit_full - hit_base, member)
    gain = gained.value
    # a direction of no use at all is not followed: no gain, and no interval to be had
    low, high = (gained.low, gained.high) if step > 0 else (None, None)
    rejected = p <= alpha
    verdict = (
        Verdict.NOT_FOUND
        if not rejected
        else Verdict.VIOLATED
        if low is not None and low > 0
        else Verdict.STRAINED
    )
    accuracy = [
        _accuracy(h, member, what)
        for h, what in (
            (hit_base, "accuracy of the latents alone"),
            (hit_full, "accuracy of latents and embedding"),
        )
    ]
    rows = [
        *accuracy,
        {
            "what": "correlation of residuals with the direction of the embedding "
            "that fits the other folds best",
            "value": float(np.corrcoef(product, residual)[0, 1]) if product.std() > 0 else 0.0,
            "p_value": p,
            "n": n,
        },
    ]
    if rejected:
        sentence = (
            "The embedding predicts the label beyond the latents "
            f"(accuracy {accuracy[0]['value']:.1%} without it, {accuracy[1]['value']:.1%} "
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
            if high is None
            else f"The embedding adds {gain:+.1%} of accuracy to the latents, at most {high:+.1%}: "
        ) + "nothing that it carries was seen to be missing."
        step = "Try a stronger encoder: what it cannot read, this check cannot miss."
    return Report(
        verdict=verdict,
        sentence=sentence,
        next_step=step,
        statistic="gain in accuracy from the embedding",
        value=gain,
        low=low,
        high=high,
        p_value=p,
        n=n,
        evidence=table(rows),
        picture=Picture(
            "intervals",
            pd.DataFrame(accuracy)[["what", "value", "low", "high"]],
            "accuracy (what the embedding adds is cross-fitted)",
            (0.5,),
            "Dots with 95 % intervals: "
            + "; ".join(f"{a['what']} {a['value']:.3f}" for a in accuracy)
            + ".",
        ),
        **common,
    )


def _accuracy(hit: np.ndarray, member: np.ndarray, what: str) -> dict:
    rate = cluster_mean(hit, member)
    return {"what": what, "value": rate.value, "low": rate.low, "high": rate.high, "n": rate.n}


def check_additivity(
    data: PreferenceData,
    *,
    names: Names | None = None,
    groups: Sequence[Any] | None = None,
    alpha: float = 0.05,
) -> Report:
    """Does what a latent of the response is worth depend on the prompt? ("Why Z^X matters")

    If Z^X enters the reward additively it cancels in R - R' and may be left out of the
    model; if it interacts with Z^T it may not (section 3.2). A score test, robust to dependence
    within groups, for (delta, delta of squares) x Z^X in a logistic Bradley-Terry model of
    (delta, delta of squares), with weights of their own for each recorded objective: otherwise
    prompts would be credited with the taste of those who write them (example 4).

    Parameters
    ----------
    data : PreferenceData
        With response latents, and prompt latents or, in their place, prompt types.
    names : mapping, optional
        ``"response_latents"``, ``"prompt_latents"``: names for the table.
    groups : sequence, shape (n_prompts,), optional
        Prompts with the same value may depend on one another.
    alpha : float

    Returns
    -------
    Report
        ``value`` is chi squared over its degrees of freedom, 1 on average without interaction.
        Violated when the test rejects.

    Notes
    -----
    Needs at least 20 groups for each term, or leaves the squares out; with fewer than that, or
    with prompts that cannot be told from objectives, it cannot be tested. False alarms at most 5 %
    where the reward bends no more than a quadratic. Power is above 80 % with 1,000 pairs when a
    latent is worth 0.5 more and 0.5 less at one standard deviation of Z^X to either side.
    """
    common = dict(
        assumption="that Z^X is additive (3.2)",
        sees="latents of the response whose worth changes with the recorded latents of the prompt",
        blind="features of the prompt that were not recorded, and interactions that are neither "
        "linear nor quadratic in Z^T; where latents of prompt and response go together, a "
        "reward that bends more than a quadratic looks like an interaction",
        source=data.source,
        simulated=data.simulated,
    )
    by = modifiers(data)
    use = by.std(axis=0) > 0.5  # those that vary have 1
    names_x = (
        _names(names, "prompt_latents", range(by.shape[1]), "Z^X_")
        if data.prompt_latents is not None
        else [f"prompt type {v}" for v in np.unique(data.prompt_type)[1:]]
        if data.prompt_type is not None
        else []
    )
    by, names_x = by[:, use], [name for name, u in zip(names_x, use) if u]
    if data.response_latents is None or by.shape[1] == 0:
        what = (
            "latents of the response"
            if data.response_latents is None
            else "latent or type of the prompt that varies"
        )
        return Report(
            verdict=Verdict.UNTESTABLE,
            n=len(data),
            **common,
            sentence=f"The data have no {what}.",
            next_step="Record what kind of prompt each is: topic, task, length.",
        )
    first, second = data.pairs.T
    z = data.response_latents
    scaled = unit_spread(z)
    d, label_d = scaled[first] - scaled[second], [(j, "") for j in range(z.shape[1])]
    group = groups_of(data, groups)[data.pair_prompt]
    n_groups = len(np.unique(group))
    names_z = _names(names, "response_latents", range(z.shape[1]), "Z^T_")
    bent = [j for j in range(z.shape[1]) if len(np.unique(z[:, j])) > 2]  # else square is linear
    if n_groups >= 20 * (z.shape[1] + len(bent)) * by.shape[1]:
        d = np.concatenate([d, scaled[first][:, bent] ** 2 - scaled[second][:, bent] ** 2], axis=1)
        label_d += [(j, " squared") for j in bent]
    live = (d**2).mean(axis=0) > 1e-12
    d, label_d = d[:, live], [v for v, u in zip(label_d, live) if u]
    too_few = n_groups < 20 * d.shape[1] * by.shape[1]
    if d.shape[1] == 0 or too_few or data.label.min() == data.label.max():
        return Report(
            verdict=Verdict.UNTESTABLE,
            n=len(data),
            **common,
            sentence="There is too little to fit: few prompts for the number of latents, "
            "latents that never differ within a pair, or labels all the same.",
            next_step="Collect more prompts, or look at fewer latents.",
        )
    base = np.column_stack([np.ones(len(d)), d])
    values = np.empty(0) if data.objective is None else np.unique(data.objective)
    if len(values) > 1:  # what a latent is worth under each objective is not the prompt's doing
        if n_groups < 10 * d.shape[1] * len(values):
            return Report(
                verdict=Verdict.UNTESTABLE,
                n=len(data),
                **common,
                sentence=f"What a latent is worth may differ between {len(values)} "
                "objectives, and there are too few prompts to tell that apart "
                "from the prompt.",
                next_step="Collect more prompts, or merge objectives.",
            )
        hot = (data.objective[:, None] == values[1:]).astype(float)
        base = distinct(
            np.concatenate([base, (d[:, :, None] * hot[:, None, :]).reshape(len(d), -1)], axis=1)
        )
    extra = (d[:, :, None] * by[:, None, :]).reshape(len(d), -1)
    test = score_test(base, extra, data.label, group)
    statistic, df, p, alone = test.statistic, test.df, test.p_value, test.z
    if df == 0:
        return Report(
            verdict=Verdict.UNTESTABLE,
            n=len(data),
            **common,
            sentence="The prompts cannot be told from the objectives: each kind of prompt was "
            "judged under its own.",
            next_step="Have some prompts judged under another objective.",
        )
    rejected = p <= alpha
    each = holm(2 * stats.norm.sf(np.abs(alone)))
    cells = [
        {"row": names_z[j] + power, "column": x, "value": float(alone[i * by.shape[1] + b])}
        for i, (j, power) in enumerate(label_d)
        for b, x in enumerate(names_x)
    ]
    worst = np.argsort(-np.abs(alone), kind="stable")[:6]
    rows = [
        {
            "what": f"{cells[i]['row']} x {cells[i]['column']}: z",
            "value": float(alone[i]),
            "p_value": float(each[i]),
            "n": len(data),
        }
        for i in worst
    ]
    top = cells[int(worst[0])]
    return Report(
        verdict=Verdict.VIOLATED if rejected else Verdict.NOT_FOUND,
        sentence=(
            "What a latent of the response is worth depends on the prompt, most visibly "
            f"{top['row']} on {top['column']}: Z^X may not be left out."
            if rejected
            else "No latent of the response was seen to be worth more on some prompts than on others."
        ),
        next_step=(
            "Give the reward model the prompt and let it interact; report effects for each kind of "
            "prompt, or say over which mix they are averaged."
            if rejected
            else "Keep the prompt in the model where it costs little; this is no proof that it "
            "cancels."
        ),
        statistic="chi squared / df of the interactions",
        value=statistic / max(df, 1),
        p_value=p,
        n=len(data),
        evidence=table(rows),
        picture=Picture(
            "matrix",
            pd.DataFrame(cells),
            "z of latent x prompt",
            (),
            "A matrix of z values of interactions, largest "
            f"{top['row']} x {top['column']} with {top['value']:.1f}.",
        ),
        **common,
    )
