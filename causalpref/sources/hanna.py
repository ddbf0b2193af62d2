"""HANNA (Chhun et al., 2022; 2024): stories of eleven writers, rated by people on six aspects.

A real counterpart of UltraFeedback that is small: 96 prompts, each answered by ten language
models and a human, and every story rated by three people. The texts are not in the file. What
is observed of a story is 72 automatic measures of its text, which stand in for an embedding.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence

import numpy as np

from causalpref.data import PreferenceData
from causalpref.simulation.labels import checked_aspects, compare_rated
from causalpref.sources._rows import Bad, Table, resolve, rows_at

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
    source = resolve(source)
    if source == "offline":
        raise ValueError(
            "HANNA has no offline twin: give source='hub' or a path, or use "
            "load_ultrafeedback, which has one"
        )
    table = rows_at(source, [_URL], file=_FILE)
    name = table.name
    writers, columns = _read(table)
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
        names={"response_latents": aspects},
        embeddings=e,
        weights=weights,
        seed=seed,
    )
    return data.replace(
        source=f"HANNA ({len(data):,} pairs of {len(ratings):,} stories labelled by mean human "
        f"ratings of {', '.join(aspects)}; {len(measures)} automatic measures as the "
        "embedding; the texts are not in the file)"
    )


def _read(table: Table) -> tuple[list[str], dict[str, np.ndarray]]:
    """Names of the writers, and each column as an array, shape (n_writers, n_prompts)."""
    if table.columns is None or table.columns[0] != "Model":
        first = table.columns and table.columns[0]
        raise ValueError(f"{table.name} begins with the column {first!r}, expected 'Model'")
    writers: list[str] = []
    columns: dict[str, list[list[float]]] = {name: [] for name in table.columns[1:]}
    n = None
    for where, row in table.rows(None):
        if isinstance(row, Bad):
            raise ValueError(f"{where}: {row}")
        writers.append(row["Model"])
        for name, values in columns.items():
            numbers = _numbers(row[name], f"{where}, column {name!r}")
            n = len(numbers) if n is None else n
            if len(numbers) != n:
                raise ValueError(
                    f"{where}, column {name!r}: {len(numbers)} numbers, the first cell has {n}"
                )
            values.append(numbers)
    if len(writers) < 2:
        raise ValueError(f"{table.name} holds {len(writers)} writers, expected two or more")
    return writers, {name: np.array(values) for name, values in columns.items()}


def _numbers(cell: str, where: str) -> list[float]:
    """A Python list of numbers, in which ``nan`` stands bare."""
    try:
        values = json.loads(_NAN.sub("NaN", cell))
        if not isinstance(values, list) or not values:
            raise ValueError
        return [float(v) for v in values]
    except (TypeError, ValueError):
        raise ValueError(f"{where}: {cell[:60]!r} is no list of numbers") from None
