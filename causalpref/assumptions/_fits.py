"""What the checks share: rows, groups and features of preference data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from causalpref.data import PreferenceData
from causalpref.statistics import standardised, unit_spread

FEWEST = 5
"""Prompts that a context needs to be looked at."""


# -- rows, groups and features ---------------------------------------------


def groups_of(data: PreferenceData, groups: Sequence[Any] | None) -> np.ndarray:
    """A number for the group of each prompt, shape (n_prompts,); its own row by default."""
    if groups is None:
        return np.arange(len(data.prompts))
    if len(groups) != len(data.prompts):
        raise ValueError(
            f"groups has {len(groups)} values, the data have {len(data.prompts)} prompts"
        )
    import pandas as pd

    return pd.factorize(pd.Series(list(groups), dtype=object), use_na_sentinel=False)[0]


def sampled_rows(
    data: PreferenceData, most: int, rng: np.random.Generator, group: np.ndarray
) -> np.ndarray:
    """Rows of the pairs of groups of prompts drawn at random, ``most`` at the most; or all."""
    if len(data) <= most:
        return np.arange(len(data))
    member = group[data.pair_prompt]
    size = np.bincount(member, minlength=group.max() + 1)
    order = rng.permutation(len(size))
    keep = order[: max(1, np.searchsorted(np.cumsum(size[order]), most, side="right"))]
    return np.flatnonzero(np.isin(member, keep))[:most]


def pair_features(data: PreferenceData, features: np.ndarray | None) -> np.ndarray | None:
    """What is known of the texts of each pair, whichever response stood first, (n_pairs, q).

    ``features`` if given; else the mean embedding of the two responses, else latents of the
    prompt with the mean and the absolute difference of those of the responses.
    """
    if features is not None:
        features = np.asarray(features, dtype=float)
        if features.ndim != 2 or len(features) != len(data):
            raise ValueError(
                f"features has shape {features.shape}, expected ({len(data)}, any): one row a pair"
            )
        bad = ~np.isfinite(features)
        if bad.any():
            row, column = np.argwhere(bad)[0].tolist()
            raise ValueError(f"features[{row}, {column}] = {features[row, column]} is not finite")
        return features
    first, second = data.pairs.T
    if data.embeddings is not None:
        return (data.embeddings[first].astype(float) + data.embeddings[second]) / 2
    parts = []
    if data.prompt_latents is not None:
        parts.append(data.prompt_latents[data.pair_prompt])
    if data.response_latents is not None:
        a, b = data.response_latents[first], data.response_latents[second]
        parts += [(a + b) / 2, np.abs(a - b)]
    return np.concatenate(parts, axis=1) if parts else None


def rare_contexts(data: PreferenceData) -> tuple[np.ndarray, np.ndarray]:
    """Contexts with pairs of fewer than :data:`FEWEST` prompts, and the others."""
    values, code = np.unique(data.objective, return_inverse=True)
    key = np.unique(np.stack([code, data.pair_prompt], axis=1), axis=0)
    many = np.bincount(key[:, 0], minlength=len(values)) >= FEWEST
    return values[~many], values[many]


def judged_units(
    data: PreferenceData,
    x: np.ndarray,
    values: np.ndarray,
    group: np.ndarray,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """What a context was dealt to: whole prompts, or single pairs.

    As a rule the pairs of one prompt are no independent draws of C, and a prompt counts once under
    each context. Where most prompts with several pairs were judged under several contexts, C
    was dealt pair by pair, and how often each context met a prompt is what there is to see.

    Parameters
    ----------
    x : array, shape (n_pairs, q)
    values : array
        The contexts, sorted.
    group : array, shape (n_prompts,)

    Returns
    -------
    array, shape (n_units, q')
        Features, means over the pairs of a unit, standardised.
    code, prompt : array of int, shape (n_units,)
        Place of the context in ``values``, and row of the prompt.
    fold_group : array of int, shape (n_units,)
        Units that have to share a fold.
    """
    code = np.searchsorted(values, data.objective)
    prompt = data.pair_prompt
    key, member = np.unique(prompt * len(values) + code, return_inverse=True)
    pairs_of = np.bincount(prompt)
    contexts_of = np.bincount(key // len(values), minlength=len(pairs_of))
    several = pairs_of > 1
    if several.any() and (contexts_of[several] > 1).mean() > 0.5:
        return standardised(x, seed=rng), code, prompt, np.arange(len(data))
    size = np.bincount(member)
    unit = (
        np.stack([np.bincount(member, weights=v) / size for v in x.T], axis=1)
        if x.shape[1]
        else np.zeros((len(size), 0))
    )
    prompt = key // len(values)
    return standardised(unit, seed=rng), key % len(values), prompt, group[prompt]


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
