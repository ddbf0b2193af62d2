"""What a check is: compute a frozen result, judge it, word it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from causalpref.assumptions._units import checked_features, numbered
from causalpref.assumptions.report import Report, Verdict, Words
from causalpref.data import PreferenceData

__all__ = ["Check", "Settings", "drawn", "run_check"]


@dataclass(frozen=True, eq=False)
class Settings:
    """What the checks of one data set have in common.

    Parameters
    ----------
    features : array, str, callable or None
        What is known of the texts of each pair, shape (n_pairs, q). None: the mean embedding of
        the two responses, or else latents of the prompt and of the pair. :func:`run_checks` knows
        more ways; a check gets the array, or None.
    most_pairs : int
        Checks that look at texts draw at most so many, whole groups of prompts at a time.
    n_folds : int
        Folds of every cross-fitted prediction.
    permutations : int
        Draws of every permutation test; the smallest p-value is 1 / (permutations + 1).
    alpha : float
        Level of every test.
    seed : int or numpy.random.Generator
        Every check starts from it afresh, so that one alone says the same as all together.

    Raises
    ------
    ValueError
        Fewer than one pair.
    """

    features: Any = None
    most_pairs: int = 20_000
    n_folds: int = 5
    permutations: int = 199
    alpha: float = 0.05
    seed: int | np.random.Generator = 0

    def __post_init__(self) -> None:
        if self.most_pairs < 1:
            raise ValueError(f"most_pairs is {self.most_pairs}, expected 1 or more")

    @property
    def rng(self) -> np.random.Generator:
        """A generator at the seed; the generator itself where one was given."""
        return np.random.default_rng(self.seed)


@dataclass(frozen=True, eq=False)
class Check:
    """One check of one assumption.

    Parameters
    ----------
    key : str
    number : int or None
        Of the assumption in the paper; None for a statement that is no assumption.
    title : str
    compute : callable
        ``compute(data, settings, **options)``: the result, a frozen dataclass of numbers; or
        :class:`Words` that say why these data cannot be tested.
    judge : callable
        ``judge(result)``: the verdict on such numbers.
    word : callable
        ``word(result, verdict)``: sentences, evidence and picture.
    sees, blind : str
        What the check can notice, and what it cannot.
    reads_texts : callable
        ``reads_texts(data)``: whether these data have it look at texts, so that it draws at most
        ``most_pairs`` of them.
    """

    key: str
    number: int | None
    title: str
    compute: Callable[..., Any]
    judge: Callable[[Any], Verdict]
    word: Callable[[Any, Verdict], Words]
    sees: str
    blind: str
    reads_texts: Callable[[PreferenceData], bool] = lambda data: False

    def report(self, data: PreferenceData, settings: Settings, **options: Any) -> Report:
        """Compute, judge and word, on the data as they are."""
        result = self.compute(data, settings, **options)
        if isinstance(result, Words):
            verdict, said = Verdict.UNTESTABLE, result
        else:
            verdict = self.judge(result)
            said = self.word(result, verdict)
        words = vars(said).copy()
        for name in ("title", "sees", "blind"):
            words[name] = words[name] or getattr(self, name)
        return Report(
            key=self.key,
            number=self.number,
            verdict=verdict,
            result=result,
            source=data.source,
            simulated=data.simulated,
            **words,
        )


def run_check(check: Check, data: PreferenceData, settings: Settings, **options: Any) -> Report:
    """One check by itself, on the pairs that it would get among all of them."""
    data = numbered(data)
    if check.reads_texts(data):
        data, settings = drawn(data, settings)
    return check.report(data, settings, **options)


def drawn(data: PreferenceData, settings: Settings) -> tuple[PreferenceData, Settings]:
    """The pairs that checks of texts rest on, and the features of these.

    Whole groups of prompts are drawn at random, until ``most_pairs`` are reached.

    Raises
    ------
    ValueError
        Features of the wrong shape or not finite.
    """
    x = settings.features
    if isinstance(x, np.ndarray):
        x = checked_features(x, len(data))
    if len(data) > settings.most_pairs:
        group = np.unique(data.pair_group, return_inverse=True)[1]
        size = np.bincount(group)
        order = settings.rng.permutation(len(size))
        last = np.searchsorted(np.cumsum(size[order]), settings.most_pairs, side="right")
        keep = order[: max(1, last)]
        rows = np.flatnonzero(np.isin(group, keep))[: settings.most_pairs]
        data = data.select(rows)
        x = x[rows] if isinstance(x, np.ndarray) else x
    return data.compact(), replace(settings, features=x)
