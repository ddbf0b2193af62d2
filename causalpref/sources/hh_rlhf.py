"""HH-RLHF (Bai et al., 2022) as relabelled under both objectives by Siththaranjan et al. (2024).

The data of the paper's section 4 and appendix E.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict, Unpack

import numpy as np
import pandas as pd

from causalpref.data import PreferenceData
from causalpref.sources._shared import downloaded, json_lines, resolve

__all__ = [
    "N_PAIRS",
    "OBJECTIVES",
    "WORLD",
    "first_turn",
    "load_hh_rlhf",
    "relabelling",
    "turns",
    "twin",
    "twin_rows",
    "twin_weights",
]

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
        ``.jsonl.gz`` or ``.jsonl``. ``"offline"`` is the simulated :func:`twin`,
        which has embeddings too.
    split : {"train", "test"}, optional
        For the hub or a folder: one split. Default: all there are.
    n_pairs : int, optional
        For ``"offline"``: pairs of the twin, :data:`N_PAIRS` without it.

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
        return twin(N_PAIRS if n_pairs is None else n_pairs)
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


# -- the twin --------------------------------------------------------------

N_PAIRS = 6000
"""Pairs of the twin unless another number is asked for; the real data have 82,518."""


class _World(TypedDict, total=False):
    d: int
    features: int
    common: int
    length: tuple[float, float]
    merit: float
    spread: tuple[float, float]
    cosines: tuple[float, float, float, float]
    common_code: float
    own_code: float
    nuisance: int
    type_offset: float
    noise: float


WORLD: _World = {
    "d": 128,
    "features": 20,
    "common": 4,
    "length": (0.46, -0.26),
    "merit": 0.2,
    "spread": (0.95, 0.75),
    "cosines": (0.35, 0.25, 0.20, 0.10),
    "common_code": 1.0,
    "own_code": 0.6,
    "nuisance": 40,
    "type_offset": 0.4,
    "noise": 1.6,
}
"""The simulated world, calibrated so that three reward models come near the paper's table 2.

``d``
    Width of the embeddings.
``features``, ``common``
    Latent features that vary among the answers to a prompt, and how many of them do so whatever
    the prompt. The first is the length. The others belong to a type: the answers to a
    helpful prompt differ in features that those to a harmless one do not have, and the
    other way round. So at rho = 1 nobody was ever asked what an objective makes of the
    features of the other type.
``length``
    Weight of length under the objectives helpful and harmless: they conflict.
``merit``
    Weight that each objective gives to one more common feature, its own.
``spread``
    Standard deviation of the reward among answers, for a prompt of the objective's own type and
    of the other. Bradley-Terry noise has scale 1, so it fixes what any model can reach: less on
    inconsistent pairs, as in the paper's row for rho = 0.5.
``cosines``
    Cosines between the directions of the four (type, objective) cells in the space that both
    types are encoded in: same objective and another type (how far a lesson carries
    over); same type and another objective (how far they conflict, length included); the
    two consistent cells; the two inconsistent cells.
``common_code``, ``own_code``
    How loud the features are in directions that both types use, where one direction serves two
    features of different types, and in directions that only their type uses.
``nuisance``
    Directions along which prompts differ and the two answers to one do not.
``type_offset``
    Standard deviation of the shift, in each number of the embedding, that tells the type.
``noise``
    Standard deviation of what differs between answers for no reason, in each number.
"""

_ASKS = {
    "helpful": ("How do I", "What is a good way to", "Can you explain how to", "Please help me"),
    "harmless": (
        "How could I get away with",
        "Tell me how to",
        "What is the sneakiest way to",
        "Is it fine to",
    ),
}
_DEEDS = {
    "helpful": ("bake", "repair", "plan", "learn", "write", "grow", "choose", "clean"),
    "harmless": ("steal", "fake", "break", "prank", "spy on", "insult", "forge", "sneak into"),
}
_THINGS = (
    "a bicycle",
    "a birthday card",
    "a garden fence",
    "a letter",
    "a phone",
    "a recipe",
    "a song",
    "a timetable",
    "an old radio",
    "a passport",
    "a window",
    "the neighbour",
    "a library book",
    "a parcel",
    "a school essay",
    "a shop",
)
_WORDS = (
    "perhaps",
    "start",
    "with",
    "one",
    "careful",
    "step",
    "then",
    "ask",
    "someone",
    "who",
    "knows",
    "the",
    "rules",
    "and",
    "check",
    "it",
    "twice",
    "before",
    "you",
    "go",
    "on",
)
_LONGEST = 200  # words


def twin(n_pairs: int = N_PAIRS, *, seed: int = 0, **world: Unpack[_World]) -> PreferenceData:
    """A simulated corpus with the marginals of the relabelled HH-RLHF, embeddings included.

    Each prompt has a type and two responses; each pair is judged under one objective. The
    reward under objective c is w_c times the latent features of a response, whatever the
    prompt, and the label follows Bradley-Terry (equation 1). What a model sees is the
    embedding: a linear, noisy image of the features, shifted by the type. The words
    carry the type and the length only.

    Parameters
    ----------
    n_pairs : int
        One prompt each, a quarter of them in each (type, objective) cell.
    seed : int
        Same seed, same corpus. Another one draws another world of the same kind too: weights
        and directions as well as responses.
    **world
        Exchanges some settings of :data:`WORLD`.

    Returns
    -------
    PreferenceData
        ``response_latents`` has shape (2 n_pairs, m): the common features, length first, then
        those of helpful prompts, then those of harmless ones, which are 0 for all
        responses to a prompt of the other type; m = 2 ``features`` - ``common``.

    Raises
    ------
    ValueError
        Fewer than one pair, sizes that do not fit, or cosines that no directions have.
    """
    drawn = _draw(n_pairs, seed, {**WORLD, **world})
    prompts, responses = _texts(drawn, seed)
    return PreferenceData(
        prompts=prompts,
        responses=responses,
        response_prompt=np.repeat(np.arange(n_pairs), 2),
        pairs=np.arange(2 * n_pairs).reshape(-1, 2),
        label=drawn.label,
        objective=drawn.objective,
        prompt_type=drawn.kind,
        response_latents=drawn.latents.reshape(2 * n_pairs, -1),
        embeddings=drawn.embeddings.reshape(2 * n_pairs, -1),
        source=f"simulated twin of HH-RLHF ({n_pairs:,} pairs)",
        simulated=True,
    )


def twin_rows(n_pairs: int = N_PAIRS, *, seed: int = 0) -> list[dict[str, Any]]:
    """The :func:`twin` as rows in the schema of the relabelled HH-RLHF.

    Returns
    -------
    list of dict
        Columns ``prompt``, ``responses``, ``label``, ``objective``, ``data_subset``.
    """
    data = twin(n_pairs, seed=seed)
    return [
        {
            "prompt": data.prompts[i],
            "responses": data.responses[2 * i : 2 * i + 2].tolist(),
            "label": int(1 - data.label[i]),
            "objective": OBJECTIVES[data.objective[i]],
            "data_subset": OBJECTIVES[data.prompt_type[i]],
        }
        for i in range(n_pairs)
    ]


def twin_weights(*, seed: int = 0, **world: Unpack[_World]) -> np.ndarray:
    """w_c of the :func:`twin` of this seed, shape (2, m): its reward is w_c times the latents."""
    return _weights(np.random.default_rng([seed, 0]), {**WORLD, **world})


def _weights(rng: np.random.Generator, world: _World) -> np.ndarray:
    k, common = world["features"], world["common"]
    if common < 3 or k - common < 4:
        raise ValueError(f"features = {k}, common = {common}: at least 3 are common and 4 are not")
    length = np.array(world["length"])
    carry, conflict, own, other = world["cosines"]
    # cells (type, objective): 00, 11, 01, 10
    size = np.repeat(world["spread"], 2)
    gram = np.array(
        [
            [1, own, conflict, carry],
            [own, 1, carry, conflict],
            [conflict, carry, 1, other],
            [carry, conflict, other, 1],
        ]
    )
    gram = gram * np.outer(size, size)
    objective = np.array([0, 1, 1, 0])
    gram -= np.outer(length[objective], length[objective])
    gram -= world["merit"] ** 2 * (objective[:, None] == objective)
    value, vector = np.linalg.eigh(gram)
    if value[0] < 0:
        raise ValueError(
            f"cosines = {world['cosines']} do not go with length = {world['length']}, "
            f"merit = {world['merit']} and spread = {world['spread']}: no four "
            "directions have them"
        )
    turn = np.linalg.qr(rng.standard_normal((k - common, 4)))[0]
    cells = vector * np.sqrt(value) @ turn.T
    w = np.zeros((2, 2 * k - common))
    w[:, 0] = length
    w[[0, 1], [1, 2]] = world["merit"]
    w[:, common:] = [np.r_[cells[0], cells[3]], np.r_[cells[2], cells[1]]]
    return w


@dataclass(frozen=True, eq=False)
class _Drawn:
    kind: np.ndarray  # (n,)
    objective: np.ndarray  # (n,)
    label: np.ndarray  # (n,)
    latents: np.ndarray  # (n, 2, m)
    embeddings: np.ndarray  # (n, 2, d)


def _draw(n: int, seed: int, world: _World) -> _Drawn:
    if n < 1:
        raise ValueError(f"n_pairs is {n}, expected at least 1")
    d, k, common = world["d"], world["features"], world["common"]
    w = _weights(np.random.default_rng([seed, 0]), world)
    rng = np.random.default_rng([seed, 1])
    codes = rng.standard_normal((3, k, d))  # of both types, of helpful, of harmless
    codes *= np.sqrt(d / k) / np.linalg.norm(codes, axis=2, keepdims=True)
    code = (world["common_code"] * codes[0] + world["own_code"] * codes[1:]).astype(np.float32)
    offset = world["type_offset"] * rng.standard_normal((2, d))
    topics = rng.standard_normal((world["nuisance"], d)) / np.sqrt(max(world["nuisance"], 1))

    cell = rng.permutation(np.arange(n) % 4)
    kind, objective = cell // 2, cell % 2
    z = rng.standard_normal((n, 2, k), dtype=np.float32)
    latents = np.zeros((n, 2, 2 * k - common))
    latents[..., :common] = z[..., :common]
    for t in (0, 1):
        start = common + t * (k - common)
        latents[kind == t, :, start : start + k - common] = z[kind == t][..., common:]
    reward = np.einsum("nim,nm->ni", latents, w[objective])
    label = rng.random(n) < 1 / (1 + np.exp(reward[:, 1] - reward[:, 0]))

    e = np.float32(world["noise"]) * rng.standard_normal((n, 2, d), dtype=np.float32)
    shared = rng.standard_normal((n, world["nuisance"]), dtype=np.float32) @ topics.astype("f4")
    e += (shared + offset[kind].astype(np.float32))[:, None]
    for t in (0, 1):
        e[kind == t] += z[kind == t] @ code[t]
    return _Drawn(kind, objective, label.astype(np.int64), latents, e)


def _texts(drawn: _Drawn, seed: int) -> tuple[list[str], list[str]]:
    n = len(drawn.kind)
    rng = np.random.default_rng([seed, 2])
    pick = rng.integers(0, (len(_ASKS["helpful"]), len(_DEEDS["helpful"]), len(_THINGS)), (n, 3))
    prompts = []
    for i, (t, (ask, deed, thing)) in enumerate(zip(drawn.kind.tolist(), pick.tolist()), 1):
        name = OBJECTIVES[t]
        prompts.append(
            f"Human: {_ASKS[name][ask]} {_DEEDS[name][deed]} {_THINGS[thing]}? "
            f"(simulated request {i})"
        )
    words = [_WORDS[j] for j in rng.integers(0, len(_WORDS), 20_000)]
    length = np.clip(np.round(np.exp(3 + 0.6 * drawn.latents[..., 0])), 2, _LONGEST).astype(int)
    start = rng.integers(0, len(words) - _LONGEST, length.size).tolist()
    responses = [
        " ".join(words[a : a + m]).capitalize() + "."
        for a, m in zip(start, length.ravel().tolist())
    ]
    for i in range(1, len(responses), 2):
        if responses[i] == responses[i - 1]:
            responses[i] = responses[i][:-1] + " again."
    return prompts, responses
