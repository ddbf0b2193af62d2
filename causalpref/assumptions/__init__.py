"""One check for each assumption of the paper, one type of report for all of them.

===========================================  ==============================================
assumption                                   check
===========================================  ==============================================
1, consistency                               :func:`check_consistency`
2, unconfoundedness                          :func:`check_unconfoundedness`
3, positivity, and given C                   :func:`check_positivity`
4, latent sufficiency                        :func:`check_sufficiency`
5, latent positivity, and given C            :func:`check_latent_positivity`
Z^X is additive (why Z^X matters)            :func:`check_additivity`
===========================================  ==============================================

No check says that an assumption holds: see :class:`Verdict`. :func:`check_all` makes them all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from causalpref.assumptions.confounding import (
    Names,
    balance,
    check_unconfoundedness,
    hidden_context_bound,
    overturning_strength,
)
from causalpref.assumptions.consistency import check_consistency
from causalpref.assumptions.latent_positivity import (
    Support,
    check_latent_positivity,
    latent_support,
    variance_inflation,
)
from causalpref.assumptions.positivity import (
    check_positivity,
    crump_cut,
    effective_sample_size,
    propensities,
    unseen_share,
)
from causalpref.assumptions.report import Picture, Report, Verdict
from causalpref.assumptions.sufficiency import check_additivity, check_sufficiency
from causalpref.data import PreferenceData

__all__ = [
    "Picture",
    "Report",
    "Support",
    "Verdict",
    "balance",
    "check_additivity",
    "check_all",
    "check_consistency",
    "check_latent_positivity",
    "check_positivity",
    "check_sufficiency",
    "check_unconfoundedness",
    "crump_cut",
    "effective_sample_size",
    "hidden_context_bound",
    "latent_support",
    "overturning_strength",
    "propensities",
    "unseen_share",
    "variance_inflation",
]


def check_all(
    data: PreferenceData,
    *,
    features: np.ndarray | None = None,
    groups: Sequence[Any] | None = None,
    names: Names | None = None,
    order_known: bool = True,
    most_pairs: int = 20_000,
    seed: int = 0,
) -> list[Report]:
    """Every check, in the order of the assumptions.

    Parameters
    ----------
    data : PreferenceData
    features, groups, names, order_known, most_pairs, seed
        As for the checks that take them.

    Returns
    -------
    list of Report
        Six. Each verdict stands on its own: one false alarm among them is more likely than in any
        one.
    """
    drawn: dict[str, Any] = {"groups": groups, "most_pairs": most_pairs, "seed": seed}
    return [
        check_consistency(data, order_known=order_known, names=names),
        check_unconfoundedness(data, features=features, names=names, **drawn),
        check_positivity(data, features=features, names=names, **drawn),
        check_sufficiency(data, **drawn),
        check_latent_positivity(data, names=names),
        check_additivity(data, names=names, groups=groups),
    ]
