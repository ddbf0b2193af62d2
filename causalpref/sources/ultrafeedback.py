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
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from causalpref.data import PreferenceData
from causalpref.simulation import ultrafeedback_twin_rows
from causalpref.simulation.labels import checked_aspects, checked_weights, compare_rated
from causalpref.sources._layouts import ASPECTS, BadRating, completion
from causalpref.sources._rows import Bad, open_rows, resolve, rows_at, show
from causalpref.sources._values import stated, string

__all__ = ["ASPECTS", "Counts", "load_ultrafeedback", "read_ultrafeedback"]

_PAPER = ("truthfulness", "instruction_following")  # z_1 and z_2 of appendix D.2
_ALPHA = (0.25, 0.75)  # alpha and 1 - alpha of equation 8
_HUB = "openbmb/UltraFeedback"
_COLUMNS = {"source", "instruction", "completions"}


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
        Decides the order within each pair and the label of a tie. The responses are the same for
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
        No such path.
    ValueError
        An unknown aspect, fewer than two or one named twice, weights that do not fit, an
        option that does not go with the source, a damaged file, a row that has no prompt or no
        list of completions, or nothing left; names file and line.

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
    if source == "offline":
        drawn, embeddings = (
            ultrafeedback_twin_rows() if n_prompts is None else ultrafeedback_twin_rows(n_prompts)
        )
        table = open_rows(drawn)
    else:
        table, embeddings = rows_at(source, _HUB, revision=revision), None
    found, counts, simulated = _usable(itertools.islice(table.rows(_COLUMNS), limit), aspects)
    if not counts.responses:
        raise ValueError(
            f"no pair is left of {counts.rows:,} rows with {counts.completions:,} "
            f"completions; left out: {counts.left_out()}"
            + (f"; {counts.example}" if counts.example else "")
        )
    kept = [answer for answers in found.values() for answer in answers.items()]
    data = compare_rated(
        prompts=list(found),
        responses=[text for text, _ in kept],
        response_prompt=np.repeat(np.arange(len(found)), [len(a) for a in found.values()]),
        response_latents=np.array([said.ratings for _, said in kept]),
        embeddings=None if embeddings is None else embeddings[[said.place for _, said in kept]],
        names={"response_latents": aspects},
        simulated=simulated,
        weights=weights_,
        seed=seed,
    )
    reward = " + ".join(f"{w:.3g} {a}" for w, a in zip(weights_, aspects))
    what = f"{'simulated twin of ' if simulated else ''}UltraFeedback"
    words = f"{len(data):,} pairs labelled by {reward}; left out: {counts.left_out()}"
    return data.replace(source=f"{what} ({words})"), counts


class _Said(NamedTuple):
    """Copies of one response to one prompt; ``place``: the index of the first among all read."""

    ratings: tuple[float, ...]
    place: int
    copies: int
    agree: bool


def _usable(
    rows: Iterable[tuple[Any, Any]], aspects: tuple[str, ...]
) -> tuple[dict[str, dict[str, _Said]], Counts, bool]:
    """The rated responses of each prompt that has two or more; whether a row is simulated."""
    answers: dict[str, dict[str, _Said]] = {}
    n: Counter[str] = Counter()
    example, simulated = "", False
    for where, row in rows:
        try:
            prompt, completions = _stated(row)
            simulated |= str(row.get("source")).startswith("simulated")
            n["rows"] += 1
            n["short_rows"] += len(completions) < 4
            n["folded_rows"] += prompt in answers
            said = answers.setdefault(prompt, {})
            for i, given in enumerate(completions):
                place = n["completions"]
                n["completions"] += 1
                try:
                    text, ratings = completion(given, f"completions[{i}]", aspects)
                except BadRating as bad:
                    n["unreadable"] += 1
                    example = example or f"{where}: {bad}"
                    continue
                if not text or text.isspace():
                    n["empty"] += 1
                elif any(math.isnan(r) for r in ratings):
                    n["unrated"] += 1
                elif (old := said.get(text)) is None:
                    said[text] = _Said(ratings, place, 1, True)
                else:
                    agree = old.agree and old.ratings == ratings
                    said[text] = old._replace(copies=old.copies + 1, agree=agree)
        except Bad as bad:
            raise ValueError(f"{where}: {bad}") from None

    found: dict[str, dict[str, _Said]] = {}
    for prompt, said in answers.items():
        usable = {text: s for text, s in said.items() if s.agree}
        n["contradicted"] += sum(s.copies for s in said.values() if not s.agree)
        n["repeated"] += sum(s.copies - 1 for s in usable.values())
        if len(usable) < 2:
            n["prompts_left_out"] += 1
            n["alone"] += len(usable)
        else:
            found[prompt] = usable
            n["responses"] += len(usable)
    n["prompts"] = len(found)
    fields = [f.name for f in dataclasses.fields(Counts) if f.name != "example"]
    return found, Counts(**{name: n[name] for name in fields}, example=example), simulated


def _stated(row: Any) -> tuple[str, list[Any]]:
    """Prompt and completions of a row."""
    if isinstance(row, Bad):
        raise row
    prompt = string(stated(row, "instruction"), "instruction", nul=True)
    completions = stated(row, "completions")
    if not isinstance(completions, list | None):
        raise Bad(f"is {show(completions)}, expected a list", "completions")
    return prompt, completions or []
