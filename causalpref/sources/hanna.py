"""HANNA (Chhun et al., 2022; 2024): stories of eleven writers, rated by people on six aspects.

A real counterpart of UltraFeedback that is small: 96 prompts, each answered by ten language
models and a human, and every story rated by three people. The texts are not in the file. What
is observed of a story is 72 automatic measures of its text, which stand in for an embedding.
"""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from causalpref.data import PreferenceData
from causalpref.simulation.labels import checked_aspects, compare_rated
from causalpref.sources._shared import downloaded, resolve

__all__ = ["ASPECTS", "SHA256", "load_hanna"]

ASPECTS = ("Relevance", "Coherence", "Empathy", "Surprise", "Engagement", "Complexity")
"""The rated aspects; each number is the mean of three people's ratings, 1 to 5."""

SHA256 = "d0ce43f9b5cc12894f8b7bf3f7b4da06d19cdbea2c989dd3f173f2240dfee26d"
"""Of the file at the commit that ``"hub"`` downloads; another one is read too."""

_FILE = "hanna_metric_scores_llm.csv"
_URL = f"https://raw.githubusercontent.com/dig-team/hanna-benchmark-asg/282f275/{_FILE}"
_RATING = re.compile(r"Human\b|.* (RE|CH|EM|SU|EG|CX|AVG) \d+$")  # by one person or one model
_NAN = re.compile(r"\bnan\b")


def load_hanna(
    source: str | os.PathLike[str] | None = None,
    *,
    aspects: Sequence[str] = ("Relevance", "Coherence"),
    weights: Sequence[float] | None = (0.25, 0.75),
    seed: int | np.random.Generator = 0,
) -> PreferenceData:
    """Load HANNA: rated stories, and every pair of a prompt labelled by its ratings.

    Parameters
    ----------
    source : "hub" or path, optional
        See :mod:`causalpref.sources`. ``"hub"`` downloads the file from its GitHub repository,
        a path is the file or a folder that holds it as ``hanna_metric_scores_llm.csv``. There
        is no offline twin.
    aspects : sequence of str
        Two or more of :data:`ASPECTS`: the latents Z^T, in this order.
    weights : sequence of float, optional
        Of the aspects in the reward that gives the labels, see
        :func:`~causalpref.simulation.label_by_reward`. The default is for two;
        None weighs all alike.
    seed : int or numpy.random.Generator
        Deals the order within each pair and the label of a tie.

    Returns
    -------
    PreferenceData
        ``embeddings`` holds the measures, each with mean 0 and standard deviation 1 over all
        stories. The stories of a prompt stand in the order of the writers in the file.

    Raises
    ------
    FileNotFoundError
        No such path, or a folder without the file.
    ValueError
        ``"offline"``; aspects or weights that do not fit; a column that is missing, a cell that
        is no list of numbers, lists of different lengths, a rating outside 1 to 5, no complete
        measure; names line and column.

    Notes
    -----
    A measure is a column that is neither one of :data:`ASPECTS` nor a rating by one person or
    by a language model (its name begins with "Human" or ends in the letters of an aspect and a
    number, as in "ChatGPT RE 1"), and that has a number for every story.

    54 of the 72 measures compare a story with the human one to the same prompt. For the human
    story itself nearly all of them are at their best, which makes that writer easy to tell.

    Ratings are thirds, so their differences are equal only up to rounding.
    """
    aspects = checked_aspects(aspects, ASPECTS)
    path, name = _path(resolve(source))
    writers, columns = _read(path, name)
    missing = [a for a in aspects if a not in columns]
    if missing:
        raise ValueError(f"{name} has no column {missing[0]!r}")
    ratings = np.stack([columns[a].T.ravel() for a in aspects], axis=1)
    if not ((ratings >= 1) & (ratings <= 5)).all():
        row, j = np.argwhere(~((ratings >= 1) & (ratings <= 5)))[0]
        prompt, writer = divmod(int(row), len(writers))
        raise ValueError(
            f"{name}: {aspects[j]} of {writers[writer]}, prompt {prompt + 1}, is "
            f"{ratings[row, j]}, expected 1 to 5"
        )
    measures = [
        values.T.ravel()
        for column, values in columns.items()
        if column not in ASPECTS and not _RATING.match(column) and np.isfinite(values).all()
    ]
    if not measures:
        raise ValueError(f"{name} has no automatic measure that is complete")
    e = np.stack(measures, axis=1)
    e = (e - e.mean(axis=0)) / np.where(np.ptp(e, axis=0) > 0, e.std(axis=0), 1)

    n = next(iter(columns.values())).shape[1]
    prompt_of = np.repeat(np.arange(n), len(writers))
    data = compare_rated(
        prompts=[f"story prompt {i + 1}" for i in range(n)],
        responses=[f"story of {w} to prompt {i + 1}" for i in range(n) for w in writers],
        response_prompt=prompt_of,
        response_latents=ratings,
        embeddings=e,
        weights=weights,
        seed=seed,
    )
    return data.replace(
        source=f"HANNA ({len(data):,} pairs of {len(ratings):,} stories labelled by mean human "
        f"ratings of {', '.join(aspects)}; {len(measures)} automatic measures as the "
        "embedding; the texts are not in the file)"
    )


def _path(source: Any) -> tuple[Path, str]:
    """Where the file is, and what a message calls it."""
    if source == "hub":
        return downloaded(_URL, "hanna"), _FILE
    if source == "offline":
        raise ValueError(
            "HANNA has no offline twin: give source='hub' or a path, or use "
            "load_ultrafeedback, which has one"
        )
    path = Path(source)
    if path.is_dir():
        path = path / _FILE
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} does not exist: source is 'hub', the file {_FILE}, or a folder that holds it"
        )
    return path, path.name


def _read(path: Path, file: str) -> tuple[list[str], dict[str, np.ndarray]]:
    """Names of the writers, and each column as an array, shape (n_writers, n_prompts)."""
    before = csv.field_size_limit(2**31 - 1)
    try:
        with open(path, encoding="utf-8", newline="") as lines:
            header, *rows = (row for row in csv.reader(lines) if row)
    except (ValueError, csv.Error):
        raise ValueError(f"{file} is empty, or no CSV in UTF-8") from None
    finally:
        csv.field_size_limit(before)
    if header[0] != "Model" or len(rows) < 2:
        raise ValueError(
            f"{file} begins with the column {header[0]!r} and holds {len(rows)} "
            "writers, expected 'Model' and two or more"
        )
    columns: dict[str, np.ndarray] = {}
    n = None
    for line, row in enumerate(rows, 2):
        if len(row) != len(header):
            raise ValueError(f"{file}, line {line}: {len(row)} cells, the header has {len(header)}")
    for j, name in enumerate(header[1:], 1):
        cells = [
            _numbers(row[j], f"{file}, line {line}, column {name!r}")
            for line, row in enumerate(rows, 2)
        ]
        for line, cell in enumerate(cells, 2):
            n = len(cell) if n is None else n
            if len(cell) != n:
                raise ValueError(
                    f"{file}, line {line}, column {name!r}: {len(cell)} "
                    f"numbers, the first cell has {n}"
                )
        columns[name] = np.array(cells)
    return [row[0] for row in rows], columns


def _numbers(cell: str, where: str) -> list[float]:
    """A Python list of numbers, in which ``nan`` stands bare."""
    try:
        values = json.loads(_NAN.sub("NaN", cell))
        if not isinstance(values, list) or not values:
            raise ValueError
        return [float(v) for v in values]
    except (TypeError, ValueError):
        raise ValueError(f"{where}: {cell[:60]!r} is no list of numbers") from None
