"""What the values of a label mean: known from the layout, read off the words, or asked for.

Nothing is assumed. ``1`` says which answer is preferred only where the columns settle it: where
the answers are themselves called 1 and 2, or where a published format says so. Everything
else raises :class:`Unclear`, whose sentence gives the option that settles it.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from causalpref.sources._rows import Bad, printable, show
from causalpref.sources._values import as_number, is_empty, words


class Verdict(NamedTuple):
    """What a judgement says: a label of None is a tie."""

    label: int | None
    strength: float | None = None
    probability: float | None = None


FIRST, SECOND, TIE = Verdict(1), Verdict(0), Verdict(None)
_SAID = {"first": FIRST, "second": SECOND, "tie": TIE}


class Unclear(ValueError):
    """A label whose values may mean several things."""


class Unknown(Bad):
    """A value of the label that has no meaning yet."""

    def __init__(self, reason: str, column: str, value: Any):
        super().__init__(reason, column)
        self.value = value


@dataclass(frozen=True)
class Meaning:
    """How the values of a label column are read.

    Parameters
    ----------
    sentence : str
        For the summary.
    read : callable
        A value to its :class:`Verdict`; raises Bad.
    graded : tuple of str
        Which of strength and probability every verdict has.
    """

    sentence: str
    read: Callable[[Any, str], Verdict]
    graded: tuple[str, ...] = ()


def key_of(value: Any) -> str:
    """A value as it is compared: numbers and numerals alike, words in lower case."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return f"{value:g}" if abs(value) < 1e15 else repr(value)
    text = str(value).strip().lower().removeprefix("[[").removesuffix("]]").strip()
    if re.fullmatch(r"[+-]?\d+(?:\.\d*)?", text):
        return f"{float(text):g}" if len(text) < 16 else text
    return text


AGAINST = {
    "less", "least", "worse", "worst", "lose", "loses", "loser", "losing", "lost", "loss", "losses",
    "rejected", "unpreferred", "dispreferred", "nonpreferred", "notpreferred", "eliminated", "bad",
    "badness", "inferior", "poor", "error", "errors", "mistakes", "perplexity", "ppl", "toxicity",
    "toxic", "harm", "harms", "harmful", "harmfulness", "risk", "penalty", "penalties", "cost",
    "distance", "hallucination", "hallucinations", "severity", "negative", "down", "dislike",
    "dislikes", "violation", "violations",
}  # fmt: skip
"""Words of columns that name the worse answer, or that grow as an answer gets worse."""

_YES, _NO = {"1", "true", "yes"}, {"0", "false", "no"}


def is_flag(key: str) -> bool:
    """Whether a value says yes or no."""
    return key in _YES or key in _NO


def is_yes(key: str) -> bool:
    return key in _YES


def by_table(table: Mapping[str, Verdict], sentence: str) -> Meaning:
    def read(value: Any, name: str) -> Verdict:
        if is_empty(value):
            what = "empty" if isinstance(value, str) else show(value)
            raise Bad(f"is {what}, expected one of {', '.join(table)}", name)
        if isinstance(value, (list, Mapping)) or (key := key_of(value)) not in table:
            raise Unknown(f"is {show(value)}, expected one of {', '.join(table)}", name, value)
        return table[key]

    graded = [
        g
        for g in ("strength", "probability")
        if all(getattr(v, g) is not None for v in table.values())
    ]
    return Meaning(sentence, read, tuple(graded))


# -- words ---------------------------------------------------------------------------

_FILLERS = {
    "model", "response", "answer", "output", "completion", "assistant", "option", "candidate",
    "summary", "text", "reply", "is", "the", "was", "are", "better", "best", "slightly", "much",
    "significantly", "clearly", "strongly", "somewhat", "far", "marginally", "preferred", "prefer",
    "prefers", "wins", "win", "won", "winner", "than", "good", "choice", "one", "side", "very",
}  # fmt: skip
_TIES = {
    "tie", "tied", "ties", "draw", "equal", "equally", "same", "both", "neither", "bothbad",
    "bothgood", "similar", "even", "indifferent", "equivalent",
}  # fmt: skip
_WEAK = {"slightly", "somewhat", "marginally"}
_STRONG = {"much", "significantly", "clearly", "strongly", "far", "very"}
_SIGNS = re.compile(r"\[*\s*(a|b)\s*(>{1,3}|<{1,3}|~?=+|≈)\s*(a|b)\s*\]*")
_NATURAL = (("a", "b"), ("left", "right"), ("first", "second"))


def of_word(key: str, sides: tuple[str, str]) -> Verdict | None:
    """What a word says of two answers that are called ``sides``; None if it says nothing."""
    if re.fullmatch(r"[-+]?[\d.]+", key):
        return None  # a number says something only where the answers are called by numbers
    if sign := _SIGNS.fullmatch(key):
        left, mark, right = sign.groups()
        if left == right:
            return None
        if "=" in mark or mark == "≈":
            return Verdict(None, 0.0)
        first = (left == "a") == (mark[0] == ">")
        return Verdict(int(first), len(mark) * (1.0 if first else -1.0))
    said = words(key)
    names = [w for w in said if w not in _FILLERS]
    if names and all(
        w in _TIES or w in ("bad", "good", "no", "preference", "inconsistent") for w in names
    ):
        if set(names) & _TIES or names == ["no", "preference"]:
            return Verdict(None, 0.0)
        return None
    for first, second in dict.fromkeys((sides, *_NATURAL)):
        if len(names) == 1 and names[0] in (first, second):
            size = 1.0 if set(said) & _WEAK else 3.0 if set(said) & _STRONG else 2.0
            label = int(names[0] == first)
            return Verdict(label, size if label else -size)
    return None


def of_column(name: str, sides: tuple[str, str]) -> int | None:
    """The answer that a yes/no column is about: 1 for ``left_won``, 0 for ``b_is_better``."""
    said = [w for w in words(name) if w not in _FILLERS]
    for first, second in dict.fromkeys((sides, *_NATURAL)):
        if len(said) == 1 and said[0] in (first, second) and len(words(name)) > 1:
            return int(said[0] == first)
    return None


# -- a column ------------------------------------------------------------------------


def meaning_of(
    name: str,
    values: Iterable[Any],
    sides: tuple[str, str],
    *,
    given: Mapping[Any, str] | None = None,
    known: Meaning | None = None,
    about: str = "",
) -> Meaning:
    """How to read a label column.

    Parameters
    ----------
    name : str
        The column.
    values : iterable
        Its values in the first rows.
    sides : (str, str)
        What the columns call the two answers: ("a", "b"), ("1", "2"), ...
    given : mapping, optional
        What the user says the values mean: each "first", "second" or "tie".
    known : Meaning, optional
        What a published format says.
    about : str
        The file, for messages.

    Raises
    ------
    Unclear
        Values that the columns do not settle.
    """
    counts = Counter(key_of(v) for v in values if _is_value(v))
    if given:
        table = {key_of(k): _SAID[v] for k, v in given.items()}
        return by_table(table, f"{name}: {_sentence(table)} (as given)")
    if AGAINST & set(words(name)):
        raise unclear(name, counts, about)
    if known is not None:
        if all(_readable(known, k) for k in counts):
            return known
        raise unclear(name, counts, about)
    column = of_column(name, sides)
    if (
        column is not None
        and sum(n for k, n in counts.items() if is_flag(k)) > 0.8 * counts.total()
    ):
        yes, no, which = (FIRST, SECOND, "first") if column else (SECOND, FIRST, "second")
        table = {**dict.fromkeys(_YES, yes), **dict.fromkeys(_NO, no)}
        return by_table(table, f"{name} is true = the {which} answer is preferred")
    table = {k: v for k in counts if (v := of_word(k, sides)) is not None}
    numerals = [k for k in counts if k not in table and re.fullmatch(r"-?[\d.]+(?:e[-+]?\d+)?", k)]
    if numerals and not _named(numerals, sides):
        raise unclear(name, counts, about)
    table |= {k: FIRST if k == sides[0] else SECOND for k in numerals}
    if {"true", "false"} & set(counts):
        raise unclear(name, counts, about)
    left = Counter({k: n for k, n in counts.items() if k not in table})
    if not table or is_vocabulary(left, counts.total()):
        raise unclear(name, counts, about)
    if not all(v.strength for v in table.values() if v.label is not None) or not _varies(table):
        table = {k: Verdict(v.label) for k, v in table.items()}
    # the words for a value that the first rows lack
    return _with_words(table, sides, f"{name}: {_sentence(table)}")


def _with_words(table: dict[str, Verdict], sides: tuple[str, str], sentence: str) -> Meaning:
    base = by_table(table, sentence)
    graded = bool(base.graded)

    def read(value: Any, name: str) -> Verdict:
        try:
            return base.read(value, name)
        except Unknown:
            word = of_word(key_of(value), sides) if isinstance(value, str) else None
            if word is None:
                raise
            return word if graded else Verdict(word.label)

    return Meaning(base.sentence, read, base.graded)


def _varies(table: Mapping[str, Verdict]) -> bool:
    return len({abs(v.strength or 0) for v in table.values() if v.label is not None}) > 1


def _is_value(value: Any) -> bool:
    return not (
        value is None
        or isinstance(value, (list, Mapping))
        or (isinstance(value, float) and math.isnan(value))
        or (isinstance(value, str) and not value.strip())
    )


def _readable(meaning: Meaning, key: str) -> bool:
    """Whether a meaning covers a value, or the value is a mere typo."""
    try:
        meaning.read(key, "label")
    except Unknown:
        return not re.fullmatch(r"-?[\d.]+", key)
    except Bad:
        return True
    return True


def _named(numerals: list[str], sides: tuple[str, str]) -> bool:
    """Whether numerals are the names of the answers, both of them or the one that is no yes/no."""
    return set(numerals) <= set(sides) and (sides == ("0", "1") or sides[1] in numerals)


def is_vocabulary(unknown: Mapping[str, int], n: int) -> bool:
    """Whether values without a meaning are more than typos: a code, or said again and again."""
    total = sum(unknown.values())
    return any(re.fullmatch(r"-?[\d.]+|true|false", k) for k in unknown) or (
        total >= max(2, 0.05 * n) and (max(unknown.values(), default=0) > 1 or total > 0.2 * n)
    )


def unclear(name: str, counts: Mapping[str, int], about: str = "") -> Unclear:
    """The question to the user."""
    shown = sorted(
        ((printable(k if len(k) <= 40 else k[:37] + "..."), n) for k, n in counts.items()),
        key=lambda item: (-item[1], item[0]),
    )
    has = ", ".join(f"{k} ({n:,})" for k, n in shown[:8]) + (", ..." if len(shown) > 8 else "")
    keys = [k for k, _ in sorted(shown[:3], key=lambda item: item[0])]
    if {k for k, _ in shown} <= {"0", "1", "2"}:
        keys = ["0", "1", "2"]
    told = list(zip(keys, ("first", "second", "tie")))
    if len(shown) > 12 and len(shown) > 0.5 * sum(counts.values()):
        has = f"{len(shown):,} different values ({', '.join(keys)}, ...)"
    option = ",".join(f"{k}={v}" for k, v in told) or "0=first,1=second,2=tie"
    api = ", ".join(f"{k!r}: {v!r}" for k, v in told)
    advice = (
        f"Say which answer each value prefers, for example label_values={{{api}}} or on the "
        f"command line --label-values {option} if that is what they mean"
    )
    if any(re.fullmatch(r"0?\.\d+|\d(\.\d+)?e-\d+", k) and k != "0.5" for k in counts):
        advice = (
            "If they are probabilities that the first answer is preferred, say "
            f"columns={{'probability': {name!r}}} or on the command line --column "
            f"probability={name}"
        )
    return Unclear(
        f"{about + ': ' if about else ''}the columns do not say what the values of {name!r} mean; "
        f"it has {has}. {advice}"
    )


def checked_values(given: Mapping[Any, str] | None) -> dict[Any, str] | None:
    """The option ``label_values``, checked.

    Raises
    ------
    ValueError
        A meaning other than "first", "second" or "tie"; names it.
    """
    if given is None:
        return None
    if not isinstance(given, Mapping):
        raise ValueError(
            f"label_values is {show(given)}, expected a mapping such as {{0: 'first'}}"
        )
    synonyms = {"a": "first", "b": "second", "1st": "first", "2nd": "second"}
    found = {}
    for value, means in given.items():
        said = synonyms.get(str(means).strip().lower(), str(means).strip().lower())
        if said not in _SAID:
            raise ValueError(
                f"label_values says {value!r} means {means!r}, expected 'first', 'second' or 'tie'"
            )
        found[value] = said
    return found


def _sentence(table: Mapping[str, Verdict]) -> str:
    which = {1: "the first answer is preferred", 0: "the second answer is preferred", None: "a tie"}
    parts = []
    for label, what in which.items():
        keys = [
            repr(k) if not re.fullmatch(r"-?[\d.]+", k) else k
            for k, v in table.items()
            if v.label == label
        ]
        if keys:
            parts.append(f"{' or '.join(keys[:4])} = {what}")
    return ", ".join(parts)


# -- numbers -------------------------------------------------------------------------


def signed(low: float, high: float, first_is: int, sentence: str) -> Meaning:
    """A scale around 0: the sign says who is preferred, the size how strongly."""

    def read(value: Any, name: str) -> Verdict:
        number = as_number(value, name)
        if not low <= number <= high:
            raise Bad(f"is {number:g}, expected {low:g} to {high:g}", name)
        strength = number * first_is
        return Verdict(None if strength == 0 else int(strength > 0), strength)

    return Meaning(sentence, read, ("strength",))


def between(first: float, second: float, sentence: str, ties: Iterable[float] = ()) -> Meaning:
    """A scale from one answer to the other: a probability, hard at its ends.

    ``ties`` are values off the scale that mean a tie.
    """

    def read(value: Any, name: str) -> Verdict:
        number = as_number(value, name)
        if number in ties:
            return Verdict(None, None, 0.5)
        p = (number - second) / (first - second)
        if not 0 <= p <= 1:
            raise Bad(
                f"is {number:g}, expected {min(first, second):g} to {max(first, second):g}", name
            )
        return Verdict(None if p == 0.5 else int(p > 0.5), None, p)

    return Meaning(sentence, read, ("probability",))


def by_scores(a: Any, b: Any, names: tuple[str, str], *, low_is_better: bool = False) -> Verdict:
    """The verdict of a score, a rating, a rank or a count of votes on either side."""
    gap = as_number(a, names[0]) - as_number(b, names[1])
    gap = -gap if low_is_better else gap
    return Verdict(None if gap == 0 else int(gap > 0), gap)


def majority(verdicts: Iterable[Verdict]) -> Verdict:
    """What most annotators say, with the share of votes for the first as its probability."""
    labels = [v.label for v in verdicts]
    first, second, ties = labels.count(1), labels.count(0), labels.count(None)
    if first == second or ties > max(first, second):
        return Verdict(None, None, 0.5)
    return Verdict(int(first > second), None, (first + ties / 2) / len(labels))
