"""Preference data as rows, one a pair: pandas, ``datasets``, TRL."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from causalpref._extras import models_extra
from causalpref.data._collector import Collector
from causalpref.data._validation import FACTS, short

TEXTS = ("prompt", "response_a", "response_b", "label")
TRL = ("prompt", "chosen", "rejected")

_STEMS = {"response_latents": "latents", "embeddings": "embedding"}
COLUMNS: dict[str, tuple[str, ...]] = {
    name: tuple(f"{_STEMS.get(name, name)}_{side}" for side in "ab")
    if fact.per == "response"
    else (name,)
    for name, fact in FACTS.items()
}
"""Column, or columns of the two responses, that a field has in rows."""


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


def to_dataset(columns: dict[str, Any]) -> Any:
    """A ``datasets.Dataset`` of the columns; categoricals become ``ClassLabel``."""
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
    stated = {field: own for field, own in COLUMNS.items() if own[0] in columns}
    for own in stated.values():
        if own[-1] not in columns:
            raise ValueError(f"the rows have a column {own[0]!r} and no {own[-1]!r}")
    collector = Collector(stated)
    for number, row in enumerate(rows):
        for name in required:
            if name not in row:
                raise ValueError(f"row {number} has no {name!r}")
        prompt, first, second = texts = [row[name] for name in required[:3]]
        for name, text in zip(required, texts):
            if not isinstance(text, str):
                raise TypeError(
                    f"row {number}: {name} is {short(text)} ({type(text).__name__}), "
                    "expected a string"
                )
        values: dict[str, Any] = {}
        for field, own in stated.items():
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
    return collector.fields(names=names)
