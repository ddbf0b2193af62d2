"""What the checks know of preference data: contexts, features, and what a context was given to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from causalpref.data import PreferenceData, expect_preferences
from causalpref.statistics import cluster_sums, standardised, unit_spread

FEWEST = 5
"""Minimum number of prompts per context."""


def contexts(data: PreferenceData) -> np.ndarray:
    """The contexts that occur, sorted; none where no objective was recorded."""
    return np.empty(0, dtype=int) if data.objective is None else np.unique(data.objective)


def several_contexts(data: PreferenceData) -> bool:
    """Whether two contexts can be compared at all."""
    return len(contexts(data)) > 1


def numbered(data: PreferenceData) -> PreferenceData:
    """The data with groups of prompts numbered as they appear: their codes mean nothing."""
    expect_preferences(data, "a check")
    if data.prompt_group is None:
        return data
    return data.replace(prompt_group=pd.factorize(data.prompt_group)[0])


def prompt_groups(data: PreferenceData) -> np.ndarray:
    """The group of each prompt, shape (n_prompts,): the prompt itself when none is recorded."""
    return np.arange(len(data.prompts)) if data.prompt_group is None else data.prompt_group


def pair_features(data: PreferenceData, features: np.ndarray | None) -> np.ndarray | None:
    """What is known of the texts of each pair, whichever response stood first, (n_pairs, q).

    ``features`` if given; else the mean embedding of the two responses, else latents of the
    prompt with the mean and the absolute difference of those of the responses.
    """
    if features is not None:
        return checked_features(features, len(data))
    if data.embeddings is not None:
        return data.mean("embeddings")
    parts = []
    if data.prompt_latents is not None:
        parts.append(data.prompt_latents[data.pair_prompt])
    if data.response_latents is not None:
        parts += [data.mean("response_latents"), np.abs(data.difference("response_latents"))]
    return np.concatenate(parts, axis=1) if parts else None


def checked_features(features: np.ndarray, n: int) -> np.ndarray:
    """Features of n pairs.

    Raises
    ------
    ValueError
        Of the wrong shape or not finite.
    """
    features = np.asarray(features, dtype=float)
    if features.ndim != 2 or len(features) != n:
        raise ValueError(
            f"features has shape {features.shape}, expected ({n}, any): one row a pair"
        )
    bad = ~np.isfinite(features)
    if bad.any():
        row, column = np.argwhere(bad)[0].tolist()
        raise ValueError(f"features[{row}, {column}] = {features[row, column]} is not finite")
    return features


def common_contexts(
    data: PreferenceData, x: np.ndarray
) -> tuple[PreferenceData, np.ndarray, np.ndarray, np.ndarray]:
    """Pairs and features of the contexts with :data:`FEWEST` prompts; these and the other contexts.

    All pairs are kept where fewer than two contexts have so many.
    """
    values, code = np.unique(data.objective, return_inverse=True)
    key = np.unique(np.stack([code, data.pair_prompt], axis=1), axis=0)
    many = np.bincount(key[:, 0], minlength=len(values)) >= FEWEST
    if many.sum() > 1:
        kept = many[code]
        data, x = data.select(kept), x[kept]
    return data, x, values[many], values[~many]


def indicators(data: PreferenceData) -> np.ndarray:
    """Whether a pair was judged under each context but the first, shape (n_pairs, k - 1)."""
    if data.objective is None:
        return np.zeros((len(data), 0))
    return (data.objective[:, None] == contexts(data)[1:]).astype(float)


def products(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Every column of a times every column of b."""
    return (a[:, :, None] * b[:, None, :]).reshape(len(a), -1)


@dataclass(frozen=True)
class Units:
    """What a context was given to: whole prompts, or single pairs.

    Parameters
    ----------
    x : array, shape (n_units, q)
        Features, means over the pairs of a unit, standardised.
    code : array of int, shape (n_units,)
        Index of the context among those looked at.
    prompt : array of int, shape (n_units,)
        Row of the prompt.
    group : array of int, shape (n_units,)
        Units that have to share a fold.
    """

    x: np.ndarray
    code: np.ndarray
    prompt: np.ndarray
    group: np.ndarray

    def __len__(self) -> int:
        return len(self.code)

    @property
    def kind(self) -> str:
        """``"pairs"`` or ``"prompts"``."""
        return "pairs" if len(self) > 1.05 * len(np.unique(self.prompt)) else "prompts"


def judged_units(
    data: PreferenceData, x: np.ndarray, values: np.ndarray, rng: np.random.Generator
) -> Units:
    """The units at which a context was assigned.

    As a rule the pairs of one prompt are no independent draws of C, and a prompt counts once under
    each context. Where most prompts with several pairs were judged under several contexts, C
    was assigned pair by pair, and how often each context met a prompt is what there is to see.

    Parameters
    ----------
    x : array, shape (n_pairs, q)
    values : array
        The contexts, sorted.
    """
    code = np.searchsorted(values, data.objective)
    prompt = data.pair_prompt
    key, member = np.unique(prompt * len(values) + code, return_inverse=True)
    pairs_of = np.bincount(prompt)
    contexts_of = np.bincount(key // len(values), minlength=len(pairs_of))
    several = pairs_of > 1
    if several.any() and (contexts_of[several] > 1).mean() > 0.5:
        return Units(standardised(x, seed=rng), code, prompt, np.arange(len(data)))
    unit = cluster_sums(x, member) / np.bincount(member)[:, None]
    prompt = key // len(values)
    return Units(
        standardised(unit, seed=rng), key % len(values), prompt, prompt_groups(data)[prompt]
    )


def modifiers(data: PreferenceData) -> np.ndarray:
    """Latents of each pair's prompt, or indicators of its type; centred and scaled, (n, k)."""
    if data.prompt_latents is not None:
        x = data.prompt_latents[data.pair_prompt]
    elif data.prompt_type is not None:
        kind = data.prompt_type[data.pair_prompt]
        x = (kind[:, None] == np.unique(kind)[1:]).astype(float)
    else:
        x = np.zeros((len(data), 0))
    return unit_spread(x)
