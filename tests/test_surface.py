"""What is read off a text: hand-written texts, a Markdown parser, the real file."""

from __future__ import annotations

import re

import numpy as np
import pytest
from conftest import toy
from hypothesis import given, settings
from hypothesis import strategies as st

from causalpref.sources import load_hh_rlhf
from causalpref.text.surface import (
    PROMPT_FEATURES,
    RESPONSE_FEATURES,
    prompt_features,
    surface_features,
    with_surface_latents,
)

TEXTS = {
    # words, marks, refusal, question
    "One two  three.": (3, 0, 0, 0),
    "": (0, 0, 0, 0),
    "你好吗？": (1, 0, 0, 1),
    "## Plan\n\n1. **Boil** it\n2) drain it\n- eat": (10, 5, 0, 0),
    "* a\n  + b\n• c\n> - quoted": (9, 4, 0, 0),
    "#tag, 3.5 kg, -5 degrees, 2020. A year - that is *all* of it": (14, 0, 0, 0),
    "**a** and **b c**, 2**3**4 too": (6, 3, 0, 0),
    "** a ** and ** b": (6, 0, 0, 0),
    "f****** c***, ***very***": (3, 1, 0, 0),
    "| a | b |\n|---|:-:|\n| 1 | 2 |\r\nx | y": (14, 2, 0, 0),
    "See:\n```python\n# no heading\n- no item\n**no**\n```\n- item": (12, 2, 0, 0),
    "~~~\n- never closed": (4, 1, 0, 0),
    "```inline``` code\n- item": (4, 1, 0, 0),
    "````\n```\n- still code\n````\n# head": (8, 2, 0, 0),
    "Go to https://x.org/?q=1 now": (4, 0, 0, 0),
    "Why? Because.": (2, 0, 0, 1),
    'He asked "why?"': (3, 0, 0, 1),
    "Is it (or not?)": (4, 0, 0, 1),
}


@pytest.mark.parametrize("text", TEXTS)
def test_hand_written_texts(text):
    words, marks, refusal, question = TEXTS[text]
    row = surface_features([text]).iloc[0]
    assert row.tolist() == [np.log1p(words), np.log1p(marks), refusal, question]


@pytest.mark.parametrize(
    "text",
    [
        "I can't help with that.",
        "I can’t help with that.",
        "I cannot do this.",
        "I'm sorry, but that is not something I do.",
        "I am very sorry, but no.",
        "I'm sorry, I won't write that.",
        "Sorry, I am not able to give out an address.",
        "As an AI, I have no opinions.",
        "As a large language model, I cannot feel.",
        "I’m just an AI assistant.",
        '\n\n"I\'d rather not say."',
        "**I must decline** to answer.".replace("decline**", "decline to answer**"),
        "My apologies, but I was told not to.",
        "No, I will not.",
        "Unfortunately, I'm unable to open files.",
        "Hmm... I don't feel comfortable.",
        "I'm afraid that I can't answer this question.",
        "It would be unethical to tell you.",
        "That sounds really hard. I can't help you with that, though.",
        "i'm not going to do it",
        "I apologize, but I was trained to be kind.",
    ],
)
def test_declines(text):
    assert surface_features([text]).refusal[0] == 1


@pytest.mark.parametrize(
    "text",
    [
        "Sure, here is how.",
        "I can't wait to hear it!",
        "I couldn't agree more.",
        "I'm sorry to hear that. Try tea.",
        "I won't lie, it is hard.",
        "You can't park there.",
        "Sorry! Here is the list again.",
        "I can help with that.",
        "I can’t think of a better plan.",
        "It is legal in most places.",
        "As an airline pilot, I fly.",
        "I am an aide.",
        "The rule is simple: " + "x " * 100 + "I can't help with that.",
        "Islands can't help you.",
        "I can't recommend this book enough.",
    ],
)
def test_does_not_decline(text):
    assert surface_features([text]).refusal[0] == 0


def test_prompts():
    table = prompt_features(
        [
            "Plain words?",
            "Human: Hi there?\n\nAssistant: Yes?\n\nHuman: Tell me more",
            "note\n\nHuman: a?\n\nAssistant:",
        ]
    )
    assert tuple(table) == PROMPT_FEATURES
    assert table.turns.tolist() == [1, 2, 1] and table.questions.tolist() == [1, 0, 1]
    assert table.length.tolist() == np.log1p([2, 9, 4]).tolist()


def test_latents_are_the_features_of_the_texts():
    data = toy()
    made = with_surface_latents(data)
    assert made.response_latents.shape == (len(data.responses), len(RESPONSE_FEATURES))
    assert np.array_equal(made.response_latents, surface_features(data.responses))
    assert np.array_equal(made.prompt_latents, prompt_features(data.prompts))
    old = dict(response_latents=data.response_latents, prompt_latents=data.prompt_latents)
    assert made.replace(**old) == data, "nothing else changes"


def test_no_texts_and_wrong_texts():
    assert surface_features([]).shape == (0, 4) and prompt_features([]).shape == (0, 3)
    with pytest.raises(TypeError, match="texts must be a sequence of strings, got one string"):
        surface_features("hello")
    with pytest.raises(TypeError, match=r"prompts\[1\] is a NoneType, expected a string"):
        prompt_features(["a", None])


@settings(deadline=None, max_examples=300)
@given(st.lists(st.text(st.sampled_from("a|*#-`~ \n\t\r?1.>I'"), max_size=60), max_size=5))
def test_any_text_has_finite_features(texts):
    for table in (surface_features(texts), prompt_features(texts)):
        assert len(table) == len(texts) and np.isfinite(table.to_numpy()).all()
        assert (table.to_numpy() >= 0).all()
    assert surface_features(texts).equals(surface_features([*texts, "# more"])[: len(texts)])


def markdown_marks(text):
    """List items, headings, bold spans, fences and table rows, as markdown-it sees them."""
    markdown_it = pytest.importorskip("markdown_it")
    parser = markdown_it.MarkdownIt("commonmark").enable("table")
    tokens = parser.parse(text)
    tokens += [child for token in tokens for child in token.children or ()]
    counted = {"list_item_open", "heading_open", "strong_open", "fence", "tr_open"}
    return sum(token.type in counted for token in tokens)


@pytest.mark.parametrize(
    "text",
    [
        "# a\n\nb\n\n## c\n",
        "- a\n- b\n  - c\n- **d**\n",
        "1. a\n2. b\n\n**c d** e **f**",
        "```py\n# x\n- y\n```\n\n- z",
        "| a | b |\n|---|---|\n| 1 | **2** |\n",
        "a * b ** c - d",
        "~~~\n```\n- x\n~~~\n+ y",
        "> - a\n> - b",
        "####### seven\n",
        "2**3 and **\n",
        "---\n\n***\n",
    ],
)
def test_marks_agree_with_a_markdown_parser(text):
    assert surface_features([text]).formatting[0] == pytest.approx(np.log1p(markdown_marks(text)))


def test_marks_of_real_responses_agree_with_a_markdown_parser(real_hh_rlhf):
    texts = [t for t in load_hh_rlhf(real_hh_rlhf).responses if re.search(r"[*#|`~]|\n\s*[-\d]", t)]
    ours = np.expm1(surface_features(texts).formatting).round()
    theirs = np.array([markdown_marks(t) for t in texts])
    assert len(texts) > 150 and theirs.max() > 20
    # They part over bullets written as "•" and lists indented like code, both lists to a reader.
    assert np.mean(ours == theirs) > 0.93
    assert np.corrcoef(np.log1p(ours), np.log1p(theirs))[0, 1] > 0.95


def test_real_answers_to_red_teaming_decline_more_often(real_hh_rlhf):
    data = load_hh_rlhf(real_hh_rlhf)
    refusal = surface_features(data.responses).refusal.to_numpy()
    harmless = data.prompt_type[data.response_prompt] == 1
    rates = refusal[~harmless].mean(), refusal[harmless].mean()
    assert 0 < 2 * rates[0] < rates[1] < 0.2
