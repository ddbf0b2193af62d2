"""The experiments of the chapters: configurations, their commands, tidy tables."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from causalpref.studies._recorded import hashes, record, recorded
    from causalpref.studies._summary import summarise
    from causalpref.studies.hh_rlhf import (
        accuracy_table,
        content_blind,
        length_rates,
        reward_models,
        type_probe,
    )

__all__ = [
    "accuracy_table",
    "content_blind",
    "hashes",
    "length_rates",
    "record",
    "recorded",
    "reward_models",
    "summarise",
    "type_probe",
]

_PLACE = dict.fromkeys(["hashes", "record", "recorded"], "_recorded") | {"summarise": "_summary"}


def __getattr__(name: str) -> Any:
    """Load what is asked for: tables need no statistics, and the command no study but its own."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PLACE.get(name, 'hh_rlhf')}"), name)
