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
                    embedding_a, embedding_b, strength,
                    probability)
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

Every layout also reads ``objective``, ``annotator``, ``session``, ``time``, ``prompt_type``,
``prompt_group`` and the two columns ``model_a`` and ``model_b`` (or ``model_1`` and ``model_2``,
``chosen_model`` and ``rejected_model``, ...) where the file has columns of these names, or where
``columns`` names others; ``columns={"objective": None}`` leaves one out. Times are seconds since
the epoch, or dates in ISO 8601.

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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from causalpref.data import Collector, PreferenceData
from causalpref.sources._layouts import LAYOUTS, SPECS
from causalpref.sources._plan import Plan, plan_for
from causalpref.sources._rows import Bad, Table, count, is_saved, open_rows

if TYPE_CHECKING:
    import datasets
    import pandas as pd

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


_OF_DATA = {*dir(PreferenceData), *PreferenceData.__dataclass_fields__}


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
    notes : list of str
        Decisions that the data forced, one sentence each.
    """

    data: PreferenceData
    layout: str
    rows: int
    bad: list[BadRow]
    ties: int
    notes: list[str] = field(default_factory=list)

    def __repr__(self) -> str:
        return self.summary()

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            there = not name.startswith("_") and name in _OF_DATA
            hint = f": use .data.{name}, the pairs are in .data" if there else ""
            raise AttributeError(
                f"{type(self).__name__} has no {name!r}{hint}", name=name, obj=self
            )

    def summary(self) -> str:
        """What was read and left out, as a few lines of text."""
        data = self.data
        lines = [
            f"{data.source}, layout {self.layout!r}",
            f"{count(self.rows, 'row')} read: {count(len(data), 'pair')} of "
            f"{count(len(data.responses), 'response')} to {count(len(data.prompts), 'prompt')}",
            f"left out: {count(self.ties, 'tie')}, {count(len(self.bad), 'bad row')}",
            "order shown: "
            + (
                "as in the file"
                if data.order_known
                else "not recorded (chosen first in the file), randomised"
            ),
        ]
        for kind in ("objective", "prompt_type", "annotator", "session", "model"):
            if getattr(data, kind) is not None:
                lines.append(f"{kind}: {self._shares(kind)}")
        for kind in ("response_latents", "prompt_latents"):
            if getattr(data, kind) is not None:
                lines.append(f"{kind}: {', '.join(data.names_of(kind))}")
        lines += self.notes
        lines += [f"bad: {row}" for row in self.bad[:3]]
        if len(self.bad) > 3:
            lines.append(f"bad: and {len(self.bad) - 3:,} more")
        return "\n".join(lines)

    def _shares(self, kind: str) -> str:
        codes, counts = np.unique(getattr(self.data, kind), return_counts=True)
        order = np.argsort(-counts, kind="stable")
        names = self.data.names_of(kind, codes[order])
        shown = [f"{name} ({n:,})" for name, n in zip(names, counts[order])]
        if len(shown) <= 6:
            return ", ".join(shown)
        return f"{len(shown):,} different, most often {', '.join(shown[:3])}"


def load_preferences(
    source: str | os.PathLike[str] | datasets.Dataset | pd.DataFrame | Sequence[Mapping[str, Any]],
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
    """Read preference data of any common layout, from a file or from memory.

    Rows with the same prompt share one prompt, equal responses to a prompt are one response,
    and repeated judgements stay repeated pairs.

    Parameters
    ----------
    source : path, str, datasets.Dataset, pandas.DataFrame or sequence of mappings
        Rows in memory, or where they are.

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
        Decides which response comes first where the file does not tell.

    Returns
    -------
    LoadedPreferences

    Raises
    ------
    FileNotFoundError
        No such path, and no hub id either.
    TypeError
        A source that is none of these.
    ImportError
        A hub id or a folder of ``save_to_disk``, and the package ``datasets`` is not installed.
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
    if layout not in ("auto", "saved", *SPECS):
        raise ValueError(f"layout is {layout!r}, expected 'auto' or one of {list(LAYOUTS)}")
    if limit is not None and (
        isinstance(limit, bool) or not isinstance(limit, (int, np.integer)) or limit < 1
    ):
        raise ValueError(f"limit is {limit!r}, expected a whole number from 1")
    asked: dict[str, tuple[str, ...]] = {}
    for option, names in (
        ("response_latents", response_latents),
        ("prompt_latents", prompt_latents),
    ):
        if isinstance(names, str):
            raise ValueError(f"{option} is one string, {names!r}: give a sequence of names")
        asked[option] = tuple(names)
    columns = dict(columns or {})

    if is_saved(source) or layout == "saved":
        unused = {
            "layout": layout not in ("auto", "saved") and layout,
            "columns": columns,
            **asked,
            "split": split,
            "config": config,
            "revision": revision,
        }
        return _load_saved(source, limit, [k for k, v in unused.items() if v])
    table = open_rows(source, split=split, config=config, revision=revision)
    plan = plan_for(table, layout, columns, **asked, limit=limit)
    return collected(table, plan, skip_bad=skip_bad, limit=limit, seed=seed)


def collected(
    table: Table,
    plan: Plan,
    *,
    skip_bad: bool | None = None,
    limit: int | None = None,
    seed: int | np.random.Generator = 0,
) -> LoadedPreferences:
    """Rows, read by a plan, into the collector; see :func:`load_preferences`.

    ``skip_bad`` is None where the caller has no such option, so that no message speaks of it.
    """
    collector = Collector(plan.facts)
    models: dict[tuple[str, str], Any] = {}
    bad: list[BadRow] = []
    rows = ties = twice = 0
    with contextlib.closing(table.rows(plan.wanted)) as stream:
        for where, raw in itertools.islice(stream, limit):
            rows += 1
            for item in plan.judgements(raw):
                if not isinstance(item, Bad):
                    prompt, first, second, label, _ = item
                    if label is None:
                        ties += 1
                        continue
                    facts = dict(item.facts)
                    if "model" in facts:
                        texts = [(prompt, first), (prompt, second)]
                        kept = tuple(models.setdefault(*v) for v in zip(texts, facts["model"]))
                        twice += kept != facts["model"]
                        facts["model"] = kept
                    try:
                        collector.add(where, prompt, first, second, label, facts)
                        continue
                    except ValueError as error:
                        item = Bad(str(error))
                bad.append(BadRow(str(where), plan.worded(item)))
                if not skip_bad:
                    hint = (
                        " (skip_bad=True, or --skip-bad on the command line, leaves such rows out"
                    )
                    raise ValueError(
                        f"{bad[0]}{'' if skip_bad is None else hint + ' and counts them)'}"
                    )
    if not len(collector):
        if not rows:
            raise ValueError(f"{table.name} holds no rows")
        why = f"; the first bad one: {bad[0]}" if bad else ""
        raise ValueError(
            f"{table.name}: none of {count(rows, 'row')} gives a usable pair "
            f"({count(ties, 'tie')}, {len(bad):,} bad{why})"
        )

    fields = collector.fields(names=plan.names, typed=table.typed)
    notes = _unrated(fields) if plan.name == "ultrafeedback" else []
    for kind in ("response_latents", "prompt_latents", "embeddings"):
        if kind in fields and fields[kind].shape[1] == 0:
            del fields[kind]
    if empty := sum(not text.strip() for text in fields["responses"]):
        notes.append(f"{count(empty, 'response')} without words kept")
    if twice:
        notes.append(
            f"{count(twice, 'pair')} with a text that two models wrote: the model named first "
            "is kept"
        )
    if plan.spec.groups is not None and "prompt_group" not in fields:
        fields["prompt_group"] = plan.spec.groups(fields["prompts"])
    data = PreferenceData(
        **fields,
        order_known=plan.spec.order_known,
        source=f"{table.name} ({count(len(collector), 'pair')})",
    )
    if not plan.spec.order_known:
        data = data.swapped(np.random.default_rng(seed).integers(0, 2, len(data)))
    return LoadedPreferences(data, plan.name, rows, bad, ties, notes)


def _unrated(fields: dict[str, Any]) -> list[str]:
    """Leave out the aspects that some completion lacks, with a note each."""
    lacking = np.isnan(fields["response_latents"]).sum(axis=0)
    aspects = fields["names"]["response_latents"]
    fields["response_latents"] = fields["response_latents"][:, lacking == 0]
    fields["names"]["response_latents"] = [a for a, n in zip(aspects, lacking) if not n]
    return [
        f"{aspect} is not rated for {count(int(n), 'completion')} of "
        f"{len(fields['responses']):,}: left out of the response latents (name it in "
        "response_latents to leave out those completions instead)"
        for aspect, n in zip(aspects, lacking)
        if n
    ]


def _load_saved(source: Any, limit: int | None, unused: list[str]) -> LoadedPreferences:
    if not is_saved(source):
        raise ValueError(f"layout is 'saved', but {source} is no folder of PreferenceData.save")
    if unused:
        raise ValueError(
            f"{unused[0]} does not go with {source}: PreferenceData.save wrote it, "
            "and its columns are known"
        )
    import pyarrow as pa

    try:
        data = PreferenceData.load(source)
    except (KeyError, TypeError, pa.ArrowException) as error:
        raise ValueError(f"{source} is damaged ({type(error).__name__}: {error})") from None
    if limit is not None and limit < len(data):
        data = data.select(slice(limit)).compact()
    return LoadedPreferences(data, "saved", len(data), [], 0)
