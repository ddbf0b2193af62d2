"""Assumption 1, consistency: is the label a function of who judges and of what is shown?"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from causalpref.assumptions._check import Check, Settings, run_check
from causalpref.assumptions.evidence import dots, row, table
from causalpref.assumptions.report import Report, Verdict, Words
from causalpref.data import PreferenceData
from causalpref.statistics import Estimate, holm, proportion

__all__ = ["Consistency", "check_consistency"]


@dataclass(frozen=True)
class Place:
    """A test of whether the first place matters.

    Parameters
    ----------
    rate : Estimate
        How often the first response is preferred.
    p_value, adjusted : float
        That it is 1/2; adjusted for all such tests (Holm).
    """

    rate: Estimate
    p_value: float
    adjusted: float = 1.0


@dataclass(frozen=True)
class Consistency:
    """Numbers of the check of consistency.

    Parameters
    ----------
    n : int
        Pairs.
    order_known : bool
        Whether the order shown was recorded and the labels differ.
    first : Estimate
        How often the first response is preferred, one judgement a pair.
    place : dict of Place
        The same by objective; by None where there is one or none.
    swapped : Place or None
        Among matched judgements of both orders that disagree: the first both times.
    matched : int
        Matched judgements of both orders.
    own, anybody : Estimate or None
        Share of repeats with two answers: of one person, of whoever judged.
    own_least : float
        Lower end of the exact 95 % interval of ``own``.
    tolerance, alpha : float
        What the numbers are held against.
    """

    n: int
    order_known: bool
    first: Estimate
    place: dict[str | None, Place]
    swapped: Place | None
    matched: int
    own: Estimate | None
    anybody: Estimate | None
    own_least: float
    tolerance: float
    alpha: float

    @property
    def tests(self) -> list[Place]:
        """All tests of place."""
        return [*self.place.values(), *([self.swapped] if self.swapped else [])]


def check_consistency(
    data: PreferenceData, *, tolerance: float = 0.05, alpha: float = 0.05
) -> Report:
    """Repeated and order-swapped judgements that disagree, and the pull of the first place.

    Consistency says that a unit shown (x, y, y') says L(x; y, y'), one value. Three things are
    looked at:

    - *Repeats in the same order.* When ``annotator`` says that one person judged the same pair
      twice under one objective, two answers refute the assumption for that person. Without it,
      or between persons, disagreement is noise, taste and inconsistency together: it is shown,
      with the best accuracy that any model can then reach, and does not move the verdict.
    - *Swapped orders.* Judgements of (y, y') and of (y', y) are matched one to one. If place
      does not matter, "the first both times" and "the second both times" come up equally often,
      whatever the two responses: an exact sign test. A difference means R and R' are two
      functions (the paper's footnote 1).
    - *The first place overall.* If the order was dealt by a coin, L = 1 has probability 1/2
      in every pair: an exact binomial test, on the first judgement of each pair that was not
      shown in both orders, under each objective by itself (up to twelve). Where the order was
      not dealt at random, a difference can come from that instead.

    Parameters
    ----------
    data : PreferenceData
        Where ``order_known`` is False, position is not tested, and repeats are recognised by
        the two responses alone. Constant labels are treated the same way.
    tolerance : float
        Share of one person's repeats that may disagree. Violated when the exact 95 % interval
        lies above it, strained when it lies above a fifth of it.
    alpha : float
        Level of the tests of place together (Holm).

    Returns
    -------
    Report
        ``value`` is P(the first is preferred), or the disagreement of one person with
        themselves where that decides.

    Notes
    -----
    False alarms at most ``alpha``. Power is above 80 % with 1,000 pairs for a position bias of
    0.35 in reward, with 400 pairs judged in both orders for one of 0.4, and with 200 repeats for
    a person who contradicts themselves 12 % of the time.
    """
    return run_check(CONSISTENCY, data, Settings(alpha=alpha), tolerance=tolerance)


def _compute(data: PreferenceData, settings: Settings, *, tolerance: float = 0.05) -> Consistency:
    n = len(data)
    known = data.order_known and 0 < data.label.sum() < n
    if not known:  # who stood first says nothing: both orders are one pair
        data = data.swapped(data.pairs[:, 0] > data.pairs[:, 1])
    rate, place, swapped, matched = proportion(float(data.label.mean()), n), {}, None, 0
    if known:
        once = _once(data)
        if len(once):
            rate = proportion(float(data.label[once].mean()), len(once))
        place = {name: _place(data.label[here]) for name, here in _by_context(data, once)}
        plus, minus, matched = _swapped(data)
        if plus + minus:
            swapped = _place(np.repeat([1, 0], [plus, minus]))
        tests = [*place.values(), *([swapped] if swapped else [])]
        adjusted = holm(np.array([t.p_value for t in tests])).tolist()
        place = {k: replace(t, adjusted=p) for (k, t), p in zip(place.items(), adjusted)}
        swapped = replace(swapped, adjusted=adjusted[-1]) if swapped else None
    own = _repeats(data, by_person=True)
    # exact: Wilson's lower end is too high for a few in many
    least = stats.binomtest(round(own.value * own.n), own.n).proportion_ci(0.95).low if own else 0.0
    return Consistency(
        n,
        known,
        rate,
        place,
        swapped,
        matched,
        own,
        _repeats(data, by_person=False),
        float(least),
        tolerance,
        settings.alpha,
    )


def _judged(r: Consistency) -> tuple[Verdict, str]:
    """The verdict, and what decides an alarm: ``"own"``, ``"swapped"`` or ``"place"``."""
    verdict, decides = Verdict.NOT_FOUND if r.order_known else Verdict.UNTESTABLE, ""
    if r.own is not None:
        verdict = (
            Verdict.VIOLATED
            if r.own_least > r.tolerance
            else Verdict.STRAINED
            if r.own_least > r.tolerance / 5
            else Verdict.NOT_FOUND
        )
        decides = "own" if verdict.alarm else ""
    if verdict is not Verdict.VIOLATED:
        if r.swapped is not None and r.swapped.adjusted <= r.alpha:
            return Verdict.VIOLATED, "swapped"
        if any(t.adjusted <= r.alpha for t in r.tests):
            return Verdict.STRAINED, "place"
    return verdict, decides


def _judge(r: Consistency) -> Verdict:
    return _judged(r)[0]


def _word(r: Consistency, verdict: Verdict) -> Words:
    decides = _judged(r)[1]
    rows = [
        row(
            "the first response is preferred" + _under(name),
            t.rate,
            p_value=t.p_value,
            note="one judgement a pair; 1/2 if the order was dealt by a coin and place does not "
            "matter",
        )
        for name, t in r.place.items()
    ]
    if r.swapped is not None:
        rows.append(
            row(
                "pairs judged in both orders: the first both times, among those where "
                "the two answers disagree",
                r.swapped.rate,
                p_value=r.swapped.p_value,
                note=f"of {r.matched:,} matched judgements; 1/2 if place does not "
                "matter, whatever the responses",
            )
        )
    elif r.matched:
        rows.append(row("pairs judged in both orders that disagree", proportion(0.0, r.matched)))
    if r.own is not None:
        what = "one person, same pair, same order, two answers"
        rows.append(row(what, r.own, note="consistency allows none"))
    if r.anybody is not None:
        best = (1 + np.sqrt(max(0.0, 1 - 2 * r.anybody.value))) / 2
        rows.append(
            row(
                "same pair, same order, two answers, whoever judged",
                r.anybody,
                note=f"no model is right more often than {best:.3f} of the time",
            )
        )
    by_own = r.own if decides == "own" or not r.order_known else None
    value, statistic, short = (
        (by_own, "disagreement of one person with themselves", "two answers")
        if by_own is not None
        else (r.first, "P(first preferred)", "first wins")
    )
    numbers: dict[str, Any] = {"n": r.n}
    if verdict is not Verdict.UNTESTABLE:
        numbers = {"statistic": statistic, "short": short, "n": value.n}
        numbers |= {"value": value.value, "low": value.low, "high": value.high}
    if r.tests and decides != "own":
        numbers["p_value"] = min(t.adjusted for t in r.tests)
    sentence, step = _sentences(r, verdict, decides)
    return Words(
        sentence=sentence,
        next_step=step,
        evidence=table(rows),
        picture=dots(rows, "share of judgements", about=", shares of judgements", digits=3),
        **numbers,
    )


def _under(name: str | None) -> str:
    return "" if name is None else f" under {name}"


def _sentences(r: Consistency, verdict: Verdict, decides: str) -> tuple[str, str]:
    """The finding and what to do."""
    if decides == "own":
        return (
            f"The same person gave two answers to the same pair in {r.own.value:.1%} of "
            f"{r.own.n:,} repeats, so the label is not a function of what was shown.",
            "Ask for the occasion: time, device, instructions. Use the mean of repeated "
            "judgements, and no model will do better than people do with themselves.",
        )
    both = (
        "Show every pair in both orders, or in random order, and give the model an "
        "intercept for the first place."
    )
    if decides == "swapped":
        rate = r.place[None].rate if None in r.place else r.first
        return (
            f"The first response is preferred in {rate.value:.1%} of the pairs: "
            "place matters, so R and R' are two functions.",
            both,
        )
    if decides == "place":
        name = min(r.place, key=lambda k: r.place[k].adjusted)
        return (
            f"The first response is preferred in {r.place[name].rate.value:.1%} of the "
            f"pairs{_under(name)}: place matters, or the order was not dealt by a coin.",
            f"{both} Judge some pairs in both orders: that tells which of the two it is.",
        )
    if verdict is Verdict.UNTESTABLE:
        return (
            "The order shown was not recorded and nobody judged a pair twice, so the labels "
            "cannot contradict themselves."
            if r.anybody is None
            else "Pairs were judged more than once, but not by a known person, so disagreement "
            "may be taste.",
            "Record which response was shown first and who judged. Have one pair in twenty judged "
            "twice by the same person, and one in twenty in the other order.",
        )
    parts = []
    if r.own is not None:
        parts.append(
            f"one person asked twice changed their answer in {r.own.value:.1%} of "
            f"{r.own.n:,} repeats"
        )
    if r.order_known:
        parts.append(
            f"place was not seen to matter, the first being preferred in {r.first.value:.1%}"
        )
    if r.own is None:
        parts.append(
            "nobody is known to have judged a pair twice, so labels had no chance to "
            "contradict themselves"
        )
    text = "; ".join(parts)
    return (
        text[0].upper() + text[1:] + ".",
        "Keep the order random, and have a few pairs judged twice by the same person, so "
        "that drift is noticed.",
    )


CONSISTENCY = Check(
    "consistency",
    1,
    "consistency",
    _compute,
    _judge,
    _word,
    sees="answers that contradict one another, and a pull towards one place",
    blind="hidden versions of a treatment that are shown only once: the same words with another "
    "layout, at another hour, to a unit that would have answered otherwise",
)


# -- judgements that can contradict one another ------------------------------


def _place(labels: np.ndarray) -> Place:
    ones, n = int(labels.sum()), len(labels)
    return Place(proportion(ones / n, n), float(stats.binomtest(ones, n).pvalue))


def _once(data: PreferenceData) -> np.ndarray:
    """The first judgement of each pair that was not shown in both orders."""
    # repeats share the coin that put one response first: one judgement a pair
    first, second = data.pairs.T
    _, once, member = np.unique(
        np.sort(data.pairs, axis=1), axis=0, return_index=True, return_inverse=True
    )
    forward = np.bincount(member.ravel(), weights=first < second)
    backward = np.bincount(member.ravel(), weights=first > second)
    # a pair in both orders was put so by design, not by a coin: it belongs to the next test
    return once[(first[once] != second[once]) & ((forward == 0) | (backward == 0))]


def _by_context(data: PreferenceData, rows: np.ndarray) -> list[tuple[str | None, np.ndarray]]:
    """Rows under each objective by its name; all in one when there is none."""
    if len(rows) == 0:
        return []
    values = [] if data.objective is None else np.unique(data.objective[rows])
    if not 2 <= len(values) <= 12:
        return [(None, rows)]
    return [
        (name, rows[data.objective[rows] == c])
        for name, c in zip(data.names_of("objective", values), values)
    ]


def _keys(data: PreferenceData, by_person: bool) -> np.ndarray:
    """What has to be equal for two judgements to be repeats, besides the pair."""
    parts = []
    if data.objective is not None:
        parts.append(data.objective)
    if by_person:
        parts.append(data.annotator)
    return np.stack(parts, axis=1) if parts else np.zeros((len(data), 0), dtype=np.int64)


def _repeats(data: PreferenceData, *, by_person: bool) -> Estimate | None:
    """Share of matched repeats that disagree, and how many there are; None without any."""
    if by_person and data.annotator is None:
        return None
    key = np.column_stack([data.pairs, _keys(data, by_person)])
    key = key[(ok := data.pairs[:, 0] != data.pairs[:, 1])]
    if len(key) < 2:
        return None
    _, member, size = np.unique(key, axis=0, return_inverse=True, return_counts=True)
    member = member.ravel()
    if size.max() < 2:
        return None
    label = data.label[ok]
    order = np.argsort(member, kind="stable")
    place = np.arange(len(order)) - np.repeat(np.cumsum(size) - size, size)
    # judgements 0 and 1, 2 and 3, ... of a pair are matched, so that couples are independent
    second = np.flatnonzero(place % 2 == 1)
    differ = label[order[second]] != label[order[second - 1]]
    return proportion(float(differ.mean()), len(second))


def _swapped(data: PreferenceData) -> tuple[int, int, int]:
    """Matched judgements of the two orders: first both times, second both times, all."""
    a, b = data.pairs.T
    use = np.flatnonzero(a != b)
    if len(use) < 2:
        return 0, 0, 0
    forward = a[use] < b[use]
    key = np.column_stack([np.sort(data.pairs[use], axis=1), _keys(data, False)[use]])
    _, member = np.unique(key, axis=0, return_inverse=True)
    member = member.ravel()

    def numbered(rows: np.ndarray) -> pd.DataFrame:
        frame = pd.DataFrame({"member": member[rows], "label": data.label[use][rows]})
        return frame.assign(turn=frame.groupby("member").cumcount())

    both = numbered(np.flatnonzero(forward)).merge(
        numbered(np.flatnonzero(~forward)), on=["member", "turn"]
    )
    total = both.label_x + both.label_y
    return int((total == 2).sum()), int((total == 0).sum()), len(both)
