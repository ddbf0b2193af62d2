"""What can be read off a text without a model: length, formatting, refusals, questions.

Labellers react to the surface of a response as well as to its substance, so these are the first
latents (Z of the paper's section 3.2) to look at when the data bring none of their own: they cost
nothing, everybody can check them, and an effect found for one of them needs no encoder to be
believed. They are proxies. Each function says what it misses.

Everything here is written for English, and for Markdown as chat models write it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from causalpref.data import PreferenceData
from causalpref.text.conversations import turns

__all__ = [
    "PROMPT_FEATURES",
    "RESPONSE_FEATURES",
    "prompt_features",
    "surface_features",
    "with_surface_latents",
]

RESPONSE_FEATURES = ("length", "formatting", "refusal", "questions")
"""Columns of :func:`surface_features`, and of ``response_latents`` made from it."""

PROMPT_FEATURES = ("length", "questions", "turns")
"""Columns of :func:`prompt_features`, and of ``prompt_latents`` made from it."""


def surface_features(texts: Sequence[str] | np.ndarray) -> pd.DataFrame:
    """Four features of each text.

    Parameters
    ----------
    texts : sequence of str, shape (n,)

    Returns
    -------
    pandas.DataFrame
        Float columns :data:`RESPONSE_FEATURES`, one row a text, all finite:

        ``length``
            log(1 + words), a word being what white space separates. A difference of 0.7 is
            about twice as long. Misses scripts without spaces, where a sentence is one word.
        ``formatting``
            log(1 + marks), the sum of list items, headings, bold spans, code blocks and rows of
            tables, in Markdown. What stands inside a code block is code, not marks. Misses
            HTML, LaTeX, italics, emoji, and layout by empty lines.
        ``refusal``
            1 if the text opens by declining to help, in one of the stock phrases of chat models
            ("I can't", "I'm sorry, but", "As an AI", ...), else 0. A proxy: it misses a refusal
            that comes later or in other words, a silent change of subject, and a safe answer
            that never says no; and it takes "As an AI, I find this fascinating" for one.
        ``questions``
            1 if the text asks something, that is, holds a question mark that ends a word
            (one in a web address does not count), else 0. Not a count, so that an effect is that
            of asking at all. Misses questions without the mark; takes quoted and rhetorical ones,
            and ``a ? b : c`` in code, for questions.

    Raises
    ------
    TypeError
        For one string in place of a sequence, or an entry that is no string; names the row.
    """
    texts = _strings("texts", texts)
    return _frame(
        RESPONSE_FEATURES,
        (
            (np.log1p(len(text.split())), np.log1p(_marks(text)), _declines(text), _asks(text))
            for text in texts
        ),
    )


def prompt_features(prompts: Sequence[str] | np.ndarray) -> pd.DataFrame:
    """Three features of each prompt, a transcript of turns or plain words.

    Parameters
    ----------
    prompts : sequence of str, shape (n,)

    Returns
    -------
    pandas.DataFrame
        Float columns :data:`PROMPT_FEATURES`, one row a prompt, all finite:

        ``length``
            log(1 + words) of the whole conversation so far.
        ``questions``
            1 if the last human turn asks something, else 0, as in :func:`surface_features`.
        ``turns``
            Number of human turns; 1 for plain words.

    Raises
    ------
    TypeError
        As :func:`surface_features`.
    """

    def features(prompt: str) -> tuple[float, float, float]:
        human = [words for speaker, words in turns(prompt) if speaker == "Human"] or [prompt]
        return np.log1p(len(prompt.split())), _asks(human[-1]), len(human)

    return _frame(PROMPT_FEATURES, map(features, _strings("prompts", prompts)))


def with_surface_latents(data: PreferenceData) -> PreferenceData:
    """The same pairs with the surface of their texts as latents.

    Returns
    -------
    PreferenceData
        ``response_latents`` (Z^T) has the columns :data:`RESPONSE_FEATURES` and
        ``prompt_latents`` (Z^X) the columns :data:`PROMPT_FEATURES`; latents that the data
        had are replaced.
    """
    return data.replace(
        response_latents=surface_features(data.responses).to_numpy(),
        prompt_latents=prompt_features(data.prompts).to_numpy(),
    )


def _strings(name: str, texts: Sequence[str] | np.ndarray) -> list[str]:
    if isinstance(texts, str):
        raise TypeError(f"{name} must be a sequence of strings, got one string")
    texts = list(texts)
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(f"{name}[{row}] is a {type(text).__name__}, expected a string")
    return texts


def _frame(columns: tuple[str, ...], rows: Iterable[tuple[float, ...]]) -> pd.DataFrame:
    values = np.array(list(rows), dtype=np.float64).reshape(-1, len(columns))
    return pd.DataFrame(values, columns=list(columns))


# -- formatting ----------------------------------------------------------------

_FENCE = re.compile(r"[ \t]*(`{3,}|~{3,})([^`]*)$")
_LINE_MARK = re.compile(
    r"[ \t>]*(?:"
    r"(?:[-*+•]|\d{1,3}[.)])[ \t]+\S"  # a list item
    r"|#{1,6}[ \t]+\S"  # a heading
    r"|\|(?=.*\|\s*$)(?=.*[^-:|\s]))"
)  # a table row, not the rule under the head
_BOLD = re.compile(r"(?<!\*)\*{2,3}(?=[^\s*])[^*\n]*(?<=\S)\*{2,3}(?!\*)")


def _marks(text: str) -> int:
    """List items, headings, bold spans, code blocks and rows of tables."""
    count = 0
    if "```" in text or "~~~" in text:
        text, count = _without_code(text)
    if "**" in text:
        count += len(_BOLD.findall(text))
    return count + sum(map(bool, map(_LINE_MARK.match, text.split("\n"))))


def _without_code(text: str) -> tuple[str, int]:
    """The text without its fenced code blocks, and their number."""
    kept, fence, blocks = [], "", 0
    for line in text.split("\n"):
        mark = _FENCE.match(line)
        if fence:
            if mark and mark[1].startswith(fence) and not mark[2].strip():
                fence = ""
        elif mark:
            fence, blocks = mark[1], blocks + 1
        else:
            kept.append(line)
    return "\n".join(kept), blocks


# -- questions -----------------------------------------------------------------

_ASKED = re.compile(r"\?(?:[\s\"'”’»)\]*_!?]|\Z)")


def _asks(text: str) -> bool:
    return ("?" in text and _ASKED.search(text) is not None) or "？" in text or "؟" in text


# -- refusals ------------------------------------------------------------------

_OPENING = 200  # characters

_SORRY = r"(?:i(?:'m| am) (?:\w+ )?(?:sorry|afraid)|sorry|(?:my )?apologies|i apologi[sz]e)"
_HELLO = (
    r"(?:(?:oh|hm+|um+|well|no|ok|okay|hi|hello|hey|thanks|thank you|unfortunately|but|"
    + _SORRY
    + r")\b(?: that)?[\s,.!:;–—-]*)*"
)
_CANNOT = r"(?: (?:can't|cannot|can not|won't|will not)|(?:'m| am) (?:not able|unable) to)"
_NOT_THAT = (
    r"(?! (?:really )?(?:wait|help but|believe|imagine|agree more|be (?:sure|certain)|say"
    r"|think of|hear|find|understand|remember|recall|complain|lie|stress|overstate"
    r"|tell (?:if|whether)|thank you|recommend .*enough))"
)  # "I can't wait to help"
_WOULD_NOT = (
    r"(?:(?:'m| am) not (?:going to|comfortable|willing|allowed|permitted|programmed"
    r"|designed)| (?:don't|do not) feel (?:comfortable|right)|(?: must| have to)?"
    r" (?:decline|refuse) to|(?:'d| would) (?:rather|prefer) not)"
)
_HELP = (
    r" (?:assist|provide|fulfil|comply|engage in|participate in|do that|answer that"
    r"|support that|help (?:you )?(?:with|do|to))\b"
)

# In lower case, with straight apostrophes, at the very beginning of the text.
_REFUSALS = (
    _SORRY + r"[^.!?\n]{0,40}?,? but\b",  # I'm sorry, but ...
    _HELLO + r"i" + _CANNOT + _NOT_THAT,  # Sorry, I can't ...
    _HELLO + r"i" + _WOULD_NOT,  # I'd rather not ...
    _HELLO + r"as an? (?:\w+ )?(?:ai|artificial intelligence|language model)\b",
    _HELLO + r"i(?:'m| am) (?:just |only )?an? (?:\w+ )?(?:ai|language model)\b",
    _HELLO + r"(?:this|that|it)(?:'s| is| would be) (?:illegal|unethical|inappropriate"
    r"|not (?:something i can|appropriate|ethical))\b",
)
_REFUSAL = re.compile(r"[\s\"'*_]*(?:" + "|".join(_REFUSALS) + ")")
_LATER = re.compile(r"\bi" + _CANNOT + _HELP)  # That sounds hard. I can't help with ...


def _declines(text: str) -> bool:
    opening = text.lstrip()[:_OPENING].replace("’", "'").lower()
    return (_REFUSAL.match(opening) or _LATER.search(opening)) is not None
