"""The one data type of the package: pairwise preferences over texts.

Responses are stored once; a pair is two row numbers into them. Everything
that loads, draws, embeds, fits or checks speaks :class:`PreferenceData`.
"""

from causalpref.data._collector import Collector
from causalpref.data._contents import (
    Finding,
    SharedPrompts,
    contents,
    example_pairs,
    shared_prompts,
)
from causalpref.data._conversation import Conversation, as_messages, tools_of, turns
from causalpref.data._exchange import stated
from causalpref.data._normalised import normalised
from causalpref.data._preferences import Pair, PreferenceData, expect_preferences

__all__ = [
    "Collector",
    "Conversation",
    "Finding",
    "Pair",
    "PreferenceData",
    "SharedPrompts",
    "as_messages",
    "contents",
    "example_pairs",
    "expect_preferences",
    "normalised",
    "shared_prompts",
    "stated",
    "tools_of",
    "turns",
]
