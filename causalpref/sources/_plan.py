"""Which columns of a file play which part, found from their names and their first values."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from causalpref.sources._chosen import build_chosen_rejected, build_output_of_two, chosen_rejected
from causalpref.sources._formats import build_hh_rlhf, build_safe_rlhf, build_ultrafeedback
from causalpref.sources._labels import Unclear
from causalpref.sources._layouts import (
    EXTRAS,
    GOOD_BAD,
    LAYOUTS,
    OBJECTIVES,
    OWN,
    SIDES,
    TEXTS,
    VERDICT_WORDS,
    Judged,
    Said,
)  # fmt: skip
from causalpref.sources._pairs import build_two
from causalpref.sources._rows import Bad, Row, Table, listed
from causalpref.sources._several import build_rated, build_several
from causalpref.sources._shapes import Lacks, Shape, answer_columns, model_columns, side_pairs
from causalpref.sources._values import (
    as_category,
    as_number,
    as_numbers,
    as_time,
    is_empty,
    opened,
    plain,
    words,
)  # fmt: skip
from causalpref.sources._view import MISSING, View, at, fetch, is_short, look, mostly, need


class Restart(Exception):
    """The rest of the file shows columns, or values, that the plan did not know of."""

    def __init__(self, columns: Iterable[str] = (), without: str = "", why: str = ""):
        self.columns, self.without, self.why = set(columns), without, why


_FIELDS = {
    "latents_a": "response_latents",
    "latents_b": "response_latents",
    "embedding_a": "embeddings",
    "embedding_b": "embeddings",
}


@dataclass(frozen=True)
class Plan:
    """A shape, and the further columns that are read."""

    view: View
    shape: Shape
    extras: Mapping[str, str]
    models: tuple[str, str] | None
    response_latents: tuple[str, ...]
    latent_columns: tuple[tuple[str, str], ...]
    prompt_latents: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.shape.name

    @property
    def used(self) -> set[str]:
        """The paths that are read."""
        more = (self.models or (), self.prompt_latents, self.shape.ratings or ())
        return {*self.shape.used, *self.extras.values()}.union(*more, *self.latent_columns)

    @property
    def _read(self) -> set[str]:
        """The columns of the file that are read."""
        return {p if p in self.view.found else p.split(".")[0] for p in self.used}

    @property
    def wanted(self) -> set[str] | None:
        """The columns to read from the file; None reads all, where rows have to be opened."""
        return self._read if self.view.unwrap is None else None

    @property
    def unread(self) -> list[str]:
        """The columns of the file that are not read."""
        return [c for c in self.view.found if c not in self._read]

    @property
    def facts(self) -> set[str]:
        """The fields of :class:`PreferenceData` that every judgement states."""
        found = {_FIELDS.get(name, name) for name in self.extras} | self.shape.facts
        stated = (
            ("model", self.models),
            ("response_latents", self.latent_columns),
            ("prompt_latents", self.prompt_latents),
        )
        return found | {name for name, columns in stated if columns}

    @property
    def names(self) -> dict[str, tuple[str, ...]]:
        """Names of codes and columns that are known before a row is read."""
        latents = self.response_latents or self.shape.names.get("response_latents", ())
        named = {"response_latents": latents, "prompt_latents": self.prompt_latents}
        return {**self.shape.names, **{k: v for k, v in named.items() if v}}

    def rows(self, raw: Row | Bad) -> list[Row | Bad]:
        """The rows in a row: more than one where annotators are inside it."""
        if isinstance(raw, Bad) or self.view.unwrap is None:
            return [raw]
        try:
            return list(self.view.unwrap(raw)) or [Bad("holds no annotation that was submitted")]
        except ValueError as error:
            return [Bad(str(error))]

    def judgements(self, raw: Row | Bad) -> Said:
        """All that a row says, the extra columns included; one :class:`Bad` if it is unusable."""
        said: Said = []
        for row in self.rows(raw):
            try:
                if isinstance(row, Bad):
                    raise row
                said += self._judgements(row)
            except Bad as bad:
                said.append(bad)
        return said

    def _judgements(self, row: Row) -> Said:
        said = self.shape.read(row)
        more = self._more(row, said)
        if not more:
            return said
        return [j if isinstance(j, Bad) else j._replace(facts={**j.facts, **more}) for j in said]

    def _more(self, row: Row, said: Said) -> dict[str, Any]:
        more: dict[str, Any] = {}
        for name in ("objective", "annotator", "prompt_type", "prompt_group", "session"):
            if name in self.extras:
                more[name] = self._category(row, name)
        if "time" in self.extras:
            more["time"] = self._optional(row, "time", as_time)
        if self.models:
            more["model"] = tuple(as_category({m: at(row, m)}, m) for m in self.models)
        for name, middle in (("strength", 0.0), ("probability", 0.5)):
            if name in self.extras and name not in self.shape.facts:
                more[name] = self._grade(row, name, middle, said)
        own = {name: at(row, path) for name, path in self.extras.items() if name in OWN}
        if self.prompt_latents:
            more["prompt_latents"] = tuple(as_number(need(row, c), c) for c in self.prompt_latents)
        elif "prompt_latents" in own:
            more["prompt_latents"] = as_numbers(own, "prompt_latents")
        if self.latent_columns:
            more["response_latents"] = tuple(
                tuple(as_number(need(row, c), c) for c in side)
                for side in zip(*self.latent_columns)
            )
        elif "latents_a" in own:
            more["response_latents"] = as_numbers(own, "latents_a"), as_numbers(own, "latents_b")
        if "embedding_a" in own:
            more["embeddings"] = _vector(own, "embedding_a"), _vector(own, "embedding_b")
        return more

    def _category(self, row: Row, name: str) -> int | str:
        path = self.extras[name]
        value = fetch(row, path)
        given = name in self.view.given
        if not given and (value is MISSING or is_empty(value)):
            return "(empty)"
        if value is MISSING:
            raise Bad("is missing", path)
        return self._optional(row, name, as_category)

    def _optional(self, row: Row, name: str, read: Callable[[Row, str], Any]) -> Any:
        """A value of a column that nobody asked for; an unusable one leaves the column out."""
        path = self.extras[name]
        try:
            return read({path: need(row, path)}, path)
        except Bad as bad:
            if name in self.view.given:
                raise
            raise Restart(without=name, why=str(bad)) from None

    def _grade(self, row: Row, name: str, middle: float, said: Said) -> float:
        path = self.extras[name]
        grade = as_number(need(row, path), path)
        if name == "probability" and not 0 <= grade <= 1:
            raise Bad(f"is {grade:g}, expected 0 to 1", path)
        for j in said:
            label = j.label if isinstance(j, Judged) else None
            if label is not None and grade != middle and (grade > middle) != label:
                raise Bad(f"is {grade:g}, which contradicts the label {label}", path)
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
    label_values: Mapping[Any, str] | None = None,
    more: Collection[str] = (),
) -> Plan:
    """Find the layout of a table, if it is not given, and its columns.

    Raises
    ------
    ValueError
        No layout that fits, a column that is missing, or a label whose values the columns do not
        settle; says what there is and what to do.
    """
    view = look(table, columns, limit, more)
    shape = _shape(view, layout, response_latents, label_values)
    has = f"{table.name} has the columns {listed(view.found)}"
    extras = _extras(view, shape, bool(response_latents), bool(prompt_latents), more)
    for name in ("latents", "embedding"):
        if (f"{name}_a" in extras) != (f"{name}_b" in extras):
            raise ValueError(f"{table.name} has only one of {name}_a and {name}_b")
    for name in prompt_latents:
        if name not in view.found:
            raise ValueError(f"prompt_latents names {name!r}, but {has}")
    latents: tuple[tuple[str, str], ...] = ()
    if shape.name != "ultrafeedback":  # whose latents are its aspects
        latents = tuple(_sides(view, name, shape, has) for name in response_latents)
    models = _models(view, shape)
    plan = Plan(view, shape, extras, models, response_latents, latents, prompt_latents)
    for name, column in columns.items():
        if column is not None and column not in plan.used:
            reads = sorted({n for n, p in view.names.items() if p in plan.used} | set(EXTRAS))
            raise ValueError(
                f"columns has the key {name!r}, but layout {shape.name!r} reads {listed(reads)}"
            )
    return plan


def _extras(
    view: View, shape: Shape, response: bool, prompt: bool, late: Collection[str]
) -> dict[str, str]:
    """Columns of further facts, by fact; those of latents give way to latents asked for."""
    taken = {n for n, p in view.names.items() if p in shape.used}
    extras: dict[str, str] = {}
    for name, spellings in EXTRAS.items():
        said = name in shape.facts or (shape.says_objective and name == "objective")
        if said or shape.grouped or view.given.get(name, "") is None:
            continue
        found = view.first((n for n in spellings if n in view.given or is_short(view, n)), taken)
        if found is None:
            continue
        if found in view.given or view.names[found] in late or view.values(found):
            extras[name] = view.names[found]
    if shape.name == "pairs":
        own = [n for n in OWN if not (response and n.startswith("latents"))]
        own = [n for n in own if not (prompt and n == "prompt_latents")]
        extras |= {n: view.names[n] for n in own if n in view.names and n not in taken}
    return extras


def _models(view: View, shape: Shape) -> tuple[str, str] | None:
    """The columns that say which model wrote which answer, where all rows fill them."""
    if shape.sides is None or "model" in shape.facts:
        return None
    full = lambda name: is_short(view, name) and len(view.values(name)) == len(view.sample)
    for sides in dict.fromkeys((shape.sides, *SIDES[:3], ("chosen", "rejected"))):
        found = model_columns(view, sides)
        if found is not None and full(found[0]) and full(found[1]):
            paths = view.names[found[0]], view.names[found[1]]
            if not shape.used & set(paths):
                return paths
    return None


def _sides(view: View, name: str, shape: Shape, has: str) -> tuple[str, str]:
    """The two columns of a response latent."""
    tried = []
    for sides in dict.fromkeys((*([shape.sides] if shape.sides else ()), *SIDES[:3])):
        for pattern in ("{0}_{1}", "{1}_{0}"):
            pair = tuple(plain(pattern.format(name, s)) for s in sides)
            if all(n in view.names for n in pair):
                return view.names[pair[0]], view.names[pair[1]]
            tried.append(" and ".join(pattern.format(name, s) for s in sides))
    raise ValueError(
        f"response_latents names {name!r}: {has}, but none of the pairs {'; '.join(tried[:6])}"
    )


def _shape(
    view: View, layout: str, latents: tuple[str, ...], given: Mapping[Any, str] | None
) -> Shape:
    """The shape of the rows; raises ValueError where there is none."""
    lacking: list[Lacks] = []
    for find in (_published, _pairs_or_choice, _lists, _ratings):
        try:
            shape = find(view, layout, latents, given)
        except Lacks as lack:
            lacking.append(lack)
            continue
        if shape is not None and (layout not in _EXACT or layout == shape.name):
            return shape
    if lacking:
        raise ValueError(_near(view.table.name, lacking[0]))
    if layout == "auto":
        raise ValueError(_refusal(view))
    needs = LAYOUTS[layout]
    there = lambda part: any(plain(name) in view.names for name in part.split(" or "))
    missing = next((part for part in needs if not there(part)), needs[0]).split()[0]
    raise ValueError(
        f"layout {layout!r} needs a column {missing!r}, but {view.table.name} has the columns "
        f"{listed(view.found)}; columns={{{missing!r}: ...}} says which one it is, or on the "
        f"command line --column {missing}=COL"
    )


_EXACT = ("arena", "alpaca_farm", "helpsteer", "messages", "transcripts")
"""Layouts that are special cases of another: who asks for one wants no other."""
Given = Mapping[Any, str] | None


def _published(view: View, layout: str, latents: tuple[str, ...], given: Given) -> Shape | None:
    """A format that is more than its columns."""
    wants = lambda name: layout in ("auto", name)
    told = layout != "auto"

    def most(test: Callable[[Any], bool], *names: str) -> bool:
        """Whether there are such columns, and what the last holds in most rows passes."""
        if not view.has(*names):
            return False
        values = [at(row, view.names[names[-1]]) for row in view.sample]
        return told or not any(v is not None for v in values) or mostly(values, test, 0.4)

    known = lambda v: v in OBJECTIVES
    if wants("hh_rlhf") and most(known, "prompt", "responses", "label", "objective"):
        return build_hh_rlhf(view)
    answers = ("response_0", "response_1", "better_response_id", "safer_response_id")
    if wants("safe_rlhf") and most(lambda v: not is_empty(v), *answers):
        return build_safe_rlhf(view)
    if wants("ultrafeedback") and most(_annotated, "instruction", "completions"):
        return build_ultrafeedback(view, latents)
    return None


def _annotated(value: Any) -> bool:
    """Whether completions come with ratings, as UltraFeedback has them."""
    found = opened(value)
    return isinstance(found, list) and (
        not found or any(isinstance(v, Mapping) and "annotations" in v for v in found)
    )


def _pairs_or_choice(
    view: View, layout: str, latents: tuple[str, ...], given: Given
) -> Shape | None:
    """Two answers and a verdict, or the preferred answer and the other one."""
    pairs = side_pairs(view)
    two, best = answer_columns(view, pairs), chosen_rejected(view)
    lacking: Lacks | None = None
    if layout in ("auto", "pairs", "arena", "alpaca_farm", "helpsteer") and two is not None:
        try:
            return build_two(view, *two, pairs, given)
        except Lacks as lack:
            lacking = lack
        except Unclear:
            if best is None or given:
                raise
    if layout in ("auto", "chosen_rejected", "messages", "transcripts") and best is not None:
        return build_chosen_rejected(view, *best)
    if lacking is not None:
        raise lacking
    return None


def _lists(view: View, layout: str, latents: tuple[str, ...], given: Given) -> Shape | None:
    """Several answers in a row."""
    if layout not in ("auto", "ranked"):
        return None
    return build_output_of_two(view) or build_several(view, given)


def _ratings(view: View, layout: str, latents: tuple[str, ...], given: Given) -> Shape | None:
    """One answer a row."""
    return build_rated(view) if layout in ("auto", "rated") else None


# -- why not ----------------------------------------------------------------------------

_LACKS = {
    "prompt": "a column with the prompt",
    "label": "a column that says which answer is preferred (label, winner, preference, scores)",
    "score": "scores, ranks or the index of the best answer",
}
_MARKS = (
    "label", "is_desirable", "desirable", "thumbs_up", "feedback", "kto_tag", "score", "rating",
    "is_preferred",
)  # fmt: skip


def _near(name: str, lack: Lacks) -> str:
    """One sentence about a near miss, one about what to do."""
    role = {"score": "scores"}.get(lack.lack, lack.lack)
    maybe = f" (perhaps {listed(lack.maybe, 3)}, with label_values)" if lack.maybe else ""
    return (
        f"{name} has {lack.has}, which is nearly the layout {lack.layout!r}, but lacks "
        f"{_LACKS[lack.lack]}. Say which column it is{maybe} with columns={{{role!r}: 'a column of "
        f"yours'}}, or on the command line with --column {role}=COL."
    )


def _refusal(view: View) -> str:
    """One sentence that says what is missing, one about what preference data need."""
    name, has = view.table.name, f"its columns are {listed(view.found, 12)}"
    for column in view.names:
        for good, bad in GOOD_BAD:
            lone = {good, bad} & set(words(column)) - {"w", "l"}
            said = [str(v) for v in view.values(column)]
            if lone and mostly(said, lambda text: len(text) > 30 or " " in text.strip()):
                other = bad if good in lone else good
                return (
                    f"{name} has {view.names[column]!r}, but no column with the other answer "
                    f"(such as {other!r}): it is nearly the layout 'chosen_rejected'. Say which "
                    f"column it is with columns={{{other!r}: 'a column of yours'}}, or on the "
                    f"command line with --column {other}=COL."
                )
    texts = (*TEXTS, "messages", "conversations")
    single = view.first(n for n in texts if n in view.names and view.texty(n))
    mark = view.first(n for n in _MARKS if n in view.names and not view.texty(n))
    if single is not None:
        marked = f" and a mark ({view.names[mark]!r})" if mark else ""
        kind = "unpaired data" if mark else "no preference data"
        return (
            f"{name} is {kind}: each row has one answer ({view.names[single]!r}){marked}, so there "
            f"is nothing to compare; {has}. Preference data need two answers to a prompt and say "
            "which is preferred."
        )
    if any(set(words(n)) & (VERDICT_WORDS | {"label"}) for n in view.names):
        return (
            f"{name} has verdicts but not the texts of the answers that were compared; {has}. Join "
            "the answers first."
        )
    return (
        f"no layout fits: {name} holds no two answers to compare; {has}. Say which column is which "
        "with columns={'prompt': 'a column of yours', 'chosen': ..., 'rejected': ...}, or on the "
        "command line with --column prompt=COL."
    )
