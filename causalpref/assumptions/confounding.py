"""Assumption 2, unconfoundedness: does who judges go with what is judged?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from causalpref.assumptions._fits import (
    FEWEST,
    groups_of,
    judged_units,
    modifiers,
    pair_features,
    rare_contexts,
    sampled_rows,
)
from causalpref.assumptions.report import Picture, Report, Verdict, number, table
from causalpref.data import PreferenceData
from causalpref.statistics import (
    TINY,
    auc,
    auc_interval,
    cluster_permutations,
    cluster_proportion,
    distinct,
    folds,
    permutation_p_value,
    projected,
    ridge_scores,
    score_test,
)

__all__ = ["balance", "check_unconfoundedness", "hidden_context_bound", "overturning_strength"]

Names = Mapping[str, Sequence[str]]


def check_unconfoundedness(
    data: PreferenceData,
    *,
    features: np.ndarray | None = None,
    groups: Sequence[Any] | None = None,
    names: Names | None = None,
    permutations: int = 199,
    n_folds: int = 5,
    most_pairs: int = 20_000,
    alpha: float = 0.05,
    seed: int | np.random.Generator = 0,
) -> Report:
    """Is C told by (X, Y, Y'), and does it change what is preferred?

    Confounding takes both arrows of figure 2a, from C to the texts and from C to the rewards.
    The first is tested by a classifier two-sample test: a ridge score, cross-fitted by group,
    guesses C from the texts; its AUC is compared with that of permuted C. The second by a
    score test for interactions of C with the features in a logistic model of the label that lets
    their worth depend on the prompt.
    Without C nothing can be tested; the report then says how strong a hidden context must be
    to overturn what the data show of each latent (:func:`overturning_strength`).

    Parameters
    ----------
    data : PreferenceData
    features : array, shape (n_pairs, q), optional
        What is known of the texts of each pair. Default: mean embedding of the two responses,
        or else latents of the prompt and of the pair.
    groups : sequence, shape (n_prompts,), optional
        Prompts with the same value share a fold. Default: each prompt on its own.
    names : mapping, optional
        ``"objective"``, ``"response_latents"``, ``"prompt_latents"``: names for the tables.
    permutations : int
        Of C over prompts; the smallest p-value is 1 / (permutations + 1).
    n_folds : int
    most_pairs : int
        A larger data set is subsampled by group.
    alpha : float
    seed : int or numpy.random.Generator
        For folds, permutations and the subsample.

    Returns
    -------
    Report
        ``value`` is the cross-fitted AUC (for more than two contexts the mean of each against
        the rest, ``low`` and ``high`` those of their intervals). Violated when C is told and
        changes what is preferred beyond what latents or types of the prompt change, strained
        when it is told only.

    Raises
    ------
    ValueError
        Features or groups of the wrong shape, or features that are not finite.

    Notes
    -----
    The permutation test is exact when C is independent of the texts and contexts are dealt
    to prompts independently, or, where most prompts with several pairs were judged under several
    contexts, to pairs; then a unit is a pair, and ``groups`` are not kept together. Groups that
    have one context each are permuted whole. Contexts with fewer than 5 prompts are left out.
    Power is above 80 % with 400 prompts for rho = 0.7 when types lie 2 standard deviations apart
    in one latent of the prompt.
    """
    rng = np.random.default_rng(seed)
    group = groups_of(data, groups)
    x = pair_features(data, features)
    common = dict(
        assumption="2, unconfoundedness",
        sees="a recorded context that goes with the texts and with what is preferred",
        blind="every context that was not recorded: figure 2a with C unseen gives the same data as "
        "a world without C",
        source=data.source,
        simulated=data.simulated,
    )
    values = np.empty(0) if data.objective is None else np.unique(data.objective)
    if len(values) < 2:
        return _hidden(data, names, common, recorded=len(values) == 1)
    if x is None:
        return Report(
            verdict=Verdict.UNTESTABLE,
            n=len(data),
            **common,
            sentence="There are no embeddings, latents or features to tell the context from.",
            next_step="Embed the texts (causalpref.text.embedding), or pass features.",
        )

    whole = data
    if len(data) > most_pairs:
        kept = sampled_rows(data, most_pairs, rng, group)
        data, x = data.select(kept), x[kept]
    rare, values = rare_contexts(data)
    left_out = _names(names, "objective", rare)
    if len(rare) and len(values) > 1:
        kept = np.isin(data.objective, values)
        data, x = data.select(kept), x[kept]
    if len(values) < 2:
        return Report(
            verdict=Verdict.UNTESTABLE,
            n=len(data),
            **common,
            sentence=f"Fewer than two contexts have {FEWEST} prompts to be told by.",
            next_step="Collect at least 20 prompts under each context.",
        )
    unit, c, unit_prompt, unit_group = judged_units(data, x, values, group, rng)
    n_units = len(c)
    counts = "pairs" if n_units > 1.05 * len(np.unique(unit_prompt)) else "prompts"
    if len(np.unique(unit_group)) < 4:
        return Report(
            verdict=Verdict.UNTESTABLE,
            n=n_units,
            unit=counts,
            **common,
            sentence=f"{n_units} prompts, or pairs where prompts were judged under several "
            "contexts, are too few to tell the contexts apart.",
            next_step="Collect at least 20 prompts under each context.",
        )
    fold = folds(unit_group, n_folds, seed=rng)
    k = len(values)
    indicator = np.eye(k)[:, slice(None) if k > 2 else slice(1, 2)]
    hot = indicator[c]
    contexts = cluster_permutations(c, unit_group, permutations, seed=rng)
    scores, areas = None, []
    parts = max(1, contexts.size * hot.shape[1] // 20_000_000)
    for some in np.array_split(contexts, parts, axis=1):
        outcome = indicator[some].reshape(n_units, -1)  # (units, permutations x classes)
        part = ridge_scores(unit, outcome, fold)
        scores = part[:, : hot.shape[1]] if scores is None else scores
        areas.append(auc(part, outcome == 1).reshape(some.shape[1], -1).mean(axis=1))
    areas = np.concatenate(areas)
    p = permutation_p_value(areas[0], areas[1:])

    objective = _names(names, "objective", values)
    rows, dots = [], []
    for j in range(hot.shape[1]):
        area = auc_interval(scores[:, j], hot[:, j] == 1)
        name = objective[j if k > 2 else 1]
        dots.append(
            {
                "what": f"{name} against the rest"
                if k > 2
                else f"{objective[1]} against {objective[0]}",
                "value": area.value,
                "low": area.low,
                "high": area.high,
            }
        )
        rows.append(
            {
                **dots[-1],
                "what": f"the text tells {dots[-1]['what']}: AUC",
                "n": n_units,
                "note": "1/2 is a guess",
            }
        )
    rows[0]["p_value"] = p
    if left_out:
        rows.append(
            {
                "what": "contexts left out",
                "value": len(left_out),
                "note": f"fewer than {FEWEST} prompts: {', '.join(left_out[:6])}"
                + (", ..." if len(left_out) > 6 else ""),
            }
        )
    value = float(np.mean([d["value"] for d in dots]))
    low, high = float(np.mean([d["low"] for d in dots])), float(np.mean([d["high"] for d in dots]))

    code = np.searchsorted(values, data.objective)
    change, df, p_change, p_either = _changes_reward(data, code, k, rng)
    if df:
        rows.append(
            {
                "what": "the context changes what is preferred: chi squared",
                "value": change,
                "p_value": p_change,
                "n": len(data),
                "note": f"{df} degrees of freedom, beyond what the recorded latents of the "
                "prompt change",
            }
        )
    elif p_either <= alpha:
        rows.append(
            {
                "what": "the context, or the kind of prompt, changes what is preferred",
                "p_value": p_either,
                "n": len(data),
                "note": "no latent or type of the prompt tells the two apart",
            }
        )
    rows += _balance_rows(whole, names)
    told, differs = p <= alpha, df > 0 and p_change <= alpha
    verdict = (
        Verdict.VIOLATED if told and differs else Verdict.STRAINED if told else Verdict.NOT_FOUND
    )
    if told:
        if differs:
            so = (
                "the objective changes what is preferred: comparisons that leave it out are "
                "confounded."
            )
        elif df == 0 and p_either <= alpha:
            so = (
                "what is preferred differs between them, though from what is recorded of the "
                "prompts it cannot be told whether that is the objective's doing or the prompts'."
            )
        else:
            so = (
                "whether it changes what is preferred cannot be seen: where it does, comparisons "
                "that leave it out are confounded."
            )
        sentence = (
            f"The texts tell under which objective they were judged (AUC {value:.2f}), and {so}"
        )
        step = (
            "Fit and compare within each objective, look at overlap (assumption 3 given C), and "
            "have some prompts judged under an objective dealt by a coin."
        )
    else:
        sentence = (
            f"The texts tell the objective no better than a guess (AUC {value:.2f}, up to "
            f"{high:.2f})."
        )
        step = "Condition on the objective all the same: it may change what is preferred."
    return Report(
        verdict=verdict,
        sentence=sentence,
        next_step=step,
        statistic="AUC of guessing the objective from the texts",
        value=value,
        low=low,
        high=high,
        p_value=p,
        n=n_units,
        unit=counts,
        evidence=table(rows),
        picture=Picture(
            "intervals",
            pd.DataFrame(dots),
            "AUC of guessing the objective from the texts",
            (0.5,),
            "Dots with 95 % intervals: "
            + "; ".join(f"{d['what']} {d['value']:.2f}" for d in dots)
            + ". One half is a guess.",
        ),
        **common,
    )


def _changes_reward(
    data: PreferenceData, code: np.ndarray, k: int, rng: np.random.Generator
) -> tuple[float, int, float, float]:
    """Score test of (features x context) in a logistic model of the label.

    Statistic, degrees of freedom and p-value with (features x latents of the prompt) in the
    model; and the p-value without them, which is about either.
    """
    first, second = data.pairs.T
    if data.response_latents is not None:
        d = data.response_latents[first] - data.response_latents[second]
    elif data.embeddings is not None:
        d = data.embeddings[first].astype(float) - data.embeddings[second]
    else:
        return 0.0, 0, 1.0, 1.0
    d = distinct(d)  # scaled, not centred: differences have no direction
    widest = int(np.clip(len(d) // (50 * (k - 1)), 1, 20))
    d = projected(d, widest, seed=rng)
    hot = (code[:, None] == np.arange(1, k)).astype(float)
    hot -= hot.mean(axis=0)
    extra = (d[:, :, None] * hot[:, None, :]).reshape(len(d), -1)
    # what a latent is worth on some kind of prompt is not the doing of who asks about it
    by = modifiers(data)
    crossed = (d[:, :, None] * by[:, None, :]).reshape(len(d), -1)
    if crossed.shape[1] * 20 > len(np.unique(data.pair_prompt)):
        crossed = crossed[:, :0]
    plain = np.column_stack([np.ones(len(d)), d])
    base = np.column_stack([plain[:, :1], distinct(np.concatenate([d, crossed], axis=1))])
    beyond = score_test(base, extra, data.label, data.pair_prompt)
    if crossed.shape[1] == 0:  # nothing of the prompt is known: it may be its doing
        return 0.0, 0, 1.0, beyond.p_value
    either = score_test(plain, extra, data.label, data.pair_prompt)
    return beyond.statistic, beyond.df, beyond.p_value, either.p_value


def balance(data: PreferenceData, *, names: Names | None = None) -> pd.DataFrame:
    """Standardised mean differences of latents between contexts.

    Each context against all others: difference of means over the root of the mean of the two
    variances. Latents of responses are averaged over the pair. 0.1 is often taken as a bound.

    Returns
    -------
    pandas.DataFrame
        ``latent``, ``objective``, ``difference`` (in standard deviations; 0 where the latent never
        varies), ``pairs`` of that context. Empty without latents or with one context.
    """
    parts, labels = [], []
    first, second = data.pairs.T
    if data.prompt_latents is not None:
        parts.append(data.prompt_latents[data.pair_prompt])
        labels += _names(names, "prompt_latents", range(data.prompt_latents.shape[1]), "Z^X_")
    if data.response_latents is not None:
        parts.append((data.response_latents[first] + data.response_latents[second]) / 2)
        labels += _names(names, "response_latents", range(data.response_latents.shape[1]), "Z^T_")
    columns = ["latent", "objective", "difference", "pairs"]
    values = np.empty(0) if data.objective is None else np.unique(data.objective)
    if not parts or len(values) < 2:
        return pd.DataFrame(columns=columns)
    x, rows = np.concatenate(parts, axis=1), []
    objective = _names(names, "objective", values)
    for j, c in enumerate(values if len(values) > 2 else values[1:]):
        here = data.objective == c
        gap = x[here].mean(axis=0) - x[~here].mean(axis=0)
        sd = np.sqrt((x[here].var(axis=0) + x[~here].var(axis=0)) / 2)
        floor = TINY * np.abs(x).max(axis=0)
        smd = np.divide(gap, sd, out=np.zeros_like(gap), where=sd > floor)
        # no spread on either side, but two different values: told apart completely
        smd[(sd <= floor) & (np.abs(gap) > floor)] = (
            np.sign(gap)[(sd <= floor) & (np.abs(gap) > floor)] * np.inf
        )
        rows += [
            (name, objective[j if len(values) > 2 else 1], float(v), int(here.sum()))
            for name, v in zip(labels, smd)
        ]
    return pd.DataFrame(rows, columns=columns)


def _balance_rows(data: PreferenceData, names: Names | None) -> list[dict]:
    worst = balance(data, names=names)
    worst = worst.reindex(worst.difference.abs().sort_values(ascending=False).index)
    return [
        {
            "what": f"{r.latent} under {r.objective}: standardised mean difference",
            "value": r.difference,
            "n": r.pairs,
            "note": "beyond 0.1" if abs(r.difference) > 0.1 else "",
        }
        for r in worst.head(6).itertuples()
    ]


def _names(names: Names | None, field: str, values: Any, prefix: str = "C = ") -> list[str]:
    known = list((names or {}).get(field, ()))
    return [
        known[int(v)] if 0 <= int(v) < len(known) else f"{prefix}{int(v) + (prefix != 'C = ')}"
        for v in values
    ]


# -- a context nobody recorded ---------------------------------------------


def hidden_context_bound(
    p: float | np.ndarray, gamma: float | np.ndarray, *, spread: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """How far P(L = 1) among those shown a pair can lie from that over everybody.

    Let a hidden context C have any number of values, with P(L(x; y, y') = 1 | C) within
    ``spread`` of one another, and let the odds of any context against any other among those who
    were shown the pair differ by a factor of at most ``gamma`` from those in the population.
    If the rate among those shown is p, the rate had everybody been shown it lies in [low, high],
    and both ends are reached.

    Two contexts are worst. If a share s of those shown has the higher rate a + spread, then
    p = a + spread s, and over everybody that share is s / (s + gamma (1 - s)) at the least. The
    difference is largest at s = sqrt(gamma) / (1 + sqrt(gamma)), or as close to it as
    0 <= a <= 1 - spread allows.

    Parameters
    ----------
    p : float or array in [0, 1]
    gamma : float or array, 1 or more
        1: nobody was more likely to be shown the pair; the bounds are p itself.
    spread : float in [0, 1]
        1: contexts may disagree completely.

    Returns
    -------
    low, high : array

    Raises
    ------
    ValueError
        A p or spread outside [0, 1], or a gamma below 1.
    """
    p, gamma = np.broadcast_arrays(np.asarray(p, dtype=float), np.asarray(gamma, dtype=float))
    for name, v, ok in (
        ("p", p, (p >= 0) & (p <= 1)),
        ("gamma", gamma, gamma >= 1),
        ("spread", np.asarray(spread), np.asarray(0 <= spread <= 1)),
    ):
        if not np.all(ok):
            raise ValueError(
                f"{name} = {np.asarray(v)[~ok].flat[0]:g} is out of range: p and spread lie in "
                "[0, 1], gamma is 1 or more"
            )

    def drop(p: np.ndarray) -> np.ndarray:
        if spread == 0:
            return np.zeros_like(p)
        limit = np.isinf(gamma)
        odds = np.where(limit, 1.0, gamma)
        s = np.clip(
            np.where(limit, 1.0, np.sqrt(odds) / (1 + np.sqrt(odds))),
            np.clip((p - 1 + spread) / spread, 0, 1),
            np.clip(p / spread, 0, 1),
        )
        return spread * (s - np.where(limit, 0.0, s / (s + odds * (1 - s))))

    return p - drop(p), p + drop(1 - p)


def overturning_strength(p: float, *, spread: float = 1.0) -> float:
    """The gamma of :func:`hidden_context_bound` at which the bound reaches one half.

    Infinite where contexts this alike cannot overturn p however they select.

    Raises
    ------
    ValueError
        As for :func:`hidden_context_bound`.
    """
    hidden_context_bound(p, 1.0, spread=spread)
    p = max(float(p), 1 - float(p))
    if p == 0.5:
        return 1.0
    if p == 1.0 or spread <= p - 0.5:
        return float("inf")
    # bound(log gamma) falls from p; its limit is p - (largest s) * spread
    low, high = 0.0, 1.0
    while hidden_context_bound(p, np.exp(high), spread=spread)[0] > 0.5:
        high *= 2
        if high > 600:
            return float("inf")
    for _ in range(80):
        middle = (low + high) / 2
        if hidden_context_bound(p, np.exp(middle), spread=spread)[0] > 0.5:
            low = middle
        else:
            high = middle
    return float(np.exp(high))


def _hidden(data: PreferenceData, names: Names | None, common: dict, *, recorded: bool) -> Report:
    """The report without a context: what a hidden one would have to do."""
    rows, dots = [], []
    if data.response_latents is not None:
        first, second = data.pairs.T
        gap = data.response_latents[first] - data.response_latents[second]
        labels = _names(names, "response_latents", range(gap.shape[1]), "Z^T_")
        for j, name in enumerate(labels):
            use = gap[:, j] != 0
            if use.sum() < 10:
                continue
            won = np.where(gap[use, j] > 0, data.label[use], 1 - data.label[use]).astype(float)
            rate = cluster_proportion(won, data.pair_prompt[use])
            p, low, high = rate.value, rate.low, rate.high
            dots.append({"what": f"more {name} preferred", "value": p, "low": low, "high": high})
            near = low if p > 0.5 else high
            safe = (near - 0.5) * (p - 0.5) > 0
            gamma = overturning_strength(near) if safe else 1.0
            half = overturning_strength(near, spread=0.5) if safe else 1.0
            rows.append(
                {
                    **dots[-1],
                    "n": int(use.sum()),
                    "note": "could be chance alone"
                    if not safe
                    else "a hidden context overturns it if it changes the odds of being shown such "
                    f"a pair {number(gamma)}-fold and decides the label alone; "
                    + (
                        "none can whose levels differ by 0.5 in how often they agree"
                        if half == np.inf
                        else f"{number(half)}-fold if its levels differ by 0.5 in how often they "
                        "agree"
                    ),
                }
            )
    what = (
        "all labels were given under one recorded objective; a context that was not recorded"
        if recorded
        else "no context was recorded; one that exists"
    )
    return Report(
        verdict=Verdict.UNTESTABLE,
        n=len(data),
        **common,
        sentence=f"There is nothing to test: {what} leaves no trace in (X, Y, Y', L).",
        next_step="Record who judged and by which objective, or deal prompts to judges by a coin. "
        "Until then read the table: it says how strong a hidden context has to be.",
        evidence=table(rows),
        picture=Picture(
            "intervals",
            pd.DataFrame(dots),
            "share of pairs",
            (0.5,),
            "Dots with 95 % intervals: "
            + "; ".join(f"{d['what']} {d['value']:.2f}" for d in dots)
            + ".",
        )
        if dots
        else None,
    )
