"""The charts of what to collect next: columns, dials, descriptions, shapes besides colours."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from causalpref import figures

RHOS, BUDGETS, WAYS = (0.0, 0.45, 0.9), (100, 1000), ("same", "isolated", "opposed")


def bought(ways=WAYS):
    return pd.DataFrame(
        [
            dict(how=h, rho=r, budget=b, source="made up", se=(1 + i) * (1 + r) / np.sqrt(b))
            for i, h in enumerate(ways)
            for r in RHOS
            for b in BUDGETS
        ]
    )


def found():
    return (
        bought()
        .rename(columns={"se": "rmse"})
        .assign(low=lambda t: 0.9 * t.rmse, high=lambda t: 1.2 * t.rmse)
        .drop(columns="source")
    )


def picked():
    return pd.DataFrame(
        [
            dict(
                world=w,
                how=h,
                labels=n,
                accuracy=0.6 + 0.01 * i + n / 1000,
                low=0.58 + n / 1000,
                high=0.65 + n / 1000,
                source="made up",
            )
            for w in ("sound", "odd")
            for i, h in enumerate(("random", "D"))
            for n in (50, 100, 150)
        ]
    )


def leaked():
    lines = pd.DataFrame(
        [
            dict(how=h, leak=g, value=1 + slope * g, source="made up")
            for h, slope in (("intended", 0.5), ("measured", 0.0))
            for g in (-0.5, 1.0)
        ]
    )
    dots = lines.drop(columns="source").assign(
        low=lambda t: t.value - 0.1, high=lambda t: t.value + 0.1
    )
    return lines, dots, pd.DataFrame(dict(rho=RHOS, value=[1.0, 1.3, 1.4]))


def charts(**kind):
    return {
        "error_by_budget": figures.error_by_budget(bought(), found(), budget=1000, **kind),
        "selection_curves": figures.selection_curves(picked(), **kind),
        "leaking_control": figures.leaking_control(*leaked(), truth=1.0, half=0.05, **kind),
    }


@pytest.mark.parametrize("name", charts())
def test_source_size_and_signs(name):
    spec, renamed = charts()[name].to_dict(), charts(source="renamed")[name].to_dict()
    text = json.dumps(spec)
    assert spec["title"]["subtitle"] == "Data: made up"
    assert renamed["title"]["subtitle"] == "Data: renamed"
    assert len(text) < 60_000
    assert spec["params"], "there is a dial"
    assert '"shape"' in text and '"strokeDash"' in text, "colour is never the only sign"


def test_descriptions_hold_the_numbers():
    said = {name: chart.to_dict()["description"] for name, chart in charts().items()}
    se = bought().set_index(["how", "rho", "budget"]).se
    for how in WAYS:
        assert f"{how} {se[how, 0.9, 1000]:.3f}" in said["error_by_budget"]
    assert "sound: random from 65.0% to 75.0%" in said["selection_curves"]
    assert "intended: 0.75 at gamma -0.5, 1.50 at gamma 1" in said["leaking_control"]
    assert "1.40 at rho 0.9" in said["leaking_control"]


def test_the_dials_begin_at_values_that_exist():
    spec = figures.error_by_budget(bought(), found(), start=0.8, budget=100).to_dict()
    values = {p["name"]: p.get("value") for p in spec["params"]}
    assert values["buyrho"] == 0.9 and values["buybudget"] == 100
    with pytest.raises(ValueError, match=r"budget is 2000, expected one of \[100, 1000\]"):
        figures.error_by_budget(bought(), found())


def test_more_kinds_than_marks_are_refused():
    with pytest.raises(ValueError, match="6 kinds to tell apart, at most 5"):
        figures.error_by_budget(bought(tuple("abcdef")), found(), budget=100)


@pytest.mark.parametrize("background", ["#ffffff", "#121212"])
def test_colours_stand_out_in_both_modes(background):
    from test_figures import luminance

    from causalpref.figures.design import _INKS

    for colour in _INKS:
        pair = sorted((luminance(colour), luminance(background)))
        assert (pair[1] + 0.05) / (pair[0] + 0.05) >= 3, colour
