"""Layouts of preference data: what one row of each says.

The table of layouts is in :mod:`causalpref.sources.files`, which reads them.
"""

from __future__ import annotations

import contextlib
import datetime
import itertools
import json
import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from causalpref.sources._rows import Bad, Row, show
from causalpref.text.conversations import first_turn

OBJECTIVES = ("helpful", "harmless")
"""Code of C and of type(X) in HH-RLHF: 0 is helpful, 1 is harmless (appendix E.1)."""

ASPECTS = ("helpfulness", "honesty", "instruction_following", "truthfulness")
"""The four rated aspects of UltraFeedback, in the order of the ratings of a completion."""


class Judged(NamedTuple):
    """One comparison, as a row states it. A label of None is a tie."""

    prompt: str
    first: str
    second: str
    label: int | None
    facts: Mapping[str, Any] = MappingProxyType({})


# -- values of a row ---------------------------------------------------------


def stated(row: Row, name: str) -> Any:
    if name not in row:
        raise Bad("is missing", name)
    return row[name]


_NO_TEXT = re.compile("[\0\ud800-\udfff]")


def string(value: Any, name: str, *, nul: bool = False) -> str:
    if not isinstance(value, str):
        raise Bad(f"is {show(value)}, expected a string", name)
    found = _NO_TEXT.search(value) if "\0" in value or not value.isascii() else None
    if found and not (nul and found[0] == "\0"):
        what = (
            "NUL" if found[0] == "\0" else "half of a surrogate pair, or bytes that are not UTF-8"
        )
        raise Bad(f"holds {found[0]!r} at character {found.start() + 1}: {what}", name)
    return value


def _filled(text: str, name: str) -> str:
    if not text or text.isspace():
        raise Bad("is empty", name)
    return text


def _text(row: Row, name: str) -> str:
    return _filled(string(stated(row, name), name), name)


def _cell(value: Any) -> Any:
    """The list that a cell of a text file holds as JSON; any other value as it is."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        with contextlib.suppress(ValueError, RecursionError):
            return json.loads(value)
    return value


def _list(value: Any, name: str) -> list[Any]:
    value = _cell(value)
    if not isinstance(value, list):
        raise Bad(f"is {show(value)}, expected a list (in a text file: as JSON)", name)
    return value


def as_number(value: Any, name: str) -> float:
    try:
        number = math.nan if value is None or isinstance(value, (list, dict)) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise Bad(f"is {show(value)}, expected a number", name)
    return number


def as_numbers(row: Row, name: str) -> tuple[float, ...]:
    values = stated(row, name)
    if isinstance(values, str) and re.fullmatch(r"\s*\[[^\[\]]*\]\s*", values):
        values = values.strip("[] \t\r\n").replace(",", " ").split()  # with commas or as numpy
    values = _list(values, name)
    return tuple(as_number(v, f"{name}[{i}]") for i, v in enumerate(values))


def _choice(row: Row, name: str, meaning: Mapping[str, int | None]) -> int | None:
    """Label that a column's value stands for; numbers and words are compared as text."""
    value = stated(row, name)
    key = str(value).strip().lower() if isinstance(value, (str, bool)) else None
    if key not in meaning and not isinstance(value, bool):
        with contextlib.suppress(Bad):
            key = f"{as_number(value, name):g}"
    if key is None or key not in meaning:
        raise Bad(f"is {show(value)}, expected one of {', '.join(meaning)}", name)
    return meaning[key]


def as_category(row: Row, name: str) -> int | str:
    """A value that names a group: a whole number as it is, anything else as its text."""
    value = stated(row, name)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53:
        return value
    if value is None or isinstance(value, (Mapping, list, bytes)) or value != value:
        raise Bad(f"is {show(value)}, expected a word or a whole number", name)
    return _filled(string(str(value), name), name)


def as_time(row: Row, name: str) -> float:
    """Seconds since the epoch: a number, a date of Python's, or one written as ISO 8601."""
    value = stated(row, name)
    with contextlib.suppress(Bad):
        return as_number(value, name)
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            value = datetime.datetime.fromisoformat(value.strip())
    if not isinstance(value, datetime.datetime):
        raise Bad(f"is {show(value)}, expected seconds since the epoch or a date", name)
    return value.replace(tzinfo=value.tzinfo or datetime.UTC).timestamp()


# -- conversations -----------------------------------------------------------

Turns = list[tuple[str, str]]
"""Speaker and words. The speaker of a system message is ``""``."""

_SPEAKER = {
    "user": "Human",
    "human": "Human",
    "assistant": "Assistant",
    "gpt": "Assistant",
    "system": "",
}
TURN = re.compile(r"(?:\A\s*|\n\n)(Human|Assistant):")


def _messages(row: Row, name: str) -> Turns:
    """Turns of a list of ``{"role", "content"}`` (or ``{"from", "value"}``)."""
    turns = []
    for i, message in enumerate(_list(stated(row, name), name)):
        if not isinstance(message, Mapping):
            raise Bad(
                f"is {show(message)}, expected an object with role and content", f"{name}[{i}]"
            )
        keys = (
            ("from", "value")
            if "role" not in message and "from" in message
            else ("role", "content")
        )
        role, words = (string(message.get(key), f"{name}[{i}].{key}") for key in keys)
        turns.append((_SPEAKER.get(role.lower(), role.capitalize()), words.strip()))
    return turns


def _parsed(row: Row, name: str) -> Turns:
    """Turns of an HH-RLHF transcript, empty ones too; see :func:`.hh_rlhf.turns`."""
    text = _text(row, name)
    marks = list(TURN.finditer(text))
    if not marks:
        raise Bad("has no turn that begins with Human: or Assistant:", name)
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    before = text[: marks[0].start()].strip()
    return [("", before)] * bool(before) + [
        (mark[1], text[mark.end() : end].strip()) for mark, end in zip(marks, ends)
    ]


def _transcript(turns: Turns) -> str:
    return "\n\n".join(
        f"{speaker}: {words}" if speaker else words for speaker, words in turns if speaker or words
    )


def _prompt_of(turns: Turns) -> str:
    return turns[0][1] if len(turns) == 1 else _transcript(turns)


def _parted(first: Turns, second: Turns, names: tuple[str, str]) -> tuple[Turns, str, str]:
    """The shared turns up to the last human one, and what follows on either side."""
    k, most = 0, min(len(first), len(second)) - 1
    while k < most and first[k] == second[k]:
        k += 1
    while k > 0 and not (first[k - 1][0] == "Human" and first[k][0] == second[k][0] == "Assistant"):
        k -= 1
    if k <= 0:
        raise Bad(
            f"{names[0]} and {names[1]} share no prompt: no human turn that both begin "
            "with and the assistant answers"
        )
    a, b = (
        _filled(_transcript([("", turns[k][1]), *turns[k + 1 :]]), name)
        for turns, name in zip((first, second), names)
    )
    return first[:k], a, b


def _prompt(row: Row, name: str) -> str:
    """A prompt: a string or a list of messages."""
    value = stated(row, name)
    return (
        _text(row, name)
        if not isinstance(value, list)
        else _filled(_prompt_of(_messages(row, name)), name)
    )


# -- layouts: one row in, its judgements out ---------------------------------


Said = list[Judged | Bad]


def _read_pairs(row: Row) -> Said:
    label = _choice(row, "label", {"1": 1, "0": 0, "true": 1, "false": 0, "0.5": None})
    return [
        Judged(_prompt(row, "prompt"), _text(row, "response_a"), _text(row, "response_b"), label)
    ]


def _read_chosen_rejected(row: Row) -> Said:
    return [Judged(_prompt(row, "prompt"), _text(row, "chosen"), _text(row, "rejected"), 1)]


def _read_messages(row: Row) -> Said:
    chosen, rejected = _messages(row, "chosen"), _messages(row, "rejected")
    # Conversations that open with a human turn have the prompt in them; a prompt column repeats it.
    if all(turns and turns[0][0] == "Assistant" for turns in (chosen, rejected)):
        prompt = stated(row, "prompt")
        if isinstance(row["chosen"], str):
            prompt = _cell(prompt)
        before = (
            _messages(row, "prompt")
            if isinstance(prompt, list)
            else [("Human", _text(row, "prompt"))]
        )
        chosen, rejected = before + chosen, before + rejected
    turns, first, second = _parted(chosen, rejected, ("chosen", "rejected"))
    return [Judged(_filled(_prompt_of(turns), "prompt"), first, second, 1)]


def _read_transcripts(row: Row) -> Said:
    turns, first, second = _parted(
        _parsed(row, "chosen"), _parsed(row, "rejected"), ("chosen", "rejected")
    )
    return [Judged(_transcript(turns), first, second, 1)]


def _read_hh_rlhf(row: Row) -> Said:
    responses = _list(stated(row, "responses"), "responses")
    if len(responses) != 2:
        raise Bad(f"is a list of {len(responses)}, expected two strings", "responses")
    first, second = (string(r, f"responses[{i}]", nul=True) for i, r in enumerate(responses))
    for name in ("objective", "prompt_type"):
        if stated(row, name) not in OBJECTIVES:
            raise Bad(f"is {show(row[name])}, expected one of {', '.join(OBJECTIVES)}", name)
    prompt = _filled(string(stated(row, "prompt"), "prompt", nul=True), "prompt")
    return [Judged(prompt, first, second, _choice(row, "label", {"0": 1, "1": 0}))]


def _read_safe_rlhf(row: Row) -> Said:
    prompt = _prompt(row, "prompt")
    texts = _text(row, "response_0"), _text(row, "response_1")
    return [
        Judged(prompt, *texts, _choice(row, column, {"0": 1, "1": 0}), {"objective": objective})
        for objective, column in (("helpful", "better_response_id"), ("safe", "safer_response_id"))
    ]


def _read_arena(row: Row) -> Said:
    label = _choice(
        row,
        "winner",
        {"model_a": 1, "model_b": 0, "tie": None, "tie (bothbad)": None, "both_bad": None},
    )
    names = ("conversation_a", "conversation_b")
    turns, first, second = _parted(_messages(row, names[0]), _messages(row, names[1]), names)
    return [Judged(_filled(_prompt_of(turns), "the prompt"), first, second, label)]


def _read_alpaca_farm(row: Row) -> Said:
    prompt = _text(row, "instruction")
    if row.get("input"):
        prompt = f"{prompt}\n\n{string(row['input'], 'input')}"
    label = _choice(row, "preference", {"1": 1, "2": 0, "0": None, "1.5": None})
    return [Judged(prompt, _text(row, "output_1"), _text(row, "output_2"), label)]


def _read_helpsteer(row: Row) -> Said:
    strength = as_number(stated(row, "preference_strength"), "preference_strength")
    return [
        Judged(
            _prompt(row, "prompt"),
            _text(row, "response_1"),
            _text(row, "response_2"),
            None if strength == 0 else int(strength < 0),
        )
    ]


def _read_ultrafeedback(row: Row, needed: tuple[str, ...] = ()) -> Said:
    prompt = _text(row, "instruction")
    completions = _list(stated(row, "completions"), "completions")
    if len(completions) < 2:
        raise Bad(f"is a list of {len(completions)}, a pair needs two", "completions")
    found: Said = []
    rated: list[tuple[str, tuple[float, ...], float]] = []
    seen: dict[str, tuple[int, tuple[float, ...]]] = {}
    for i, given in enumerate(completions):
        name = f"completions[{i}]"
        try:
            text, ratings = completion(given, name)
            _filled(string(text, f"{name}.response"), f"{name}.response")
            by_aspect: dict[str, float] = dict(zip(ASPECTS, ratings))
            for aspect in needed:
                if math.isnan(by_aspect[aspect]):
                    raise Bad(f"has no rating of {aspect}", name)
            values = [r for r in ratings if not math.isnan(r)]
            if not values:
                raise Bad("has no rating", name)
            k, earlier = seen.setdefault(text, (i, ratings))
            if not np.array_equal(earlier, ratings, equal_nan=True):
                raise Bad(f"has the text of completions[{k}] and other ratings", name)
        except Bad as bad:
            found.append(bad)
            continue
        latents = tuple(by_aspect[a] for a in needed or ASPECTS)
        rated.append((text, latents, sum(values) / len(values)))
    for (a, z_a, mean_a), (b, z_b, mean_b) in itertools.combinations(rated, 2):
        label = None if mean_a == mean_b else int(mean_a > mean_b)
        found.append(Judged(prompt, a, b, label, {"response_latents": (z_a, z_b)}))
    return found


class BadRating(Bad):
    """A rating that is neither a number from 1 to 5 nor "N/A"."""


_RATINGS = {
    **{str(k): float(k) for k in range(1, 6)},
    **dict.fromkeys(("N/A", "NA", "NAN", "NONE", "NULL", ""), math.nan),
}


def completion(
    value: Any, name: str, aspects: Sequence[str] = ASPECTS
) -> tuple[str, tuple[float, ...]]:
    """Text and ratings of an entry of ``completions``.

    The text is "" where there is none, and a rating is nan where it is "N/A" or missing.
    """
    if not isinstance(value, Mapping):
        raise Bad(f"is {show(value)}, expected an object", name)
    text = value.get("response")
    text = "" if text is None else string(text, f"{name}.response", nul=True)
    annotations = value.get("annotations")
    ratings = []
    for aspect in aspects:
        entry = annotations.get(aspect) if isinstance(annotations, Mapping) else None
        rating = entry.get("Rating") if isinstance(entry, Mapping) else None
        ratings.append(_rating(rating, name, aspect))
    return text, tuple(ratings)


def _rating(value: Any, name: str, aspect: str) -> float:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return math.nan
    if isinstance(value, str) and (word := value.strip().upper()) in _RATINGS:
        return _RATINGS[word]
    with contextlib.suppress(Bad):
        if not isinstance(value, bool) and 1 <= (rating := as_number(value, name)) <= 5:
            return rating
    raise BadRating(
        f"{name}: the rating of {aspect} is {show(value)}, expected '1' to '5' or 'N/A'"
    )


@dataclass(frozen=True)
class Layout:
    """How to read one kind of rows."""

    read: Callable[..., Said]
    needs: tuple[str, ...]
    sides: tuple[str, ...]
    optional: tuple[str, ...] = ()
    aliases: Mapping[str, str] = field(default_factory=dict)
    order_known: bool = True
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    says_objective: bool = False
    groups: Callable[[Sequence[str]], np.ndarray] | None = None

    def places(self, name: str) -> list[tuple[str, str]]:
        """The columns in which a fact of the two responses may be."""
        sides = (pattern.split() for pattern in self.sides)
        return [(first.format(name), second.format(name)) for first, second in sides]

    def at(self, name: str, found: Collection[str]) -> str | None:
        """The column of a file that plays a part, None if there is none."""
        if name in MODELS:
            pairs = [p for p in self.places("model") if set(p) <= set(found)]
            return pairs[0][MODELS.index(name)] if pairs else None
        return next((c for c in (name, self.aliases.get(name)) if c in found), None)


_AB, _12, _01 = "{}_a {}_b", "{}_1 {}_2", "{}_0 {}_1"
_CHOSEN = ("{}_chosen {}_rejected", "chosen_{} rejected_{}")
_OWN = (
    "prompt_latents",
    "latents_a",
    "latents_b",
    "embedding_a",
    "embedding_b",
    "strength",
    "probability",
)
MODELS = ("model_a", "model_b")
EXTRAS = ("objective", "annotator", "prompt_type", "prompt_group", "session", "time", *MODELS)


def _opening_groups(prompts: Sequence[str]) -> np.ndarray:
    """Numbers of the opening human turns: prompts cut from one conversation stay together."""
    return pd.factorize(first_turn(prompts))[0]


SPECS: dict[str, Layout] = {
    "hh_rlhf": Layout(
        _read_hh_rlhf,
        ("prompt", "responses", "label", "objective", "prompt_type"),
        (_01, _12, _AB),
        aliases={"prompt_type": "data_subset"},
        names={"objective": OBJECTIVES, "prompt_type": OBJECTIVES},
        groups=_opening_groups,
    ),
    "pairs": Layout(
        _read_pairs, ("prompt", "response_a", "response_b", "label"), (_AB, _12, _01), optional=_OWN
    ),
    "ultrafeedback": Layout(_read_ultrafeedback, ("instruction", "completions"), ()),
    "safe_rlhf": Layout(
        _read_safe_rlhf,
        ("prompt", "response_0", "response_1", "better_response_id", "safer_response_id"),
        (_01, _12, _AB),
        names={"objective": ("helpful", "safe")},
        says_objective=True,
    ),
    "arena": Layout(
        _read_arena,
        ("conversation_a", "conversation_b", "winner"),
        (_AB, _12, _01),
        aliases={"annotator": "judge"},
    ),
    "alpaca_farm": Layout(
        _read_alpaca_farm,
        ("instruction", "output_1", "output_2", "preference"),
        (_12, _01, _AB),
        optional=("input",),
    ),
    "helpsteer": Layout(
        _read_helpsteer,
        ("prompt", "response_1", "response_2", "preference_strength"),
        (_12, _01, _AB),
        aliases={"preference_strength": "overall_preference", "prompt": "context"},
    ),
    "messages": Layout(
        _read_messages, ("chosen", "rejected"), _CHOSEN, optional=("prompt",), order_known=False
    ),
    "chosen_rejected": Layout(
        _read_chosen_rejected, ("prompt", "chosen", "rejected"), _CHOSEN, order_known=False
    ),
    "transcripts": Layout(_read_transcripts, ("chosen", "rejected"), _CHOSEN, order_known=False),
}

LAYOUTS: dict[str, tuple[str, ...]] = {
    name: tuple(" or ".join((c, spec.aliases[c])) if c in spec.aliases else c for c in spec.needs)
    for name, spec in SPECS.items()
}
"""Name of each layout and the columns it needs."""
