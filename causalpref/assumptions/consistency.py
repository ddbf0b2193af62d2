"""Assumption 1, consistency: is the label a function of the annotator and of what is shown?"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from causalpref.assumptions._check import Check, Settings, run_check
from causalpref.assumptions.evidence import dots, excerpt, row, table
from causalpref.assumptions.report import Report, Verdict, Words
from causalpref.data import PreferenceData
from causalpref.statistics import (
    Z95,
    Estimate,
    cluster_covariance,
    cluster_mean,
    holm,
    wilson_interval,
)

__all__ = ["Consistency", "check_consistency"]

ANSWERS = ("stochastic", "deterministic")
FEWEST = 10
"""Effective number of annotators below which they are taken as given, and not as a sample."""
PAIRS_EACH = 20
"""Pairs of one annotator below which their position, or its drift, is not looked at."""
LISTED = 5
"""Annotators who favour a position that are named."""


@dataclass(frozen=True)
class Finding:
    """One effect that is 0 if the assumption holds, with the margin that it is held against.

    Parameters
    ----------
    kind : str
        A key of :data:`_SAID`.
    estimate : Estimate
        The effect with its 95 % interval, on the scale on which it is reported.
    null : float
        Its value if the assumption holds.
    margin : float
        Distance from ``null`` that is small enough not to matter.
    p_value, adjusted : float
        Of ``null``; adjusted for all findings of the check (Holm).
    proof : bool
        Nothing but a violation explains it, so that it can make the verdict "violated".
    above : bool
        Only values above ``null`` are a violation.
    name : str or None
        The objective, where there are several; of repeats, which of them are close together.
    """

    kind: str
    estimate: Estimate
    null: float
    margin: float
    p_value: float
    adjusted: float = 1.0
    proof: bool = False
    above: bool = False
    name: str | None = None

    @property
    def size(self) -> float:
        """Distance of the estimate from ``null``."""
        distance = self.estimate.value - self.null
        return distance if self.above else abs(distance)

    @property
    def least(self) -> float:
        """Distance of the interval from ``null``; 0 when it holds ``null``."""
        below = 0.0 if self.above else self.null - self.estimate.high
        return max(self.estimate.low - self.null, below, 0.0)

    @property
    def most(self) -> float:
        """Distance of the further end of the interval from ``null``."""
        below = 0.0 if self.above else self.null - self.estimate.low
        return max(self.estimate.high - self.null, below, 0.0)

    def verdict(self, alpha: float) -> Verdict:
        """What this finding says by itself."""
        if self.adjusted > alpha or self.size <= self.margin:
            return Verdict.NOT_FOUND
        sure = self.proof and self.least > self.margin
        return Verdict.VIOLATED if sure else Verdict.STRAINED


@dataclass(frozen=True)
class Consistency:
    """Numbers of the check of consistency.

    Parameters
    ----------
    n : int
        Pairs, without ties.
    order_known : bool
        Whether the order shown was recorded and the labels differ.
    first : Estimate
        How often the first response is preferred, one judgement a pair and objective.
    findings : tuple of Finding
        Everything that was tested.
    disagree : Estimate or None
        Among matched judgements of both orders that chose one position twice: the first.
    matched : int
        Matched judgements of both orders.
    own, anybody : Estimate or None
        Share of repeats with two answers: of one annotator, of any annotators.
    own_least : float
        Lower end of the exact, or if lower the cluster-robust, 95 % interval of ``own``.
    favour : tuple of (str, Estimate, float)
        Annotators who favour a position: name, P(first preferred), p-value adjusted for all
        annotators. At most five, those furthest from the mean.
    n_annotators : int
        Annotators with enough pairs to look at the position that each favours.
    clusters : str
        What standard errors are clustered by, in words.
    unrecorded : tuple of str
        Columns that the data lack and that would show more.
    answers : str
        Which reading of the assumption the verdict is about.
    tolerance, alpha : float
        What the numbers are held against.
    """

    n: int
    order_known: bool
    first: Estimate
    findings: tuple[Finding, ...]
    disagree: Estimate | None
    matched: int
    own: Estimate | None
    anybody: Estimate | None
    own_least: float
    favour: tuple[tuple[str, Estimate, float], ...]
    n_annotators: int
    clusters: str
    unrecorded: tuple[str, ...]
    answers: str
    tolerance: float
    alpha: float

    def of(self, kind: str) -> list[Finding]:
        """Findings of one kind."""
        return [f for f in self.findings if f.kind == kind]


def check_consistency(
    data: PreferenceData,
    *,
    answers: str = "stochastic",
    margin: float = 0.02,
    annotator_margin: float = 0.05,
    time_margin: float = 0.05,
    tolerance: float = 0.05,
    alpha: float = 0.05,
    seed: int | np.random.Generator = 0,
) -> Report:
    """Repeated answers that noise cannot explain, and preference for a position.

    Consistency says that a unit shown (x, y, y') says L(x; y, y'). It has two readings. If answers
    are *deterministic*, L is one value, and an annotator who gives two answers to one pair
    contradicts the assumption. If answers are *stochastic*, as in Bradley-Terry, L is drawn
    afresh each time with a probability that depends on the annotator and on what is shown:
    repeats may then disagree, and the assumption says that nothing else moves the probability.

    *Repeats.* The share d of repeats that disagree is always reported, with what it means for
    accuracy: under the stochastic reading E[max(p, 1 - p)], the accuracy of the best possible
    model, is at most (1 + sqrt(1 - 2 d)) / 2 and at least 1 - d. A high d by itself is no alarm
    unless ``answers`` is ``"deterministic"``. What independent draws cannot produce is an alarm:

    - an annotator who disagrees with themselves more than half of the time;
    - repeats of one pair in one session (or next to each other in ``time``) that agree more, or
      less, often than repeats further apart, among annotators who judged a pair three times.

    *Position.* If the order was randomised, the first answer is preferred half of the time,
    whatever the texts. Looked at are

    - P(first preferred), under each objective (up to twelve), on one judgement of each pair
      that was not shown in both orders;
    - pairs judged in both orders, matched one to one: P(first preferred) is then 1/2 whatever
      the answers and however the order was chosen;
    - its standard deviation between annotators, since annotators who favour the first position
      and annotators who favour the second cancel in the mean; at least 10 annotators with 20
      pairs each;
    - its drift from an annotator's first judgement to the last, and carry-over: the same
      position as in the judgement before, more or less often than a random arrangement of the
      same answers gives, within annotators and sessions. Both need ``time``.

    Parameters
    ----------
    data : PreferenceData
        Where ``order_known`` is False, position is not tested, and repeats are recognised by
        the two responses alone. Constant labels are treated the same way. Ties are left out.
    answers : {"stochastic", "deterministic"}
        Which reading the verdict is about.
    margin : float
        Difference of P(first preferred) from 1/2 that does not matter, in [0, 0.5).
    annotator_margin : float
        Standard deviation of P(first preferred) between annotators that does not matter.
    time_margin : float
        Drift of P(first preferred), excess of equal positions in a row, and excess agreement of
        repeats close together (or beyond one half) that do not matter.
    tolerance : float
        With ``answers="deterministic"``, the share of one annotator's repeats that may disagree.
        Violated when the exact 95 % interval lies above it, strained when it lies above a fifth
        of it.
    alpha : float
        Level of all tests of this check together (Holm).
    seed : int or numpy.random.Generator
        Decides which judgement of a pair judged several times counts for its annotator.

    Returns
    -------
    Report
        Strained when an effect is significant after Holm and its estimate lies beyond its margin;
        violated when moreover its 95 % interval does and nothing else explains it. The position
        of pairs shown in one order strains at most: the order may not have been randomised.
        ``value`` is the effect that decides, else P(first preferred).

    Raises
    ------
    ValueError
        A reading that is not known, or a margin outside [0, 0.5).

    Notes
    -----
    Standard errors are clustered by prompt and, with an effective number of at least 10, by
    annotator (by session where annotators are not recorded), two ways. Fewer annotators are taken
    as given: the finding is then about them. Tests of position are exact where no cluster has two
    pairs, and never less conservative than the exact test elsewhere.

    False alarms of the whole check, in 500 simulated sets of each sound world, were 1 to 5 %:
    Bernoulli annotators who judged every pair twice (1 %; three annotators 2 %), annotators of
    unequal noise (3 %), random slopes (4 %), two groups of opposite taste on shared displays (2 %),
    objectives of 80, 15, 4 and 1 % (2 %), annotators with shares proportional to 1, 1/2, ..., 1/50
    (2 %), 20 prompts with 50 pairs each (2 %), prompts of heavy-tailed size (2 %), an order
    chosen by prompt (5 %), 12 annotators with topics of their own (2 %), one annotator (4 %), many
    ties (5 %), both orders judged by other annotators of other taste (4 %). The size is not
    5 % where the order shown depends on the answers, or which annotator sees which order on their
    taste: the check cannot know, and names the possibility.

    Alarms in 500 simulated sets of each violation: 96 % for a pull of 0.35 in reward with 1,000
    pairs and 30 annotators; 98 % for one of 0.4 with 400 pairs judged in both orders; 98 % for
    annotators whose pull has mean 0 and standard deviation 0.6, 30 with 40 pairs each; 98 % for a
    pull that grows by 1 from the first of 67 judgements to the last, and 96 % for one of 0.4
    towards the position chosen before, with 2,000 pairs; 86 % for 80 pairs judged twice in two
    sessions with half of the answers remembered. With ``answers="deterministic"`` power is above
    80 % with 200 repeats for annotators who contradict themselves 12 % of the time. The interval of
    the standard deviation between annotators takes normal effects: it is too short when few of
    many annotators are far from the rest.
    """
    if answers not in ANSWERS:
        raise ValueError(f"answers is {answers!r}; expected one of {ANSWERS}")
    for name, value in (
        ("margin", margin),
        ("annotator_margin", annotator_margin),
        ("time_margin", time_margin),
    ):
        if not 0 <= value < 0.5:
            raise ValueError(f"{name} is {value}; expected a number in [0, 0.5)")
    return run_check(
        CONSISTENCY,
        data,
        Settings(alpha=alpha, seed=seed),
        answers=answers,
        margin=margin,
        annotator_margin=annotator_margin,
        time_margin=time_margin,
        tolerance=tolerance,
    )


def _compute(
    data: PreferenceData,
    settings: Settings,
    *,
    answers: str = "stochastic",
    margin: float = 0.02,
    annotator_margin: float = 0.05,
    time_margin: float = 0.05,
    tolerance: float = 0.05,
) -> Consistency | Words:
    tie = data.tie
    if tie.all():
        return Words(
            sentence="Every pair is a tie, so no label says which answer is preferred.",
            next_step="Ask for a choice, or look at the graded answers.",
            n=len(data),
        )
    if tie.any():  # the label of a tie means nothing
        data = data.select(~tie)
    n = len(data)
    known = data.order_known and 0 < data.label.sum() < n
    if not known:  # which response stood first says nothing: both orders are one pair
        data = data.swapped(data.pairs[:, 0] > data.pairs[:, 1])
    everything = _levels(data, np.arange(n))
    first, disagree, matched = _rate(data.label, everything)[0], None, 0
    found: list[Finding] = []
    favour: tuple[tuple[str, Estimate, float], ...] = ()
    n_annotators = 0
    if known:
        once = _once(data, by_objective=True)
        if len(once):
            first = _rate(data.label[once], _levels(data, once))[0]
        for name, rows in _by_context(data, once):
            rate, p = _rate(data.label[rows], _levels(data, rows))
            found.append(Finding("position", rate, 0.5, margin, p, name=name))
        swapped, disagree, matched = _swapped(data, margin)
        found += swapped
        drawn = _once(data, by_objective=False, rng=settings.rng)
        between, favour, n_annotators = _annotators(data, drawn, annotator_margin)
        found += between + _drift(data, drawn, time_margin) + _carry_over(data, drawn, time_margin)
    own, beyond_half = _repeats(data, by_annotator=True)
    least = 0.0
    if own is not None:
        found.append(Finding("half", own, 0.5, time_margin, beyond_half, proof=True, above=True))
        # exact: Wilson's lower end is too high for a few in many
        exact = stats.binomtest(round(own.value * own.n), own.n).proportion_ci(0.95).low
        least = min(float(exact), own.low)
        found += _close_repeats(data, time_margin)
    adjusted = holm(np.array([f.p_value for f in found])).tolist()
    return Consistency(
        n,
        known,
        first,
        tuple(replace(f, adjusted=p) for f, p in zip(found, adjusted)),
        disagree,
        matched,
        own,
        _repeats(data, by_annotator=False)[0],
        least,
        favour,
        n_annotators,
        everything.said,
        tuple(c for c in ("annotator", "time") if getattr(data, c) is None),
        answers,
        tolerance,
        settings.alpha,
    )


def _judged(r: Consistency) -> tuple[Verdict, Finding | str]:
    """The verdict, and the finding that decides an alarm; ``"own"`` for repeats that disagree."""
    verdict = Verdict.NOT_FOUND if r.findings else Verdict.UNTESTABLE
    decides: Finding | str = ""
    if r.own is not None and r.answers == "deterministic":
        verdict = (
            Verdict.VIOLATED
            if r.own_least > r.tolerance
            else Verdict.STRAINED
            if r.own_least > r.tolerance / 5
            else Verdict.NOT_FOUND
        )
        decides = "own" if verdict.alarm else ""
    alarms = [f for f in r.findings if f.verdict(r.alpha).alarm]
    if verdict is not Verdict.VIOLATED and alarms:
        sure = [f for f in alarms if f.verdict(r.alpha) is Verdict.VIOLATED]
        if sure or not decides:
            decides = min(sure or alarms, key=lambda f: (f.adjusted, -f.size))
            verdict = decides.verdict(r.alpha)
    return verdict, decides


def _judge(r: Consistency) -> Verdict:
    return _judged(r)[0]


CONSISTENCY = Check(
    "consistency",
    1,
    "consistency",
    _compute,
    _judge,
    lambda r, verdict: _word(r, verdict),
    sees="repeated answers that noise cannot explain, and preference for a position: in all, by "
    "annotator and over time",
    blind="hidden versions of a treatment that are shown only once: the same words with another "
    "layout, at another hour, to a unit that would have answered otherwise",
)


# -- words -------------------------------------------------------------------


def _points(size: float) -> str:
    return f"{100 * size:.1f} points".replace(".0 points", " points")


def _under(name: str | None) -> str:
    return "" if name is None else f" under {name}"


_RANDOMISE = (
    "Show every pair in random order or in both orders, and give the reward model an intercept "
    "for position."
)
_SAID: dict[str, tuple[str, str, str]] = {
    "position": ("the first response is preferred", "P(first preferred)", "first wins"),
    "swapped": (
        "pairs in both orders: the first response is preferred",
        "P(first preferred), pairs in both orders",
        "first wins",
    ),
    "annotators": (
        "standard deviation between annotators of P(first preferred)",
        "standard deviation between annotators of P(first preferred)",
        "sd of annotators",
    ),
    "drift": (
        "change of P(first preferred) from an annotator's first judgement to the last",
        "change of P(first preferred)",
        "drift",
    ),
    "carry-over": (
        "same position as in the judgement before, in excess of a random arrangement",
        "excess of equal positions in a row",
        "carry-over",
    ),
    "half": (
        "one annotator, same pair, same order, two answers",
        "disagreement of one annotator with themselves",
        "two answers",
    ),
    "close": (
        "agreement of one annotator's repeats, {name}, in excess of those further apart",
        "excess agreement of close repeats",
        "close repeats",
    ),
}
"""What each kind of finding is: in the evidence, as a statistic, and in a few letters."""


def _word(r: Consistency, verdict: Verdict) -> Words:
    decides = _judged(r)[1]
    rates: list[dict[str, Any]] = []
    other: list[dict[str, Any]] = []
    for f in r.findings:
        if f.kind == "half":
            continue
        what = _SAID[f.kind][0].format(name=f.name)
        what += _under(f.name) if f.kind == "position" else ""
        said = {
            "position": "one judgement a pair; 1/2 if the order was randomised and position does "
            "not matter",
            "swapped": "1/2 if position does not matter, whatever the responses",
            "annotators": f"{r.n_annotators:,} annotators with {PAIRS_EACH} pairs or more; 0 if "
            "all favour one position alike",
            "drift": "0 if position is favoured alike at all times",
            "carry-over": "0 if each judgement stands alone",
            "close": "0 if each answer is an independent draw",
        }[f.kind]
        rows = rates if f.kind in ("position", "swapped") else other
        note = f"{said}; margin {_points(f.margin)}"
        rows.append(row(what, f.estimate, p_value=f.p_value, note=note))
    if r.disagree is not None:
        p = r.of("swapped")[0].p_value
        rates.append(
            row(
                "pairs judged in both orders: the first both times, among those where the two "
                "answers disagree",
                r.disagree,
                p_value=p,
                note=f"of {r.matched:,} matched judgements; 1/2 if position does not matter, "
                "whatever the responses",
            )
        )
    for name, estimate, p in r.favour:
        who = (
            excerpt(name, 40) if name.startswith("annotator") else f"annotator {excerpt(name, 40)}"
        )
        what = f"{who}: the first response is preferred"
        rates.append(row(what, estimate, p_value=p, note="p adjusted for all annotators (Holm)"))
    for found, what, known in (
        (r.own, _SAID["half"][0], "a model that knows the annotator"),
        (r.anybody, "same pair, same order, two answers, any annotators", "a model"),
    ):
        if found is not None:
            rates.append(row(what, found, note=_ceiling(found, known)))
    numbers: dict[str, Any] = {"n": r.n}
    if verdict is not Verdict.UNTESTABLE:
        value, kind = r.first, "position"
        if isinstance(decides, Finding):
            kind = decides.kind
            value = decides.estimate if decides.name is None or kind != "position" else r.first
        elif r.own is not None and (decides == "own" or not r.order_known):
            value, kind = r.own, "half"
        _, statistic, short = _SAID[kind]
        numbers = {"statistic": statistic, "short": short, "n": value.n}
        numbers |= {"value": value.value, "low": value.low, "high": value.high}
        if isinstance(decides, Finding):
            numbers["p_value"] = decides.adjusted
        elif decides != "own" and r.findings:
            numbers["p_value"] = min(f.adjusted for f in r.findings)
    sentence, step = _sentences(r, verdict, decides)
    return Words(
        sentence=sentence,
        next_step=step,
        evidence=table([*rates, *other, row(f"standard errors are {r.clusters}")]),
        picture=dots(rates, "share of judgements", about=", shares of judgements", digits=3),
        **numbers,
    )


def _most(d: float) -> float:
    """The most that E[max(p, 1 - p)] can be where E[2 p (1 - p)] is d."""
    return float((1 + np.sqrt(max(0.0, 1 - 2 * d))) / 2)


def _ceiling(d: Estimate, known: str) -> str:
    """What disagreement says about the accuracy of the best model of that kind."""
    least = lambda x: max(1 - x, 0.5)
    return (
        f"the best accuracy of {known} is between {least(d.value):.3f} (1 - d) and "
        f"{_most(d.value):.3f} ((1 + sqrt(1 - 2 d)) / 2), with sampling error between "
        f"{least(d.high):.3f} and {_most(d.low):.3f}"
    )


def _sentences(r: Consistency, verdict: Verdict, decides: Finding | str) -> tuple[str, str]:
    """The finding and what to do."""
    if decides == "own" and r.own is not None:
        return (
            f"The same annotator gave two answers to the same pair in {r.own.value:.1%} of "
            f"{r.own.n:,} repeats, so the label is not a function of what was shown.",
            "Ask for the occasion: time, device, instructions. Or take answers as stochastic: use "
            "the mean of repeated judgements, and do not expect a model to agree with annotators "
            "more often than they agree with themselves.",
        )
    if isinstance(decides, Finding):
        sentence, step = _alarm(r, decides)
        if sum(f.verdict(r.alpha).alarm for f in r.findings) > 1:
            sentence += " The table has further alarms."
        return sentence, step
    if verdict is Verdict.UNTESTABLE:
        return (
            "The order shown was not recorded and nobody judged a pair twice, so the labels "
            "cannot contradict themselves."
            if r.anybody is None
            else "Pairs were judged more than once, but not by a known annotator, so disagreement "
            "may be taste.",
            "Record which response was shown first and the annotator. Have one pair in twenty "
            "judged twice by the same annotator, and one in twenty in the other order.",
        )
    parts = _quiet(r)
    return (
        ". ".join(text[0].upper() + text[1:] for text in parts) + ".",
        "Keep the order random, and have a few pairs judged twice by the same annotator. "
        + _would_show(r),
    )


def _alarm(r: Consistency, f: Finding) -> tuple[str, str]:
    value, size = f.estimate.value, _points(f.size)
    between = f"(95 % interval {f.estimate.low:.1%} to {f.estimate.high:.1%})"
    more = "more" if value > f.null else "less"
    ends = f.estimate.low, f.estimate.high
    apart = (
        "{:.1f} to {:.1f} points".format(*sorted(100 * abs(end) for end in ends))
        if ends[0] * ends[1] > 0
        else f"{100 * ends[0]:.1f} to {100 * ends[1]:.1f} points"
    )
    whose = "the" if "annotator" in r.unrecorded else "an annotator's"
    if f.kind == "position":
        return (
            f"The first response is preferred in {value:.1%} of the pairs{_under(f.name)} "
            f"{between}, {size} {more} often than chance: position matters, or the order was not "
            "randomised.",
            f"{_RANDOMISE} Judge some pairs in both orders: that shows which of the two it is.",
        )
    if f.kind == "swapped":
        return (
            f"Where pairs were judged in both orders, the first response is preferred in "
            f"{value:.1%} {between}, {size} {more} often than without an effect of position: "
            "position matters, so R and R' are two functions.",
            _RANDOMISE,
        )
    if f.kind == "annotators":
        return (
            f"Annotators favour different positions: P(first preferred) has a standard deviation "
            f"of {_points(value)} between {r.n_annotators:,} annotators (95 % interval {apart}), "
            f"which the mean of {r.first.value:.1%} hides.",
            "Check that the order was randomised for each annotator. If it was, give each "
            "annotator an intercept for position, or leave out the annotators named in the table.",
        )
    if f.kind == "drift":
        return (
            f"From {whose} first judgement to the last, the first response is preferred "
            f"{size} {more} often (95 % interval {apart}): annotators change, or the way the order "
            "was chosen did.",
            "Shorten sessions, mix old pairs among new ones, and give the reward model an "
            "intercept for position by period.",
        )
    if f.kind == "carry-over":
        return (
            f"Annotators choose the position of the judgement before {size} {more} often than "
            f"independent judgements would (95 % interval {apart}).",
            "Randomise the order of pairs within sessions as well, and give the reward model the "
            "position chosen before as a covariate.",
        )
    if f.kind == "half":
        return (
            f"One annotator asked twice changed the answer in {value:.1%} of {f.estimate.n:,} "
            f"repeats {between}. Even annotators who guess agree with themselves half of the time, "
            "so the second answer depends on the first.",
            "Look at how repeats were presented: a repeat that invites a correction is not a "
            "second judgement.",
        )
    listed = ", or the file lists judgements twice" if "time" in r.unrecorded else ""
    return (
        f"When one annotator judges a pair several times, answers {f.name} agree {size} {more} "
        f"often than answers further apart (95 % interval {apart}), so they are not independent "
        f"draws: annotators remember, or change{listed}.",
        "Space repeats out, and do not count close repeats as separate judgements.",
    )


def _quiet(r: Consistency) -> list[str]:
    """What was looked at without an alarm, largest violation that fits the data included."""
    parts = []
    whose = "the" if "annotator" in r.unrecorded else "an annotator's"
    position = r.of("position") + r.of("swapped")
    if position:
        widest = max(position, key=lambda f: f.most)
        for f in r.of("swapped"):  # speaks of position under any objective
            widest = f if f.most < widest.most else widest
        both, rate = widest.kind == "swapped", widest.estimate
        rate = rate if both else r.first
        seen = (
            f"the first response is preferred in {rate.value:.1%} of the "
            f"{'pairs judged in both orders' if both else 'pairs'}"
        )
        parts.append(
            f"no effect of position larger than {_points(widest.margin)} was found: {seen} "
            f"(95 % interval {rate.low:.1%} to {rate.high:.1%})"
            if widest.most <= widest.margin
            else f"no effect of position was found, and {seen}, but an effect of up to "
            f"{_points(widest.most)}{_under(widest.name)} would fit the data"
        )
    for kind, what in (
        ("annotators", "between annotators, the standard deviation of P(first preferred) is"),
        ("drift", f"from {whose} first judgement to the last, P(first preferred) changes by"),
    ):
        for f in r.of(kind):
            parts.append(f"{what} at most {_points(f.most)}")
    if r.own is not None:
        text = (
            f"one annotator asked twice changed the answer in {r.own.value:.1%} of {r.own.n:,} "
            "repeats"
        )
        if r.own.value > 0 and r.answers == "stochastic":
            text += (
                ", which contradicts deterministic answers and not stochastic ones: no model can "
                f"be right more often than about {_most(r.own.value):.0%} of the time "
                f"({_most(r.own.low):.0%} with sampling error)"
            )
        parts.append(text)
    else:
        parts.append(
            "nobody is known to have judged a pair twice, so labels had no chance to contradict "
            "themselves"
        )
    return parts


def _would_show(r: Consistency) -> str:
    """What a column that is missing would buy."""
    gains = {
        "annotator": "annotators who favour opposite positions, and noise apart from taste",
        "time": "drift and carry-over",
    }
    text = "; ".join(f"recording {c} would show {gains[c]}" for c in r.unrecorded)
    text = f"{text[0].upper()}{text[1:]}. " if text else ""
    if "annotator" not in r.unrecorded and r.order_known and not r.of("annotators"):
        text += (
            f"Whether annotators favour different positions cannot be tested: "
            f"{r.n_annotators:,} have {PAIRS_EACH} pairs or more that count, it takes {FEWEST}. "
        )
    return text.strip()


# -- rates and clusters ------------------------------------------------------


@dataclass(frozen=True)
class Levels:
    """What rows are clustered by.

    Parameters
    ----------
    clusters : array of int, shape (n,) or (n, 2)
    df : float
        Degrees of freedom: the smallest effective number of clusters, less 1.
    single : bool
        Whether no cluster has two rows.
    said : str
    """

    clusters: np.ndarray
    df: float
    single: bool
    said: str


def _codes(*columns: np.ndarray) -> np.ndarray:
    """Numbers 0, 1, ... of the combinations of values, in the order in which they appear."""
    code = pd.factorize(columns[0])[0].astype(np.int64)
    for column in columns[1:]:
        other = pd.factorize(column)[0]
        code = pd.factorize(code * (other.max(initial=0) + 1) + other)[0].astype(np.int64)
    return code


def _firsts(codes: np.ndarray) -> np.ndarray:
    """Row in which each number of :func:`_codes` appears first."""
    return np.flatnonzero(~pd.Series(codes).duplicated().to_numpy())


def _number_of(codes: np.ndarray) -> int:
    return int(_codes(codes).max(initial=-1)) + 1


def _effective(codes: np.ndarray) -> float:
    """Effective number of clusters: (sum of sizes)^2 / sum of squared sizes."""
    size = np.bincount(_codes(codes)).astype(float)
    return float(size.sum() ** 2 / (size**2).sum()) if len(size) else 0.0


def _levels(data: PreferenceData, rows: np.ndarray) -> Levels:
    prompt = data.pair_group[rows]
    many = _effective(prompt)
    said = "clustered by prompt"
    if len(rows) and (prompt == prompt[0]).all():  # they are about this prompt
        prompt, many, said = np.arange(len(rows)), len(rows), "of single pairs, of one prompt"
    columns, numbers = [prompt], [many]
    name = "annotator" if data.annotator is not None else "session"
    codes = getattr(data, name)
    if codes is not None:
        who = codes[rows]
        if _effective(who) >= FEWEST:
            columns.append(who)
            numbers.append(_effective(who))
            said += f" and {name}"
        else:
            k = _number_of(who)
            said += f", for the {k:,} {name}{'s' * (k != 1)} as they are: too few for a sample"
    single = all(_number_of(c) == len(rows) for c in columns)
    clusters = columns[0] if len(columns) == 1 else np.column_stack(columns)
    return Levels(clusters, max(min(numbers) - 1, 1.0), single, said)


def _rate(label: np.ndarray, levels: Levels) -> tuple[Estimate, float]:
    """Share of ones with a cluster-robust Wilson interval, and the p-value of one half."""
    n, ones = len(label), int(label.sum())
    p = ones / n
    plain = p * (1 - p) / n
    size = float(n)
    if not levels.single:
        if plain > 0:
            robust = float(cluster_covariance(label - p, levels.clusters)) / n**2
            size = n / max(1.0, robust / plain)
        else:  # every cluster counts once
            columns = levels.clusters.reshape(n, -1).T
            size = float(min(_number_of(c) for c in columns))
    exact = float(stats.binomtest(ones, n).pvalue)
    return _around_half(p, size, n, levels, exact)


def _around_half(
    p: float, size: float, n: int, levels: Levels, exact: float
) -> tuple[Estimate, float]:
    """Wilson interval and p-value of one half at an effective size, with few clusters allowed for.

    The p-value is never below the exact one.
    """
    quantile = Z95 if levels.single else float(stats.t.ppf(0.975, levels.df))
    low, high = wilson_interval(p, size * (Z95 / quantile) ** 2)
    robust = 2 * stats.t.sf(abs(p - 0.5) * 2 * np.sqrt(size), levels.df)
    p_value = exact if levels.single else max(exact, float(robust))
    return Estimate(p, float(low), float(high), n=n), p_value


def _number(value: float, se: float, df: float, n: int) -> tuple[Estimate, float]:
    """A number with a t interval, and the two-sided p-value of 0."""
    if not se > 0:
        return Estimate(value, value, value, 0.0, n), 1.0
    half = float(stats.t.ppf(0.975, df)) * se
    p = float(2 * stats.t.sf(abs(value) / se, df))
    return Estimate(value, value - half, value + half, se, n), p


# -- position ----------------------------------------------------------------


def _once(
    data: PreferenceData, *, by_objective: bool, rng: np.random.Generator | None = None
) -> np.ndarray:
    """One judgement of each pair that was not shown in both orders: the first, or a random one."""
    # repeats share the draw that put one response first: one judgement a pair
    first, second = data.pairs.T
    key = np.minimum(first, second) * len(data.responses) + np.maximum(first, second)
    if by_objective and data.objective is not None:
        key = _codes(key, data.objective)
    order = np.arange(len(data)) if rng is None else rng.permutation(len(data))
    member = _codes(key[order])
    forward = np.bincount(member, weights=(first < second)[order])
    backward = np.bincount(member, weights=(first > second)[order])
    once = order[_firsts(member)]
    # a pair in both orders was put so by design, not at random: it belongs to the swapped ones
    return once[(first[once] != second[once]) & ((forward == 0) | (backward == 0))]


def _by_context(data: PreferenceData, rows: np.ndarray) -> list[tuple[str | None, np.ndarray]]:
    """Rows under each objective by its name; all in one when there is none."""
    if len(rows) == 0:
        return []
    objective = data.objective
    values = np.empty(0, dtype=int) if objective is None else np.unique(objective[rows])
    if objective is None or not 2 <= len(values) <= 12:
        return [(None, rows)]
    return [
        (name, rows[objective[rows] == c])
        for name, c in zip(data.names_of("objective", values), values)
    ]


def _swapped(data: PreferenceData, margin: float) -> tuple[list[Finding], Estimate | None, int]:
    """P(first preferred) over pairs in both orders; the first among equal positions; couples."""
    forward, backward = _matched(data)
    m = len(forward)
    if m == 0:
        return [], None, 0
    total = data.label[forward] + data.label[backward]
    plus, minus = int((total == 2).sum()), int((total == 0).sum())
    levels = _levels(data, np.concatenate([forward, backward]))
    label = np.concatenate([data.label[forward], data.label[backward]])
    p = float(label.mean())
    apart = _number_of(data.pair_group[forward]) == m and levels.clusters.ndim == 1
    levels = replace(levels, single=apart)
    robust = float(cluster_covariance(label - p, levels.clusters)) / len(label) ** 2
    # if position does not matter, couples of one position have a random one
    least = (plus + minus + 2) / (m + 4) / (4 * m)
    size = p * (1 - p) / max(robust, least) if 0 < p < 1 else float(m)
    exact = float(stats.binomtest(plus, plus + minus).pvalue) if plus + minus else 1.0
    rate, p_value = _around_half(p, size, m, levels, exact)
    finding = Finding("swapped", rate, 0.5, margin, p_value, proof=True)
    if plus + minus == 0:
        return [finding], None, m
    low, high = wilson_interval(plus / (plus + minus), plus + minus)
    disagree = Estimate(plus / (plus + minus), float(low), float(high), n=plus + minus)
    return [finding], disagree, m


def _matched(data: PreferenceData) -> tuple[np.ndarray, np.ndarray]:
    """Rows of judgements of one order, and those of the other that they are matched with."""
    a, b = data.pairs.T
    use = np.flatnonzero(a != b)
    key = _unit(data, use, ordered=False)

    def numbered(rows: np.ndarray) -> pd.DataFrame:
        frame = pd.DataFrame({"member": key[rows], "row": use[rows]})
        return frame.assign(turn=frame.groupby("member").cumcount())

    forward = a[use] < b[use]
    both = numbered(np.flatnonzero(forward)).merge(
        numbered(np.flatnonzero(~forward)), on=["member", "turn"]
    )
    return both.row_x.to_numpy(dtype=int), both.row_y.to_numpy(dtype=int)


def _annotators(
    data: PreferenceData, rows: np.ndarray, margin: float
) -> tuple[list[Finding], tuple[tuple[str, Estimate, float], ...], int]:
    """How much P(first preferred) varies between annotators, and who is furthest from the mean."""
    if data.annotator is None or len(rows) == 0:
        return [], (), 0
    label = data.label[rows].astype(float)
    who, codes = pd.factorize(data.annotator[rows])
    mean = np.full(len(rows), label.mean())
    for _, here in _by_context(data, np.arange(len(data))):
        inside = np.isin(rows, here)
        if inside.any():
            mean[inside] = label[inside].mean()
    n = np.bincount(who).astype(float)
    noise = np.bincount(who, weights=mean * (1 - mean))
    off = np.bincount(who, weights=label - mean)
    # pairs of one prompt that one annotator judged may share their order
    alike = np.bincount(_codes(who, data.pair_group[rows]), weights=label - mean)
    noise *= max(1.0, float(alike @ alike) / max(float(noise.sum()), 1e-12))
    enough = (n >= PAIRS_EACH) & (noise > 0)
    k = int(enough.sum())
    if k < FEWEST:
        return [], (), k
    codes, n, noise, off = codes[enough], n[enough], noise[enough], off[enough]

    def spread(variance: float) -> float:
        """Cochran's Q of annotators' rates with a variance between them."""
        w = 1 / np.maximum(variance * (1 - 1 / n) + noise / n**2, 1e-12)
        rate = off / n
        return float((w * (rate - (w @ rate) / w.sum()) ** 2).sum())

    # binomial counts are not normal: their squares vary by 2 + (1 - 6 pq) / (n pq)
    q, pq = spread(0.0), noise / n
    extra = np.maximum(2 + (1 - 6 * pq) / noise, 0.5).sum() / (2 * k)
    p_value = float(stats.gamma.sf(q, (k - 1) / (2 * extra), scale=2 * extra))
    total = float((off**2).sum() * k / (k - 1) - noise.sum())
    sd = np.sqrt(min(max(total / float((n * (n - 1)).sum()), 0.0), 0.25))

    def at(level: float) -> float:
        """The standard deviation at which Q would be at this quantile."""
        target = float(stats.chi2.ppf(level, k - 1))
        least, most = 0.0, 0.25
        for _ in range(40):  # spread falls as the variance rises
            middle = (least + most) / 2
            least, most = (middle, most) if spread(middle) > target else (least, middle)
        return float(np.sqrt(most)) if spread(0.0) > target else 0.0

    low, high = at(0.975), at(0.025)
    estimate = Estimate(float(sd), min(low, float(sd)), max(high, float(sd)), n=int(n.sum()))
    finding = Finding("annotators", estimate, 0.0, margin, p_value)

    expected = np.bincount(who, weights=mean)[enough]
    ones, p = np.rint(off + expected), expected / n
    tail = np.minimum(stats.binom.cdf(ones, n, p), stats.binom.sf(ones - 1, n, p))
    adjusted = holm(np.minimum(2 * tail, 1))
    far = np.abs(off / n)
    worst = [i for i in np.argsort(-far) if adjusted[i] <= 0.05 and far[i] > margin][:LISTED]
    names = data.names_of("annotator", codes[worst])
    listed = []
    for i, name in zip(worst, names):
        share = float(ones[i] / n[i])
        ends = wilson_interval(share, n[i])
        found = Estimate(share, float(ends[0]), float(ends[1]), n=int(n[i]))
        listed.append((name, found, float(adjusted[i])))
    return [finding], tuple(listed), k


# -- time --------------------------------------------------------------------


def _sequence(data: PreferenceData, rows: np.ndarray, *, sittings: bool) -> np.ndarray:
    """Which sequence of judgements each row belongs to: an annotator's, or one of a sitting."""
    columns = (data.annotator, data.session) if sittings else (data.annotator,)
    known = [column[rows] for column in columns if column is not None]
    return _codes(*known) if known else np.zeros(len(rows), dtype=np.int64)


def _in_time(
    data: PreferenceData, rows: np.ndarray, least: int, *, sittings: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of long enough sequences in order of time, and the sequence of each."""
    assert data.time is not None
    code = _sequence(data, rows, sittings=sittings)
    when = data.time[rows]
    order = np.lexsort((when, code))
    rows, code, when = rows[order], code[order], when[order]
    # judgements of one moment have no order
    tied = (code[1:] == code[:-1]) & (when[1:] == when[:-1])
    keep = ~(np.append(tied, False) | np.append(False, tied))
    rows, code = rows[keep], code[keep]
    long = np.bincount(code, minlength=1)[code] >= least
    return rows[long], _codes(code[long])


def _drift(data: PreferenceData, rows: np.ndarray, margin: float) -> list[Finding]:
    """Change of P(first preferred) from an annotator's first judgement to the last."""
    if data.time is None or len(rows) == 0:
        return []
    rows, who = _in_time(data, rows, PAIRS_EACH, sittings=False)
    if len(rows) == 0:
        return []
    label = data.label[rows].astype(float)
    size = np.bincount(who)
    turn = np.arange(len(rows)) - np.repeat(np.cumsum(size) - size, size)
    at = turn / (size[who] - 1) - 0.5
    square = float(at @ at)
    change = float(at @ label) / square
    left = label - (np.bincount(who, weights=label) / size)[who] - change * at
    levels = _levels(data, rows)
    robust = float(cluster_covariance(at * left, levels.clusters))
    variance = max(robust, float(((at * left) ** 2).sum())) / square**2
    df = len(rows) - 2.0 if levels.single else levels.df
    estimate, p = _number(change, float(np.sqrt(variance)), df, len(rows))
    return [Finding("drift", estimate, 0.0, margin, p)]


def _carry_over(data: PreferenceData, rows: np.ndarray, margin: float) -> list[Finding]:
    """Equal positions in a row, less those of a random arrangement (Wald and Wolfowitz's runs)."""
    if data.time is None or (data.annotator is None and data.session is None) or len(rows) == 0:
        return []
    # pairs of one prompt may share their order: one of each
    key = _codes(_sequence(data, rows, sittings=True), data.pair_group[rows])
    rows = rows[_firsts(key)]
    rows, who = _in_time(data, rows, 5, sittings=True)
    if len(rows) < PAIRS_EACH:
        return []
    label = data.label[rows]
    n = np.bincount(who).astype(float)
    ones = np.bincount(who, weights=label)
    same = (who[1:] == who[:-1]) & (label[1:] == label[:-1])
    equal = np.bincount(who[1:], weights=same, minlength=len(n))
    product = 2 * ones * (n - ones)
    excess = equal - (n - 1 - product / n)
    exact = product * (product - n) / (n**2 * (n - 1))
    couples = float((n - 1).sum())
    variance = max(float(exact.sum()), 0.0)
    df = np.inf
    outer = data.annotator if data.annotator is not None else data.session
    assert outer is not None
    person = outer[rows[_firsts(who)]]
    many = _effective(np.repeat(person, n.astype(int)))
    if many >= FEWEST:
        centred = excess - excess.sum() / couples * (n - 1)
        robust = float(cluster_covariance(centred, person))
        if robust > variance:
            variance, df = robust, many - 1
    estimate, p = _number(
        float(excess.sum()) / couples, float(np.sqrt(variance)) / couples, df, int(couples)
    )
    return [Finding("carry-over", estimate, 0.0, margin, p)]


# -- repeats -----------------------------------------------------------------


def _unit(
    data: PreferenceData, rows: np.ndarray, *, ordered: bool, by_annotator: bool = False
) -> np.ndarray:
    """Number of what has to be equal for two judgements to be of one pair, shape (n_rows,)."""
    first, second = data.pairs[rows].T
    if not ordered:
        first, second = np.minimum(first, second), np.maximum(first, second)
    columns = [first * len(data.responses) + second]
    for column in (data.objective, data.annotator if by_annotator else None):
        if column is not None:
            columns.append(column[rows])
    return _codes(*columns)


def _apart(data: PreferenceData) -> np.ndarray:
    """Rows of two responses; where ``time`` shows that a judgement is listed twice, once."""
    rows = np.flatnonzero(data.pairs[:, 0] != data.pairs[:, 1])
    if data.time is None:
        return rows
    unit = _unit(data, rows, ordered=True, by_annotator=True)
    return rows[_firsts(_codes(unit, data.time[rows]))]


def _repeats(data: PreferenceData, *, by_annotator: bool) -> tuple[Estimate | None, float]:
    """Share of matched repeats that disagree, None without any; p-value of at most one half."""
    if by_annotator and data.annotator is None:
        return None, 1.0
    rows = _apart(data) if by_annotator else np.flatnonzero(data.pairs[:, 0] != data.pairs[:, 1])
    member = _unit(data, rows, ordered=True, by_annotator=by_annotator)
    size = np.bincount(member)
    if size.max(initial=0) < 2:
        return None, 1.0
    order = np.argsort(member, kind="stable")
    turn = np.arange(len(order)) - np.repeat(np.cumsum(size) - size, size)
    # judgements 0 and 1, 2 and 3, ... of a pair are matched, so that couples are independent
    second = np.flatnonzero(turn % 2 == 1)
    here, before = rows[order[second]], rows[order[second - 1]]
    differ = (data.label[here] != data.label[before]).astype(float)
    levels = _levels(data, here)
    estimate, two_sided = _rate(differ, levels)
    return estimate, two_sided / 2 if estimate.value > 0.5 else 1 - two_sided / 2


def _close_repeats(data: PreferenceData, margin: float) -> list[Finding]:
    """Agreement of repeats close together less that of those further apart, within one pair.

    Given how often an annotator gave each answer to a pair, independent draws put these answers
    on any of the occasions alike.
    """
    if data.session is None and data.time is None:
        return []
    rows = _apart(data)
    unit = _unit(data, rows, ordered=True, by_annotator=True)
    many = np.bincount(unit)[unit] >= 3
    rows, unit = rows[many], _codes(unit[many])
    if len(rows) == 0:
        return []
    label = data.label[rows].astype(float)
    couples = lambda count: count * (count - 1) / 2
    n, ones = np.bincount(unit).astype(float), np.bincount(unit, weights=label)
    if data.session is not None:
        name, cell = "in one session", _codes(unit, data.session[rows])
        at = _firsts(cell)
        count, yes = np.bincount(cell).astype(float), np.bincount(cell, weights=label)
        add = lambda values: np.bincount(unit[at], weights=values, minlength=len(n))
        near = add(couples(count))
        agree = add(couples(yes) + couples(count - yes))
    else:
        assert data.time is not None
        name, order = "next to each other in time", np.lexsort((data.time[rows], unit))
        later, earlier = order[1:], order[:-1]
        same = (unit[later] == unit[earlier]) & (label[later] == label[earlier])
        near = n - 1
        agree = np.bincount(unit[later], weights=same, minlength=len(n))
    far = couples(n) - near
    both = np.flatnonzero((near > 0) & (far > 0))
    if len(both) < FEWEST:
        return []
    all_agree = couples(ones) + couples(n - ones)
    difference = (agree / np.maximum(near, 1) - (all_agree - agree) / np.maximum(far, 1))[both]
    levels = _levels(data, rows[_firsts(unit)[both]])
    found = cluster_mean(difference, levels.clusters)
    se = max(float(found.se), float(np.sqrt((difference**2).mean() / len(both))))
    estimate, p = _number(found.value, se, levels.df, len(both))
    # without times, a judgement that the file lists twice looks like a repeat
    return [Finding("close", estimate, 0.0, margin, p, proof=data.time is not None, name=name)]
