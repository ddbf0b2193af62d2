"""What a file shows: its columns by their plain names, and its first rows."""

from __future__ import annotations

import contextlib
import itertools
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from causalpref.data import Conversation
from causalpref.sources._layouts import COMMON, is_role
from causalpref.sources._rows import Bad, Row, Table, listed
from causalpref.sources._values import is_empty, is_message, opened, plain, words  # fmt: skip

_SAMPLE = 1000  # rows that decide what the columns are


# -- a look at the first rows --------------------------------------------------------


@dataclass
class View:
    """The columns of a file by their plain names, and its first rows.

    A column inside an object is reached by its path: ``info.post``.
    """

    table: Table
    sample: list[Row]
    found: list[str]
    unwrap: Callable[[Row], list[Row]] | None
    names: dict[str, str] = field(default_factory=dict)
    given: dict[str, str | None] = field(default_factory=dict)

    def values(self, name: str) -> list[Any]:
        """The values of a column in the first rows, those that are there."""
        path = self.names[name]
        return [v for row in self.sample if (v := at(row, path)) is not None]

    def texty(self, name: str, *, digits: bool = False) -> bool:
        """Whether a column that most rows have holds texts or messages rather than numbers.

        With ``digits`` strings of digits are texts too.
        """
        kept = (lambda v: v == v) if self.table.typed else (lambda v: v != "")
        values = [v for v in self.values(name) if kept(v)]
        kinds = Counter(kind_of(v, digits=digits) for v in values if not is_empty(v))
        here = len(values) >= 0.5 * len(self.sample)
        return here and bool(kinds) and kinds["text"] > 0.5 * kinds.total()

    def blank(self, name: str) -> bool:
        """Whether the first rows say nothing in a column."""
        return all(map(is_empty, self.values(name)))

    def has(self, *names: str) -> bool:
        return all(n in self.names for n in names)

    def first(self, names: Iterable[str], but: Collection[str] = ()) -> str | None:
        return next((n for n in names if n in self.names and n not in but), None)


def kind_of(value: Any, *, digits: bool = False) -> str:
    """Whether a value is a "text" (messages and objects too) or a "number"."""
    if isinstance(value, str) and not digits:
        try:
            float(value)
        except ValueError:
            return "text"
        return "number"
    return "text" if isinstance(value, (str, list, Mapping)) else "number"


MISSING = object()


def at(row: Row, path: str) -> Any:
    """The value at a path, None where there is none."""
    value = fetch(row, path)
    return None if value is MISSING else value


def fetch(row: Row, path: str) -> Any:
    if path in row:
        return row[path]
    value: Any = row
    for part in path.split("."):
        value = opened(value) if isinstance(value, str) else value
        if not isinstance(value, Mapping) or part not in value:
            return MISSING
        value = value[part]
    return value


def need(row: Row, path: str) -> Any:
    value = fetch(row, path)
    if value is MISSING:
        raise Bad("is missing", path)
    return value


def look(
    table: Table, columns: Mapping[str, str | None], limit: int | None, more: Iterable[str]
) -> View:
    """The columns of a table and its first rows.

    Raises
    ------
    ValueError
        No rows, or none that can be read; a column that the option ``columns`` names wrongly.
    """
    sample: list[Row] = []
    bad = None
    with contextlib.closing(table.rows(None)) as stream:
        for where, row in itertools.islice(stream, limit):
            if isinstance(row, Bad):
                bad = bad or f"{where}: {row}"
                continue
            sample.append(row)
            if len(sample) == _SAMPLE:
                break
    if not sample and table.columns is not None:
        sample = _by_column(table, limit)
    if not sample:
        raise ValueError(
            f"{table.name} holds no rows"
            if bad is None
            else f"{table.name} holds no row that can be read; {bad}"
        )
    unwrap = wrapper(sample)
    if unwrap is not None:
        sample = [flat for row in sample for flat in _opened(unwrap, row)]
    top = dict.fromkeys(table.columns or () if unwrap is None else ())
    for row in sample:
        top.update(dict.fromkeys(row))
    top.update(dict.fromkeys(more))
    view = View(table, sample, list(top), unwrap)
    for column in top:
        view.names.setdefault(plain(column), column)
    view.names |= {c: c for c in top if c in view.names}  # ``prompt`` before ``Prompt``
    for column in top:
        for key in _inside(sample, column):
            path = f"{column}.{key}"
            view.names.setdefault(plain(path), path)
            if words(column)[-1:] != words(key)[:1]:
                view.names.setdefault(plain(key), path)
    _apply(view, columns)
    return view


def _opened(unwrap: Callable[[Row], list[Row]], row: Row) -> list[Row]:
    with contextlib.suppress(ValueError):
        return unwrap(row)
    return []


def _by_column(table: Table, limit: int | None) -> list[Row]:
    """The first rows without the columns that cannot be read."""
    rows: list[dict[str, Any]] = []
    for column in table.columns or ():
        with contextlib.closing(table.rows({column})) as stream:
            read = [row for _, row in itertools.islice(stream, min(limit or _SAMPLE, _SAMPLE))]
        cells = [row for row in read if not isinstance(row, Bad)]
        if len(cells) == len(read):
            rows = rows or [{} for _ in cells]
            for row, cell in zip(rows, cells):
                row.update(cell)
    return list(rows)


def _inside(sample: Sequence[Row], column: str) -> list[str]:
    """The keys of objects in a column that are neither messages nor answers."""
    keys: dict[str, None] = {}
    for row in sample[:50]:
        value = row.get(column)
        if isinstance(value, Mapping) and not is_message(value):
            keys.update(dict.fromkeys(map(str, value)))
    return list(keys) if len(keys) <= 40 else []


def _apply(view: View, columns: Mapping[str, str | None]) -> None:
    """What the option ``columns`` says: a column goes by another name, or is left out."""
    has = f"{view.table.name} has the columns {listed(view.found)}"
    for name, column in columns.items():
        if plain(name) not in view.names and not is_role(name):
            raise ValueError(
                f"columns has the key {name!r}, which is no part of any layout: expected one of "
                f"{listed(COMMON)}"
            )
        if column is None:
            view.names.pop(plain(name), None)
            continue
        if (
            column not in view.found
            and fetch(view.sample[0] if view.sample else {}, column) is MISSING
        ):
            raise ValueError(f"columns says {name!r} is {column!r}, but {has}")
        for own in [n for n, path in view.names.items() if path == column]:
            del view.names[own]
    for name, column in columns.items():
        if column is not None:
            view.names[plain(name)] = column
        view.given[plain(name)] = column


def is_short(view: View, name: str) -> bool:
    """Whether a column can hold names or times: no lists, no long texts."""
    return name in view.names and all(
        not isinstance(v, (list, Mapping)) and len(str(v)) <= 200 for v in view.values(name)[:100]
    )


def mostly(items: Sequence[Any], test: Callable[[Any], bool], share: float = 0.5) -> bool:
    return bool(items) and sum(map(test, items)) > share * len(items)


# -- exports of tools for annotation ------------------------------------------------------


def wrapper(sample: Sequence[Row]) -> Callable[[Row], list[Row]] | None:
    """How to open the rows that a tool for annotation exports."""
    if not sample:
        return None

    if any(f"{name}_messages" in row for row in sample[:1] for name in _OWN_TEXTS):
        return _with_messages

    if all(row.keys() == {"answers"} for row in sample):
        return _with_common

    def most(test: Callable[[Row], bool]) -> bool:
        return sum(map(test, sample)) > 0.5 * len(sample)

    if most(
        lambda r: isinstance(r.get("data"), Mapping) and isinstance(r.get("annotations"), list)
    ):
        return _label_studio
    if most(
        lambda r: (
            isinstance(r.get("fields"), Mapping) and isinstance(r.get("responses"), (list, Mapping))
        )
    ):
        return _argilla
    if most(lambda r: isinstance(r.get("options"), list) and isinstance(r.get("accept"), list)):
        return _prodigy
    return None


def _with_common(row: Row) -> list[Row]:
    """A row that is a list of answers, with what all of them say: the question."""
    answers = [a for a in row["answers"] if isinstance(a, Mapping)]
    common = (
        [k for k in answers[0] if all(a.get(k) == answers[0][k] for a in answers)]
        if answers
        else []
    )
    return [{**row, **{k: answers[0][k] for k in common}}]


_OWN_TEXTS = ("prompt", "response_a", "response_b")


def _with_messages(row: Row) -> list[Row]:
    """A row of :meth:`PreferenceData.to_pandas`, whose conversations are JSON in columns beside.

    Raises
    ------
    ValueError
        Messages that read otherwise than the text beside them.
    """
    flat = dict(row)
    for name in _OWN_TEXTS:
        cell = flat.pop(f"{name}_messages", None)
        if isinstance(cell, str) and cell:
            said = Conversation.from_json(cell)
            if said != flat.get(name):
                raise ValueError(f"{name}_messages reads otherwise than {name}")
            flat[name] = said
    return [flat]


def _label_studio(row: Row) -> list[Row]:
    data, found = row.get("data"), row.get("annotations")
    if not isinstance(data, Mapping) or not isinstance(found, list):
        return [row]
    rows = []
    for done in found:
        if not isinstance(done, Mapping) or done.get("was_cancelled"):
            continue
        by = done.get("completed_by")
        by = (by.get("email") or by.get("id")) if isinstance(by, Mapping) else by
        flat: dict[str, Any] = {**data, **({} if by is None else {"annotator": by})}
        results = done.get("result")
        results = results if isinstance(results, list) else []
        results = [r for r in results if isinstance(r, Mapping)]
        asked = {str(r.get("from_name")) for r in results if r.get("type") == "pairwise"}
        for result in results:
            value = result.get("value")
            if isinstance(value, Mapping):
                name = str(result.get("from_name") or "comparison")
                if len(asked) < 2 and (result.get("type") == "pairwise" or "selected" in value):
                    name = "winner"
                flat[name] = selected(value)
        rows.append(flat)
    return rows


def _argilla(row: Row) -> list[Row]:
    fields, responses = row.get("fields"), row.get("responses")
    if not isinstance(fields, Mapping):
        return [row]
    if isinstance(responses, Mapping):  # {question: [{"value", "user_id"}]}
        by: dict[Any, dict[str, Any]] = {}
        for question, said in responses.items():
            for one in said if isinstance(said, list) else ():
                if isinstance(one, Mapping):
                    values = by.setdefault(str(one.get("user_id")), {})
                    values[question] = {"value": one.get("value")}
        responses = [{"user_id": user, "values": values} for user, values in by.items()]
    rows = []
    for done in responses if isinstance(responses, list) else ():
        if not isinstance(done, Mapping) or str(done.get("status")) in ("discarded", "draft"):
            continue
        flat: dict[str, Any] = dict(fields)
        if done.get("user_id") is not None:
            flat["annotator"] = str(done["user_id"])
        values = done.get("values")
        for question, value in values.items() if isinstance(values, Mapping) else ():
            said = selected(value)
            if isinstance(said, list) and said and all(isinstance(v, str) for v in said):
                said = said[0]  # names in the order of their ranks
            flat[question] = said
        rows.append(flat)
    return rows


def _prodigy(row: Row) -> list[Row]:
    options, accept = row.get("options"), row.get("accept")
    if row.get("answer") not in (None, "accept") or not isinstance(options, list):
        return []
    flat = {k: v for k, v in row.items() if k not in ("options", "accept", "answer")}
    ids = [o.get("id") if isinstance(o, Mapping) else None for o in options]
    flat["answers"] = options
    chosen = [ids.index(a) for a in accept if a in ids] if isinstance(accept, list) else []
    flat["choice"] = chosen[0] if len(chosen) == 1 else None
    return [flat]


def selected(value: Any) -> Any:
    """The one thing that a value of an annotation says."""
    value = opened(value)
    while isinstance(value, Mapping) or (isinstance(value, list) and len(value) == 1):
        if isinstance(value, list):
            value = value[0]
            continue
        key = next(
            (k for k in ("selected", "choices", "value", "rating", "label") if k in value), None
        )
        if key is None:
            return value
        value = opened(value[key])
    if (
        isinstance(value, list)
        and all(isinstance(v, Mapping) and "rank" in v for v in value)
        and value
    ):
        best = min(v["rank"] for v in value)
        first = [v.get("value") for v in value if v["rank"] == best]
        return first[0] if len(first) == 1 else "tie"
    return value
