"""Pairs and labels of rated responses: a reward function decides every pair (appendix D.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from causalpref.data import PreferenceData

__all__ = ["all_pairs", "compare_rated", "label_by_reward"]


def all_pairs(response_prompt: np.ndarray, *, seed: int | np.random.Generator = 0) -> np.ndarray:
    """Every pair of responses to one prompt, once, in random order.

    Parameters
    ----------
    response_prompt : array of int, shape (n_responses,)
        0, 1, 2, ... without gaps; the responses to a prompt stand together.
    seed : int or numpy.random.Generator

    Returns
    -------
    array of int, shape (n_pairs, 2)
        Sorted by prompt. A prompt with k responses gives k (k - 1) / 2 pairs.
    """
    rows = np.arange(len(response_prompt))
    after = np.cumsum(np.bincount(response_prompt))[response_prompt] - 1 - rows
    first = np.repeat(rows, after)
    second = first + 1 + np.arange(len(first)) - np.repeat(np.cumsum(after) - after, after)
    flip = np.random.default_rng(seed).random(len(first)) < 0.5
    return np.stack([np.where(flip, second, first), np.where(flip, first, second)], axis=1)


def label_by_reward(
    data: PreferenceData,
    weights: Sequence[float] | np.ndarray | None = None,
    *,
    seed: int | np.random.Generator = 0,
) -> PreferenceData:
    """The same pairs, labelled by the reward r = weights . z^T of either response.

    Appendix D.2: the higher reward wins, and a tie is decided at random. (The paper writes l = 0
    where the first is better; here that is 1, as everywhere in the package.)

    Parameters
    ----------
    data : PreferenceData
        With ``response_latents``, shape (n_responses, m).
    weights : sequence of float, shape (m,), optional
        Default: equal ones.
    seed : int or numpy.random.Generator
        Decides ties.

    Returns
    -------
    PreferenceData
        Without ``strength`` and ``probability``, which graded the labels before.

    Raises
    ------
    ValueError
        Data without response latents, or weights that do not fit them.

    Notes
    -----
    Rewards closer than 1e-9 of their scale are a tie: 0.1 * 3 - 0.3 * 1 is not 0 in floating
    point, but two responses of which one is rated 3 higher and 1 lower have one reward.
    """
    z = data.require("response_latents")
    w = checked_weights(weights, z.shape[1])
    gap = data.difference("response_latents") @ w
    tie = np.abs(gap) <= 1e-9 * (np.abs(w) @ np.abs(z).max(axis=0))
    coin = np.random.default_rng(seed).integers(0, 2, len(gap))
    label = np.where(tie, coin, gap > 0).astype(np.int64)
    return data.replace(label=label, strength=None, probability=None)


def compare_rated(
    *,
    weights: Sequence[float] | np.ndarray | None,
    seed: int | np.random.Generator = 0,
    **fields: Any,
) -> PreferenceData:
    """Rated responses as data: :func:`all_pairs` of each prompt, then :func:`label_by_reward`.

    Parameters
    ----------
    weights : sequence of float, optional
    seed : int or numpy.random.Generator
        Decides the order within each pair, and the label of a tie.
    **fields
        Of :class:`PreferenceData`, without ``pairs`` and ``label``.
    """
    rng = np.random.default_rng(seed)
    pairs = all_pairs(fields["response_prompt"], seed=rng)
    data = PreferenceData(pairs=pairs, label=np.zeros(len(pairs), dtype=np.int64), **fields)
    return label_by_reward(data, weights, seed=rng)


def checked_weights(weights: Sequence[float] | np.ndarray | None, m: int) -> np.ndarray:
    """Weights of a reward of m latents, equal ones for None."""
    if weights is None:
        return np.full(m, 1 / m)
    array = np.asarray(weights, dtype=float)
    if array.shape != (m,):
        raise ValueError(
            f"weights {np.shape(weights)} do not fit {m} latents: give {m} numbers, "
            "or None for equal ones"
        )
    if not np.isfinite(array).all() or not array.any():
        raise ValueError(f"weights are {array.tolist()}: they must be finite and not all zero")
    return array


def checked_aspects(aspects: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    """Names of rated aspects to take as latents: two or more different ones of ``known``."""
    if isinstance(aspects, str):
        raise ValueError(f"aspects is one string, {aspects!r}: give a sequence of two or more")
    aspects = tuple(aspects)
    for aspect in aspects:
        if aspect not in known:
            raise ValueError(f"aspects names {aspect!r}, expected some of {', '.join(known)}")
    if len(aspects) < 2 or len(set(aspects)) < len(aspects):
        raise ValueError(f"aspects are {aspects}, expected two or more different ones")
    return aspects
