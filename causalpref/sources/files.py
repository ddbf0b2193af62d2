"""Preference data of your own: read a file, a folder or a hub data set, whatever its layout.

:func:`load_preferences` finds the layout from the names of the columns and from what they
hold. Spelling does not matter: ``responseA``, ``Response A`` and ``response_a`` are one name.

=================== ====================================================== =====================
layout              columns it needs, by the commonest of their names      who is preferred
=================== ====================================================== =====================
``chosen_rejected`` prompt, chosen, rejected                               chosen
``messages``        chosen, rejected: chat messages                        chosen
``transcripts``     chosen, rejected: "Human: ... Assistant: ..."          chosen
``pairs``           prompt, response_a, response_b, and a verdict:         what the verdict says
                    label, winner, preference, scores, votes
``arena``           conversation_a, conversation_b, winner                 model_a, model_b, tie
``alpaca_farm``     instruction, output_1, output_2, preference            1 or 2, or between
``helpsteer``       prompt or context, response_1, response_2,             below 0: the first,
                    preference_strength or overall_preference              above 0: the second
``safe_rlhf``       prompt, response_0, response_1, better_response_id,    the two ids;
                    safer_response_id                                      two objectives
``hh_rlhf``         prompt, responses (2), label, objective, data_subset   label: the index
``ultrafeedback``   instruction, completions with annotations              higher mean rating
``ranked``          prompt, a list of answers with scores or ranks, or     higher score, lower
                    the index of the best                                  rank, the best
``rated``           prompt, response, score: one answer a row              higher score
=================== ====================================================== =====================

A folder written by :meth:`PreferenceData.save` is recognised too (``saved``), and so are exports
of Label Studio, Argilla and Prodigy.

What the values of a label mean
-------------------------------
It is taken from the columns where they settle it: ``winner: model_a``, ``label: 2`` beside
``output_1`` and ``output_2``, a published format. Where they do not, nothing is assumed:
``label_values={0: "first", 1: "second", 2: "tie"}`` says it. The summary repeats what was read.

What becomes part of the prompt
-------------------------------
``system``, ``history``, ``context``, ``input`` and ``tools`` become part of the prompt. Chat
messages stay messages (:class:`~causalpref.data.Conversation`); where the answers are whole
conversations, the prompt is what both share up to the assistants' answers. Plain
transcripts are parsed at ``Human:`` and ``Assistant:``.

Further facts
-------------
``objective``, ``annotator``, ``session``, ``time``, ``prompt_type``, ``prompt_group`` and the
models of the two answers are read where the file has such columns, or where ``columns`` names
others; ``columns={"objective": None}`` leaves one out. Times are seconds since the epoch, or dates
in ISO 8601.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from causalpref.data import Collector, PreferenceData, contents, stated
from causalpref.sources._labels import Unknown, checked_values, is_vocabulary, key_of, unclear
from causalpref.sources._layouts import EXTRAS, LAYOUTS, PARTS, Judged, Rated
from causalpref.sources._plan import Plan, Restart, plan_for
from causalpref.sources._rows import (
    Bad,
    Row,
    Table,
    Where,
    count,
    is_saved,
    listed,
    open_rows,
    printable,
)
from causalpref.sources._values import plain
from causalpref.sources._view import at

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
    """What :func:`load_preferences` read, what it took it to mean, and what it could not keep.

    Parameters
    ----------
    data : PreferenceData
        The pairs of which one answer is preferred.
    layout : str
        A name of :data:`LAYOUTS`, or ``"saved"``.
    rows : int
        Rows read, the bad ones and the ties among them.
    bad : list of BadRow
        What was left out as unusable, in the order of the file.
    ties : int
        Comparisons that say "both equal".
    notes : list of str
        Decisions that the data forced, one sentence each.
    lost : int
        Rows that gave no comparison at all.
    tied : PreferenceData, optional
        The ties, as pairs with ``tie`` true and a label that means nothing; None if there are none.
    meaning : str
        What the label was taken to mean.
    unread : list of str
        Columns of the file that were not read.
    cut : bool
        True when a file ends in damage, so that nobody knows how many rows are lost.
    """

    data: PreferenceData
    layout: str
    rows: int
    bad: list[BadRow]
    ties: int
    notes: list[str] = field(default_factory=list)
    lost: int = 0
    tied: PreferenceData | None = None
    meaning: str = ""
    unread: list[str] = field(default_factory=list)
    cut: bool = False

    def __repr__(self) -> str:
        return self.summary()

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            there = not name.startswith("_") and name in _OF_DATA
            hint = f": use .data.{name}, the pairs are in .data" if there else ""
            raise AttributeError(
                f"{type(self).__name__} has no {name!r}{hint}", name=name, obj=self
            )

    def told(self, said: Mapping[str, Any]) -> LoadedPreferences:
        """The same with what a data frame or a Dataset of ours says of itself.

        Parameters
        ----------
        said : mapping
            ``order_known``, ``source``, ``simulated``, ``names``; what is missing stays.
        """
        if not said:
            return self

        def with_facts(data: PreferenceData) -> PreferenceData:
            own = {k: said[k] for k in ("order_known", "source", "simulated") if k in said}
            names = {k: v for k, v in said.get("names", {}).items() if k not in data.names}
            return data.replace(**own, names={**data.names, **names})

        tied = None if self.tied is None else with_facts(self.tied)
        return dataclasses.replace(self, data=with_facts(self.data), tied=tied)

    @property
    def lost_share(self) -> float:
        """Share of the rows that gave no comparison, 0 to 1."""
        return self.lost / self.rows if self.rows else 0.0

    def summary(self) -> str:
        """What was read and left out, as a few lines of text."""
        data = self.data
        lines = [f"{data.source}, layout {self.layout!r}"]
        if self.lost:
            lines.append(
                f"{self.lost:,} of {count(self.rows, 'row')} could not be read "
                f"({self.lost_share:.1%})"
                + "; the file ends in damage, so more rows may be missing"
                * self.cut
            )
        lines.append(
            f"{count(self.rows, 'row')} read: {count(len(data), 'pair')} of "
            f"{count(len(data.responses), 'response')} to {count(len(data.prompts), 'prompt')}; "
            f"{count(len(self.bad), 'bad row')}"
        )
        if self.meaning:
            lines.append(f"meaning: {self.meaning}; {count(self.ties, 'tie')}")
        lines.append(
            "order shown: "
            + ("as in the file" if data.order_known else "not recorded in the file, randomised")
        )
        for kind in ("objective", "prompt_type", "annotator", "session", "model"):
            if getattr(data, kind) is not None:
                lines.append(f"{kind}: {self._shares(kind)}")
        for kind in ("response_latents", "prompt_latents"):
            if getattr(data, kind) is not None:
                lines.append(f"{kind}: {', '.join(data.names_of(kind))}")
        if self.unread:
            lines.append(f"columns not read: {listed(self.unread, 12)}")
        lines += self.notes
        lines += [finding.sentence for finding in contents(data)]
        lines += [f"bad: {row}" for row in self.bad[:3]]
        if len(self.bad) > 3:
            lines.append(f"bad: and {len(self.bad) - 3:,} more")
        return "\n".join(map(printable, [*lines, *self.examples()]))

    def examples(self, n: int = 2) -> list[str]:
        """Rows with their winner and loser, one line each, texts shortened.

        Parameters
        ----------
        n : int
            Number of rows, spread over the data.
        """
        rows = np.unique(np.linspace(0, len(self.data) - 1, min(n, len(self.data))).astype(int))
        return [
            f"example: {_short(pair.prompt)} | preferred: {_short(pair.chosen)} | "
            f"other: {_short(pair.rejected)}"
            for pair in (self.data[int(i)] for i in rows)
        ]

    def _shares(self, kind: str) -> str:
        codes, counts = np.unique(getattr(self.data, kind), return_counts=True)
        order = np.argsort(-counts, kind="stable")
        names = self.data.names_of(kind, codes[order])
        shown = [f"{name} ({n:,})" for name, n in zip(names, counts[order])]
        if len(shown) <= 6:
            return ", ".join(shown)
        return f"{len(shown):,} different, most often {', '.join(shown[:3])}"


def _short(text: str, most: int = 60) -> str:
    flat = " ".join(text[: 4 * most].split())
    return repr(flat if len(flat) <= most else flat[: most - 3] + "...")


def load_preferences(
    source: str | os.PathLike[str] | datasets.Dataset | pd.DataFrame | Sequence[Mapping[str, Any]],
    *,
    layout: str = "auto",
    columns: Mapping[str, str | None] | None = None,
    label_values: Mapping[Any, str] | None = None,
    response_latents: Sequence[str] = (),
    prompt_latents: Sequence[str] = (),
    strict: bool = False,
    limit: int | None = None,
    split: str | None = None,
    config: str | None = None,
    revision: str | None = None,
    seed: int | np.random.Generator = 0,
) -> LoadedPreferences:
    """Read preference data of any common layout, from a file or from memory.

    Rows with the same prompt share one prompt, equal responses to a prompt are one response,
    and repeated judgements stay repeated pairs. Rows that cannot be used are kept out, counted
    and named.

    Parameters
    ----------
    source : path, str, datasets.Dataset, pandas.DataFrame or sequence of mappings
        Rows in memory, or where they are.

        A file: JSON lines, JSON, CSV with any common delimiter, each plain or compressed, or
        Parquet. A folder: one written by :meth:`PreferenceData.save` or by ``save_to_disk`` of
        ``datasets``, or one that holds data files of one kind. Otherwise a hub id ``owner/name``.
        A path that exists wins.
    layout : str
        ``"auto"`` or a name of :data:`LAYOUTS`; see the table of this module.
    columns : mapping of str to str or None, optional
        What a column is to be called: ``{"prompt": "question", "annotator": "worker"}`` reads the
        file's ``question`` as ``prompt``. None leaves an optional column out.
    label_values : mapping, optional
        What the values of the label mean, each ``"first"``, ``"second"`` or ``"tie"``:
        ``{0: "first", 1: "second", 2: "tie"}``.
    response_latents : sequence of str
        Z^T. Each ``NAME`` is a number for either response, in the columns ``NAME_a`` and
        ``NAME_b`` (or ``_1``, ``_2``; ``_0``, ``_1``); where the file has chosen and rejected,
        ``NAME_chosen`` and ``NAME_rejected`` or ``chosen_NAME`` and ``rejected_NAME``. For
        ``ultrafeedback``: rated aspects. They replace what the layout reads by itself.
    prompt_latents : sequence of str
        Z^X: columns that hold a number for the row's prompt.
    strict : bool
        Stop at the first row that cannot be used.
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
        A label whose values the columns do not settle; a layout that nearly fits, with the column
        that it lacks; a file without preferences, with what is missing; no usable pair; with
        ``strict`` the first bad row, by file, line or row, and reason; a damaged file, a column or
        split that does not exist, a hub data set that cannot be had.

    Notes
    -----
    Bad is a row that is no JSON object, lacks a column, has a prompt that is empty, a text that is
    not a string or holds NUL or half of a surrogate pair, a label that is not understood, a
    latent that is no number, conversations that share no prompt, or that contradicts an earlier
    row about the type or latents of a text. An empty answer is an answer.

    Several annotators in columns count as one judgement, that of the majority; the share of their
    votes is its ``probability``.

    ``ultrafeedback`` compares all completions of a row by the mean of the aspects rated other
    than "N/A". A completion without any rating is bad. An aspect that some completion lacks is
    left out of the latents, with a note; name it in ``response_latents`` to leave out such
    completions (each counted as bad) instead. The second choice drops prompts by their kind,
    because raters give "N/A" where an aspect does not apply.
    """
    if layout not in ("auto", "saved", *LAYOUTS):
        raise ValueError(f"layout is {layout!r}, expected 'auto' or one of {list(LAYOUTS)}")
    if limit is not None and (
        isinstance(limit, bool) or not isinstance(limit, (int, np.integer)) or limit < 1
    ):
        raise ValueError(f"limit is {limit!r}, expected a positive integer")
    asked: dict[str, tuple[str, ...]] = {}
    for option, names in (
        ("response_latents", response_latents),
        ("prompt_latents", prompt_latents),
    ):
        if isinstance(names, str):
            raise ValueError(f"{option} is one string, {names!r}: give a sequence of names")
        asked[option] = tuple(names)
    columns, means = dict(columns or {}), checked_values(label_values)

    if is_saved(source) or layout == "saved":
        unused = {
            "layout": layout not in ("auto", "saved") and layout,
            "columns": columns,
            "label_values": means,
            **asked,
            "split": split,
            "config": config,
            "revision": revision,
        }
        return _load_saved(source, limit, [k for k, v in unused.items() if v])
    table = open_rows(source, split=split, config=config, revision=revision)
    more: set[str] = set()
    notes: list[str] = []
    while True:
        plan = plan_for(table, layout, columns, **asked, limit=limit, label_values=means, more=more)
        try:
            loaded = collected(table, plan, strict=strict, limit=limit, seed=seed, notes=notes)
            return loaded.told(stated(source)) if plan.name == "pairs" else loaded
        except Restart as restart:
            more |= restart.columns
            if restart.without:
                columns[restart.without] = None
                notes.append(
                    f"The column of {restart.without} is not read: {restart.why}. "
                    f"columns={{{restart.without!r}: ...}} reads it all the same."
                )


def collected(
    table: Table,
    plan: Plan,
    *,
    strict: bool = False,
    limit: int | None = None,
    seed: int | np.random.Generator = 0,
    notes: Sequence[str] = (),
) -> LoadedPreferences:
    """Rows, read by a plan, into the collector; see :func:`load_preferences`.

    Raises
    ------
    Restart
        A column, seen only after the plan was made, that may matter.
    """
    reading = _Reading(plan, strict, np.random.default_rng(seed))
    looks = table.columns is None and plan.view.unwrap is None
    known = set(plan.view.found)
    matter = {n for names in (*PARTS.values(), *EXTRAS.values()) for n in names}
    with contextlib.closing(table.rows(plan.wanted)) as stream:
        for where, raw in itertools.islice(stream, limit):
            if looks and not isinstance(raw, Bad) and (late := raw.keys() - known):
                known |= late
                if any(plain(column) in matter for column in late):
                    raise Restart(late)
            reading.row(where, raw)
    reading.finish()
    collector = reading.collector
    if not len(collector):
        if not reading.rows:
            raise ValueError(f"{table.name} holds no rows")
        why = (
            f"; the first bad one: {reading.bad[0][0]}: {reading.bad[0][1]}" if reading.bad else ""
        )
        raise ValueError(
            f"{table.name}: none of {count(reading.rows, 'row')} gives a usable pair "
            f"({len(reading.bad):,} bad{why})"
        )
    fields = collector.fields(names=plan.names, typed=table.typed)
    notes = [*table.notes, *notes, *plan.shape.notes]
    if plan.name == "ultrafeedback":
        notes += _unrated(fields)
    for kind in ("response_latents", "prompt_latents", "embeddings"):
        if kind in fields and fields[kind].shape[1] == 0:
            del fields[kind]
    notes += reading.remarks()
    if plan.shape.groups is not None and "prompt_group" not in fields:
        fields["prompt_group"] = plan.shape.groups(fields["prompts"])
    tie = np.array(reading.tie, dtype=bool)
    if tie.any() and not {"strength", "probability"} & fields.keys():
        fields["strength"] = np.where(tie, 0.0, 2.0 * fields["label"] - 1)
    whole = PreferenceData(**fields, order_known=plan.shape.order_known, source=table.name)
    if not plan.shape.order_known:
        whole = whole.swapped(reading.rng.integers(0, 2, len(whole)))
    ties = int(tie.sum())
    if ties == len(whole):
        raise ValueError(
            f"{table.name}: none of {count(reading.rows, 'row')} gives a usable pair "
            f"({count(ties, 'tie')}, {len(reading.bad):,} bad): both answers are always equal"
        )
    data, tied = whole, None
    if ties:
        data, tied = whole.select(~tie).compact(), whole.select(tie).compact()
        if "strength" not in plan.facts:
            data = data.replace(strength=None)
    said = lambda d: d.replace(source=f"{table.name} ({count(len(d), 'pair')})")
    return LoadedPreferences(
        said(data),
        plan.name,
        reading.rows,
        [BadRow(str(where), reason) for where, reason in reading.bad],
        ties,
        notes,
        reading.lost,
        None if tied is None else said(tied),
        plan.shape.meaning,
        [*plan.unread, *(c for c in known if c not in plan.view.found)],
        reading.cut,
    )


class _Reading:
    """Row after row into the collector, with what goes wrong."""

    def __init__(self, plan: Plan, strict: bool, rng: np.random.Generator):
        self.plan, self.strict, self.rng = plan, strict, rng
        self.collector = Collector(plan.facts)
        self.tie: list[bool] = []
        self.bad: list[tuple[Where, str]] = []
        self.rows = self.lost = self.twice = self.against = self.level = 0
        self.cut = False
        self.models: dict[tuple[str, str], Any] = {}
        self.unknown: list[tuple[Where, str, str, Any]] = []
        self.rated: dict[str, list[tuple[Where, Rated]]] = {}

    def row(self, where: Where, raw: Row | Bad) -> None:
        """Read one row; raises ValueError for a bad one where ``strict``."""
        self.rows += 1
        self.cut |= isinstance(raw, Bad) and raw.rest
        kept = False
        for item in self.plan.judgements(raw):
            if isinstance(item, Rated):
                self.rated.setdefault(item.prompt, []).append((where, item))
                kept = True
            else:
                kept |= self.judged(where, item)
                if self.plan.shape.ratings and isinstance(item, Judged) and isinstance(raw, dict):
                    self._compare(raw, item.label)
        self.lost += not kept

    def judged(self, where: Where, item: Judged | Bad) -> bool:
        """Keep a judgement; False if it is bad."""
        if isinstance(item, Judged):
            facts = dict(item.facts)
            if "model" in self.plan.facts and "model" in facts:
                texts = [(item.prompt, item.first), (item.prompt, item.second)]
                kept = tuple(self.models.setdefault(*v) for v in zip(texts, facts["model"]))
                self.twice += kept != facts["model"]
                facts["model"] = kept
            tie = item.label is None
            label = int(self.rng.integers(0, 2)) if item.label is None else item.label
            try:
                self.collector.add(where, item.prompt, item.first, item.second, label, facts)
            except ValueError as error:
                item = Bad(str(error))
            else:
                self.tie.append(tie)
                return True
        if isinstance(item, Unknown):
            self.unknown.append((where, item.column or "label", str(item), item.value))
        self._left_out(where, str(item))
        return False

    def _left_out(self, where: Where, reason: str) -> None:
        self.bad.append((where, reason))
        if self.strict:
            raise ValueError(f"{where}: {reason}")

    def finish(self) -> None:
        """Compare rated answers; ask about values of a label that the first rows did not show."""
        for answers in self.rated.values():
            if len(answers) == 1:
                self.lost += 1
                self._left_out(answers[0][0], "is the only answer to its prompt, a pair needs two")
            for (where, a), (_, b) in itertools.combinations(answers, 2):
                gap = a.score - b.score
                facts = {k: (v, b.facts[k]) for k, v in a.facts.items()}
                label = None if gap == 0 else int(gap > 0)
                self.judged(
                    where,
                    Judged(a.prompt, a.response, b.response, label, {**facts, "strength": gap}),
                )
        counts = Counter(key_of(value) for *_, value in self.unknown)
        if counts and is_vocabulary(counts, self.rows):
            name = self.unknown[0][1]
            raise unclear(name, counts, self.plan.view.table.name)

    def _compare(self, row: Row, label: int | None) -> None:
        """Whether the scores of the two answers stand against the choice."""
        with contextlib.suppress(TypeError, ValueError, OverflowError):
            first, second = (float(at(row, path)) for path in self.plan.shape.ratings or ())
            self.level += first == second
            self.against += label is not None and first != second and (first > second) != label

    def remarks(self) -> list[str]:
        """Sentences about what was kept."""
        said = []
        if self.twice:
            said.append(
                f"{count(self.twice, 'pair')} with a text that two models wrote: the model named "
                "first is kept"
            )
        if self.against or self.level:
            a, b = self.plan.shape.ratings or ("", "")
            said.append(
                f"In {self.against:,} of {count(self.rows, 'row')} the preferred answer has the "
                f"lower score ({a}, {b}); in {self.level:,} both scores are equal."
            )
        return said


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
