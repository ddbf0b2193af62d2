"""PreferenceData: validation, selection, splits, saving, conversion."""

from __future__ import annotations

import dataclasses
import importlib.util
import os

import numpy as np
import pandas as pd
import pytest
from conftest import toy
from hypothesis import given, settings
from hypothesis import strategies as st

from causalpref import PreferenceData

needs_datasets = pytest.mark.skipif(
    importlib.util.find_spec("datasets") is None, reason="datasets is in the extra models"
)

MINIMAL = dict(
    prompts=["p", "q"],
    responses=["a", "b", "c", "d"],
    response_prompt=[0, 0, 1, 1],
    pairs=[[0, 1], [2, 3]],
    label=[1, 0],
)


def test_minimal_data_say_what_they_are():
    data = PreferenceData(**MINIMAL)
    assert len(data) == 2 and data.pair_prompt.tolist() == [0, 1]
    assert repr(data) == (
        "PreferenceData(2 pairs, 4 responses, 2 prompts;\n    real: unnamed data)"
    )


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"pairs": np.empty((0, 2), int), "label": []}, ValueError, "at least one pair"),
        ({"label": [1]}, ValueError, r"label has shape \(1,\), expected \(2\)"),
        ({"label": [1, 2]}, ValueError, r"label\[1\] = 2 is neither 0 nor 1"),
        ({"label": [np.nan, 0]}, ValueError, r"label\[0\] = nan"),
        ({"label": ["1", "0"]}, ValueError, r"label\[0\] = 1 is neither"),
        (
            {"pairs": [[0, 1], [2, 4]]},
            ValueError,
            r"pairs\[1, 1\] = 4 is out of range: there are 4",
        ),
        ({"pairs": [[0, 1], [-1, 3]]}, ValueError, r"pairs\[1, 0\] = -1 is out of range"),
        ({"pairs": [[0, 1], [2, 2.5]]}, ValueError, r"pairs\[1, 1\] = 2.5 is not an integer"),
        ({"pairs": [[0, 1], [1, 2]]}, ValueError, r"pairs\[1\] = \[1, 2\] joins .* \(0 and 1\)"),
        ({"pairs": [[0, 1], [2]]}, ValueError, "pairs is ragged"),
        ({"prompts": ["p", "p"]}, ValueError, r"prompts\[1\] repeats prompts\[0\] \('p'\)"),
        ({"prompts": "pq"}, TypeError, "sequence of strings"),
        ({"prompts": ["p", 7]}, TypeError, r"prompts\[1\] is 7 \(int\)"),
        ({"responses": ["a", "b", None, "d"]}, TypeError, r"responses\[2\] is None"),
        ({"response_prompt": [0, 0, 1]}, ValueError, r"response_prompt has shape \(3,\)"),
        (
            {"response_prompt": [0, 0, 1, 2]},
            ValueError,
            r"response_prompt\[3\] = 2 is out of range",
        ),
        ({"objective": [0]}, ValueError, r"objective has shape \(1,\)"),
        ({"objective": ["x", "y"]}, ValueError, "objective must be integers.*'x'"),
        ({"objective": ["0", "1"]}, ValueError, "objective must be integers.*'0'"),
        ({"objective": [0, 1e300]}, ValueError, r"objective\[1\] = 1e\+300 is not an integer"),
        ({"responses": ["a", "b\ud800", "c", "d"]}, ValueError, r"responses\[1\] .* surrogate"),
        ({"prompt_type": [0, 1, 1]}, ValueError, r"prompt_type has shape \(3,\)"),
        (
            {"embeddings": [[0.0], [1.0], [np.nan], [2.0]]},
            ValueError,
            r"embeddings\[2, 0\] = nan is not finite",
        ),
        ({"embeddings": np.zeros((3, 5))}, ValueError, r"embeddings has shape \(3, 5\)"),
        (
            {"response_latents": [[1.0], [2.0], [np.inf], [0.0]]},
            ValueError,
            r"response_latents\[2, 0\] = inf",
        ),
        ({"prompt_latents": [["x"], ["y"]]}, ValueError, "prompt_latents must be numbers"),
    ],
)
def test_bad_input_names_field_row_and_value(change, error, says):
    with pytest.raises(error, match=says):
        PreferenceData(**{**MINIMAL, **change})


def test_read_only_throughout():
    writeable = np.array([1, 0])
    data = PreferenceData(**{**MINIMAL, "label": writeable})
    writeable[0] = 0
    assert data.label.tolist() == [1, 0], "the caller's array is not the data's"
    for name in ("prompts", "responses", "response_prompt", "pairs", "label"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(data, name)[0] = getattr(data, name)[1]
    with pytest.raises(dataclasses.FrozenInstanceError):
        data.label = writeable


def test_no_door_left_open_by_a_read_only_view():
    for name, values, other in (
        ("label", np.array([1, 0]), 0),
        ("responses", np.array(list("abcd"), dtype=object), "x"),
    ):
        view = values.view()
        view.flags.writeable = False
        data = PreferenceData(**{**MINIMAL, name: view})
        values[0] = other
        assert getattr(data, name)[0] != other
        with pytest.raises(ValueError, match="WRITEABLE"):
            getattr(data, name).flags.writeable = True
    unchecked = np.array(["a", None, "c", "d"], dtype=object)
    unchecked.flags.writeable = False
    with pytest.raises(TypeError, match=r"responses\[1\] is None"):
        PreferenceData(**{**MINIMAL, "responses": unchecked})


def test_selection_shares_texts_and_keeps_indices():
    data = toy()
    part = data.select(np.arange(3, 9))
    assert part.embeddings is data.embeddings and part.responses is data.responses
    np.testing.assert_array_equal(part.pairs, data.pairs[3:9])
    np.testing.assert_array_equal(part.objective, data.objective[3:9])
    mask = np.zeros(len(data), bool)
    mask[3:9] = True
    assert data.select(mask) == part == data.select(slice(3, 9)) == data.select(list(range(3, 9)))


@pytest.mark.parametrize(
    ("rows", "error", "says"),
    [
        (np.zeros(80, bool), ValueError, "none of the 80 pairs"),
        ([], ValueError, "none of the 80"),
        (np.zeros(3, bool), IndexError, r"mask has shape \(3,\)"),
        ([80], IndexError, "80"),
        ([0.5], IndexError, "integers or a boolean mask"),
    ],
)
def test_selection_refuses(rows, error, says):
    with pytest.raises(error, match=says):
        toy().select(rows)


def test_compact_drops_only_what_no_pair_uses():
    data = toy().select([5, 50])
    small = data.compact()
    assert len(small.responses) == 4 and len(small.prompts) == 2
    for view in (data, small):
        a = view.pairs[:, 0]
        seen = (
            view.responses[a].tolist(),
            view.prompts[view.pair_prompt].tolist(),
            view.embeddings[a].tolist(),
            view.response_latents[a].tolist(),
            view.prompt_type[view.pair_prompt].tolist(),
            view.prompt_latents[view.pair_prompt].tolist(),
        )
        if view is data:
            expected = seen
    assert seen == expected


def test_duplicates_are_repeated_judgements():
    data = PreferenceData(
        **{**MINIMAL, "pairs": [[0, 1], [1, 0], [2, 3], [0, 1]], "label": [1, 0, 1, 0]}
    )
    assert data.duplicated().tolist() == [False, True, False, True]
    assert data.replace(objective=[0, 1, 0, 0]).duplicated().tolist() == [False, False, False, True]


def test_consistent_needs_both_and_compares_them():
    data = PreferenceData(**MINIMAL, prompt_type=[0, 1], objective=[0, 0])
    assert data.consistent.tolist() == [True, False]
    with pytest.raises(ValueError, match="no objective"):
        _ = PreferenceData(**MINIMAL, prompt_type=[0, 1]).consistent


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10**6), share=st.floats(0.15, 0.85), grouped=st.booleans())
def test_split_never_shares_a_prompt_or_a_group(seed, share, grouped):
    groups = np.arange(40) // 4 if grouped else None
    data = toy().replace(prompt_group=groups)
    groups = np.arange(40) if groups is None else groups
    sides = data.split(seed=seed, a=share, b=1 - share)
    number = {text: i for i, text in enumerate(data.prompts)}
    members = [{groups[number[text]] for text in side.prompts} for side in sides.values()]
    assert members[0].isdisjoint(members[1])
    assert sum(map(len, sides.values())) == len(data), "every pair is on one side"
    assert abs(len(members[0]) - share * len(set(groups))) <= 0.5 + 1e-9


def test_split_is_reproducible_and_refuses():
    data = toy()
    assert data.split(seed=1, a=0.5, b=0.5)["a"] == data.split(seed=1, a=0.5, b=0.5)["a"]
    assert data.split(seed=1, a=0.5, b=0.5)["a"] != data.split(seed=2, a=0.5, b=0.5)["a"]
    for shares in ({"a": 0.5}, {"a": 1.2, "b": -0.2}, {}):
        with pytest.raises(ValueError, match="sum to 1"):
            data.split(seed=0, **shares)
    with pytest.raises(TypeError, match=r"share 'groups' is \[1\], expected a number"):
        data.split(a=0.5, b=0.5, groups=[1])  # type: ignore[arg-type]
    side = data.split(seed=1, a=0.5, b=0.5)["a"]
    assert len(side.responses) == 60 and len(side.prompts) == 20, "only the texts that it uses"
    assert side == side.compact()
    with pytest.raises(ValueError, match="'b' would be empty"):
        data.split(seed=0, a=0.999, b=0.001)


def test_save_and_load(tmp_path):
    data = toy()
    folder = data.save(tmp_path / "deep" / "set")
    assert PreferenceData.load(folder) == data
    assert sorted(p.name for p in folder.iterdir()) == [
        "arrays.safetensors",
        "pairs.parquet",
        "prompts.parquet",
        "responses.parquet",
    ]
    with pytest.raises(FileExistsError, match="overwrite=True"):
        data.save(folder)
    bare = PreferenceData(**MINIMAL)
    bare.save(folder, overwrite=True)
    assert PreferenceData.load(folder) == bare
    assert [p.name for p in folder.parent.iterdir()] == ["set"], "no leftovers"


def test_save_never_replaces_what_it_did_not_write(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("keep")
    with pytest.raises(FileExistsError, match="no saved PreferenceData"):
        toy().save(tmp_path / "mine", overwrite=True)
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "keep"
    folder = toy().save(tmp_path / "ours")
    (folder / "notes.txt").write_text("keep")
    with pytest.raises(FileExistsError, match="or more than that"):
        toy().save(folder, overwrite=True)
    (tmp_path / "mine" / "thesis.txt").unlink()
    (tmp_path / "mine" / "pairs.parquet").write_text("not ours")
    with pytest.raises(FileExistsError, match="no saved PreferenceData"):
        toy().save(tmp_path / "mine", overwrite=True)


def test_a_failed_save_leaves_the_old_data(tmp_path, monkeypatch):
    old = toy(seed=1)
    folder = old.save(tmp_path / "x")
    plain, calls = os.replace, []

    def fails_on_the_second(a, b):
        calls.append(b)
        if len(calls) == 2:
            raise KeyboardInterrupt
        plain(a, b)

    monkeypatch.setattr(os, "replace", fails_on_the_second)
    with pytest.raises(KeyboardInterrupt):
        toy(seed=2).save(folder, overwrite=True)
    monkeypatch.undo()
    assert PreferenceData.load(folder) == old
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_a_lost_or_damaged_file_is_not_passed_over(tmp_path):
    folder = toy().save(tmp_path / "x")
    raw = (folder / "arrays.safetensors").read_bytes()
    (folder / "arrays.safetensors").write_bytes(raw[:50])
    with pytest.raises(ValueError, match="arrays.safetensors is damaged"):
        PreferenceData.load(folder)
    (folder / "arrays.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="arrays.safetensors is missing"):
        PreferenceData.load(folder)
    (folder / "prompts.parquet").write_bytes(b"PAR1junk")
    with pytest.raises(ValueError, match="prompts.parquet is damaged"):
        PreferenceData.load(folder)


def test_load_refuses(tmp_path):
    with pytest.raises(FileNotFoundError, match="prompts.parquet is missing"):
        PreferenceData.load(tmp_path)
    import pyarrow as pa
    import pyarrow.parquet as pq

    for name in ("prompts", "responses", "pairs"):
        pq.write_table(pa.table({"x": [1]}), tmp_path / f"{name}.parquet")
    with pytest.raises(ValueError, match="has format None"):
        PreferenceData.load(tmp_path)


@settings(deadline=None, max_examples=20)
@given(
    st.lists(
        st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
        min_size=2,
        max_size=2,
        unique=True,
    )
)
@needs_datasets
def test_any_text_survives(tmp_path_factory, texts):
    data = PreferenceData(
        prompts=[texts[0]], responses=texts, response_prompt=[0, 0], pairs=[[0, 1]], label=[1]
    )
    assert PreferenceData.load(data.save(tmp_path_factory.mktemp("t") / "x")) == data
    assert PreferenceData.from_dataset(data.to_dataset()).responses.tolist() == list(
        dict.fromkeys(texts)
    )


@needs_datasets
def test_dataset_round_trip():
    data = toy().compact()
    rows = data.to_dataset()
    assert rows.num_rows == len(data)
    assert rows[0]["response_a"] == data.responses[data.pairs[0, 0]]
    back = PreferenceData.from_dataset(rows, source="toy", simulated=True)
    assert back.to_dataset().to_dict() == rows.to_dict()
    assert len(back.responses) == len(data.responses) and len(back.prompts) == len(data.prompts)


def test_rows_that_disagree_or_lack_a_value_are_named():
    row = {"prompt": "p", "response_a": "a", "response_b": "b", "label": 1}
    read = PreferenceData.from_dataset
    assert len(read([row, row]).responses) == 2
    with pytest.raises(ValueError, match="no column 'label'"):
        read([{k: v for k, v in row.items() if k != "label"}])
    with pytest.raises(TypeError, match="row 1: response_b is None"):
        read([row, {**row, "response_b": None}])
    with pytest.raises(ValueError, match="row 1: objective is missing"):
        read([{**row, "objective": 0}, row])
    with pytest.raises(ValueError, match="row 0: objective is missing"):
        read([row, {**row, "objective": 0}])
    assert read(pd.DataFrame([row, row])) == read([row, row])
    with pytest.raises(
        ValueError, match="row 1: prompt_type 1 of a prompt contradicts row 0.* same text 0"
    ):
        read([{**row, "prompt_type": 0}, {**row, "prompt_type": 1}])
    with pytest.raises(ValueError, match="at least one pair"):
        read([])


@needs_datasets
def test_trl_rows_put_the_preferred_response_under_chosen():
    data = toy()
    rows = data.to_trl()
    wins = np.where(data.label == 1, data.pairs[:, 0], data.pairs[:, 1])
    assert rows["chosen"][:] == data.responses[wins].tolist()
    assert {"prompt", "chosen", "rejected", "objective", "annotator", "prompt_type"} == set(
        rows.column_names
    )

    back = PreferenceData.from_trl(rows)
    assert (back.label == 1).all() and back.to_trl().to_dict() == rows.to_dict()
    shuffled = PreferenceData.from_trl(rows, seed=3)
    assert 0.3 < shuffled.label.mean() < 0.7
    assert shuffled.to_trl().to_dict() == rows.to_dict(), "only the sides were exchanged"
    with pytest.raises(ValueError, match="no column 'rejected'"):
        PreferenceData.from_trl([{"prompt": "p", "chosen": "a"}])


# -- facts, names, single pairs ------------------------------------------------

NAMES = {
    "objective": ("helpful", "harmless"),
    "annotator": ("ann", "bob", "cy", "di", "ed"),
    "prompt_type": ("safe", "risky"),
    "model": ("small", "large"),
    "response_latents": ("length", "tone", "steps"),
}


def full() -> PreferenceData:
    """Every optional field, and names where there can be some."""
    data = toy()
    rng = np.random.default_rng(1)
    strength = np.where(data.label == 1, 1, -1) * rng.integers(0, 4, len(data))
    return data.replace(
        session=rng.integers(0, 9, len(data)),
        time=1.7e9 + rng.random(len(data)),
        strength=strength,
        probability=0.5 + strength / 10,
        prompt_group=np.arange(40) // 3,
        model=rng.integers(0, 2, len(data.responses)),
        names=NAMES,
        order_known=False,
    )


@needs_datasets
def test_every_field_survives_every_form(tmp_path):
    data = full().compact()
    assert PreferenceData.load(data.save(tmp_path / "x")) == data
    for rows in (data.to_pandas(), data.to_dataset()):
        back = PreferenceData.from_dataset(rows)
        assert back.to_pandas().equals(data.to_pandas())
        assert back.names == data.names and repr(back) == repr(data)
        assert not back.order_known and back.simulated and back.source == "toy"
        assert set(back.prompts) == set(data.prompts)
        told = PreferenceData.from_dataset(rows, order_known=True, source="mine", simulated=False)
        assert told.order_known and told.source == "mine" and not told.simulated
    import pickle

    assert pickle.loads(pickle.dumps(data)) == data


def test_pandas_shows_names():
    frame = full().to_pandas()
    assert frame.objective.cat.categories.tolist() == ["helpful", "harmless"]
    assert set(frame.model_a) <= {"small", "large"}
    assert frame.loc[3, "latents_a"].shape == (3,)


def test_words_in_rows_become_codes_with_names():
    row = {"prompt": "p", "response_a": "a", "response_b": "b", "label": 1}
    read = PreferenceData.from_dataset(
        [{**row, "objective": "safe", "annotator": 7}, {**row, "objective": "fun", "annotator": 3}]
    )
    assert read.objective.tolist() == [1, 0] and read.names["objective"] == ("fun", "safe")
    assert read.annotator.tolist() == [7, 3] and "annotator" not in read.names


def test_objectives_that_are_numbers_keep_them_as_names():
    row = {"prompt": "p", "response_a": "a", "response_b": "b", "label": 1}
    rows = [{**row, "objective": c, "prompt_type": 2} for c in (1, 2, 1)]
    read = PreferenceData.from_dataset(rows)
    assert read.objective.tolist() == [0, 1, 0] and read.names["objective"] == ("1", "2")
    assert read.prompt_type.tolist() == [1], "type 2 is objective 2"
    assert read.consistent.tolist() == [False, True, False]
    assert read.names_of("prompt_type") == ["2"]
    typed = [{**r, "prompt": str(c), "prompt_type": c} for r, c in zip(rows, (0, 1, 2))]
    assert PreferenceData.from_dataset(typed).objective.tolist() == [1, 2, 1], "with the types"
    with_zero = PreferenceData.from_dataset([{**r, "objective": r["objective"] - 1} for r in rows])
    assert with_zero.objective.tolist() == [0, 1, 0] and not with_zero.names
    one = full().replace(names={}).select(full().objective == 1)
    assert (PreferenceData.from_pandas(one.to_pandas()).objective == 1).all(), "our own codes"


def test_a_number_and_the_word_for_it_are_two_values():
    row = {"prompt": "p", "response_a": "a", "response_b": "b", "label": 1}
    read = PreferenceData.from_dataset([{**row, "annotator": who} for who in (1, "1", "x", 1.0)])
    assert [pair.facts["annotator"] for pair in read] == ["1", "'1'", "x", "1"]
    read = PreferenceData.from_dataset([{**row, "annotator": who} for who in (1, True)])
    assert [pair.facts["annotator"] for pair in read] == ["1", "True"]


def test_ties_and_graded_preferences():
    data = full()
    assert data.tie.tolist() == (data.strength == 0).tolist()
    assert not toy().tie.any()
    for name, value in (("strength", -1), ("probability", 0.4)):
        with pytest.raises(
            ValueError, match=rf"{name}\[0\] = {value}.* contradicts label\[0\] = 1"
        ):
            PreferenceData(**MINIMAL, **{name: [value, 0.0]})
    with pytest.raises(ValueError, match=r"probability\[1\] = -0.1 is outside"):
        PreferenceData(**MINIMAL, probability=[0.9, -0.1])


def test_swapping_is_its_own_inverse_and_keeps_who_won():
    data = full()
    turn = np.arange(len(data)) % 3 == 0
    other = data.swapped(turn)
    back = other.swapped(turn).replace(probability=data.probability)  # equal but for rounding
    assert back == data and other != data
    np.testing.assert_allclose(other.probability[turn], 1 - data.probability[turn])
    assert [p.chosen for p in other] == [p.chosen for p in data]
    for rows in ([0, 1], [True], np.arange(len(data)), range(2)):
        with pytest.raises(ValueError, match="expected True or False for each of the"):
            data.swapped(rows)


@pytest.mark.parametrize(
    ("names", "error", "says"),
    [
        ({"colour": ["x"]}, ValueError, "names has the key 'colour', expected some of objective"),
        ({"objective": "ab"}, TypeError, "one string, 'ab'"),
        ({"objective": ["a", 1]}, TypeError, "holds 1, expected strings"),
        ({"objective": ["a", "a"]}, ValueError, "holds 'a' twice"),
        ({"objective": ["a"]}, ValueError, r"objective\[\d+\] = 1 has no name.* codes 0 to 0"),
        ({"response_latents": ["a", "b"]}, ValueError, "holds 2 names, there are 3 columns"),
    ],
)
def test_names_must_fit(names, error, says):
    with pytest.raises(error, match=says):
        toy().replace(names=names)


def test_names_follow_the_data():
    data = full()
    assert "objective" not in data.replace(objective=None).names
    assert data.replace(response_latents=np.zeros((120, 2))).names.keys() == (
        NAMES.keys() - {"response_latents"}
    )
    with pytest.raises(TypeError, match="does not support item assignment"):
        data.names["objective"] = ()
    assert data.names_of("objective") == ["helpful", "harmless"]
    assert data.names_of("prompt_latents") == ["Z^X_1", "Z^X_2"]
    assert toy().names_of("objective", [1]) == ["C = 1"]
    with pytest.raises(ValueError, match="'embeddings' has no names"):
        data.names_of("embeddings")


def test_an_index_may_be_a_name():
    data = full()
    assert data.index_of("response_latents", "tone") == data.index_of("response_latents", 1) == 1
    assert data.index_of("objective", "harmless") == 1
    assert data.index_of("prompt_latents", "Z^X_2") == 1
    with pytest.raises(ValueError, match=r"no response latent 'size'; there are 0 \(length\), 1"):
        data.index_of("response_latents", "size")
    with pytest.raises(ValueError, match="no objective 2"):
        data.index_of("objective", 2)
    wide = data.replace(response_latents=np.zeros((len(data.responses), 14)))
    with pytest.raises(ValueError, match=r"11 \(Z\^T_12\) and 2 more$"):
        wide.index_of("response_latents", "size")
    with pytest.raises(TypeError, match="objective 0.5 is neither a name nor a whole number"):
        data.index_of("objective", 0.5)


def test_required_fields_come_or_the_message_says_what_to_do():
    data = full()
    assert data.require("embeddings") is data.embeddings
    objective, model = data.require("objective", "model")
    assert objective is data.objective and model is data.model
    with pytest.raises(ValueError, match="the data have no model: record which model wrote"):
        toy().require("objective", "model")
    with pytest.raises(ValueError, match="'size' is no optional field"):
        data.require("size")


def test_differences_and_means_of_pairs():
    data = full()
    first, second = data.pairs.T
    z = data.response_latents
    np.testing.assert_array_equal(data.difference("response_latents"), z[first] - z[second])
    e = data.embeddings.astype(float)
    np.testing.assert_array_equal(data.mean("embeddings"), (e[first] + e[second]) / 2)
    assert data.difference("embeddings").dtype == np.float64
    with pytest.raises(ValueError, match="expected 'response_latents' or 'embeddings'"):
        data.difference("prompt_latents")
    with pytest.raises(ValueError, match="the data have no embeddings"):
        PreferenceData(**MINIMAL).difference("embeddings")


def test_one_pair_and_all_of_them():
    data = full()
    pair = data[-1]
    row = data.to_pandas().iloc[-1]
    assert (pair.prompt, pair.first, pair.second, pair.label) == tuple(row.iloc[:4])
    assert pair.facts["objective"] == row.objective and pair.facts["time"] == row.time
    assert pair.facts["model"] == [row.model_a, row.model_b]
    assert {pair.chosen, pair.rejected} == {pair.first, pair.second}
    assert len(list(data)) == len(data) and next(iter(data)) == data[0]
    assert data[data.label == 1] == data.select(data.label == 1)
    assert data[[3, 1]] == data.select([3, 1]) and data[:5] == data.select(slice(5))
    assert data[-1] == data[79]
    for i in (80, -81):
        with pytest.raises(IndexError, match=f"no pair {i}: the data have 80 pairs"):
            data[i]
    with pytest.raises(IndexError, match="to_pandas.. has the columns"):
        data["prompt"]  # type: ignore[call-overload]


def test_pairs_of_one_group_are_dependent():
    data = full()
    np.testing.assert_array_equal(data.pair_group, data.prompt_group[data.pair_prompt])
    np.testing.assert_array_equal(toy().pair_group, toy().pair_prompt)


def test_an_empty_cell_is_missing_and_never_a_group_of_its_own():
    """pandas writes nan where a cell is empty, and whole numbers beside it as floats."""
    rows = pd.DataFrame(
        {"prompt": list("pqr"), "response_a": "a", "response_b": "b", "label": [1, 0, 1]}
    )
    read = PreferenceData.from_pandas
    for empty in ([0, None, 1], pd.Categorical(["x", None, "y"]), pd.array([0, None, 1], "Int64")):
        with pytest.raises(ValueError, match="row 1: objective is missing, other rows have it"):
            read(rows.assign(objective=empty))
    with pytest.raises(ValueError, match="row 2: model is missing"):
        read(rows.assign(model_a=["m", "m", "m"], model_b=["n", "n", None]))
    data = read(rows.assign(objective=[0.0, 2.0, 1.0]))
    assert data.objective.tolist() == [0, 2, 1] and "objective" not in data.names


def test_categories_of_either_side_are_names_and_numbers_are_codes():
    rows = pd.DataFrame({"prompt": list("pq"), "response_a": "a", "response_b": "b", "label": 1})
    models = rows.assign(
        model_a=pd.Categorical(["g", "h"]),
        model_b=pd.Categorical(["k", "g"]),
        objective=pd.Categorical([2, 1]),
    )
    data = PreferenceData.from_pandas(models)
    assert [pair.facts["model"] for pair in data] == [["g", "k"], ["h", "g"]]
    assert data.objective.tolist() == [1, 0] and data.names["objective"] == ("1", "2")
