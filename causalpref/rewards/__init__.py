"""Reward models from pairwise preferences: Base, Multihead and Adversarial (section 4)."""

from causalpref.rewards.evaluation import accuracy, correct, predict, summarise
from causalpref.rewards.files import load_model, save_model
from causalpref.rewards.models import (
    KINDS,
    RewardConfig,
    RewardModel,
    adversary_loss,
    bradley_terry_loss,
    reverse_gradient,
)
from causalpref.rewards.training import Fit, Run, curves, fit, fit_runs

__all__ = [
    "KINDS",
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
    "load_model",
    "predict",
    "reverse_gradient",
    "save_model",
    "summarise",
]
