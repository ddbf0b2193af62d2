"""Figures of the chapter on several objectives draw what the models and the maths say."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from torch import nn

from causalpref import figures
from causalpref.rewards import KINDS, RewardConfig, RewardModel


def layers_of(**options: Any) -> pd.DataFrame:
    """One row a linear layer of the three models, as in the chapter."""
    rows = []
    for kind in KINDS:
        model = RewardModel(RewardConfig(kind, **options))
        for name, layer in model.named_modules():
            if isinstance(layer, nn.Linear):
                part, number = name.split(".")[:2]
                rows.append(
                    {
                        "model": kind,
                        "n_in": layer.in_features,
                        "n_out": layer.out_features,
                        "part": f"head {number}" if part == "heads" else part,
                        "parameters": sum(p.numel() for p in layer.parameters()),
                    }
                )
    return pd.DataFrame(rows)


def rows_of(spec: dict[str, Any], key: str) -> list[dict[str, Any]]:
    """Rows of all inline data sets that have a column ``key``."""
    return [r for rows in spec["datasets"].values() for r in rows if key in r]


# -- architectures -----------------------------------------------------------


def test_a_box_for_each_layer_and_the_count_of_parameters():
    layers = layers_of(d=4096, n_objectives=2)
    spec = figures.architectures(layers).to_dict()
    assert [c["title"]["text"] for c in spec["vconcat"]] == [
        f"{model.config.kind}: {sum(p.numel() for p in model.parameters()):,} parameters"
        for model in (RewardModel(RewardConfig(kind, 4096, 2)) for kind in KINDS)
    ]
    boxes = pd.DataFrame(rows_of(spec, "width")).drop_duplicates()
    named = rows_of(spec, "reversed")
    assert sum(r["reversed"] for r in named if "part" not in r) >= 1
    assert set(boxes.width) == {"4,097", "4,096", "512", "1"}
    assert {"e and c", "e", "ẑ", "reward", "reward, C = 0", "log odds of C"} <= set(boxes.words)
    for text in (
        "base, 2361345",
        "a trunk of widths 4096 to 512 to 512 to 512",
        "adversary of widths 512 to 512 to 1, behind a reversal",
    ):
        assert text in spec["description"], text


def test_only_the_adversary_is_behind_the_reversal():
    spec = figures.architectures(layers_of(d=8, n_objectives=2, hidden=4)).to_dict()
    links = [
        len(rows)
        for rows in spec["datasets"].values()
        if rows
        and "reversed" in rows[0]
        and any(r["reversed"] for r in rows)
        and not all(r["reversed"] for r in rows)
    ]
    assert len(links) == 1, "one of three models has a reversed link among others"
    assert json.dumps(spec, ensure_ascii=False).count("gradient × (−λ)") == 1


def test_more_objectives_and_a_model_without_a_trunk():
    spec = figures.architectures(layers_of(d=8, hidden=4, n_objectives=3)).to_dict()
    assert "reward, C = 2" in {r["words"] for r in rows_of(spec, "words")}
    broken = layers_of(d=8, n_objectives=2, hidden=4)
    with pytest.raises(ValueError, match="'multihead' has no layer of the part 'trunk'"):
        figures.architectures(broken[(broken.model != "multihead") | (broken.part != "trunk")])


# -- two players -------------------------------------------------------------


@pytest.mark.parametrize(
    ("lam", "kappa", "eta"),
    [(1.0, 0.0, 0.2), (0.5, 0.3, 0.1), (3.0, 0.1, 0.6), (0.0, 0.5, 0.2), (1.0, 1.0, 0.6)],
)
def test_the_formula_drawn_is_simultaneous_gradient_play(lam, kappa, eta):
    """r cos a, r sin a with the chart's growth and turn, against steps taken one by one."""
    text = json.dumps(figures.two_players(start=(0.8, 0.6)).to_dict(), ensure_ascii=False)
    growth = "sqrt(pow(1 - playeta * playkappa, 2) + pow(playeta * playlambda, 2))"
    turn = "atan2(playeta * playlambda, 1 - playeta * playkappa)"
    start_angle = float(np.arctan2(0.6, 0.8))
    assert f"1.0 * pow({growth}, datum.k)" in text and f"{start_angle} + datum.k * {turn}" in text
    names = {
        "playeta": eta,
        "playkappa": kappa,
        "playlambda": lam,
        "sqrt": np.sqrt,
        "pow": pow,
        "atan2": np.arctan2,
    }
    r, a = eval(growth, names), eval(turn, names)  # the chart's own expressions
    u, v = 0.8, 0.6
    for k in range(1, 31):
        u, v = u - eta * (kappa * u + lam * v), v + eta * (lam * u - kappa * v)
        assert (
            r**k * np.cos(start_angle + k * a),
            r**k * np.sin(start_angle + k * a),
        ) == pytest.approx((u, v), rel=1e-9, abs=1e-9)
    if lam > 0:
        inside = kappa > 0 and eta < 2 * kappa / (kappa**2 + lam**2)
        assert (r < 1) == inside, "the condition of the chapter"


def test_two_players_describes_itself_and_refuses_a_start_at_rest():
    spec = figures.two_players(source="made up").to_dict()
    assert spec["title"]["subtitle"] == "Data: made up"
    assert f"{np.sqrt(1.04):.4f}" in spec["description"]
    assert {p["name"] for p in spec["params"]} == {"playlambda", "playkappa", "playeta"}
    with pytest.raises(ValueError, match="away from"):
        figures.two_players(start=(0.0, 0.0))
    with pytest.raises(ValueError, match="at least one step"):
        figures.two_players(steps=0)


# -- balancing ---------------------------------------------------------------


def balance_table() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    means = {"consistent": 0.8, "inconsistent": 0.6, "its own adversary": 0.1, "a fresh probe": 0.3}
    return pd.DataFrame(
        [
            {
                "world": w,
                "lambda_": lam,
                "seed": s,
                "measure": m,
                "ceiling": 0.37,
                "source": "made up",
                "value": v + 0.02 * rng.standard_normal(),
            }
            for w in ("a shortcut", "needed")
            for lam in (0.0, 0.3, 1.0)
            for s in range(3)
            for m, v in means.items()
        ]
    )


def test_balancing_shows_every_run_and_reads_its_means():
    table = balance_table()
    spec = figures.balancing(table).to_dict()
    shown = rows_of(spec, "lambda_")
    assert len(shown) == len(table)
    mean = table.groupby(["world", "lambda_", "measure"]).value.mean()
    for world in ("a shortcut", "needed"):
        for lam in (0.0, 1.0):
            assert f"inconsistent {mean[world, lam, 'inconsistent']:.2f}" in spec["description"]
    binds = {p["name"]: p["bind"]["options"] for p in spec["params"] if "bind" in p}
    assert binds == {"balanceworld": ["a shortcut", "needed"], "balancelambda": [0.0, 0.3, 1.0]}
    assert spec["vconcat"][0]["title"]["subtitle"] == "Data: made up"
    assert len(json.dumps(spec)) < 60_000


def test_balancing_keeps_low_accuracies_in_view():
    table = balance_table()
    table.loc[table.measure == "inconsistent", "value"] -= 0.4
    spec = figures.balancing(table, source="other").to_dict()
    domains = {
        tuple(layer["encoding"]["y"]["scale"]["domain"])
        for layer in spec["vconcat"][0]["layer"]
        if "scale" in layer["encoding"].get("y", {})
    }
    assert (
        len(domains) == 1 and min(domains)[0] <= table.value[table.measure == "inconsistent"].min()
    )
    assert spec["vconcat"][0]["title"]["subtitle"] == "Data: other"
