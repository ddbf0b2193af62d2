"""What to train: the kind and size of a reward model, and the runs. Needs no torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, Literal

import numpy as np

from causalpref.data import PreferenceData, expect_preferences
from causalpref.rewards._scoring import check_recipe

__all__ = ["KINDS", "Kind", "RewardConfig", "Run"]

Kind = Literal["base", "multihead", "adversarial"]
"""Name of a reward model."""

KINDS: tuple[Kind, ...] = ("base", "multihead", "adversarial")
"""The three reward models of section 4 and figure 5."""


@dataclass(frozen=True)
class RewardConfig:
    """Which reward model, and its size. Defaults are those of appendix E.1.

    Parameters
    ----------
    kind : {"base", "multihead", "adversarial"}
    d : int, optional
        Width of the embeddings e. Default: that of the training data.
    n_objectives : int, optional
        Number of values that C takes, coded 0, 1, ... Default: those of the data to fit.
    hidden : int
        Width of every hidden layer, and of the latent representation.
    depth : int
        Linear layers of the trunk (Base: of the whole network).
    lambda_ : float
        Weight of the adversarial term, equation 5. Used by ``"adversarial"`` only.
    latent : int, optional
        Base: width of the network's output, from which one more linear layer reads the reward
        (64 in appendix D.2). Default: the network gives the reward itself (appendix E.1).

    Raises
    ------
    ValueError
        An unknown kind, a size below 1, or a negative ``lambda_``.
    """

    kind: Kind
    d: int | None = None
    n_objectives: int | None = None
    hidden: int = 512
    depth: int = 3
    lambda_: float = 1.0
    latent: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind is {self.kind!r}, expected one of {list(KINDS)}")
        for name in ("d", "n_objectives", "hidden", "depth"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} is {value}, expected at least 1")
        if self.lambda_ < 0:
            raise ValueError(f"lambda_ is {self.lambda_}, expected 0 or more")
        if self.latent is not None and (self.kind != "base" or self.latent < 1):
            raise ValueError(
                f"latent is {self.latent} for {self.kind!r}: it is a width, for 'base'"
            )

    @property
    def sizes(self) -> tuple[int, int]:
        """``d`` and ``n_objectives``; ValueError where one was left to the data."""
        if self.d is None or self.n_objectives is None:
            raise ValueError(
                f"d is {self.d} and n_objectives is {self.n_objectives}: state both, or let "
                "fit take them from the data"
            )
        return self.d, self.n_objectives

    def sized(self, train: PreferenceData, validation: PreferenceData) -> RewardConfig:
        """The same configuration; what was left out is taken from the data.

        Raises
        ------
        ValueError
            Training data without embeddings.
        TypeError
            Anything but preference data.
        """
        expect_preferences(train, "train")
        expect_preferences(validation, "validation")
        d, k = self.d, self.n_objectives
        if d is None:
            d = train.require("embeddings").shape[1]
        if k is None:
            k = max(_count(train), _count(validation))
        return dataclasses.replace(self, d=d, n_objectives=k)


@dataclass(frozen=True)
class Run:
    """One model to train on one set of pairs.

    Only embeddings, pairs, labels and objectives are read: type(X) cannot enter.

    Parameters
    ----------
    config : RewardConfig
    train, validation : PreferenceData
        With ``embeddings``, and ``objective`` for a model of more than one.
    seed : int
        Decides initial weights and order of the batches. Same seed, data and
        machine give the same weights to the bit.
    learning_rate : float
    weight : array, shape (n_pairs,), optional
        How much each training pair counts, for instance an overlap weight. Scaled to mean 1.
    patience : int, optional
        Stop after so many epochs without a better validation accuracy. Default: never.
    tags : mapping, optional
        What the run is called in tables, for instance ``{"rho": 0.9, "model": "base"}``.
    """

    config: RewardConfig
    train: PreferenceData
    validation: PreferenceData
    _: KW_ONLY
    seed: int = 0
    learning_rate: float = 1e-4
    weight: np.ndarray | None = None
    patience: int | None = None
    tags: Mapping[str, Any] = field(default_factory=dict)


def check_embeddings(
    data: PreferenceData,
    config: RewardConfig,
    recipe: Mapping[str, Any] | None,
    whose: str = "the model",
) -> np.ndarray:
    """The embeddings, once they are seen to be made like those that the model reads.

    Raises
    ------
    ValueError
        Missing or ill-sized embeddings, or a recipe that differs; names the first field that does.
        Any recipe will do for a model without one.
    """
    embeddings = data.require("embeddings")
    check_recipe(data.recipe, recipe, whose)
    d, _ = config.sizes
    if embeddings.shape[1] != d:
        raise ValueError(f"the embeddings are {embeddings.shape[1]} wide, config.d is {d}")
    return embeddings


def objectives(data: PreferenceData, config: RewardConfig, names: Sequence[str] = ()) -> np.ndarray:
    """C of each pair, shape (n_pairs,), by the codes of the model.

    Where both the model and the data have names of objectives, it is these that count: the same
    name may have another code in other data.

    Raises
    ------
    ValueError
        A missing objective, one out of range, or one with a name that the model does not know.
    """
    _, k = config.sizes
    if data.objective is None:
        if k > 1:
            raise ValueError(f"the data have no objective, config.n_objectives is {k}")
        return np.zeros(len(data), dtype=np.int64)
    own = data.names.get("objective", ())
    if names and own and own != tuple(names):
        strange = [own[c] for c in np.unique(data.objective) if own[c] not in names]
        if strange:
            raise ValueError(
                f"the data have the objective {strange[0]!r}, the model was fitted to "
                f"{', '.join(names)}"
            )
        code = [names.index(word) if word in names else -1 for word in own]
        return np.array(code, dtype=np.int64)[data.objective]
    bad = np.flatnonzero((data.objective < 0) | (data.objective >= k))
    if len(bad):
        raise ValueError(f"objective[{bad[0]}] = {data.objective[bad[0]]}, expected 0 to {k - 1}")
    return data.objective


def _count(data: PreferenceData) -> int:
    """Values that C takes: those with a name, and those that occur."""
    if data.objective is None:
        return 1
    named = len(data.names.get("objective", ()))
    return max(named, int(data.objective.max(initial=0)) + 1)
