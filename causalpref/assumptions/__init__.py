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
annotators agree in taste                    :func:`check_heterogeneity`
===========================================  ==============================================

A :class:`Check` is three functions: compute a frozen result, judge it, word it. A new check is a
module with these and its entry in :data:`CHECKS`; :func:`run_checks` makes them all, for
:func:`check_all` and for :func:`causalpref.auditing.audit`. No check says that an assumption
holds: see :class:`Verdict`.
"""

from causalpref.assumptions._check import Check, Settings
from causalpref.assumptions._running import CHECKS, Checked, check_all, group_openings, run_checks
from causalpref.assumptions.additivity import Additivity, check_additivity
from causalpref.assumptions.confounding import (
    Unconfoundedness,
    balance,
    check_unconfoundedness,
    hidden_context_bound,
    overturning_strength,
)
from causalpref.assumptions.consistency import Consistency, check_consistency
from causalpref.assumptions.evidence import Picture
from causalpref.assumptions.heterogeneity import Heterogeneity, check_heterogeneity
from causalpref.assumptions.latent_positivity import (
    LatentPositivity,
    Support,
    check_latent_positivity,
    latent_support,
    variance_inflation,
)
from causalpref.assumptions.positivity import (
    Positivity,
    check_positivity,
    crump_cut,
    effective_sample_size,
    propensities,
    unseen_share,
)
from causalpref.assumptions.report import Report, Verdict, Words
from causalpref.assumptions.sufficiency import Sufficiency, check_sufficiency

__all__ = [
    "Additivity",
    "CHECKS",
    "Check",
    "Checked",
    "Consistency",
    "Heterogeneity",
    "LatentPositivity",
    "Picture",
    "Positivity",
    "Report",
    "Settings",
    "Sufficiency",
    "Support",
    "Unconfoundedness",
    "Verdict",
    "Words",
    "balance",
    "check_additivity",
    "check_all",
    "check_consistency",
    "check_heterogeneity",
    "check_latent_positivity",
    "check_positivity",
    "check_sufficiency",
    "check_unconfoundedness",
    "crump_cut",
    "effective_sample_size",
    "group_openings",
    "hidden_context_bound",
    "latent_support",
    "overturning_strength",
    "propensities",
    "run_checks",
    "unseen_share",
    "variance_inflation",
]
