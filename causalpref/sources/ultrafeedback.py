"""UltraFeedback (Cui et al., 2024): several rated responses a prompt, and a simulated twin.

The data of the paper's section 5 and appendix D. A language model rated each response on four
aspects, from 1 to 5. Two of the ratings serve as the latents Z^T; the label follows from them
by a reward function (appendix D.2), so nobody gave it. Each response is stored once and all
pairs of a prompt are indices into the responses.

The twin (:func:`~causalpref.simulation.ultrafeedback_twin_rows`) is written as rows of the real
schema, so that one reader serves both.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from causalpref._extras import models_extra
from causalpref.data import PreferenceData
from causalpref.simulation import ultrafeedback_twin_rows
from causalpref.simulation.labels import checked_aspects, checked_weights, compare_rated
from causalpref.sources._shared import dataset_rows, json_lines, parquet_rows, resolve

__all__ = [
    "ASPECTS",
    "NOT_RATED",
    "BadRating",
    "Completion",
    "Counts",
    "load_ultrafeedback",
    "parse_completion",
    "read_ultrafeedback",
]

ASPECTS = ("helpfulness", "honesty", "instruction_following", "truthfulness")
"""The four rated aspects, in the order of :class:`Completion.ratings`."""

NOT_RATED = math.nan
"""Stands for "N/A" and for a rating that is not there. One object: test with ``is``."""

_PAPER = ("truthfulness", "instruction_following")  # z_1 and z_2 of appendix D.2
_ALPHA = (0.25, 0.75)  # alpha and 1 - alpha of equation 8
_HUB = "openbmb/UltraFeedback"
_COLUMNS = ("source", "instruction", "completions")
_RATINGS = {
    **{str(k): float(k) for k in range(1, 6)},
    **dict.fromkeys(("N/A", "NA", "NAN", "NONE", "NULL", ""), NOT_RATED),
}


# -- loading ---------------------------------------------------------------


@dataclass(frozen=True)
class Counts:
    """What :func:`read_ultrafeedback` read, kept and left out.

    Nothing is lost between the numbers: ``rows = prompts + folded_rows + prompts_left_out`` and
    ``completions = responses + empty + unreadable + unrated + repeated + contradicted + alone``.

    Parameters
    ----------
    rows : int
        Rows read.
    short_rows : int
        Rows that list fewer than four completions, or none. They are used as far as they go.
    folded_rows : int
        Rows with the prompt of an earlier row. Their completions join that prompt.
    completions : int
        Completions read.
    empty : int
        Completions without words.
    unreadable : int
        Completions with a rating, in an aspect asked for, that is neither a number from 1 to 5
        nor "N/A". ``example`` says where the first one is.
    unrated : int
        Completions without a rating ("N/A", missing or empty) in an aspect asked for.
    repeated : int
        Completions with the text of another to the same prompt and the same ratings. One
        of them is kept and not counted here.
    contradicted : int
        Completions with the text of another to the same prompt and other ratings. All of
        them are left out: which rating is right cannot be told.
    alone : int
        Usable responses that are left without a second one to their prompt.
    prompts_left_out : int
        Prompts with fewer than two usable responses.
    prompts, responses : int
        Kept.
    example : str
        The first unreadable rating, or "".
    """

    rows: int
    short_rows: int
    folded_rows: int
    completions: int
    empty: int
    unreadable: int
    unrated: int
    repeated: int
    contradicted: int
    alone: int
    prompts_left_out: int
    prompts: int
    responses: int
    example: str = ""

    def left_out(self) -> str:
        """What was left out, in words: ``"12 completions not rated, 3 prompts ..."``."""
        parts = [
            f"{n:,} {one if n == 1 else many}"
            for n, one, many in (
                (self.unrated, "completion not rated", "completions not rated"),
                (self.unreadable, "unreadable rating", "unreadable ratings"),
                (self.empty, "empty response", "empty responses"),
                (self.repeated, "repeated response", "repeated responses"),
                (self.contradicted, "response with two ratings", "responses with two ratings"),
                (
                    self.prompts_left_out,
                    "prompt with fewer than two responses",
                    "prompts with fewer than two responses",
                ),
            )
            if n
        ]
        return ", ".join(parts) or "nothing"


def load_ultrafeedback(
    source: str | os.PathLike[str] | None = None,
    *,
    aspects: Sequence[str] = _PAPER,
    weights: Sequence[float] | None = _ALPHA,
    limit: int | None = None,
    revision: str | None = None,
    n_prompts: int | None = None,
    seed: int | np.random.Generator = 0,
) -> PreferenceData:
    """Load UltraFeedback: rated responses, and every pair of a prompt labelled by its ratings.

    Parameters
    ----------
    source : {"offline", "hub"} or path, optional
        See :mod:`causalpref.sources`. A path is a JSON-lines file, plain or gzipped, a Parquet
        file, a folder of such files, or a folder of ``datasets.Dataset.save_to_disk``, with the
        columns ``instruction`` and ``completions``. ``"offline"`` is the simulated
        :func:`~causalpref.simulation.ultrafeedback_twin`.
    aspects : sequence of str
        Two or more of :data:`ASPECTS`: the latents Z^T, in this order. The default is that
        of the paper.
    weights : sequence of float, optional
        Of the aspects in the reward that gives the labels, see
        :func:`~causalpref.simulation.label_by_reward`. The
        default is the paper's for its two aspects; None weighs all aspects alike.
    limit : int, optional
        Read at most so many rows.
    revision : str, optional
        For the hub: commit, branch or tag.
    n_prompts : int, optional
        For ``"offline"``: rows of the twin, 10,000 without it.
    seed : int or numpy.random.Generator
        Deals the order within each pair and the label of a tie. The responses are the same for
        every seed.

    Returns
    -------
    PreferenceData
        ``response_latents`` holds the ratings, shape (n_responses, n_aspects); ``source`` says
        what was left out (:func:`read_ultrafeedback` gives the numbers). The twin has
        ``embeddings`` too.

    Raises
    ------
    FileNotFoundError
        No such path, or a folder without such files.
    ValueError
        An unknown aspect, fewer than two or one named twice, weights that do not fit, an
        option that does not go with the source, a damaged file, a row without the columns, or
        nothing left; names file and line.
    TypeError
        A prompt or response that is not a string; names file and line.

    Notes
    -----
    Ratings are text in the files. "N/A" and missing ones are masked before any arithmetic.

    A response that lacks one of the aspects asked for is left out, as is one without words. Rows
    with the same prompt count as one prompt. Of responses to a prompt with the same words one
    is kept if their ratings agree, in the aspects asked for, and none if they do not. A prompt
    left with one response, or none, is left out. Which responses stay therefore depends on the
    aspects: raters give "N/A" where an aspect does not apply, so this is no random loss.
    """
    return read_ultrafeedback(
        source,
        aspects=aspects,
        weights=weights,
        limit=limit,
        revision=revision,
        n_prompts=n_prompts,
        seed=seed,
    )[0]


def read_ultrafeedback(
    source: str | os.PathLike[str] | None = None,
    *,
    aspects: Sequence[str] = _PAPER,
    weights: Sequence[float] | None = _ALPHA,
    limit: int | None = None,
    revision: str | None = None,
    n_prompts: int | None = None,
    seed: int | np.random.Generator = 0,
) -> tuple[PreferenceData, Counts]:
    """As :func:`load_ultrafeedback`, with the numbers of what was left out.

    Returns
    -------
    data : PreferenceData
    counts : Counts
    """
    source = resolve(source)
    aspects = checked_aspects(aspects, ASPECTS)
    weights_ = checked_weights(weights, len(aspects))
    if limit is not None and limit < 1:
        raise ValueError(f"limit is {limit}, expected at least one row")
    if revision is not None and source != "hub":
        raise ValueError(f"revision={revision!r} goes with 'hub', not with {str(source)!r}")
    if n_prompts is not None and source != "offline":
        raise ValueError(f"n_prompts={n_prompts} goes with 'offline', not with {str(source)!r}")
    embeddings = None
    if source == "offline":
        drawn, embeddings = ultrafeedback_twin_rows(
            **{} if n_prompts is None else {"n_prompts": n_prompts}
        )
        rows: Iterable[tuple[str, Any]] = (
            (f"twin, row {i}", row) for i, row in enumerate(drawn, 1)
        )
    else:
        rows = _open(source, revision)
    found = _collect(itertools.islice(rows, limit), aspects)
    return _assemble(found, aspects, weights_, embeddings, seed), found.counts


def _open(source: str | os.PathLike[str], revision: str | None) -> Iterator[tuple[str, Any]]:
    """Where each row is, for messages, and the row."""
    if source == "hub":
        with models_extra():
            import datasets

        found = datasets.load_dataset(_HUB, split="train", revision=revision)
        return _placed(_HUB, "row", dataset_rows(found, _COLUMNS))
    path = Path(source)
    if path.is_file():
        return _read_file(path)
    if not path.is_dir():
        raise FileNotFoundError(
            f"source {str(source)!r} is neither 'offline', 'hub' nor an existing file or folder"
        )
    if any((path / name).is_file() for name in ("state.json", "dataset_dict.json")):
        with models_extra():
            import datasets

        found = datasets.load_from_disk(str(path))
        if isinstance(found, datasets.DatasetDict):
            if "train" not in found and len(found) > 1:
                raise ValueError(
                    f"{path} has the splits {', '.join(found)} and no 'train': name "
                    "the folder of one of them"
                )
            found = found.get("train", next(iter(found.values())))
        return _placed(path.name, "row", dataset_rows(found, _COLUMNS))
    files = [f for f in sorted(path.iterdir()) if _kind(f)]
    if not files:
        raise FileNotFoundError(f"{path} holds no .jsonl, .jsonl.gz or .parquet files")
    if len({_kind(f) for f in files}) > 1:
        raise ValueError(
            f"{path} holds both .jsonl and .parquet files, {files[0].name} and "
            f"{files[-1].name} among them: name one file"
        )
    return itertools.chain.from_iterable(_read_file(f) for f in files)


def _kind(path: Path) -> str | None:
    name = path.name.removesuffix(".gz")
    return next((k for k in (".jsonl", ".parquet") if name.endswith(k)), None)


def _read_file(path: Path) -> Iterator[tuple[str, Any]]:
    if _kind(path) == ".parquet":
        return _placed(path.name, "row", parquet_rows(path, _COLUMNS))
    return _placed(path.name, "line", json_lines(path, path.name))


def _placed(name: str, unit: str, rows: Iterable[tuple[int, Any]]) -> Iterator[tuple[str, Any]]:
    return ((f"{name}, {unit} {number}", row) for number, row in rows)


# -- one row ---------------------------------------------------------------


class BadRating(ValueError):
    """A rating that is neither a number from 1 to 5 nor "N/A"."""


class Completion(NamedTuple):
    """One completion of a row.

    Parameters
    ----------
    text : str
        The response, "" where there is none.
    ratings : tuple of float
        One an aspect, :data:`NOT_RATED` where it has none.
    """

    text: str
    ratings: tuple[float, ...]


def parse_completion(value: Any, where: str, aspects: Sequence[str] = ASPECTS) -> Completion:
    """Text and ratings of an entry of ``completions``.

    Parameters
    ----------
    value : mapping
        With ``response`` and ``annotations``, a mapping of aspect to a mapping with ``Rating``.
    where : str
        Begins the message of an error, e.g. ``"train.jsonl, line 3: completions[1]"``.
    aspects : sequence of str
        The ones to read.

    Raises
    ------
    BadRating
        A rating that is neither a number from 1 to 5 nor "N/A".
    ValueError
        Not a mapping, or text with half of a surrogate pair.
    TypeError
        A response that is not a string.
    """
    if not isinstance(value, Mapping):
        raise ValueError(f"{where} is {_show(value)}, expected an object")
    text = value.get("response")
    text = "" if text is None else _text(text, f"{where}.response")
    annotations = value.get("annotations")
    ratings = []
    for aspect in aspects:
        entry = annotations.get(aspect) if isinstance(annotations, Mapping) else None
        rating = entry.get("Rating") if isinstance(entry, Mapping) else None
        ratings.append(_rating(rating, where, aspect))
    return Completion(text, tuple(ratings))


def _rating(value: Any, where: str, aspect: str) -> float:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return NOT_RATED
    if isinstance(value, str):
        word = value.strip().upper()
        if word in _RATINGS:
            return _RATINGS[word]
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not 1 <= number <= 5:
        raise BadRating(
            f"{where}: the rating of {aspect} is {_show(value)}, expected '1' to '5' or 'N/A'"
        )
    return number


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{where} is {_show(value)} ({type(value).__name__}), expected a string")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise ValueError(
                f"{where} holds {value[error.start]!r}, half of a surrogate pair, "
                "which is no text: decode it properly or replace it"
            ) from None
    return value


def _show(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


# -- all rows --------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Found:
    """Responses kept, those of a prompt together; ``place``: the how-manieth completion read."""

    prompts: list[str]
    texts: list[str]
    response_prompt: np.ndarray
    ratings: np.ndarray
    place: np.ndarray
    simulated: bool
    counts: Counts


class _Said(NamedTuple):
    """Copies of one response to one prompt."""

    ratings: tuple[float, ...]
    place: int
    copies: int
    agree: bool


def _collect(rows: Iterable[tuple[str, Any]], aspects: tuple[str, ...]) -> _Found:
    answers: dict[str, dict[str, _Said]] = {}
    n: Counter[str] = Counter()
    example, simulated = "", False
    for where, row in rows:
        if not isinstance(row, Mapping):
            raise ValueError(f"{where} is {_show(row)}, expected an object")
        for column in ("instruction", "completions"):
            if column not in row:
                raise ValueError(f"{where}: column {column!r} is missing; it has {sorted(row)}")
        prompt = _text(row["instruction"], f"{where}: instruction")
        completions = [] if row["completions"] is None else row["completions"]
        if not isinstance(completions, list):
            raise ValueError(f"{where}: completions is {_show(completions)}, expected a list")
        simulated |= str(row.get("source")).startswith("simulated")
        n["rows"] += 1
        n["short_rows"] += len(completions) < 4
        n["folded_rows"] += prompt in answers
        said = answers.setdefault(prompt, {})
        for i, value in enumerate(completions):
            place = n["completions"]
            n["completions"] += 1
            try:
                text, ratings = parse_completion(value, f"{where}: completions[{i}]", aspects)
            except BadRating as error:
                n["unreadable"] += 1
                example = example or str(error)
                continue
            if not text or text.isspace():
                n["empty"] += 1
            elif any(r is NOT_RATED for r in ratings):
                n["unrated"] += 1
            elif (old := said.get(text)) is None:
                said[text] = _Said(ratings, place, 1, True)
            else:
                said[text] = old._replace(
                    copies=old.copies + 1, agree=old.agree and old.ratings == ratings
                )

    prompts: list[str] = []
    texts: list[str] = []
    owner: list[int] = []
    kept: list[_Said] = []
    for prompt, said in answers.items():
        usable = {text: s for text, s in said.items() if s.agree}
        n["contradicted"] += sum(s.copies for s in said.values() if not s.agree)
        n["repeated"] += sum(s.copies - 1 for s in usable.values())
        if len(usable) < 2:
            n["prompts_left_out"] += 1
            n["alone"] += len(usable)
            continue
        owner += [len(prompts)] * len(usable)
        prompts.append(prompt)
        texts += usable
        kept += usable.values()
    n["prompts"], n["responses"] = len(prompts), len(texts)
    return _Found(
        prompts,
        texts,
        np.array(owner, dtype=np.int64),
        np.array([s.ratings for s in kept], dtype=float).reshape(-1, len(aspects)),
        np.array([s.place for s in kept], dtype=np.int64),
        simulated,
        Counts(
            **{f.name: n[f.name] for f in dataclasses.fields(Counts) if f.name != "example"},
            example=example,
        ),
    )


def _assemble(
    found: _Found,
    aspects: tuple[str, ...],
    weights: np.ndarray,
    embeddings: np.ndarray | None,
    seed: int | np.random.Generator,
) -> PreferenceData:
    counts = found.counts
    if not found.texts:
        raise ValueError(
            f"no pair is left of {counts.rows:,} rows with {counts.completions:,} "
            f"completions; left out: {counts.left_out()}"
            + (f"; {counts.example}" if counts.example else "")
        )
    reward = " + ".join(f"{w:.3g} {a}" for w, a in zip(weights, aspects))
    data = compare_rated(
        prompts=found.prompts,
        responses=found.texts,
        response_prompt=found.response_prompt,
        response_latents=found.ratings,
        embeddings=None if embeddings is None else embeddings[found.place],
        simulated=found.simulated,
        weights=weights,
        seed=seed,
    )
    return data.replace(
        source=f"{'simulated twin of ' if found.simulated else ''}UltraFeedback ({len(data):,} "
        f"pairs labelled by {reward}; left out: {counts.left_out()})"
    )
