"""Conversations as transcripts with ``Human:`` and ``Assistant:`` turns, as HH-RLHF has them."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from causalpref.data import Conversation

__all__ = ["first_turn", "turns"]


def turns(transcript: str) -> list[tuple[str, str]]:
    """Speaker and words of each turn of an HH-RLHF transcript.

    ``Human:`` or ``Assistant:`` at the start of a paragraph begins a turn; the speaker of
    what stands before the first one is ``""``. A turn without words is left out.
    A :class:`~causalpref.data.Conversation` gives the turns that it holds; nothing is parsed.
    """
    if isinstance(transcript, Conversation):
        return [(name, words.strip()) for name, words in transcript.turns if words.strip()]
    found = [["", ""]]
    for paragraph in transcript.strip().split("\n\n"):
        name, mark, rest = paragraph.partition(":")
        if mark and name in ("Human", "Assistant"):
            found.append([name, rest.strip()])
        else:
            found[-1][1] += "\n\n" + paragraph
    return [(name, words.strip()) for name, words in found if words.strip()]


def first_turn(prompts: Iterable[str]) -> np.ndarray:
    """The opening human turn of each conversation, shape (n_prompts,).

    Prompts cut from one conversation share it, so it says which prompts belong together:
    otherwise a test prompt can repeat a training conversation up to its last turns.
    """
    found = [next((words for name, words in turns(p) if name == "Human"), p) for p in prompts]
    return np.fromiter(found, dtype=object, count=len(found))
