"""Layouts of preference data: what one row of each says.

The table of layouts is in :mod:`causalpref.sources.files`, which reads them.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from causalpref.sources.hh_rlhf import OBJECTIVES
from causalpref.sources.ultrafeedback import ASPECTS as _ASPECTS
from causalpref.sources.ultrafeedback import NOT_RATED as _NA
from causalpref.sources.ultrafeedback import parse_completion


class _Bad(Exception):
    """Why a row cannot be used. With a column, the sentence goes on after its name."""

    def __init__(self, reason: str, column: str | None = None):
        super().__init__(reason if column is None else f"{column} {reason}")
        self.reason, self.column = reason, column


class _Where(NamedTuple):
    file: str
    unit: str
    number: int

    def __str__(self) -> str:
        return f"{self.file}, {self.unit} {self.number}"


class _Judged(NamedTuple):
    """One comparison, as a row states it. A label of None is a tie."""

    prompt: str
    first: str
    second: str
    label: int | None
    objective: Any = None
    latents: tuple[Any, Any] | None = None
    annotator: Any = None
    prompt_type: Any = None
    prompt_latents: tuple[float, ...] | None = None
    embeddings: tuple[Any, Any] | None = None


Row = Mapping[str, Any]
Rows = Iterator[tuple[_Where, Row | _Bad]]


def _guarded(read: Callable[[Row], list[_Judged | _Bad]], raw: Row | _Bad) -> list[_Judged | _Bad]:
    """What ``read`` finds in a row; a row that is bad as a whole becomes a list of one."""
    if isinstance(raw, _Bad):
        return [raw]
    try:
        return read(raw)
    except _Bad as bad:
        return [bad]


def _show(value: Any) -> str:
    """A value for a message; containers are only named, however deep they are."""
    for kind, word in ((Mapping, "an object"), ((list, tuple), "a list"), (bytes, "bytes")):
        if isinstance(value, kind):
            return word
    if value is None:
        return "null"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _count(n: int, word: str) -> str:
    return f"{n:,} {word}{'' if n == 1 else 's'}"


def _numbered(n: int) -> list[str]:
    return [f"latent {i}" for i in range(n)]


def _value(row: Row, name: str) -> Any:
    if name not in row:
        raise _Bad("is missing", name)
    return row[name]


_NO_TEXT = re.compile("[\0\ud800-\udfff]")


def _string(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise _Bad(f"is {_show(value)}, expected a string", name)
    if found := _NO_TEXT.search(value) if "\0" in value or not value.isascii() else None:
        what = (
            "NUL" if found[0] == "\0" else "half of a surrogate pair, or bytes that are not UTF-8"
        )
        raise _Bad(f"holds {found[0]!r} at character {found.start() + 1}: {what}", name)
    return value


def _filled(text: str, name: str) -> str:
    if not text or text.isspace():
        raise _Bad("is empty", name)
    return text


def _text(row: Row, name: str) -> str:
    return _filled(_string(_value(row, name), name), name)


def _cell(value: Any) -> Any:
    """The list that a cell of a text file holds as JSON; any other value as it is."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        with contextlib.suppress(ValueError, RecursionError):
            return json.loads(value)
    return value


def _list(value: Any, name: str) -> list[Any]:
    value = _cell(value)
    if not isinstance(value, list):
        raise _Bad(f"is {_show(value)}, expected a list (in a text file: as JSON)", name)
    return value


def _number(value: Any, name: str) -> float:
    try:
        number = math.nan if value is None or isinstance(value, (list, dict)) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise _Bad(f"is {_show(value)}, expected a number", name)
    return number


def _numbers(row: Row, name: str) -> tuple[float, ...]:
    values = _value(row, name)
    if isinstance(values, str) and re.fullmatch(r"\s*\[[^\[\]]*\]\s*", values):
        values = values.strip("[] \t\r\n").replace(",", " ").split()  # with commas or as numpy
    values = _list(values, name)
    return tuple(_number(v, f"{name}[{i}]") for i, v in enumerate(values))


def _choice(row: Row, name: str, meaning: Mapping[str, int | None]) -> int | None:
    """Label that a column's value stands for; numbers and words are compared as text."""
    value = _value(row, name)
    key = str(value).strip().lower() if isinstance(value, (str, bool)) else None
    if key not in meaning and not isinstance(value, bool):
        with contextlib.suppress(_Bad):
            key = f"{_number(value, name):g}"
    if key not in meaning:
        raise _Bad(f"is {_show(value)}, expected one of {', '.join(meaning)}", name)
    return meaning[key]


def _category(row: Row, name: str) -> int | str:
    """A value that names a group: a whole number as it is, anything else as its text."""
    value = _value(row, name)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53:
        return value
    if value is None or isinstance(value, (Mapping, list, bytes)) or value != value:
        raise _Bad(f"is {_show(value)}, expected a word or a whole number", name)
    return _filled(_string(str(value), name), name)


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
_TURN = re.compile(r"(?:\A\s*|\n\n)(Human|Assistant):")


def _messages(row: Row, name: str) -> Turns:
    """Turns of a list of ``{"role", "content"}`` (or ``{"from", "value"}``)."""
    turns = []
    for i, message in enumerate(_list(_value(row, name), name)):
        if not isinstance(message, Mapping):
            raise _Bad(
                f"is {_show(message)}, expected an object with role and content", f"{name}[{i}]"
            )
        keys = (
            ("from", "value")
            if "role" not in message and "from" in message
            else ("role", "content")
        )
        role, words = (_string(message.get(key), f"{name}[{i}].{key}") for key in keys)
        turns.append((_SPEAKER.get(role.lower(), role.capitalize()), words.strip()))
    return turns


def _parsed(row: Row, name: str) -> Turns:
    """Turns of an HH-RLHF transcript, empty ones too; see :func:`.hh_rlhf.turns`."""
    text = _text(row, name)
    marks = list(_TURN.finditer(text))
    if not marks:
        raise _Bad("has no turn that begins with Human: or Assistant:", name)
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
        raise _Bad(
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
    value = _value(row, name)
    return (
        _text(row, name)
        if not isinstance(value, list)
        else _filled(_prompt_of(_messages(row, name)), name)
    )


# -- layouts: one row in, its judgements out ---------------------------------


def _read_pairs(row: Row) -> list[_Judged | _Bad]:
    label = _choice(row, "label", {"1": 1, "0": 0, "true": 1, "false": 0, "0.5": None})
    return [
        _Judged(_prompt(row, "prompt"), _text(row, "response_a"), _text(row, "response_b"), label)
    ]


def _read_chosen_rejected(row: Row) -> list[_Judged | _Bad]:
    return [_Judged(_prompt(row, "prompt"), _text(row, "chosen"), _text(row, "rejected"), 1)]


def _read_messages(row: Row) -> list[_Judged | _Bad]:
    chosen, rejected = _messages(row, "chosen"), _messages(row, "rejected")
    # Conversations that open with a human turn have the prompt in them; a prompt column repeats it.
    if all(turns and turns[0][0] == "Assistant" for turns in (chosen, rejected)):
        prompt = _value(row, "prompt")
        if isinstance(row["chosen"], str):
            prompt = _cell(prompt)
        before = (
            _messages(row, "prompt")
            if isinstance(prompt, list)
            else [("Human", _text(row, "prompt"))]
        )
        chosen, rejected = before + chosen, before + rejected
    turns, first, second = _parted(chosen, rejected, ("chosen", "rejected"))
    return [_Judged(_filled(_prompt_of(turns), "prompt"), first, second, 1)]


def _read_transcripts(row: Row) -> list[_Judged | _Bad]:
    turns, first, second = _parted(
        _parsed(row, "chosen"), _parsed(row, "rejected"), ("chosen", "rejected")
    )
    return [_Judged(_transcript(turns), first, second, 1)]


def _read_hh_rlhf(row: Row) -> list[_Judged | _Bad]:
    responses = _list(_value(row, "responses"), "responses")
    if len(responses) != 2:
        raise _Bad(f"is a list of {len(responses)}, expected two strings", "responses")
    first, second = (_string(r, f"responses[{i}]") for i, r in enumerate(responses))
    for name in ("objective", "prompt_type"):
        if _value(row, name) not in OBJECTIVES:
            raise _Bad(f"is {_show(row[name])}, expected one of {', '.join(OBJECTIVES)}", name)
    return [_Judged(_text(row, "prompt"), first, second, _choice(row, "label", {"0": 1, "1": 0}))]


def _read_safe_rlhf(row: Row) -> list[_Judged | _Bad]:
    prompt = _prompt(row, "prompt")
    texts = _text(row, "response_0"), _text(row, "response_1")
    return [
        _Judged(prompt, *texts, _choice(row, column, {"0": 1, "1": 0}), objective)
        for objective, column in (("helpful", "better_response_id"), ("safe", "safer_response_id"))
    ]


def _read_arena(row: Row) -> list[_Judged | _Bad]:
    label = _choice(
        row,
        "winner",
        {"model_a": 1, "model_b": 0, "tie": None, "tie (bothbad)": None, "both_bad": None},
    )
    names = ("conversation_a", "conversation_b")
    turns, first, second = _parted(_messages(row, names[0]), _messages(row, names[1]), names)
    return [_Judged(_filled(_prompt_of(turns), "the prompt"), first, second, label)]


def _read_alpaca_farm(row: Row) -> list[_Judged | _Bad]:
    prompt = _text(row, "instruction")
    if row.get("input"):
        prompt = f"{prompt}\n\n{_string(row['input'], 'input')}"
    label = _choice(row, "preference", {"1": 1, "2": 0, "0": None, "1.5": None})
    return [_Judged(prompt, _text(row, "output_1"), _text(row, "output_2"), label)]


def _read_helpsteer(row: Row) -> list[_Judged | _Bad]:
    strength = _number(_value(row, "preference_strength"), "preference_strength")
    return [
        _Judged(
            _prompt(row, "prompt"),
            _text(row, "response_1"),
            _text(row, "response_2"),
            None if strength == 0 else int(strength < 0),
        )
    ]


def _read_ultrafeedback(row: Row, needed: tuple[str, ...] = ()) -> list[_Judged | _Bad]:
    prompt = _text(row, "instruction")
    completions = _list(_value(row, "completions"), "completions")
    if len(completions) < 2:
        raise _Bad(f"is a list of {len(completions)}, a pair needs two", "completions")
    found: list[_Judged | _Bad] = []
    rated: list[tuple[str, tuple[float, ...], float]] = []
    seen: dict[str, tuple[int, tuple[float, ...]]] = {}
    for i, completion in enumerate(completions):
        try:
            text, ratings = _completion(completion, f"completions[{i}]", needed)
            k, earlier = seen.setdefault(text, (i, ratings))
            if earlier != ratings:
                raise _Bad(
                    f"has the text of completions[{k}] and other ratings", f"completions[{i}]"
                )
        except _Bad as bad:
            found.append(bad)
            continue
        given = [r for r in ratings if r is not _NA]
        rated.append(
            (
                text,
                tuple(ratings[_ASPECTS.index(a)] for a in needed or _ASPECTS),
                sum(given) / len(given),
            )
        )
    for (a, z_a, mean_a), (b, z_b, mean_b) in itertools.combinations(rated, 2):
        label = None if mean_a == mean_b else int(mean_a > mean_b)
        found.append(_Judged(prompt, a, b, label, latents=(z_a, z_b)))
    return found


def _completion(value: Any, name: str, needed: tuple[str, ...]) -> tuple[str, tuple[float, ...]]:
    """Text of a completion and its rating in each aspect, ``_NA`` where it has none."""
    try:
        text, ratings = parse_completion(value, name)
    except (ValueError, TypeError) as error:
        raise _Bad(str(error)) from None
    text = _filled(_string(text, f"{name}.response"), f"{name}.response")
    for aspect, rating in zip(_ASPECTS, ratings):
        if rating is _NA and aspect in needed:
            raise _Bad(f"has no rating of {aspect}", name)
    if all(r is _NA for r in ratings):
        raise _Bad("has no rating", name)
    return text, tuple(ratings)


@dataclass(frozen=True)
class _Layout:
    """How to read one kind of rows."""

    read: Callable[[Row], list[_Judged | _Bad]]
    needs: tuple[str, ...]
    sides: tuple[str, ...]
    optional: tuple[str, ...] = ()
    aliases: Mapping[str, str] = field(default_factory=dict)
    order_known: bool = True
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    says_objective: bool = False


_AB, _12, _01 = "{}_a {}_b", "{}_1 {}_2", "{}_0 {}_1"
_CHOSEN = ("{}_chosen {}_rejected", "chosen_{} rejected_{}")
_LISTS = ("prompt_latents", "latents_a", "latents_b", "embedding_a", "embedding_b")
_EXTRAS = ("objective", "annotator", "prompt_type")

_LAYOUTS: dict[str, _Layout] = {
    "hh_rlhf": _Layout(
        _read_hh_rlhf,
        ("prompt", "responses", "label", "objective", "prompt_type"),
        (_01, _12, _AB),
        aliases={"prompt_type": "data_subset"},
        names={"objective": OBJECTIVES, "prompt_type": OBJECTIVES},
    ),
    "pairs": _Layout(
        _read_pairs,
        ("prompt", "response_a", "response_b", "label"),
        (_AB, _12, _01),
        optional=_LISTS,
    ),
    "ultrafeedback": _Layout(_read_ultrafeedback, ("instruction", "completions"), ()),
    "safe_rlhf": _Layout(
        _read_safe_rlhf,
        ("prompt", "response_0", "response_1", "better_response_id", "safer_response_id"),
        (_01, _12, _AB),
        names={"objective": ("helpful", "safe")},
        says_objective=True,
    ),
    "arena": _Layout(
        _read_arena,
        ("conversation_a", "conversation_b", "winner"),
        (_AB, _12, _01),
        aliases={"annotator": "judge"},
    ),
    "alpaca_farm": _Layout(
        _read_alpaca_farm,
        ("instruction", "output_1", "output_2", "preference"),
        (_12, _01, _AB),
        optional=("input",),
    ),
    "helpsteer": _Layout(
        _read_helpsteer,
        ("prompt", "response_1", "response_2", "preference_strength"),
        (_12, _01, _AB),
        aliases={"preference_strength": "overall_preference", "prompt": "context"},
    ),
    "messages": _Layout(
        _read_messages, ("chosen", "rejected"), _CHOSEN, optional=("prompt",), order_known=False
    ),
    "chosen_rejected": _Layout(
        _read_chosen_rejected, ("prompt", "chosen", "rejected"), _CHOSEN, order_known=False
    ),
    "transcripts": _Layout(_read_transcripts, ("chosen", "rejected"), _CHOSEN, order_known=False),
}

LAYOUTS: dict[str, tuple[str, ...]] = {
    name: tuple(" or ".join((c, spec.aliases[c])) if c in spec.aliases else c for c in spec.needs)
    for name, spec in _LAYOUTS.items()
}
"""Name of each layout and the columns it needs."""


def _listed(names: Iterable[str], most: int = 40) -> str:
    names = [repr(str(n))[:60] for n in names]
    return ", ".join(names[:most]) + (f", ... ({len(names)} in all)" if len(names) > most else "")
