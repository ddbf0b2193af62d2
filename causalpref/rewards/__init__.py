"""Reward models from pairwise preferences: Base, Multihead and Adversarial (section 4).

``fit("multihead", train, validation)`` trains one, ``fitted.accuracy(test)`` judges it, and
``fitted.score(prompts, responses, objective)`` gives the rewards of new text. All but the
configurations need torch, the extra ``models``: it is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from causalpref._extras import models_extra
from causalpref.rewards._config import KINDS, RewardConfig, Run
from causalpref.rewards._config import Kind as Kind

if TYPE_CHECKING:
    from causalpref.rewards._evaluation import Accuracy, accuracy, correct, predict
    from causalpref.rewards._models import (
        RewardModel,
        adversary_loss,
        bradley_terry_loss,
        load_model,
        reverse_gradient,
        save_model,
    )
    from causalpref.rewards._training import Fit, curves, fit, fit_runs, forget

__all__ = [
    "KINDS",
    "Accuracy",
    "Fit",
    "RewardConfig",
    "RewardModel",
    "Run",
    "accuracy",
    "adversary_loss",
    "bradley_terry_loss",
    "correct",
    "curves",
    "fit",
    "fit_runs",
    "forget",
    "load_model",
    "predict",
    "reverse_gradient",
    "save_model",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        with models_extra():
            for part in ("_models", "_evaluation", "_training"):
                module = import_module(f"{__name__}.{part}")
                if name in module.__all__:
                    return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
