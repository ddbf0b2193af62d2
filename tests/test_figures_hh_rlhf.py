"""Figures of the HH-RLHF case study: what they draw and say is what the tables hold."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from causalpref import figures
from causalpref.rewards import KINDS
from causalpref.studies.hh_rlhf import PAPER_TABLE_2, PAPER_TABLE_3, beside_the_paper

SPLITS = ("inconsistent", "consistent")


def shown(spec: dict[str, Any], *keys: str) -> list[dict[str, Any]]:
    """Rows of the inline data sets that have all the columns."""
    return [r for rows in spec["datasets"].values() for r in rows if all(k in r for k in keys)]


def dials(spec: dict[str, Any]) -> dict[str, list[Any]]:
    return {
        p["name"]: p["bind"]["options"]
        for p in spec["params"]
        if isinstance(p.get("bind"), dict) and "options" in p["bind"]
    }


def shifted(points: float) -> pd.DataFrame:
    """The paper's table 2, moved by so many points."""
    return PAPER_TABLE_2.assign(mean=PAPER_TABLE_2["mean"] + points / 100, source="made up")


def long_table(name: str, values: list[Any], **columns: list[Any]) -> pd.DataFrame:
    """One row for every combination, with accuracies drawn at random."""
    rng = np.random.default_rng(0)
    index = pd.MultiIndex.from_product([values, *columns.values()], names=[name, *columns])
    table = index.to_frame(index=False)
    return table.assign(accuracy=rng.uniform(0.5, 0.7, len(table)), source="made up")


# -- figure 6 ----------------------------------------------------------------


def both_tables() -> pd.DataFrame:
    return pd.concat(
        [shifted(1.0).assign(whose="ours"), PAPER_TABLE_2.assign(whose="theirs")], ignore_index=True
    )


def test_figure_six_draws_every_cell_of_both_tables():
    spec = figures.accuracy_beside_the_paper(both_tables()).to_dict()
    rows = pd.DataFrame(shown(spec, "whose", "percent")).drop_duplicates()
    assert len(rows) == 72
    wide = rows.pivot(index=["rho", "model", "split"], columns="whose", values="percent")
    assert np.allclose(wide.ours - wide.theirs, 1.0)
    assert wide.theirs[0.5, "base", "inconsistent"] == pytest.approx(60.0)
    assert dials(spec) == {"sixwhose": ["both", "ours", "theirs"], "sixpairs": ["both", *SPLITS]}
    assert "theirs, adversarial on inconsistent pairs at rho 1: 53.5 %" in spec["description"]
    assert spec["title"]["subtitle"] == ["ours: made up", "theirs: the paper, table 2"]


def test_figure_six_takes_what_it_is_told_of_our_data_and_does_without_errors():
    one_seed = both_tables().assign(se=np.nan)
    spec = figures.accuracy_beside_the_paper(one_seed, source="other").to_dict()
    assert spec["title"]["subtitle"][0] == "ours: other"
    assert all(r["low"] == r["high"] == r["percent"] for r in shown(spec, "whose", "percent"))


def test_two_such_charts_can_stand_on_one_page():
    text = json.dumps(figures.accuracy_beside_the_paper(both_tables(), dials="real").to_dict())
    assert "realwhose == datum.whose" in text and "sixwhose" not in text and "sixpairs" not in text


# -- differences ---------------------------------------------------------------


def test_differences_are_ours_minus_the_papers():
    cells = pd.concat(
        [
            beside_the_paper(shifted(2.0)).assign(table="test"),
            beside_the_paper(shifted(0.0), PAPER_TABLE_3).assign(table="training"),
        ]
    )
    spec = figures.cell_differences(cells).to_dict()
    rows = pd.DataFrame(shown(spec, "points"))
    assert len(rows) == 36 + 33 and dials(spec) == {"celltable": ["test", "training"]}
    assert np.allclose(rows.points, rows.ours - rows.theirs)
    assert np.allclose(rows.points[rows.table == "test"], 2.0)
    worst = rows[(rows.table == "training") & (rows.split == "consistent")]
    worst = worst.loc[worst.points.abs().idxmax()]
    assert (
        f"largest {worst.points:+.1f} points ({worst.model}, rho {worst.rho:g})"
        in spec["description"]
    )
    ((low, high),) = {
        tuple(layer["encoding"]["x"]["scale"]["domain"])
        for panel in spec["hconcat"]
        for layer in panel["layer"]
    }
    assert low < rows.points.min() and rows.points.max() < high, "all marks are in view"
    assert spec["title"]["subtitle"] == "Data: made up"


# -- probes --------------------------------------------------------------------


def test_probes_are_averaged_over_seeds():
    table = long_table(
        "rho",
        [0.5, 0.9, 1.0],
        model=["embedding", *KINDS],
        seed=[0, 1, 2],
        target=["type", "objective"],
    )
    table["best"] = np.where(table.target == "type", 1.0, table.rho)
    spec = figures.readable_by_rho(table).to_dict()
    rows = pd.DataFrame(shown(spec, "best")).drop_duplicates()
    assert len(rows) == 3 * 4 * 2
    mean = table.groupby(["target", "model", "rho"]).accuracy.mean()
    got = rows.set_index(["target", "model", "rho"])["mean"]
    assert got["the type of the prompt", "base", 0.9] == pytest.approx(
        mean["type", "base", 0.9], abs=1e-4
    )
    assert set(rows[(rows.target == "the objective") & (rows.rho == 0.9)].best) == {0.9}
    assert dials(spec) == {"readtarget": ["the type of the prompt", "the objective"]}
    assert f"multihead at rho 1 {mean['type', 'multihead', 1.0]:.2f}" in spec["description"]


# -- lambda --------------------------------------------------------------------


def test_the_dial_of_lambda_shows_every_run_and_every_probe():
    grid = {"lambda_": [0.0, 1.0, 10.0], "seed": [0, 1]}
    runs = long_table("rho", [0.7, 0.9], split=list(SPLITS), **grid)
    read = long_table("rho", [0.7, 0.9], target=["type", "objective"], **grid)
    spec = figures.lambda_dial(runs, read, source="other").to_dict()
    assert len(shown(spec, "lambda_", "what")) == len(runs) + len(read)
    assert dials(spec) == {"lambdarho": [0.7, 0.9]}
    mean = runs.groupby(["rho", "split", "lambda_"]).accuracy.mean()
    assert (
        f"inconsistent {mean[0.9, 'inconsistent', 0.0]:.2f} at lambda 0 and "
        f"{mean[0.9, 'inconsistent', 10.0]:.2f} at 10"
    ) in spec["description"]
    assert spec["title"]["subtitle"] == "Data: other"
    for panel, table in zip(spec["vconcat"], (runs, read)):
        low, high = panel["layer"][0]["encoding"]["y"]["scale"]["domain"]
        assert low < table.accuracy.min() and table.accuracy.max() < high


# -- number of pairs -------------------------------------------------------------


def test_pairs_of_the_tested_kind_are_counted():
    table = long_table(
        "rho", [0.5, 0.9], model=list(KINDS), split=list(SPLITS), size=[100, 1000], seed=[0, 1]
    )
    spec = figures.accuracy_by_pairs(table).to_dict()
    rows = pd.DataFrame(shown(spec, "same")).drop_duplicates()
    assert len(rows) == 2 * 3 * 2 * 2
    same = rows.set_index(["rho", "split", "size", "model"])["same"]
    assert same["0.9", "inconsistent", 1000, "base"] == 100
    assert same["0.9", "consistent", 1000, "base"] == 900
    assert same["0.5", "inconsistent", 100, "base"] == 50
    assert dials(spec)["pairscount"] == ["all training pairs", "training pairs of the tested kind"]
    mean = 100 * table.groupby(["model", "rho", "split", "size"]).accuracy.mean()
    assert (
        f"base, rho 0.9, inconsistent {mean['base', 0.9, 'inconsistent', 1000]:.1f} %"
        in spec["description"]
    )


@pytest.mark.parametrize(
    "chart",
    [
        figures.accuracy_beside_the_paper(both_tables()),
        figures.cell_differences(beside_the_paper(shifted(1.0)).assign(table="test")),
    ],
)
def test_colour_is_never_the_only_sign(chart):
    text = json.dumps(chart.to_dict())
    assert '"shape"' in text and '"description"' in text
