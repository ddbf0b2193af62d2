"""The one collector: judgements in, row by row; the fields of :class:`PreferenceData` out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from causalpref.data._conversation import Conversation, alike
from causalpref.data._validation import FACTS

_WHOLE = re.compile(r"0|-?[1-9][0-9]{0,14}")


class Collector:
    """Folds judgements into texts stored once and pairs of indices.

    Equal prompts become one prompt, and equal responses to a prompt one response. A plain text
    and a :class:`~causalpref.data.Conversation` that reads the same are one text, the conversation
    is kept; two conversations that read the same and have other messages contradict one another
    (the ids of tool calls do not count: those of the first stay). What the rows
    say of a text (its type, model, latents, embedding) is kept together with the place that said
    it first, and a row that contradicts an earlier one is refused as a whole.

    Parameters
    ----------
    facts : iterable of str
        The optional fields of :class:`PreferenceData` that the rows state.
    """

    def __init__(self, facts: Iterable[str] = ()) -> None:
        self.prompts: dict[str, int] = {}
        self.responses: dict[tuple[int, str], int] = {}
        self._said: dict[Any, tuple[Conversation, Any]] = {}
        self._of_prompt: list[int] = []
        self._pairs: list[tuple[int, int]] = []
        self._label: list[int] = []
        self._facts = tuple(facts)
        self._by_pair: dict[str, list[Any]] = {f: [] for f in self._facts if _per(f) == "pair"}
        self._by_text: dict[str, dict[Any, tuple[Any, Any]]] = {
            f: {} for f in self._facts if _per(f) != "pair"
        }
        self._width: dict[str, tuple[int, Any]] = {}

    def __len__(self) -> int:
        """Number of judgements kept."""
        return len(self._pairs)

    def add(
        self,
        where: Any,
        prompt: str,
        first: str,
        second: str,
        label: int,
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        """Keep one judgement.

        Parameters
        ----------
        where : object
            The place of the row; ``str(where)`` is used in messages.
        prompt, first, second : str
        label : {0, 1}
        facts : mapping
            A value for each of the collector's facts. What describes a response (``model``,
            ``response_latents``, ``embeddings``) comes as two values, one for each response.

        Raises
        ------
        ValueError
            A fact that is missing, or one that contradicts an earlier row, as other messages with
            the same text do. Nothing is kept of the row then.
        """
        facts = facts or {}
        x = self.prompts.get(prompt, len(self.prompts))
        keys = (x, first), (x, second)
        said: list[tuple[str, Any, Any]] = []
        for name in self._facts:
            value: Any = facts.get(name)
            both = _per(name) == "response"
            if value is None or any(_absent(v) for v in (value if both else (value,))):
                raise ValueError(f"{name} is missing, other rows have it")
            if name in self._by_pair:
                continue
            if _per(name) == "prompt":
                said.append((name, x, value))
            else:
                said += [(name, key, v) for key, v in zip(keys, value)]
        for place, (name, key, value) in enumerate(said):
            self._compare(name, key, value, said[:place], where)
        conversations = self._conversations(where, zip((x, *keys), (prompt, first, second)))
        for key, conversation in conversations.items():
            self._said.setdefault(key, conversation)
        for name, key, value in said:
            self._by_text[name].setdefault(key, (value, where))
        self.prompts.setdefault(prompt, x)
        for key in keys:
            if self.responses.setdefault(key, len(self._of_prompt)) == len(self._of_prompt):
                self._of_prompt.append(x)
        self._pairs.append((self.responses[keys[0]], self.responses[keys[1]]))
        self._label.append(label)
        for name, values in self._by_pair.items():
            values.append(facts[name])

    def _conversations(
        self, where: Any, texts: Iterable[tuple[Any, str]]
    ) -> dict[Any, tuple[Conversation, Any]]:
        """The row's conversations by text; ValueError where a text has had other messages."""
        found: dict[Any, tuple[Conversation, Any]] = {}
        for key, text in texts:
            if not isinstance(text, Conversation):
                continue
            earlier, at = self._said.get(key) or found.setdefault(key, (text, where))
            if not alike(earlier, text, ids=False):
                kind = "response" if isinstance(key, tuple) else "prompt"
                raise ValueError(
                    f"the messages of a {kind} contradict {at}, which gives the same text in "
                    "other messages"
                )
        return found

    def _compare(
        self, name: str, key: Any, value: Any, row: list[tuple[str, Any, Any]], where: Any
    ) -> None:
        """Refuse what an earlier row, or the row itself, says otherwise."""
        if FACTS[name].kind == "vector":
            width, at = self._width.setdefault(name, (len(value), where))
            if len(value) != width:
                numbers = f"{len(value):,} number{'s' * (len(value) != 1)}"
                raise ValueError(f"{name}: {numbers}, but {at} has {width}")
        here = next((v for k, other, v in row if (k, other) == (name, key)), None)
        earlier, at = self._by_text[name].get(key, (here, where))
        if earlier is None or earlier is value or np.array_equal(earlier, value):
            return
        text = "prompt" if _per(name) == "prompt" else "response"
        shown = name != "embeddings"
        raise ValueError(
            f"{name}{f' {_brief(value)}' if shown else ''} of a {text} contradicts {at}, which "
            f"gives the same text {_brief(earlier) if shown else 'another one'}"
        )

    def fields(
        self,
        *,
        names: Mapping[str, Sequence[str]] | None = None,
        typed: bool = True,
        renumber: bool = True,
    ) -> dict[str, Any]:
        """The arguments of :class:`PreferenceData`, ``names`` included.

        Parameters
        ----------
        names : mapping, optional
            Names of codes or columns that are known beforehand, by field. Codes without names are
            kept if all of them are whole numbers; words are numbered in sorted order. The number
            1 and the word "1" in one column stay apart.
        typed : bool
            False when all values are strings, as in a CSV file: strings of digits are then
            whole numbers.
        renumber : bool
            Turn objectives without names such as 1 and 2 into the codes 0 and 1 with the names
            "1" and "2", and types of prompts alike, which mean the same numbers. Objectives that
            are 0, 1, ..., k - 1 already, by themselves or with the types, stay as they are.
        """
        known = {k: tuple(v) for k, v in (names or {}).items() if k in self._facts}
        fields: dict[str, Any] = {
            "prompts": [self._said.get(x, (text,))[0] for x, text in enumerate(self.prompts)],
            "responses": [self._said.get(key, key[1:])[0] for key in self.responses],
            "response_prompt": np.array(self._of_prompt, dtype=np.int64),
            "pairs": np.array(self._pairs, dtype=np.int64).reshape(-1, 2),
            "label": np.array(self._label),
        }
        keys: dict[str, Iterable[Any]] = {
            "prompt": range(len(self.prompts)),
            "response": self.responses,
        }
        for name in self._facts:
            fact = FACTS[name]
            if fact.per == "pair":
                values = self._by_pair[name]
            else:
                values = [self._by_text[name][key][0] for key in keys[fact.per]]
            if not values:
                continue
            if fact.kind == "code":
                fields[name], words = _coded(values, known.get(name), typed)
                if words and fact.fallback:  # groups have no names
                    known[name] = words
            else:
                fields[name] = np.array(
                    values, dtype=np.float32 if name == "embeddings" else np.float64
                )
        if renumber:
            _renumber(fields, known)
        return {**fields, "names": known}


def _per(name: str) -> str:
    if name not in FACTS:
        raise ValueError(f"{name!r} is no field of PreferenceData, expected {', '.join(FACTS)}")
    return FACTS[name].per


def _brief(value: Any) -> str:
    if isinstance(value, tuple):
        return f"({', '.join(f'{v:g}' for v in value[:6])}{', ...' * (len(value) > 6)})"
    return repr(value)


def _absent(value: Any) -> bool:
    """Nothing stated: None, or what pandas puts where a cell is empty."""
    return (
        value is None
        or value is pd.NA
        or (isinstance(value, (float, np.floating)) and bool(np.isnan(value)))
    )


def _renumber(fields: dict[str, Any], known: dict[str, tuple[str, ...]]) -> None:
    """Objectives that are numbers as 0, ..., k - 1, and the types of prompts with them."""
    if "objective" not in fields or "objective" in known:
        return
    numbers = [n for n in ("objective", "prompt_type") if n in fields and n not in known]
    found = np.unique(fields["objective"]).tolist()
    both = np.unique(np.concatenate([fields[n] for n in numbers])).tolist()
    if list(range(len(found))) == found or list(range(len(both))) == both:
        return
    for name in numbers:
        found += sorted(set(fields[name].tolist()) - set(found))
        code = {number: i for i, number in enumerate(found)}
        known[name] = tuple(map(str, found))
        fields[name] = np.array([code[number] for number in fields[name].tolist()])


def _coded(
    values: list[Any], fixed: Sequence[str] | None, typed: bool
) -> tuple[np.ndarray, tuple[str, ...] | None]:
    """Codes and their names: whole numbers stay, words are numbered in sorted order."""
    if not typed:  # the cells of a text file are all strings
        values = [int(v) if isinstance(v, str) and _WHOLE.fullmatch(v) else v for v in values]
    # pandas turns whole numbers into floats where a column once had an empty cell
    values = [int(v) if isinstance(v, float) and v.is_integer() else v for v in values]
    bools = sum(isinstance(v, bool) for v in values)
    if all(isinstance(v, (int, np.integer)) for v in values) and bools in (0, len(values)):
        return np.array(values, dtype=np.int64), None if fixed is None else tuple(fixed)
    words = [str(v) for v in values]
    others = {word for word, v in zip(words, values) if not isinstance(v, str)}
    words = [repr(v) if isinstance(v, str) and v in others else w for w, v in zip(words, values)]
    named = tuple(fixed or sorted(set(words)))
    code = {word: i for i, word in enumerate(named)}
    for word in words:
        if word not in code:
            raise ValueError(f"{word!r} is none of the names {', '.join(named)}")
    return np.array([code[word] for word in words], dtype=np.int64), named
