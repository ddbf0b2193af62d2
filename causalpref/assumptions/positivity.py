"""Assumption 3, positivity, and positivity given C, which is overlap."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy import special
from sklearn.isotonic import IsotonicRegression

from causalpref.assumptions._check import Check, Settings, run_check
from causalpref.assumptions._units import (
    Units,
    common_contexts,
    contexts,
    judged_units,
    pair_features,
    prompt_groups,
    several_contexts,
)
from causalpref.assumptions.evidence import Picture, dots, excerpt, row, table
from causalpref.assumptions.report import Report, Verdict, Words
from causalpref.data import PreferenceData
from causalpref.statistics import Estimate, cluster_proportion, folds, ridge_scores, wilson_interval

__all__ = [
    "Positivity",
    "check_positivity",
    "crump_cut",
    "effective_sample_size",
    "propensities",
    "unseen_share",
]


@dataclass(frozen=True)
class Weighted:
    """The prompts of one context, weighted to look like all prompts.

    Parameters
    ----------
    size : float
        Effective sample size.
    n : int
        Prompts of the context.
    reach : float
        Share of all prompts that they can stand for.
    """

    size: float
    n: int
    reach: float

    @property
    def worth(self) -> float:
        """Effective share of their number."""
        return self.size / self.n


@dataclass(frozen=True)
class Triples:
    """Where there is no overlap of contexts to look at: how new the triples shown are.

    Parameters
    ----------
    n : int
        Pairs.
    unseen : Estimate
        See :func:`unseen_share`.
    missing : str
        Why there is none, in words.
    """

    n: int
    unseen: Estimate
    missing: str

    @property
    def repeat(self) -> bool:
        """Whether triples repeat so often that single ones could be averaged over."""
        return self.unseen.low <= 0.5


@dataclass(frozen=True, eq=False)
class Positivity:
    """Numbers of the check of positivity.

    Parameters
    ----------
    n : int
        Units: prompts, or pairs where C was assigned pair by pair.
    unit : str
    level : str
        What C was assigned to, which is the level of the intervals.
    unseen : Estimate
        See :func:`unseen_share`.
    bounds : (float, float)
    outside : Estimate
        Share of units with a propensity outside the bounds.
    cut, trimmed : float
        Of :func:`crump_cut`, and the share of units that it trims.
    weighted : dict of Weighted
        By context.
    furthest : pandas.DataFrame
        ``objective``, ``propensity``, ``prompt``: up to three each.
    log_odds : dict of array
        Of the last context, for the units of each context.
    strained, violated : float
        What the lower end of ``outside`` is held against.
    """

    n: int
    unseen: Estimate
    unit: str
    level: str
    bounds: tuple[float, float]
    outside: Estimate
    cut: float
    trimmed: float
    weighted: dict[str, Weighted]
    furthest: pd.DataFrame
    log_odds: dict[str, np.ndarray]
    strained: float
    violated: float


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


def unseen_share(data: PreferenceData) -> Estimate:
    """P(the next triple (x, y, y') is a new one), by Good (1953): the share of triples seen once.

    The 95 % interval is Wilson's, with the variance of Esty (1983), which adds twice the share
    of triples seen twice.
    """
    _, counts = np.unique(data.pairs, axis=0, return_counts=True)
    n = len(data)
    p, twice = float((counts == 1).sum() / n), float((counts == 2).sum() / n)
    plain = p * (1 - p)
    size = n * plain / (plain + 2 * twice) if plain > 0 else n
    return Estimate(p, *wilson_interval(p, max(size, 1.0)), n=n)


def propensities(
    data: PreferenceData,
    *,
    features: np.ndarray | None = None,
    balanced: bool = False,
    n_folds: int = 5,
    seed: int | np.random.Generator = 0,
) -> pd.DataFrame:
    """P(C = c | texts) for each prompt, cross-fitted.

    A ridge score is fitted on the other folds and put on the probability scale by isotonic
    regression, which claims no more than that a higher score means a higher propensity: a
    logistic curve would run on to 0 and 1 where the truth levels off, as it does when prompts are
    mixed (rho below 1). Each step of it is pulled towards the share of the context by two
    made-up prompts, so that none is 0 or 1. Where every annotator has one context, C was assigned
    to annotators: they share a fold, and a step counts as many prompts as it has annotators
    (effectively, after Kish); the same holds for groups of prompts with one context each.

    Parameters
    ----------
    data, features, n_folds, seed
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
    settings = Settings(features, n_folds=n_folds, seed=seed)
    return _propensities(data, settings, balanced=balanced)[0]


def _annotators_with_one_context(data: PreferenceData) -> np.ndarray | None:
    """Annotators of the pairs, numbered, if each judged under one context; else None."""
    if data.annotator is None:
        return None
    who = np.unique(data.annotator, return_inverse=True)[1]
    c = np.unique(data.require("objective"), return_inverse=True)[1]
    kinds = len(np.unique(who * (c.max() + 1) + c))
    return who if kinds == who.max() + 1 < len(data) else None


def _assigned_to(data: PreferenceData, units: Units, values: np.ndarray) -> np.ndarray:
    """The cluster of each unit within which C does not vary: annotators, else groups of prompts."""
    who = _annotators_with_one_context(data)
    if who is None:
        return units.group
    if len(units) == len(data):
        return who
    code = np.searchsorted(values, data.require("objective"))
    _, first = np.unique(data.pair_prompt * len(values) + code, return_index=True)
    return who[first]


def _effective_clusters(block: np.ndarray, cluster: np.ndarray) -> np.ndarray:
    """Kish's effective number of clusters in each block of units."""
    both, size = np.unique(block * (cluster.max() + 1) + cluster, return_counts=True)
    of = both // (cluster.max() + 1)
    return np.bincount(of, weights=size) ** 2 / np.bincount(of, weights=size**2.0)


def _propensities(
    data: PreferenceData, settings: Settings, *, balanced: bool
) -> tuple[pd.DataFrame, np.ndarray, Units, np.ndarray]:
    """:func:`propensities`, the scores behind them (they order what shares a step), the units.

    And the cluster of each unit that C was assigned to.
    """
    rng, values = settings.rng, contexts(data)
    if len(values) < 2:
        raise ValueError("propensities of C need an objective with two values at least")
    x = pair_features(data, settings.features)
    if x is None:
        raise ValueError("the data have no embeddings or latents, and no features were passed")
    units = judged_units(data, x, values, rng)
    hot = (units.code[:, None] == np.arange(len(values))).astype(float)
    cluster = np.unique(_assigned_to(data, units, values), return_inverse=True)[1]
    apart = cluster if _annotators_with_one_context(data) is not None else units.group
    score = ridge_scores(units.x, hot, folds(apart, settings.n_folds, seed=rng))
    one_each = len(np.unique(cluster * len(values) + units.code)) == cluster.max() + 1
    counted = cluster if one_each else np.arange(len(units))
    out = np.empty_like(hot)
    for j in range(len(values)):
        # scores that differ by rounding only are one score, or interpolation divides by their gap
        rank = np.round((score[:, j] - score[:, j].min()) / (np.ptp(score[:, j]) or 1.0), 9)
        step = IsotonicRegression().fit_transform(rank, hot[:, j])
        level, block = np.unique(step, return_inverse=True)
        size, share = _effective_clusters(block, counted), hot[:, j].mean()
        out[:, j] = ((level * size + 2 * share) / (size + 2))[block]
    if balanced:
        out = out / hot.mean(axis=0)
    out /= out.sum(axis=1, keepdims=True)
    e = pd.DataFrame(
        {
            "prompt": units.prompt,
            "objective": values[units.code],
            **{f"e_{v}": column for v, column in zip(values, out.T)},
        }
    )
    return e, score, units, cluster


def check_positivity(
    data: PreferenceData,
    *,
    features: np.ndarray | None = None,
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
    next one is new (:func:`unseen_share`). Texts hardly ever repeat, so it is near 1 in every data
    set of texts: a fact of texts and no fault of the data, which is why effects are estimated
    through latents (assumptions 4 and 5). It never raises an alarm. When no C is recorded and
    texts do not repeat, the verdict is "cannot be tested": nobody can see whether a
    triple that was not shown could have been. When they do repeat, no violation is found.

    Parameters
    ----------
    data : PreferenceData
    features, n_folds, most_pairs, seed
        As for :func:`causalpref.assumptions.check_unconfoundedness`.
    bounds : (float, float)
        Where overlap is called poor.
    strained, violated : float
        Margins: shares of prompts outside ``bounds`` that the lower end of the 95 % interval has
        to exceed.

    Returns
    -------
    Report
        ``value`` is the share of prompts outside ``bounds``; without C the share of new triples.

    Notes
    -----
    False alarms at most 5 %: propensities of contexts that the texts do not tell gather at the
    middle. No alarm in 100 simulated sets each with users who have topics of their own and were
    assigned one context at random (60 users with 30 prompts, 200 with 5), nor with four prompts
    in five of a user's own kind. Where every annotator has one context, it takes ten annotators in
    each. Power is above 80 % with 400 prompts at rho = 1 and types 3 standard
    deviations apart.
    """
    return run_check(
        POSITIVITY,
        data,
        Settings(features, most_pairs, n_folds, seed=seed),
        bounds=bounds,
        strained=strained,
        violated=violated,
    )


def _compute(
    data: PreferenceData,
    settings: Settings,
    *,
    bounds: tuple[float, float] = (0.05, 0.95),
    strained: float = 0.05,
    violated: float = 0.25,
) -> Positivity | Triples | Words:
    unseen, x = unseen_share(data), pair_features(data, settings.features)
    if data.objective is None:
        return Triples(len(data), unseen, "no context is recorded")
    if not several_contexts(data):
        return Triples(len(data), unseen, "only one context is recorded")
    if x is None:
        return Triples(len(data), unseen, "there is nothing to tell the context from")
    if len(data) < 20:
        return Triples(len(data), unseen, "there are too few pairs")
    data, x, values, _ = common_contexts(data, x)
    if len(values) < 2 or len(np.unique(data.pair_group)) < 4:
        return Words(
            title=_GIVEN_C,
            n=len(data),
            sees="contexts that write different prompts",
            sentence="The contexts rest on too few prompts to be compared.",
            next_step="Collect at least 20 prompts under each context.",
            evidence=table([_new_triples(unseen)]),
        )
    who = _annotators_with_one_context(data)
    by_annotator = who is not None
    if who is not None:
        of = np.unique(
            np.stack([who, np.searchsorted(values, data.require("objective"))], axis=1), axis=0
        )
        fewest = int(np.bincount(of[:, 1]).min())
        if fewest < _ANNOTATORS:
            return Words(
                title=_GIVEN_C,
                n=len(data),
                sees="contexts that write different prompts",
                sentence="Every annotator has one context, so overlap is a matter of annotators: "
                f"the rarest context has {fewest} of them, and it takes {_ANNOTATORS}.",
                next_step="Have more annotators judge under each context, or each annotator "
                "under several.",
                evidence=table([_new_triples(unseen)]),
            )
    e, score, units, cluster = _propensities(data, replace(settings, features=x), balanced=True)
    p = e[[f"e_{v}" for v in values]].to_numpy()
    weight = 1 / np.take_along_axis(p, units.code[:, None], axis=1)[:, 0]
    # two contexts in equal shares: e itself. K contexts: as if each stood against one other.
    odds = p / (1 - p) * (len(values) - 1)
    p = odds / (1 + odds)
    outside = ((p < bounds[0]) | (p > bounds[1])).any(axis=1)
    cut = crump_cut(p[:, -1]) if len(values) == 2 else max(crump_cut(v) for v in p.T)
    listed, weighted, log_odds = [], {}, {}
    for j, name in enumerate(data.names_of("objective", values)):
        own = np.flatnonzero(units.code == j)
        # the mean weight is the number of contexts when every prompt has a counterpart under this
        reach = min(1.0, float(weight[own].mean()) / len(values))
        weighted[name] = Weighted(effective_sample_size(weight[own]), len(own), reach)
        log_odds[name] = special.logit(p[own, -1])
        for i in own[np.lexsort((-score[own, j], -p[own, j]))[:3]]:
            if p[i, j] > 0.5:
                listed.append((name, float(p[i, j]), excerpt(data.prompts[units.prompt[i]])))
    return Positivity(
        len(e),
        unseen,
        units.kind,
        "annotators" if by_annotator else "groups of prompts",
        bounds=bounds,
        outside=cluster_proportion(
            outside.astype(float), cluster if by_annotator else prompt_groups(data)[units.prompt]
        ),
        cut=cut,
        trimmed=float(((p < cut) | (p > 1 - cut)).any(axis=1).mean()),
        weighted=weighted,
        furthest=pd.DataFrame(listed, columns=["objective", "propensity", "prompt"]),
        log_odds=log_odds,
        strained=strained,
        violated=violated,
    )


def _judge(r: Positivity | Triples) -> Verdict:
    if isinstance(r, Triples):
        return Verdict.NOT_FOUND if r.repeat else Verdict.UNTESTABLE
    if r.outside.low > r.violated:
        return Verdict.VIOLATED
    return Verdict.STRAINED if r.outside.low > r.strained else Verdict.NOT_FOUND


_GIVEN_C = "positivity given C"
_ANNOTATORS = 10  # fewer in one context say nothing of overlap, where each annotator has one


def _new_triples(unseen: Estimate) -> dict[str, Any]:
    many = "texts do not repeat, so effects are estimated through latents (assumptions 4 and 5)"
    what = "the next triple (x, y, y') is a new one: probability"
    return row(what, unseen, note=many if unseen.value > 0.5 else "")


def _word(r: Positivity | Triples, verdict: Verdict) -> Words:
    new, rows = r.unseen.value, [_new_triples(r.unseen)]
    if isinstance(r, Triples):
        return Words(
            sees="how much of what is shown was shown before",
            sentence=(
                f"Texts repeat: the next prompt with its two answers is a new one with probability "
                f"{new:.2f}."
                if r.repeat
                else "No text repeats often enough to estimate effects text by text, as in "
                "every data set of texts, so they are estimated through latents."
            )
            + f" Whether contexts overlap cannot be seen: {r.missing}.",
            next_step="Look at latent positivity (assumption 5) instead. Record under which "
            "objective each pair was judged.",
            statistic="P(the next triple is new)",
            short="P(new triple)",
            **r.unseen.cells(),
            n=r.n,
            evidence=table(rows),
            picture=replace(
                dots([row("new triples", r.unseen)], "probability", reference=()),
                description=f"The next triple is new with probability {new:.2f}.",
            ),
        )
    low, high = r.bounds
    what = f"with a propensity outside [{low:g}, {high:g}]"
    trims = f"trims {r.trimmed:.1%} of the prompts" if r.cut else "nothing to trim"
    rows += [
        row(f"{r.unit} {what}", r.outside, note=f"clustered by {r.level}"),
        row("cut of Crump et al. (2009)", value=r.cut, note=trims),
    ]
    rows += [
        row(
            f"effective sample size of {name}, weighted to all prompts",
            value=w.size,
            n=w.n,
            note=f"{w.worth:.0%} of its prompts, reaching {w.reach:.0%} of all",
        )
        for name, w in r.weighted.items()
    ]
    sentence, step = _sentences(r, verdict)
    return Words(
        title=_GIVEN_C,
        sentence=sentence,
        next_step=step,
        statistic=f"share of {r.unit} {what}",
        short="poor overlap",
        **r.outside.cells(),
        n=r.n,
        unit=r.unit,
        evidence=table(rows),
        examples=r.furthest,
        picture=_histograms(r),
    )


def _sentences(r: Positivity, verdict: Verdict) -> tuple[str, str]:
    """The finding and what to do."""
    share = r.outside.value
    worst = min(r.weighted, key=lambda name: r.weighted[name].worth)
    if not verdict.alarm:
        within = (
            f"at most {r.outside.high:.1%}, within the margin of {r.strained:.0%}"
            if r.outside.high < r.strained
            else f"it could be as many as {r.outside.high:.1%}"
        )
        return (
            f"The objectives overlap: {share:.1%} of the {r.unit} ({within}) have a propensity "
            f"outside [{r.bounds[0]:g}, {r.bounds[1]:g}]. Weighted to stand for all, those of "
            f"{worst} are worth {r.weighted[worst].worth:.0%} of their number.",
            "Look at the prompts listed, which are the furthest from the other objectives.",
        )
    least = min(r.weighted, key=lambda name: r.weighted[name].reach)
    reach = r.weighted[least].reach
    so = (
        f"those of {least} can stand for {reach:.0%} of all prompts, whatever their weights."
        if reach < 0.9
        else f"weighted to stand for all prompts, those of {worst} are worth "
        f"{r.weighted[worst].worth:.0%} of their number."
    )
    or_trim = (
        f", or restrict conclusions to propensities in [{r.cut:.2f}, {1 - r.cut:.2f}], which "
        f"leaves out {r.trimmed:.0%}."
        if 0 < r.trimmed < 1
        else "; trimming does not help, since nothing overlaps."
    )
    return (
        f"{share:.0%} of the {r.unit} were hardly ever seen under some other objective; {so}",
        "What the other objective says of these prompts is extrapolation. Have them judged "
        f"under every objective{or_trim}",
    )


def _histograms(r: Positivity) -> Picture:
    edges = np.linspace(-6, 6, 25)
    shown = [
        {"left": float(a), "right": float(b), "group": name, "count": int(v)}
        for name, odds in r.log_odds.items()
        for a, b, v in zip(edges, edges[1:], np.histogram(np.clip(odds, -5.99, 5.99), edges)[0])
    ]
    last = list(r.log_odds)[-1]
    return Picture(
        "histogram",
        pd.DataFrame(shown),
        f"log odds of {last} given the texts, contexts equally common",
        tuple(float(special.logit(b)) for b in r.bounds),
        f"Histograms of the log odds of {last}, one for each objective. "
        f"{r.outside.value:.1%} of the prompts lie beyond the dashed lines.",
    )


POSITIVITY = Check(
    "positivity",
    3,
    "positivity",
    _compute,
    _judge,
    _word,
    sees="prompts that only one kind of judge ever wrote",
    blind="texts alike to the features used but not to a reader; and whether a probability is "
    "zero or merely small",
    reads_texts=several_contexts,
)
