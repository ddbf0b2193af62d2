"""When two texts are the same text to a reader."""

from __future__ import annotations

import unicodedata

_INVISIBLE = dict.fromkeys(map(ord, "\u200b\u2060\ufeff"))


def normalised(text: str) -> str:
    """The text without differences that no reader would call a difference.

    Runs of blanks and line ends become one blank, those at either end go, case is folded, and
    characters are composed (Unicode NFC). Characters without width (zero width space, word
    joiner, byte order mark) are dropped.

    Parameters
    ----------
    text : str

    Returns
    -------
    str
    """
    if not text.isascii():
        text = unicodedata.normalize("NFC", text.translate(_INVISIBLE))
        return " ".join(unicodedata.normalize("NFC", text.casefold()).split())
    return " ".join(text.casefold().split())
