"""What can be read off a text without a model: length, formatting, refusals, questions.

Labellers react to the surface of a response as well as to its substance, so these are the first
latents (Z of the paper's section 3.2) to look at when the data bring none of their own: they cost
nothing, everybody can check them, and an effect found for one of them needs no encoder to be
believed. They are proxies. Each function says what it misses.

Formatting is Markdown as chat models write it. The other features depend on the language:

length
    Every language that puts spaces between words, and Chinese, Japanese, Thai, Lao, Khmer and
    Burmese. Misses Tibetan.
refusal
    English, Chinese (simplified and traditional), Japanese, Korean, Thai, Hindi, Arabic, Russian,
    Spanish, French, German, Portuguese, Italian, Indonesian, Malay and Vietnamese.
questions
    Every language that ends questions with a mark, and Chinese, Japanese and Thai without it.
    Misses Lao, Burmese and Tibetan where the mark is left out.

:func:`unknown_languages` says for which share of the texts a feature does not know the language.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from causalpref.data import PreferenceData
from causalpref.text._languages import NAMES, language
from causalpref.text._refusals import LANGUAGES as _DECLINES_IN
from causalpref.text._refusals import declines
from causalpref.text.conversations import turns

__all__ = [
    "PROMPT_FEATURES",
    "RESPONSE_FEATURES",
    "language_notes",
    "prompt_features",
    "surface_features",
    "unknown_languages",
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
            about twice as long. In scripts without spaces the characters count as words: 1.6
            Chinese characters are a word, 1.7 kana, and 4.1 characters of Thai, Lao, Khmer or
            Burmese. (These are the mean lengths of a word in running text: Chinese and Japanese
            in the frequency lists of wordfreq 3, Thai in those of the Thai National Corpus; for
            the other three we know of no figure and take that of Thai.) What white space
            separates is one word or more, and texts may mix scripts. Misses Tibetan, where a
            phrase is one word.
        ``formatting``
            log(1 + marks), the sum of list items, headings, bold spans, code blocks and rows of
            tables, in Markdown. What stands inside a code block is code, not marks. Misses
            HTML, LaTeX, italics, emoji, and layout by empty lines.
        ``refusal``
            1 if the text opens by declining to help, in one of the stock phrases of chat models
            ("I can't", "I'm sorry, but", "As an AI", "抱歉，我无法提供", ...), else 0. A proxy: it
            misses a refusal that comes later or in other words, a silent change of subject, and
            a safe answer that never says no; and it takes "As an AI, I find this fascinating"
            for one. Outside English an apology or "I cannot" must be followed by what an
            assistant does (help, answer, provide, write, ...), which misses more refusals and
            takes fewer lines of a story for one. Always 0 in languages other than those listed
            at the head of this module.
        ``questions``
            1 if the text asks something, that is, holds a question mark that ends a word
            (one in a web address does not count), else 0. The marks of other scripts count
            (？ ؟ ՞ ፧ and the Greek ;), and without a mark a sentence that ends in 吗, 你呢, ですか,
            でしょうか or ไหม, or a Thai clause that ends in a question word (อะไร, อย่างไร, ...) or
            begins with "why". Not a count, so that an effect is that of asking at all. Misses
            other questions without the mark; takes quoted and rhetorical ones, and
            ``a ? b : c`` in code, for questions.

    Raises
    ------
    TypeError
        For one string in place of a sequence, or an entry that is no string; names the row.
    """
    texts = _strings("texts", texts)
    return _frame(
        RESPONSE_FEATURES,
        (
            (np.log1p(_words(text)), np.log1p(_marks(text)), declines(text), _asks(text))
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
            log(1 + words) of the whole conversation so far, as in :func:`surface_features`.
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
        return np.log1p(_words(prompt)), _asks(human[-1]), len(human)

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


def unknown_languages(
    texts: Sequence[str] | np.ndarray, *, most: int = 500, seed: int | np.random.Generator = 0
) -> dict[str, tuple[float, list[str]]]:
    """For which share of the texts a feature does not know the language, and which these are.

    Parameters
    ----------
    texts : sequence of str, shape (n,)
    most : int
        Of more texts, so many are drawn at random and looked at.
    seed : int or numpy.random.Generator
        For the draw.

    Returns
    -------
    dict
        For ``length``, ``refusal`` and ``questions``: the share in [0, 1] of the texts that are
        in a language which the feature does not know, and the English names of these languages,
        the most common first. A text whose language cannot be told (a few words, code, numbers,
        two languages in one text) counts as known.

    Raises
    ------
    TypeError
        As :func:`surface_features`.
    """
    texts = _strings("texts", texts)
    if len(texts) > most:
        rows = np.random.default_rng(seed).choice(len(texts), most, replace=False)
        texts = [texts[row] for row in rows]
    found = Counter(code for code in map(language, texts) if code)
    return {
        feature: (
            sum(found[code] for code in found if not known(code)) / max(len(texts), 1),
            [NAMES[code] for code, _ in found.most_common() if not known(code)],
        )
        for feature, known in _KNOWN.items()
    }


def language_notes(texts: Sequence[str] | np.ndarray, *, seed: int = 0) -> list[str]:
    """A sentence about each feature that does not know the language of 2% of responses or more.

    Parameters
    ----------
    texts : sequence of str, shape (n,)
        At most 500 of them, drawn at random, are looked at.
    seed : int
        For the draw.

    Returns
    -------
    list of str

    Raises
    ------
    TypeError
        As :func:`surface_features`.
    """
    notes = []
    for feature, (share, names) in unknown_languages(texts, seed=seed).items():
        if share >= _WORTH_A_NOTE:
            listed = ", ".join(names[:_MOST_NAMES])
            if len(names) > _MOST_NAMES:
                listed += f" and {len(names) - _MOST_NAMES} more"
            which, effect = _UNKNOWN[feature]
            notes.append(
                f"About {share:.0%} of the responses are in languages {which} ({listed}): "
                f"there the feature `{feature}` {effect}."
            )
    return notes


_KNOWN = {
    "length": lambda code: code != "bo",
    "refusal": _DECLINES_IN.__contains__,
    "questions": lambda code: code not in ("lo", "my", "bo"),
}
_UNKNOWN = {
    "length": ("whose words cannot be counted", "counts phrases"),
    "refusal": ("for which refusals are not recognised", "is always 0"),
    "questions": ("that mostly ask without a question mark", "misses most questions"),
}
_WORTH_A_NOTE = 0.02
_MOST_NAMES = 5


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


# -- length --------------------------------------------------------------------

_HAN = "々〇\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_KANA = "\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\uff66-\uff9f"
_SOUTH_EAST = (  # Thai, Lao, Khmer, Burmese: letters, vowels, tones, digits
    "\u0e01-\u0e3a\u0e40-\u0e4e\u0e50-\u0e59\u0e81-\u0edf"
    "\u1780-\u17d3\u17d7\u17dc-\u17e9\u1000-\u1049\u104c-\u109f\ua9e0-\ua9ff\uaa60-\uaa7f"
)
_PER_WORD = ((_HAN, 1.6), (_KANA, 1.7), (_SOUTH_EAST, 4.1))  # characters; see surface_features
_RUNS = tuple((re.compile(f"[{characters}]+"), rate) for characters, rate in _PER_WORD)
_NO_SPACES = re.compile(f"[{_HAN}{_KANA}{_SOUTH_EAST}]")
_SPACED_WORD = re.compile(r"[^\W_]+(?:[.,:'’/-][^\W_]+)*")


def _words(text: str) -> float:
    """Words, as white space separates them; characters at a rate in scripts without spaces."""
    if text.isascii() or not _NO_SPACES.search(text):
        return len(text.split())
    words = 0.0
    for piece in text.split():
        here = 0.0
        if _NO_SPACES.search(piece):
            here = sum(len(part) / rate for run, rate in _RUNS for part in run.findall(piece))
            here += len(_SPACED_WORD.findall(_NO_SPACES.sub(" ", piece)))
        words += max(here, 1.0)
    return words


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
_MARKS = re.compile(
    "[\N{FULLWIDTH QUESTION MARK}\N{ARABIC QUESTION MARK}\N{ARMENIAN QUESTION MARK}"
    "\N{ETHIOPIC QUESTION MARK}\N{GREEK QUESTION MARK}\N{REVERSED QUESTION MARK}"
    "\N{SMALL QUESTION MARK}\N{PRESENTATION FORM FOR VERTICAL QUESTION MARK}\N{INTERROBANG}"
    "\N{DOUBLE QUESTION MARK}\N{QUESTION EXCLAMATION MARK}\N{EXCLAMATION QUESTION MARK}"
    "\N{VAI QUESTION MARK}]"
    rf"|[{_HAN}{_KANA}{_SOUTH_EAST}]\?"  # no white space need follow
    r"|[\u0370-\u03ff\u1f00-\u1fff]{2};(?:\s|\Z)"  # Greek, with the semicolon of the keyboard
)
_END = r"[\s\"'”’」』）)*~～…]*(?:[。．.！!\n]|\Z)"
_PARTICLES = re.compile(
    # Chinese: 吗; 呢 only after "and you" or a word that asks, as it also ends statements
    rf"(?:[吗嗎]|(?:[你您他她它](?:们|們)?|(?:什么|什麼|怎么|怎麼|怎样|怎樣|哪|谁|誰|为何|為何|如何|几|幾"
    rf"|多少|是不是|会不会|會不會|能不能)[^。！!，,\n]{{0,20}})呢){_END}"
    # Japanese: か after a verb or copula, not "quiet" (静か), not "I see" (そうですか)
    rf"|(?:(?<!そう)です|ます|でした|ました|ません|でしょう|だろう|ない|るの|たの|なの)か(?:ね|な)?{_END}"
)
_POLITE = r"(?:บ้าง|ดี|กัน|หรอ|เหรอ|ครับ|คับ|คะ|ค่ะ|ล่ะ|ละ|นะ|จ๊ะ|จ้ะ|วะ|ว่ะ|อะ|อ่ะ|[\"'”’)*.!…ๆ])*"
_THAI = re.compile("[\u0e01-\u0e5b]")
_THAI_YES_NO = re.compile(
    rf"(?:(?<!ผ้า)(?<!เส้น)(?<!หนอน)(?<!ใย)ไหม|มั้ย|มั๊ย|หรือเปล่า|รึเปล่า|หรือยัง|หรือไง){_POLITE}\Z"
)
_THAI_WORD = re.compile(
    r"(?:หรือไม่|อะไร|อย่างไร|ยังไง|ที่ไหน|ตรงไหน|อันไหน|แบบไหน|เมื่อไร|เมื่อไหร่|เท่าไร|เท่าไหร่|เท่าใด|ใคร|เพราะอะไร"
    rf"|(?<!ไม่)กี่[ก-๎]{{1,10}}){_POLITE}\Z"
)
_THAI_STATED = re.compile(
    r"ว่า|ไม่(?!ใช่)[^หร]*(?:อะไร|ใคร|ที่ไหน|อย่างไร|ยังไง|เท่าไร|เท่าไหร่)|ก็|ทุก|ขึ้นอยู่กับ|ตาม"
)
_THAI_WHY = re.compile(r"[\"'“‘(*]*(?:ทำไม|เพราะเหตุใด|เหตุใด)")


def _asks(text: str) -> bool:
    if "?" in text and _ASKED.search(text) is not None:
        return True
    if text.isascii():
        return False
    return (_MARKS.search(text) or _PARTICLES.search(text)) is not None or _asks_in_thai(text)


def _asks_in_thai(text: str) -> bool:
    """Whether a clause, which Thai sets off by spaces, ends in a word that asks."""
    return _THAI.search(text) is not None and any(
        _THAI_YES_NO.search(clause)
        or _THAI_WHY.match(clause)
        or (_THAI_WORD.search(clause) and not _THAI_STATED.search(clause))
        for clause in text.split()
    )
