"""The UltraFeedback case study: the dial, the table, noisy readings, and the commands."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from scipy.special import ndtr

from causalpref import figures, rewards
from causalpref.cli import main
from causalpref.estimators import delta
from causalpref.sampling import sample_correlated, sample_opposed
from causalpref.simulation import Embedding, Latent, Simulator, linear_reward
from causalpref.simulation import ultrafeedback_twin as twin
from causalpref.sources.hanna import ASPECTS
from causalpref.studies import recorded, summarise
from causalpref.studies.ultrafeedback import (
    PAPER_TABLE_1,
    accuracy_with_readings,
    aspect_pairs,
    best_weights,
    correlated_latents,
    reading_noise,
    table_1,
)

SMALL = dict(rhos=(0.0, 0.8), n_seeds=2, n_train=400, n_validation=100, n_test=400, epochs=2)


@pytest.fixture(scope="module")
def small_twin():
    return twin(3000)


@pytest.fixture(scope="module")
def small_runs(small_twin):
    return correlated_latents(small_twin, **SMALL)


# -- correlated_latents --------------------------------------------------------


def test_runs_are_tidy_and_reach_their_rho(small_twin, small_runs):
    assert len(small_runs) == 2 * 2 * 2
    assert small_runs.groupby(["seed", "rho"]).split.agg("/".join).eq("ID/OOD").all()
    alike = small_runs[small_runs.split == "ID"]
    # Pearson's is about the mean, the dial about zero: close, as the order of a pair is a coin's
    assert (alike.correlation - alike.rho).abs().max() < 0.06
    side = small_twin.split(seed=0, train=0.5, test=0.5)["train"]
    for rho in SMALL["rhos"]:
        d = delta(sample_correlated(side, rho, 2000, seed=0))
        about_zero = (d[:, 0] @ d[:, 1]) / np.sqrt((d**2).sum(axis=0).prod())
        assert about_zero == pytest.approx(rho, abs=0.01)
    opposed = small_runs[small_runs.split == "OOD"]
    assert (opposed.correlation < -0.7).all()
    assert opposed.groupby("seed").correlation.nunique().eq(1).all(), "one OOD set for every rho"
    assert small_runs.accuracy.between(0, 1).all() and (small_runs.pairs == 400).all()
    assert (small_runs.source == small_twin.source).all()
    assert small_runs.best_epoch.between(0, 2).all()


def test_runs_are_deterministic(small_twin, small_runs):
    one = {**SMALL, "n_seeds": 1}
    again = correlated_latents(small_twin, **one)
    pd.testing.assert_frame_equal(again, small_runs[small_runs.seed == 0])


def test_prompts_of_the_sides_are_disjoint(small_twin, monkeypatch):
    seen, tested = [], []
    fit, score = rewards.fit, rewards.Fit.accuracy

    def watched(config, train, validation, **options):
        seen.append(
            [set(train.prompts[train.pair_prompt]), set(validation.prompts[validation.pair_prompt])]
        )
        return fit(config, train, validation, **options)

    def scored(fitted, data):
        tested.append(set(data.prompts[data.pair_prompt]))
        return score(fitted, data)

    monkeypatch.setattr(rewards, "fit", watched)
    monkeypatch.setattr(rewards.Fit, "accuracy", scored)
    correlated_latents(small_twin, **{**SMALL, "rhos": (0.0,), "n_seeds": 1})
    train, validation = seen[0]
    assert not train & validation
    assert len(tested) == 2 and not any((train | validation) & t for t in tested)


def test_plain_embeddings_give_high_accuracy(small_runs):
    clear = twin(3000, blur=0.0, noise=0.05, nuisance=0)
    runs = correlated_latents(
        clear, **{**SMALL, "n_seeds": 1, "n_train": 1500, "epochs": 8, "learning_rate": 1e-3}
    )
    # of a tie nobody gets more than half
    alike = runs[runs.split == "ID"]
    assert (alike.accuracy > 1 - alike.ties / 2 - 0.06).all()
    opposed = runs[(runs.split == "OOD") & (runs.rho == 0)]
    assert (opposed.accuracy > 1 - opposed.ties / 2 - 0.06).all()
    assert runs.accuracy.min() > small_runs.accuracy.max() - 0.02


def test_weight_of_the_reward_and_given_labels(small_twin):
    few = {**SMALL, "rhos": (0.0,), "n_seeds": 1, "epochs": 1}
    own = correlated_latents(small_twin, **few, alpha=None)
    same = correlated_latents(small_twin, **few, alpha=0.25)
    assert own.validation.between(0, 1).all()
    assert own.correlation.tolist() == same.correlation.tolist(), "the same pairs"
    with_half = correlated_latents(small_twin, **few, alpha=0.5)
    d = delta(sample_opposed(small_twin, 400, seed=0))
    assert with_half[with_half.split == "OOD"].ties.iloc[0] == pytest.approx(
        (d.sum(axis=1) == 0).mean(), abs=0.1
    )


def test_what_cannot_be_run(small_twin):
    with pytest.raises(ValueError, match="no embeddings"):
        correlated_latents(small_twin.replace(embeddings=None))
    with pytest.raises(ValueError, match="rhos is empty"):
        correlated_latents(small_twin, rhos=())
    with pytest.raises(ValueError, match="within reach|the pool holds"):
        correlated_latents(small_twin, **{**SMALL, "n_train": 100_000})


# -- table_1 -------------------------------------------------------------------


def test_table_by_hand():
    scores = pd.DataFrame(
        {
            "rho": [0.0, 0.5, 0.0],
            "split": ["ID", "ID", "OOD"],
            "mean": [0.7, 0.6, 0.6449],
            "se": [0.0111, np.nan, 0.004],
        }
    )
    table = table_1(scores)
    assert table.index.tolist() == [("ID", "0"), ("ID", "0.5"), ("OOD", "0")]
    assert table.loc["ID", "0"].tolist() == ["70.0 ± 1.1", "69.3 ± 0.2", "+0.7"]
    assert table.loc["ID", "0.5"].tolist() == ["60.0", "", ""]
    assert table.loc["OOD", "0"].tolist() == ["64.5 ± 0.4", "64.5 ± 0.2", "−0.0"]


def test_paper_table_is_as_printed():
    cells = PAPER_TABLE_1.pivot(index="split", columns="rho", values="mean")
    assert (100 * cells.loc["ID"]).round(1).tolist() == [69.3, 68.3, 67.8, 67.6]
    assert (100 * cells.loc["OOD"]).round(1).tolist() == [64.5, 62.0, 59.7, 57.8]


def test_recorded_run_is_within_three_points_in_every_cell():
    tables, provenance = recorded("ultrafeedback")
    both = tables["table1"].merge(PAPER_TABLE_1, on=["rho", "split"])
    assert len(both) == 8 and provenance["simulated"]
    assert (both.mean_x - both.mean_y).abs().max() < 0.03
    again = summarise(tables["runs"], ["rho", "split"])
    np.testing.assert_allclose(again["mean"], tables["table1"]["mean"], atol=1e-5)


# -- noisy readings ------------------------------------------------------------


def test_two_dimensional_formula():
    """The closed form of the chapter, by hand, against the general one."""
    for alpha, rho, t1, t2 in ((0.25, 0.6, 4.0, 2.0), (0.7, -0.3, 0.5, 3.0), (0.25, 0.0, 1.0, 1.0)):
        w = best_weights([[1, rho], [rho, 1]], np.diag([t1, t2]), [alpha, 1 - alpha])
        ratio = (alpha * (1 - rho**2 + t2) + (1 - alpha) * rho * t2) / (
            (1 - alpha) * (1 - rho**2 + t1) + alpha * rho * t1
        )
        assert w[0] / w[1] == pytest.approx(ratio)
    w = best_weights([[1, 1 - 1e-9], [1 - 1e-9, 1]], np.diag([4, 2]), [0.9, 0.1])
    assert w[0] / w[1] == pytest.approx(0.5, rel=1e-6), "whatever alpha is"


def test_best_weights_beat_others_and_have_the_accuracy_foretold():
    rng = np.random.default_rng(0)
    s, t, a = np.array([[1, 0.8], [0.8, 1]]), np.array([[3, 0.5], [0.5, 1]]), np.array([0.25, 0.75])
    d = rng.multivariate_normal([0, 0], s, 400_000)
    x = d + rng.multivariate_normal([0, 0], t, 400_000)
    w = best_weights(s, t, a)

    def right(v):
        return ((x @ v > 0) == (d @ a > 0)).mean()

    slope = np.linalg.lstsq(x, d @ a, rcond=None)[0]
    np.testing.assert_allclose(w, slope, atol=0.01)
    assert right(w) > right(w + [0.2, -0.2]) and right(w) > right(w - [0.2, -0.2])
    r = np.sqrt(w @ s @ a / (a @ s @ a))
    assert right(w) == pytest.approx(0.5 + np.arcsin(r) / np.pi, abs=0.003)
    assert accuracy_with_readings(d, w, a, t) == pytest.approx(right(w), abs=0.003)


def test_accuracy_with_readings_by_hand():
    d = np.array([[1.0, 1.0], [3.0, -1.0], [-4.0, 1.0]])
    noise = np.diag([2.0, 2.0])
    # rewards 1, 0 and -0.25: a tie counts one half
    w = [0.5, 0.5]
    found = accuracy_with_readings(d, w, [0.25, 0.75], noise)
    assert found == pytest.approx((ndtr(1.0) + 0.5 + ndtr(1.5)) / 3)
    assert accuracy_with_readings(d, w, [0.25, 0.75], 0 * noise) == pytest.approx(2.5 / 3)


def test_reading_noise_finds_what_was_put_in():
    rng = np.random.default_rng(1)
    n, t = 60_000, np.array([[2.0, 0.6], [0.6, 1.0]])
    d = rng.multivariate_normal([0, 0], [[1, 0.5], [0.5, 1]], n)
    x = d + rng.multivariate_normal([0, 0], t, n)
    turned = x @ rng.standard_normal((2, 2))  # any invertible image reads as well
    for gap in (x, turned):
        np.testing.assert_allclose(reading_noise(gap, d, ridge=0), t, atol=0.05)
    more = np.hstack([x, d[:, :1] + rng.standard_normal((n, 1))])
    better = reading_noise(more, d, ridge=0)
    assert better[0, 0] < t[0, 0] - 0.3, "a further reading of the first"
    assert reading_noise(x, d, ridge=0.5)[0, 0] > t[0, 0]


def test_reading_noise_refuses():
    rng = np.random.default_rng(2)
    d = rng.standard_normal((50, 2))
    with pytest.raises(ValueError, match="expected"):
        reading_noise(d, d[:10])
    with pytest.raises(ValueError, match="never differs"):
        reading_noise(d, d * [1, 0])
    with pytest.raises(ValueError, match="separately"):
        reading_noise(d @ [[1.0], [1.0]], d)


def test_formula_foretells_linear_models_on_the_twin():
    data = twin(20_000)
    a = np.array([0.25, 0.75])
    noise = reading_noise(data.difference("embeddings"), delta(data))
    opposed = sample_opposed(data, 8000, seed=0)
    for rho in (0.0, 0.8):
        train = sample_correlated(data, rho, 12_000, seed=0)
        w = np.linalg.lstsq(train.difference("embeddings"), 2.0 * train.label - 1, rcond=None)[0]
        d = delta(train)
        best = best_weights(d.T @ d / len(d), noise, a)
        for test in (train, opposed):
            measured = ((test.difference("embeddings") @ w > 0) == test.label).mean()
            assert accuracy_with_readings(delta(test), best, a, noise) == pytest.approx(
                measured, abs=0.03
            )


# -- aspect_pairs --------------------------------------------------------------


@pytest.fixture(scope="module")
def three_aspects():
    return Simulator(
        linear_reward([1.0, 0.0, 0.0]),
        noise=None,
        response_latents=tuple(Latent(n, "ordinal", (0.2,) * 5) for n in "abc"),
        correlation=np.full((3, 3), 0.5) + 0.5 * np.eye(3),
        embedding=Embedding(d=24, nuisance=4, noise=0.3, blur=(0.2, 2.5, 0.2)),
        name="simulated",
    ).sample(300, seed=0, responses=6)


def test_aspect_pairs_on_a_known_world(three_aspects):
    table = aspect_pairs(three_aspects, rhos=(0.0, 0.6, 2.0), n_splits=2, n_train=500, n_test=200)
    assert len(table) == 6 * 2 * 2 * 2, "a rho out of reach is left out"
    assert set(zip(table.z1, table.z2)) == {(x, y) for x in "abc" for y in "abc" if x != y}
    natural = np.corrcoef(delta(three_aspects).T)
    assert table[(table.z1 == "a") & (table.z2 == "b")].natural.iloc[0] == pytest.approx(
        natural[0, 1]
    )
    mean = table.groupby(["z1", "z2", "split", "rho"])[["accuracy", "expected"]].mean()
    # both legible: little is lost; the one that counts is blurred: much is
    assert mean.accuracy["a", "c", "OOD", 0.6] > 0.85 > 0.6 > mean.accuracy["a", "b", "OOD", 0.6]
    assert (mean.accuracy - mean.expected).abs().max() < 0.12
    assert np.corrcoef(mean.accuracy, mean.expected)[0, 1] > 0.95
    again = aspect_pairs(three_aspects, rhos=(0.0,), n_splits=1, n_train=500, n_test=200)
    np.testing.assert_allclose(again.accuracy, table[(table.rho == 0) & (table.seed == 0)].accuracy)
    with pytest.raises(ValueError, match="no embeddings"):
        aspect_pairs(three_aspects.replace(embeddings=None))


def test_recorded_hanna_has_every_ordered_pair():
    tables, provenance = recorded("hanna")
    assert not provenance["simulated"] and provenance["data"], "hash of the real file"
    pairs = set(zip(tables["aspects"].z1, tables["aspects"].z2))
    assert pairs == {(a, b) for a in ASPECTS for b in ASPECTS if a != b}
    again = summarise(tables["runs"], ["z1", "z2", "rho", "split"])
    np.testing.assert_allclose(again["mean"], tables["aspects"]["mean"], atol=1e-5)


# -- figures -------------------------------------------------------------------


def test_table_figure_holds_both(small_runs):
    scores = summarise(small_runs, ["rho", "split"]).assign(source="simulated")
    spec = figures.accuracy_by_correlation(scores).to_dict()
    rows = next(v for v in spec["datasets"].values() if "whose" in v[0])
    assert len(rows) == 4 + 8 and {r["whose"] for r in rows} == {"ours", "the paper's"}
    assert "64.5 %" in spec["description"] and "simulated" in spec["title"]["subtitle"][0]
    one_seed = summarise(small_runs[small_runs.seed == 0], ["rho", "split"]).assign(source="s")
    figures.accuracy_by_correlation(one_seed)  # no standard error: drawn all the same


def test_aspect_figures_are_light_and_say_their_numbers():
    runs = recorded("hanna")[0]["runs"]
    by = ["z1", "z2", "rho", "split"]
    table = (
        runs.groupby(by, sort=False)
        .agg(
            mean=("accuracy", "mean"),
            low=("accuracy", "min"),
            high=("accuracy", "max"),
            expected=("expected", "mean"),
        )
        .reset_index()
    )
    spec = figures.aspect_accuracy(table, source="real").to_dict()
    assert len(json.dumps(spec)) < 60_000 and "30 ordered pairs" in spec["description"]
    falls = table[table.split == "OOD"].assign(fall=lambda t: t["mean"])[
        ["z1", "z2", "fall", "low", "high", "expected"]
    ]
    assert "correlation" in figures.foretold_falls(falls, source="real").to_dict()["description"]


# -- commands ------------------------------------------------------------------


def test_run_ultrafeedback(tmp_path, capsys):
    out = tmp_path / "uf"
    assert (
        main(
            [
                "run",
                "ultrafeedback",
                "--source",
                "offline",
                "--prompts",
                "1500",
                "--rho",
                "0",
                "0.5",
                "--seeds",
                "1",
                "--train",
                "200",
                "--validation",
                "50",
                "--test",
                "150",
                "--epochs",
                "1",
                "--out",
                str(out),
                "--quiet",
            ]
        )
        == 0
    )
    assert {f.name for f in out.iterdir()} == {
        "table1.csv",
        "runs.csv",
        "table1.html",
        "provenance.json",
    }
    assert len(pd.read_csv(out / "runs.csv")) == 4
    provenance = json.loads((out / "provenance.json").read_text(encoding="utf-8"))
    assert provenance["simulated"] and "--prompts 1500" in provenance["command"]
    assert "Test accuracy" in capsys.readouterr().out


def test_choices_are_those_recorded(tmp_path):
    sizes = ["--prompts", "1500", "--rho", "0", "--seeds", "1", "--epochs", "1"]
    sizes += ["--train", "200", "--validation", "50", "--test", "150"]
    assert main(["run", "ultrafeedback-choices", *sizes, "--out", str(tmp_path), "--quiet"]) == 0
    kept, _ = recorded("ultrafeedback_choices")
    for name, table in kept.items():
        fresh = pd.read_csv(tmp_path / f"{name}.csv")
        assert fresh.columns.tolist() == table.columns.tolist()
        assert fresh.choice.unique().tolist() == table.choice.unique().tolist()
    runs = pd.read_csv(tmp_path / "runs.csv").query("split == 'ID'").set_index("choice")
    assert runs.ties["ties left out"] == 0 < runs.ties["as chosen"]
    assert runs.correlation["batch of 32"] == runs.correlation["as chosen"], "the same pairs"
    assert runs.correlation["tilt by product"] != runs.correlation["as chosen"]


def test_run_hanna(tmp_path, capsys):
    """On a made-up file in HANNA's layout: random ratings, measures that show some of them."""
    rng = np.random.default_rng(0)
    systems, prompts = 6, 40
    ratings = rng.integers(1, 6, (len(ASPECTS), systems, prompts)).astype(float)
    measures = np.einsum("ma,asp->msp", rng.standard_normal((8, len(ASPECTS))), ratings)
    columns = {**dict(zip(ASPECTS, ratings)), **{f"M{i}": m for i, m in enumerate(measures)}}
    pd.DataFrame(
        {
            "Model": [f"s{i}" for i in range(systems)],
            **{name: [str(row.tolist()) for row in cells] for name, cells in columns.items()},
        }
    ).to_csv(tmp_path / "hanna_metric_scores_llm.csv", index=False)
    out = tmp_path / "out"
    import causalpref.studies.ultrafeedback as module

    small = module.aspect_pairs

    def fewer(data, *, n_splits):
        return small(data, n_splits=n_splits, rhos=(0.0,), n_train=100, n_test=50)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "aspect_pairs", fewer)
        assert (
            main(
                [
                    "run",
                    "hanna",
                    "--source",
                    str(tmp_path / "hanna_metric_scores_llm.csv"),
                    "--splits",
                    "2",
                    "--out",
                    str(out),
                ]
            )
            == 0
        )
    assert {f.name for f in out.iterdir()} == {"aspects.csv", "runs.csv", "provenance.json"}
    runs = pd.read_csv(out / "runs.csv")
    assert {"z1", "z2", "rho", "seed", "split", "accuracy", "expected"} <= set(runs.columns)
    provenance = json.loads((out / "provenance.json").read_text(encoding="utf-8"))
    assert list(provenance["data"]) == ["hanna_metric_scores_llm.csv"]
    assert "mean over 2 splits" in capsys.readouterr().out
