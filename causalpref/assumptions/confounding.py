"""Assumption 2, unconfoundedness: is the context of a judgement associated with what is judged?"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from scipy import optimize, special, stats

from causalpref.assumptions._check import Check, Settings, run_check
from causalpref.assumptions._units import (
    MANY,
    Units,
    assigned_counts,
    assignment,
    contexts,
    dependence,
    judged_units,
    modifiers,
    pair_features,
    permuted_codes,
    products,
    several_contexts,
)
from causalpref.assumptions.evidence import dots, number, row, table
from causalpref.assumptions.report import Report, Verdict, Words
from causalpref.data import PreferenceData
from causalpref.statistics import (
    TINY,
    Z95,
    Estimate,
    ScoreTest,
    auc,
    cluster_covariance,
    cluster_proportion,
    distinct,
    folds,
    logistic_fit,
    permutation_p_value,
    projected,
    ridge_scores,
    score_test,
)

__all__ = [
    "Unconfoundedness",
    "balance",
    "check_unconfoundedness",
    "hidden_context_bound",
    "overturning_strength",
]


@dataclass(frozen=True)
class Overturning:
    """How strong a hidden context has to be to overturn what is seen of a latent.

    Parameters
    ----------
    rate : Estimate
        How often the response with more of the latent is preferred.
    alone, half : float or None
        The smallest factor on the odds of being shown such a pair, where the context decides the
        label and where its levels differ by 0.5; None where chance alone explains the rate.
    """

    rate: Estimate
    alone: float | None
    half: float | None


@dataclass(frozen=True, eq=False)
class HiddenContext:
    """Where no context can be tested: what a hidden one would have to do.

    Parameters
    ----------
    n : int
        Pairs.
    one : bool
        Whether a single context was recorded, rather than none.
    latents : dict of Overturning
    """

    n: int
    one: bool
    latents: dict[str, Overturning]


@dataclass(frozen=True, eq=False)
class Tastes:
    """Whether C changes what is preferred, and apart from that how surely.

    Parameters
    ----------
    change : ScoreTest
        Of weights of the features that are not proportional to one another: different tastes.
    apart : Estimate
        In how many pairs two contexts (those furthest apart) prefer different answers, noise
        aside; in [0, 1].
    surer : dict of Estimate
        How surely the others judge, in multiples of the first context, if tastes are the same.
    surer_p : float
        Of equal multiples.
    separable : bool
        False where nothing of the prompt is known, so that a difference may be the prompts' doing.
    """

    change: ScoreTest
    apart: Estimate
    surer: dict[str, Estimate]
    surer_p: float
    separable: bool


@dataclass(frozen=True, eq=False)
class Unconfoundedness:
    """Numbers of the check of unconfoundedness.

    Parameters
    ----------
    n : int
        Units: prompts, or pairs where C was assigned pair by pair.
    unit : str
    pairs : int
        Pairs that these units come from.
    level : str
        What C was assigned to: ``"annotators"``, ``"sessions"``, ``"prompt groups"``,
        ``"prompts"`` or ``"pairs"``.
    counts : dict of int
        How many annotators, sessions, ... each context was assigned to.
    moved : str
        What the permutation test permutes, in words.
    clustered : str
        What standard errors are clustered by, in words.
    auc : dict of Estimate
        Cross-fitted AUC, by contrast.
    mean_auc : Estimate
        Of all contrasts.
    p_value : float
        Of the AUCs, by permutation.
    tastes : Tastes or None
        None where there are no latents or embeddings of the responses.
    left_out : list of str
        Contexts that were assigned to too few.
    balance : pandas.DataFrame
        See :func:`balance`.
    margin, taste_margin : float
        Up to which an AUC, and a share of pairs, count as no difference that matters.
    alpha : float
    """

    n: int
    unit: str
    pairs: int
    level: str
    counts: dict[str, int]
    moved: str
    clustered: str
    auc: dict[str, Estimate]
    mean_auc: Estimate
    p_value: float
    tastes: Tastes | None
    left_out: list[str]
    balance: pd.DataFrame
    margin: float
    taste_margin: float
    alpha: float

    @property
    def associated(self) -> bool:
        """Whether the texts predict C, better than the margin allows."""
        return self.p_value <= self.alpha and self.mean_auc.value > self.margin

    @property
    def different(self) -> bool:
        """Whether tastes were seen to differ, by more than the margin allows."""
        t = self.tastes
        return (
            t is not None and t.change.p_value <= self.alpha and t.apart.value > self.taste_margin
        )

    @property
    def changes(self) -> bool:
        """Whether C, and not the prompts, was seen to change tastes."""
        return self.different and self.tastes is not None and self.tastes.separable

    @property
    def alike(self) -> bool:
        """Whether tastes differ by no more than the margin, and contexts judge as surely."""
        t = self.tastes
        return (
            t is not None
            and t.change.df > 0
            and t.apart.high <= self.taste_margin
            and t.surer_p > self.alpha
        )


def check_unconfoundedness(
    data: PreferenceData,
    *,
    features: np.ndarray | None = None,
    margin: float = 0.55,
    taste_margin: float = 0.05,
    permutations: int | None = None,
    n_folds: int = 5,
    most_pairs: int = 20_000,
    alpha: float = 0.05,
    seed: int | np.random.Generator = 0,
) -> Report:
    """Can C be predicted from (X, Y, Y'), and does it change what is preferred?

    Confounding takes both arrows of figure 2a, from C to the texts and from C to the rewards.

    *The first arrow* is a classifier two-sample test. A ridge score predicts C from the texts of
    annotators and prompts that it was not fitted to. Its AUC, within folds, is compared with that
    of permuted C, and has a cluster-robust interval. C is permuted at the level at which it
    varies, which the report names: over annotators if C is (nearly) constant within them, else
    over sessions, prompt groups or prompts, else over pairs. Annotators may also differ in how
    often they judge under each context: then whole annotators trade their contexts.

    *The second arrow* is a score test for interactions of C with the features in a logistic model
    of the label that lets their worth depend on the prompt, clustered by annotator and prompt.
    Scale is not direction: the model under test has proportional weights, so that a context whose
    annotators are surer, with the same taste, is no violation; by how much they are surer is a
    number of its own.

    Without C nothing can be tested; the report then says how strong a hidden context must be
    to overturn what the data show of each latent (:func:`overturning_strength`).

    Parameters
    ----------
    data : PreferenceData
        Prompts of one ``prompt_group`` share a fold.
    features : array, shape (n_pairs, q), optional
        What is known of the texts of each pair. Default: mean embedding of the two responses,
        or else latents of the prompt and of the pair.
    margin : float in [0.5, 1)
        AUCs up to this count as no association that matters.
    taste_margin : float in [0, 1)
        Contexts that prefer different answers in up to this share of the pairs, noise aside,
        count as of one taste.
    permutations : int, optional
        Of C; the smallest p-value is 1 / (permutations + 1). Default: 999 for up to 4,000 prompts
        (or pairs), fewer for more of them, 199 for 20,000.
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
        the rest). Violated when texts predict C and C changes what is preferred beyond what
        latents or types of the prompt change, both with 95 % intervals beyond their margins;
        strained when an association beyond the margin is significant and less than this is seen
        of the change. If the interval of the change lies within its margin, nothing was found.

    Raises
    ------
    ValueError
        Features of the wrong shape or not finite; a margin out of range.

    Notes
    -----
    Contexts that were assigned to fewer than 10 annotators (sessions, prompts, pairs) are left
    out, and with fewer than two contexts left the check cannot be made. With 10 against 10 every
    fold of 5 holds about two of each, there are 184,756 ways to assign C, and the AUC of a guess
    over annotators varies by 0.13 (standard deviation); with 5 against 5 it varies by 0.19.

    The permutation test is exact when C is independent of the texts and the annotators (sessions,
    prompts, pairs) can change places; where annotators trade sequences of contexts of unequal
    lengths it is approximate. Alarms on sound data, in 300 simulated sets of each kind with 99
    permutations (39 for the 8 users), before the last change to the interval of tastes, which does
    not enter the p-value. C is assigned at random and changes tastes in most: users with topics of
    their own
    3 % (60 users x 30 prompts) and 3 % (24 x 10), three contexts 7 %, a quarter of 80 users under
    one context 6 %, users of very unequal sizes 6 %, one label in ten or in two under another
    context than the user's own 4 and 3 %, annotators twice as sure under one context 5 %, sessions
    within users 6 %, prompts judged under several contexts 2 %, users crossed with prompts 1 %,
    users with shares of their own 4 % (30 users) and 3 % (8), groups of prompts 5 % (at 5 %,
    6.3 % is one standard error and 7.5 % two). The test of tastes by itself errs in 3 to 8 % of
    such sets, most with 24 to 60 annotators.

    *Not within 5 %*: without the column of annotators, users with topics look like confounding.

    Power, 20 sets each with 39 permutations, with tastes that prefer different answers in 35 % of
    the pairs: an alarm in 90 % of sets (violated in 50 %) where 60 users' C and topic correlate at
    0.7, of which the
    AUC is 0.70; always (violated in 90 %) at 0.9 and an AUC of 0.79; with 100 users always
    violated; with 24 users an alarm in 83 % of the sets that can be tested. Violated in 90 % where
    topics of 240 sessions decide, in 95 % with 80 groups of prompts, always with 800 pairs. The
    same taste twice as sure was never called violated.
    """
    for name, value, lowest in (("margin", margin, 0.5), ("taste_margin", taste_margin, 0.0)):
        if not lowest <= value < 1:
            raise ValueError(
                f"{name} is {value!r}; expected a number from {lowest:g} to below 1. "
                "Set it to the largest difference that does not matter to you."
            )
    settings = Settings(features, most_pairs, n_folds, alpha=alpha, seed=seed)
    return run_check(
        UNCONFOUNDEDNESS,
        data,
        settings,
        margin=margin,
        taste_margin=taste_margin,
        permutations=permutations,
    )


_FEWEST_ASSIGNED = 10
"""Annotators, sessions, ... that a context has to be assigned to, see Notes."""


def _compute(
    data: PreferenceData,
    settings: Settings,
    *,
    margin: float = 0.55,
    taste_margin: float = 0.05,
    permutations: int | None = None,
) -> Unconfoundedness | HiddenContext | Words:
    rng, whole = settings.rng, data
    x, values = pair_features(data, settings.features), contexts(data)
    if len(values) < 2:
        return HiddenContext(len(data), len(values) == 1, _hidden(data))
    if x is None:
        return Words(
            n=len(data),
            sentence="There are no embeddings, latents or features to predict the context from.",
            next_step="Embed the texts (causalpref.text.embedding), or pass features.",
        )
    data, x, values, few = _well_assigned(data, x, values)
    if isinstance(few, Words):
        return few
    units = judged_units(data, x, values, rng)
    k = len(values)
    indicator = np.eye(k)[:, slice(None) if k > 2 else slice(1, 2)]
    names = data.names_of("objective", values)
    contrasts = (
        [f"{name} against the rest" for name in names]
        if k > 2
        else [f"{names[1]} against {names[0]}"]
    )
    if permutations is None:
        permutations = int(np.clip(4_000_000 // len(units), 199, 999))
    scores, fold, drawn = _permuted(units, indicator, settings.n_folds, permutations, rng)
    each, mean = _areas(
        scores, indicator[units.code] == 1, _compared(units, fold), units.clusters, drawn[1:]
    )
    return Unconfoundedness(
        len(units),
        units.kind,
        pairs=len(data),
        level=units.level,
        counts=dict(zip(names, units.counts().tolist())),
        moved=_moved(units),
        clustered=dependence(data)[1],
        auc=dict(zip(contrasts, each)),
        mean_auc=mean,
        p_value=permutation_p_value(drawn[0].mean(), drawn[1:].mean(axis=1)),
        tastes=_tastes(data, values, rng),
        left_out=whole.names_of("objective", few),
        balance=balance(whole),
        margin=margin,
        taste_margin=taste_margin,
        alpha=settings.alpha,
    )


def _well_assigned(
    data: PreferenceData, x: np.ndarray, values: np.ndarray
) -> tuple[PreferenceData, np.ndarray, np.ndarray, np.ndarray | Words]:
    """Pairs and features of contexts that were assigned to enough, and the contexts left out."""
    given, said = values, ""
    while True:
        code = np.searchsorted(values, data.require("objective"))
        level, assigned, _ = assignment(data, code)
        count = assigned_counts(code, assigned)
        enough = count >= _FEWEST_ASSIGNED
        if not said or enough.sum() > 1:
            named = [
                f"{n:,} under {name}"
                for n, name in sorted(zip(count.tolist(), data.names_of("objective", values)))
            ]
            said = f"{', '.join(named[:6])}{', ...' if len(named) > 6 else ''}"
        if enough.all() and len(values) > 1:
            return data, x, values, np.setdiff1d(given, values)
        if enough.sum() < 2:
            of = (
                "The objective was assigned pair by pair"
                if level == "pairs"
                else f"Each of the {level} has one objective (with few exceptions)"
            )
            return (
                data,
                x,
                values,
                Words(
                    n=len(data),
                    sentence=f"{of}, and there are too few {level} to tell whether texts predict "
                    f"it: {said}. It takes {_FEWEST_ASSIGNED} under each of two objectives.",
                    next_step=f"Collect labels from at least {_FEWEST_ASSIGNED} {level}, better "
                    f"{2 * _FEWEST_ASSIGNED}, under each objective.",
                ),
            )
        kept = enough[code]
        data, x, values = data.select(kept), x[kept], values[enough]


def _moved(units: Units) -> str:
    """What the permutation test permutes, in words."""
    n = len(np.unique(units.assigned))
    what = f"{n:,} {units.level}"
    if units.within is None:
        return what
    outer = len(np.unique(units.within))
    if outer == 1:
        return what
    how = "traded by" if outer >= MANY else "within each of"
    return f"{what}, {how} {outer:,} annotators or sessions"


def _permuted(
    units: Units, indicator: np.ndarray, n_folds: int, permutations: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cross-fitted scores of the contexts, folds, and AUCs, (1 + permutations, contrasts)."""
    fold = folds(units.group, n_folds, seed=rng)
    among = _compared(units, fold)
    codes = permuted_codes(units, permutations, rng)
    scores, areas = np.zeros((0, 0)), []
    parts = max(1, codes.size * indicator.shape[1] // 4_000_000)
    for i, some in enumerate(np.array_split(codes, parts, axis=1)):
        outcome = indicator[some].reshape(len(units), -1)  # (units, permutations x classes)
        part = ridge_scores(units.x, outcome, fold)
        scores = part[:, : indicator.shape[1]] if i == 0 else scores
        areas.append(_area(part, outcome == 1, among).reshape(some.shape[1], -1))
    return scores, fold, np.concatenate(areas)


def _compared(units: Units, fold: np.ndarray) -> np.ndarray:
    """Rows whose scores are compared: of one fold, and of one annotator where they are few."""
    if units.within is None:
        return fold
    member = np.unique(units.within, return_inverse=True)[1]
    n = int(member.max()) + 1
    return fold if n >= MANY else np.unique(fold * n + member, return_inverse=True)[1]


def _area(score: np.ndarray, positive: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """AUC of every column over pairs of rows within one fold; one half where there are none.

    Scores of different folds come from different fits. To compare them would punish a guess: a
    fold with more of a context than the others gets lower scores for it.
    """
    right, of = np.zeros(score.shape[1]), np.zeros(score.shape[1])
    for k in range(fold.max(initial=-1) + 1):
        held = fold == k
        ones = positive[held].sum(axis=0, dtype=float)
        pairs = ones * (held.sum() - ones)
        right += auc(score[held], positive[held]) * pairs
        of += pairs
    return np.where(of > 0, right / np.maximum(of, 1), 0.5)


def _areas(
    score: np.ndarray,
    positive: np.ndarray,
    fold: np.ndarray,
    clusters: np.ndarray,
    drawn: np.ndarray,
) -> tuple[list[Estimate], Estimate]:
    """The AUCs of :func:`_area` and their mean with cluster-robust 95 % intervals.

    The interval is on the logit scale, with the t distribution of the fewer clusters. A row's
    share in the variance is the number of rows of the other kind that it beats, less the number
    expected (DeLong et al., 1988; for clusters Obuchowski, 1997). That takes the scores as given;
    the standard error is therefore never below that of AUCs ``drawn`` with C permuted, to which
    the fits contribute.
    """
    area = _area(score, positive, fold)
    share = np.zeros(score.shape)
    rows = np.zeros(score.shape[1])
    for j in range(score.shape[1]):
        of = 0.0
        for k in range(fold.max(initial=-1) + 1):
            held = np.flatnonzero(fold == k)
            s, one = score[held, j], positive[held, j]
            n1, n0 = int(one.sum()), int((~one).sum())
            if n1 == 0 or n0 == 0:
                continue
            rank = stats.rankdata(s)
            beaten = np.empty(len(held))
            beaten[one] = rank[one] - stats.rankdata(s[one])
            beaten[~one] = n1 - (rank[~one] - stats.rankdata(s[~one]))
            share[held, j] = beaten - area[j] * np.where(one, n0, n1)
            of += n1 * n0
        share[:, j] /= max(of, 1)
        rows[j] = min(positive[:, j].sum(), (~positive[:, j]).sum())
    each = [
        _area_interval(float(a), s, clusters, max(float(m), 1.0), float(chance))
        for a, s, m, chance in zip(area, share.T, rows, drawn.std(axis=0))
    ]
    if len(each) == 1:
        return each, each[0]
    chance = float(drawn.mean(axis=1).std())
    return each, _area_interval(
        float(area.mean()), share.mean(axis=1), clusters, max(float(rows.min()), 1.0), chance
    )


def _area_interval(
    area: float, share: np.ndarray, clusters: np.ndarray, fewer: float, chance: float
) -> Estimate:
    columns = [clusters] if clusters.ndim == 1 else [*clusters.T, clusters]
    variance = max(float(cluster_covariance(share, c)) for c in columns)
    n_clusters = min(len(np.unique(c)) for c in columns[:2] if c.ndim == 1)
    p = np.clip(area, 0.5 / fewer, 1 - 0.5 / fewer)
    least = 1 / (fewer * len(share))  # one pair in the wrong order
    se = max(np.sqrt(variance), chance)
    half = stats.t.ppf(0.975, max(n_clusters - 1, 1)) * max(se, least) / (p * (1 - p))
    low, high = special.expit(special.logit(p) + np.array([-half, half]))
    return Estimate(area, float(min(low, area)), float(max(high, area)), float(se), len(share))


def _judge(r: Unconfoundedness | HiddenContext) -> Verdict:
    if isinstance(r, HiddenContext):
        return Verdict.UNTESTABLE
    if not r.associated or r.alike:
        return Verdict.NOT_FOUND
    sure = r.mean_auc.low > r.margin
    if sure and r.changes and r.tastes is not None and r.tastes.apart.low > r.taste_margin:
        return Verdict.VIOLATED
    return Verdict.STRAINED


def _word(r: Unconfoundedness | HiddenContext, verdict: Verdict) -> Words:
    if isinstance(r, HiddenContext):
        return _word_hidden(r)
    rows = [
        row(f"AUC of predicting {what} from the texts", e, n=r.n, note="0.5 is a guess")
        for what, e in r.auc.items()
    ]
    rows[0]["p_value"] = r.p_value
    rows.append(
        row(
            f"the objective is permuted over {r.moved}",
            note=f"{', '.join(f'{n:,} under {name}' for name, n in list(r.counts.items())[:6])}; "
            f"standard errors are clustered by {r.clustered}",
        )
    )
    if r.left_out:
        more = ", ..." if len(r.left_out) > 6 else ""
        note = f"fewer than {_FEWEST_ASSIGNED} {r.level}: {', '.join(r.left_out[:6])}{more}"
        rows.append(row("contexts left out", value=len(r.left_out), note=note))
    rows += _rows_of_tastes(r)
    worst = r.balance.reindex(r.balance.difference.abs().sort_values(ascending=False).index)
    rows += [
        row(
            f"{b.latent} under {b.objective}: standardised mean difference",
            value=b.difference,
            n=b.pairs,
            note="beyond 0.1" if abs(b.difference) > 0.1 else "",
        )
        for b in worst.head(6).itertuples()
    ]
    sentence, step = _sentences(r)
    statistic = "AUC of predicting the objective from the texts"
    return Words(
        sentence=sentence,
        next_step=step,
        statistic=statistic,
        short="AUC",
        **r.mean_auc.cells(),
        p_value=r.p_value,
        n=r.n,
        unit=r.unit,
        evidence=table(rows),
        picture=dots(
            [row(what, e) for what, e in r.auc.items()],
            statistic,
            after=f" One half is a guess, and up to {r.margin:g} counts as too little to matter.",
            reference=(0.5, r.margin),
        ),
    )


def _rows_of_tastes(r: Unconfoundedness) -> list[dict[str, Any]]:
    t = r.tastes
    if t is None:
        return []
    rows = []
    if t.change.df and t.separable:
        note = f"{t.change.df} degrees of freedom, beyond what the recorded latents of the prompt "
        rows.append(
            row(
                "the context changes what is preferred: chi squared",
                value=t.change.statistic,
                p_value=t.change.p_value,
                n=r.pairs,
                note=f"{note}change and beyond how surely each context judges",
            )
        )
    elif t.change.df and r.different:
        rows.append(
            row(
                "the context, or the kind of prompt, changes what is preferred",
                p_value=t.change.p_value,
                n=r.pairs,
                note="no latent or type of the prompt separates the two",
            )
        )
    if t.change.df:
        rows.append(
            row(
                "share of pairs in which two objectives prefer different answers, noise aside",
                t.apart,
                n=r.pairs,
                note=f"up to {r.taste_margin:g} counts as one taste",
            )
        )
    first = next(iter(r.counts))
    for i, (name, e) in enumerate([] if r.different else t.surer.items()):
        rows.append(
            row(
                f"how surely {name} judges, in multiples of {first}, if tastes are the same",
                e,
                p_value=t.surer_p if i == 0 else None,
                n=r.pairs,
                note="a difference of scale, not of taste",
            )
        )
    return rows


def _sentences(r: Unconfoundedness) -> tuple[str, str]:
    """The finding and what to do."""
    auc, margin = r.mean_auc, r.margin
    same = "Condition on the objective all the same: it may change what is preferred."
    told = f"(AUC {auc.value:.2f}, 95 % interval {auc.low:.2f} to {auc.high:.2f})"
    if not r.associated:
        if auc.high <= margin:
            return (
                "The texts do not predict under which objective they were judged, to any extent "
                f"that matters {told}: an AUC of up to {margin:g} counts as no association.",
                same,
            )
        if r.p_value <= r.alpha:
            return (
                "The texts predict under which objective they were judged, but hardly better than "
                f"a guess {told}: an AUC of up to {margin:g} counts as no association.",
                same,
            )
        return (
            "The texts were not seen to predict under which objective they were judged (AUC "
            f"{auc.value:.2f}); an association with an AUC of up to {auc.high:.2f} would have "
            "been missed.",
            same,
        )
    start = f"The texts predict under which objective they were judged {told}, "
    t = r.tastes
    if t is not None and r.alike:
        return (
            f"{start}but the objective changes the preferred answer in at most "
            f"{t.apart.high:.1%} of the pairs: up to {r.taste_margin:.0%} counts as one taste.",
            "Condition on the objective, which costs little.",
        )
    if t is not None and r.changes:
        so = (
            "and the objective changes what is preferred: two objectives prefer different answers "
            f"in about {t.apart.value:.0%} of the pairs ({t.apart.low:.0%} to {t.apart.high:.0%}). "
            "Comparisons that leave the objective out are confounded."
        )
    elif r.different:
        so = (
            "and what is preferred differs between them, though from what is recorded of the "
            "prompts it cannot be told whether that is the objective's doing or the prompts'."
        )
    elif t is not None and t.surer_p <= r.alpha:
        so = (
            "and annotators are surer under one than under another; that they prefer different "
            "answers was not seen. Comparisons that leave the objective out mix sure and unsure "
            "labels."
        )
    else:
        so = (
            "and whether the objective changes what is preferred cannot be seen: where it does, "
            "comparisons that leave it out are confounded."
        )
    return (
        start + so,
        "Fit and compare within each objective, look at overlap (assumption 3 given C), and "
        "have some prompts judged under an objective assigned at random.",
    )


def _word_hidden(r: HiddenContext) -> Words:
    rows = [
        row(f"more {name} preferred", o.rate, note=_overturned(o)) for name, o in r.latents.items()
    ]
    what = (
        "all labels were given under one recorded objective; a context that was not recorded"
        if r.one
        else "no context was recorded; one that exists"
    )
    return Words(
        sentence=f"There is nothing to test: {what} leaves no trace in (X, Y, Y', L).",
        next_step="Record who judged and by which objective, or deal prompts to judges by a coin. "
        "Until then read the table: it says how strong a hidden context has to be.",
        n=r.n,
        evidence=table(rows),
        picture=dots(rows, "share of pairs"),
        rests_on=("response_latents",),
    )


def _overturned(o: Overturning) -> str:
    if o.alone is None:
        return "could be chance alone"
    half = (
        "none can whose levels differ by 0.5 in how often they agree"
        if o.half == np.inf
        else f"{number(o.half)}-fold if its levels differ by 0.5 in how often they agree"
    )
    return (
        "a hidden context overturns it if it changes the odds of being shown such a pair "
        f"{number(o.alone)}-fold and decides the label alone; {half}"
    )


UNCONFOUNDEDNESS = Check(
    "unconfoundedness",
    2,
    "unconfoundedness",
    _compute,
    _judge,
    _word,
    sees="a recorded context that is associated with the texts and with what is preferred",
    blind="every context that was not recorded: figure 2a with C unseen gives the same data as "
    "a world without C",
    reads_texts=several_contexts,
)


def _tastes(data: PreferenceData, values: np.ndarray, rng: np.random.Generator) -> Tastes | None:
    """Tastes and sureness by context, beyond what latents of the prompt change."""
    if data.response_latents is None and data.embeddings is None:
        return None
    name = "embeddings" if data.response_latents is None else "response_latents"
    clusters = dependence(data)[0]
    fewest = min(len(np.unique(c)) for c in clusters.reshape(len(data), -1).T)
    code, label, k = np.searchsorted(values, data.require("objective")), data.label, len(values)
    under = np.eye(k)[code]
    # scaled, not centred: differences have no direction
    d = distinct(data.difference(name))
    most = min(len(d) // 50, fewest // 6) // (k - 1)
    d = distinct(projected(d, int(np.clip(most, 1, 20)), seed=rng))
    extra = products(d, (under - under.mean(axis=0))[:, 1:])

    def tested(crossed: np.ndarray) -> tuple[np.ndarray, ...]:
        base = distinct(np.concatenate([d, crossed], axis=1))
        pooled, scale = _proportional(base, code, label)
        t = base @ pooled
        common = np.column_stack([under, base * scale[code, None]])
        # a step in scale of everything, and of what does not depend on the prompt
        along, of_d = ((under * v[:, None])[:, scale > 0] for v in (t, d @ pooled[: d.shape[1]]))
        return base, scale, t, common, along, distinct(np.column_stack([common, along, of_d]))

    # what a latent is worth on some kind of prompt is not the doing of who asks about it
    crossed = products(d, modifiers(data))
    separable = 0 < crossed.shape[1] * 20 <= len(np.unique(data.pair_prompt))
    base, scale, t, common, along, known = tested(crossed if separable else crossed[:, :0])
    change = score_test(known, extra, label, clusters)
    if separable and change.df == 0:  # the kind of prompt and C coincide
        separable = False
        base, scale, t, common, along, known = tested(crossed[:, :0])
        change = score_test(known, extra, label, clusters)
    equal = logistic_fit(np.column_stack([under, base]), label, ridge=1e-6).weights[k:]
    surer = score_test(
        np.column_stack([under, base]), (under * (base @ equal)[:, None])[:, 1:], label, clusters
    )
    multiples = {}
    if scale[0] > 0 and surer.df == k - 1:
        fit = logistic_fit(
            np.column_stack([common, along[:, 1:]]), label, ridge=1e-6, clusters=clusters
        )
        se = iter(fit.se[common.shape[1] :])
        for c, what in enumerate(data.names_of("objective", values)):
            if c and scale[c] > 0:
                ratio = scale[c] / scale[0]
                half = min(Z95 * next(se) / scale[c], 50.0)
                ends = ratio * np.exp([-half, half])
                multiples[what] = Estimate(float(ratio), *ends.tolist(), n=len(d))
    apart = _apart(d, under, base, extra, label, t, change, clusters, rng)
    return Tastes(change, apart, multiples, surer.p_value if multiples else 1.0, separable)


def _proportional(
    base: np.ndarray, code: np.ndarray, label: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Weights w and multiples s_c >= 0 of the logistic model s_c (base w) + a_c, in turns."""
    k = int(code.max()) + 1
    under, share = np.eye(k)[code], np.bincount(code) / len(code)
    scale, w = np.ones(k), np.zeros(base.shape[1])
    for _ in range(15):
        design = np.column_stack([under, base * scale[code, None]])
        w = logistic_fit(design, label, ridge=1e-6).weights[k:]
        t = base @ w
        new = np.empty(k)
        for c in range(k):
            own = code == c
            alone = np.column_stack([np.ones(own.sum()), t[own]])
            new[c] = np.clip(logistic_fit(alone, label[own], ridge=1e-6).weights[1], 0, 100)
        size = share @ new
        if size <= 0:
            break
        new /= size
        if np.abs(new - scale).max() < 1e-4:
            break
        scale = np.where(new < 0.01, 0.0, new)
    return w, scale


def _apart(
    d: np.ndarray,
    under: np.ndarray,
    base: np.ndarray,
    extra: np.ndarray,
    label: np.ndarray,
    pooled: np.ndarray,
    change: ScoreTest,
    clusters: np.ndarray,
    rng: np.random.Generator,
) -> Estimate:
    """In how many pairs the two contexts furthest apart prefer different answers, noise aside.

    That share is arccos(r) / pi for normal differences, where r is the correlation over pairs of
    what the two contexts make of them; it is used for others too, since it is smooth.

    Fitted tastes differ by chance alone. So the difference is shrunk to what the score test says
    of its size: with T chi squared on df degrees of freedom, by sqrt((T - df) / T), and for the
    ends of the interval by the same with the non-centralities that T is consistent with. Where it
    is significant the interval is at least as wide as 1.96 standard deviations of the share among
    weights drawn from their cluster-robust normal distribution.
    """
    if change.df == 0:
        return Estimate(0.0, 0.0, 1.0, n=len(d))
    k, m = under.shape[1], d.shape[1]
    fit = logistic_fit(np.column_stack([under, base, extra]), label, ridge=1e-3, clusters=clusters)
    centre = under.mean(axis=0)[1:]

    def weights(w: np.ndarray) -> np.ndarray:
        by_context = w[-extra.shape[1] :].reshape(m, k - 1)  # extra is centred
        shift = np.concatenate([np.zeros((m, 1)), by_context], axis=1)
        return w[k : k + m, None] + shift - (by_context @ centre)[:, None]  # base begins with d

    own = d @ weights(fit.weights)
    square = float(pooled @ pooled)
    along = np.maximum(pooled @ own / square, 0) if square > 0 else np.zeros(k)
    shared = pooled[:, None] * along
    statistic = float(stats.chi2.isf(max(change.p_value, 1e-300), change.df))

    def share(noncentral: float, pair: tuple[int, int] | None) -> tuple[float, tuple[int, int]]:
        taste = shared + np.sqrt(min(noncentral / max(statistic, 1e-12), 25.0)) * (own - shared)
        size = np.sqrt((taste**2).sum(axis=0))
        unit = taste / np.where(size > 0, size, 1)
        of = {
            (a, b): float(np.arccos(np.clip(unit[:, a] @ unit[:, b], -1, 1)) / np.pi)
            if min(size[a], size[b]) > 0
            else 0.0
            for a, b in ([pair] if pair else combinations(range(k), 2))
        }
        most = max(of, key=lambda ab: of[ab])
        return of[most], most

    def noncentrality(level: float) -> float:
        tail = lambda nc: float(stats.ncx2.cdf(statistic, change.df, nc)) - level
        if stats.chi2.cdf(statistic, change.df) <= level:
            return 0.0
        at = optimize.root_scalar(tail, bracket=(1e-9, 10 * statistic + 100), method="brentq").root
        return float(at)

    pair = share(statistic, None)[1]
    value = share(max(statistic - change.df, 0.0), pair)[0]
    low = share(noncentrality(0.975), pair)[0]
    if low > 0:
        gram, angles = d.T @ d, []
        for drawn in rng.multivariate_normal(fit.weights, fit.covariance, 200, method="eigh"):
            v = weights(drawn)[:, list(pair)]
            inner = v.T @ gram @ v
            r = inner[0, 1] / np.sqrt(max(inner[0, 0] * inner[1, 1], 1e-300))
            angles.append(np.arccos(np.clip(r, -1, 1)) / np.pi)
        half = Z95 * float(np.std(angles))
        high = max(share(noncentrality(0.025), pair)[0], value + half)
        return Estimate(value, max(min(low, value - half), 0.0), min(high, 1.0), n=len(d))
    high = share(noncentrality(0.025), pair)[0]
    return Estimate(value, min(low, value), max(high, value), n=len(d))


def balance(data: PreferenceData) -> pd.DataFrame:
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
    if data.prompt_latents is not None:
        parts.append(data.prompt_latents[data.pair_prompt])
        labels += data.names_of("prompt_latents")
    if data.response_latents is not None:
        parts.append(data.mean("response_latents"))
        labels += data.names_of("response_latents")
    columns = ["latent", "objective", "difference", "pairs"]
    values = contexts(data)
    if not parts or len(values) < 2:
        return pd.DataFrame(columns=columns)
    x, rows = np.concatenate(parts, axis=1), []
    floor = TINY * np.abs(x).max(axis=0)
    compared = values if len(values) > 2 else values[1:]
    for c, objective in zip(compared, data.names_of("objective", compared)):
        here = data.objective == c
        gap = x[here].mean(axis=0) - x[~here].mean(axis=0)
        sd = np.sqrt((x[here].var(axis=0) + x[~here].var(axis=0)) / 2)
        smd = np.divide(gap, sd, out=np.zeros_like(gap), where=sd > floor)
        # no spread on either side, but two different values: told apart completely
        apart = (sd <= floor) & (np.abs(gap) > floor)
        smd[apart] = np.sign(gap[apart]) * np.inf
        rows += [(name, objective, float(v), int(here.sum())) for name, v in zip(labels, smd)]
    return pd.DataFrame(rows, columns=columns)


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


def _hidden(data: PreferenceData) -> dict[str, Overturning]:
    """What a hidden context would have to do, for each latent that differs in ten pairs."""
    if data.response_latents is None:
        return {}
    found: dict[str, Overturning] = {}
    for name, gap in zip(data.names_of("response_latents"), data.difference("response_latents").T):
        use = gap != 0
        if use.sum() < 10:
            continue
        won = np.where(gap[use] > 0, data.label[use], 1 - data.label[use]).astype(float)
        rate = cluster_proportion(won, dependence(data)[0][use])
        # the end of the interval that is nearer to one half
        near = rate.low if rate.value > 0.5 else rate.high
        safe = (near - 0.5) * (rate.value - 0.5) > 0
        strengths = [overturning_strength(near, spread=s) if safe else None for s in (1.0, 0.5)]
        found[name] = Overturning(rate, *strengths)
    return found
