"""Assumption 2, unconfoundedness: does who judges go with what is judged?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from causalpref.assumptions._check import Check, Settings, run_check
from causalpref.assumptions._units import (
    FEWEST,
    Units,
    common_contexts,
    contexts,
    indicators,
    judged_units,
    modifiers,
    pair_features,
    products,
    several_contexts,
)
from causalpref.assumptions.evidence import dots, number, row, table
from causalpref.assumptions.report import Report, Verdict, Words
from causalpref.data import PreferenceData
from causalpref.statistics import (
    TINY,
    Estimate,
    ScoreTest,
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
class Unconfoundedness:
    """Numbers of the check of unconfoundedness.

    Parameters
    ----------
    n : int
        Units: prompts, or pairs where C was assigned pair by pair.
    unit : str
    pairs : int
        Pairs that these units come from.
    auc : dict of Estimate
        Cross-fitted AUC, by contrast.
    p_value : float
        Of the AUCs, by permutation.
    change : ScoreTest
        Whether C changes the worth of the features beyond what the prompt changes; no degrees of
        freedom where nothing of the prompt is known.
    p_either : float
        That C or the prompt changes it.
    left_out : list of str
        Contexts with too few prompts.
    balance : pandas.DataFrame
        See :func:`balance`.
    alpha : float
    """

    n: int
    unit: str
    pairs: int
    auc: dict[str, Estimate]
    p_value: float
    change: ScoreTest
    p_either: float
    left_out: list[str]
    balance: pd.DataFrame
    alpha: float

    @property
    def mean_auc(self) -> Estimate:
        """Means of the AUCs and of the ends of their intervals."""
        ends = [(e.value, e.low, e.high) for e in self.auc.values()]
        return Estimate(*np.mean(ends, axis=0).tolist())

    @property
    def associated(self) -> bool:
        """Whether the texts predict C."""
        return self.p_value <= self.alpha

    @property
    def changes(self) -> bool:
        """Whether C changes what is preferred, beyond what the prompt changes."""
        return self.change.df > 0 and self.change.p_value <= self.alpha

    @property
    def either(self) -> bool:
        """Whether C or the prompt does, where the two cannot be separated."""
        return self.change.df == 0 and self.p_either <= self.alpha


def check_unconfoundedness(
    data: PreferenceData,
    *,
    features: np.ndarray | None = None,
    permutations: int = 199,
    n_folds: int = 5,
    most_pairs: int = 20_000,
    alpha: float = 0.05,
    seed: int | np.random.Generator = 0,
) -> Report:
    """Can C be predicted from (X, Y, Y'), and does it change what is preferred?

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
        Prompts of one ``prompt_group`` share a fold.
    features : array, shape (n_pairs, q), optional
        What is known of the texts of each pair. Default: mean embedding of the two responses,
        or else latents of the prompt and of the pair.
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
        Features of the wrong shape or not finite.

    Notes
    -----
    The permutation test is exact when C is independent of the texts and contexts are dealt
    to prompts independently, or, where most prompts with several pairs were judged under several
    contexts, to pairs; then a unit is a pair, and groups are not kept together. Groups that
    have one context each are permuted whole. Contexts with fewer than 5 prompts are left out.
    Power is above 80 % with 400 prompts for rho = 0.7 when types lie 2 standard deviations apart
    in one latent of the prompt.
    """
    settings = Settings(features, most_pairs, n_folds, permutations, alpha, seed)
    return run_check(UNCONFOUNDEDNESS, data, settings)


def _compute(data: PreferenceData, settings: Settings) -> Unconfoundedness | HiddenContext | Words:
    rng, whole = settings.rng, data
    x, values = pair_features(data, settings.features), contexts(data)
    if len(values) < 2:
        return HiddenContext(len(data), len(values) == 1, _hidden(data))
    if x is None:
        return Words(
            n=len(data),
            sentence="There are no embeddings, latents or features to tell the context from.",
            next_step="Embed the texts (causalpref.text.embedding), or pass features.",
        )
    few = "Collect at least 20 prompts under each context."
    data, x, values, rare = common_contexts(data, x)
    if len(values) < 2:
        return Words(
            n=len(data),
            sentence=f"Fewer than two contexts have {FEWEST} prompts to be told by.",
            next_step=few,
        )
    units = judged_units(data, x, values, rng)
    if len(np.unique(units.group)) < 4:
        return Words(
            n=len(units),
            unit=units.kind,
            sentence=f"{len(units)} prompts, or pairs where prompts were judged under several "
            "contexts, are too few to tell the contexts apart.",
            next_step=few,
        )
    k = len(values)
    indicator = np.eye(k)[:, slice(None) if k > 2 else slice(1, 2)]
    scores, p = _permuted(units, indicator, settings, rng)
    hot = indicator[units.code] == 1
    names = data.names_of("objective", values)
    contrasts = (
        [f"{name} against the rest" for name in names]
        if k > 2
        else [f"{names[1]} against {names[0]}"]
    )
    change, p_either = _changes_reward(data, rng)
    return Unconfoundedness(
        len(units),
        units.kind,
        pairs=len(data),
        auc={what: auc_interval(scores[:, j], hot[:, j]) for j, what in enumerate(contrasts)},
        p_value=p,
        change=change,
        p_either=p_either,
        left_out=data.names_of("objective", rare),
        balance=balance(whole),
        alpha=settings.alpha,
    )


def _permuted(
    units: Units, indicator: np.ndarray, settings: Settings, rng: np.random.Generator
) -> tuple[np.ndarray, float]:
    """Cross-fitted scores of the contexts, and the permutation p-value of their AUCs."""
    fold = folds(units.group, settings.n_folds, seed=rng)
    contexts = cluster_permutations(units.code, units.group, settings.permutations, seed=rng)
    scores, areas = None, []
    parts = max(1, contexts.size * indicator.shape[1] // 20_000_000)
    for some in np.array_split(contexts, parts, axis=1):
        outcome = indicator[some].reshape(len(units), -1)  # (units, permutations x classes)
        part = ridge_scores(units.x, outcome, fold)
        scores = part[:, : indicator.shape[1]] if scores is None else scores
        areas.append(auc(part, outcome == 1).reshape(some.shape[1], -1).mean(axis=1))
    areas = np.concatenate(areas)
    return scores, permutation_p_value(areas[0], areas[1:])


def _judge(r: Unconfoundedness | HiddenContext) -> Verdict:
    if isinstance(r, HiddenContext):
        return Verdict.UNTESTABLE
    if not r.associated:
        return Verdict.NOT_FOUND
    return Verdict.VIOLATED if r.changes else Verdict.STRAINED


def _word(r: Unconfoundedness | HiddenContext, verdict: Verdict) -> Words:
    if isinstance(r, HiddenContext):
        return _word_hidden(r)
    rows = [
        row(f"the text tells {what}: AUC", e, n=r.n, note="1/2 is a guess")
        for what, e in r.auc.items()
    ]
    rows[0]["p_value"] = r.p_value
    if r.left_out:
        more = ", ..." if len(r.left_out) > 6 else ""
        note = f"fewer than {FEWEST} prompts: {', '.join(r.left_out[:6])}{more}"
        rows.append(row("contexts left out", value=len(r.left_out), note=note))
    if r.change.df:
        rows.append(
            row(
                "the context changes what is preferred: chi squared",
                value=r.change.statistic,
                p_value=r.change.p_value,
                n=r.pairs,
                note=f"{r.change.df} degrees of freedom, beyond what the recorded latents of the "
                "prompt change",
            )
        )
    elif r.either:
        rows.append(
            row(
                "the context, or the kind of prompt, changes what is preferred",
                p_value=r.p_either,
                n=r.pairs,
                note="no latent or type of the prompt tells the two apart",
            )
        )
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
    found = r.mean_auc
    sentence, step = _sentences(r, found)
    statistic = "AUC of guessing the objective from the texts"
    return Words(
        sentence=sentence,
        next_step=step,
        statistic=statistic,
        short="AUC",
        **found.cells(),
        p_value=r.p_value,
        n=r.n,
        unit=r.unit,
        evidence=table(rows),
        picture=dots(
            [row(what, e) for what, e in r.auc.items()], statistic, after=" One half is a guess."
        ),
    )


def _sentences(r: Unconfoundedness, found: Estimate) -> tuple[str, str]:
    """The finding and what to do."""
    if not r.associated:
        return (
            f"The texts tell the objective no better than a guess (AUC {found.value:.2f}, up to "
            f"{found.high:.2f}).",
            "Condition on the objective all the same: it may change what is preferred.",
        )
    if r.changes:
        so = (
            "the objective changes what is preferred: comparisons that leave it out are confounded."
        )
    elif r.either:
        so = (
            "what is preferred differs between them, though from what is recorded of the "
            "prompts it cannot be told whether that is the objective's doing or the prompts'."
        )
    else:
        so = (
            "whether it changes what is preferred cannot be seen: where it does, comparisons "
            "that leave it out are confounded."
        )
    return (
        f"The texts tell under which objective they were judged (AUC {found.value:.2f}), and {so}",
        "Fit and compare within each objective, look at overlap (assumption 3 given C), and "
        "have some prompts judged under an objective dealt by a coin.",
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
    sees="a recorded context that goes with the texts and with what is preferred",
    blind="every context that was not recorded: figure 2a with C unseen gives the same data as "
    "a world without C",
    reads_texts=several_contexts,
)


def _changes_reward(data: PreferenceData, rng: np.random.Generator) -> tuple[ScoreTest, float]:
    """Score test of (features x context) in a logistic model of the label.

    With (features x latents of the prompt) in the model; and the p-value without them, which is
    about either.
    """
    nothing = ScoreTest(0.0, 0, 1.0, np.zeros(0))
    if data.response_latents is None and data.embeddings is None:
        return nothing, 1.0
    name = "embeddings" if data.response_latents is None else "response_latents"
    d = distinct(data.difference(name))  # scaled, not centred: differences have no direction
    under = indicators(data)
    under -= under.mean(axis=0)
    d = projected(d, int(np.clip(len(d) // (50 * under.shape[1]), 1, 20)), seed=rng)
    extra = products(d, under)
    # what a latent is worth on some kind of prompt is not the doing of who asks about it
    crossed = products(d, modifiers(data))
    if crossed.shape[1] * 20 > len(np.unique(data.pair_prompt)):
        crossed = crossed[:, :0]
    plain = np.column_stack([np.ones(len(d)), d])
    base = np.column_stack([plain[:, :1], distinct(np.concatenate([d, crossed], axis=1))])
    beyond = score_test(base, extra, data.label, data.pair_prompt)
    if crossed.shape[1] == 0:  # nothing of the prompt is known: it may be its doing
        return nothing, beyond.p_value
    return beyond, score_test(plain, extra, data.label, data.pair_prompt).p_value


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
        rate = cluster_proportion(won, data.pair_prompt[use])
        # the end of the interval that is nearer to one half
        near = rate.low if rate.value > 0.5 else rate.high
        safe = (near - 0.5) * (rate.value - 0.5) > 0
        strengths = [overturning_strength(near, spread=s) if safe else None for s in (1.0, 0.5)]
        found[name] = Overturning(rate, *strengths)
    return found
