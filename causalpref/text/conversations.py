"""Conversations as transcripts with ``Human:`` and ``Assistant:`` turns, as HH-RLHF has them."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from causalpref.data import turns

__all__ = ["first_turn", "turns"]


def first_turn(prompts: Iterable[str]) -> np.ndarray:
    """The opening human turn of each conversation, shape (n_prompts,).

    Prompts cut from one conversation share it, so it says which prompts belong together:
    otherwise a test prompt can repeat a training conversation up to its last turns.
    """
    found = [next((words for name, words in turns(p) if name == "Human"), p) for p in prompts]
    return np.fromiter(found, dtype=object, count=len(found))
