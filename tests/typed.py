"""What somebody else's typed program writes. Never run: `make check` reads it strictly.

``assert_type`` fixes what a caller gets back; an argument that the documentation allows and an
annotation refuses is an error here.
"""

from __future__ import annotations

from pathlib import Path
from typing import assert_type

import numpy as np
import pandas as pd

import causalpref as cp
from causalpref import PreferenceData
from causalpref.assumptions import Report, check_all, check_consistency, check_positivity
from causalpref.auditing import Audit, audit
from causalpref.data import Pair
from causalpref.graph import CausalGraph, Identified, Refused
from causalpref.rewards import RewardConfig, fit, predict
from causalpref.sources import load_preferences


def from_lists() -> PreferenceData:
    return PreferenceData(
        prompts=["a", "b"],
        responses=("yes", "no", "yes", "no"),
        response_prompt=[0, 0, 1, 1],
        pairs=[(0, 1), (2, 3)],
        label=[1, 0],
        objective=[True, False],
        prompt_latents=[[0.5], [1]],
        embeddings=np.zeros((4, 2), dtype=np.float32),
        names={"objective": ["helpful", "harmless"], "prompt_latents": ("risk",)},
    )


def from_columns(table: pd.DataFrame) -> PreferenceData:
    return PreferenceData(
        prompts=table["prompt"].to_numpy(),
        responses=np.array(["yes", "no"]),
        response_prompt=np.zeros(2, dtype=int),
        pairs=np.array([[0, 1]]),
        label=table["label"],
        annotator=table["annotator"].to_numpy(),
    )


def look(data: PreferenceData) -> None:
    assert_type(len(data), int)
    assert_type(data[0], Pair)
    assert_type(data[0].chosen, str)
    assert_type(data[3:9], PreferenceData)
    assert_type(data[np.flatnonzero(data.label)], PreferenceData)
    assert_type(data[[0, 1]], PreferenceData)
    assert_type([pair.label for pair in data], list[int])
    assert_type(data.select([0, 1]), PreferenceData)
    assert_type(data.split(seed=0, train=0.8, test=0.2)["train"], PreferenceData)
    assert_type(data.names_of("objective"), list[str])
    assert_type(data.index_of("objective", "helpful"), int)
    assert_type(data.to_pandas(), pd.DataFrame)
    data.difference("embeddings").mean()
    data.require("objective").max()
    objective, embeddings = data.require("objective", "embeddings")
    print(objective.shape, embeddings.shape)
    data.save(Path("folder"), overwrite=True)
    assert_type(PreferenceData.load("folder"), PreferenceData)


def check(data: PreferenceData) -> None:
    assert_type(check_consistency(data), Report)
    assert_type(check_positivity(data, seed=np.random.default_rng(0)), Report)
    assert_type(check_all(data), list[Report])
    assert_type(audit(data), Audit)
    assert_type(audit(load_preferences("rows.jsonl")), Audit)


def train(data: PreferenceData) -> None:
    sides = data.split(seed=0, train=0.8, validation=0.2)
    found = fit(RewardConfig("base", d=2), sides["train"], sides["validation"], seed=0)
    predict(found.model, data).mean()


def identify() -> None:
    graph = CausalGraph([("C", "L"), ("X", "C"), ("X", "L")])
    assert_type(graph.d_separated("X", "L", ["C"]), bool)
    assert_type(graph.identify("C", "L"), Identified | Refused)


def front_door() -> None:
    loaded = cp.load_preferences("rows.jsonl")
    assert_type(cp.audit(loaded), Audit)
    assert_type(cp.check_consistency(cp.load_hh_rlhf("offline")), Report)
    assert_type(cp.CausalGraph([("C", "L")], hidden="C"), CausalGraph)
