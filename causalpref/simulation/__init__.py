"""Preference data with the truth known: a structural causal model, and twins of real data sets.

:class:`Simulator` is the model: see, do, imagine. :func:`hh_rlhf_twin` and
:func:`ultrafeedback_twin` draw corpora with the schema and the marginals of the real ones.
"""

from causalpref.simulation._hh_rlhf_twin import (
    HH_RLHF_WORLD,
    hh_rlhf_twin,
    hh_rlhf_twin_rows,
    hh_rlhf_twin_weights,
)
from causalpref.simulation._simulator import (
    EXAMPLES,
    Embedding,
    Example,
    Latent,
    Simulator,
    linear_reward,
    quadratic_reward,
)
from causalpref.simulation._ultrafeedback_twin import (
    ULTRAFEEDBACK_EMBEDDING,
    ultrafeedback_simulator,
    ultrafeedback_twin,
    ultrafeedback_twin_rows,
)
from causalpref.simulation.labels import label_by_reward

__all__ = [
    "EXAMPLES",
    "HH_RLHF_WORLD",
    "ULTRAFEEDBACK_EMBEDDING",
    "Embedding",
    "Example",
    "Latent",
    "Simulator",
    "hh_rlhf_twin",
    "hh_rlhf_twin_rows",
    "hh_rlhf_twin_weights",
    "label_by_reward",
    "linear_reward",
    "quadratic_reward",
    "ultrafeedback_simulator",
    "ultrafeedback_twin",
    "ultrafeedback_twin_rows",
]
