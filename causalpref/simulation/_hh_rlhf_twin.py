"""A simulated corpus with the marginals of the relabelled HH-RLHF."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypedDict, Unpack

import numpy as np

from causalpref.data import PreferenceData

__all__ = ["HH_RLHF_WORLD", "hh_rlhf_twin", "hh_rlhf_twin_rows", "hh_rlhf_twin_weights"]

_N_PAIRS = 6000  # the real data have 82,518
_OBJECTIVES = ("helpful", "harmless")


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


HH_RLHF_WORLD: _World = {
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


def hh_rlhf_twin(
    n_pairs: int = _N_PAIRS, *, seed: int = 0, **world: Unpack[_World]
) -> PreferenceData:
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
        Exchanges some settings of :data:`HH_RLHF_WORLD`.

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
    drawn = _draw(n_pairs, seed, {**HH_RLHF_WORLD, **world})
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
        names={"objective": _OBJECTIVES, "prompt_type": _OBJECTIVES},
        source=f"simulated twin of HH-RLHF ({n_pairs:,} pairs)",
        simulated=True,
    )


def hh_rlhf_twin_rows(n_pairs: int = _N_PAIRS, *, seed: int = 0) -> list[dict[str, Any]]:
    """The :func:`hh_rlhf_twin` as rows in the schema of the relabelled HH-RLHF.

    Returns
    -------
    list of dict
        Columns ``prompt``, ``responses``, ``label``, ``objective``, ``data_subset``.
    """
    data = hh_rlhf_twin(n_pairs, seed=seed)
    return [
        {
            "prompt": data.prompts[i],
            "responses": data.responses[2 * i : 2 * i + 2].tolist(),
            "label": int(1 - data.label[i]),
            "objective": _OBJECTIVES[data.objective[i]],
            "data_subset": _OBJECTIVES[data.prompt_type[i]],
        }
        for i in range(n_pairs)
    ]


def hh_rlhf_twin_weights(*, seed: int = 0, **world: Unpack[_World]) -> np.ndarray:
    """w_c of the :func:`hh_rlhf_twin` of this seed, shape (2, m): its reward is w_c . latents."""
    return _weights(np.random.default_rng([seed, 0]), {**HH_RLHF_WORLD, **world})


def _weights(rng: np.random.Generator, world: Mapping[str, Any]) -> np.ndarray:
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


def _draw(n: int, seed: int, world: Mapping[str, Any]) -> _Drawn:
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
        name = _OBJECTIVES[t]
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
