"""The one data type of the package: pairwise preferences over texts.

Responses are stored once; a pair is two row numbers into them. Everything
that loads, draws, embeds, fits or checks speaks :class:`PreferenceData`.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import datasets

__all__ = ["PreferenceData"]

_TEXTS = ("prompts", "responses")
_ARRAYS = ("prompt_latents", "response_latents", "embeddings")
_BY_PAIR = ("objective", "annotator")
_TABLES = ("prompts", "responses", "pairs")
_ARRAY_FILE = "arrays.safetensors"
_FORMAT = "causalpref.PreferenceData/1"


@dataclass(frozen=True, eq=False, repr=False)
class PreferenceData:
    """Pairwise preferences: tuples (x, y, y', l) of the paper's section 2, indexed.

    Parameters
    ----------
    prompts : sequence of str, shape (n_prompts,)
        X. All distinct: a prompt that stood twice could land on two sides of a split.
    responses : sequence of str, shape (n_responses,)
        Y and Y', each stored once.
    response_prompt : array of int, shape (n_responses,)
        Row in ``prompts`` of the prompt that each response answers.
    pairs : array of int, shape (n_pairs, 2)
        Rows in ``responses`` of the first and the second response shown.
        Both answer the same prompt. Repeated pairs are kept: they are repeated
        judgements (see :meth:`duplicated`). A response may be paired with itself
        when a labeller was shown the same text twice.
    label : array of {0, 1}, shape (n_pairs,)
        L. 1 means that the first response of the pair is preferred.
    objective : array of int, shape (n_pairs,), optional
        C, the objective under which the label was given.
    annotator : array of int, shape (n_pairs,), optional
        Who gave the label.
    prompt_type : array of int, shape (n_prompts,), optional
        type(X).
    prompt_latents : array of float, shape (n_prompts, k), optional
        Z^X.
    response_latents : array of float, shape (n_responses, m), optional
        Z^T.
    embeddings : array of float, shape (n_responses, d), optional
        e, one row a response; kept as float32.
    source : str
        What the data are, in words fit for a caption.
    simulated : bool
        True when no human or language model wrote the texts or gave the labels.

    Raises
    ------
    ValueError
        For no pairs, lengths that do not fit, a label other than 0 or 1, an index
        out of range, a repeated prompt, a pair across prompts, or a value that is
        not finite. The message names the field, the row and the value.
    TypeError
        For a prompt or response that is not a string.

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
    objective: np.ndarray | None = None
    annotator: np.ndarray | None = None
    prompt_type: np.ndarray | None = None
    prompt_latents: np.ndarray | None = None
    response_latents: np.ndarray | None = None
    embeddings: np.ndarray | None = None
    source: str = "unnamed data"
    simulated: bool = False

    def __post_init__(self) -> None:
        put = lambda name, value: object.__setattr__(self, name, value)
        for name in _TEXTS:
            put(name, _texts(name, getattr(self, name)))
        n_prompts, n_responses = len(self.prompts), len(self.responses)

        put("pairs", _integers("pairs", self.pairs, (None, 2), n_responses, "responses"))
        n_pairs = len(self.pairs)
        if n_pairs == 0:
            raise ValueError("pairs is empty: PreferenceData needs at least one pair")
        put(
            "response_prompt",
            _integers(
                "response_prompt", self.response_prompt, (n_responses,), n_prompts, "prompts"
            ),
        )
        put("label", _labels(self.label, n_pairs))
        for name, n in (("objective", n_pairs), ("annotator", n_pairs), ("prompt_type", n_prompts)):
            if getattr(self, name) is not None:
                put(name, _integers(name, getattr(self, name), (n,)))
        for name, n in zip(_ARRAYS, (n_prompts, n_responses, n_responses)):
            if getattr(self, name) is not None:
                dtype = np.float32 if name == "embeddings" else np.float64
                put(name, _floats(name, getattr(self, name), n, dtype))

        seen: dict[str, int] = {}
        for row, text in enumerate(self.prompts):
            if seen.setdefault(text, row) != row:
                raise ValueError(
                    f"prompts[{row}] repeats prompts[{seen[text]}] ({_short(text)}): "
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
        kind = (
            ""
            if self.source.startswith(said := "simulated" if self.simulated else "real")
            else f"{said}: "
        )
        extra = [
            f"{name} {getattr(self, name).shape[1]}d"
            for name in _ARRAYS
            if getattr(self, name) is not None
        ]
        if self.objective is not None:
            n = len(np.unique(self.objective))
            extra.append(f"{n} objective{'s' * (n > 1)}")
        if self.annotator is not None:
            n = len(np.unique(self.annotator))
            extra.append(f"{n} annotator{'s' * (n > 1)}")
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
            if (a is None) != (b is None) or (a is not None and not np.array_equal(a, b)):
                return False
        return True

    __hash__ = None  # type: ignore[assignment]

    @property
    def pair_prompt(self) -> np.ndarray:
        """Row in ``prompts`` of each pair's prompt, shape (n_pairs,)."""
        return self.response_prompt[self.pairs[:, 0]]

    @property
    def consistent(self) -> np.ndarray:
        """type(X) = C for each pair, shape (n_pairs,), bool (appendix E.1).

        Raises
        ------
        ValueError
            When ``objective`` or ``prompt_type`` is missing.
        """
        for name in ("objective", "prompt_type"):
            if getattr(self, name) is None:
                raise ValueError(f"these data have no {name}: type(X) = C cannot be told")
        return self.prompt_type[self.pair_prompt] == self.objective

    # -- new data from old --------------------------------------------------

    def replace(self, **fields: Any) -> PreferenceData:
        """A copy with some fields exchanged; validated like any other."""
        return dataclasses.replace(self, **fields)

    def select(self, rows: np.ndarray | Sequence[int] | slice) -> PreferenceData:
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
                raise IndexError(f"rows must be integers or a boolean mask, not {rows.dtype}")
            if rows.size == 0:
                rows = rows.astype(np.int64)
        pairs = self.pairs[rows]
        if len(pairs) == 0:
            raise ValueError(f"the selection keeps none of the {n} pairs")
        given = {
            name: getattr(self, name)[rows] for name in _BY_PAIR if getattr(self, name) is not None
        }
        return self.replace(pairs=pairs, label=self.label[rows], **given)

    def compact(self) -> PreferenceData:
        """The same pairs without the responses and prompts that none of them uses."""
        responses, pairs = np.unique(self.pairs, return_inverse=True)
        prompts, response_prompt = np.unique(self.response_prompt[responses], return_inverse=True)
        keep = {
            "prompts": prompts,
            "prompt_type": prompts,
            "prompt_latents": prompts,
            "responses": responses,
            "response_latents": responses,
            "embeddings": responses,
        }
        fields = {
            name: getattr(self, name)[rows]
            for name, rows in keep.items()
            if getattr(self, name) is not None
        }
        return self.replace(pairs=pairs.reshape(-1, 2), response_prompt=response_prompt, **fields)

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
        self,
        *,
        seed: int | np.random.Generator,
        groups: Sequence[Any] | None = None,
        **shares: float,
    ) -> dict[str, PreferenceData]:
        """Split by prompt: no prompt has pairs on two sides.

        Parameters
        ----------
        seed : int or numpy.random.Generator
            Which prompts go where.
        groups : sequence, shape (n_prompts,), optional
            Prompts with the same value stay together, e.g. conversations that
            open alike. Default: each prompt on its own.
        **shares : float
            Name of each side and its share of the prompts (or groups); they sum to 1.

        Returns
        -------
        dict of str to PreferenceData
            In the order given.

        Raises
        ------
        ValueError
            Shares that are not positive or do not sum to 1, groups of the wrong
            length, or a side that would be empty.
        """
        if not shares or min(shares.values()) <= 0 or abs(sum(shares.values()) - 1) > 1e-9:
            raise ValueError(f"shares must be positive and sum to 1, got {shares}")
        if groups is None:
            group = np.arange(len(self.prompts))
        elif len(groups) != len(self.prompts):
            raise ValueError(
                f"groups has {len(groups)} values, the data have {len(self.prompts)} prompts"
            )
        else:
            import pandas as pd

            group = pd.factorize(pd.Series(list(groups), dtype=object))[0]
        pair_group = group[self.pair_prompt]
        used = np.unique(pair_group)
        order = np.random.default_rng(seed).permutation(used)
        cuts = np.round(np.cumsum(list(shares.values())) * len(order)).astype(int)
        sides: dict[str, PreferenceData] = {}
        for name, members in zip(shares, np.split(order, cuts[:-1])):
            rows = np.flatnonzero(np.isin(pair_group, members))
            if len(rows) == 0:
                raise ValueError(
                    f"side {name!r} would be empty: {len(order)} prompts or groups "
                    f"are too few for shares {shares}"
                )
            sides[name] = self.select(rows)
        prompts = [np.unique(side.pair_prompt) for side in sides.values()]
        together = np.concatenate(prompts)
        assert len(np.unique(together)) == len(together), "a prompt is on two sides"
        return sides

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
        import pyarrow as pa
        import pyarrow.parquet as pq
        from safetensors.numpy import save_file

        folder = Path(folder)
        if folder.exists():
            if not overwrite:
                raise FileExistsError(f"{folder} exists; pass overwrite=True to replace it")
            _check_only_ours(folder)
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        try:
            arrays = {
                name: np.ascontiguousarray(getattr(self, name))
                for name in _ARRAYS
                if getattr(self, name) is not None
            }
            meta = {
                b"causalpref": json.dumps(
                    {
                        "format": _FORMAT,
                        "source": self.source,
                        "simulated": self.simulated,
                        "arrays": list(arrays),
                    }
                ).encode()
            }
            tables = {
                "prompts": {
                    "text": pa.array(self.prompts, pa.large_string()),
                    "type": self.prompt_type,
                },
                "responses": {
                    "text": pa.array(self.responses, pa.large_string()),
                    "prompt": self.response_prompt,
                },
                "pairs": {
                    "first": self.pairs[:, 0],
                    "second": self.pairs[:, 1],
                    "label": self.label,
                    "objective": self.objective,
                    "annotator": self.annotator,
                },
            }
            for name, columns in tables.items():
                table = pa.table({k: v for k, v in columns.items() if v is not None})
                pq.write_table(table.replace_schema_metadata(meta), temporary / f"{name}.parquet")
            if arrays:
                save_file(arrays, temporary / _ARRAY_FILE)
            os.chmod(temporary, 0o755)
            if folder.exists():
                old = Path(tempfile.mkdtemp(prefix=f".{folder.name}.old.", dir=folder.parent))
                os.replace(folder, old / "was")
                try:
                    os.replace(temporary, folder)
                except BaseException:
                    os.replace(old / "was", folder)
                    raise
                finally:
                    shutil.rmtree(old)
            else:
                os.replace(temporary, folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return folder

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
        import pyarrow as pa
        import pyarrow.parquet as pq
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        folder = Path(folder)
        tables, arrays = {}, {}
        for name in _TABLES:
            path = folder / f"{name}.parquet"
            if not path.is_file():
                raise FileNotFoundError(
                    f"{path} is missing: {folder} holds no saved PreferenceData"
                )
            try:
                tables[name] = pq.read_table(path)
            except pa.ArrowException as error:
                raise ValueError(f"{path} is damaged ({error})") from None
        meta = _meta(folder)
        if meta["arrays"]:
            path = folder / _ARRAY_FILE
            if not path.is_file():
                raise FileNotFoundError(f"{path} is missing: it holds {meta['arrays']}")
            try:
                arrays = load_file(path)
            except SafetensorError as error:
                raise ValueError(f"{path} is damaged ({error})") from None
            if sorted(arrays) != sorted(meta["arrays"]):
                raise ValueError(f"{path} holds {sorted(arrays)}, expected {meta['arrays']}")

        def column(table: str, name: str) -> np.ndarray | None:
            t = tables[table]
            return t[name].to_numpy() if name in t.column_names else None

        return cls(
            prompts=tables["prompts"]["text"].to_pylist(),
            prompt_type=column("prompts", "type"),
            responses=tables["responses"]["text"].to_pylist(),
            response_prompt=column("responses", "prompt"),
            pairs=np.column_stack([column("pairs", "first"), column("pairs", "second")]),
            label=column("pairs", "label"),
            objective=column("pairs", "objective"),
            annotator=column("pairs", "annotator"),
            source=meta["source"],
            simulated=meta["simulated"],
            **arrays,
        )

    def to_dataset(self) -> datasets.Dataset:
        """One row a pair, as a ``datasets.Dataset``.

        Columns ``prompt``, ``response_a``, ``response_b``, ``label`` and, where the
        data have them, ``objective``, ``annotator``, ``prompt_type``, ``prompt_latents``,
        ``latents_a``, ``latents_b``, ``embedding_a``, ``embedding_b``.
        :meth:`from_dataset` reads it back.
        """
        import datasets

        a, b = self.pairs.T
        x = self.pair_prompt
        columns: dict[str, Any] = {
            "prompt": self.prompts[x],
            "response_a": self.responses[a],
            "response_b": self.responses[b],
            "label": self.label,
            "objective": self.objective,
            "annotator": self.annotator,
            "prompt_type": None if self.prompt_type is None else self.prompt_type[x],
            "prompt_latents": None if self.prompt_latents is None else self.prompt_latents[x],
        }
        for name, field in (("latents", self.response_latents), ("embedding", self.embeddings)):
            for side, rows in (("a", a), ("b", b)):
                columns[f"{name}_{side}"] = None if field is None else field[rows]
        return datasets.Dataset.from_dict(
            {k: list(v) if v.dtype == object else v for k, v in columns.items() if v is not None}
        )

    @classmethod
    def from_dataset(
        cls,
        rows: datasets.Dataset | Sequence[Mapping[str, Any]],
        *,
        source: str = "unnamed data",
        simulated: bool = False,
    ) -> PreferenceData:
        """Read rows (a Dataset, a DataFrame, or mappings) with the columns of :meth:`to_dataset`.

        Equal prompts become one prompt, equal responses to a prompt one response.

        Raises
        ------
        ValueError
            A missing column, a column filled in some rows only, or two rows that
            give one text different types, latents or embeddings; names the row.
        """
        return _Rows(("prompt", "response_a", "response_b", "label")).read(
            rows, source=source, simulated=simulated
        )

    def to_trl(self) -> datasets.Dataset:
        """Rows ``prompt / chosen / rejected``, as TRL's reward trainer reads them.

        ``objective``, ``annotator`` and ``prompt_type`` travel along when there are any. Which
        response was shown first is lost.
        """
        import datasets

        row = np.arange(len(self))
        columns = {
            "prompt": list(self.prompts[self.pair_prompt]),
            "chosen": list(self.responses[self.pairs[row, 1 - self.label]]),
            "rejected": list(self.responses[self.pairs[row, self.label]]),
        }
        columns |= {
            name: getattr(self, name) for name in _BY_PAIR if getattr(self, name) is not None
        }
        if self.prompt_type is not None:
            columns["prompt_type"] = self.prompt_type[self.pair_prompt]
        return datasets.Dataset.from_dict(columns)

    @classmethod
    def from_trl(
        cls,
        rows: datasets.Dataset | Sequence[Mapping[str, Any]],
        *,
        seed: int | np.random.Generator | None = None,
        source: str = "unnamed data",
        simulated: bool = False,
    ) -> PreferenceData:
        """Read rows ``prompt / chosen / rejected`` of strings.

        Parameters
        ----------
        rows : datasets.Dataset or sequence of mappings
            ``objective``, ``annotator`` and ``prompt_type`` are read when there are any.
        seed : int or numpy.random.Generator, optional
            Put the chosen response first or second by a fair coin. Without it the
            chosen one is first and every label is 1.

        Raises
        ------
        ValueError
            A missing column; names it.
        """
        data = _Rows(("prompt", "chosen", "rejected")).read(
            rows, source=source, simulated=simulated
        )
        if seed is None:
            return data
        swap = np.random.default_rng(seed).integers(0, 2, len(data)).astype(bool)
        return data.replace(
            pairs=np.where(swap[:, None], data.pairs[:, ::-1], data.pairs),
            label=np.where(swap, 1 - data.label, data.label),
        )


class _Rows:
    """Folds rows, one a pair, into texts stored once and pairs of indices."""

    def __init__(self, required: tuple[str, ...]):
        self.required = required

    def read(self, rows: Any, *, source: str, simulated: bool) -> PreferenceData:
        names = getattr(rows, "column_names", None)
        if names is None:
            rows = rows.to_dict("records") if hasattr(rows, "to_dict") else list(rows)
            names = list(dict.fromkeys(k for r in rows for k in r)) or list(self.required)
        missing = [c for c in self.required if c not in names]
        if missing:
            raise ValueError(f"the rows have no column {missing[0]!r}; they have {sorted(names)}")
        optional = [
            c
            for c in (
                *_BY_PAIR,
                "prompt_type",
                "prompt_latents",
                "latents_a",
                "latents_b",
                "embedding_a",
                "embedding_b",
            )
            if c in names
        ]

        text = {"prompt": {}, "response": {}}
        of_prompt: list[int] = []
        pairs: list[tuple[int, int]] = []
        label: list[int] = []
        by_pair: dict[str, list[int]] = {name: [] for name in _BY_PAIR if name in optional}
        facts: dict[str, dict[int, Any]] = {
            k: {} for k in ("prompt_type", "prompt_latents", "latents", "embedding")
        }

        def remember(kind: str, row: int, key: int, value: Any) -> None:
            old = facts[kind].setdefault(key, value)
            if old is not value and not np.array_equal(old, value):
                raise ValueError(
                    f"row {row}: {kind} {_short(value)} differs from the "
                    f"{_short(old)} that an earlier row gives the same text"
                )

        _, first, second = self.required[:3]
        for row, r in enumerate(rows):
            for name in self.required:
                if name not in r:
                    raise ValueError(f"row {row} has no {name!r}")
            for name in self.required[:3]:
                if not isinstance(r[name], str):
                    raise TypeError(
                        f"row {row}: {name} is {_short(r[name])} "
                        f"({type(r[name]).__name__}), expected a string"
                    )
            for name in optional:
                if r.get(name) is None:
                    raise ValueError(f"row {row}: {name} is missing, other rows have it")
            x = text["prompt"].setdefault(r["prompt"], len(text["prompt"]))
            pair = []
            for name in (first, second):
                y = text["response"].setdefault((x, r[name]), len(text["response"]))
                if y == len(of_prompt):
                    of_prompt.append(x)
                pair.append(y)
            pairs.append((pair[0], pair[1]))
            label.append(r["label"] if "label" in self.required else 1)
            for name in optional:
                if name in by_pair:
                    by_pair[name].append(r[name])
                elif name in facts:
                    remember(name, row, x, r[name])
                else:
                    kind, side = name.split("_")
                    remember(kind, row, pair["ab".index(side)], r[name])

        def gathered(kind: str, n: int) -> list[Any] | None:
            return [facts[kind][i] for i in range(n)] if facts[kind] else None

        n_x, n_y = len(text["prompt"]), len(of_prompt)
        return PreferenceData(
            prompts=list(text["prompt"]),
            responses=[y for _, y in text["response"]],
            response_prompt=np.array(of_prompt, dtype=np.int64),
            pairs=np.array(pairs, dtype=np.int64).reshape(-1, 2),
            label=np.array(label),
            **{name: np.array(values) for name, values in by_pair.items() if values},
            prompt_type=gathered("prompt_type", n_x),
            prompt_latents=gathered("prompt_latents", n_x),
            response_latents=gathered("latents", n_y),
            embeddings=gathered("embedding", n_y),
            source=source,
            simulated=simulated,
        )


def _meta(folder: Path) -> dict[str, Any]:
    """What :meth:`PreferenceData.save` says of the folder.

    Raises
    ------
    ValueError
        When it did not write the table of pairs.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = folder / "pairs.parquet"
    try:
        meta = json.loads((pq.read_schema(path).metadata or {}).get(b"causalpref", b"{}"))
    except pa.ArrowException as error:
        raise ValueError(f"{path} is damaged ({error})") from None
    if meta.get("format") != _FORMAT:
        raise ValueError(f"{path} has format {meta.get('format')!r}, expected {_FORMAT!r}")
    return meta


def _check_only_ours(folder: Path) -> None:
    """Refuse to replace a folder that holds anything else than a saved data set."""
    allowed = {_ARRAY_FILE, *(f"{name}.parquet" for name in _TABLES)}
    names = {p.name for p in folder.iterdir()} if folder.is_dir() else {""}
    try:
        if "pairs.parquet" not in names or names - allowed:
            raise ValueError
        _meta(folder)
    except ValueError:
        raise FileExistsError(
            f"{folder} holds no saved PreferenceData, or more than that: it is not replaced"
        ) from None


# -- validation ------------------------------------------------------------


def _short(value: Any) -> str:
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


def _texts(name: str, values: Any) -> np.ndarray:
    if isinstance(values, str):
        raise TypeError(f"{name} must be a sequence of strings, got one string")
    if _is_ours(values):
        return values
    values = list(values)
    for row, value in enumerate(values):
        if not isinstance(value, str):
            raise TypeError(
                f"{name}[{row}] is {_short(value)} ({type(value).__name__}), expected a string"
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
    if array.ndim != len(shape) or any(
        n is not None and n != m for n, m in zip(shape, array.shape)
    ):
        want = ", ".join("any" if n is None else str(n) for n in shape)
        raise ValueError(f"{name} has shape {array.shape}, expected ({want})")
    return array


def _integers(
    name: str, values: Any, shape: tuple[int | None, ...], limit: int | None = None, of: str = ""
) -> np.ndarray:
    array = _shaped(name, values, shape)
    whole = array
    if array.dtype.kind not in "ib":
        try:
            if array.dtype.kind in "US":
                raise ValueError
            as_float = array.astype(np.float64)
        except (TypeError, ValueError):
            raise ValueError(
                f"{name} must be integers, got dtype {array.dtype}: {_short(array.flat[0])}"
            ) from None
        bad = ~(np.abs(as_float) < 2**53) | (as_float != np.round(as_float))
        if bad.any():
            row = tuple(np.argwhere(bad)[0].tolist())
            raise ValueError(
                f"{name}[{', '.join(map(str, row))}] = {array[row]} is not an integer (or too large)"
            )
        whole = as_float
    whole = whole.astype(np.int64, copy=False)
    if limit is not None and len(whole):
        bad = (whole < 0) | (whole >= limit)
        if bad.any():
            row = tuple(np.argwhere(bad)[0].tolist())
            raise ValueError(
                f"{name}[{', '.join(map(str, row))}] = {whole[row]} is out of range: "
                f"there are {limit} {of}"
            )
    return _frozen(whole)


def _labels(values: Any, n: int) -> np.ndarray:
    array = _shaped("label", values, (n,))
    bad = ~np.isin(array, (0, 1))
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise ValueError(
            f"label[{row}] = {array[row]} is neither 0 nor 1 "
            "(1: the first of the pair is preferred)"
        )
    return _frozen(array.astype(np.int64, copy=False))


def _floats(name: str, values: Any, n: int, dtype: type) -> np.ndarray:
    array = _shaped(name, values, (n, None))
    try:
        array = array.astype(dtype, copy=False)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be numbers, got dtype {array.dtype}") from None
    finite = np.isfinite(array)
    if not finite.all():
        row, column = np.argwhere(~finite)[0].tolist()
        raise ValueError(f"{name}[{row}, {column}] = {array[row, column]} is not finite")
    return _frozen(array)
