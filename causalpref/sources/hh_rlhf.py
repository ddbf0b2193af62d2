"""HH-RLHF (Bai et al., 2022) as relabelled under both objectives by Siththaranjan et al. (2024).

The data of the paper's section 4 and appendix E.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from causalpref.data import PreferenceData
from causalpref.simulation import hh_rlhf_twin
from causalpref.sources._layouts import OBJECTIVES
from causalpref.sources._plan import plan_for
from causalpref.sources._rows import Table, downloaded, resolve, rows_at
from causalpref.sources.files import collected

__all__ = ["OBJECTIVES", "load_hh_rlhf", "relabelling", "split_file"]

_HUB = (
    "https://raw.githubusercontent.com/cassidylaidlaw/hidden-context/"
    "13c98bb/data/relabeled_hh_rlhf/both/{split}.jsonl.gz"
)
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
        See :mod:`causalpref.sources`. A path is one file, or a folder with files for the splits
        (``train.jsonl.gz``, ``test.jsonl.gz``). ``"offline"`` is the simulated
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
        preferred. Pairs keep the order of the rows. In the real data ``prompt_group`` is
        the opening human turn, numbered in order of appearance: prompts with the same one are cut
        from one conversation.

    Raises
    ------
    FileNotFoundError
        No such path.
    ValueError
        A damaged file, or the first row that cannot be used; see
        :func:`~causalpref.sources.load_preferences`.
    """
    source = resolve(source)
    if source != "offline":
        if n_pairs is not None:
            raise ValueError(f"n_pairs={n_pairs} goes with 'offline', not with {str(source)!r}")
        table = _rows(source, split)
        data = _read(table)
        what = " + ".join(name.partition(".")[0] for name in table.name.split(" + "))
        return data.replace(source=f"HH-RLHF relabelled, {what} ({len(data):,} real pairs)")
    if split is not None:
        raise ValueError("the offline twin has no splits: leave split out")
    return hh_rlhf_twin() if n_pairs is None else hh_rlhf_twin(n_pairs)


def _rows(source: Any, split: str | None) -> Table:
    if split not in (None, *_SPLITS):
        raise ValueError(f"split is {split!r}, expected 'train', 'test' or None for all")
    splits = _SPLITS if split is None else (split,)
    return rows_at(source, [_HUB.format(split=s) for s in splits], split=split)


def _read(table: Table, **columns: str) -> PreferenceData:
    return collected(table, plan_for(table, "hh_rlhf", columns), strict=True).data


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
        For ``"offline"``, or a row without ``original_label``.
    """
    source = resolve(source)
    if source == "offline":
        raise ValueError("the offline twin was never labelled by people")
    table = _rows(source, split)
    data, people = _read(table), _read(table, label="original_label")
    length = np.array([len(y) for y in data.responses])[data.pairs]
    longer = np.sign(length[:, 0] - length[:, 1]) * np.where(people.label == 1, 1, -1)
    objective, prompt_type = data.require("objective", "prompt_type")
    words = np.array(OBJECTIVES)
    cells = pd.DataFrame(
        {
            "prompts": words[prompt_type[data.pair_prompt]],
            "objective": words[objective],
            "agreement": (data.label == people.label).astype(float),
            "longer_by_people": 0.5 + 0.5 * longer,
        }
    ).groupby(["prompts", "objective"], sort=False)
    means = cells.mean()
    means["pairs"] = cells.size()
    return means.reset_index()


def split_file(source: str | os.PathLike[str], split: str) -> Path:
    """The file of one split, for what reads a file by itself.

    Parameters
    ----------
    source : "hub" or path
        A file, which is returned; a folder that holds the split's; ``"hub"`` downloads it.
    split : {"train", "test"}

    Raises
    ------
    FileNotFoundError
        No such path, or a folder without the split.
    """
    names = [f"{split}.jsonl.gz", f"{split}.jsonl"]
    if source == "hub":
        cached = downloaded(_HUB.format(split=split))
        # the cache names a file by a hash, and readers go by the ending
        named = cached.parent / "relabeled_hh_rlhf" / names[0]
        if not named.exists():
            named.parent.mkdir(exist_ok=True)
            shutil.copyfile(cached, named)
        return named
    path = Path(source)
    if not path.exists():
        raise FileNotFoundError(f"{path} is neither 'hub' nor an existing file or folder")
    found = [path] if path.is_file() else [f for n in names if (f := path / n).is_file()]
    if not found:
        raise FileNotFoundError(f"{path} holds neither {names[0]} nor {names[1]}")
    return found[0]
