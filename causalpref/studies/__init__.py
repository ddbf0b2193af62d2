"""The case studies as functions that return tidy tables."""

from causalpref.studies.hh_rlhf import (
    accuracy_table,
    content_blind,
    length_rates,
    reward_models,
    type_probe,
)
from causalpref.studies.recorded import record, recorded

__all__ = [
    "accuracy_table",
    "content_blind",
    "length_rates",
    "record",
    "recorded",
    "reward_models",
    "type_probe",
]
