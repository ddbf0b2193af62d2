"""One function per figure: a tidy table in, an Altair chart out.

The reports of checks draw themselves, without Altair: see :mod:`causalpref.assumptions.drawing`.

Every chart names its data in the subtitle (simulated, real, recorded) and carries
a description for screen readers, written from the numbers it shows. Colours have
a contrast of at least 3:1 on the book's light and dark backgrounds, and none of
them is the only sign of what a mark means.
"""

from causalpref.figures._charts import save_chart
from causalpref.figures._style import COLOURS
from causalpref.figures.boundary import boundary_wedge, labels_by_correlation
from causalpref.figures.checks import place_ceilings, power_by_strength
from causalpref.figures.confounding import hidden_context, overlap_by_rho
from causalpref.figures.design import error_by_budget, leaking_control, selection_curves
from causalpref.figures.graphs import causal_graph
from causalpref.figures.hh_rlhf import (
    accuracy_beside_the_paper,
    accuracy_by_pairs,
    accuracy_by_rho,
    cell_differences,
    lambda_dial,
    length_by_objective,
    readable_by_rho,
    who_asked,
)
from causalpref.figures.identification import broken_assumptions
from causalpref.figures.latents import amce_by_density, cells_against_truth, pooled_curve
from causalpref.figures.multiobjective import architectures, balancing, two_players
from causalpref.figures.outcomes import imagined_label, seeing_doing_imagining
from causalpref.figures.rewards import judge_noise, reward_shift
from causalpref.figures.ultrafeedback import (
    accuracy_by_correlation,
    aspect_accuracy,
    dialled_pairs,
    foretold_falls,
    labels_and_noise,
)

__all__ = [
    "COLOURS",
    "accuracy_beside_the_paper",
    "accuracy_by_correlation",
    "accuracy_by_pairs",
    "accuracy_by_rho",
    "amce_by_density",
    "architectures",
    "aspect_accuracy",
    "balancing",
    "boundary_wedge",
    "broken_assumptions",
    "causal_graph",
    "cell_differences",
    "cells_against_truth",
    "dialled_pairs",
    "error_by_budget",
    "foretold_falls",
    "hidden_context",
    "imagined_label",
    "judge_noise",
    "labels_and_noise",
    "labels_by_correlation",
    "lambda_dial",
    "leaking_control",
    "length_by_objective",
    "overlap_by_rho",
    "place_ceilings",
    "pooled_curve",
    "power_by_strength",
    "readable_by_rho",
    "reward_shift",
    "save_chart",
    "seeing_doing_imagining",
    "selection_curves",
    "two_players",
    "who_asked",
]
