"""Preference data as rows, one a pair: pandas, ``datasets``, TRL."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from causalpref._extras import models_extra
from causalpref.data._collector import Collector
from causalpref.data._conversation import Conversation, as_messages, cells, tools_of
from causalpref.data._validation import FACTS, short

TEXTS = ("prompt", "response_a", "response_b", "label")
TRL = ("prompt", "chosen", "rejected")

_ABOUT = "causalpref"  # under this name a data frame or a Dataset says what the data are
_SAID = ("order_known", "source", "simulated")
_STEMS = {"response_latents": "latents", "embeddings": "embedding"}
COLUMNS: dict[str, tuple[str, ...]] = {
    name: tuple(f"{_STEMS.get(name, name)}_{side}" for side in "ab")
    if fact.per == "response"
    else (name,)
    for name, fact in FACTS.items()
}
"""Column, or columns of the two responses, that a field has in rows."""


def texts(data: Any) -> dict[str, Any]:
    """Prompt, responses and label of each pair, and the messages of conversations as JSON."""
    stored = {"prompt": data.prompts, "response": data.responses}
    words = {kind: _objects(map(str, held)) for kind, held in stored.items()}
    messages = {kind: cells(held) for kind, held in stored.items()}
    at = list(zip(TEXTS, ("prompt", "response", "response"), (data.pair_prompt, *data.pairs.T)))
    columns = {column: words[kind][rows] for column, kind, rows in at} | {"label": data.label}
    return columns | {
        f"{column}_messages": _objects(messages[kind])[rows]
        for column, kind, rows in at
        if messages[kind] is not None
    }


def trl(data: Any) -> dict[str, Any]:
    """Prompt, chosen and rejected of each pair: strings, or messages where any has messages."""
    row = np.arange(len(data))
    at = (data.pair_prompt, data.pairs[row, 1 - data.label], data.pairs[row, data.label])
    rows = data.prompts[at[0]], data.responses[at[1]], data.responses[at[2]]
    if not any(isinstance(text, Conversation) for column in rows for text in column):
        return dict(zip(TRL, rows))
    roles = "user", "assistant", "assistant"
    chats = [[as_messages(text, role) for text in column] for column, role in zip(rows, roles)]
    plain = iter(_uniform([chat for column in chats for chat in column]))
    columns = {name: _objects(next(plain) for _ in row) for name in TRL}
    tools = [tools_of(*found) for found in zip(*rows)]
    if any(tools):
        columns["tools"] = _objects(t and json.dumps(t) for t in tools)
    return columns


def _objects(values: Any) -> np.ndarray:
    values = list(values)
    array = np.empty(len(values), dtype=object)
    for i, value in enumerate(values):  # at once, lists would become a second dimension
        array[i] = value
    return array


def _uniform(values: list[Any], key: str = "") -> list[Any]:
    """The values in one type throughout, as a column of Arrow has it.

    Objects get the keys of all of them, None where one lacks it. What has several types becomes
    JSON, and so do the arguments of a tool call, which are other ones for every tool.
    """
    there = [v for v in values if v is not None]
    if key != "arguments" and there:
        if all(isinstance(v, Mapping) and v for v in there):
            keys = dict.fromkeys(k for v in there for k in v)
            columns = [_uniform([v.get(k) for v in there], k) for k in keys]
            packed = (dict(zip(keys, row)) for row in zip(*columns))
            return [None if v is None else next(packed) for v in values]
        if all(isinstance(v, (list, tuple)) for v in there):
            flat = iter(_uniform([item for v in there for item in v], key))
            return [None if v is None else [next(flat) for _ in v] for v in values]
        if len({type(v) for v in there}) == 1 and isinstance(there[0], (bool, int, float)):
            return values
    as_json = lambda v: json.dumps(v, ensure_ascii=False, sort_keys=True, default=str)
    return [v if v is None or isinstance(v, str) else as_json(v) for v in values]


def about(data: Any) -> dict[str, Any]:
    """What the data say of themselves and rows have no column for."""
    latents = {k: list(v) for k, v in data.names.items() if FACTS[k].kind == "vector"}
    return {name: getattr(data, name) for name in _SAID} | {"names": latents}


def stated(rows: Any) -> dict[str, Any]:
    """What :func:`about` wrote beside a DataFrame or a Dataset; empty where nothing did."""
    said = getattr(rows, "attrs", None)
    if said is None:
        try:
            said = json.loads(rows.info.description)
        except (AttributeError, TypeError, ValueError):
            said = None
    said = said.get(_ABOUT) if isinstance(said, dict) else None
    return said if isinstance(said, dict) else {}


def facts(data: Any) -> dict[str, Any]:
    """The optional fields of the data as columns, one row a pair."""
    rows = {"pair": (slice(None),), "prompt": (data.pair_prompt,), "response": data.pairs.T}
    return {
        column: getattr(data, name)[at]
        for name, fact in FACTS.items()
        if getattr(data, name) is not None
        for column, at in zip(COLUMNS[name], rows[fact.per])
    }


def with_names(data: Any, columns: dict[str, Any]) -> dict[str, Any]:
    """The columns, with codes that have names turned into pandas categoricals."""
    for name, words in data.names.items():
        if FACTS[name].kind == "code":
            for column in COLUMNS[name]:
                if column in columns:
                    columns[column] = pd.Categorical.from_codes(columns[column], pd.Index(words))
    return columns


def to_frame(columns: dict[str, Any], said: dict[str, Any]) -> pd.DataFrame:
    """A data frame of the columns; what the data say of themselves is in ``attrs``."""
    frame = pd.DataFrame(
        {k: list(v) if getattr(v, "ndim", 1) > 1 else v for k, v in columns.items()}
    )
    frame.attrs[_ABOUT] = said
    return frame


def to_dataset(columns: dict[str, Any], said: dict[str, Any]) -> Any:
    """A ``datasets.Dataset`` of the columns; categoricals become ``ClassLabel``.

    What the data say of themselves is JSON in ``info.description``.
    """
    with models_extra():
        import datasets

    plain, labels = {}, {}
    for name, values in columns.items():
        if isinstance(values, pd.Categorical):
            labels[name] = datasets.ClassLabel(names=list(values.categories))
            values = np.asarray(values.codes, dtype=np.int64)
        plain[name] = list(values) if values.dtype.kind == "O" else values
    made = datasets.Dataset.from_dict(plain)
    for name, feature in labels.items():
        made = made.cast_column(name, feature)
    made.info.description = json.dumps({_ABOUT: said})
    return made


def read(rows: Any, required: tuple[str, ...]) -> dict[str, Any]:
    """Fields of :class:`PreferenceData` from a Dataset, a DataFrame or mappings, one row a pair.

    Raises
    ------
    ValueError
        A missing column, a column that only some rows fill, or rows that contradict one another.
    TypeError
        A text that is not a string. Both name the row.
    """
    names: dict[str, list[str]] = {}
    own_words = stated(rows)
    columns = getattr(rows, "column_names", None)
    if columns is not None:
        for field, own in COLUMNS.items():
            if (words := getattr(rows.features.get(own[0]), "names", None)) is not None:
                names[field] = words
    elif isinstance(rows, pd.DataFrame):
        columns = list(rows.columns)
        for field, own in COLUMNS.items():
            words = [
                word
                for c in own
                if c in columns and isinstance(rows[c].dtype, pd.CategoricalDtype)
                for word in rows[c].cat.categories
            ]
            if words and all(isinstance(word, str) for word in words):
                names[field] = list(dict.fromkeys(words))
        rows = rows.to_dict("records")
    else:
        rows = list(rows)
        columns = list(dict.fromkeys(k for r in rows for k in r)) or list(required)
    missing = [c for c in required if c not in columns]
    if missing:
        raise ValueError(
            f"the rows have no column {missing[0]!r}; they have {sorted(columns)}. "
            "causalpref.load_preferences reads rows with other columns"
        )
    filled = {field: own for field, own in COLUMNS.items() if own[0] in columns}
    for own in filled.values():
        if own[-1] not in columns:
            raise ValueError(f"the rows have a column {own[0]!r} and no {own[-1]!r}")
    collector = Collector(filled)
    for number, row in enumerate(rows):
        for name in required:
            if name not in row:
                raise ValueError(f"row {number} has no {name!r}")
        try:
            tools = _decoded(row.get("tools")) if required == TRL else None
            prompt = _text(row, "prompt", tools)
            first, second = _text(row, required[1]), _text(row, required[2])
        except (TypeError, ValueError) as error:
            raise type(error)(f"row {number}: {error}") from None
        values: dict[str, Any] = {}
        for field, own in filled.items():
            said = [row.get(column) for column in own]
            if any(value is None for value in said):
                continue
            if FACTS[field].kind == "vector":
                said = [tuple(value) for value in said]
            values[field] = said if len(own) == 2 else said[0]
        label = row["label"] if "label" in required else 1
        try:
            collector.add(f"row {number}", prompt, first, second, label, values)
        except ValueError as error:
            raise ValueError(f"row {number}: {error}") from None
    fields = collector.fields(names=names, renumber=not own_words)
    if not own_words:
        return fields
    for name, words in own_words.get("names", {}).items():
        if name in fields and fields[name].shape[1] == len(words):
            fields["names"][name] = tuple(words)
    return fields | {k: own_words[k] for k in _SAID if k in own_words}


def _text(row: Mapping[str, Any], name: str, tools: list[Any] | None = None) -> str:
    """A text of a row: a string, a list of messages, or JSON of them in a column beside it.

    Raises
    ------
    TypeError
        Neither a string nor a list of messages.
    ValueError
        Messages that are none, or that read otherwise than the text beside them.
    """
    text, cell = row[name], row.get(f"{name}_messages")
    if isinstance(text, (list, tuple, np.ndarray)):
        if not len(text) or not all(isinstance(m, Mapping) for m in text):
            raise TypeError(f"{name} is {short(text)}, expected a string or a list of messages")
        return Conversation((_without_nulls(m) for m in text), tools=tools)
    if not isinstance(text, str):
        raise TypeError(f"{name} is {short(text)} ({type(text).__name__}), expected a string")
    if isinstance(cell, str):
        try:
            said = Conversation.from_json(cell)
        except ValueError as error:
            raise ValueError(f"{name}_messages: {error}") from None
        if said != text:
            raise ValueError(
                f"{name} is {short(text)}, and {name}_messages reads {short(str(said))}: "
                f"change both, or leave {name}_messages out"
            )
        return said
    return Conversation(as_messages(text, "user"), tools=tools) if tools else text


def _without_nulls(said: Any) -> Any:
    """Messages without the keys that Arrow filled with nulls."""
    if isinstance(said, Mapping):
        return {k: _without_nulls(v) for k, v in said.items() if v is not None}
    return [_without_nulls(v) for v in said] if isinstance(said, (list, np.ndarray)) else said


def _decoded(tools: Any) -> list[Any] | None:
    if isinstance(tools, str):
        try:
            tools = json.loads(tools)
        except ValueError as error:
            raise ValueError(f"tools is {short(tools)}, which is no JSON ({error})") from None
    return list(tools) if isinstance(tools, (list, tuple, np.ndarray)) and len(tools) else None
