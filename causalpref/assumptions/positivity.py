"""Assumption 3, positivity, and positivity given C, which is overlap."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import special
from sklearn.isotonic import IsotonicRegression

from causalpref.assumptions._fits import (
    groups_of,
    judged_units,
    pair_features,
    rare_contexts,
    sampled_rows,
)
from causalpref.assumptions.confounding import Names, _names
from causalpref.assumptions.report import Picture, Report, Verdict, excerpt, table
from causalpref.data import PreferenceData
from causalpref.statistics import cluster_proportion, folds, ridge_scores, wilson_interval

__all__ = ["check_positivity", "crump_cut", "effective_sample_size", "propensities", "unseen_share"]


def effective_sample_size(weights: np.ndarray) -> float:
    """Kish's effective size of a weighted sample, (sum w)^2 / sum w^2; 0 when all are 0.

    Raises
    ------
    ValueError
        A weight that is negative or not finite.
    """
    w = np.asarray(weights, dtype=float).ravel()
    if not (np.isfinite(w) & (w >= 0)).all():
        row = int(np.flatnonzero(~(np.isfinite(w) & (w >= 0)))[0])
        raise ValueError(f"weights[{row}] = {w[row]} is negative or not finite")
    top = w.max(initial=0)
    return float((w / top).sum() ** 2 / ((w / top) ** 2).sum()) if top > 0 else 0.0


def crump_cut(propensity: np.ndarray) -> float:
    """Where to trim: the alpha of Crump et al. (2009) for propensities of one context in two.

    Keeping units with propensity in [alpha, 1 - alpha] makes the variance of the average effect
    over those kept smallest when outcomes scatter alike everywhere. With
    k = 1 / (e (1 - e)), alpha solves 1 / (alpha (1 - alpha)) = 2 E[k | k <= 1 / (alpha (1 -
    alpha))]; it is 0 when keeping all is best. Of several solutions the best one is taken,
    the most inclusive among those within 1 % of it.

    Parameters
    ----------
    propensity : array in [0, 1]
        Values of 0 and 1 are allowed; they are always trimmed.

    Returns
    -------
    float in [0, 1/2]
        1/2 when nothing is left to keep.

    Raises
    ------
    ValueError
        No values, or one outside [0, 1].
    """
    e = np.asarray(propensity, dtype=float).ravel()
    if len(e) == 0 or not ((e >= 0) & (e <= 1)).all():
        raise ValueError("propensity must hold at least one number, all of them in [0, 1]")
    inside = e[(e > 0) & (e < 1)]
    if len(inside) == 0:
        return 0.5
    k = np.sort(1 / (inside * (1 - inside)))
    m = np.arange(1, len(k) + 1)
    total = np.cumsum(k)
    # {k_1, ..., k_m} solves the equation if its bound keeps k_m and not k_(m + 1); of several
    # solutions the largest whose variance, proportional to total / m^2, is within 1 % of the least
    ok = (k <= 2 * total / m) & (np.append(k[1:], np.inf) > 2 * total / m)
    variance = np.where(ok, total / m**2, np.inf)
    best = np.flatnonzero(variance <= 1.01 * variance.min())[-1]
    if best == len(e) - 1:
        return 0.0
    bound = 2 * total[best] / m[best]
    return float(0.5 - np.sqrt(max(0.25 - 1 / bound, 0)))


def unseen_share(data: PreferenceData) -> tuple[float, float, float]:
    """P(the next triple (x, y, y') is a new one), by Good (1953): the share of triples seen once.

    Returns
    -------
    share, low, high : float
        With a 95 % interval: Wilson's, with the variance of Esty (1983), which adds twice the
        share of triples seen twice.
    """
    _, counts = np.unique(data.pairs, axis=0, return_counts=True)
    n = len(data)
    p, twice = float((counts == 1).sum() / n), float((counts == 2).sum() / n)
    plain = p * (1 - p)
    size = n * plain / (plain + 2 * twice) if plain > 0 else n
    return (p, *wilson_interval(p, max(size, 1.0)))


def propensities(
    data: PreferenceData,
    *,
    features: np.ndarray | None = None,
    groups: Sequence[Any] | None = None,
    balanced: bool = False,
    n_folds: int = 5,
    seed: int | np.random.Generator = 0,
) -> pd.DataFrame:
    """P(C = c | texts) for each prompt, cross-fitted.

    A ridge score is fitted on the other folds and put on the probability scale by isotonic
    regression, which claims no more than that a higher score means a higher propensity: a
    logistic curve would run on to 0 and 1 where the truth levels off, as it does when prompts are
    mixed (rho below 1). Each step of it is pulled towards the share of the context by two
    made-up prompts, so that none is 0 or 1.

    Parameters
    ----------
    data, features, groups, n_folds, seed
        As for :func:`check_positivity`.
    balanced : bool
        As if all contexts were equally common: what is left of a propensity when the share of
        its context is taken out. Overlap concerns P(texts | C = c), which does not depend on it.

    Returns
    -------
    pandas.DataFrame
        One row for each prompt and context it was judged under, or for each pair where most prompts
        with several pairs were judged under several contexts: ``prompt`` (row), ``objective``,
        and ``e_c`` for each context c, in (0, 1), adding up to 1.

    Raises
    ------
    ValueError
        No objective, or one context only; no features.
    """
    return _propensities(data, features, groups, balanced, n_folds, seed)[0]


def _propensities(
    data: PreferenceData,
    features: np.ndarray | None,
    groups: Sequence[Any] | None,
    balanced: bool,
    n_folds: int,
    seed: int | np.random.Generator,
) -> tuple[pd.DataFrame, np.ndarray]:
    """:func:`propensities`, and the scores behind them, which tell apart what shares a step."""
    rng = np.random.default_rng(seed)
    values = np.empty(0) if data.objective is None else np.unique(data.objective)
    if len(values) < 2:
        raise ValueError("propensities of C need an objective with two values at least")
    x = pair_features(data, features)
    if x is None:
        raise ValueError("the data have no embeddings or latents, and no features were passed")
    unit, c, prompt, fold_group = judged_units(data, x, values, groups_of(data, groups), rng)
    hot = (c[:, None] == np.arange(len(values))).astype(float)
    score = ridge_scores(unit, hot, folds(fold_group, n_folds, seed=rng))
    out = np.empty_like(hot)
    for j in range(len(values)):
        step = IsotonicRegression().fit_transform(score[:, j], hot[:, j])
        _, block, size = np.unique(step, return_inverse=True, return_counts=True)
        share = hot[:, j].mean()
        out[:, j] = (np.bincount(block, weights=hot[:, j]) + 2 * share)[block] / (size + 2)[block]
    if balanced:
        out = out / hot.mean(axis=0)
    out /= out.sum(axis=1, keepdims=True)
    return pd.DataFrame(
        {
            "prompt": prompt,
            "objective": values[c],
            **{f"e_{v}": column for v, column in zip(values, out.T)},
        }
    ), score


def check_positivity(
    data: PreferenceData,
    *,
    features: np.ndarray | None = None,
    groups: Sequence[Any] | None = None,
    names: Names | None = None,
    bounds: tuple[float, float] = (0.05, 0.95),
    strained: float = 0.05,
    violated: float = 0.25,
    n_folds: int = 5,
    most_pairs: int = 20_000,
    seed: int | np.random.Generator = 0,
) -> Report:
    """Could every pair have been judged under every context? Could every pair come up at all?

    *Given C* (section 3.1): propensities of C given the texts, balanced so that a rare context
    is not blamed for being rare (:func:`propensities`); the share of prompts with one outside
    ``bounds``; the cut of :func:`crump_cut` and what it would cost; the effective sample size of
    each context when it is weighted to look like all prompts. The prompts furthest from every
    other context are listed.

    *Unconditional* (assumption 3): the share of triples seen once estimates the chance that the
    next one is new (:func:`unseen_share`). Over texts it is near 1, and only assumptions 4 and 5
    help. It decides the verdict when no C is recorded, and then it says strained at most: that
    most triples were not seen does not mean that they could not have been.

    Parameters
    ----------
    data : PreferenceData
    features, groups, names, n_folds, most_pairs, seed
        As for :func:`causalpref.assumptions.check_unconfoundedness`.
    bounds : (float, float)
        Where overlap is called poor.
    strained, violated : float
        Shares of prompts outside ``bounds`` that the lower end of the interval has to exceed.

    Returns
    -------
    Report
        ``value`` is the share of prompts outside ``bounds``; without C the share of new triples.

    Notes
    -----
    False alarms at most 5 %: propensities of contexts that the texts do not tell gather at the
    middle. Power is above 80 % with 400 prompts at rho = 1 and types 3 standard
    deviations apart.
    """
    common = dict(
        blind="texts alike to the features used but not to a reader; and whether a probability is "
        "zero or merely small",
        source=data.source,
        simulated=data.simulated,
    )
    new, new_low, new_high = unseen_share(data)
    evidence = [
        {
            "what": "the next triple (x, y, y') is a new one: probability",
            "value": new,
            "low": new_low,
            "high": new_high,
            "n": len(data),
            "note": "over texts assumption 3 cannot be relied on; 4 and 5 take its place"
            if new > 0.5
            else "",
        }
    ]
    values = np.empty(0) if data.objective is None else np.unique(data.objective)
    x = pair_features(data, features)
    rng = np.random.default_rng(seed)
    if len(values) < 2 or x is None or len(data) < 20:
        verdict = Verdict.STRAINED if new_low > 0.5 else Verdict.NOT_FOUND
        untested = (
            "no context is recorded"
            if data.objective is None
            else "only one context is recorded"
            if len(values) < 2
            else "there is nothing to tell the context from"
            if x is None
            else "there are too few pairs"
        )
        return Report(
            "3, positivity",
            verdict,
            sees="how much of what is shown was shown before",
            sentence=f"The next triple would be a new one with probability {new:.2f}"
            + (", so single texts cannot be averaged over." if verdict.alarm else ".")
            + f" Positivity given C cannot be looked at: {untested}.",
            next_step="Work with latents or embeddings (assumptions 4 and 5). Record who judged.",
            statistic="P(the next triple is new)",
            value=new,
            low=new_low,
            high=new_high,
            n=len(data),
            evidence=table(evidence),
            picture=Picture(
                "intervals",
                pd.DataFrame(
                    [{"what": "new triples", "value": new, "low": new_low, "high": new_high}]
                ),
                "probability",
                (),
                f"The next triple is new with probability {new:.2f}.",
            ),
            **common,
        )

    group = groups_of(data, groups)
    kept = sampled_rows(data, most_pairs, rng, group)
    if len(kept) < len(data):
        data, x = data.select(kept), x[kept]
    values = rare_contexts(data)[1]
    if len(values) > 1:
        kept = np.isin(data.objective, values)
        data, x = data.select(kept), x[kept]
    if len(values) < 2 or len(np.unique(group[data.pair_prompt])) < 4:
        return Report(
            "3, positivity given C",
            Verdict.UNTESTABLE,
            n=len(data),
            sees="contexts that write different prompts",
            sentence="The contexts rest on too few prompts to be compared.",
            next_step="Collect at least 20 prompts under each context.",
            evidence=table(evidence),
            **common,
        )
    e, score = _propensities(data, x, groups, True, n_folds, rng)
    columns = [f"e_{v}" for v in values]
    p = e[columns].to_numpy()
    # two contexts in equal shares: e itself. K contexts: as if each stood against one other.
    odds = p / (1 - p) * (len(values) - 1)
    p = odds / (1 + odds)
    own = np.searchsorted(values, e.objective)
    outside = ((p < bounds[0]) | (p > bounds[1])).any(axis=1)
    unit_group = group[e.prompt.to_numpy()]
    rate = cluster_proportion(outside.astype(float), unit_group)
    share, low, high = rate.value, rate.low, rate.high
    objective = _names(names, "objective", values)
    cut = crump_cut(p[:, -1]) if len(values) == 2 else max(crump_cut(v) for v in p.T)
    trimmed = float(((p < cut) | (p > 1 - cut)).any(axis=1).mean())
    evidence.append(
        {
            "what": f"prompts with a propensity outside [{bounds[0]:g}, {bounds[1]:g}]",
            "value": share,
            "low": low,
            "high": high,
            "n": len(e),
        }
    )
    evidence.append(
        {
            "what": "cut of Crump et al. (2009)",
            "value": cut,
            "note": f"trims {trimmed:.1%} of the prompts" if cut else "nothing to trim",
        }
    )
    ess, reach = {}, {}
    for j, name in enumerate(objective):
        weight = 1 / e[columns[j]].to_numpy()[own == j]
        # its mean is the number of contexts when every prompt has a counterpart under this one
        reach[name] = min(1.0, float(weight.mean()) / len(values))
        size = effective_sample_size(weight)
        ess[name] = size / len(weight)
        evidence.append(
            {
                "what": f"effective sample size of {name}, weighted to all prompts",
                "value": size,
                "n": len(weight),
                "note": f"{ess[name]:.0%} of its prompts, reaching {reach[name]:.0%} of all",
            }
        )
    verdict = (
        Verdict.VIOLATED
        if low > violated
        else Verdict.STRAINED
        if low > strained
        else Verdict.NOT_FOUND
    )
    worst, least = min(ess, key=ess.get), min(reach, key=reach.get)
    if verdict.alarm:
        sentence = (
            f"{share:.0%} of the prompts were hardly ever written under some other "
            "objective; "
            + (
                f"those of {least} can stand for {reach[least]:.0%} of all prompts, "
                "whatever their weights."
                if reach[least] < 0.9
                else f"weighted to stand for all prompts, those of {worst} are worth "
                f"{ess[worst]:.0%} of their number."
            )
        )
        step = (
            "What the other objective says of these prompts is extrapolation. Have them judged "
            "under every objective"
            + (
                f", or restrict conclusions to propensities in [{cut:.2f}, {1 - cut:.2f}], which "
                f"leaves out {trimmed:.0%}."
                if 0 < trimmed < 1
                else "; trimming does not help, since nothing overlaps."
            )
        )
    else:
        sentence = (
            f"{share:.1%} of the prompts (at most {high:.1%}) have a propensity outside "
            f"[{bounds[0]:g}, {bounds[1]:g}]."
        )
        step = "Look at the prompts listed, which are the furthest from the other objectives."
    listed = []
    for j, name in enumerate(objective):
        for i in np.flatnonzero(own == j)[np.lexsort((-score[own == j, j], -p[own == j, j]))[:3]]:
            if p[i, j] > 0.5:
                listed.append(
                    {
                        "objective": name,
                        "propensity": float(p[i, j]),
                        "prompt": excerpt(data.prompts[e.prompt[i]]),
                    }
                )
    edges = np.linspace(-6, 6, 25)
    logits = np.clip(special.logit(p[:, -1]), -5.99, 5.99)
    shown = [
        {"left": float(a), "right": float(b), "group": name, "count": int(v)}
        for j, name in enumerate(objective)
        for a, b, v in zip(edges, edges[1:], np.histogram(logits[own == j], edges)[0])
    ]
    return Report(
        "3, positivity given C",
        verdict,
        sentence=sentence,
        sees="prompts that only one kind of judge ever wrote",
        next_step=step,
        statistic=f"share of prompts with a propensity outside [{bounds[0]:g}, {bounds[1]:g}]",
        value=share,
        low=low,
        high=high,
        n=len(e),
        unit="pairs" if len(e) > 1.05 * e.prompt.nunique() else "prompts",
        evidence=table(evidence),
        examples=pd.DataFrame(listed, columns=["objective", "propensity", "prompt"]),
        picture=Picture(
            "histogram",
            pd.DataFrame(shown),
            f"log odds of {objective[-1]} given the texts, contexts equally common",
            tuple(float(special.logit(b)) for b in bounds),
            f"Histograms of the log odds of {objective[-1]}, one for each objective. "
            f"{share:.1%} of the prompts lie beyond the dashed lines.",
        ),
        **common,
    )
