"""Messages stay messages: in the data, through every form, to the chat template and to TRL."""

from __future__ import annotations

import copy
import importlib.util
import json
import pickle
from typing import Any

import pandas as pd
import pytest

from causalpref.data import Collector, Conversation, PreferenceData
from causalpref.text.embedding import messages, render

USER, ASSISTANT = "user", "assistant"


def said(role: str, content: str | None, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


def call(city: str, at: str = "c1") -> dict[str, Any]:
    return {
        "id": at,
        "type": "function",
        "function": {"name": "weather", "arguments": f'{{"city": "{city}"}}'},
    }


QUOTE = "Sum this up:\n\nHuman: where is it?\n\nAssistant: in Ulm"
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {"city": "string"}}}]
QUOTED = Conversation([said(USER, QUOTE)])
CHAT = Conversation(
    [said("system", "Be brief."), said(USER, "Hi\n\nAssistant: is quoted"), said(ASSISTANT, "Yes?")]
    + [said(USER, "Weather?")],
    tools=TOOLS,
)
LOOKS_UP = Conversation(
    [
        said(ASSISTANT, None, tool_calls=[call("Oslo"), call("Rome", "c2")]),
        said("tool", "12 C", tool_call_id="c1"),
        said("tool", "20 C", tool_call_id="c2"),
        said(ASSISTANT, "12 and 20."),
    ]
)


def test_what_a_message_quotes_is_never_a_turn():
    assert render(QUOTED, "It is in Ulm.") == f"{QUOTE}\nIt is in Ulm."
    assert render(QUOTED, "It is in Ulm.", "last_turn") == f"{QUOTE}\nIt is in Ulm."
    assert render(str(QUOTED), "so", "last_turn") == "where is it?\nso", "a plain text is parsed"
    assert render(CHAT, LOOKS_UP) == f"{CHAT}\n\nAssistant: {LOOKS_UP}"
    assert render(CHAT, "12 C", "last_turn") == "Weather?\n12 C"
    prefill = Conversation([said(USER, "Say"), said(ASSISTANT, "It ends in Assistant:")])
    assert render(prefill, "so") == f"{prefill}\n\nAssistant: so"


def test_the_chat_is_exactly_the_messages_of_both():
    assert messages(CHAT, LOOKS_UP) == [*CHAT.messages, *LOOKS_UP.messages]
    assert messages(CHAT, " plain ") == [*CHAT.messages, said(ASSISTANT, "plain")]
    assert messages(QUOTED, "x")[0] == said(USER, QUOTE)
    assert messages("Human: hi\n\nAssistant: I", LOOKS_UP) == [
        said(USER, "hi"),
        said(ASSISTANT, "I"),
        *LOOKS_UP.messages,
    ]
    assert LOOKS_UP.messages[0]["content"] == "", "null beside a tool call is no words"
    with pytest.raises(ValueError, match=r"messages\[0\] has the content None"):
        Conversation([said(ASSISTANT, None)])
    messages(CHAT, "x")[0]["content"] = "changed"
    assert CHAT.messages[0]["content"] == "Be brief."


def test_json_keeps_all_of_a_conversation():
    for text in (QUOTED, CHAT, LOOKS_UP):
        back = Conversation.from_json(text.to_json())
        assert (back, back.messages, back.tools) == (text, text.messages, text.tools)
    for cell in ('"words"', "[1]", '{"tools": []}', "no JSON"):
        with pytest.raises(ValueError):
            Conversation.from_json(cell)


# -- through the data -------------------------------------------------------------

needs_datasets = pytest.mark.skipif(
    importlib.util.find_spec("datasets") is None, reason="datasets is in the extra models"
)
NO = Conversation([said(ASSISTANT, "No.", weight=0.5)])
ANOTHER_TOOL = Conversation(
    [
        said(
            ASSISTANT,
            "Looking.",
            tool_calls=[{"function": {"name": "find", "arguments": {"deep": [1, {"x": None}]}}}],
            reasoning="why",
        )
    ]
)


def talk(**fields: Any) -> PreferenceData:
    """Conversations of every kind beside plain texts."""
    return PreferenceData(
        prompts=[QUOTED, CHAT, "plain?", "Human: hi\n\nAssistant: yes?\n\nHuman: why?"],
        responses=["In Ulm.", NO, LOOKS_UP, ANOTHER_TOOL, "a", "b", "c", " d"],
        response_prompt=[0, 0, 1, 1, 2, 2, 3, 3],
        pairs=[[0, 1], [2, 3], [5, 4], [6, 7]],
        label=[1, 0, 0, 1],
        **fields,
    )


def messages_of(data: PreferenceData) -> list[Any]:
    """What every pair shows: messages and tools, or the plain words."""
    texts = [(p.prompt, p.chosen, p.rejected) for p in data]
    return [
        [(t.messages, t.tools) if isinstance(t, Conversation) else t for t in row] for row in texts
    ]


def test_messages_stay_through_everything_that_makes_data_from_data(tmp_path):
    data = talk()
    shown = messages_of(data)
    assert shown[1][0] == (CHAT.messages, CHAT.tools)
    assert messages_of(data.select([1, 0]).compact()) == [shown[1], shown[0]]
    assert messages_of(data.swapped([1, 1, 0, 0]).replace(source="x")) == shown
    sides = data.split(a=0.5, b=0.5, seed=0).values()
    split = [row for side in sides for row in messages_of(side)]
    assert len(split) == 4 and all(row in shown for row in split)
    for back in (
        pickle.loads(pickle.dumps(data)),
        copy.deepcopy(data),
        PreferenceData.load(data.save(tmp_path / "x")),
    ):
        assert back == data and messages_of(back) == shown
    plain = data.replace(prompts=[str(text) for text in data.prompts])
    assert plain != data and plain.prompts.tolist() == data.prompts.tolist(), "messages count"


def test_rows_carry_messages_beside_the_words():
    data = talk()
    frame = data.to_pandas()
    assert frame.prompt.tolist() == data.prompts.tolist()
    assert frame.prompt_messages.isna().tolist() == [False, False, True, True]
    assert messages_of(PreferenceData.from_pandas(frame)) == messages_of(data)
    assert "prompt_messages" not in data.select([2, 3]).compact().to_pandas()
    frame.loc[0, "prompt"] = "other words"
    with pytest.raises(ValueError, match="row 0: prompt is 'other words', and prompt_messages re"):
        PreferenceData.from_pandas(frame)
    frame.loc[0, "prompt_messages"] = "[1]"
    with pytest.raises(ValueError, match=r"row 0: prompt_messages: the JSON '\[1\]' is no list"):
        PreferenceData.from_pandas(frame)


@needs_datasets
def test_datasets_and_files_of_them_carry_messages(tmp_path):
    data = talk(simulated=True, source="made up")
    data.to_dataset().save_to_disk(tmp_path / "x")
    data.to_pandas().to_parquet(tmp_path / "x.parquet")
    import datasets

    rows = datasets.load_from_disk(tmp_path / "x"), pd.read_parquet(tmp_path / "x.parquet")
    for form in rows:
        back = PreferenceData.from_dataset(form)
        assert messages_of(back) == messages_of(data)
        assert back.simulated and back.source == "made up"


# -- TRL --------------------------------------------------------------------------


@needs_datasets
def test_trl_gets_the_conversational_format(tmp_path):
    import datasets

    data = talk()
    rows = data.to_trl()
    rows.to_parquet(tmp_path / "x.parquet")
    for given in (rows, datasets.Dataset.from_parquet(str(tmp_path / "x.parquet"))):
        first, second, third, fourth = given
        assert [m["content"] for m in first["prompt"]] == [QUOTE]
        assert [(m["role"], m["content"]) for m in first["rejected"]] == [(ASSISTANT, "No.")]
        assert first["rejected"][0]["weight"] == 0.5 and first["chosen"][0]["tool_calls"] is None
        assert [m["role"] for m in second["prompt"]] == ["system", USER, ASSISTANT, USER]
        assert json.loads(second["tools"]) == TOOLS and first["tools"] is None
        cities = [c["function"]["arguments"] for c in second["rejected"][0]["tool_calls"]]
        assert cities == ['{"city": "Oslo"}', '{"city": "Rome"}']
        assert [m["role"] for m in second["rejected"]] == [ASSISTANT, "tool", "tool", ASSISTANT]
        assert second["rejected"][2]["tool_call_id"] == "c2"
        assert [m["content"] for m in third["prompt"]] == ["plain?"]
        assert [m["role"] for m in fourth["prompt"]] == [USER, ASSISTANT, USER]
        assert [m["content"] for m in fourth["rejected"]] == [" d"], "words stay as they are"
        back = PreferenceData.from_trl(given)
        assert messages_of(back)[0] == [
            (QUOTED.messages, None),
            ((said(ASSISTANT, "In Ulm."),), None),
            (NO.messages, None),
        ]
        assert messages_of(back)[1][2] == (LOOKS_UP.messages, None)
        assert messages_of(back)[1][0] == (CHAT.messages, CHAT.tools)
        again = messages_of(back)[1][1][0][0]
        called = again["tool_calls"][0]["function"]
        assert called == {"name": "find", "arguments": '{"deep": [1, {"x": null}]}'}
        assert again["reasoning"] == "why"
        assert back.responses[2:4].tolist() == [ANOTHER_TOOL, LOOKS_UP], "the words are the same"
        assert back.to_trl().to_dict() == rows.to_dict()


@needs_datasets
def test_trl_gets_strings_from_plain_texts_and_no_ties():
    plain = talk().select([2, 3]).compact()
    assert plain.to_trl()["chosen"][:] == ["a", "c"]
    tied = talk(strength=[1, 0, -1, 0])
    assert tied.to_trl().num_rows == 2 and tied.to_trl()[1]["chosen"][0]["content"] == "a"
    with pytest.raises(ValueError, match="all 1 pairs are ties"):
        tied.select([1]).to_trl()


def test_messages_that_are_none_are_refused_with_their_row():
    row = {"prompt": "p", "chosen": [said(ASSISTANT, "a")], "rejected": "b"}
    for bad, error in (([], TypeError), (["words"], TypeError), ([said("boss", "x")], ValueError)):
        with pytest.raises(error, match="row 1: .*(list of messages|role 'boss')"):
            PreferenceData.from_trl([row, {**row, "chosen": bad}])
    with pytest.raises(ValueError, match="row 0: tools is 'get', which is no JSON"):
        PreferenceData.from_trl([{**row, "tools": "get"}])


# -- the collector ------------------------------------------------------------------


def collected(*rows: tuple[str, str, str]) -> PreferenceData:
    collector = Collector()
    for number, row in enumerate(rows):
        collector.add(f"line {number}", *row, 1)
    return PreferenceData(**collector.fields())


def test_one_text_has_one_set_of_messages():
    for rows in ([(QUOTE, "a", "b"), (QUOTED, "a", "b")], [(QUOTED, "a", "b"), (QUOTE, "a", "b")]):
        data = collected(*rows)
        assert len(data.prompts) == 1 and data.prompts[0].messages == QUOTED.messages
    one = Conversation([said(USER, "x\n\nHuman: y"), said(ASSISTANT, "z")])
    two = Conversation([said(USER, "x"), said(USER, "y"), said(ASSISTANT, "z")])
    assert one == two, "they read the same"
    with pytest.raises(ValueError, match="messages of a prompt contradict line 0, which gives the"):
        collected((one, "a", "b"), (two, "a", "b"))
    with pytest.raises(ValueError, match="messages of a response contradict line 0"):
        collected(("p", two, one))
    assert len(collected(("p", one, "b"), ("q", two, "b")).responses) == 4


def test_the_ids_of_tool_calls_do_not_make_another_text():
    again = Conversation(
        [
            said(ASSISTANT, "", tool_calls=[call("Oslo", "x7"), call("Rome", "x8")]),
            said("tool", "12 C", tool_call_id="x7"),
            said("tool", "20 C", tool_call_id="x8"),
            said(ASSISTANT, "12 and 20."),
        ]
    )
    data = collected((CHAT, LOOKS_UP, "b"), (CHAT, again, "b"))
    assert len(data.responses) == 2 and data.responses[0].messages == LOOKS_UP.messages
