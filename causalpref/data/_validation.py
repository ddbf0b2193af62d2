"""What each field of :class:`PreferenceData` may hold: checked on the way in, read-only after."""

from __future__ import annotations

import json
import weakref
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import numpy as np


class Fact(NamedTuple):
    """What an optional field describes, what it holds, and what its values are called."""

    per: Literal["prompt", "response", "pair"]
    kind: Literal["code", "number", "vector"]
    fallback: str = ""  # name of a code or column without one; "" when it never has a name
    missing: str = ""  # what to do where a function needs it and the data have none


FACTS: dict[str, Fact] = {
    "objective": Fact(
        "pair", "code", "C = {}", "record under which objective each label was given"
    ),
    "annotator": Fact("pair", "code", "annotator {}", "record who gave each label"),
    "session": Fact("pair", "code", "session {}", "record in which session each label was given"),
    "time": Fact("pair", "number", missing="record when each label was given"),
    "strength": Fact("pair", "number", missing="ask how strongly the answer is preferred"),
    "probability": Fact("pair", "number", missing="ask several annotators about each pair"),
    "prompt_type": Fact("prompt", "code", "type {}", "say what kind of prompt each one is"),
    "prompt_group": Fact("prompt", "code", missing="say which prompts belong together"),
    "prompt_latents": Fact(
        "prompt", "vector", "Z^X_{}", "name the columns that describe the prompts when loading"
    ),
    "model": Fact("response", "code", "model {}", "record which model wrote each response"),
    "response_latents": Fact(
        "response", "vector", "Z^T_{}", "name the columns that describe the responses when loading"
    ),
    "embeddings": Fact("response", "vector", missing="make them with hashed_ngrams or embed"),
}
"""The optional fields of :class:`PreferenceData`, in the order in which they are stored."""

NAMED = tuple(name for name, fact in FACTS.items() if fact.fallback)
"""Fields whose codes or columns can have names."""


def short(value: Any) -> str:
    """A value for a message, 60 characters at most."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


# Arrays that this module froze: only these are shared without another look.
_ours: weakref.WeakValueDictionary[int, np.ndarray] = weakref.WeakValueDictionary()


def _is_ours(array: Any) -> bool:
    return isinstance(array, np.ndarray) and _ours.get(id(array)) is array


def _frozen(array: np.ndarray) -> np.ndarray:
    """A contiguous copy that nobody can write to, or the array itself if it is one."""
    if _is_ours(array):
        return array
    array = np.array(array, order="C")
    array.flags.writeable = False
    array = array.view()  # a view of a read-only array cannot be made writeable again
    _ours[id(array)] = array
    return array


def texts(name: str, values: Any) -> np.ndarray:
    """Strings as a read-only object array; half a surrogate pair is refused.

    A :class:`~causalpref.data.Conversation` is a string, and stays what it is.
    """
    if isinstance(values, str):
        raise TypeError(f"{name} must be a sequence of strings, got one string")
    if _is_ours(values):
        return values
    values = [str(v) if isinstance(v, np.str_) else v for v in values]
    for row, value in enumerate(values):
        if not isinstance(value, str):
            raise TypeError(
                f"{name}[{row}] is {short(value)} ({type(value).__name__}), expected a string"
            )
        if not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError as error:
                raise ValueError(
                    f"{name}[{row}] holds {value[error.start]!r}, half of a surrogate "
                    "pair, which is no text: decode it properly or replace it"
                ) from None
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return _frozen(array)


def _shaped(name: str, values: Any, shape: tuple[int | None, ...]) -> np.ndarray:
    try:
        array = np.asarray(values)
    except ValueError:
        raise ValueError(f"{name} is ragged: its rows have different lengths") from None
    if array.size == 0 and shape[0] in (None, 0):
        array = array.reshape(0, *(n or 0 for n in shape[1:]))
    fits = array.ndim == len(shape) and all(n in (None, m) for n, m in zip(shape, array.shape))
    if not fits:
        want = ", ".join("any" if n is None else str(n) for n in shape)
        comma = "," if len(shape) == 1 and shape[0] is None else ""
        raise ValueError(f"{name} has shape {array.shape}, expected ({want}{comma})")
    return array


def integers(
    name: str, values: Any, shape: tuple[int | None, ...], limit: int | None = None, of: str = ""
) -> np.ndarray:
    """Whole numbers as read-only int64, each in [0, limit) when there is a limit."""
    array = _shaped(name, values, shape)
    whole = array
    if array.dtype.kind not in "ib":
        try:
            if array.dtype.kind in "US":
                raise ValueError
            as_float = array.astype(np.float64)
        except (TypeError, ValueError):
            raise ValueError(
                f"{name} must be integers, got dtype {array.dtype}: {short(array.flat[0])}"
            ) from None
        bad = ~(np.abs(as_float) < 2**53) | (as_float != np.round(as_float))
        if bad.any():
            raise ValueError(f"{_first(name, array, bad)} is not an integer (or too large)")
        whole = as_float
    whole = whole.astype(np.int64, copy=False)
    if limit is not None and len(whole):
        bad = (whole < 0) | (whole >= limit)
        if bad.any():
            raise ValueError(f"{_first(name, whole, bad)} is out of range: there are {limit} {of}")
    return _frozen(whole)


def _first(name: str, array: np.ndarray, bad: np.ndarray) -> str:
    """``name[row] = value`` of the first bad entry."""
    at = tuple(np.argwhere(bad)[0].tolist())
    return f"{name}[{', '.join(map(str, at))}] = {array[at]}"


def labels(values: Any, n: int) -> np.ndarray:
    """Labels 0 and 1."""
    array = _shaped("label", values, (n,))
    bad = ~np.isin(array, (0, 1))
    if bad.any():
        raise ValueError(
            f"{_first('label', array, bad)} is neither 0 nor 1 "
            "(1: the first of the pair is preferred)"
        )
    return _frozen(array.astype(np.int64, copy=False))


def floats(
    name: str, values: Any, shape: tuple[int | None, ...], dtype: type = np.float64
) -> np.ndarray:
    """Finite numbers as a read-only array."""
    array = _shaped(name, values, shape)
    try:
        array = array.astype(dtype, copy=False)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be numbers, got dtype {array.dtype}") from None
    finite = np.isfinite(array)
    if not finite.all():
        raise ValueError(f"{_first(name, array, ~finite)} is not finite")
    return _frozen(array)


def graded(name: str, values: np.ndarray, middle: float, label: np.ndarray) -> None:
    """Refuse a graded preference on the other side of ``middle`` than the hard label.

    Raises
    ------
    ValueError
        Names the pair, both values and what to do.
    """
    bad = (values != middle) & ((values > middle) != (label == 1))
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise ValueError(
            f"{name}[{row}] = {values[row]:g} contradicts label[{row}] = {label[row]}: label 1 "
            f"means that the first is preferred, so {name} is above {middle:g} there"
        )


def names(
    given: Mapping[str, Sequence[str]], fields: Mapping[str, Any]
) -> dict[str, tuple[str, ...]]:
    """Names of codes and columns, for the fields that are there.

    Raises
    ------
    ValueError
        An unknown field, a name twice, or too few names for the codes or columns.
    TypeError
        A name that is not a string, or one string in place of a sequence.
    """
    kept: dict[str, tuple[str, ...]] = {}
    for field, words in given.items():
        if field not in NAMED:
            raise ValueError(f"names has the key {field!r}, expected some of {', '.join(NAMED)}")
        if isinstance(words, str):
            raise TypeError(f"names[{field!r}] is one string, {words!r}: give a sequence of names")
        words = tuple(words)
        for word in words:
            if not isinstance(word, str):
                raise TypeError(f"names[{field!r}] holds {short(word)}, expected strings")
        if len(set(words)) < len(words):
            twice = next(word for word in words if words.count(word) > 1)
            raise ValueError(f"names[{field!r}] holds {twice!r} twice")
        values = fields.get(field)
        if values is None:
            continue
        if FACTS[field].kind == "vector":
            if len(words) != values.shape[1]:
                raise ValueError(
                    f"names[{field!r}] holds {len(words)} names, there are "
                    f"{values.shape[1]} columns"
                )
        else:
            bad = (values < 0) | (values >= len(words))
            if bad.any():
                raise ValueError(
                    f"{_first(field, values, bad)} has no name: names[{field!r}] holds "
                    f"{len(words)}, for codes 0 to {len(words) - 1}"
                )
        if words:
            kept[field] = words
    return kept


def recipe(given: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """How embeddings were made, as a read-only copy of what JSON can hold.

    Raises
    ------
    TypeError
        Anything but a mapping of such values.
    """
    if given is None:
        return None
    try:
        if not isinstance(given, Mapping):
            raise TypeError(f"it is {short(given)}")
        return MappingProxyType(json.loads(json.dumps(dict(given))))
    except (TypeError, ValueError) as error:
        raise TypeError(f"recipe must be a mapping that JSON can hold: {error}") from None
