"""Assumption 1, consistency: is the label a function of who judges and of what is shown?"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

from causalpref.assumptions.confounding import Names, _names
from causalpref.assumptions.report import Picture, Report, Verdict, table
from causalpref.data import PreferenceData
from causalpref.statistics import holm, wilson_interval

__all__ = ["check_consistency"]


def check_consistency(
    data: PreferenceData,
    *,
    order_known: bool = True,
    names: Names | None = None,
    tolerance: float = 0.05,
    alpha: float = 0.05,
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
    order_known : bool
        False when the file lists the preferred response first, so that the order
        shown is lost: then place is not tested, and repeats are told by the two responses alone.
        Labels that are all equal are read so as well.
    names : mapping, optional
        ``"objective"``: names for the table.
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
    n = len(data)
    rows: list[dict] = []
    known = order_known and 0 < data.label.sum() < n
    if not known:  # who stood first says nothing: both orders are one pair
        turned = data.pairs[:, 0] > data.pairs[:, 1]
        data = data.replace(
            pairs=np.sort(data.pairs, axis=1), label=np.where(turned, 1 - data.label, data.label)
        )
    first, second = data.pairs.T
    place_p: dict[str, float] = {}
    dots: list[dict] = []

    # place: over all pairs, and in pairs judged in both orders
    rate, count_place = float(data.label.mean()), n
    if known:
        # repeats share the coin that put one response first: one judgement a pair
        _, once, member = np.unique(
            np.sort(data.pairs, axis=1), axis=0, return_index=True, return_inverse=True
        )
        forward = np.bincount(member.ravel(), weights=first < second)
        backward = np.bincount(member.ravel(), weights=first > second)
        # a pair in both orders was put so by design, not by a coin: it belongs to the next test
        once = once[(first[once] != second[once]) & ((forward == 0) | (backward == 0))]
        m = len(once)
        if m:
            rate, count_place = float(data.label[once].mean()), m
        for name, here in _contexts(data, once, names):
            ones = int(data.label[here].sum())
            place_p[name] = float(stats.binomtest(ones, len(here)).pvalue)
            rows.append(
                _row(
                    f"the first response is preferred{name}",
                    ones / len(here),
                    len(here),
                    p=place_p[name],
                    note="one judgement a pair; 1/2 if the order was "
                    "dealt by a coin and place does not matter",
                )
            )
        plus, minus, matched = _swapped(data)
        if plus + minus:
            place_p["swapped"] = float(stats.binomtest(plus, plus + minus).pvalue)
            rows.append(
                _row(
                    "pairs judged in both orders: the first both times, among those where "
                    "the two answers disagree",
                    plus / (plus + minus),
                    plus + minus,
                    p=place_p["swapped"],
                    note=f"of {matched:,} matched judgements; 1/2 if place does not "
                    "matter, whatever the responses",
                )
            )
        elif matched:
            rows.append(_row("pairs judged in both orders that disagree", 0.0, matched))
    for name, p in zip(place_p, holm(np.array(list(place_p.values())))):
        place_p[name] = float(p)

    # repeats in the same order, by one person and by anybody
    own, anybody = _repeats(data, by_person=True), _repeats(data, by_person=False)
    verdict, decides = Verdict.UNTESTABLE, ""
    if known:
        verdict = Verdict.NOT_FOUND
    if own is not None:
        share, n_own = own
        rows.append(
            _row(
                "one person, same pair, same order, two answers",
                share,
                n_own,
                note="consistency allows none",
            )
        )
        # exact: Wilson's lower end is too high for a few in many
        least = stats.binomtest(round(share * n_own), n_own).proportion_ci(0.95).low
        verdict = (
            Verdict.VIOLATED
            if least > tolerance
            else Verdict.STRAINED
            if least > tolerance / 5
            else Verdict.NOT_FOUND
        )
        decides = "own" if verdict.alarm else ""
    if anybody is not None:
        share, n_any = anybody
        best = (1 + np.sqrt(max(0.0, 1 - 2 * share))) / 2
        rows.append(
            _row(
                "same pair, same order, two answers, whoever judged",
                share,
                n_any,
                note=f"no model is right more often than {best:.3f} of the time",
            )
        )
    if place_p and min(place_p.values()) <= alpha and verdict is not Verdict.VIOLATED:
        verdict = Verdict.VIOLATED if place_p.get("swapped", 1) <= alpha else Verdict.STRAINED
        decides = "swapped" if verdict is Verdict.VIOLATED else min(place_p, key=place_p.get)

    if decides == "own":
        sentence = (
            f"The same person gave two answers to the same pair in {own[0]:.1%} of "
            f"{own[1]:,} repeats, so the label is not a function of what was shown."
        )
        step = (
            "Ask for the occasion: time, device, instructions. Use the mean of repeated "
            "judgements, and no model will do better than people do with themselves."
        )
    elif decides:
        where = "" if decides == "swapped" else decides
        share = next((r["value"] for r in rows if r["what"].endswith(f"preferred{where}")), rate)
        sentence = f"The first response is preferred in {share:.1%} of the pairs{where}: " + (
            "place matters, so R and R' are two functions."
            if decides == "swapped"
            else "place matters, or the order was not dealt by a coin."
        )
        step = (
            "Show every pair in both orders, or in random order, and give the model an "
            "intercept for the first place."
            + (
                ""
                if decides == "swapped"
                else " Judge some pairs in both orders: that tells which of the two it is."
            )
        )
    elif verdict is Verdict.UNTESTABLE:
        sentence = (
            "The order shown was not recorded and nobody judged a pair twice, so the labels "
            "cannot contradict themselves."
            if own is None and anybody is None
            else "Pairs were judged more than once, but not by a known person, so disagreement "
            "may be taste."
        )
        step = (
            "Record which response was shown first and who judged. Have one pair in twenty judged "
            "twice by the same person, and one in twenty in the other order."
        )
    else:
        parts = []
        if own is not None:
            parts.append(
                f"one person asked twice changed their answer in {own[0]:.1%} of {own[1]:,} repeats"
            )
        if known:
            parts.append(f"place was not seen to matter, the first being preferred in {rate:.1%}")
        if own is None:
            parts.append(
                "nobody is known to have judged a pair twice, so labels had no chance to "
                "contradict themselves"
            )
        text = "; ".join(parts)
        sentence = text[0].upper() + text[1:] + "."
        step = (
            "Keep the order random, and have a few pairs judged twice by the same person, so "
            "that drift is noticed."
        )

    value, count, statistic = (
        (own[0], own[1], "disagreement of one person with themselves")
        if decides == "own" or (not known and own is not None)
        else (rate, count_place, "P(first preferred)")
    )
    low, high = wilson_interval(value, count)
    for r in rows:
        if r.get("low") is not None:
            dots.append({k: r[k] for k in ("what", "value", "low", "high")})
    testable = verdict is not Verdict.UNTESTABLE
    picture = (
        Picture(
            "intervals",
            pd.DataFrame(dots),
            "share of judgements",
            (0.5,),
            "Dots with 95 % intervals, shares of judgements: "
            + "; ".join(f"{d['what']} {d['value']:.3f}" for d in dots)
            + ".",
        )
        if dots
        else None
    )
    return Report(
        "1, consistency",
        verdict,
        sentence,
        sees="answers that contradict one another, and a pull towards one place",
        blind="hidden versions of a treatment that are shown only once: the same words with another "
        "layout, at another hour, to a unit that would have answered otherwise",
        next_step=step,
        statistic=statistic if testable else "",
        value=value if testable else None,
        low=low if testable else None,
        high=high if testable else None,
        p_value=min(place_p.values()) if place_p and decides != "own" else None,
        n=count if testable else n,
        evidence=table(rows),
        picture=picture,
        source=data.source,
        simulated=data.simulated,
    )


def _row(what: str, share: float, n: int, *, p: float | None = None, note: str = "") -> dict:
    low, high = wilson_interval(share, n)
    return {
        "what": what,
        "value": float(share),
        "low": low,
        "high": high,
        "p_value": p,
        "n": int(n),
        "note": note,
    }


def _contexts(
    data: PreferenceData, rows: np.ndarray, names: Names | None
) -> list[tuple[str, np.ndarray]]:
    """Rows under each objective, with words for it; all in one when there is none."""
    if len(rows) == 0:
        return []
    values = np.empty(0) if data.objective is None else np.unique(data.objective[rows])
    if not 2 <= len(values) <= 12:
        return [("", rows)]
    return [
        (f" under {name}", rows[data.objective[rows] == c])
        for name, c in zip(_names(names, "objective", values), values)
    ]


def _keys(data: PreferenceData, by_person: bool) -> np.ndarray:
    """What has to be equal for two judgements to be repeats, besides the pair."""
    parts = []
    if data.objective is not None:
        parts.append(data.objective)
    if by_person:
        parts.append(data.annotator)
    return np.stack(parts, axis=1) if parts else np.zeros((len(data), 0), dtype=np.int64)


def _repeats(data: PreferenceData, *, by_person: bool) -> tuple[float, int] | None:
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
    return float(differ.mean()), len(second)


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
