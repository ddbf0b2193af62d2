"""Embeddings against plain transformers, at any batch size and padding side; the cache."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from conftest import toy

from causalpref.text import embedding
from causalpref.text.embedding import embed, encode, hashed_ngrams, messages, pool, render

TEXTS = [
    "one",
    "two words",
    "three words here",
    "a b c d e f g h i j",
    "one two three four five",
    "",
    "two words",
]


@pytest.fixture(scope="module", params=["bert", "llama"])
def tiny(request, tmp_path_factory):
    """A small untrained model from its config, with a word-level tokenizer."""
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = sorted({w for t in TEXTS for w in t.split()} | {"user", "assistant", "system"})
    vocabulary = {w: i for i, w in enumerate(["<pad>", "<unk>", *words])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>"
    )
    fast.chat_template = "{% for m in messages %}{{ m['role'] }} {{ m['content'] }} {% endfor %}"
    size = dict(
        vocab_size=len(vocabulary),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        pad_token_id=0,
    )
    torch.manual_seed(0)
    model = (
        transformers.BertModel(transformers.BertConfig(**size))
        if request.param == "bert"
        else transformers.LlamaModel(transformers.LlamaConfig(**size, num_key_value_heads=2))
    )
    folder = tmp_path_factory.mktemp(request.param)
    model.save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder


def reference(folder, text, pooling):
    """One text alone, without padding, by plain transformers."""
    from transformers import AutoModel, AutoTokenizer

    ids = AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt")["input_ids"]
    if ids.numel() == 0:
        return np.zeros(16, np.float32)
    with torch.inference_mode():
        hidden = AutoModel.from_pretrained(folder).eval()(ids).last_hidden_state[0]
    return (hidden.mean(0) if pooling == "mean" else hidden[-1]).numpy()


@pytest.mark.parametrize("pooling", ["mean", "last"])
def test_equals_one_text_at_a_time(tiny, pooling):
    expected = np.stack([reference(tiny, t, pooling) for t in TEXTS])
    for batch_size in (1, 3, 64):
        got = encode(TEXTS, tiny, pooling=pooling, batch_size=batch_size)
        np.testing.assert_allclose(got, expected, atol=1e-5)
        assert got.dtype == np.float32


def test_padding_side_of_the_tokenizer_changes_nothing(tiny, tmp_path):
    import shutil

    from transformers import AutoTokenizer

    right = encode(TEXTS, tiny, batch_size=4, pooling="last")
    left = tmp_path / "left"
    shutil.copytree(tiny, left)
    AutoTokenizer.from_pretrained(tiny, padding_side="left").save_pretrained(left)
    assert AutoTokenizer.from_pretrained(left).padding_side == "left"
    np.testing.assert_allclose(encode(TEXTS, left, batch_size=4, pooling="last"), right, atol=1e-5)


def test_pool_by_hand():
    hidden = torch.arange(12.0).reshape(1, 4, 3).repeat(3, 1, 1)
    mask = torch.tensor([[1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 0, 0]])
    assert pool(hidden, mask, "last").tolist() == [[3, 4, 5], [9, 10, 11], [0, 0, 0]]
    broken = torch.where(mask.bool().unsqueeze(-1), hidden, torch.nan)
    for pooling in ("mean", "last"):
        assert torch.isfinite(pool(broken, mask, pooling)).all(), "padding cannot leak"
    assert pool(hidden, mask, "mean").tolist() == [[1.5, 2.5, 3.5], [7.5, 8.5, 9.5], [0, 0, 0]]
    with pytest.raises(ValueError, match="pooling is 'cls'"):
        pool(hidden, mask, "cls")


def test_long_texts_keep_their_end(tiny):
    long = " ".join(["one"] * 50 + ["two", "words"])
    cut = encode([long], tiny, max_length=2)
    np.testing.assert_allclose(cut, encode(["two words"], tiny), atol=1e-5)


class Counter:
    """Counts the texts that reach the model."""

    def __init__(self, monkeypatch):
        self.texts = 0
        plain = embedding._encode_into

        def counted(store, todo, *args, **options):
            self.texts += len(todo)
            return plain(store, todo, *args, **options)

        monkeypatch.setattr(embedding, "_encode_into", counted)


def test_each_text_is_encoded_once_ever(tiny, tmp_path, monkeypatch):
    count = Counter(monkeypatch)
    first = encode(TEXTS, tiny, cache=tmp_path)
    assert count.texts == 6, "the repeated text is encoded once"
    again = encode(TEXTS[::-1], tiny, cache=tmp_path)[::-1]
    assert count.texts == 6
    np.testing.assert_array_equal(first, again)
    encode([*TEXTS, "new words"], tiny, cache=tmp_path)
    assert count.texts == 7
    for other, changed in (
        ({"pooling": "last"}, 6),
        ({"dtype": "bfloat16"}, 6),
        ({"max_length": 3}, 2),
    ):
        before = count.texts
        got = encode(TEXTS, tiny, cache=tmp_path, **other)
        assert count.texts == before + changed, f"{other} makes other embeddings"
        np.testing.assert_allclose(got, encode(TEXTS, tiny, **other), atol=1e-5)


def test_other_weights_are_another_model(tiny, tmp_path, monkeypatch):
    import shutil

    from transformers import AutoModel

    count = Counter(monkeypatch)
    encode(TEXTS, tiny, cache=tmp_path / "cache")
    copy = tmp_path / "model"
    shutil.copytree(tiny, copy)
    encode(TEXTS, copy, cache=tmp_path / "cache")
    assert count.texts == 6, "the same weights in another folder are the same model"
    model = AutoModel.from_pretrained(copy)
    with torch.no_grad():
        next(model.parameters()).add_(1.0)
    model.save_pretrained(copy)
    encode(TEXTS, copy, cache=tmp_path / "cache")
    assert count.texts == 12


def test_killed_run_goes_on_where_it_was(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(embedding, "_CHUNK", 2)
    add, calls = embedding._Cache.add, []

    def dies_on_the_third(self, new):
        calls.append(len(new))
        if len(calls) == 3:
            raise KeyboardInterrupt
        add(self, new)

    monkeypatch.setattr(embedding._Cache, "add", dies_on_the_third)
    with pytest.raises(KeyboardInterrupt):
        encode(TEXTS, tiny, cache=tmp_path)
    monkeypatch.setattr(embedding._Cache, "add", add)
    count = Counter(monkeypatch)
    got = encode(TEXTS, tiny, cache=tmp_path)
    assert count.texts == 2
    np.testing.assert_allclose(got, encode(TEXTS, tiny), atol=1e-5)


def test_damaged_cache_is_named(tiny, tmp_path):
    encode(TEXTS, tiny, cache=tmp_path)
    file = next(tmp_path.rglob("*.safetensors"))
    file.write_bytes(file.read_bytes()[:40])
    with pytest.raises(ValueError, match="is damaged .* delete it"):
        encode(TEXTS, tiny, cache=tmp_path)


def test_embed_fills_the_data(tiny):
    data = toy(5)
    got = embed(data, tiny)
    assert got.embeddings.shape == (15, 16) and got.replace(embeddings=data.embeddings) == data
    chat = embed(data, tiny, template="chat")
    assert not np.allclose(chat.embeddings, got.embeddings)
    for bad in ({"template": "markdown"}, {"pooling": "cls"}, {"batch_size": 0}):
        with pytest.raises(ValueError, match=next(iter(bad))):
            embed(data, tiny, **bad)
    with pytest.raises(ValueError, match="texts is empty"):
        encode([], tiny)
    with pytest.raises(TypeError, match="one string"):
        encode("one two", tiny)


def test_a_template_that_refuses_names_the_text(tiny, tmp_path):
    import shutil

    copy = tmp_path / "m"
    shutil.copytree(tiny, copy)
    (copy / "chat_template.jinja").write_text(
        "{% if messages[0].content == 'bad' %}{{ raise_exception('no such words') }}{% endif %}x"
    )
    chats = [[{"role": "user", "content": c}] for c in ("good", "bad")]
    with pytest.raises(ValueError, match=r"refuses text 1, with roles \['user'\]: no such words"):
        encode(chats, copy)


def test_the_template_sees_roles_tool_calls_and_tools(tiny, tmp_path):
    import shutil

    from causalpref.data import Conversation, PreferenceData

    copy = tmp_path / "m"
    shutil.copytree(tiny, copy)
    (copy / "chat_template.jinja").write_text(
        "{% if tools %}{{ tools[0].name }} {% endif %}{% for m in messages %}"
        "{{ m.role }} {{ m.content }} {% for c in m.tool_calls or [] %}{{ c.function.arguments.x }}"
        "{% endfor %}{% endfor %}"
    )
    call = {"type": "function", "function": {"name": "a", "arguments": '{"x": "words"}'}}
    prompt = Conversation(
        [{"role": "system", "content": "a"}, {"role": "user", "content": "b"}],
        tools=[{"name": "three"}],
    )
    answers = Conversation([{"role": "assistant", "content": "", "tool_calls": [call]}]), "two"
    data = PreferenceData([prompt], answers, [0, 0], [[0, 1]], [1])
    got = embed(data, copy, template="chat").embeddings
    shown = ["three system a user b assistant  words", "three system a user b assistant two "]
    expected = np.stack([reference(copy, text, "mean") for text in shown])
    np.testing.assert_allclose(got, expected, atol=1e-5)
    assert call["function"]["arguments"] == '{"x": "words"}', "the data keep the string"


def test_only_safetensors_weights_and_only_lengths_that_fit(tiny, tmp_path):
    import shutil

    with pytest.raises(ValueError, match="max_length is 99999, the model reads"):
        encode(TEXTS, tiny, max_length=99_999)
    copy = tmp_path / "m"
    shutil.copytree(tiny, copy)
    (copy / "model.safetensors").unlink()
    torch.save({}, copy / "pytorch_model.bin")
    with pytest.raises(OSError):
        encode(TEXTS, copy)


def test_chat_needs_a_template(tiny, tmp_path):
    import shutil

    copy = tmp_path / "m"
    shutil.copytree(tiny, copy)
    (copy / "chat_template.jinja").unlink()
    with pytest.raises(ValueError, match="has no chat template"):
        embed(toy(2), copy, template="chat")


def test_render_and_messages():
    prompt = "Human: hi\n\nAssistant: yes?\n\nHuman: why: tell\n\nmore\n\nAssistant:"
    assert render(prompt, "because") == prompt + " because"
    assert render("Human: why?", "so") == "Human: why?\n\nAssistant: so"
    assert render("why?", "so") == render("why?", "so", "last_turn") == "why?\nso"
    assert render("Human: Say 'Human: hi'", "so", "last_turn") == "Say 'Human: hi'\nso"
    assert render("Human: hi\n\nAssistant: ", "so", "last_turn") == "hi\nso"
    assert render(prompt, "because", "last_turn") == "why: tell\n\nmore\nbecause"
    assert messages(prompt, " because") == [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "yes?"},
        {"role": "user", "content": "why: tell\n\nmore"},
        {"role": "assistant", "content": "because"},
    ]
    assert messages("plain question", "a")[0] == {"role": "user", "content": "plain question"}
    assert messages("Be kind.\n\nHuman: hi\n\nHuman: there?\n\nAssistant: I", "am") == [
        {"role": "user", "content": "Be kind.\n\nhi\n\nthere?"},
        {"role": "assistant", "content": "I\n\nam"},
    ], "roles alternate whatever the prompt"


def test_real_encoder_agrees_with_its_own_library(minilm):
    from sentence_transformers import SentenceTransformer

    texts = ["The cat sat on the mat.", "A reward model scores answers. " * 40, "Why?"]
    ours = encode(texts, minilm, max_length=128, batch_size=2)
    theirs = SentenceTransformer(str(minilm), device="cpu")
    theirs.max_seq_length = 128
    theirs.tokenizer.truncation_side = "left"
    expected = theirs.encode(texts, normalize_embeddings=True)
    ours /= np.linalg.norm(ours, axis=1, keepdims=True)
    np.testing.assert_allclose(ours, expected, atol=1e-5)


def test_hashed_ngrams():
    data = toy(4)
    got = hashed_ngrams(data, n_features=64).embeddings
    assert got.shape == (12, 64)
    np.testing.assert_allclose(np.linalg.norm(got, axis=1), 1, rtol=1e-6)
    same = data.replace(responses=["same words"] * 12)
    assert np.ptp(hashed_ngrams(same).embeddings, axis=0).max() == 0
    assert not hashed_ngrams(data.replace(responses=[""] * 12)).embeddings.any()
