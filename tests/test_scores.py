"""From a file to scores of new text: recipes, truncation, objectives, prompts on two sides."""

from __future__ import annotations

import dataclasses
import json
import pickle
import shutil
import warnings
from itertools import pairwise

import numpy as np
import pytest
import torch
from conftest import toy

import causalpref as cp
from causalpref.data import Conversation
from causalpref.rewards import RewardConfig, RewardModel, Run, accuracy, correct, fit_runs, predict
from causalpref.studies.hh_rlhf import draw_confounded
from causalpref.text import embedding
from causalpref.text.embedding import embed, encode, render

WORDS = [f"w{i}" for i in range(60)]
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }} [end]{% endfor %}"
)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A small untrained model that opens and closes each text with tokens of its own."""
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    special = ["<pad>", "<unk>", "<s>", "</s>", "[user]", "[assistant]", "[end]"]
    vocabulary = {w: i for i, w in enumerate([*special, *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 2), ("</s>", 3)]
    )
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        additional_special_tokens=special[4:],
    )
    fast.chat_template = TEMPLATE
    torch.manual_seed(0)
    network = transformers.BertModel(
        transformers.BertConfig(
            vocab_size=len(vocabulary),
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=16,
            pad_token_id=0,
        )
    )
    folder = tmp_path_factory.mktemp("model")
    network.save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder


def asked(prompts: list[str], answers: list[list[str]]) -> cp.PreferenceData:
    """Prompts and the responses to each; a pair of each prompt's first two."""
    of = np.repeat(np.arange(len(prompts)), [len(a) for a in answers])
    first = np.searchsorted(of, np.arange(len(prompts)))
    pairs = np.column_stack([first, first + 1])
    responses = [text for said in answers for text in said]
    return cp.PreferenceData(prompts, responses, of, pairs, np.ones(len(pairs)))


class Read:
    """What reached the network, in words, one string a text."""

    def __init__(self, monkeypatch):
        self.texts: set[str] = set()
        plain = embedding._encode_into

        def noted(store, todo, encoder):
            self.texts |= {encoder.tokenizer.decode(t) for t in todo.values()}
            return plain(store, todo, encoder)

        monkeypatch.setattr(embedding, "_encode_into", noted)


def said(*numbers: int) -> str:
    return " ".join(WORDS[i] for i in numbers)


# -- truncation ---------------------------------------------------------------


def test_responses_to_a_prompt_keep_the_same_context(model, monkeypatch):
    """max_length 10: <s>, </s> and 8 words, of which at least 2 are the prompt's."""
    data = asked(
        [said(*range(6)), said(*range(20, 30)), said(9), said(8)],
        [
            [said(10, 11, 12, 13), said(10)],
            [said(*range(40, 52)), ""],
            [said(*range(40, 52)), said(1)],
            [said(1), said(2)],
        ],
    )
    read = Read(monkeypatch)
    with pytest.warns(UserWarning, match=r"50% of 8 responses lost the beginning of their prompt"):
        got = embed(data, model, max_length=10)
    inner = [
        [said(2, 3, 4, 5, 10, 11, 12, 13), said(2, 3, 4, 5, 10)],
        [said(28, 29, *range(40, 46)), said(28, 29)],
        [said(9, *range(40, 47)), said(9, 1)],
        [said(8, 1), said(8, 2)],
    ]
    kept = [text for pair in inner for text in pair]
    assert read.texts == {f"<s> {text} </s>" for text in kept}
    np.testing.assert_allclose(got.embeddings, encode(kept, model), atol=1e-5)
    assert got.recipe["truncated"] == {
        "responses": 8,
        "whole_prompt": 0,
        "part_of_prompt": 4,
        "part_of_response": 2,
    }


def test_a_chat_that_is_too_long_keeps_what_opens_and_closes_it(model, monkeypatch):
    data = asked(
        [said(*range(8)), said(30)], [[said(10, 11), said(12)], [said(*range(40, 60)), said(1)]]
    )
    read = Read(monkeypatch)
    with pytest.warns(UserWarning, match=r"100% of 4 .* 25% lost their own end \(max_length 9\)"):
        embed(data, model, template="chat", max_length=9)
    assert read.texts == {
        f"<s> {said(5, 6, 7)} [end] [assistant] {said(10, 11)} [end]",
        f"<s> {said(5, 6, 7)} [end] [assistant] {said(12)} [end]",
        f"<s> [assistant] {said(*range(40, 46))} [end]",
        f"<s> [assistant] {said(1)} [end]",
    }


@pytest.mark.parametrize("template", ["plain", "chat"])
def test_texts_that_fit_are_as_they_were_and_siblings_of_others_do_not_matter(model, template):
    short = asked([said(1, 2), said(3)], [[said(4), said(5, 6)], [said(7), ""]])
    alone = embed(short, model, template=template)
    assert not any(v for k, v in alone.recipe["truncated"].items() if k != "responses")
    prompts = short.prompts[short.response_prompt]
    texts = (
        [embedding.messages(x, y) for x, y in zip(prompts, short.responses)]
        if template == "chat"
        else [render(x, y) for x, y in zip(prompts, short.responses)]
    )
    np.testing.assert_allclose(alone.embeddings, encode(texts, model), atol=1e-6)
    more = asked(
        [*short.prompts, said(*range(9))],
        [["w4", "w5 w6"], ["w7", ""], [said(*range(30)), said(1)]],
    )
    for batch_size in (1, 3, 64):
        with pytest.warns(UserWarning, match="lost their own end"):
            got = embed(more, model, template=template, max_length=16, batch_size=batch_size)
        np.testing.assert_allclose(got.embeddings[:4], alone.embeddings, atol=1e-5)


def test_the_cache_tells_what_was_kept(model, tmp_path):
    """The same two texts, once with room for all and twice with other siblings."""
    prompt = said(*range(8))
    texts = [said(10), said(11)]
    ways = [
        (asked([prompt], [texts]), 64),
        (asked([prompt], [[*texts, said(*range(20, 24))]]), 10),
        (asked([prompt], [[*texts, said(*range(20, 26))]]), 10),
    ]
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for data, max_length in ways:
            cached = embed(data, model, max_length=max_length, cache=tmp_path)
            np.testing.assert_allclose(
                cached.embeddings, embed(data, model, max_length=max_length).embeddings, atol=1e-5
            )
            found.append(cached.embeddings[:2])
    for one, other in pairwise(found):
        assert (np.abs(one - other).max(1) > 1e-4).all()


def test_real_encoder_gives_both_responses_the_same_context(minilm, monkeypatch):
    prompt = "Human: " + " ".join(
        f"Sentence {i} of a long question about bread." for i in range(80)
    )
    answers = ["Yes.", "Use flour, water, salt and yeast. " * 6]
    read = Read(monkeypatch)
    with pytest.warns(UserWarning, match="100% of 2 responses lost the beginning of their prompt"):
        embed(asked([prompt], [answers]), minilm, max_length=128)
    short, long = sorted(read.texts, key=len)
    context = short.removesuffix(" yes. [SEP]")
    assert len(context) > 200 and long.startswith(context)
    assert context.endswith("bread. assistant :")
    with pytest.raises(ValueError, match="max_length is 2, expected more than 2"):
        embed(asked([prompt], [answers]), minilm, max_length=2)


# -- the recipe ----------------------------------------------------------------


def test_data_carry_the_recipe_of_their_embeddings(model, tmp_path):
    data = embed(toy(8), model, max_length=32)
    recipe = dict(data.recipe)
    assert recipe["identity"].startswith("sha256:") and recipe["max_length"] == 32
    for same in (
        data.select(slice(4)),
        data.compact(),
        data.split(a=0.5, b=0.5)["b"],
        data.replace(label=1 - data.label),
        cp.PreferenceData.load(data.save(tmp_path / "kept")),
        pickle.loads(pickle.dumps(data)),
    ):
        assert dict(same.recipe) == recipe
    assert data.replace(embeddings=data.embeddings).recipe is None
    assert data.replace(responses=data.responses[::-1]).recipe is None
    assert data.replace(embeddings=None, recipe=recipe).recipe is None
    assert data != data.replace(recipe=None) and data == data.replace(recipe=recipe)
    with pytest.raises(TypeError, match="recipe must be a mapping that JSON can hold"):
        data.replace(recipe={"a": object()})


def test_a_recipe_makes_the_same_embeddings_and_notices_another_model(model, tmp_path):
    data = toy(8)
    made = embed(data, model, pooling="last", max_length=32)
    assert embed(data, made.recipe) == made
    hashed = cp.hashed_ngrams(data, n_features=16, ngram_range=(1, 1))
    assert embed(data, hashed.recipe) == hashed
    with pytest.raises(ValueError, match="max_length is given beside a recipe"):
        embed(data, made.recipe, max_length=8)
    copy = tmp_path / "copy"
    shutil.copytree(model, copy)
    moved = {**made.recipe, "model": str(copy)}
    np.testing.assert_array_equal(embed(data, moved).embeddings, made.embeddings)
    (copy / "config.json").write_text((copy / "config.json").read_text() + "\n")
    with pytest.raises(ValueError, match=r"copy is not the one of the recipe: its identity is sha"):
        embed(data, moved)
    shutil.rmtree(copy)
    with pytest.raises(FileNotFoundError, match="copy, the folder .* is not there: .*encoder="):
        embed(data, moved)
    with pytest.raises(ValueError, match="the recipe has the truncation 'none', expected"):
        embed(data, {**made.recipe, "truncation": "none"})


def fitted(data, kind="multihead"):
    return cp.fit(RewardConfig(kind, hidden=8), *data.split(a=0.5, b=0.5).values(), epochs=1)


def test_a_model_refuses_embeddings_made_otherwise(model):
    data = toy(12)
    own = embed(data, model)
    fit = fitted(own)
    for judge in (predict, correct, accuracy):
        judge(fit.model, own)
        with pytest.raises(ValueError, match="otherwise .* pooling is 'last' .* expected 'mean'"):
            judge(fit.model, embed(data, model, pooling="last"))
    with pytest.raises(ValueError, match="template is 'chat'"):
        fit.score(embed(data, model, template="chat"), objective=0)
    with pytest.raises(ValueError, match="kind is 'hashed n-grams'"):
        fit.predict(cp.hashed_ngrams(data, n_features=16))
    unknown = own.replace(embeddings=own.embeddings)
    with pytest.raises(ValueError, match="do not say how their embeddings were made"):
        fit.predict(unknown)
    np.testing.assert_array_equal(
        fit.predict(unknown.replace(recipe=fit.model.recipe)), fit.predict(own)
    )
    fitted(unknown).predict(own)  # a model of vectors from anywhere takes any
    sides = own.split(a=0.5, b=0.5)
    with pytest.raises(ValueError, match="otherwise than those of the training data: max_length"):
        cp.fit("base", sides["a"], embed(sides["b"], model, max_length=64))


# -- scores --------------------------------------------------------------------


@pytest.fixture(scope="module")
def helpful_and_harmless(model):
    data = toy(12).replace(names={"objective": ("helpful", "harmless")})
    return fitted(embed(data, model)), data


@pytest.mark.parametrize("kind", ["base", "multihead"])
def test_scores_are_those_of_the_data_from_text_and_from_a_file(model, tmp_path, kind):
    data = toy(12).replace(
        names={"objective": ("helpful", "harmless")},
        prompts=[f"{WORDS[i]} and more" for i in range(12)],
        responses=[f"{WORDS[i % 50]} {WORDS[-i % 7]}" for i in range(36)],
    )
    data = embed(data, model)
    fit = fitted(data, kind)
    loaded = cp.load_model(fit.save(tmp_path / "m.safetensors"))
    assert loaded.recipe == fit.model.recipe and loaded.objectives == ("helpful", "harmless")
    asked = data.prompts[data.response_prompt]
    scores = [fit.score(asked, data.responses, name) for name in ("helpful", 1)]
    assert scores[0].shape == (36,) and not np.allclose(*scores)
    np.testing.assert_allclose(scores[0], loaded.score(list(asked), list(data.responses), 0))
    np.testing.assert_allclose(scores[1], loaded.score(data, objective="harmless"), atol=1e-6)
    bare = data.replace(embeddings=None)
    np.testing.assert_allclose(scores[1], loaded.score(bare, objective="harmless"), atol=1e-6)
    margin = np.array(scores)[data.objective, data.pairs.T]
    np.testing.assert_allclose(fit.predict(data), margin[0] - margin[1], atol=1e-6)
    other = cp.load_model(cp.save_model(loaded, tmp_path / "again.safetensors"))
    np.testing.assert_array_equal(other.score("w1", "w2", 0), loaded.score("w1", ["w2"], 0))


def test_one_prompt_many_responses_and_conversations(model, helpful_and_harmless):
    fit, _ = helpful_and_harmless
    both = fit.score("w1 w2", ["w3", "w4 w5"], "helpful")
    np.testing.assert_allclose(both, fit.score(["w1 w2"] * 2, np.array(["w3", "w4 w5"]), "helpful"))
    turns = [
        {"role": "user", "content": "w1"},
        {"role": "assistant", "content": "w2"},
        {"role": "user", "content": "w3"},
    ]
    chat = cp.fit(
        "base", *embed(toy(12), model, template="chat").split(a=0.5, b=0.5).values(), epochs=1
    )
    said = Conversation(turns)
    one = chat.score(turns, [[{"role": "assistant", "content": "w4"}], "w5"], 0)
    np.testing.assert_allclose(one, chat.score([said, turns], ["w4", "w5"], 0), atol=1e-6)
    swapped = [{**turns[0], "role": "system"}, *turns[1:]]
    assert not np.allclose(one, chat.score(swapped, ["w4", "w5"], 0))
    with pytest.raises(ValueError, match=r"prompts\[1\] reads like prompts\[0\] but has other"):
        chat.score([Conversation([{"role": "user", "content": str(said)}]), said], ["a", "b"], 0)


@pytest.mark.parametrize(
    ("asked", "error", "says"),
    [
        (
            ("w1", "w2"),
            ValueError,
            r"2 objectives.*pass objective=, one of 0 \(helpful\), 1 \(harm",
        ),
        (("w1", "w2", "honest"), ValueError, "no objective 'honest'; there are 0 .helpful"),
        (("w1", "w2", 2), ValueError, "no objective 2; there are"),
        (("w1", "w2", 1.0), TypeError, "objective is 1.0, expected a name or a whole number"),
        ((["w1", "w2"], ["w3"], 0), ValueError, "2 prompts and 1 responses, expected as many"),
        (("w1", [], 0), ValueError, "responses is empty"),
        (("w1", None, 0), ValueError, "responses is missing"),
        ((["w1", 7], ["w2", "w3"], 0), TypeError, r"prompts\[1\] is '7' \(int\)"),
        (({"role": "user"}, "w1", 0), TypeError, "prompts is of type dict, expected texts"),
        (([{"role": "me", "content": ""}], "w1", 0), ValueError, "prompts: .*has the role 'me'"),
    ],
)
def test_score_refuses(helpful_and_harmless, asked, error, says):
    with pytest.raises(error, match=says):
        helpful_and_harmless[0].score(*asked)


def test_one_objective_needs_no_name_and_a_model_without_a_recipe_says_what_to_do(model):
    data = toy(12).replace(objective=None)
    fit = fitted(cp.hashed_ngrams(data, n_features=16))
    np.testing.assert_array_equal(fit.score("q", ["a b", "c"]), fit.score("q", ["a b", "c"], 0))
    with pytest.raises(ValueError, match="no objective 'helpful'; there are 0"):
        fit.score("q", "a", "helpful")
    own = fitted(data)
    assert own.score(data).shape == (36,)
    with pytest.raises(ValueError, match="does not know how its embeddings were made, .*embed"):
        own.score("q", "a")
    with pytest.raises(ValueError, match="objectives holds 2 names, config.n_objectives is 1"):
        RewardModel(RewardConfig("base", 4, 1), objectives=("a", "b"))


def test_objectives_go_by_their_names():
    """The same judgements with the codes the other way round."""
    data = toy(20).replace(names={"objective": ("helpful", "harmless")})
    fit = fitted(data)
    turned = data.replace(
        objective=1 - data.objective, names={"objective": ("harmless", "helpful")}
    )
    np.testing.assert_array_equal(fit.predict(turned), fit.predict(data))
    a, b = (side.split(a=0.5, b=0.5) for side in (data, turned))
    config = RewardConfig("multihead", hidden=8)
    runs = [Run(config, a["a"], side) for side in (a["b"], b["b"])]
    one, other = (f.history for f in fit_runs(runs, epochs=2))
    assert one.equals(other)
    with pytest.raises(ValueError, match="objective 'honest', the model was fitted to helpful, ha"):
        fit.predict(data.replace(names={"objective": ("helpful", "honest")}))


# -- prompts on two sides --------------------------------------------------------


def test_fit_refuses_prompts_that_differ_by_blanks_or_case():
    data = toy(20)
    sides = data.split(a=0.5, b=0.5)
    a, b = sides.values()
    near = b.replace(prompts=[f"  {p.upper()}\n" for p in a.prompts])
    with pytest.raises(
        ValueError, match=r"share 10 prompts, 10 of them but .* data\.split\(train="
    ):
        cp.fit("base", a, near)
    both = data.replace(
        prompts=[p.upper() if i % 2 else data.prompts[i + 1] for i, p in enumerate(data.prompts)]
    )
    for seed in range(5):
        cp.fit("base", *both.split(a=0.5, b=0.5, seed=seed).values(), epochs=1)
    grouped = both.replace(prompt_group=np.r_[0, np.arange(19)])
    for side in grouped.split(a=0.5, b=0.5).values():
        used = {p.casefold() for p in side.prompts}
        assert len(side.prompts) == 2 * len(used)
        assert ("prompt 1" in used) == ("prompt 3" in used), "group 0 joins prompts 0 and 1"


def test_a_draw_parts_no_prompts_that_fit_would_refuse():
    data = toy(80)
    twice = [p.upper() if i % 2 else data.prompts[i + 1] for i, p in enumerate(data.prompts)]
    draw = draw_confounded(data.replace(prompts=twice), 0.5, n_train=16, n_validation=8)
    cp.fit("base", draw.train, draw.validation, epochs=1)


def test_accuracy_on_prompts_of_the_training_warns():
    data = toy(20).replace(simulated=False)
    sides = data.split(a=0.4, b=0.3, c=0.3)
    fit = cp.fit("base", sides["a"], sides["b"], epochs=1)
    seen = [*sides["a"].prompts, *sides["c"].prompts]
    with pytest.warns(UserWarning, match="57% of these 28 pairs have prompts that were in train"):
        shared = fit.accuracy(data.select(np.isin(data.prompts[data.pair_prompt], seen)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert fit.accuracy(sides["c"]) != shared
        fit.accuracy(data.replace(simulated=True))


def test_a_fit_in_one_line():
    fit = fitted(toy(20).replace(names={"objective": ("helpful", "harmless")}))
    assert repr(fit).startswith(
        "Fit(multihead on 20 pairs; helpful, harmless; epoch 1 of 1 kept, v"
    )
    broken = dataclasses.replace(fit, diverged="the loss is nan in epoch 1", train=None)
    assert repr(broken) == "Fit(multihead; helpful, harmless; the loss is nan in epoch 1)"


def test_a_file_to_scores_in_ten_lines(model, tmp_path):
    rows = [
        {"prompt": f"w{i} w1", "chosen": f"w{i} w2 w3", "rejected": f"w{i} w4"} for i in range(30)
    ]
    path = tmp_path / "prefs.jsonl"
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    data = cp.embed(cp.load_preferences(path), model)
    parts = data.split(train=0.8, validation=0.1, test=0.1)
    fit = cp.fit("multihead", parts["train"], parts["validation"], learning_rate=0.01)
    scores = fit.score(["w40 w1", "w41 w1"], ["w40 w2 w3", "w41 w4"])
    assert scores[0] > scores[1] and fit.accuracy(parts["test"]).all == 1
    loaded = cp.load_model(fit.save(tmp_path / "model.safetensors"))
    np.testing.assert_array_equal(
        loaded.score(["w40 w1", "w41 w1"], ["w40 w2 w3", "w41 w4"]), scores
    )
    assert cp.hashed_ngrams(cp.load_preferences(path)) == cp.hashed_ngrams(data)
