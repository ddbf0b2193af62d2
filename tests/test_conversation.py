"""Messages stay messages: in the data, through every form, to the chat template and to TRL."""

from __future__ import annotations

from typing import Any

import pytest

from causalpref.data import Conversation
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
