"""HH-RLHF (Bai et al., 2022) as relabelled under both objectives by Siththaranjan et al. (2024).

The data of the paper's section 4 and appendix E.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from causalpref.data import PreferenceData
from causalpref.simulation import hh_rlhf_twin
from causalpref.sources._shared import downloaded, json_lines, resolve

__all__ = ["OBJECTIVES", "load_hh_rlhf", "relabelling"]

OBJECTIVES = ("helpful", "harmless")
"""Code of C and of type(X): 0 is helpful, 1 is harmless (appendix E.1)."""

_HUB = (
    "https://raw.githubusercontent.com/cassidylaidlaw/hidden-context/"
    "13c98bb/data/relabeled_hh_rlhf/both/{split}.jsonl.gz"
)
_COLUMNS = ("prompt", "responses", "label", "objective", "data_subset")
_SPLITS = ("train", "test")


def load_hh_rlhf(
    source: str | os.PathLike[str] | None = None,
    *,
    split: str | None = None,
    n_pairs: int | None = None,
) -> PreferenceData:
    """Load the relabelled HH-RLHF preferences.

    Parameters
    ----------
    source : {"offline", "hub"} or path, optional
        See :mod:`causalpref.sources`. A path is one JSON-lines file, plain or
        gzipped, or a folder that holds ``train`` and/or ``test`` as
        ``.jsonl.gz`` or ``.jsonl``. ``"offline"`` is the simulated
        :func:`~causalpref.simulation.hh_rlhf_twin`, which has embeddings too.
    split : {"train", "test"}, optional
        For the hub or a folder: one split. Default: all there are.
    n_pairs : int, optional
        For ``"offline"``: pairs of the twin, 6,000 without it.

    Returns
    -------
    PreferenceData
        ``objective`` is C and ``prompt_type`` is type(X), coded by
        :data:`OBJECTIVES`; ``label`` 1 means that ``responses[0]`` of the row is
        preferred. Pairs keep the order of the rows.

    Raises
    ------
    FileNotFoundError
        No such file, or a folder without the splits asked for.
    ValueError
        A damaged gzip, a line that is not JSON, a missing column, a label other
        than 0 or 1, an unknown objective, no rows; names the file and the line.
    TypeError
        A prompt or response that is not a string; names the file and the line.
    """
    source, splits = _resolve(source, split)
    if source == "offline":
        if split is not None:
            raise ValueError("the offline twin has no splits: leave split out")
        return hh_rlhf_twin() if n_pairs is None else hh_rlhf_twin(n_pairs)
    if n_pairs is not None:
        raise ValueError(f"n_pairs={n_pairs} goes with 'offline', not with {str(source)!r}")

    files = _files(source, splits, split)
    data = _fold(
        (row for file, name in files for row in _checked(json_lines(file, name), name)),
        source="",
        simulated=False,
    )
    what = " + ".join(name.split(".")[0] for _, name in files)
    return data.replace(source=f"HH-RLHF relabelled, {what} ({len(data):,} real pairs)")


def relabelling(source: str | os.PathLike[str], *, split: str | None = None) -> pd.DataFrame:
    """How the new labels compare with those that people gave in the first release.

    The relabelled data carry both; :func:`load_hh_rlhf` keeps the new ones only.

    Parameters
    ----------
    source, split
        As for :func:`load_hh_rlhf`, real data only.

    Returns
    -------
    pandas.DataFrame
        ``prompts``, ``objective`` ("helpful", "harmless"), ``agreement`` of the two labels and
        ``longer_by_people``, how often the longer response was preferred in the first release
        (equal lengths count one half), both in [0, 1]; ``pairs``.

    Raises
    ------
    ValueError
        For ``"offline"``, or a line without ``original_label``.
    """
    source, splits = _resolve(source, split)
    if source == "offline":
        raise ValueError("the offline twin was never labelled by people")
    rows = []
    for file, name in _files(source, splits, split):
        lines = list(json_lines(file, name))
        for (number, raw), row in zip(lines, _checked(lines, name)):
            people = raw.get("original_label")
            if people not in (0, 1):
                raise ValueError(
                    f"{name}, line {number}: original_label is {people!r}, expected 0 or 1"
                )
            preferred, other = raw["responses"][people], raw["responses"][1 - people]
            rows.append(
                {
                    "prompts": OBJECTIVES[row["prompt_type"]],
                    "objective": OBJECTIVES[row["objective"]],
                    "agreement": float(row["label"] == 1 - people),
                    "longer_by_people": 0.5 + 0.5 * np.sign(len(preferred) - len(other)),
                }
            )
    cells = pd.DataFrame(rows).groupby(["prompts", "objective"], sort=False)
    table = cells.mean()
    table["pairs"] = cells.size()
    return table.reset_index()


def _resolve(source: Any, split: str | None) -> tuple[Any, tuple[str, ...]]:
    if split is not None and split not in _SPLITS:
        raise ValueError(f"split is {split!r}, expected 'train', 'test' or None for all")
    return resolve(source), _SPLITS if split is None else (split,)


def _files(source: Any, splits: tuple[str, ...], split: str | None) -> list[tuple[Path, str]]:
    """Where the rows are, with the name that an error message gives the file."""
    if source == "hub":
        urls = [_HUB.format(split=s) for s in splits]
        return [(downloaded(url, "relabeled_hh_rlhf"), url.rsplit("/", 1)[-1]) for url in urls]
    path = Path(source)
    if path.is_dir():
        found = [
            next((f for f in (path / f"{s}.jsonl.gz", path / f"{s}.jsonl") if f.is_file()), None)
            for s in splits
        ]
        if not any(found):
            raise FileNotFoundError(
                f"{path} holds none of " + ", ".join(f"{s}.jsonl.gz, {s}.jsonl" for s in splits)
            )
        return [(f, f.name) for f in found if f]
    if not path.is_file():
        raise FileNotFoundError(
            f"source {str(source)!r} is neither 'offline', 'hub' nor an existing file or folder"
        )
    if split is not None:
        raise ValueError(f"{path} is one file: split={split!r} goes with a folder or 'hub'")
    return [(path, path.name)]


def _checked(rows: Any, name: str) -> Iterator[dict[str, Any]]:
    """Rows of :meth:`PreferenceData.from_dataset`, each checked against the schema."""
    for number, row in rows:
        where = f"{name}, line {number}"
        if not isinstance(row, dict):
            raise ValueError(f"{where}: a {type(row).__name__}, expected an object")
        for column in _COLUMNS:
            if column not in row:
                raise ValueError(
                    f"{where}: column {column!r} is missing; the line has {sorted(row)}"
                )
        responses, label = row["responses"], row["label"]
        if not isinstance(row["prompt"], str):
            raise TypeError(f"{where}: prompt is {row['prompt']!r}, expected a string")
        if not isinstance(responses, list) or len(responses) != 2:
            raise ValueError(
                f"{where}: responses must be a list of two strings, got {str(responses)[:60]!r}"
            )
        for k, response in enumerate(responses):
            if not isinstance(response, str):
                raise TypeError(
                    f"{where}: responses[{k}] is {str(response)[:60]!r} "
                    f"({type(response).__name__}), expected a string"
                )
        if isinstance(label, bool) or label not in (0, 1):
            raise ValueError(
                f"{where}: label is {label!r}, expected 0 or 1 (index of the preferred response)"
            )
        code = {}
        for column in ("objective", "data_subset"):
            if row[column] not in OBJECTIVES:
                raise ValueError(
                    f"{where}: {column} is {row[column]!r}, expected one of {list(OBJECTIVES)}"
                )
            code[column] = OBJECTIVES.index(row[column])
        yield {
            "prompt": row["prompt"],
            "response_a": responses[0],
            "response_b": responses[1],
            "label": 1 - int(label),
            "objective": code["objective"],
            "prompt_type": code["data_subset"],
            "where": where,
        }


def _fold(rows: Iterator[dict[str, Any]], *, source: str, simulated: bool) -> PreferenceData:
    kept: list[dict[str, Any]] = []
    type_of: dict[str, tuple[int, str]] = {}
    for row in rows:
        where = row.pop("where")
        known, earlier = type_of.setdefault(row["prompt"], (row["prompt_type"], where))
        if known != row["prompt_type"]:
            raise ValueError(
                f"{where}: data_subset is {OBJECTIVES[row['prompt_type']]!r}, but "
                f"{earlier} gives the same prompt {OBJECTIVES[known]!r}"
            )
        kept.append(row)
    if not kept:
        raise ValueError("the file has no rows")
    return PreferenceData.from_dataset(kept, source=source, simulated=simulated)
