"""What all shapes of rows share: columns that come in pairs, models, graded preferences."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from causalpref.sources._labels import Verdict
from causalpref.sources._layouts import GOOD_BAD, MODELS, RANKS, SCORES, SIDES, TEXTS, Said
from causalpref.sources._rows import Row
from causalpref.sources._values import Answer, words  # fmt: skip
from causalpref.sources._view import View

# -- shapes: where the answers are and which is preferred ------------------------------


@dataclass(frozen=True)
class Shape:
    """How the rows of a file are read."""

    name: str
    read: Callable[[Row], Said]
    used: frozenset[str]
    meaning: str
    order_known: bool = True
    facts: frozenset[str] = frozenset()
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    says_objective: bool = False
    sides: tuple[str, str] | None = None
    notes: tuple[str, ...] = ()
    groups: Callable[[Sequence[str]], np.ndarray] | None = None
    grouped: bool = False
    ratings: tuple[str, str] | None = None


Stems = dict[tuple[str, ...], tuple[str, str, tuple[str, str]]]


def side_pairs(view: View) -> Stems:
    """Columns that differ in one word only, and that word names a side.

    The key is the words of either with None for the side.
    """
    tokens = {name: words(name) for name in view.names}
    found: Stems = {}
    for name, said in tokens.items():
        for i, word in enumerate(said):
            for first, second in SIDES:
                if word != first:
                    continue
                stem: Any = (*said[:i], None, *said[i + 1 :])
                other = next(
                    (n for n, t in tokens.items() if t == (*said[:i], second, *said[i + 1 :])), None
                )
                if other is None or stem in found:
                    continue
                found[stem] = name, other, (first, second)
    many = numbered_columns(tokens)
    return {s: v for s, v in found.items() if s not in many}


def numbered_columns(tokens: Mapping[str, tuple[str, ...]]) -> dict[tuple[Any, ...], list[str]]:
    """Columns of three and more that differ in a running number, in order."""
    stems: dict[tuple[Any, ...], dict[int, str]] = {}
    for name, said in tokens.items():
        for i, word in enumerate(said):
            number = int(word) if word.isdigit() and len(word) < 3 else None
            if number is None and len(word) == 1 and "a" <= word <= "h" and word.isascii():
                number = ord(word) - ord("a") + 100
            if number is not None:
                stems.setdefault((*said[:i], None, *said[i + 1 :]), {})[number] = name
    return {
        stem: [by[n] for n in sorted(by)]
        for stem, by in stems.items()
        if len(by) > 2 and max(by) - min(by) == len(by) - 1
    }


def last_word(stem: Iterable[str | None]) -> str:
    kept = [w for w in stem if w]
    return kept[-1] if kept else ""


NO_TEXTS = {
    *SCORES, *RANKS, *MODELS, "id", "ids", "name", "tokens", "length", "len", "winner", "safe",
    "type", "category", "correct", "label", "elo", "quotes", "acceptable", "date", "time", "url",
    "letter", "n", "logprob", "logps", "annotator", "rater", "judge", "worker", "vote", "critique",
    "feedback", "reason", "reasoning", "rationale", "explanation", "verdict", "latents",
    "embedding", "count", "avg", "mean", "std", "author", "user", "source", "language", "safety",
    "severity", "sha256", "hash",
}  # fmt: skip


def answer_columns(
    view: View, pairs: Mapping[Any, tuple[str, str, Any]]
) -> tuple[str, str, Any] | None:
    """Of pairs of columns, the one that holds the answers."""
    ranked = []
    for stem, (first, second, sides) in pairs.items():
        last = last_word(stem)
        named = last in TEXTS or (not last and sides in GOOD_BAD)
        if last in NO_TEXTS and last not in TEXTS:
            continue
        if not all(view.texty(n, digits=named) for n in (first, second)):
            continue
        given = any(n in view.given for n in (first, second))
        place = TEXTS.index(last) if last in TEXTS else len(TEXTS) + (last != "")
        long = sum(len(str(v)) for v in view.values(first)[:50])
        inside = view.names[first] not in view.found
        ranked.append((not given, inside, place, -long, first, second, sides))
    return min(ranked)[4:] if ranked else None


def model_columns(view: View, sides: tuple[str, str]) -> tuple[str, str] | None:
    """The columns that say which model wrote which answer."""
    tokens = {name: words(name) for name in view.names}
    for first, said in tokens.items():
        stem = [w for w in said if w != sides[0]]
        if sides[0] not in said or "winner" in said or not set(stem) & set(MODELS):
            continue
        if stem[-1] in MODELS or stem[-1] == "name":
            other = tuple(sides[1] if w == sides[0] else w for w in said)
            second = next((n for n, t in tokens.items() if t == other), None)
            if second is not None:
                return first, second
    return None


MODEL_KEYS = ("model", "llm_name", "policy", "generator", "llm", "model_name")


def model_of(facts: Mapping[str, Any]) -> str | None:
    """The model that an object says wrote its answer."""
    if not facts:
        return None
    return next(
        (str(facts[k]) for k in MODEL_KEYS if isinstance(facts.get(k), str) and facts[k]), None
    )


def facts_of(a: Answer, b: Answer) -> Mapping[str, Any]:
    by = model_of(a.facts), model_of(b.facts)
    return {"model": by} if None not in by else {}


def name_models(sample: Sequence[tuple[Any, Any]]) -> bool:
    objects = [v for pair in sample for v in pair if isinstance(v, Mapping)]
    return bool(objects) and len(objects) == 2 * len(sample) and all(model_of(v) for v in objects)


class Lacks(Exception):
    """A near miss: the layout that nearly fits, what it lacks, and columns that may be it."""

    def __init__(self, layout: str, lack: str, has: str, maybe: Sequence[str] = ()):
        self.layout, self.lack, self.has, self.maybe = layout, lack, has, maybe


def graded(verdict: Verdict) -> dict[str, Any]:
    return {k: v for k in ("strength", "probability") if (v := getattr(verdict, k)) is not None}
