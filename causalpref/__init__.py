"""Reward modelling from human preferences as causal inference.

The package that the causalpref book runs on. The names below are what you type first; each is
loaded when you first use it, so ``import causalpref as cp`` itself is instant::

    import causalpref as cp

    loaded = cp.load_preferences("preferences.jsonl")
    print(cp.audit(loaded))
    data = cp.embed(loaded, "sentence-transformers/all-MiniLM-L6-v2")
    sides = data.split(train=0.8, validation=0.1, test=0.1)
    model = cp.fit("multihead", sides["train"], sides["validation"])
    print(model.accuracy(sides["test"]))
    model.score("How do I bake bread?", ["Mix flour and water.", "Buy it."])

Everything else is in the modules behind them. :class:`PreferenceData` is what all of them speak.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from causalpref.assumptions import (
        check_additivity,
        check_all,
        check_consistency,
        check_latent_positivity,
        check_positivity,
        check_sufficiency,
        check_unconfoundedness,
    )
    from causalpref.auditing import audit
    from causalpref.data import PreferenceData
    from causalpref.estimators import amce, fit_linear, outcome_table
    from causalpref.graph import CausalGraph
    from causalpref.rewards import RewardConfig, fit, fit_runs, load_model, save_model
    from causalpref.sampling import sample_confounded, sample_correlated
    from causalpref.simulation import Latent, Simulator, linear_reward
    from causalpref.sources import load_hanna, load_hh_rlhf, load_preferences, load_ultrafeedback
    from causalpref.text.embedding import embed, hashed_ngrams

__all__ = [
    "CausalGraph",
    "Latent",
    "PreferenceData",
    "RewardConfig",
    "Simulator",
    "__version__",
    "amce",
    "audit",
    "check_additivity",
    "check_all",
    "check_consistency",
    "check_latent_positivity",
    "check_positivity",
    "check_sufficiency",
    "check_unconfoundedness",
    "embed",
    "fit",
    "fit_linear",
    "fit_runs",
    "hashed_ngrams",
    "linear_reward",
    "load_hanna",
    "load_hh_rlhf",
    "load_model",
    "load_preferences",
    "load_ultrafeedback",
    "outcome_table",
    "sample_confounded",
    "sample_correlated",
    "save_model",
]
__version__ = "0.1.0"
"""Version of the package."""

_ROOMS = {
    "assumptions": [name for name in __all__ if name.startswith("check_")],
    "auditing": ["audit"],
    "data": ["PreferenceData"],
    "estimators": ["amce", "fit_linear", "outcome_table"],
    "graph": ["CausalGraph"],
    "rewards": ["RewardConfig", "fit", "fit_runs", "load_model", "save_model"],
    "sampling": ["sample_confounded", "sample_correlated"],
    "simulation": ["Latent", "Simulator", "linear_reward"],
    "sources": ["load_hanna", "load_hh_rlhf", "load_preferences", "load_ultrafeedback"],
    "text.embedding": ["embed", "hashed_ngrams"],
}
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _ROOM_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_ROOM_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
