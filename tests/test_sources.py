"""HH-RLHF from the real file, a web server, damaged files, and the simulated twin."""

from __future__ import annotations

import functools
import gzip
import http.server
import json
import threading

import numpy as np
import pytest

from causalpref.estimators import longer_preferred
from causalpref.simulation import HH_RLHF_WORLD as WORLD
from causalpref.simulation import hh_rlhf_twin as twin
from causalpref.simulation import hh_rlhf_twin_rows as twin_rows
from causalpref.simulation import hh_rlhf_twin_weights as twin_weights
from causalpref.sources import hh_rlhf, load_hh_rlhf
from causalpref.sources.hh_rlhf import OBJECTIVES, relabelling
from causalpref.text.conversations import first_turn, turns

ROW = {
    "prompt": "Human: hello\n\nAssistant:",
    "responses": ["hi", "hello there"],
    "label": 1,
    "original_label": 0,
    "objective": "helpful",
    "data_subset": "harmless",
    "chosen": "",
    "rejected": "",
    "Index": 3,
}


def write(path, rows, *, zipped=None):
    text = "".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in rows)
    raw = text.encode()
    path.write_bytes(
        gzip.compress(raw) if (zipped if zipped is not None else path.suffix == ".gz") else raw
    )
    return path


def cells(data):
    kind = data.prompt_type[data.pair_prompt]
    return {
        (OBJECTIVES[t], OBJECTIVES[c]): (kind == t) & (data.objective == c)
        for t in (0, 1)
        for c in (0, 1)
    }


def test_real_counts_and_length_rates(real_hh_rlhf):
    data = load_hh_rlhf(real_hh_rlhf)
    assert len(data) == 4043 and not data.simulated
    assert {k: int(m.sum()) for k, m in cells(data).items()} == {
        ("helpful", "helpful"): 1105,
        ("harmless", "helpful"): 1052,
        ("helpful", "harmless"): 882,
        ("harmless", "harmless"): 1004,
    }
    # The documented rates give a tie in length to the second response of the pair.
    length = np.array([len(r) for r in data.responses])[data.pairs]
    longer = (length[:, 0] > length[:, 1]) == (data.label == 1)
    assert {k: round(float(longer[m].mean()), 3) for k, m in cells(data).items()} == {
        ("helpful", "helpful"): 0.660,
        ("harmless", "helpful"): 0.592,
        ("helpful", "harmless"): 0.439,
        ("harmless", "harmless"): 0.440,
    }
    # A coin for ties, as the package has it, moves the third decimal at most by the ties' share.
    fair = longer_preferred(data)
    for m in cells(data).values():
        assert (
            abs(fair[m].mean() - longer[m].mean())
            <= 0.5 * (length[m][:, 0] == length[m][:, 1]).mean() + 1e-12
        )


def test_real_labels_follow_the_file(real_hh_rlhf):
    data = load_hh_rlhf(real_hh_rlhf / "test.jsonl.gz")
    with gzip.open(real_hh_rlhf / "test.jsonl.gz", "rt") as lines:
        for k, line in zip(range(300), lines):
            row = json.loads(line)
            preferred = data.responses[data.pairs[k, 1 - data.label[k]]]
            assert preferred == row["responses"][row["label"]]
            assert row["chosen"].endswith(preferred)
            assert data.prompts[data.pair_prompt[k]] == row["prompt"]


def test_label_is_one_when_the_first_is_preferred(tmp_path):
    data = load_hh_rlhf(write(tmp_path / "x.jsonl", [ROW, {**ROW, "label": 0}]))
    assert data.label.tolist() == [0, 1]
    assert data.objective.tolist() == [0, 0] and data.prompt_type.tolist() == [1]
    assert len(data.responses) == 2, "a response is stored once"


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([ROW, {**ROW, "label": 2}], r"x.jsonl.gz, line 2: label is 2, expected one of 0, 1$"),
        ([ROW, {**ROW, "label": True}], "line 2: label is True"),
        (
            [{k: v for k, v in ROW.items() if k != "objective"}],
            "layout 'hh_rlhf' needs a column 'objective', but x.jsonl.gz has the columns",
        ),
        (
            [ROW, ROW, {**ROW, "responses": ["a", 5]}],
            r"line 3: responses\[1\] is 5, expected a string",
        ),
        ([{**ROW, "responses": ["a"]}], "line 1: responses is a list of 1, expected two strings"),
        ([{**ROW, "prompt": None}], "line 1: prompt is null, expected a string"),
        ([{**ROW, "objective": "honest"}], "line 1: objective is 'honest'"),
        (
            [ROW, {**ROW, "data_subset": "helpful"}],
            "line 2: prompt_type 'helpful' of a prompt contradicts x.jsonl.gz, line 1, which gives "
            "the same text 'harmless'",
        ),
        ([ROW, "{oops"], "line 2: not JSON"),
        ([ROW, "", "", {**ROW, "label": 3}], "line 4: label is 3"),
        ([ROW, "[1]"], "line 2: is a list, expected an object"),
        ([], "x.jsonl.gz is empty"),
    ],
)
def test_bad_rows_name_file_and_line(tmp_path, rows, says):
    with pytest.raises(ValueError, match=says):
        load_hh_rlhf(write(tmp_path / "x.jsonl.gz", rows))


def test_damaged_gzip_loads_nothing(tmp_path):
    whole = write(
        tmp_path / "x.jsonl.gz",
        [dict(ROW, Index=i, prompt=f"Human: {i * 7919}") for i in range(3000)],
    ).read_bytes()
    for name, raw in {
        "cut": whole[: len(whole) // 2],
        "flipped": whole[:500] + bytes(b ^ 255 for b in whole[500:520]) + whole[520:],
    }.items():
        path = tmp_path / f"{name}.jsonl.gz"
        path.write_bytes(raw)
        with pytest.raises(ValueError, match=rf"{name}.jsonl.gz.*(damaged gzip|not)"):
            load_hh_rlhf(path)
    assert len(load_hh_rlhf(write(tmp_path / "plain.jsonl.gz", [ROW], zipped=False))) == 1


def test_sources_are_explicit(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match="nowhere is neither"):
        load_hh_rlhf("nowhere")
    with pytest.raises(ValueError, match="holds no data files"):
        load_hh_rlhf(tmp_path)
    write(tmp_path / "test.jsonl.gz", [ROW])
    assert len(load_hh_rlhf(tmp_path)) == 1
    with pytest.raises(ValueError, match="no file named after the split 'train'"):
        load_hh_rlhf(tmp_path, split="train")
    write(tmp_path / "train.jsonl", [ROW, dict(ROW, prompt="other")])
    both = load_hh_rlhf(tmp_path)
    assert len(both) == 3 and "train + test (3 real pairs)" in both.source
    assert len(load_hh_rlhf(tmp_path, split="train")) == 2
    with pytest.raises(ValueError, match="split is 'dev'"):
        load_hh_rlhf(tmp_path, split="dev")
    monkeypatch.setenv("CAUSALPREF_DATA", str(tmp_path))
    assert load_hh_rlhf() == both
    monkeypatch.delenv("CAUSALPREF_DATA")
    assert load_hh_rlhf().simulated


def test_hub_side_through_a_web_server(tmp_path, monkeypatch):
    """The code path of source="hub", against a server on this machine."""
    write(tmp_path / "train.jsonl.gz", [ROW, dict(ROW, prompt="other")])
    write(tmp_path / "test.jsonl.gz", [dict(ROW, prompt="third")])
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    handler.log_message = lambda *a: None
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(
            hh_rlhf, "_HUB", f"http://127.0.0.1:{server.server_port}/{{split}}.jsonl.gz"
        )
        monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
        monkeypatch.setattr("datasets.config.DOWNLOADED_DATASETS_PATH", tmp_path / "downloads")
        data = load_hh_rlhf("hub")
        server.shutdown()
    assert len(data) == 3 and "train + test" in data.source and not data.simulated


def test_relabelling_agreement(real_hh_rlhf, tmp_path):
    table = relabelling(real_hh_rlhf).set_index(["prompts", "objective"])
    assert table.pairs.sum() == 4043
    own = [table.agreement["helpful", "helpful"], table.agreement["harmless", "harmless"]]
    other = [table.agreement["helpful", "harmless"], table.agreement["harmless", "helpful"]]
    assert max(own) < 0.7 and min(own) > max(other), "no cell keeps the people's labels"
    small = relabelling(write(tmp_path / "x.jsonl", [ROW, {**ROW, "label": 0}, ROW]))
    assert small.agreement.tolist() == [pytest.approx(1 / 3)] and small.pairs.tolist() == [3]
    with pytest.raises(ValueError, match=r"line 1: original_label is null"):
        relabelling(write(tmp_path / "y.jsonl", [{**ROW, "original_label": None}]))
    with pytest.raises(ValueError, match="never labelled by people"):
        relabelling("offline")


def test_prompts_that_open_alike_are_one_group(tmp_path):
    prompts = ["Human: b\n\nAssistant: c\n\nHuman: d", "Human: a", "Human: b"]
    data = load_hh_rlhf(write(tmp_path / "x.jsonl", [{**ROW, "prompt": p} for p in prompts]))
    assert data.prompt_group.tolist() == [0, 1, 0] and data.pair_group.tolist() == [0, 1, 0]
    assert data.names["objective"] == OBJECTIVES == twin(4).names["prompt_type"]


def test_opening_turn():
    prompts = ["Human: a\n\nAssistant: b\n\nHuman: c\n\nAssistant:", "Human: a", "x"]
    assert first_turn(np.array(prompts, object)).tolist() == ["a", "a", "x"]
    assert turns(" Human: a\n\nb: c\n\nAssistant:\n\nHuman: 'Human: d'") == [
        ("Human", "a\n\nb: c"),
        ("Human", "'Human: d'"),
    ]
    assert turns("note\n\nHuman: a") == [("", "note"), ("Human", "a")]


@pytest.fixture(scope="module")
def big():
    return twin(20_000, seed=11)


def test_twin_is_what_offline_gives():
    data = load_hh_rlhf("offline")
    assert data.simulated and "simulated" in data.source and len(data) == 6000
    assert data == load_hh_rlhf("offline") == twin(), "same result everywhere"
    assert len(load_hh_rlhf("offline", n_pairs=50)) == 50
    assert twin(50, seed=1) == twin(50, seed=1) != twin(50, seed=2)
    with pytest.raises(ValueError, match="n_pairs is 0"):
        twin(0)
    with pytest.raises(ValueError, match="the offline twin has no splits"):
        load_hh_rlhf("offline", split="test")


def test_n_pairs_goes_with_the_twin_only(tmp_path):
    path = write(tmp_path / "x.jsonl", [ROW])
    with pytest.raises(ValueError, match="n_pairs=5 goes with 'offline'"):
        load_hh_rlhf(path, n_pairs=5)


def test_twin_has_the_real_schema(tmp_path):
    read = load_hh_rlhf(write(tmp_path / "x.jsonl", twin_rows(40, seed=4)))
    data = twin(40, seed=4)
    assert read.prompts.tolist() == data.prompts.tolist()
    assert read.responses.tolist() == data.responses.tolist()
    for name in ("pairs", "label", "objective", "prompt_type", "response_prompt"):
        assert getattr(read, name).tolist() == getattr(data, name).tolist(), name


def test_twin_marginals(big):
    assert {int(m.sum()) for m in cells(big).values()} == {5000}
    length = np.array([len(t) for t in big.responses])
    assert np.corrcoef(np.log(length), big.response_latents[:, 0])[0, 1] > 0.9
    assert abs(big.label.mean() - 0.5) < 4 * 0.5 / len(big) ** 0.5, "the place says nothing"
    first = list(big.responses[:2000])
    assert all(a != b for a, b in zip(first[::2], first[1::2]))


def test_twin_features_vary_within_their_type_only(big):
    k, common = WORLD["features"], WORLD["common"]
    z = big.response_latents
    kind = big.prompt_type[big.response_prompt]
    own = {0: slice(common, k), 1: slice(k, 2 * k - common)}
    assert z.shape[1] == 2 * k - common
    for t in (0, 1):
        assert not z[kind == t][:, own[1 - t]].any(), "no feature of the other type"
        varying = np.c_[z[kind == t][:, :common], z[kind == t][:, own[t]]]
        # four standard errors of a variance, sqrt(2 / n)
        assert abs(varying.var(0) - 1).max() < 4.5 * (2 / len(varying)) ** 0.5


def test_twin_weights_are_those_asked_for():
    for seed in (0, 11):
        w = twin_weights(seed=seed)
        k, common = WORLD["features"], WORLD["common"]
        assert tuple(w[:, 0]) == WORLD["length"]
        # direction of each (type, objective) cell, in the space both types are encoded in
        v = {
            (t, c): np.r_[w[c, :common], w[c, common + t * (k - common) :][: k - common]]
            for t in (0, 1)
            for c in (0, 1)
        }
        size = {cell: np.linalg.norm(u) for cell, u in v.items()}
        for (t, c), s in size.items():
            assert s == pytest.approx(WORLD["spread"][int(t != c)])
        cosine = lambda a, b: v[a] @ v[b] / size[a] / size[b]
        carry, conflict, own, other = WORLD["cosines"]
        for a, b, expected in (
            ((0, 0), (1, 0), carry),
            ((1, 1), (0, 1), carry),
            ((0, 0), (0, 1), conflict),
            ((1, 1), (1, 0), conflict),
        ):
            assert cosine(a, b) == pytest.approx(expected)
        assert cosine((0, 0), (1, 1)) == pytest.approx(own)
        assert cosine((0, 1), (1, 0)) == pytest.approx(other)
    with pytest.raises(ValueError, match="no four directions have them"):
        twin_weights(cosines=(0.9, -0.9, 0.9, 0.9))
    with pytest.raises(ValueError, match="features = 5, common = 3"):
        twin_weights(features=5, common=3)


def test_twin_labels_follow_bradley_terry(big):
    """The integral of the label model against the counts, cell by cell."""
    w = twin_weights(seed=11)
    first, second = big.pairs.T
    dz = big.response_latents[first] - big.response_latents[second]
    gap = np.einsum("nm,nm->n", dz, w[big.objective])
    p = 1 / (1 + np.exp(-gap))
    # deciles of the reward difference, and what the label model says of each
    for part in np.array_split(np.argsort(gap), 10):
        error = (p[part] * (1 - p[part])).sum() ** 0.5
        assert abs(big.label[part].sum() - p[part].sum()) < 4 * error
    x, weight = np.polynomial.hermite_e.hermegauss(80)
    weight = weight / weight.sum()
    for (kind, objective), cell in cells(big).items():
        same = kind == objective
        assert gap[cell].var() == pytest.approx(2 * WORLD["spread"][int(not same)] ** 2, rel=0.1)
        # a model that knew the reward: E[sigmoid |gap|], gap normal
        ceiling = weight @ (1 / (1 + np.exp(-abs(2**0.5 * WORLD["spread"][int(not same)] * x))))
        right = ((gap > 0) == (big.label == 1))[cell].mean()
        assert abs(right - ceiling) < 4 * 0.47 / cell.sum() ** 0.5 + 0.004


def test_twin_length_rates(big):
    """P(the longer wins) against its integral; near the real rates where length allows it."""
    rng = np.random.default_rng(0)
    real = {
        ("helpful", "helpful"): 0.660,
        ("harmless", "helpful"): 0.592,
        ("helpful", "harmless"): 0.439,
        ("harmless", "harmless"): 0.440,
    }
    wins = longer_preferred(big)
    for (kind, objective), cell in cells(big).items():
        c = OBJECTIVES.index(objective)
        spread, weight = WORLD["spread"][int(kind != objective)], WORLD["length"][c]
        longer = abs(rng.standard_normal(400_000)) * 2**0.5
        rest = rng.standard_normal(400_000) * (2 * (spread**2 - weight**2)) ** 0.5
        expected = (1 / (1 + np.exp(-weight * longer - rest))).mean()
        # ties in words are told apart by letters at random: a little nearer to a half
        assert abs(wins[cell].mean() - expected) < 4 * 0.5 / cell.sum() ** 0.5 + 0.004
        assert abs(wins[cell].mean() - real[kind, objective]) < 0.085


def test_twin_embedding_tells_the_type(big):
    from sklearn.linear_model import LogisticRegression

    e, kind = big.embeddings[::2].astype(float), big.prompt_type
    assert e.shape == (20_000, WORLD["d"])
    probe = LogisticRegression(C=0.01, max_iter=500).fit(e[:4000], kind[:4000])
    assert probe.score(e[4000:], kind[4000:]) > 0.9
    blind = twin(4000, seed=11, type_offset=0.0).embeddings[::2]
    other = twin(4000, seed=11).prompt_type
    probe = LogisticRegression(C=0.01, max_iter=500).fit(blind[:2000], other[:2000])
    assert 0.45 < probe.score(blind[2000:], other[2000:]) < 0.55, "the offset alone is linear"


def test_twin_embedding_is_a_linear_image_of_the_features(big):
    """Regressing the embedding of a type on its features leaves the noise and the topics."""
    z = big.response_latents
    first, second = big.pairs.T
    for t in (0, 1):
        rows = big.prompt_type == t
        dz, de = (a[first][rows] - a[second][rows] for a in (z, big.embeddings.astype(float)))
        rest = de - dz @ np.linalg.lstsq(dz, de, rcond=None)[0]
        # topics and offset cancel within a pair; two responses' noise is left
        assert rest.var() == pytest.approx(2 * WORLD["noise"] ** 2, rel=0.02)
