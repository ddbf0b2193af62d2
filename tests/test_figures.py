"""Charts say what their data are, describe themselves in words, and hold the numbers given."""

from __future__ import annotations

import json

import pytest

from causalpref import figures
from causalpref.studies import recorded

CHARTS = {"length_by_objective": "length", "who_asked": "length", "accuracy_by_rho": "table2"}


def luminance(colour: str) -> float:
    """Relative luminance of #rrggbb (WCAG 2)."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize(("name", "table"), CHARTS.items())
def test_source_and_description(name, table):
    tables, _ = recorded("hh_rlhf_real")
    draw = getattr(figures, name)
    spec = draw(tables[table]).to_dict()
    assert spec["title"]["subtitle"] == f"Data: {tables[table].source[0]}"
    assert draw(tables[table], source="made up").to_dict()["title"]["subtitle"] == "Data: made up"
    rate = tables["length"].rate[0] if table == "length" else 100 * tables["table2"]["mean"][0]
    assert f"{rate:.2f}" in spec["description"] or f"{rate:.1f}" in spec["description"]
    assert len(json.dumps(spec)) < 60_000, "no page grows by more than this for one chart"


def test_pooled_rate_is_the_mixture():
    """The circle of `who_asked` is computed in the browser: rho p_match + (1 - rho) p_other."""
    tables, _ = recorded("hh_rlhf_real")
    spec = figures.who_asked(tables["length"]).to_dict()
    assert "rho * datum.matching + (1 - rho) * datum.other" in json.dumps(spec)
    rows = [r for v in spec["datasets"].values() for r in v if "matching" in r]
    rate = tables["length"].set_index(["prompts", "objective"]).rate
    assert {(r["prompts"], r["matching"], r["other"]) for r in rows} == {
        ("helpful", rate["helpful", "helpful"], rate["helpful", "harmless"]),
        ("harmless", rate["harmless", "harmless"], rate["harmless", "helpful"]),
    }


@pytest.mark.parametrize("background", ["#ffffff", "#121212"])
def test_colours_stand_out_in_both_modes(background):
    for name, colour in figures.COLOURS.items():
        pair = sorted((luminance(colour), luminance(background)))
        assert (pair[1] + 0.05) / (pair[0] + 0.05) >= 3, name


RECORDED = {
    "power_by_strength": ("checks_power", "power", "alarms", 1),
    "accuracy_by_correlation": ("ultrafeedback", "table1", "mean", 100),
}


@pytest.mark.parametrize("name", RECORDED)
def test_charts_of_recorded_runs(name):
    run, table, column, scale = RECORDED[name]
    frame = recorded(run)[0][table]
    spec = getattr(figures, name)(frame, source="made up").to_dict()
    title = spec["title"] if isinstance(spec.get("title"), dict) else spec["vconcat"][0]["title"]
    assert "made up" in "".join(title["subtitle"])
    assert len(json.dumps(spec)) < 100_000
    numbers = (
        {f"{scale * v:.1f}" for v in frame[column]}
        | {f"{v:.0%}" for v in frame[column]}
        | {f"{scale * v:.2f}" for v in frame[column]}
    )
    assert any(n in spec["description"] for n in numbers), "the description has the numbers"


def test_every_chart_says_what_it_needs():
    """Every public figure has a docstring with its columns, and comes from a module of its own."""
    for name in figures.__all__:
        if name not in ("COLOURS", "SVG"):
            assert "Parameters" in getattr(figures, name).__doc__, name
            assert getattr(figures, name).__module__.startswith("causalpref.figures.")
