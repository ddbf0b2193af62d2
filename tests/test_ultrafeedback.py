"""UltraFeedback: rows with every oddity by hand, the twin against its own law."""

from __future__ import annotations

import gzip
import itertools
import json
from fractions import Fraction

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import toy
from scipy import stats

from causalpref.simulation import ULTRAFEEDBACK_EMBEDDING, Embedding, label_by_reward
from causalpref.simulation import ultrafeedback_simulator as twin_simulator
from causalpref.simulation import ultrafeedback_twin as twin
from causalpref.simulation import ultrafeedback_twin_rows as twin_rows
from causalpref.simulation.labels import all_pairs
from causalpref.sources import load_ultrafeedback
from causalpref.sources._layouts import BadRating
from causalpref.sources._layouts import completion as parse
from causalpref.sources.ultrafeedback import ASPECTS, read_ultrafeedback


def completion(text, truth="3", follow="3", **others):
    ratings = {"truthfulness": truth, "instruction_following": follow, **others}
    return {
        "model": "m",
        "response": text,
        "annotations": {
            k: v if isinstance(v, dict) or v is None else {"Rating": v, "Rationale": ""}
            for k, v in ratings.items()
        },
    }


def row(prompt, *completions):
    return {"source": "flan_v2", "instruction": prompt, "completions": list(completions)}


def write(path, rows):
    text = "".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in rows)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def seen(data):
    """Each response by prompt and text, with its ratings."""
    return {
        (data.prompts[x], y): tuple(z)
        for x, y, z in zip(data.response_prompt, data.responses, data.response_latents)
    }


ODD = [
    row(
        "plain",
        completion("a", "1", "2"),
        completion("b", "3", "4"),
        completion("c", "5", "1"),
        completion("d", "2", "2"),
    ),
    row(
        "not rated",
        completion("a", "N/A", "2"),
        completion("b", "3", " n/a "),
        completion("c", "4", "5"),
        completion("d", "1", None),
        completion("e", "2", {}),
        completion("f", "5", "5"),
        completion("g", "", "1"),
        {"response": "h", "annotations": {"truthfulness": {"Rating": "5"}}},
        {"response": "i", "annotations": None},
        {"response": "j"},
    ),
    row("short", completion("a"), completion("b", "4", "4")),
    row("one left", completion("a"), completion("b", "N/A")),
    row("none left", completion("a", "N/A")),
    row("nothing"),
    {**row("null"), "completions": None},
    row(
        "copies agree",
        completion("a", "2", "2", honesty="1"),
        completion("a", "2", "2", honesty="5"),
        completion("b"),
        completion("a", "2", "2"),
    ),
    row(
        "copies differ",
        completion("a", "2", "2"),
        completion("a", "2", "3"),
        completion("a", "2", "2"),
        completion("b"),
        completion("c"),
    ),
    row(
        "empty",
        completion(""),
        completion(" \n"),
        completion(None),
        completion("b"),
        completion("c"),
    ),
    row("plain", completion("a", "1", "2"), completion("b", "3", "5"), completion("new", 4, 4.0)),
    row(
        "unreadable",
        completion("a", "6", "1"),
        completion("b", "good"),
        completion("c"),
        completion("d", honesty="11"),
    ),
]


def test_oddities_are_masked_merged_left_out_and_counted(tmp_path):
    data, n = read_ultrafeedback(write(tmp_path / "odd.jsonl", ODD))
    assert seen(data) == {
        ("plain", "a"): (1, 2),
        ("plain", "c"): (5, 1),
        ("plain", "d"): (2, 2),
        ("plain", "new"): (4, 4),
        ("not rated", "c"): (4, 5),
        ("not rated", "f"): (5, 5),
        ("short", "a"): (3, 3),
        ("short", "b"): (4, 4),
        ("copies agree", "a"): (2, 2),
        ("copies agree", "b"): (3, 3),
        ("copies differ", "b"): (3, 3),
        ("copies differ", "c"): (3, 3),
        ("empty", "b"): (3, 3),
        ("empty", "c"): (3, 3),
        ("unreadable", "c"): (3, 3),
        ("unreadable", "d"): (3, 3),
    }
    assert (n.rows, n.folded_rows, n.prompts_left_out, n.prompts) == (12, 1, 4, 7)
    assert n.short_rows == 6
    assert (n.completions, n.unrated, n.empty, n.unreadable) == (40, 10, 3, 2)
    assert n.repeated == 3, "two copies in one row, one across rows"
    assert n.contradicted == 5, "three copies in one row, two across rows"
    assert (n.alone, n.responses) == (1, 16)
    assert n.example == (
        "odd.jsonl, line 12: completions[0]: the rating of truthfulness is '6', "
        "expected '1' to '5' or 'N/A'"
    )
    assert not data.simulated and np.isfinite(data.response_latents).all()
    for words in (
        "10 completions not rated",
        "2 unreadable ratings",
        "3 empty responses",
        "3 repeated responses",
        "5 responses with two ratings",
        "4 prompts with fewer than two responses",
        "12 pairs",
        "0.25 truthfulness + 0.75 instruction_following",
    ):
        assert words in data.source


def test_counts_add_up_whatever_the_rows(tmp_path):
    rng = np.random.default_rng(0)
    pick = lambda *values: values[rng.integers(len(values))]
    rows = [
        row(
            f"p{rng.integers(30)}",
            *(
                completion(
                    pick("a", "b", "c", "", None),
                    pick("1", "2", "N/A", None, "7"),
                    pick("1", "N/A"),
                )
                for _ in range(rng.integers(6))
            ),
        )
        for _ in range(100)
    ]
    data, n = read_ultrafeedback(write(tmp_path / "x.jsonl", rows))
    assert n.rows == 100 == n.prompts + n.folded_rows + n.prompts_left_out
    assert (
        n.completions
        == sum(len(r["completions"]) for r in rows)
        == (
            n.responses + n.empty + n.unreadable + n.unrated + n.repeated + n.contradicted + n.alone
        )
    )
    assert min(n.empty, n.unreadable, n.unrated, n.repeated, n.contradicted, n.alone) > 0
    assert (n.prompts, n.responses) == (len(data.prompts), len(data.responses))


def test_all_pairs_against_combinations():
    sizes = [2, 5, 1, 3, 4]
    owner = np.repeat(np.arange(5), sizes)
    pairs = all_pairs(owner, seed=0)
    expected = [c for x in range(5) for c in itertools.combinations(np.flatnonzero(owner == x), 2)]
    assert [tuple(sorted(p)) for p in pairs.tolist()] == expected
    flipped = np.mean(
        [(all_pairs(owner, seed=s)[:, 0] > all_pairs(owner, seed=s)[:, 1]) for s in range(2000)],
        axis=0,
    )
    assert np.abs(flipped - 0.5).max() < 4.5 * 0.5 / np.sqrt(2000)


def test_other_aspects_and_weights(tmp_path):
    rated = dict(zip(("helpfulness", "honesty"), ("4", "1")))
    path = write(
        tmp_path / "x.jsonl",
        [
            row(
                "p",
                completion("a", "1", "1", **rated),
                completion("b", "2", "1", **rated),
                completion("c", "3", "N/A", **rated),
                completion("d", "3", "3"),
            )
        ],
    )
    data = load_ultrafeedback(
        path, aspects=("honesty", "truthfulness", "helpfulness"), weights=None
    )
    assert seen(data) == {("p", "a"): (1, 1, 4), ("p", "b"): (1, 2, 4), ("p", "c"): (1, 3, 4)}
    z = data.response_latents[data.pairs][:, :, 1]
    assert (data.label == (z[:, 0] > z[:, 1])).all()
    upside_down = load_ultrafeedback(path, aspects=("honesty", "truthfulness"), weights=(1, -1))
    z = upside_down.response_latents[upside_down.pairs][:, :, 1]
    assert (upside_down.label == (z[:, 0] < z[:, 1])).all()
    for bad, says in (
        ({"aspects": ("honesty", "beauty")}, "names 'beauty'"),
        ({"aspects": ("honesty",)}, "two or more different"),
        ({"aspects": ("honesty", "honesty")}, "two or more different"),
        ({"aspects": "honesty"}, "one string"),
        ({"aspects": ASPECTS}, r"weights \(2,\) do not fit 4 latents"),
        ({"weights": (0, 0)}, "not all zero"),
        ({"weights": (1, np.nan)}, "finite"),
        ({"limit": 0}, "limit is 0"),
        ({"revision": "main"}, "goes with 'hub'"),
        ({"n_prompts": 5}, "goes with 'offline'"),
    ):
        with pytest.raises(ValueError, match=says):
            load_ultrafeedback(path, **bad)


@pytest.mark.parametrize(
    "weights", [("0.25", "0.75"), ("0.1", "0.3"), ("0.6", "0.2"), ("1/3", "2/3"), ("-0.2", "0.6")]
)
def test_labels_follow_the_reward_in_exact_arithmetic(weights):
    exact = [Fraction(w) for w in weights]
    z = np.array(list(itertools.product(range(1, 6), repeat=2)), dtype=float)
    data = toy(len(z) // 5, per_prompt=5).replace(response_latents=z)
    pairs = np.array(list(itertools.product(range(len(z)), repeat=2)))
    data = data.replace(
        prompts=["p"],
        response_prompt=np.zeros(len(z), int),
        pairs=pairs,
        label=np.zeros(len(pairs), int),
        objective=None,
        annotator=None,
        prompt_type=None,
        prompt_latents=None,
    )
    gap = [sum(w * (int(a) - int(b)) for w, a, b in zip(exact, z[i], z[j])) for i, j in pairs]
    wins, tie = np.array([g > 0 for g in gap]), np.array([g == 0 for g in gap])
    labels = np.array(
        [label_by_reward(data, [float(w) for w in exact], seed=s).label for s in range(400)]
    )
    assert (labels[:, ~tie] == wins[~tie]).all()
    assert tie.sum() > len(z), "more than a response against itself"
    share = labels[:, tie].mean(0)
    assert np.abs(share - 0.5).max() < 4.5 * 0.5 / np.sqrt(400), "a fair coin at a tie"


def test_label_by_reward_says_what_it_needs():
    with pytest.raises(ValueError, match="no response_latents"):
        label_by_reward(toy(3).replace(response_latents=None), seed=0)
    with pytest.raises(ValueError, match="do not fit 3 latents"):
        label_by_reward(toy(3), (1, 2), seed=0)
    data = toy(30)
    gap = data.response_latents[data.pairs].mean(2)
    assert (label_by_reward(data, seed=0).label == (gap[:, 0] > gap[:, 1])).all()
    graded = data.replace(strength=2.0 * data.label - 1, probability=data.label)
    assert label_by_reward(graded, seed=0) == label_by_reward(data, seed=0)


def test_completion():
    text, ratings = parse(completion("x", "N/A", 4, honesty={"Rating": 2.5}), "here")
    assert text == "x"
    np.testing.assert_array_equal(ratings, (np.nan, 2.5, 4.0, np.nan))
    text, ratings = parse({"response": None}, "here", ("honesty",))
    assert text == "" and np.isnan(ratings).all()
    assert np.isnan(parse(completion("x", float("nan")), "here")[1][3])
    for rating in ("0", "5.5", "four", True, -1, [1], "inf"):
        with pytest.raises(BadRating, match="here: the rating of truthfulness is"):
            parse(completion("x", {"Rating": rating}), "here")


@pytest.mark.parametrize(
    ("rows", "error", "says"),
    [
        ([ODD[0], "{oops"], ValueError, "x.jsonl.gz, line 2: not JSON"),
        ([ODD[0], "[1]"], ValueError, "line 2: is a list, expected an object"),
        ([{"instruction": "p"}], ValueError, "line 1: completions is missing"),
        ([{"completions": []}], ValueError, "line 1: instruction is missing"),
        ([ODD[0], row(5)], ValueError, "line 2: instruction is 5, expected a string"),
        ([row("p", "text")], ValueError, r"line 1: completions\[0\] is 'text', expected an object"),
        (
            [row("p", completion("a"), completion(7))],
            ValueError,
            r"line 1: completions\[1\].response is 7, expected a string",
        ),
        (
            [{**row("p"), "completions": {}}],
            ValueError,
            "completions is an object, expected a list",
        ),
        ([row("p", completion("\ud83d"))], ValueError, "half of a surrogate pair"),
        ([], ValueError, "x.jsonl.gz is empty"),
        (
            [row("p", completion("a"), completion("b", "9"))],
            ValueError,
            r"no pair is left of 1 rows.*1 unreadable rating.*line 1: completions\[1\]",
        ),
    ],
)
def test_bad_rows_name_file_and_line(tmp_path, rows, error, says):
    with pytest.raises(error, match=says):
        load_ultrafeedback(write(tmp_path / "x.jsonl.gz", rows))


def test_sources_are_explicit(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match="nowhere is neither"):
        load_ultrafeedback("nowhere")
    with pytest.raises(ValueError, match="holds no data files"):
        load_ultrafeedback(tmp_path)
    one, two = (
        write(tmp_path / name, [row(name, completion("a"), completion("b"))])
        for name in ("one.jsonl", "two.jsonl.gz")
    )
    (tmp_path / "README.md").write_text("not data")
    both = load_ultrafeedback(tmp_path)
    assert both.prompts.tolist() == ["one.jsonl", "two.jsonl.gz"]
    assert len(load_ultrafeedback(tmp_path, limit=1)) == 1
    monkeypatch.setenv("CAUSALPREF_DATA", str(tmp_path))
    assert load_ultrafeedback() == both
    monkeypatch.delenv("CAUSALPREF_DATA")
    assert load_ultrafeedback(limit=50).simulated
    pq.write_table(pa.table({"instruction": ["p"]}), tmp_path / "x.parquet")
    with pytest.raises(ValueError, match="several kinds"):
        load_ultrafeedback(tmp_path)
    with pytest.raises(ValueError, match="x.parquet, row 1: completions is missing"):
        load_ultrafeedback(tmp_path / "x.parquet")
    (tmp_path / "x.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(ValueError, match="x.parquet is no Parquet file, or damaged"):
        load_ultrafeedback(tmp_path / "x.parquet")


# -- the twin --------------------------------------------------------------


@pytest.mark.parametrize(
    "aspects",
    [("truthfulness", "instruction_following"), ("honesty", "helpfulness", "truthfulness")],
)
def test_written_and_read_twin_equals_the_direct_one(tmp_path, aspects):
    options = {"aspects": aspects, "weights": None, "seed": 3}
    direct = twin(400, d=12, **options)
    assert direct.embeddings.shape == (len(direct.responses), 12)
    rows, embeddings = twin_rows(400, seed=3, d=12)
    plain = load_ultrafeedback(write(tmp_path / "twin.jsonl", rows), **options)
    assert plain == direct.replace(embeddings=None, source=plain.source)
    assert plain.simulated and plain.source.startswith("simulated twin of UltraFeedback")
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "twin.parquet")
    assert load_ultrafeedback(tmp_path / "twin.parquet", **options) == plain
    dataset = datasets.Dataset.from_list(rows)
    dataset.save_to_disk(tmp_path / "one")
    assert load_ultrafeedback(tmp_path / "one", **options) == plain
    datasets.DatasetDict(test=dataset.select([0]), train=dataset).save_to_disk(tmp_path / "two")
    assert load_ultrafeedback(tmp_path / "two", **options) == plain
    # embeddings go by the order in which rows list completions
    texts = [c["response"] for r in rows for c in r["completions"]]
    by_text = dict(zip(texts, embeddings, strict=True))
    np.testing.assert_array_equal(direct.embeddings, [by_text[y] for y in direct.responses])


def test_offline_is_the_twin(monkeypatch):
    monkeypatch.setitem(ULTRAFEEDBACK_EMBEDDING, "d", 8)
    data, counts = read_ultrafeedback("offline", n_prompts=300)
    assert data.replace(source=twin(300).source) == twin(300) and data.embeddings.shape[1] == 8
    assert counts.unrated > 0 and counts.short_rows > 0 and counts.prompts_left_out > 0
    other = load_ultrafeedback("offline", n_prompts=300, seed=1)
    assert seen(other) == seen(data) and (other.pairs != data.pairs).any()
    quiet = twin(300, d=0)
    assert quiet.embeddings is None and quiet == data.replace(embeddings=None, source=quiet.source)
    with pytest.raises(ValueError, match="n_prompts is -1"):
        twin(-1)
    with pytest.raises(TypeError, match="wide"):
        twin(10, wide=3)


def test_twin_rows_have_the_schema():
    rows, embeddings = twin_rows(300, d=2)
    assert all(
        set(r)
        == {
            "source",
            "instruction",
            "models",
            "completions",
            "correct_answers",
            "incorrect_answers",
        }
        and len(r["models"]) == 4
        for r in rows
    )
    found = [c for r in rows for c in r["completions"]]
    assert len(found) == len(embeddings)
    assert {len(r["completions"]) for r in rows} == {0, 1, 2, 3, 4}
    words = set()
    for c in found:
        assert set(c) == {
            "model",
            "principle",
            "custom_system_prompt",
            "response",
            "critique",
            "overall_score",
            "fine-grained_score",
            "annotations",
        }
        for aspect, entry in c["annotations"].items():
            assert aspect in ASPECTS
            kinds = (
                {"Type", "Rationale For Rating"}
                if aspect in ("truthfulness", "helpfulness")
                else set()
            )
            assert set(entry) == {"Rating", "Rationale"} | kinds
            words.add(entry["Rating"])
    assert words == {"N/A", "1", "2", "3", "4", "5"}
    lacking = sum(
        a not in c["annotations"] or c["annotations"][a]["Rating"] == "N/A"
        for c in found
        for a in ASPECTS
    )
    n = 4 * len(found)
    assert abs(lacking / n - 0.01) < 4 * np.sqrt(0.01 * 0.99 / n)
    assert any(len(c["annotations"]) < 4 for c in found), "an aspect may be missing altogether"


def law(first, second):
    """P(z_first, z_second | difficulty) on a grid, (nodes, 5, 5), and the nodes' weights.

    From the model's marginals, its prompt effect and its correlation, by cells of a bivariate
    normal; nothing here goes through the simulator's own arithmetic.
    """
    model = twin_simulator(d=0)
    i, j = (ASPECTS.index(a) for a in (first, second))
    b = model.prompt_effect[[i, j], 0]
    r = model.correlation[i, j]
    x, weight = np.polynomial.hermite_e.hermegauss(60)
    weight = weight / weight.sum()
    cuts = [
        np.r_[-9, stats.norm.ppf(np.cumsum(model.response_latents[k].shares)[:-1]), 9]
        for k in (i, j)
    ]
    grids = [
        np.clip((c[None] - b_k * x[:, None]) / np.sqrt(1 - b_k**2), -9, 9)
        for c, b_k in zip(cuts, b)
    ]
    points = np.stack(np.broadcast_arrays(grids[0][:, :, None], grids[1][:, None, :]), axis=-1)
    cdf = stats.multivariate_normal.cdf(points.reshape(-1, 2), cov=[[1, r], [r, 1]])
    cells = np.diff(np.diff(cdf.reshape(len(x), 6, 6), axis=1), axis=2)
    return cells, weight


@pytest.fixture(scope="module")
def default_twin():
    return twin(d=0)


def test_twin_has_its_marginals_correlation_and_ties(default_twin):
    z = default_twin.response_latents
    cells, weight = law("truthfulness", "instruction_following")
    joint = np.einsum("x,xab->ab", weight, cells)
    assert joint.sum() == pytest.approx(1, abs=1e-6)
    value = np.arange(1, 6)
    mean = np.array([joint.sum(1) @ value, joint.sum(0) @ value])
    sd = np.sqrt([joint.sum(1) @ value**2, joint.sum(0) @ value**2] - mean**2)
    rho = (value @ joint @ value - mean.prod()) / sd.prod()
    assert rho == pytest.approx(0.63, abs=1e-4), "the paper's correlation, section 5"
    assert abs(np.corrcoef(z.T)[0, 1] - 0.63) < 0.01

    # responses to a prompt hang together: errors are those of prompts, not of responses
    def close(of_response, expected):
        n = len(default_twin.prompts)
        mean_of = np.bincount(default_twin.response_prompt, of_response) / np.bincount(
            default_twin.response_prompt
        )
        assert abs(mean_of.mean() - expected) < 4 * mean_of.std() / np.sqrt(n)

    shares = twin_simulator().response_latents
    for k, aspect in enumerate(("truthfulness", "instruction_following")):
        stated = shares[ASPECTS.index(aspect)].shares
        np.testing.assert_allclose(joint.sum(1 - k), stated, atol=1e-5)
        for v in range(1, 6):
            close(z[:, k] == v, stated[v - 1])

    # ties of r = z_1 / 4 + 3 z_2 / 4: two draws from the same cells, given the prompt
    reward = (value[:, None] + 3 * value[None]).ravel()
    same = reward[:, None] == reward[None]
    flat = cells.reshape(len(weight), 25)
    tie = weight @ np.einsum("xa,ab,xb->x", flat, same.astype(float), flat)
    independent = joint.ravel() @ same @ joint.ravel()
    assert tie > independent + 0.02, "shared prompts make ties more frequent"
    gap = (z[default_twin.pairs[:, 0]] - z[default_twin.pairs[:, 1]]) @ (1, 3)
    of_prompt = np.bincount(default_twin.pair_prompt, gap == 0) / np.bincount(
        default_twin.pair_prompt
    )
    assert abs(of_prompt.mean() - tie) < 4 * of_prompt.std() / np.sqrt(len(of_prompt))
    assert (default_twin.label == (gap > 0))[gap != 0].all()


def test_twin_differences_have_their_correlation(default_twin):
    cells, weight = law("truthfulness", "instruction_following")
    value = np.arange(1, 6)
    m1, m2 = cells.sum(2) @ value, cells.sum(1) @ value
    product = weight @ (np.einsum("xab,a,b->x", cells, value, value) - m1 * m2)
    s1 = weight @ (cells.sum(2) @ value**2 - m1**2)
    s2 = weight @ (cells.sum(1) @ value**2 - m2**2)
    rho = product / np.sqrt(s1 * s2)
    z = default_twin.response_latents
    d = z[default_twin.pairs[:, 0]] - z[default_twin.pairs[:, 1]]
    assert rho < 0.6, "a part of the 0.63 is the prompts'"
    assert abs((d[:, 0] * d[:, 1]).sum() / np.sqrt((d**2).sum(0).prod()) - rho) < 0.015


def test_twin_embeddings_come_from_the_simulator():
    """Without noise or nuisance the map of the docstring gives the latents back."""
    data = twin(200, d=64, noise=0, blur=0, nuisance=0, aspects=ASPECTS, weights=None)
    linear = np.arctanh(np.clip(data.embeddings.astype(float), -0.999999, 0.999999)) / 0.7
    away = np.abs(data.embeddings).max(0) < 0.9999
    design = np.c_[linear[:, away], np.ones(len(linear))]
    fitted = design @ np.linalg.lstsq(design, data.response_latents, rcond=None)[0]
    np.testing.assert_allclose(fitted, data.response_latents, atol=1e-2)
    assert twin_simulator(noise=2.0, type_offset=1.0).embedding == Embedding(
        **{**ULTRAFEEDBACK_EMBEDDING, "noise": 2.0, "type_offset": 1.0}
    )
    apart = [
        np.abs(twin(50, type_offset=v).embeddings - twin(50).embeddings).max() for v in (0.0, 1.0)
    ]
    assert apart[0] == 0 and apart[1] > 0.1, "sources are told apart if asked for"
