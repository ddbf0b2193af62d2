"""HANNA: the real file where it is, and a small one in its format by hand."""

from __future__ import annotations

import csv
import functools
import hashlib
import http.server
import itertools
import threading
from fractions import Fraction

import numpy as np
import pytest
from conftest import ROOT

from causalpref.sources import hanna, load_hanna

FILE = "hanna_metric_scores_llm.csv"


@pytest.fixture(scope="session")
def real_hanna():
    folder = ROOT.parent / "shared" / "data" / "hanna"
    if not (folder / FILE).is_file():
        pytest.skip("the real HANNA file is not beside this clone (../shared/data)")
    return folder


SMALL = {
    "Model": ["Human", "GPT", "Robot (tag)"],
    "Relevance": ["[5.0, 4.0]", "[3.3333333333333335, 2.0]", "[1, 2.0]"],
    "Coherence": ["[4.0, 4.0]", "[2.6666666666666665, 2.0]", "[2.0, 2.0]"],
    "Surprise": ["[1.0, 1.0]", "[2.0, 2.0]", "[3.0, 3.0]"],
    "BLEU x": ["[100.0, 100.0]", "[1e-05, 2.5]", "[3.0, 0.0]"],
    "Gaps x": ["[1.0, nan]", "[2.0, 3.0]", "[3.0, 4.0]"],
    "Constant": ["[7, 7]", "[7, 7]", "[7, 7]"],
    "Human 1 RE": ["[5, 4]", "[3, 2]", "[1, 2]"],
    "Human Avg 1 CX": ["[5, 4]", "[3, 2]", "[1, 2]"],
    "ChatGPT AVG 4": ["[5, 4]", "[3, 2]", "[1, 2]"],
    "GREAT 2": ["[1, 2]", "[3, 4]", "[5, 6]"],
}


def write(path, table):
    with open(path, "w", encoding="utf-8", newline="") as file:
        out = csv.writer(file)
        out.writerow(table)
        out.writerows(zip(*table.values()))
    return path


def test_small_file_by_hand(tmp_path):
    data = load_hanna(write(tmp_path / FILE, SMALL))
    assert data == load_hanna(tmp_path), "a folder that holds the file"
    assert data.prompts.tolist() == ["story prompt 1", "story prompt 2"]
    assert [r.split(" to ")[0] for r in data.responses[:3]] == [
        "story of Human",
        "story of GPT",
        "story of Robot (tag)",
    ]
    np.testing.assert_allclose(
        data.response_latents, [[5, 4], [10 / 3, 8 / 3], [1, 2], [4, 4], [2, 2], [2, 2]]
    )
    assert len(data) == 6 and not data.simulated and "2 automatic" not in data.source
    raw = np.array([[100, 7, 1], [1e-5, 7, 3], [3, 7, 5], [100, 7, 2], [2.5, 7, 4], [0, 7, 6]])
    sd = raw.std(0)
    expected = (raw - raw.mean(0)) / np.where(sd > 0, sd, 1)
    np.testing.assert_allclose(data.embeddings, expected, atol=1e-6)
    assert "3 automatic measures" in data.source and "texts are not in the file" in data.source
    winners = {tuple(sorted(p)): p[1 - v] for p, v in zip(data.pairs.tolist(), data.label)}
    assert {k: v for k, v in winners.items() if k != (4, 5)} == {
        (0, 1): 0,
        (0, 2): 0,
        (1, 2): 1,
        (3, 4): 3,
        (3, 5): 3,
    }
    coin = [load_hanna(tmp_path, seed=s).label[5] for s in range(60)]
    assert 15 < sum(coin) < 45, "a tie is a coin"
    three = load_hanna(tmp_path, aspects=("Surprise", "Relevance", "Coherence"), weights=None)
    assert three.response_latents[0].tolist() == [1, 5, 4]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            {"BLEU x": ["[1, 2]", "[1, open]", "[3, 4]"]},
            r"line 3, column 'BLEU x': '\[1, open\]' is no list",
        ),
        (
            {"BLEU x": ["[1, 2]", "__import__('os')", "[3, 4]"]},
            "line 3, column 'BLEU x': \"__import",
        ),
        ({"BLEU x": ["[1, 2]", "[1, null]", "[3, 4]"]}, "is no list of numbers"),
        ({"BLEU x": ["[1, 2]", "[1, 2, 3]", "[3, 4]"]}, "line 3, column 'BLEU x': 3 numbers, the"),
        ({"Relevance": ["[1, nan]", "[1, 2]", "[3, 4]"]}, "Relevance of Human, prompt 2, is nan"),
        (
            {"Coherence": ["[1, 2]", "[1, 2]", "[6, 4]"]},
            r"Coherence of Robot \(tag\), prompt 1, is 6",
        ),
        ({"Relevance": None}, "has no column 'Relevance'"),
        (
            {"BLEU x": None, "Constant": None, "GREAT 2": None},
            "no automatic measure that is complete",
        ),
        ({"Model": None}, "begins with the column 'Relevance'"),
    ],
)
def test_damage_is_named(tmp_path, change, says):
    table = {k: v for k, v in {**SMALL, **change}.items() if v is not None}
    with pytest.raises(ValueError, match=says):
        load_hanna(write(tmp_path / FILE, table))


def test_ragged_and_empty_files(tmp_path):
    path = write(tmp_path / FILE, SMALL)
    path.write_text(path.read_text() + "Extra,[1]\n")
    with pytest.raises(ValueError, match="line 5: 2 cells, the header has 11"):
        load_hanna(path)
    path.write_text("")
    with pytest.raises(ValueError, match="is empty"):
        load_hanna(path)


def test_sources_are_explicit(tmp_path, monkeypatch):
    monkeypatch.delenv("CAUSALPREF_DATA", raising=False)
    with pytest.raises(ValueError, match="no offline twin"):
        load_hanna()
    with pytest.raises(FileNotFoundError, match="nowhere is neither"):
        load_hanna("nowhere")
    monkeypatch.setenv("CAUSALPREF_DATA", str(write(tmp_path / FILE, SMALL)))
    assert len(load_hanna()) == 6
    for bad, says in (
        ({"aspects": ("Relevance", "Beauty")}, "names 'Beauty'"),
        ({"aspects": ("Relevance",)}, "two or more"),
        ({"aspects": "Relevance"}, "one string"),
        ({"weights": (1,)}, "do not fit"),
    ):
        with pytest.raises(ValueError, match=says):
            load_hanna(**bad)


def test_hub_side_through_a_web_server(tmp_path, monkeypatch):
    write(tmp_path / FILE, SMALL)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    monkeypatch.setattr(http.server.SimpleHTTPRequestHandler, "log_message", lambda *a: None)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr("datasets.config.DOWNLOADED_DATASETS_PATH", tmp_path / "downloads")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        assert hanna._URL.startswith("https://raw.githubusercontent.com/dig-team/")
        monkeypatch.setattr(hanna, "_URL", f"http://127.0.0.1:{server.server_port}/{FILE}")
        data = load_hanna("hub")
        server.shutdown()
    assert data == load_hanna(tmp_path)


def test_real_file(real_hanna):
    assert hashlib.sha256((real_hanna / FILE).read_bytes()).hexdigest() == hanna.SHA256
    data = load_hanna(real_hanna)
    assert (len(data), len(data.responses), len(data.prompts)) == (5280, 1056, 96)
    assert data.embeddings.shape == (1056, 72)
    np.testing.assert_allclose(data.embeddings.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(data.embeddings.std(0), 1, atol=1e-5)
    z = data.response_latents
    assert np.corrcoef(z.T)[0, 1] == pytest.approx(0.60, abs=0.005)
    # the documented 0.56 takes the writers in the order of the file
    d = z[np.sort(data.pairs, axis=1)]
    assert np.corrcoef((d[:, 0] - d[:, 1]).T)[0, 1] == pytest.approx(0.56, abs=0.005)
    # labels against exact arithmetic in thirds
    thirds = [[Fraction(round(3 * v), 3) for v in row] for row in z.tolist()]
    gap = [sum(w * (a - b) for w, a, b in zip((1, 3), thirds[i], thirds[j])) for i, j in data.pairs]
    decided = np.array([g != 0 for g in gap])
    assert ((data.label == 1) == np.array([g > 0 for g in gap]))[decided].all()
    assert (~decided).sum() == 216
    share = data.label[~decided].mean()
    assert abs(share - 0.5) < 4 * 0.5 / np.sqrt(216)


def test_real_labels_follow_the_file(real_hanna):
    """A second reading of the file, cell by cell."""
    data = load_hanna(real_hanna, aspects=("Empathy", "Complexity"))
    with open(real_hanna / FILE, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for (w, row), prompt in itertools.product(enumerate(rows), (0, 41, 95)):
        expected = [float(row[a].strip("[]").split(",")[prompt]) for a in ("Empathy", "Complexity")]
        response = prompt * len(rows) + w
        assert data.response_latents[response].tolist() == expected
        assert row["Model"] in data.responses[response]
        assert data.response_prompt[response] == prompt
