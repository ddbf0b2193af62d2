"""The experiments of the chapters: configurations, their commands, tidy tables."""

from causalpref.studies._summary import summarise
from causalpref.studies.hh_rlhf import (
    accuracy_table,
    content_blind,
    length_rates,
    reward_models,
    type_probe,
)
from causalpref.studies.recorded import hashes, record, recorded

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
