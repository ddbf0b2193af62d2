"""Preference data of your own: read a file, a folder or a hub data set, whatever its layout.

:func:`load_preferences` guesses the layout from the names of the columns. The guess can be
overridden: ``layout="arena"`` picks one of this table, ``columns={"prompt": "question"}`` says
that the column called ``question`` is what the table calls ``prompt``. Layouts are tried from
top to bottom.

=================== ================================================ =======================
layout              columns it needs (and reads if present)          who is preferred
=================== ================================================ =======================
``hh_rlhf``         prompt, responses (2), label, objective,         label: index in
                    data_subset (becomes prompt_type)                responses
``pairs``           prompt, response_a, response_b, label            label 1: a, 0: b,
                    (latents_a, latents_b, prompt_latents,           0.5: tie
                    embedding_a, embedding_b)
``ultrafeedback``   instruction, completions                         higher mean rating;
                                                                     equal: tie
``safe_rlhf``       prompt, response_0, response_1,                  the two ids; objectives
                    better_response_id, safer_response_id            helpful and safe
``arena``           conversation_a, conversation_b, winner           model_a, model_b, or
                    (judge becomes annotator)                        a tie
``alpaca_farm``     instruction, output_1, output_2, preference      1 or 2; 0 and 1.5: tie
                    (input)
``helpsteer``       prompt (or context), response_1, response_2,     below 0: 1, above 0: 2,
                    preference_strength (or overall_preference)      0: tie
``messages``        chosen, rejected: lists of {role, content}       chosen
                    (prompt)
``chosen_rejected`` prompt, chosen, rejected: strings                chosen
``transcripts``     chosen, rejected: "Human: ... Assistant: ..."    chosen
=================== ================================================ =======================

A folder written by :meth:`PreferenceData.save` is recognised too (``saved``).

Every layout also reads ``objective``, ``annotator`` and ``prompt_type`` where the file has
columns of these names, or where ``columns`` names others; ``columns={"objective": None}``
leaves one out.

What becomes of conversations
-----------------------------
In ``messages``, ``arena`` and ``transcripts`` the prompt is what both conversations share, up to
and including the last human turn they share. One human turn alone is kept as plain words in
``messages`` and ``arena``; longer prompts, and all of ``transcripts``, are written
``Human: ...``, ``Assistant: ...`` with an empty line between the turns, as HH-RLHF has them. The
response is what follows, and where conversations go on after they part it has several turns.

What is lost
------------
The strength of a preference (``helpsteer``, ``ultrafeedback``), ties (counted, not kept: a label
is 0 or 1), and the order in which two responses were shown where a file lists the chosen one
first (``messages``, ``chosen_rejected``, ``transcripts``). In ``ultrafeedback`` nobody was shown
pairs: the order is that of the completions.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from causalpref.data import PreferenceData
from causalpref.sources._layouts import (
    _ASPECTS,
    _EXTRAS,
    _LAYOUTS,
    _TURN,
    LAYOUTS,
    Row,
    _Bad,
    _category,
    _count,
    _guarded,
    _Judged,
    _Layout,
    _listed,
    _number,
    _numbered,
    _numbers,
    _value,
    _Where,
)
from causalpref.sources._tables import _is_saved, _open, _Table

__all__ = ["LAYOUTS", "BadRow", "LoadedPreferences", "load_preferences"]


@dataclass(frozen=True)
class BadRow:
    """A row, or a part of one, that was left out.

    Parameters
    ----------
    where : str
        File and line (of a text file, as an editor counts) or row (counted from 1).
    reason : str
        What is wrong with it.
    """

    where: str
    reason: str

    def __str__(self) -> str:
        return f"{self.where}: {self.reason}"


@dataclass(frozen=True, eq=False, repr=False)
class LoadedPreferences:
    """What :func:`load_preferences` read, and what it could not keep.

    Parameters
    ----------
    data : PreferenceData
        The pairs.
    layout : str
        A name of :data:`LAYOUTS`, or ``"saved"``.
    rows : int
        Rows read, the bad ones and the ties among them.
    bad : list of BadRow
        What was left out as unusable, in the order of the file. Empty unless ``skip_bad``.
    ties : int
        Comparisons that say "both equal": not in ``data``.
    order_known : bool
        False where the file lists the chosen response first. The order in ``data`` was then
        dealt by a fair coin and says nothing of what the labeller saw.
    names : dict of str to list of str
        ``"objective"``, ``"annotator"``, ``"prompt_type"``: name of each code, where the file has
        words (whole numbers are kept as they are and have no entry). ``"response_latents"``,
        ``"prompt_latents"``: name of each column.
    notes : list of str
        Decisions that the data forced, one sentence each.
    """

    data: PreferenceData
    layout: str
    rows: int
    bad: list[BadRow]
    ties: int
    order_known: bool
    names: dict[str, list[str]]
    notes: list[str] = field(default_factory=list)

    def __repr__(self) -> str:
        return self.summary()

    def summary(self) -> str:
        """What was read and left out, as a few lines of text."""
        data = self.data
        lines = [
            f"{data.source}, layout {self.layout!r}",
            f"{_count(self.rows, 'row')} read: {_count(len(data), 'pair')} of "
            f"{_count(len(data.responses), 'response')} to {_count(len(data.prompts), 'prompt')}",
            f"left out: {_count(self.ties, 'tie')}, {_count(len(self.bad), 'bad row')}",
            "order shown: "
            + (
                "as in the file"
                if self.order_known
                else "not recorded (chosen first in the file), dealt by a fair coin"
            ),
        ]
        for kind in ("objective", "prompt_type", "annotator"):
            values = getattr(data, kind)
            if values is not None:
                lines.append(f"{kind}: {self._shares(kind, values)}")
        for kind in ("response_latents", "prompt_latents"):
            if kind in self.names:
                lines.append(f"{kind}: {', '.join(self.names[kind])}")
        lines += self.notes
        lines += [f"bad: {row}" for row in self.bad[:3]]
        if len(self.bad) > 3:
            lines.append(f"bad: and {len(self.bad) - 3:,} more")
        return "\n".join(lines)

    def _shares(self, kind: str, values: np.ndarray) -> str:
        codes, counts = np.unique(values, return_counts=True)
        names = self.names.get(kind)
        shown = [
            f"{names[c] if names else c} ({n:,})"
            for c, n in sorted(zip(codes.tolist(), counts.tolist()), key=lambda v: -v[1])
        ]
        if len(shown) <= 6:
            return ", ".join(shown)
        return f"{len(shown):,} different, most often {', '.join(shown[:3])}"


def load_preferences(
    source: str | os.PathLike[str],
    *,
    layout: str = "auto",
    columns: Mapping[str, str | None] | None = None,
    response_latents: Sequence[str] = (),
    prompt_latents: Sequence[str] = (),
    skip_bad: bool = False,
    limit: int | None = None,
    split: str | None = None,
    config: str | None = None,
    revision: str | None = None,
    seed: int | np.random.Generator = 0,
) -> LoadedPreferences:
    """Read preference data of any common layout.

    Rows with the same prompt share one prompt, equal responses to a prompt are one response,
    and repeated judgements stay repeated pairs.

    Parameters
    ----------
    source : path or str
        A file: JSON lines (``.jsonl``, ``.ndjson``, ``.json``), a JSON array (``.json``), ``.csv``,
        ``.tsv``, each plain or gzipped, or ``.parquet``. A folder: one written by
        :meth:`PreferenceData.save` or by ``save_to_disk`` of ``datasets``, or one that holds
        data files of one kind. Otherwise a hub id ``owner/name``. A path that exists wins.
    layout : str
        ``"auto"`` or a name of :data:`LAYOUTS`; see the table of this module.
    columns : mapping of str to str or None, optional
        Name in the table to name in the file: ``{"prompt": "question", "annotator": "worker"}``.
        None leaves an optional column out.
    response_latents : sequence of str
        Z^T. Each ``NAME`` is a number for either response, in the columns ``NAME_a`` and
        ``NAME_b`` (or ``_1``, ``_2``; ``_0``, ``_1``); where the file has chosen and rejected,
        ``NAME_chosen`` and ``NAME_rejected`` or ``chosen_NAME`` and ``rejected_NAME``. For
        ``ultrafeedback``: rated aspects. They replace what the layout reads by itself.
    prompt_latents : sequence of str
        Z^X: columns that hold a number for the row's prompt.
    skip_bad : bool
        Go on after a row that cannot be used, and list it in ``bad``.
    limit : int, optional
        Read at most so many rows.
    split : str, optional
        One split of a hub data set or of a ``save_to_disk`` folder that has several; of a folder
        of files, those named after the split. Default: all the files, or the only split.
    config, revision : str, optional
        For the hub.
    seed : int or numpy.random.Generator
        Deals which response comes first where the file does not tell.

    Returns
    -------
    LoadedPreferences

    Raises
    ------
    FileNotFoundError
        No such path, and no hub id either.
    ValueError
        The first bad row (with ``skip_bad``: only if no usable pair is left), by file, line or
        row, and reason. A damaged or empty file, another encoding than UTF-8, no layout that
        fits, a column or split that does not exist, a hub data set that cannot be had.

    Notes
    -----
    Bad is a row that is no JSON object, lacks a column, has a text that is empty, not a string, or
    holds NUL or half of a surrogate pair, has a label that is not understood, a latent that is
    no number, conversations that share no prompt, or that contradicts an earlier row about the
    type or latents of a text. The layout ``hh_rlhf`` keeps empty responses, as
    :func:`~causalpref.sources.load_hh_rlhf` does, and says so in the notes.

    ``ultrafeedback`` compares all completions of a row by the mean of the aspects rated other
    than "N/A". A completion without any rating is bad. An aspect that some completion lacks is
    left out of the latents, with a note; name it in ``response_latents`` to leave out such
    completions (each counted as bad) instead. The second choice drops prompts by their kind,
    because raters give "N/A" where an aspect does not apply.
    """
    if layout not in ("auto", "saved", *_LAYOUTS):
        raise ValueError(f"layout is {layout!r}, expected 'auto' or one of {list(LAYOUTS)}")
    if limit is not None and (
        isinstance(limit, bool) or not isinstance(limit, (int, np.integer)) or limit < 1
    ):
        raise ValueError(f"limit is {limit!r}, expected a whole number from 1")
    asked = {"response_latents": response_latents, "prompt_latents": prompt_latents}
    for option, names in asked.items():
        if isinstance(names, str):
            raise ValueError(f"{option} is one string, {names!r}: give a sequence of names")
        asked[option] = tuple(names)
    columns = dict(columns or {})

    if _is_saved(source) or layout == "saved":
        unused = {
            "layout": layout not in ("auto", "saved") and layout,
            "columns": columns,
            **asked,
            "split": split,
            "config": config,
            "revision": revision,
        }
        return _load_saved(Path(source), limit, [k for k, v in unused.items() if v])

    table = _open(source, split, config, revision)
    plan = _plan(table, layout, columns, asked["response_latents"], asked["prompt_latents"], limit)
    fold = _Fold()
    bad: list[BadRow] = []
    rows = ties = 0
    with contextlib.closing(table.rows(plan.wanted)) as stream:
        for where, raw in itertools.islice(stream, limit):
            rows += 1
            for item in _guarded(plan.judgements, raw):
                if not isinstance(item, _Bad):
                    if item.label is None:
                        ties += 1
                        continue
                    item = fold.add(where, item)
                if item is not None:
                    bad.append(BadRow(str(where), plan.worded(item)))
                    if not skip_bad:
                        raise ValueError(
                            f"{bad[0]} (skip_bad=True, or --skip-bad on the command "
                            "line, leaves such rows out and counts them)"
                        )
    if not fold.pairs:
        if not rows:
            raise ValueError(f"{table.name} holds no rows")
        why = f"; the first bad one: {bad[0]}" if bad else ""
        raise ValueError(
            f"{table.name}: none of {_count(rows, 'row')} gives a usable pair "
            f"({_count(ties, 'tie')}, {len(bad):,} bad{why})"
        )

    fields, names, notes = fold.fields(plan, table.typed)
    if not plan.spec.order_known:
        swap = np.random.default_rng(seed).integers(0, 2, len(fold.pairs)).astype(bool)
        pairs, label = fields["pairs"], fields["label"]
        fields["pairs"] = np.where(swap[:, None], pairs[:, ::-1], pairs)
        fields["label"] = np.where(swap, 1 - label, label)
    data = PreferenceData(
        **fields,
        names={k: v for k, v in names.items() if v != _numbered(len(v))},
        order_known=plan.spec.order_known,
        source=f"{table.name} ({_count(len(fold.pairs), 'pair')})",
    )
    return LoadedPreferences(data, plan.name, rows, bad, ties, plan.spec.order_known, names, notes)


def _load_saved(folder: Path, limit: int | None, unused: list[str]) -> LoadedPreferences:
    if not _is_saved(folder):
        raise ValueError(f"layout is 'saved', but {folder} is no folder of PreferenceData.save")
    if unused:
        raise ValueError(
            f"{unused[0]} does not go with {folder}: PreferenceData.save wrote it, "
            "and its columns are known"
        )
    import pyarrow as pa

    try:
        data = PreferenceData.load(folder)
    except (KeyError, TypeError, pa.ArrowException) as error:
        raise ValueError(f"{folder} is damaged ({type(error).__name__}: {error})") from None
    if limit is not None and limit < len(data):
        data = data.select(slice(limit)).compact()
    names = {
        kind: _numbered(getattr(data, kind).shape[1])
        for kind in ("response_latents", "prompt_latents")
        if getattr(data, kind) is not None
    }
    return LoadedPreferences(data, "saved", len(data), [], 0, True, names)


# -- which columns play which part -------------------------------------------


@dataclass(frozen=True)
class _Plan:
    """A layout, and where in this file its columns and the latents asked for are."""

    name: str
    spec: _Layout
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

    def worded(self, bad: _Bad) -> str:
        """The reason in the file's words, where ``columns`` renamed something."""
        own = self.column.get(bad.column or "", bad.column)
        return str(bad) if own == bad.column else f"{bad.column} (column {own!r}) {bad.reason}"

    def judgements(self, raw: Row) -> list[_Judged | _Bad]:
        """All that a row says, the extra columns included."""
        if not self.late.keys().isdisjoint(raw):
            name = next(c for c in self.late if c in raw)
            raise _Bad(
                f"column {name!r} is here, but not in the first {_SAMPLE} rows; columns="
                f"{{{self.late[name]!r}: None}} leaves it out"
            )
        row = {name: raw[column] for name, column in self.column.items() if column in raw}
        judged = (
            self.spec.read(row, self.response_latents)
            if self.name == "ultrafeedback"
            else self.spec.read(row)
        )
        more: dict[str, Any] = {
            name: _category(row, name) for name in _EXTRAS if name in self.column
        }
        if self.prompt_latents:
            more["prompt_latents"] = tuple(_number(_value(raw, c), c) for c in self.prompt_latents)
        elif "prompt_latents" in self.column:
            more["prompt_latents"] = _numbers(row, "prompt_latents")
        if self.latent_columns:
            more["latents"] = tuple(
                tuple(_number(_value(raw, c), c) for c in side)
                for side in zip(*self.latent_columns)
            )
        elif "latents_a" in self.column:
            more["latents"] = _numbers(row, "latents_a"), _numbers(row, "latents_b")
        if "embedding_a" in self.column:
            more["embeddings"] = tuple(_vector(row, f"embedding_{side}") for side in "ab")
        return (
            [j._replace(**more) if isinstance(j, _Judged) else j for j in judged]
            if more
            else judged
        )


def _vector(row: Row, name: str) -> np.ndarray:
    with np.errstate(over="ignore"):
        vector = np.array(_numbers(row, name), dtype=np.float32)
    if not np.isfinite(vector).all():
        raise _Bad("holds a number too large for an embedding (float32)", name)
    return vector


_SAMPLE = 100  # rows whose keys are the columns of a JSON file


def _plan(
    table: _Table,
    layout: str,
    columns: Mapping[str, str | None],
    response_latents: tuple[str, ...],
    prompt_latents: tuple[str, ...],
    limit: int | None,
) -> _Plan:
    found = table.columns if table.columns is not None else _keys(table, limit)
    has = f"{table.name} has the columns {_listed(found)}"
    for name, column in columns.items():
        if column is not None and column not in found:
            raise ValueError(f"columns says {name!r} is {column!r}, but {has}")

    def at(spec: _Layout, name: str) -> str | None:
        if name in columns:
            return columns[name]
        return next((c for c in (name, spec.aliases.get(name)) if c in found), None)

    if layout == "auto":
        fits = [name for name, spec in _LAYOUTS.items() if all(at(spec, c) for c in spec.needs)]
        if "chosen" in {c for name in fits for c in _LAYOUTS[name].needs}:
            fits = _by_value(table, fits, columns.get("chosen") or "chosen", limit)
        if not fits:
            known = "\n".join(f"  {name}: {', '.join(needs)}" for name, needs in LAYOUTS.items())
            raise ValueError(
                f"no layout fits: {has}. Layouts and the columns that they need "
                f"(transcripts: chosen with Human: and Assistant: turns):\n{known}\n"
                "Say which column is which with columns={'prompt': 'a column of yours', ...}, or on "
                "the command line with --column prompt=COL."
            )
        layout = fits[0]
    spec = _LAYOUTS[layout]
    missing = [c for c in spec.needs if not at(spec, c)]
    if missing:
        raise ValueError(
            f"layout {layout!r} needs a column {missing[0]!r}, but {has}; "
            f"columns={{{missing[0]!r}: ...}} says which one it is, or on the "
            f"command line --column {missing[0]}=COL"
        )
    known = (*spec.needs, *spec.optional, *_EXTRAS)
    if spec.says_objective:
        known = tuple(c for c in known if c != "objective")
    for name in columns:
        if name not in known:
            raise ValueError(
                f"columns has the key {name!r}, but layout {layout!r} reads {_listed(known)}"
            )
    column = {c: at(spec, c) for c in known}
    for name in ("latents", "embedding"):
        a, b = column.get(f"{name}_a"), column.get(f"{name}_b")
        if bool(a) != bool(b):
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
    return _Plan(
        layout,
        spec,
        {c: v for c, v in column.items() if v},
        response_latents,
        tuple(
            _sides(name, layout, found, has)
            for name in response_latents
            if layout != "ultrafeedback" or name not in _ASPECTS
        ),
        prompt_latents,
        late,
    )


def _keys(table: _Table, limit: int | None) -> list[str]:
    """Keys of the first rows that can be read, in order of appearance."""
    keys: dict[str, None] = {}
    bad = None
    with contextlib.closing(table.rows(None)) as stream:
        good = 0
        for where, row in itertools.islice(stream, limit):
            if isinstance(row, _Bad):
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


def _by_value(table: _Table, fits: list[str], column: str, limit: int | None) -> list[str]:
    """Of the layouts with a chosen response, those that fit what the first rows hold."""
    with contextlib.closing(table.rows({column})) as stream:
        chosen = next(
            (
                row[column]
                for _, row in itertools.islice(stream, limit or _SAMPLE)
                if not isinstance(row, _Bad) and row.get(column) is not None
            ),
            None,
        )
    told = {
        "messages": isinstance(chosen, list),
        "chosen_rejected": not isinstance(chosen, list),
        "transcripts": isinstance(chosen, str) and _TURN.search(chosen) is not None,
    }
    return [name for name in fits if told.get(name, True)]


def _sides(name: str, layout: str, found: Collection[str], has: str) -> tuple[str, str]:
    """The two columns of a response latent."""
    if layout == "ultrafeedback":
        raise ValueError(f"response_latents names {name!r}, expected aspects: {list(_ASPECTS)}")
    tried = [
        tuple(side.format(name) for side in pattern.split()) for pattern in _LAYOUTS[layout].sides
    ]
    for first, second in tried:
        if first in found and second in found:
            return first, second
    raise ValueError(
        f"response_latents names {name!r}: {has}, but none of the pairs "
        + "; ".join(" and ".join(t) for t in tried)
    )


# -- texts stored once, pairs of indices --------------------------------------


class _Fold:
    """Collects judgements as the fields of :class:`PreferenceData`.

    What rows say of a text (type, latents, embedding) is kept with the place that said it
    first, and a row that contradicts it is refused whole.
    """

    def __init__(self) -> None:
        self.prompts: dict[str, int] = {}
        self.responses: dict[tuple[int, str], int] = {}
        self.of_prompt: list[int] = []
        self.pairs: list[tuple[int, int]] = []
        self.label: list[int] = []
        self.objective: list[Any] = []
        self.annotator: list[Any] = []
        self.facts: dict[str, dict[Any, tuple[Any, _Where]]] = {
            k: {} for k in ("prompt_type", "prompt_latents", "response_latents", "embeddings")
        }
        self.width: dict[str, tuple[int, _Where]] = {}
        self.empty = 0

    def add(self, where: _Where, judged: _Judged) -> _Bad | None:
        """Keep one judgement, or say why it cannot be kept."""
        x = self.prompts.get(judged.prompt, len(self.prompts))
        keys = (x, judged.first), (x, judged.second)
        said = [
            ("prompt_type", x, judged.prompt_type),
            ("prompt_latents", x, judged.prompt_latents),
        ]
        for kind, values in (
            ("response_latents", judged.latents),
            ("embeddings", judged.embeddings),
        ):
            if values is not None:
                said += [(kind, key, value) for key, value in zip(keys, values)]
        said = [s for s in said if s[2] is not None]
        try:
            for place, (kind, key, value) in enumerate(said):
                self._compare(kind, key, value, said[:place], where)
        except _Bad as bad:
            return bad
        for kind, key, value in said:
            self.facts[kind].setdefault(key, (value, where))
        self.prompts.setdefault(judged.prompt, x)
        for key in keys:
            if self.responses.setdefault(key, len(self.of_prompt)) == len(self.of_prompt):
                self.of_prompt.append(x)
                self.empty += not key[1].strip()
        self.pairs.append((self.responses[keys[0]], self.responses[keys[1]]))
        self.label.append(judged.label)
        if judged.objective is not None:
            self.objective.append(judged.objective)
        if judged.annotator is not None:
            self.annotator.append(judged.annotator)
        return None

    def _compare(
        self, kind: str, key: Any, value: Any, row: list[tuple[str, Any, Any]], where: _Where
    ) -> None:
        """Refuse what an earlier row, or the row itself, says otherwise."""
        if kind != "prompt_type":
            width, at = self.width.setdefault(kind, (len(value), where))
            if len(value) != width:
                raise _Bad(f"{kind}: {_count(len(value), 'number')}, but {at} has {width}")
        here = next((v for k, other, v in row if (k, other) == (kind, key)), None)
        earlier, at = self.facts[kind].get(key, (here, where))
        if earlier is None or earlier is value or np.array_equal(earlier, value):
            return
        text = "prompt" if kind.startswith("prompt") else "response"
        values = "" if kind == "embeddings" else f" {_brief(value)}"
        other = "" if kind == "embeddings" else f" {_brief(earlier)}"
        raise _Bad(
            f"{kind}{values} of a {text} contradicts {at}, which gives the same text "
            f"{other.strip() or 'another one'}"
        )

    def fields(
        self, plan: _Plan, typed: bool
    ) -> tuple[dict[str, Any], dict[str, list[str]], list[str]]:
        """Fields of the data, names of their codes and columns, and notes."""
        names: dict[str, list[str]] = {}
        notes: list[str] = []
        values = {
            kind: [facts[key][0] for key in keys]
            for kind, keys, facts in (
                ("prompt_type", range(len(self.prompts)), self.facts["prompt_type"]),
                ("prompt_latents", range(len(self.prompts)), self.facts["prompt_latents"]),
                ("response_latents", self.responses, self.facts["response_latents"]),
                ("embeddings", self.responses, self.facts["embeddings"]),
            )
            if facts
        }
        arrays: dict[str, np.ndarray] = {}
        coded = {
            "objective": self.objective,
            "annotator": self.annotator,
            "prompt_type": values.pop("prompt_type", []),
        }
        for kind, column in coded.items():
            if column:
                arrays[kind], words = _coded(column, plan.spec.names.get(kind), typed)
                if words:
                    names[kind] = words
        for kind, column in values.items():
            arrays[kind] = np.array(column, dtype=np.float32 if kind == "embeddings" else float)
            if kind != "embeddings":
                asked = getattr(plan, kind) or (_ASPECTS if plan.name == "ultrafeedback" else ())
                names[kind] = list(asked or _numbered(arrays[kind].shape[1]))
        if plan.name == "ultrafeedback":
            lacking = np.isnan(arrays["response_latents"]).sum(axis=0)
            notes += [
                f"{name} is not rated for {_count(int(n), 'completion')} of "
                f"{len(self.responses):,}: left out of the response latents (name it in "
                "response_latents to leave out those completions instead)"
                for name, n in zip(names["response_latents"], lacking)
                if n
            ]
            names["response_latents"] = [
                name for name, n in zip(names["response_latents"], lacking) if not n
            ]
            arrays["response_latents"] = arrays["response_latents"][:, lacking == 0]
        for kind in ("response_latents", "prompt_latents", "embeddings"):
            if kind in arrays and arrays[kind].shape[1] == 0:
                del arrays[kind]
                names.pop(kind, None)
        if self.empty:
            notes.append(f"{_count(self.empty, 'response')} without words kept")
        return (
            {
                "prompts": list(self.prompts),
                "responses": [text for _, text in self.responses],
                "response_prompt": np.array(self.of_prompt, dtype=np.int64),
                "pairs": np.array(self.pairs, dtype=np.int64),
                "label": np.array(self.label),
                **arrays,
            },
            names,
            notes,
        )


def _brief(value: Any) -> str:
    return (
        f"({', '.join(f'{v:g}' for v in value[:6])}{', ...' * (len(value) > 6)})"
        if isinstance(value, tuple)
        else repr(value)
    )


_WHOLE = re.compile(r"0|-?[1-9][0-9]{0,14}")


def _coded(
    values: list[Any], fixed: Sequence[str] | None, typed: bool
) -> tuple[np.ndarray, list[str] | None]:
    """Codes and their names: whole numbers stay, words are numbered in sorted order."""
    if fixed is None:
        if not typed:  # the cells of a text file are all strings
            values = [int(v) if isinstance(v, str) and _WHOLE.fullmatch(v) else v for v in values]
        if all(isinstance(v, int) for v in values):
            return np.array(values, dtype=np.int64), None
        values = [str(v) for v in values]
    words = list(fixed or sorted(set(values)))
    code = {word: i for i, word in enumerate(words)}
    return np.array([code[v] for v in values], dtype=np.int64), words
