"""Which columns of a file play which part, found from their names and their first values."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
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
        return {
            *self.shape.used, *self.extras.values(), *(self.models or ()), *self.prompt_latents,
            *itertools.chain.from_iterable(self.latent_columns), *(self.shape.ratings or ()),
        }  # fmt: skip

    @property
    def wanted(self) -> set[str] | None:
        """The columns to read from the file; None reads all, where rows have to be opened."""
        if self.view.unwrap is not None:
            return None
        return {path if path in self.view.found else path.split(".")[0] for path in self.used}

    @property
    def unread(self) -> list[str]:
        read = {path if path in self.view.found else path.split(".")[0] for path in self.used}
        return [c for c in self.view.found if c not in read]

    @property
    def facts(self) -> set[str]:
        """The fields of :class:`PreferenceData` that every judgement states."""
        found = {
            {"latents_a": "response_latents", "latents_b": "response_latents", "embedding_a": "embeddings",
             "embedding_b": "embeddings"}.get(c, c)
            for c in self.extras
        } | set(self.shape.facts)  # fmt: skip
        if self.models:
            found.add("model")
        if self.latent_columns:
            found.add("response_latents")
        if self.prompt_latents:
            found.add("prompt_latents")
        return found

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
        return list(self.view.unwrap(raw)) or [Bad("holds no annotation that was submitted")]

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
            if name in self.extras and not any(
                isinstance(j, Judged) and name in j.facts for j in said
            ):
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
        """A value of a column that nobody asked for: where it is unusable, the column is left out."""
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
    more: Iterable[str] = (),
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
    taken = {n for n, p in view.names.items() if p in shape.used}
    extras: dict[str, str] = {}
    for name, spellings in EXTRAS.items():
        if name in shape.facts or (shape.says_objective and name == "objective") or shape.grouped:
            continue
        if name in view.given and view.given[name] is None:
            continue
        found = view.first((n for n in spellings if n in view.given or is_short(view, n)), taken)
        if found is not None and view.values(found):
            extras[name] = view.names[found]
    if shape.name == "pairs":
        for name in OWN:
            if (
                name in view.names
                and name not in taken
                and not (name.startswith("latents") and response_latents)
            ):
                extras[name] = view.names[name]
        if prompt_latents:
            extras.pop("prompt_latents", None)
    for name in ("latents", "embedding"):
        if (f"{name}_a" in extras) != (f"{name}_b" in extras):
            raise ValueError(f"{table.name} has only one of {name}_a and {name}_b")
    pair = None
    if "model" not in shape.facts and shape.sides is not None:
        pair = _models(view, shape)
    for name in prompt_latents:
        if name not in view.found:
            raise ValueError(f"prompt_latents names {name!r}, but {has}")
    latents = (
        ()
        if shape.name == "ultrafeedback"
        else tuple(_sides(view, n, shape, has) for n in response_latents)
    )
    plan = Plan(view, shape, extras, pair, response_latents, latents, prompt_latents)
    for name, column in columns.items():
        if column is not None and column not in plan.used:
            reads = sorted({n for n, p in view.names.items() if p in plan.used} | set(EXTRAS))
            raise ValueError(
                f"columns has the key {name!r}, but layout {shape.name!r} reads {listed(reads)}"
            )
    return plan


def _models(view: View, shape: Shape) -> tuple[str, str] | None:
    assert shape.sides is not None
    for sides in dict.fromkeys(
        (shape.sides, ("a", "b"), ("1", "2"), ("0", "1"), ("chosen", "rejected"))
    ):
        found = model_columns(view, sides)
        if found is not None:
            paths = view.names[found[0]], view.names[found[1]]
            if all(
                is_short(view, n) and len(view.values(n)) == len(view.sample) for n in found
            ) and not shape.used & set(paths):
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
    name = view.table.name
    try:
        if layout in ("auto", "hh_rlhf") and view.has("prompt", "responses", "label", "objective"):
            if layout == "hh_rlhf" or mostly(view.values("objective"), lambda v: v in OBJECTIVES):
                return build_hh_rlhf(view)
        if layout in ("auto", "safe_rlhf") and view.has(
            "response_0", "response_1", "better_response_id", "safer_response_id"
        ):
            return build_safe_rlhf(view)
        if layout in ("auto", "ultrafeedback") and view.has("instruction", "completions"):
            objects = [
                v for c in view.values("completions") if isinstance(o := opened(c), list) for v in o
            ]
            if layout == "ultrafeedback" or any(
                isinstance(v, Mapping) and "annotations" in v for v in objects
            ):
                return build_ultrafeedback(view, latents)
        pairs = side_pairs(view)
        two = answer_columns(view, pairs)
        best = chosen_rejected(view)
        lacking: Lacks | None = None
        if layout in ("auto", "pairs", "arena", "alpaca_farm", "helpsteer") and two is not None:
            try:
                return build_two(view, *two, pairs, given)
            except Lacks as lack:
                lacking = lack
            except Unclear:
                if best is None:
                    raise
        if layout in ("auto", "chosen_rejected", "messages", "transcripts") and best is not None:
            return build_chosen_rejected(view, *best)
        if layout in ("auto", "ranked"):
            try:
                shape = build_output_of_two(view) or build_several(view, given)
            except Lacks as lack:
                lacking = lacking or lack
            else:
                if shape is not None:
                    return shape
        if (
            layout in ("auto", "rated")
            and lacking is None
            and (shape := build_rated(view)) is not None
        ):
            return shape
        if lacking is not None:
            raise lacking
    except Lacks as lack:
        raise ValueError(_near(name, lack)) from None
    if layout not in ("auto", "saved"):
        needs = LAYOUTS[layout]
        missing = next(
            (n for n in needs if not any(plain(x) in view.names for x in n.split(" or "))), None
        )
        raise ValueError(
            f"layout {layout!r} needs a column {(missing or needs[0])!r}, but {name} has the columns "
            f"{listed(view.found)}; columns={{{(missing or needs[0]).split()[0]!r}: ...}} says which one it is, "
            f"or on the command line --column {(missing or needs[0]).split()[0]}=COL"
        )
    raise ValueError(_refusal(view))


_KINDS = {
    "prompt": "a column with the prompt",
    "label": "a column that says which answer is preferred (label, winner, preference, a score for each ...)",
    "score": "scores, ranks or the index of the best answer",
    "rejected": "a column with the answer that was not preferred",
}


def _near(name: str, lack: Lacks) -> str:
    """One sentence about a near miss, one about what to do."""
    role = {"score": "scores"}.get(lack.lack, lack.lack)
    maybe = f" (perhaps {listed(lack.maybe, 3)}, with label_values)" if lack.maybe else ""
    return (
        f"{name} has {lack.has}, which is nearly the layout {lack.layout!r}, but lacks "
        f"{_KINDS[lack.lack]}. Say which column it is{maybe} with columns={{{role!r}: 'a column of "
        f"yours'}}, or on the command line with --column {role}=COL."
    )


def _refusal(view: View) -> str:
    """One sentence that says what is missing."""
    name = view.table.name
    lone = next(
        (
            n
            for n in view.names
            for good, bad in GOOD_BAD
            if set(words(n)) & {good, bad} - {"w", "l"} and view.texty(n)
        ),
        None,
    )
    if lone is not None:
        other = next(b if g in words(lone) else g for g, b in GOOD_BAD if {g, b} & set(words(lone)))
        return (
            f"{name} has {view.names[lone]!r}, but no column with the other answer (such as {other!r}): it is nearly "
            f"the layout 'chosen_rejected' ({', '.join(LAYOUTS['chosen_rejected'])}). Say which column it is with "
            f"columns={{{other!r}: 'a column of yours'}}, or on the command line with --column {other}=COL."
        )
    single = view.first(
        n for n in (*TEXTS, "messages", "conversations") if n in view.names and view.texty(n)
    )
    flag = view.first(
        n
        for n in (
            "label",
            "is_desirable",
            "desirable",
            "thumbs_up",
            "feedback",
            "kto_tag",
            "score",
            "rating",
            "is_preferred",
        )
        if n in view.names and not view.texty(n)
    )
    has = f"its columns are {listed(view.found, 12)}"
    if single is not None and flag is not None:
        return (
            f"{name} is unpaired data: each row has one answer ({view.names[single]!r}) and a mark "
            f"({view.names[flag]!r}), so there is nothing to compare; {has}. Preference data need two answers to a prompt."
        )
    if single is not None:
        return (
            f"{name} has one answer for each prompt ({view.names[single]!r}), so there is nothing to compare; {has}. "
            "Preference data need two answers to a prompt and a column that says which is preferred."
        )
    if any(set(words(n)) & (VERDICT_WORDS | {"label"}) for n in view.names):
        return f"{name} has verdicts but not the texts of the answers that were compared; {has}. Join the answers first."
    return (
        f"no layout fits: {name} holds no two answers to compare; {has}. Say which column is which with "
        "columns={'prompt': 'a column of yours', 'chosen': ..., 'rejected': ...}, or on the command line with "
        "--column prompt=COL."
    )
