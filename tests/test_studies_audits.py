"""Recorded audits: counts by hand, no word of the data in them, curves that rise."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from causalpref import figures
from causalpref.assumptions import CHECKS
from causalpref.cli import main
from causalpref.data import PreferenceData
from causalpref.simulation import hh_rlhf_twin_rows
from causalpref.sources.hh_rlhf import split_file
from causalpref.studies import audits, checks, hashes, recorded
from causalpref.studies.audits import audit_tables, blind_rules, order_told, place_rates
from causalpref.studies.checks import power_curves, sound_alarms


def hh_file(path, n=240, first=0.5):
    """The twin with labels of people; under harmless a share prefers the first."""
    rows = hh_rlhf_twin_rows(n, seed=3)
    rng = np.random.default_rng(5)
    for row in rows:
        row["original_label"] = int(rng.integers(2))
        if row["objective"] == "harmless":
            row["label"] = int(rng.random() >= first)
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return rows


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    path = tmp_path_factory.mktemp("hh") / "test.jsonl"
    return path, hh_file(path, first=0.8)


def test_place_by_hand(small):
    path, rows = small
    table = place_rates(path).set_index(["labels", "objective", "prompts", "people"])
    assert len(table) == 2 * 3 * 4
    for objective in ("helpful", "harmless"):
        for prompts in ("helpful", "harmless", "all"):
            cell = [
                r
                for r in rows
                if r["objective"] == objective and prompts in ("all", r["data_subset"])
            ]
            ones = sum(r["label"] == 0 for r in cell)
            got = table.loc["GPT-3.5", objective, prompts, "either"]
            assert got.pairs == len(cell) and got["first"] == pytest.approx(ones / len(cell))
            assert got.p_value == pytest.approx(stats.binomtest(ones, len(cell)).pvalue)
            assert got.low < got["first"] < got.high
            people = table.loc["people", objective, prompts, "either"]
            assert people["first"] == pytest.approx(
                np.mean([r["original_label"] == 0 for r in cell])
            )
            parts = table.sort_index().loc["GPT-3.5", objective, prompts].loc[["first", "second"]]
            assert (parts["first"] * parts.pairs).sum() == pytest.approx(ones)


def test_rules_by_hand(small):
    path, rows = small
    table = blind_rules(path).set_index(["rule", "pairs"])

    def longer(row):
        a, b = (len(r) for r in row["responses"])
        return 0.5 if a == b else float((a > b) == (row["label"] == 0))

    for pairs, part in (
        ("consistent", [r for r in rows if r["objective"] == r["data_subset"]]),
        ("inconsistent", [r for r in rows if r["objective"] != r["data_subset"]]),
        ("all", rows),
    ):
        harmless = [r["objective"] == "harmless" for r in part]
        first = [float(r["label"] == 0) for r in part]
        long = [longer(r) for r in part]
        expected = {
            "the longer one": np.mean(long),
            "the first one": np.mean(first),
            "helpful: the longer one; harmless: the first one": np.mean(
                np.where(harmless, first, long)
            ),
            "helpful: the longer one; harmless: the shorter one": np.mean(
                np.where(harmless, 1 - np.array(long), long)
            ),
            "what a person preferred": np.mean([r["label"] == r["original_label"] for r in part]),
        }
        for rule, value in expected.items():
            assert table.accuracy[rule, pairs] == pytest.approx(value), (rule, pairs)
            assert table.n[rule, pairs] == len(part)


def test_audit_tables_hold_no_text(small):
    path, rows = small
    tables = audit_tables(path, "first release")
    assert set(tables) == {"summary", "evidence", "baselines", "cost"}
    assert len(tables["summary"]) == len(CHECKS)
    by = tables["summary"].set_index("assumption").verdict
    assert by["1, consistency"] == "cannot be tested", "the order was not recorded"
    assert tables["cost"].peak_mb[0] > 50 and tables["cost"].seconds[0] > 0
    said = " ".join(t.to_csv() for t in tables.values())
    for row in rows:
        assert row["prompt"][7:40] not in said
        assert not any(r[:30] in said for r in row["responses"])
    assert (
        audit_tables(path, "relabelled")["summary"]
        .set_index("assumption")
        .verdict["1, consistency"]
        == "strained"
    ), "the planted pull of the first place"
    with pytest.raises(ValueError, match="view is 'old', expected one of"):
        audit_tables(path, "old")


class _Here:
    """A pool that works in this process."""

    def __init__(self, size):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def apply(self, function, args, options=None):
        return function(*args, **(options or {}))


def test_record_names_no_path(small, tmp_path, monkeypatch, capsys):
    path, _ = small
    monkeypatch.setattr(
        audits.multiprocessing, "get_context", lambda _: type("", (), {"Pool": _Here})
    )
    folder = tmp_path / "out"
    options = ["--source", str(path), "--machine", "a lathe", "--out", str(folder)]
    assert main(["run", "audit-hh-rlhf", *options]) == 0
    assert "relabelled, hashed n-grams" in capsys.readouterr().err
    facts = json.loads((folder / "provenance.json").read_text())
    assert facts["machine"] == "a lathe" and list(facts["data"]) == ["test.jsonl"]
    assert facts["command"] == "causalpref run audit-hh-rlhf --source DATA"
    for file in folder.iterdir():
        assert str(path.parent) not in file.read_text(encoding="utf-8"), file.name
    assert len(pd.read_csv(folder / "summary.csv")) == 2 * len(CHECKS)
    assert split_file(path, "test") == path == split_file(path.parent, "test")
    with pytest.raises(FileNotFoundError, match="holds neither train.jsonl.gz nor train.jsonl"):
        split_file(path.parent, "train")
    with pytest.raises(FileNotFoundError, match="neither 'hub' nor an existing file or folder"):
        split_file(path.parent / "elsewhere", "test")
    (tmp_path / "a1b2").write_text("from the web", encoding="utf-8")
    monkeypatch.setattr("causalpref.sources.hh_rlhf.downloaded", lambda url: tmp_path / "a1b2")
    got = split_file("hub", "test")
    assert got.name == "test.jsonl.gz" and got.read_text(encoding="utf-8") == "from the web"


def _pairs(turn, n=600, seed=0):
    """Pairs of embeddings; ``turn`` says of the differences which pairs to turn round."""
    rng = np.random.default_rng(seed)
    e = rng.standard_normal((2 * n, 8))
    pairs = np.arange(2 * n).reshape(n, 2)
    turned = turn(e[pairs[:, 0]] - e[pairs[:, 1]])
    return PreferenceData(
        prompts=[f"p{i}" for i in range(n)],
        responses=[f"r{i}" for i in range(2 * n)],
        response_prompt=np.repeat(np.arange(n), 2),
        pairs=np.where(turned[:, None], pairs[:, ::-1], pairs),
        label=rng.integers(0, 2, n),
        embeddings=e,
        source="made up",
        simulated=True,
    )


def test_an_order_that_shows_in_the_texts_is_told():
    told = order_told(_pairs(lambda d: d[:, 0] < 0))
    assert told.auc > 0.9 > 0.6 > told.high > 0.5 > told.low and told.p_value == 1 / 200
    found = [
        order_told(
            _pairs(lambda d: np.zeros(len(d), bool), 200, seed), n_orders=39, seed=seed
        ).p_value
        for seed in range(200)
    ]
    assert np.mean(np.array(found) <= 0.05) <= stats.binom.ppf(0.999, 200, 0.05) / 200
    assert stats.kstest(found, "uniform").pvalue > 0.001
    with pytest.raises(ValueError, match="no embeddings"):
        order_told(_pairs(lambda d: d[:, 0] < 0).replace(embeddings=None))


def test_power_rises_with_strength_and_prompts(monkeypatch):
    kept = {k: checks.SCENARIOS[k] for k in ("place", "hole")}
    monkeypatch.setattr(checks, "SCENARIOS", kept)
    table = power_curves(n_datasets=40, sizes=(0.5, 2), steps=(0, 1))
    assert len(table) == 2 * 2 * 2 and set(table.scenario) == set(kept)
    at = table.set_index(["scenario", "n", "step"]).alarms
    assert at["place", 2000, 1] > 0.9 > 0.5 > at["place", 2000, 0]
    assert at["place", 2000, 1] > at["place", 500, 1] > at["place", 500, 0]
    assert ((table.low <= table.alarms) & (table.alarms <= table.high)).all()


def test_any_of_six_is_at_least_each():
    table = sound_alarms(n_datasets=12, n_prompts=300, seed=1).set_index("check")
    assert len(table) == len(CHECKS) + 2
    each = table.alarms.drop(["any of the six", "any p-value, after Holm"])
    assert each.max() <= table.alarms["any of the six"] <= each.sum() + 1e-9
    assert table.alarms["any p-value, after Holm"] <= table.alarms["any of the six"]


def test_recorded_place_is_that_of_the_file(real_hh_rlhf):
    tables, facts = recorded("audit_hh_rlhf")
    assert hashes(real_hh_rlhf) == facts["data"]
    file = real_hh_rlhf / "test.jsonl.gz"
    for name, fresh in (("position", place_rates(file)), ("rules", blind_rules(file))):
        pd.testing.assert_frame_equal(tables[name], fresh, rtol=1e-5, check_dtype=False)


@pytest.mark.xfail(
    strict=True, reason="the tables were recorded before the checks were revised: record them again"
)
def test_recorded_audit_is_that_of_the_file(real_hh_rlhf):
    tables, _ = recorded("audit_hh_rlhf")
    fresh = audit_tables(real_hh_rlhf / "test.jsonl.gz", "relabelled")["summary"]
    kept = tables["summary"].query("view == 'relabelled' and features == 'hashed n-grams'")
    assert kept.verdict.tolist() == fresh.verdict.tolist()
    np.testing.assert_allclose(kept.value, fresh.value, rtol=1e-3, atol=1e-4)


def test_charts_describe_themselves():
    power = recorded("checks_power")[0]["power"]
    spec = figures.power_by_strength(power).to_dict()
    assert spec["title"]["subtitle"] == "Data: simulated"
    full = power.query("scenario == 'place' and step == 1 and n == 1000").alarms.iloc[0]
    assert f"{full:.0%}" in spec["description"] and "position bias in reward" in spec["description"]
    assert len(json.dumps(spec)) < 60_000
    rows = [
        {
            "spread": s,
            "bias": b,
            "rule": r,
            "ceiling": 0.6,
            "counted": 0.61,
            "first": 0.7,
            "source": "made up",
        }
        for s in (1.0, 2.0)
        for b in (0.0, 1.0)
        for r in ("blind to place", "place alone", "both")
    ]
    spec = figures.place_ceilings(pd.DataFrame(rows)).to_dict()
    assert spec["title"]["subtitle"] == "Data: made up" and "spread 2, b 1" in spec["description"]
    assert "1 - abs(datum.first - 0.5)" in json.dumps(spec), "the bound is drawn"
