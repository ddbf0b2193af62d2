"""Which columns of a file play which part in a layout."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from causalpref.sources._layouts import (
    ASPECTS,
    EXTRAS,
    LAYOUTS,
    SPECS,
    TURN,
    Judged,
    Layout,
    Said,
    as_category,
    as_number,
    as_numbers,
    as_time,
    stated,
)
from causalpref.sources._rows import Bad, Row, Table, listed

_FACTS = {
    **{name: name for name in (*EXTRAS, "strength", "probability", "prompt_latents")},
    "model_a": "model",
    "model_b": "model",
    "latents_a": "response_latents",
    "embedding_a": "embeddings",
}
_SAMPLE = 100  # rows whose keys are the columns of a JSON file


@dataclass(frozen=True)
class Plan:
    """A layout, and where in this file its columns and the latents asked for are."""

    name: str
    spec: Layout
    column: dict[str, str]
    response_latents: tuple[str, ...]
    latent_columns: tuple[tuple[str, str], ...]
    prompt_latents: tuple[str, ...]
    late: Mapping[str, str]

    @property
    def wanted(self) -> set[str]:
        """The columns of the file that are read."""
        return {
            *self.column.values(),
            *self.prompt_latents,
            *itertools.chain.from_iterable(self.latent_columns),
        }

    @property
    def facts(self) -> set[str]:
        """The fields of :class:`PreferenceData` that every judgement states."""
        found = {_FACTS[c] for c in self.column if c in _FACTS}
        if self.spec.says_objective:
            found.add("objective")
        if self.latent_columns or self.name == "ultrafeedback":
            found.add("response_latents")
        if self.prompt_latents:
            found.add("prompt_latents")
        return found

    @property
    def names(self) -> dict[str, tuple[str, ...]]:
        """Names of codes and columns that are known before a row is read."""
        latents = self.response_latents or (ASPECTS if self.name == "ultrafeedback" else ())
        named = {"response_latents": latents, "prompt_latents": self.prompt_latents}
        return {**self.spec.names, **{k: v for k, v in named.items() if v}}

    def worded(self, bad: Bad) -> str:
        """The reason in the file's words, where ``columns`` renamed something."""
        own = self.column.get(bad.column or "", bad.column)
        return str(bad) if own == bad.column else f"{bad.column} (column {own!r}) {bad.reason}"

    def judgements(self, raw: Row | Bad) -> Said:
        """All that a row says, the extra columns included; one :class:`Bad` if it is unusable."""
        try:
            if isinstance(raw, Bad):
                raise raw
            return self._judgements(raw)
        except Bad as bad:
            return [bad]

    def _judgements(self, raw: Row) -> Said:
        if not self.late.keys().isdisjoint(raw):
            name = next(c for c in self.late if c in raw)
            raise Bad(
                f"column {name!r} is here, but not in the first {_SAMPLE} rows; columns="
                f"{{{self.late[name]!r}: None}} leaves it out"
            )
        row = {name: raw[column] for name, column in self.column.items() if column in raw}
        said = (
            self.spec.read(row, self.response_latents)
            if self.name == "ultrafeedback"
            else self.spec.read(row)
        )
        more: dict[str, Any] = {}
        for name in ("objective", "annotator", "prompt_type", "prompt_group", "session"):
            if name in self.column:
                more[name] = as_category(row, name)
        if "time" in self.column:
            more["time"] = as_time(row, "time")
        if "model_a" in self.column:
            more["model"] = as_category(row, "model_a"), as_category(row, "model_b")
        for name, middle in (("strength", 0.0), ("probability", 0.5)):
            if name in self.column:
                more[name] = _graded(row, name, middle, said)
        if self.prompt_latents:
            more["prompt_latents"] = tuple(
                as_number(stated(raw, c), c) for c in self.prompt_latents
            )
        elif "prompt_latents" in self.column:
            more["prompt_latents"] = as_numbers(row, "prompt_latents")
        if self.latent_columns:
            more["response_latents"] = tuple(
                tuple(as_number(stated(raw, c), c) for c in side)
                for side in zip(*self.latent_columns)
            )
        elif "latents_a" in self.column:
            more["response_latents"] = as_numbers(row, "latents_a"), as_numbers(row, "latents_b")
        if "embedding_a" in self.column:
            more["embeddings"] = _vector(row, "embedding_a"), _vector(row, "embedding_b")
        return [j._replace(facts={**j.facts, **more}) if isinstance(j, Judged) else j for j in said]


def _graded(row: Row, name: str, middle: float, said: Said) -> float:
    grade = as_number(stated(row, name), name)
    if name == "probability" and not 0 <= grade <= 1:
        raise Bad(f"is {grade:g}, expected 0 to 1", name)
    for j in said:
        label = j.label if isinstance(j, Judged) else None
        if label is not None and grade != middle and (grade > middle) != label:
            raise Bad(f"is {grade:g}, which contradicts the label {label}", name)
    return grade


def _vector(row: Row, name: str) -> np.ndarray:
    with np.errstate(over="ignore"):
        vector = np.array(as_numbers(row, name), dtype=np.float32)
    if not np.isfinite(vector).all():
        raise Bad("holds a number too large for an embedding (float32)", name)
    return vector


def plan_for(
    table: Table,
    layout: str,
    columns: Mapping[str, str | None],
    response_latents: tuple[str, ...] = (),
    prompt_latents: tuple[str, ...] = (),
    limit: int | None = None,
) -> Plan:
    """Find the layout of a table, if it is not given, and its columns.

    Raises
    ------
    ValueError
        No layout that fits, or a column that is missing; says which there are.
    """
    found = table.columns if table.columns is not None else _keys(table, limit)
    has = f"{table.name} has the columns {listed(found)}"
    for name, column in columns.items():
        if column is not None and column not in found:
            raise ValueError(f"columns says {name!r} is {column!r}, but {has}")

    def at(spec: Layout, name: str) -> str | None:
        return columns[name] if name in columns else spec.at(name, found)

    if layout == "auto":
        fits = [name for name, spec in SPECS.items() if all(at(spec, c) for c in spec.needs)]
        if "chosen" in {c for name in fits for c in SPECS[name].needs}:
            fits = _by_value(table, fits, columns.get("chosen") or "chosen", limit)
        if not fits:
            known = "\n".join(f"  {name}: {', '.join(needs)}" for name, needs in LAYOUTS.items())
            raise ValueError(
                f"no layout fits: {has}. Layouts and the columns that they need "
                f"(transcripts: chosen with Human: and Assistant: turns):\n{known}\n"
                "Say which column is which with columns={'prompt': 'a column of yours', ...}, or "
                "on the command line with --column prompt=COL."
            )
        layout = fits[0]
    spec = SPECS[layout]
    missing = [c for c in spec.needs if not at(spec, c)]
    if missing:
        raise ValueError(
            f"layout {layout!r} needs a column {missing[0]!r}, but {has}; "
            f"columns={{{missing[0]!r}: ...}} says which one it is, or on the "
            f"command line --column {missing[0]}=COL"
        )
    known = (*spec.needs, *spec.optional, *EXTRAS)
    if spec.says_objective:
        known = tuple(c for c in known if c != "objective")
    for name in columns:
        if name not in known:
            raise ValueError(
                f"columns has the key {name!r}, but layout {layout!r} reads {listed(known)}"
            )
    column = {c: at(spec, c) for c in known}
    for name in ("latents", "embedding", "model"):
        if bool(column.get(f"{name}_a")) != bool(column.get(f"{name}_b")):
            raise ValueError(f"{table.name} has only one of {name}_a and {name}_b")
    if response_latents:
        column = {c: v for c, v in column.items() if c not in ("latents_a", "latents_b")}
    if prompt_latents:
        column.pop("prompt_latents", None)
    for name in prompt_latents:
        if name not in found:
            raise ValueError(f"prompt_latents names {name!r}, but {has}")
    late = {
        c: name
        for name in column
        if not column[name] and name not in columns
        for c in (name, spec.aliases.get(name, name))
    }
    return Plan(
        layout,
        spec,
        {c: v for c, v in column.items() if v},
        response_latents,
        tuple(
            _sides(name, layout, found, has)
            for name in response_latents
            if layout != "ultrafeedback" or name not in ASPECTS
        ),
        prompt_latents,
        late,
    )


def _keys(table: Table, limit: int | None) -> list[str]:
    """Keys of the first rows that can be read, in order of appearance."""
    keys: dict[str, None] = {}
    bad = None
    with contextlib.closing(table.rows(None)) as stream:
        good = 0
        for where, row in itertools.islice(stream, limit):
            if isinstance(row, Bad):
                bad = bad or f"{where}: {row}"
                continue
            keys.update(dict.fromkeys(row))
            good += 1
            if good == _SAMPLE:
                break
    if not good:
        raise ValueError(
            f"{table.name} holds no rows"
            if bad is None
            else f"{table.name} holds no row that can be read; {bad}"
        )
    return list(keys)


def _by_value(table: Table, fits: list[str], column: str, limit: int | None) -> list[str]:
    """Of the layouts with a chosen response, those that fit what the first rows hold."""
    with contextlib.closing(table.rows({column})) as stream:
        chosen = next(
            (
                row[column]
                for _, row in itertools.islice(stream, limit or _SAMPLE)
                if not isinstance(row, Bad) and row.get(column) is not None
            ),
            None,
        )
    told = {
        "messages": isinstance(chosen, list),
        "chosen_rejected": not isinstance(chosen, list),
        "transcripts": isinstance(chosen, str) and TURN.search(chosen) is not None,
    }
    return [name for name in fits if told.get(name, True)]


def _sides(name: str, layout: str, found: Collection[str], has: str) -> tuple[str, str]:
    """The two columns of a response latent."""
    if layout == "ultrafeedback":
        raise ValueError(f"response_latents names {name!r}, expected aspects: {list(ASPECTS)}")
    tried = SPECS[layout].places(name)
    for first, second in tried:
        if first in found and second in found:
            return first, second
    raise ValueError(
        f"response_latents names {name!r}: {has}, but none of the pairs "
        + "; ".join(" and ".join(t) for t in tried)
    )
