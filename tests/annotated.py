"""Worlds of annotators, each with a taste and a certainty of their own, for tests of checks."""

from __future__ import annotations

import numpy as np
from scipy.special import expit

from causalpref.data import PreferenceData


def annotated(
    seed: int,
    annotators: int = 40,
    each: int = 40,
    *,
    weights: tuple[float, ...] = (0.8, 0.8),
    slopes: float = 0.0,
    groups: float = 0.0,
    topics: float = 0.0,
    experts: float = 1.0,
    surer: float = 0.0,
    interaction: float = 0.0,
    position: float = 0.0,
    prompts: int | None = None,
    heavy: bool = False,
    unbalanced: bool = False,
    embeddings: int = 0,
    **fields,
) -> PreferenceData:
    """Pairs in a world where P(L = 1) = expit(s w @ delta), s and w of the annotator and prompt.

    Parameters
    ----------
    weights : tuple of float
        Average taste, one weight a latent.
    slopes : float
        Standard deviation of tastes between annotators.
    groups : float
        The first latent is worth this much to half of the annotators, minus this to the others.
    topics : float
        Standard deviation of the mean of an annotator's prompts.
    experts : float
        Every other annotator is so many times as sure.
    surer : float
        Differences in reward are exp(surer x) times as large on a prompt of latent x.
    interaction : float
        The first latent is worth this much more at x = 1.
    position : float
        Standard deviation, between annotators, of the pull of the first response.
    prompts : int, optional
        Prompts that annotators share; default: each pair has its own.
    heavy : bool
        The first latent is log-normal, and larger on prompts of a high x.
    embeddings : int
        Columns of noise mixed into embeddings that carry the latents, x and their product.
    """
    rng = np.random.default_rng(seed)
    size = np.full(annotators, each)
    if unbalanced:
        size = np.clip((0.2 + rng.pareto(1.2, annotators)) * each, 2, 20 * each).astype(int)
    who = np.repeat(np.arange(annotators), size)
    n, m = len(who), len(weights)
    if prompts is None:
        prompt, x = np.arange(n), topics * rng.standard_normal(annotators)[who]
    else:
        prompt = np.unique(rng.integers(0, prompts, n), return_inverse=True)[1]
        x = np.zeros(prompt.max() + 1)
    x = x + rng.standard_normal(len(x))
    z = rng.standard_normal((2 * n, m))
    if heavy:
        z[:, 0] = np.exp(0.9 * z[:, 0] + 0.4 * np.repeat(x[prompt], 2))
    unit = (z - z.mean(axis=0)) / z.std(axis=0)
    taste = np.array(weights) + slopes * rng.standard_normal((annotators, m))
    if groups:
        taste[:, 0] = groups * (-1.0) ** np.arange(annotators)
    w = taste[who]
    w[:, 0] += interaction * x[prompt]
    scale = np.where(np.arange(annotators) % 4 < 2, experts, 1.0)[who] * np.exp(surer * x[prompt])
    pull = position * rng.standard_normal(annotators)[who]
    p = expit(scale * (w * (unit[::2] - unit[1::2])).sum(axis=1) + pull)
    if embeddings:
        e = np.column_stack(
            [unit, np.repeat(x[prompt], 2), rng.standard_normal((2 * n, embeddings))]
        )
        e = e @ np.random.default_rng(1).standard_normal((e.shape[1], e.shape[1]))
        product = unit * np.repeat(x[prompt], 2)[:, None]
        fields["embeddings"] = np.column_stack([e + 0.3 * rng.standard_normal(e.shape), product])
    return PreferenceData(
        prompts=[f"prompt {i}" for i in range(len(x))],
        responses=[f"response {i}" for i in range(2 * n)],
        response_prompt=np.repeat(prompt, 2),
        pairs=np.arange(2 * n).reshape(-1, 2),
        label=(rng.random(n) < p).astype(int),
        annotator=who,
        prompt_latents=x[:, None],
        response_latents=z,
        names={
            "prompt_latents": ["topic"],
            "response_latents": ["length", "tone", "third", "fourth"][:m],
        },
        simulated=True,
    ).replace(**fields)
