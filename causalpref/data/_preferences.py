"""The one data type of the package."""

from __future__ import annotations

import dataclasses
import operator
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import numpy.typing as npt
import pandas as pd

from causalpref.data import _exchange, _saving
from causalpref.data import _validation as valid
from causalpref.data._conversation import alike
from causalpref.data._normalised import normalised
from causalpref.data._validation import FACTS

if TYPE_CHECKING:
    import datasets

Texts = Sequence[str] | np.ndarray
Rows = npt.ArrayLike | slice


@dataclass(frozen=True)
class Pair:
    """One pair, as ``data[i]`` gives it.

    Parameters
    ----------
    prompt, first, second : str
        X, Y and Y', each a :class:`Conversation` where the data have messages.
    label : int
        L: 1 means that ``first`` is preferred.
    facts : mapping
        What else the data say of the pair: for each optional field its value, by name where
        the codes have names. Fields of responses hold two values.
    """

    prompt: str
    first: str
    second: str
    label: int
    facts: Mapping[str, Any]

    @property
    def chosen(self) -> str:
        """The preferred response."""
        return self.first if self.label else self.second

    @property
    def rejected(self) -> str:
        """The other response."""
        return self.second if self.label else self.first


@dataclass(frozen=True, eq=False, repr=False, init=False)
class PreferenceData:
    """Pairwise preferences: tuples (x, y, y', l) of the paper's section 2, indexed.

    Parameters
    ----------
    prompts : sequence of str, shape (n_prompts,)
        X. All different: a prompt stored twice could land on two sides of a split. A
        :class:`Conversation` keeps its messages, here and in ``responses``.
    responses : sequence of str, shape (n_responses,)
        Y and Y', each stored once.
    response_prompt : array of int, shape (n_responses,)
        Row in ``prompts`` of the prompt that each response answers.
    pairs : array of int, shape (n_pairs, 2)
        Rows in ``responses`` of the first and the second response shown.
        Both answer the same prompt. Repeated pairs are kept: they are repeated
        judgements (see :meth:`duplicated`). A response may be paired with itself
        when an annotator was shown the same text twice.
    label : array of {0, 1}, shape (n_pairs,)
        L. 1 means that the first response of the pair is preferred.
    objective : array of int, shape (n_pairs,), optional
        C, the objective under which the label was given.
    annotator : array of int, shape (n_pairs,), optional
        Who gave the label.
    session : array of int, shape (n_pairs,), optional
        The sitting in which the label was given.
    time : array of float, shape (n_pairs,), optional
        When the label was given, in seconds since the epoch.
    strength : array of float, shape (n_pairs,), optional
        Graded preference on the scale of the source: above 0 where the first response is
        preferred, below 0 where the second is, 0 for a tie.
    probability : array of float, shape (n_pairs,), optional
        Soft label in [0, 1]: the probability that the first response is preferred, 0.5 for a tie.
    prompt_type : array of int, shape (n_prompts,), optional
        type(X).
    prompt_group : array of int, shape (n_prompts,), optional
        Prompts with the same number stay together, in splits and as clusters of standard
        errors; for example conversations that open alike. Default: each prompt on its own.
    prompt_latents : array of float, shape (n_prompts, k), optional
        Z^X.
    model : array of int, shape (n_responses,), optional
        Which model wrote the response.
    response_latents : array of float, shape (n_responses, m), optional
        Z^T.
    embeddings : array of float, shape (n_responses, d), optional
        e, one row a response; kept as float32.
    names : mapping of str to sequence of str, optional
        For ``objective``, ``annotator``, ``session``, ``prompt_type`` and ``model`` the names of
        the codes 0, 1, ...; for ``prompt_latents`` and ``response_latents`` the names of the
        columns. Names of a field that the data do not have are dropped.
    order_known : bool
        True when the order of each pair is the order that the annotator saw. False when the
        file lists the preferred response first, so that the order shown is lost.
    source : str
        What the data are, in words fit for a caption.
    simulated : bool
        True when no human or language model wrote the texts or gave the labels.
    recipe : mapping, optional
        How the embeddings were made, as :func:`causalpref.embed` and
        :func:`causalpref.hashed_ngrams` write it: a reward model scores only embeddings made like
        those that it was fitted on. Dropped where there are no embeddings.

    Raises
    ------
    ValueError
        For no pairs, lengths that do not fit, a label other than 0 or 1, an index
        out of range, a repeated prompt, a pair across prompts, a graded preference that
        contradicts the label, names that do not fit, or a value that is not finite. The message
        names the field, the row and the value.
    TypeError
        For a prompt, a response or a name that is not a string.

    Notes
    -----
    Arrays are copied on the way in and read-only from then on. Selections share them, so
    they cost no copy of the texts or embeddings.
    """

    prompts: np.ndarray
    responses: np.ndarray
    response_prompt: np.ndarray
    pairs: np.ndarray
    label: np.ndarray
    objective: np.ndarray | None
    annotator: np.ndarray | None
    session: np.ndarray | None
    time: np.ndarray | None
    strength: np.ndarray | None
    probability: np.ndarray | None
    prompt_type: np.ndarray | None
    prompt_group: np.ndarray | None
    prompt_latents: np.ndarray | None
    model: np.ndarray | None
    response_latents: np.ndarray | None
    embeddings: np.ndarray | None
    names: Mapping[str, tuple[str, ...]]
    order_known: bool
    source: str
    simulated: bool
    recipe: Mapping[str, Any] | None

    def __init__(
        self,
        prompts: Texts,
        responses: Texts,
        response_prompt: npt.ArrayLike,
        pairs: npt.ArrayLike,
        label: npt.ArrayLike,
        objective: npt.ArrayLike | None = None,
        annotator: npt.ArrayLike | None = None,
        session: npt.ArrayLike | None = None,
        time: npt.ArrayLike | None = None,
        strength: npt.ArrayLike | None = None,
        probability: npt.ArrayLike | None = None,
        prompt_type: npt.ArrayLike | None = None,
        prompt_group: npt.ArrayLike | None = None,
        prompt_latents: npt.ArrayLike | None = None,
        model: npt.ArrayLike | None = None,
        response_latents: npt.ArrayLike | None = None,
        embeddings: npt.ArrayLike | None = None,
        names: Mapping[str, Sequence[str]] | None = None,
        order_known: bool = True,
        source: str = "unnamed data",
        simulated: bool = False,
        recipe: Mapping[str, Any] | None = None,
    ) -> None:
        given = dict(locals())
        put = lambda name, value: object.__setattr__(self, name, value)
        put("prompts", valid.texts("prompts", prompts))
        put("responses", valid.texts("responses", responses))
        n_prompts, n_responses = len(self.prompts), len(self.responses)
        put("pairs", valid.integers("pairs", pairs, (None, 2), n_responses, "responses"))
        n_pairs = len(self.pairs)
        if n_pairs == 0:
            raise ValueError("pairs is empty: PreferenceData needs at least one pair")
        put(
            "response_prompt",
            valid.integers(
                "response_prompt", response_prompt, (n_responses,), n_prompts, "prompts"
            ),
        )
        put("label", valid.labels(label, n_pairs))
        rows = {"prompt": n_prompts, "response": n_responses, "pair": n_pairs}
        for name, fact in FACTS.items():
            value = given[name]
            if value is None:
                put(name, None)
            elif fact.kind == "code":
                put(name, valid.integers(name, value, (rows[fact.per],)))
            elif fact.kind == "number":
                put(name, valid.floats(name, value, (rows[fact.per],)))
            else:
                dtype = np.float32 if name == "embeddings" else np.float64
                put(name, valid.floats(name, value, (rows[fact.per], None), dtype))
        if self.strength is not None:
            valid.graded("strength", self.strength, 0.0, self.label)
        if self.probability is not None:
            p = self.probability
            if len(bad := np.flatnonzero((p < 0) | (p > 1))):
                raise ValueError(f"probability[{bad[0]}] = {p[bad[0]]:g} is outside [0, 1]")
            valid.graded("probability", self.probability, 0.5, self.label)
        put("names", MappingProxyType(valid.names(names or {}, self.__dict__)))
        put("order_known", bool(order_known))
        put("source", source)
        put("simulated", bool(simulated))
        put("recipe", None if self.embeddings is None else valid.recipe(recipe))

        seen: dict[str, int] = {}
        for row, text in enumerate(self.prompts):
            if seen.setdefault(text, row) != row:
                raise ValueError(
                    f"prompts[{row}] repeats prompts[{seen[text]}] ({valid.short(text)}): "
                    "store a prompt once and let its responses point to it"
                )
        first, second = self.response_prompt[self.pairs].T
        if (first != second).any():
            row = int(np.flatnonzero(first != second)[0])
            raise ValueError(
                f"pairs[{row}] = {self.pairs[row].tolist()} joins responses to different prompts "
                f"({first[row]} and {second[row]}): a pair compares two answers to one prompt"
            )

    # -- size and look ------------------------------------------------------

    def __len__(self) -> int:
        """Number of pairs."""
        return len(self.pairs)

    def __repr__(self) -> str:
        said = "simulated" if self.simulated else "real"
        kind = "" if self.source.startswith(said) else f"{said}: "
        extra = [
            f"{name} {value.shape[1]}d"
            for name in ("prompt_latents", "response_latents", "embeddings")
            if (value := getattr(self, name)) is not None
        ]
        for name in ("objective", "annotator"):
            if (value := getattr(self, name)) is not None:
                n = len(np.unique(value))
                extra.append(f"{n} {name}{'s' * (n > 1)}")
        lines = [""]
        for item in [*extra, kind + self.source]:  # broken between items only
            if lines[-1] and len(lines[-1]) + len(item) > 70:
                lines.append("")
            lines[-1] += f" {item};" if lines[-1] else f"{item};"
        rest = "\n    ".join(lines)[:-1]
        return (
            f"PreferenceData({len(self):,} pairs, {len(self.responses):,} responses, "
            f"{len(self.prompts):,} prompts;\n    {rest})"
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PreferenceData):
            return NotImplemented
        for field in dataclasses.fields(self):
            a, b = getattr(self, field.name), getattr(other, field.name)
            if (a is None) != (b is None):
                return False
            if not (np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b):
                return False
        return all(
            mine is theirs or all(map(alike, mine, theirs))
            for mine, theirs in ((self.prompts, other.prompts), (self.responses, other.responses))
        )

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> tuple[Any, ...]:
        recipe = None if self.recipe is None else dict(self.recipe)
        return _rebuilt, ({**self._fields(), "names": dict(self.names), "recipe": recipe},)

    def _fields(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    @overload
    def __getitem__(self, rows: int | np.integer) -> Pair: ...
    @overload
    def __getitem__(
        self, rows: slice | np.ndarray | Sequence[int] | Sequence[bool] | pd.Series
    ) -> PreferenceData: ...
    def __getitem__(self, rows: Any) -> Pair | PreferenceData:
        """One :class:`Pair` for a whole number; otherwise as :meth:`select`."""
        if not isinstance(rows, (int, np.integer)) or isinstance(rows, (bool, np.bool_)):
            return self.select(rows)
        i, n = operator.index(rows), len(self)
        if not -n <= i < n:
            raise IndexError(f"there is no pair {i}: the data have {n} pairs, counted from 0")
        i %= n
        pair = self.pairs[i]
        prompt = int(self.response_prompt[pair[0]])
        at = {"pair": i, "prompt": prompt, "response": pair}
        facts: dict[str, Any] = {}
        for name, fact in FACTS.items():
            if (column := getattr(self, name)) is not None:
                value = column[at[fact.per]].tolist()
                if fact.kind == "code" and name in self.names:
                    words = self.names[name]
                    value = [words[c] for c in value] if fact.per == "response" else words[value]
                facts[name] = value
        first, second = self.responses[pair]
        return Pair(
            self.prompts[prompt], first, second, int(self.label[i]), MappingProxyType(facts)
        )

    def __iter__(self) -> Iterator[Pair]:
        return (self[i] for i in range(len(self)))

    # -- what the data say --------------------------------------------------

    @property
    def pair_prompt(self) -> np.ndarray:
        """Row in ``prompts`` of each pair's prompt, shape (n_pairs,)."""
        return self.response_prompt[self.pairs[:, 0]]

    @property
    def pair_group(self) -> np.ndarray:
        """Group of each pair's prompt, shape (n_pairs,): pairs of one group are dependent.

        The prompt itself where the data have no ``prompt_group``.
        """
        prompt = self.pair_prompt
        return prompt if self.prompt_group is None else self.prompt_group[prompt]

    @property
    def tie(self) -> np.ndarray:
        """True for each pair that the annotator found equally good, shape (n_pairs,), bool.

        These are the pairs of strength 0 or probability 1/2. Their hard label means nothing.
        """
        tie = np.zeros(len(self), dtype=bool)
        if self.strength is not None:
            tie |= self.strength == 0
        if self.probability is not None:
            tie |= self.probability == 0.5
        return tie

    @property
    def consistent(self) -> np.ndarray:
        """type(X) = C for each pair, shape (n_pairs,), bool (appendix E.1).

        Raises
        ------
        ValueError
            When ``objective`` or ``prompt_type`` is missing.
        """
        objective, prompt_type = self.require("objective", "prompt_type")
        return prompt_type[self.pair_prompt] == objective

    @overload
    def require(self, name: str, /) -> np.ndarray: ...
    @overload
    def require(self, name: str, other: str, /, *more: str) -> tuple[np.ndarray, ...]: ...
    def require(self, *names: str) -> np.ndarray | tuple[np.ndarray, ...]:
        """The optional fields asked for, none of which may be missing.

        Parameters
        ----------
        *names : str
            Names of fields, for example ``"embeddings"``.

        Returns
        -------
        array, or tuple of arrays
            One array for one name, several for several.

        Raises
        ------
        ValueError
            A field that the data do not have, or that no data have; says what to do.
        """
        found = []
        for name in names:
            if name not in FACTS:
                raise ValueError(f"{name!r} is no optional field, expected {', '.join(FACTS)}")
            if getattr(self, name) is None:
                raise ValueError(f"the data have no {name}: {FACTS[name].missing}")
            found.append(getattr(self, name))
        return found[0] if len(found) == 1 else tuple(found)

    def difference(self, name: str) -> np.ndarray:
        """First minus second response of each pair, shape (n_pairs, m), float64.

        For ``"response_latents"`` this is delta = Z - Z' of equation 7.

        Parameters
        ----------
        name : {"response_latents", "embeddings"}

        Raises
        ------
        ValueError
            Another field, or data without it.
        """
        first, second = self._sides(name)
        return first - second

    def mean(self, name: str) -> np.ndarray:
        """Mean of the two responses of each pair, shape (n_pairs, m), float64.

        Parameters
        ----------
        name : {"response_latents", "embeddings"}

        Raises
        ------
        ValueError
            Another field, or data without it.
        """
        first, second = self._sides(name)
        return (first + second) / 2

    def _sides(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        if name not in ("response_latents", "embeddings"):
            raise ValueError(f"name is {name!r}, expected 'response_latents' or 'embeddings'")
        values = self.require(name)
        return values[self.pairs[:, 0]].astype(np.float64), values[self.pairs[:, 1]]

    def names_of(self, field: str, codes: npt.ArrayLike | None = None) -> list[str]:
        """Names of codes or columns, with a stand-in for those that have none.

        Parameters
        ----------
        field : str
            A field with codes or latents, for example ``"objective"`` or ``"response_latents"``.
        codes : array of int, optional
            Default: every code that occurs, in order, or every column.

        Returns
        -------
        list of str
            ``"C = 0"`` for objective 0 without a name, ``"Z^T_1"`` for the first latent of
            responses.
        """
        fact = _named(field)
        if codes is None:
            values = self.require(field)
            codes = range(values.shape[1]) if fact.kind == "vector" else np.unique(values)
        known = self.names.get(field, ())
        shift = fact.kind == "vector"  # the paper counts latents from 1
        return [
            known[c] if 0 <= c < len(known) else fact.fallback.format(c + shift)
            for c in (int(c) for c in np.asarray(codes).ravel())
        ]

    def index_of(self, field: str, which: int | str) -> int:
        """Code or column that a name stands for.

        Parameters
        ----------
        field : str
            As for :meth:`names_of`.
        which : int or str
            A name, or the code or column itself.

        Raises
        ------
        ValueError
            A name or column that is not there; lists those that are.
        TypeError
            Neither a string nor a whole number.
        """
        fact = _named(field)
        names = self.names_of(field)
        vector = fact.kind == "vector"
        codes = range(len(names)) if vector else np.unique(self.require(field)).tolist()
        if isinstance(which, str):
            known = self.names.get(field, ())
            if which in known:
                return known.index(which)
            if which in names:
                return int(codes[names.index(which)])
        elif not isinstance(which, (int, np.integer)):
            raise TypeError(f"{field} {which!r} is neither a name nor a whole number")
        elif (code := int(which)) in codes:
            return code
        raise ValueError(
            f"the data have no {field.replace('_', ' ').removesuffix('s')} {which!r}; there are "
            + ", ".join(f"{c} ({n})" for c, n in list(zip(codes, names))[:12])
            + (f" and {len(names) - 12} more" if len(names) > 12 else "")
        )

    # -- new data from old --------------------------------------------------

    def replace(self, **fields: Any) -> PreferenceData:
        """A copy with some fields exchanged; validated like any other.

        Names of latents that get another number of columns are dropped unless new ones are given,
        and so is the recipe of the embeddings when these, or the texts, are exchanged.
        """
        if not fields.keys().isdisjoint(("embeddings", "prompts", "responses", "response_prompt")):
            fields.setdefault("recipe", None)
        if "names" not in fields:
            stale = {
                name
                for name in ("prompt_latents", "response_latents")
                if name in self.names
                and fields.get(name) is not None
                and np.shape(fields[name])[-1] != len(self.names[name])
            }
            fields["names"] = {k: v for k, v in self.names.items() if k not in stale}
        return dataclasses.replace(self, **fields)

    def select(self, rows: Rows) -> PreferenceData:
        """The pairs at ``rows`` (indices, a boolean mask or a slice), texts shared.

        Responses and prompts stay as they are, so indices into them keep their
        meaning; :meth:`compact` drops those that no pair uses.

        Raises
        ------
        IndexError
            A mask of the wrong length or an index out of range.
        ValueError
            A selection that keeps nothing.
        """
        n = len(self)
        if not isinstance(rows, slice):
            rows = np.asarray(rows)
            if rows.dtype == bool and rows.shape != (n,):
                raise IndexError(f"the mask has shape {rows.shape}, the data have {n} pairs")
            if rows.dtype != bool and rows.size and rows.dtype.kind not in "iu":
                raise IndexError(
                    f"rows must be integers or a boolean mask, not {rows.dtype}; "
                    "to_pandas() has the columns"
                )
            if rows.size == 0:
                rows = rows.astype(np.int64)
        pairs = self.pairs[rows]
        if len(pairs) == 0:
            raise ValueError(f"the selection keeps none of the {n} pairs")
        kept = {name: getattr(self, name)[rows] for name in self._here("pair")}
        return self.replace(pairs=pairs, label=self.label[rows], **kept)

    def _here(self, per: str) -> list[str]:
        """Optional fields that the data have of pairs, prompts or responses."""
        return [n for n, f in FACTS.items() if f.per == per and getattr(self, n) is not None]

    def compact(self) -> PreferenceData:
        """The same pairs without the responses and prompts that none of them uses."""
        responses, pairs = np.unique(self.pairs, return_inverse=True)
        prompts, response_prompt = np.unique(self.response_prompt[responses], return_inverse=True)
        kept = {name: getattr(self, name)[prompts] for name in ["prompts", *self._here("prompt")]}
        kept |= {
            name: getattr(self, name)[responses] for name in ["responses", *self._here("response")]
        }
        return self.replace(
            pairs=pairs.reshape(-1, 2), response_prompt=response_prompt, recipe=self.recipe, **kept
        )

    def swapped(self, rows: npt.ArrayLike) -> PreferenceData:
        """The same judgements with the two responses exchanged where ``rows`` is true.

        Parameters
        ----------
        rows : array of bool, shape (n_pairs,)

        Raises
        ------
        ValueError
            A mask of another length, or row numbers in place of a mask.
        """
        turn = np.asarray(rows)
        if turn.shape != (len(self),) or not np.isin(turn, (0, 1)).all():
            raise ValueError(
                f"rows is {valid.short(turn.tolist())}, expected True or False for each of the "
                f"{len(self)} pairs"
            )
        turn = turn.astype(bool)
        fields: dict[str, Any] = {
            "pairs": np.where(turn[:, None], self.pairs[:, ::-1], self.pairs),
            "label": np.where(turn, 1 - self.label, self.label),
        }
        if self.strength is not None:
            fields["strength"] = np.where(turn, -self.strength, self.strength)
        if self.probability is not None:
            fields["probability"] = np.where(turn, 1 - self.probability, self.probability)
        return self.replace(**fields)

    def duplicated(self) -> np.ndarray:
        """True for each pair that repeats an earlier one, shape (n_pairs,).

        A repeat shows the same two responses in either order under the same
        objective, whatever its label.
        """
        key = np.sort(self.pairs, axis=1)
        if self.objective is not None:
            key = np.column_stack([key, self.objective])
        first = np.unique(key, axis=0, return_index=True)[1]
        mask = np.ones(len(self), dtype=bool)
        mask[first] = False
        return mask

    def split(
        self, *, seed: int | np.random.Generator = 0, **shares: float
    ) -> dict[str, PreferenceData]:
        """Split by prompt: no prompt, and no group of prompts, has pairs on two sides.

        Prompts that differ only by blanks or case (:func:`causalpref.data.normalised`) are one
        prompt here.

        Parameters
        ----------
        seed : int or numpy.random.Generator
            Which prompts go where.
        **shares : float
            Name of each side and its share of the prompts (of the groups, where the data have
            ``prompt_group``); they sum to 1.

        Returns
        -------
        dict of str to PreferenceData
            In the order given. Each side keeps only the texts that it uses.

        Raises
        ------
        ValueError
            Shares that are not positive or do not sum to 1, or a side that would be empty.
        TypeError
            A share that is not a number.
        """
        for name, share in shares.items():
            if not isinstance(share, (int, float, np.number)):
                raise TypeError(f"the share {name!r} is {valid.short(share)}, expected a number")
        if not shares or min(shares.values()) <= 0 or abs(sum(shares.values()) - 1) > 1e-9:
            raise ValueError(
                f"shares must be positive and sum to 1, got {shares}: "
                "for example split(train=0.8, test=0.2)"
            )
        group = self.inseparable()[self.pair_prompt]
        order = np.random.default_rng(seed).permutation(np.unique(group))
        cuts = np.round(np.cumsum(list(shares.values())) * len(order)).astype(int)
        sides: dict[str, PreferenceData] = {}
        for name, members in zip(shares, np.split(order, cuts[:-1])):
            rows = np.flatnonzero(np.isin(group, members))
            if len(rows) == 0:
                raise ValueError(
                    f"side {name!r} would be empty: {len(order)} prompts or groups "
                    f"are too few for shares {shares}"
                )
            sides[name] = self.select(rows).compact()
        return sides

    def inseparable(self) -> np.ndarray:
        """A number for each prompt, the same for those that no split may part.

        These are the prompts of one ``prompt_group``, and prompts that differ only by blanks or
        case (:func:`causalpref.data.normalised`).

        Returns
        -------
        array of int, shape (n_prompts,)
        """
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        group = np.arange(len(self.prompts)) if self.prompt_group is None else self.prompt_group
        text, words = pd.factorize(np.array([normalised(p) for p in self.prompts], dtype=object))
        if len(words) == len(text):
            return group
        codes, numbers = pd.factorize(group, sort=True)  # groups that share a text become one
        size = len(numbers) + len(words)
        edges = coo_array((np.ones(len(text)), (codes, text + len(numbers))), shape=(size, size))
        part = connected_components(edges, directed=False)[1][codes]
        first = np.full(part.max() + 1, np.iinfo(np.int64).max)
        np.minimum.at(first, part, group)
        return first[part]

    # -- to and from other forms -------------------------------------------

    def save(self, folder: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Write a folder of three Parquet tables and one safetensors file.

        The new folder is complete before it takes its place; if that fails, the one
        that was there stays.

        Raises
        ------
        FileExistsError
            When ``folder`` exists and ``overwrite`` is false, or it holds anything that
            :meth:`save` did not write.
        """
        return _saving.save(self, folder, overwrite=overwrite)

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> PreferenceData:
        """Read a folder written by :meth:`save`.

        Raises
        ------
        FileNotFoundError
            When a file is missing.
        ValueError
            When a file is damaged or was not written by :meth:`save`.
        """
        return cls(**_saving.load(folder))

    def to_pandas(self) -> pd.DataFrame:
        """One row a pair, as a DataFrame; :meth:`from_pandas` reads it back.

        Columns ``prompt``, ``response_a``, ``response_b``, ``label`` and, where the data have
        them, ``objective``, ``annotator``, ``session``, ``time``, ``strength``, ``probability``,
        ``prompt_type``, ``prompt_group``, ``prompt_latents``, ``model_a``, ``model_b``,
        ``latents_a``, ``latents_b``, ``embedding_a``, ``embedding_b``. Codes that have names are
        categoricals; latents and embeddings are arrays in cells. Where texts are conversations,
        ``prompt_messages``, ``response_a_messages`` and ``response_b_messages`` hold their messages
        as JSON, and nothing for a plain text. What the data are, whether the order is known and
        the names of latents are in ``attrs``.
        """
        columns = _exchange.texts(self) | _exchange.facts(self)
        return _exchange.to_frame(_exchange.with_names(self, columns), _exchange.about(self))

    @classmethod
    def from_pandas(
        cls,
        frame: pd.DataFrame,
        *,
        order_known: bool | None = None,
        source: str | None = None,
        simulated: bool | None = None,
    ) -> PreferenceData:
        """Read a DataFrame with the columns of :meth:`to_pandas`; see :meth:`from_dataset`."""
        return cls.from_dataset(frame, order_known=order_known, source=source, simulated=simulated)

    def to_dataset(self) -> datasets.Dataset:
        """One row a pair, as a ``datasets.Dataset`` with the columns of :meth:`to_pandas`.

        Codes that have names are of the type ``ClassLabel``. :meth:`from_dataset` reads it back.

        Raises
        ------
        ImportError
            When the package ``datasets`` is not installed.
        """
        columns = _exchange.texts(self) | _exchange.facts(self)
        return _exchange.to_dataset(_exchange.with_names(self, columns), _exchange.about(self))

    @classmethod
    def from_dataset(
        cls,
        rows: datasets.Dataset | pd.DataFrame | Sequence[Mapping[str, Any]],
        *,
        order_known: bool | None = None,
        source: str | None = None,
        simulated: bool | None = None,
    ) -> PreferenceData:
        """Read rows (a Dataset, a DataFrame, or mappings) with the columns of :meth:`to_pandas`.

        Equal prompts become one prompt, equal responses to a prompt one response. Words in a
        column of codes become codes in sorted order, and their names; so do objectives that are
        numbers other than 0, 1, ..., k - 1. A text may also be a list of messages.

        Parameters
        ----------
        rows : datasets.Dataset, pandas.DataFrame or sequence of mappings
        order_known, source, simulated : optional
            As for :class:`PreferenceData`. Default: what :meth:`to_pandas` or :meth:`to_dataset`
            said, otherwise that of :class:`PreferenceData`.

        Raises
        ------
        ValueError
            A missing column, a column filled in some rows only, or two rows that
            give one text different messages, types, latents or embeddings; names the row.
        TypeError
            A text that is neither a string nor a list of messages; names the row.
        """
        given = {"order_known": order_known, "source": source, "simulated": simulated}
        return cls._of_rows(rows, _exchange.TEXTS, given)

    @classmethod
    def _of_rows(
        cls, rows: Any, required: tuple[str, ...], given: dict[str, Any]
    ) -> PreferenceData:
        fields = _exchange.read(rows, required)
        return cls(**fields | {k: v for k, v in given.items() if v is not None})

    def to_trl(self) -> datasets.Dataset:
        """Rows ``prompt / chosen / rejected``, as TRL's trainers read them.

        They are strings where all texts are plain. Otherwise all are lists of messages, TRL's
        conversational format: a plain prompt is one user message, or the turns of its transcript,
        and a plain response one assistant message. The arguments of tool calls are JSON strings,
        and so is the column ``tools``, which is there where any conversation has tools.

        Ties have no preferred response and are left out. What the data say of pairs and prompts
        travels along. Which response was shown first is lost.

        Raises
        ------
        ImportError
            When the package ``datasets`` is not installed.
        ValueError
            When all pairs are ties.
        """
        if self.tie.all():
            raise ValueError(
                f"all {len(self)} pairs are ties, and TRL needs a preferred response: collect "
                "labels, or leave the ties out before"
            )
        if self.tie.any():
            return self.select(~self.tie).to_trl()
        columns = _exchange.trl(self)
        kept = ("objective", "annotator", "session", "time", "prompt_type", "prompt_group")
        facts = _exchange.facts(self)
        columns |= {name: facts[name] for name in kept if name in facts}
        return _exchange.to_dataset(_exchange.with_names(self, columns), _exchange.about(self))

    @classmethod
    def from_trl(
        cls,
        rows: datasets.Dataset | pd.DataFrame | Sequence[Mapping[str, Any]],
        *,
        seed: int | np.random.Generator | None = None,
        source: str | None = None,
        simulated: bool | None = None,
    ) -> PreferenceData:
        """Read rows ``prompt / chosen / rejected`` of strings or of lists of messages.

        Parameters
        ----------
        rows : datasets.Dataset, pandas.DataFrame or sequence of mappings
            The columns that :meth:`to_trl` writes are read when there are any.
        seed : int or numpy.random.Generator, optional
            Randomise which response comes first. Without it the chosen one is first and every
            label is 1. Either way the order shown is not known.
        source, simulated : optional
            Default: what :meth:`to_trl` said, otherwise that of :class:`PreferenceData`.

        Raises
        ------
        ValueError
            A missing column, or a row with messages that are none; names it.
        TypeError
            A text that is neither a string nor a list of messages; names the row.
        """
        given = {"order_known": False, "source": source, "simulated": simulated}
        data = cls._of_rows(rows, _exchange.TRL, given)
        if seed is None:
            return data
        return data.swapped(np.random.default_rng(seed).integers(0, 2, len(data)).astype(bool))


def _named(field: str) -> valid.Fact:
    if field not in valid.NAMED:
        raise ValueError(f"{field!r} has no names, expected one of {', '.join(valid.NAMED)}")
    return FACTS[field]


def expect_preferences(data: Any, taker: str) -> None:
    """Refuse what is no :class:`PreferenceData`, and say where to get one.

    Parameters
    ----------
    data : Any
        What was given.
    taker : str
        Who asks, for the message.

    Raises
    ------
    TypeError
        Anything but PreferenceData.
    """
    if not isinstance(data, PreferenceData):
        raise TypeError(
            f"{taker} takes PreferenceData, not {type(data).__name__}: use "
            "causalpref.load_preferences(...).data, which reads a path, a hub id, a DataFrame or "
            "a list of dicts"
        )


def _rebuilt(fields: dict[str, Any]) -> PreferenceData:
    return PreferenceData(**fields)
