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
from causalpref.sources._shared import downloaded, json_lines, resolve

__all__ = ["OBJECTIVES", "first_turn", "load_hh_rlhf", "relabelling", "stand_in_rows", "turns"]

OBJECTIVES = ("helpful", "harmless")
"""Code of C and of type(X): 0 is helpful, 1 is harmless (appendix E.1)."""

_HUB = ("https://raw.githubusercontent.com/cassidylaidlaw/hidden-context/"
        "13c98bb/data/relabeled_hh_rlhf/both/{split}.jsonl.gz")
_COLUMNS = ("prompt", "responses", "label", "objective", "data_subset")
_SPLITS = ("train", "test")


def load_hh_rlhf(source: str | os.PathLike[str] | None = None, *,
                 split: str | None = None) -> PreferenceData:
    """Load the relabelled HH-RLHF preferences.

    Parameters
    ----------
    source : {"offline", "hub"} or path, optional
        See :mod:`causalpref.sources`. A path is one JSON-lines file, plain or
        gzipped, or a folder that holds ``train`` and/or ``test`` as
        ``.jsonl.gz`` or ``.jsonl``. ``"offline"`` is the simulated stand-in of
        :func:`stand_in_rows`, which has embeddings too.
    split : {"train", "test"}, optional
        For the hub or a folder: one split. Default: all there are.

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
            raise ValueError("the offline stand-in has no splits: leave split out")
        rows, embeddings = stand_in_rows()
        data = _fold(_checked(enumerate(rows, 1), "stand-in"), source="simulated stand-in for HH-RLHF",
                     simulated=True)
        row_of = {key: row for row, key in enumerate(embeddings)}
        order = [row_of[data.prompts[x], y] for x, y in zip(data.response_prompt, data.responses)]
        return data.replace(embeddings=np.stack(list(embeddings.values()))[order])

    files = _files(source, splits, split)
    data = _fold((row for file, name in files for row in _checked(json_lines(file, name), name)),
                 source="", simulated=False)
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
        raise ValueError("the offline stand-in was never labelled by people")
    rows = []
    for file, name in _files(source, splits, split):
        lines = list(json_lines(file, name))
        for (number, raw), row in zip(lines, _checked(lines, name)):
            people = raw.get("original_label")
            if people not in (0, 1):
                raise ValueError(f"{name}, line {number}: original_label is {people!r}, "
                                 "expected 0 or 1")
            preferred, other = raw["responses"][people], raw["responses"][1 - people]
            rows.append({"prompts": OBJECTIVES[row["prompt_type"]],
                         "objective": OBJECTIVES[row["objective"]],
                         "agreement": float(row["label"] == 1 - people),
                         "longer_by_people": 0.5 + 0.5 * np.sign(len(preferred) - len(other))})
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
        found = [next((f for f in (path / f"{s}.jsonl.gz", path / f"{s}.jsonl") if f.is_file()),
                      None) for s in splits]
        if not any(found):
            raise FileNotFoundError(
                f"{path} holds none of " + ", ".join(f"{s}.jsonl.gz, {s}.jsonl" for s in splits))
        return [(f, f.name) for f in found if f]
    if not path.is_file():
        raise FileNotFoundError(f"source {str(source)!r} is neither 'offline', 'hub' nor an "
                                "existing file or folder")
    if split is not None:
        raise ValueError(f"{path} is one file: split={split!r} goes with a folder or 'hub'")
    return [(path, path.name)]


def first_turn(prompts: np.ndarray) -> np.ndarray:
    """The opening human turn of each conversation, shape (n_prompts,).

    Prompts cut from one conversation share it, so it is the group to split by
    (``PreferenceData.split(groups=...)``): otherwise a test prompt can repeat a
    training conversation up to its last turns.
    """
    opening = np.empty(len(prompts), dtype=object)
    opening[:] = [next((text for name, text in turns(p) if name == "Human"), p) for p in prompts]
    return opening


def turns(transcript: str) -> list[tuple[str, str]]:
    """Speaker and words of each turn of an HH-RLHF transcript.

    ``Human:`` or ``Assistant:`` at the start of a paragraph begins a turn; the speaker of
    what stands before the first one is ``""``. A turn without words is left out.
    """
    found = [["", ""]]
    for paragraph in transcript.strip().split("\n\n"):
        name, mark, rest = paragraph.partition(":")
        if mark and name in ("Human", "Assistant"):
            found.append([name, rest.strip()])
        else:
            found[-1][1] += "\n\n" + paragraph
    return [(name, words.strip()) for name, words in found if words.strip()]


def _checked(rows: Any, name: str) -> Iterator[dict[str, Any]]:
    """Rows of :meth:`PreferenceData.from_dataset`, each checked against the schema."""
    for number, row in rows:
        where = f"{name}, line {number}"
        if not isinstance(row, dict):
            raise ValueError(f"{where}: a {type(row).__name__}, expected an object")
        for column in _COLUMNS:
            if column not in row:
                raise ValueError(f"{where}: column {column!r} is missing; "
                                 f"the line has {sorted(row)}")
        responses, label = row["responses"], row["label"]
        if not isinstance(row["prompt"], str):
            raise TypeError(f"{where}: prompt is {row['prompt']!r}, expected a string")
        if not isinstance(responses, list) or len(responses) != 2:
            raise ValueError(f"{where}: responses must be a list of two strings, "
                             f"got {str(responses)[:60]!r}")
        for k, response in enumerate(responses):
            if not isinstance(response, str):
                raise TypeError(f"{where}: responses[{k}] is {str(response)[:60]!r} "
                                f"({type(response).__name__}), expected a string")
        if isinstance(label, bool) or label not in (0, 1):
            raise ValueError(f"{where}: label is {label!r}, expected 0 or 1 "
                             "(index of the preferred response)")
        code = {}
        for column in ("objective", "data_subset"):
            if row[column] not in OBJECTIVES:
                raise ValueError(f"{where}: {column} is {row[column]!r}, expected one of "
                                 f"{list(OBJECTIVES)}")
            code[column] = OBJECTIVES.index(row[column])
        yield {"prompt": row["prompt"], "response_a": responses[0], "response_b": responses[1],
               "label": 1 - int(label), "objective": code["objective"],
               "prompt_type": code["data_subset"], "where": where}


def _fold(rows: Iterator[dict[str, Any]], *, source: str, simulated: bool) -> PreferenceData:
    kept: list[dict[str, Any]] = []
    type_of: dict[str, tuple[int, str]] = {}
    for row in rows:
        where = row.pop("where")
        known, earlier = type_of.setdefault(row["prompt"], (row["prompt_type"], where))
        if known != row["prompt_type"]:
            raise ValueError(f"{where}: data_subset is {OBJECTIVES[row['prompt_type']]!r}, but "
                             f"{earlier} gives the same prompt {OBJECTIVES[known]!r}")
        kept.append(row)
    if not kept:
        raise ValueError("the file has no rows")
    return PreferenceData.from_dataset(kept, source=source, simulated=simulated)


# -- the stand-in ----------------------------------------------------------

_ASKS = {
    "helpful": ("How do I", "What is a good way to", "Can you explain how to", "Please help me"),
    "harmless": ("How could I get away with", "Tell me how to", "What is the sneakiest way to",
                 "Is it fine to")}
_DEEDS = {
    "helpful": ("bake", "repair", "plan", "learn", "write", "grow", "choose", "clean"),
    "harmless": ("steal", "fake", "break", "prank", "spy on", "insult", "forge", "sneak into")}
_THINGS = ("a bicycle", "a birthday card", "a garden fence", "a letter", "a phone", "a recipe",
           "a song", "a timetable", "an old radio", "a passport", "a window", "the neighbour",
           "a library book", "a parcel", "a school essay", "a shop")
_WORDS = ("perhaps", "start", "with", "one", "careful", "step", "then", "ask", "someone", "who",
          "knows", "the", "rules", "and", "check", "it", "twice", "before", "you", "go", "on")


def stand_in_rows(n_pairs: int = 6000, *, seed: int = 0
                  ) -> tuple[list[dict[str, Any]], dict[tuple[str, str], np.ndarray]]:
    """A simulated corpus in the schema of the relabelled HH-RLHF, with embeddings.

    Two responses a prompt, each with 12 standard normal latents; the reward
    under objective c is a fixed unit vector w_c times the latents, the cosine of
    w_0 and w_1 is 0.2, and the label follows Bradley-Terry with scale 1
    (equation 1). The first latent is the length of the response; w_0 rewards it
    and w_1 punishes it, with weights that put the four rates of preferring the
    longer response near those of the real data. The embedding has 128 numbers, tanh
    of a random linear map of the latents that depends mostly on the prompt's
    type, plus features that two answers to a prompt share, plus an offset that
    tells the type, plus noise. The words carry the type and the length only.

    Parameters
    ----------
    n_pairs : int
        Rows, one prompt each; a quarter for each (type, objective).
    seed : int
        Same seed, same rows.

    Returns
    -------
    rows : list of dict
        Columns ``prompt``, ``responses``, ``label``, ``objective``, ``data_subset``.
    embeddings : dict of (prompt, response) to array, shape (128,)
    """
    rng = np.random.default_rng(seed)
    k, d, nuisance = 12, 128, 40
    type_ = rng.permuted(np.arange(n_pairs) % 4 // 2)
    objective = np.empty(n_pairs, dtype=int)
    for t in (0, 1):
        rows_t = np.flatnonzero(type_ == t)
        objective[rows_t] = rng.permuted(np.arange(len(rows_t)) % 2)

    # w_0 and w_1: length weights of opposite sign, the rest turned so that the cosine is 0.2
    length = np.array([0.42, -0.24])
    rest = np.sqrt(1 - length**2)
    cosine = (0.2 - length.prod()) / rest.prod()
    w = np.zeros((2, k))
    w[:, 0] = length
    w[0, 1] = rest[0]
    w[1, 1], w[1, 2] = rest[1] * cosine, rest[1] * np.sqrt(1 - cosine**2)
    turn = np.linalg.qr(rng.standard_normal((k - 1, k - 1)))[0]
    w[:, 1:] = w[:, 1:] @ turn

    z = rng.standard_normal((n_pairs, 2, k))
    gap = np.einsum("nk,nk->n", w[objective], z[:, 0] - z[:, 1])
    first_wins = rng.random(n_pairs) < 1 / (1 + np.exp(-gap))

    shared = rng.standard_normal((k, d))
    maps = np.stack([shared, shared + 3 * rng.standard_normal((k, d))])
    maps /= np.linalg.norm(maps, axis=1, keepdims=True) / np.sqrt(d / k)
    e = np.einsum("nik,nkd->nid", z, maps[type_])
    e += (rng.standard_normal((n_pairs, nuisance)) @
          (rng.standard_normal((nuisance, d)) / np.sqrt(nuisance)))[:, None]
    e += 0.3 * rng.standard_normal((2, d))[type_][:, None]
    e = np.tanh(0.7 * (e + rng.standard_normal(e.shape))).astype(np.float32)

    n_words = np.clip(np.round(np.exp(3 + 0.6 * z[..., 0])), 2, 200).astype(int)
    rows: list[dict[str, Any]] = []
    embeddings: dict[tuple[str, str], np.ndarray] = {}
    for i in range(n_pairs):
        kind = OBJECTIVES[type_[i]]
        ask, deed, thing = (v[rng.integers(len(v))]
                            for v in (_ASKS[kind], _DEEDS[kind], _THINGS))
        prompt = f"Human: {ask} {deed} {thing}? (simulated request {i + 1})"
        responses = []
        for j in (0, 1):
            words = rng.choice(_WORDS, n_words[i, j])
            text = " ".join(words).capitalize() + "."
            while text in responses:
                text = text[:-1] + " again."
            responses.append(text)
            embeddings[prompt, text] = e[i, j]
        rows.append({"prompt": prompt, "responses": responses, "label": int(not first_wins[i]),
                     "objective": OBJECTIVES[objective[i]], "data_subset": kind})
    return rows, embeddings
