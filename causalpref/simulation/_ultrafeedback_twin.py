"""A simulated corpus with the schema of UltraFeedback: four rated responses a prompt."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict, Unpack

import numpy as np

from causalpref.data import PreferenceData
from causalpref.simulation._simulator import (
    Embedding,
    Latent,
    Simulator,
    _underlying_correlation,
    linear_reward,
)
from causalpref.simulation.labels import checked_aspects, checked_weights, compare_rated

__all__ = [
    "ULTRAFEEDBACK_EMBEDDING",
    "ultrafeedback_simulator",
    "ultrafeedback_twin",
    "ultrafeedback_twin_rows",
]

_N_PROMPTS = 10_000  # about 57,000 pairs
_PAPER = ("truthfulness", "instruction_following")  # z_1 and z_2 of appendix D.2
_ALPHA = (0.25, 0.75)  # alpha and 1 - alpha of equation 8

ULTRAFEEDBACK_EMBEDDING: _Map = {
    "d": 128,
    "nuisance": 40,
    "noise": 0.5,
    "blur": (1.0, 5.0, 5.0, 1.32, 1.95),
    "type_offset": 0.0,
    "type_dependence": 0.0,
}
"""How the twin's embeddings are made, see :class:`~causalpref.simulation.Embedding`.

``blur`` (difficulty, then aspects) is calibrated: it is set so that the table of
:mod:`causalpref.studies.ultrafeedback` comes near the paper's table 1. Instruction-following
is read better than truthfulness, the other two hardly at all.
"""

# Assumed, for want of the real shares: skewed to the top as the raters' are said to be.
_SHARES = {
    "helpfulness": (0.07, 0.12, 0.20, 0.32, 0.29),
    "honesty": (0.04, 0.08, 0.16, 0.38, 0.34),
    "instruction_following": (0.05, 0.10, 0.18, 0.34, 0.33),
    "truthfulness": (0.06, 0.09, 0.15, 0.27, 0.43),
}
_ASPECTS = tuple(_SHARES)
# Over all responses, in the order of _ASPECTS. 0.63 is the paper's (section 5), the rest assumed.
_CORRELATION = (
    (1.00, 0.60, 0.75, 0.58),
    (0.60, 1.00, 0.55, 0.66),
    (0.75, 0.55, 1.00, 0.63),
    (0.58, 0.66, 0.63, 1.00),
)
_DIFFICULTY = (-0.50, -0.45, -0.55, -0.50)  # of the prompt, on the underlying normals; assumed
_SOURCES = {
    "evol_instruct": 0.16,
    "false_qa": 0.04,
    "flan_v2": 0.32,
    "sharegpt": 0.31,
    "truthful_qa": 0.01,
    "ultrachat": 0.16,
}  # near those of the release
_NOT_RATED_SHARE, _ABSENT_SHARE, _SHORT_SHARE = 0.01, 0.2, 0.02
_SIMULATED = "simulated"


class _Map(TypedDict, total=False):
    d: int
    nuisance: int
    noise: float
    blur: float | tuple[float, ...]
    type_offset: float
    type_dependence: float


@functools.cache
def _within() -> np.ndarray:
    """Correlations of the underlying normals of the aspects, given the prompt's difficulty."""
    overall = _underlying_correlation(
        [Latent(a, "ordinal", _SHARES[a]) for a in _ASPECTS], np.array(_CORRELATION)
    )
    b = np.array(_DIFFICULTY)
    rest = np.sqrt(1 - b**2)
    return (overall - np.outer(b, b)) / np.outer(rest, rest)


def ultrafeedback_simulator(**embedding: Unpack[_Map]) -> Simulator:
    """The model that the twin is drawn from.

    Ordinal ratings of the four aspects, 1 to 5, come from correlated normals. The
    difficulty of a prompt, Z^X, pulls all ratings of its responses down, so they
    share more than their prompt. The correlation of truthfulness and instruction-following over
    all responses is 0.63, as in the paper (section 5). The marginals, the other correlations
    and the size of the prompt's effect are assumed.

    Parameters
    ----------
    **embedding
        Exchanges some settings of :data:`ULTRAFEEDBACK_EMBEDDING`. ``d=0``: no embeddings.

    Returns
    -------
    Simulator
        Contexts, and types of prompts, are six sources; they differ in nothing but in how the
        embedding encodes them, and not even in that unless ``type_offset`` or
        ``type_dependence`` says so.
    """
    settings = {**ULTRAFEEDBACK_EMBEDDING, **embedding}
    weight: dict[str, float] = dict(zip(_PAPER, _ALPHA))
    return Simulator(
        reward=linear_reward([weight.get(a, 0.0) for a in _ASPECTS]),
        noise=None,
        response_latents=tuple(Latent(a, "ordinal", _SHARES[a]) for a in _ASPECTS),
        prompt_latents=(Latent("difficulty"),),
        prompt_effect=np.array(_DIFFICULTY)[:, None],
        correlation=_within(),
        contexts=tuple(_SOURCES.values()),
        embedding=Embedding(**settings) if settings["d"] else None,
        name="simulated twin of UltraFeedback",
    )


@dataclass(frozen=True, eq=False)
class _Drawn:
    """Completions of the twin: four a row, of which ``listed`` says which a row lists.

    ``ratings``, shape (n, 4, 4), holds NaN where there is none; ``absent`` says that not even
    "N/A" stands there.
    """

    kind: np.ndarray
    ratings: np.ndarray
    absent: np.ndarray
    listed: np.ndarray
    embeddings: np.ndarray | None

    def written(self) -> np.ndarray | None:
        """Embeddings of the completions that rows list, in their order."""
        return None if self.embeddings is None else self.embeddings[self.listed]


def _draw(n: int, seed: int | np.random.Generator, embedding: _Map) -> _Drawn:
    if n < 1:
        raise ValueError(f"n_prompts is {n}, expected at least 1")
    # another stream than default_rng(seed), which deals the order of the pairs
    rng = seed if isinstance(seed, np.random.Generator) else np.random.default_rng([seed, 1])
    lacks = rng.random((n, 4, 4)) < _NOT_RATED_SHARE
    absent = lacks & (rng.random(lacks.shape) < _ABSENT_SHARE)
    length = np.where(rng.random(n) < _SHORT_SHARE, rng.integers(0, 4, n), 4)
    # last, so that the settings of the embedding change nothing else
    data = ultrafeedback_simulator(**embedding).sample(n, seed=rng, responses=4)
    e = data.embeddings
    return _Drawn(
        data.prompt_type,
        np.where(lacks, np.nan, data.response_latents.reshape(n, 4, 4)),
        absent,
        np.arange(4) < length[:, None],
        None if e is None else e.reshape(n, 4, -1),
    )


def _rows(drawn: _Drawn) -> Iterator[dict[str, Any]]:
    given = ~np.isnan(drawn.ratings)
    number = np.where(given, drawn.ratings, 0).astype(int)
    mean = np.round(number.sum(2) / np.maximum(given.sum(2), 1), 2).tolist()
    words = np.array(["N/A", "1", "2", "3", "4", "5"], dtype=object)[number].tolist()
    absent, sources = drawn.absent.tolist(), list(_SOURCES)
    models = [f"simulated model {k + 1}" for k in range(4)]
    for i, (kind, length) in enumerate(zip(drawn.kind.tolist(), drawn.listed.sum(1).tolist())):
        completions = []
        for k in range(length):
            annotations: dict[str, dict[str, Any]] = {}
            for aspect, word, lacking in zip(_ASPECTS, words[i][k], absent[i][k]):
                if not lacking:
                    annotations[aspect] = {"Rating": word, "Rationale": "simulated"}
                    if aspect in ("helpfulness", "truthfulness"):
                        annotations[aspect] |= {
                            "Type": ["None"],
                            "Rationale For Rating": "simulated",
                        }
            completions.append(
                {
                    "model": models[k],
                    "principle": _ASPECTS[(i + k) % 4],
                    "custom_system_prompt": "simulated",
                    "response": _answer(i, k),
                    "critique": "simulated",
                    "overall_score": 2 * mean[i][k],
                    "fine-grained_score": mean[i][k],
                    "annotations": annotations,
                }
            )
        yield {
            "source": f"{_SIMULATED} {sources[kind]}",
            "instruction": _request(i),
            "models": models,
            "completions": completions,
            "correct_answers": ["None"],
            "incorrect_answers": ["None"],
        }


def _request(i: int) -> str:
    return f"simulated request {i + 1}"


def _answer(i: int, k: int) -> str:
    return f"simulated answer {i + 1}.{k + 1}"


def ultrafeedback_twin_rows(
    n_prompts: int = _N_PROMPTS, *, seed: int | np.random.Generator = 0, **embedding: Unpack[_Map]
) -> tuple[list[dict[str, Any]], np.ndarray | None]:
    """The twin in UltraFeedback's own schema.

    One rating in a hundred is "N/A" or missing and one row in fifty lists fewer than four
    completions, or none; both at random, which is kinder than reality. The ``source`` of
    a row begins with "simulated", by which the reader knows it again.

    Parameters
    ----------
    n_prompts : int
        Rows.
    seed : int or numpy.random.Generator
    **embedding
        See :func:`ultrafeedback_simulator`.

    Returns
    -------
    rows : list of dict
    embeddings : array of float32, shape (n_completions, d), or None
        In the order in which the rows list the completions.
    """
    drawn = _draw(n_prompts, seed, embedding)
    return list(_rows(drawn)), drawn.written()


def ultrafeedback_twin(
    n_prompts: int = _N_PROMPTS,
    *,
    seed: int | np.random.Generator = 0,
    aspects: Sequence[str] = _PAPER,
    weights: Sequence[float] | None = _ALPHA,
    **embedding: Unpack[_Map],
) -> PreferenceData:
    """Rated responses of the twin, and every pair of a prompt labelled by its ratings.

    The pairs are those that ``causalpref.sources.load_ultrafeedback`` makes of
    :func:`ultrafeedback_twin_rows`.

    Parameters
    ----------
    n_prompts : int
    seed : int or numpy.random.Generator
        Draws the responses, and decides the order within each pair and the label of a tie.
    aspects : sequence of str
        The rated aspects that are the latents Z^T, in this order.
    weights : sequence of float, optional
        Of the aspects in the reward; see :func:`~causalpref.simulation.label_by_reward`.
    **embedding
        Settings of the embeddings (``d``, ``nuisance``, ``noise``, ``blur``, ``type_offset``,
        ``type_dependence``) other than those of :data:`ULTRAFEEDBACK_EMBEDDING`; ``d=0`` for none.

    Returns
    -------
    PreferenceData

    Raises
    ------
    ValueError
        Fewer than one prompt, an unknown aspect, or weights that do not fit.
    """
    aspects = checked_aspects(aspects, _ASPECTS)
    w = checked_weights(weights, len(aspects))
    drawn = _draw(n_prompts, seed, embedding)
    ratings = drawn.ratings[..., [_ASPECTS.index(a) for a in aspects]]
    kept = drawn.listed & ~np.isnan(ratings).any(-1)
    pairable = kept.sum(1) >= 2
    kept &= pairable[:, None]
    row, k = np.nonzero(kept)
    data = compare_rated(
        prompts=[_request(i) for i in np.flatnonzero(pairable).tolist()],
        responses=[_answer(i, j) for i, j in zip(row.tolist(), k.tolist())],
        response_prompt=(np.cumsum(pairable) - 1)[row],
        response_latents=ratings[kept],
        embeddings=None if drawn.embeddings is None else drawn.embeddings[kept],
        names={"response_latents": aspects},
        simulated=True,
        weights=w,
        seed=seed,
    )
    reward = " + ".join(f"{x:.3g} {a}" for x, a in zip(w, aspects))
    return data.replace(
        source=f"simulated twin of UltraFeedback ({len(data):,} pairs labelled by {reward})"
    )
