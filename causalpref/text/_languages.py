"""Which language a text is in, where that can be told; None where it cannot.

The script decides where it belongs to one language (Thai, Greek, Korean, ...) and between Chinese
and Japanese. Where many languages share a script, a statistical identifier (py3langid) decides
among these, and only if it is nearly certain and the text is long enough.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

__all__ = ["NAMES", "language"]

_CODES = (
    "af:Afrikaans am:Amharic ar:Arabic az:Azerbaijani ba:Bashkir be:Belarusian bg:Bulgarian "
    "bn:Bengali bo:Tibetan ca:Catalan cs:Czech cy:Welsh da:Danish de:German el:Greek "
    "en:English eo:Esperanto es:Spanish et:Estonian eu:Basque fa:Persian fi:Finnish fr:French "
    "ga:Irish gl:Galician gu:Gujarati ha:Hausa he:Hebrew hi:Hindi hr:Croatian hu:Hungarian "
    "hy:Armenian id:Indonesian ig:Igbo is:Icelandic it:Italian ja:Japanese jv:Javanese "
    "ka:Georgian kk:Kazakh km:Khmer kn:Kannada ko:Korean ku:Kurdish ky:Kyrgyz la:Latin lo:Lao "
    "lt:Lithuanian lv:Latvian mg:Malagasy mk:Macedonian ml:Malayalam mn:Mongolian mr:Marathi "
    "ms:Malay mt:Maltese my:Burmese ne:Nepali nl:Dutch no:Norwegian or:Odia pa:Punjabi "
    "pl:Polish ps:Pashto pt:Portuguese ro:Romanian ru:Russian rw:Kinyarwanda si:Sinhala "
    "sk:Slovak sl:Slovenian sn:Shona so:Somali sq:Albanian sr:Serbian sv:Swedish sw:Swahili "
    "ta:Tamil te:Telugu tg:Tajik th:Thai tl:Tagalog tr:Turkish tt:Tatar ug:Uyghur "
    "uk:Ukrainian ur:Urdu uz:Uzbek vi:Vietnamese xh:Xhosa yo:Yoruba zh:Chinese zu:Zulu"
)
NAMES: Mapping[str, str] = {pair[:2]: pair[3:] for pair in _CODES.split()}
"""English names of the languages that :func:`language` tells apart, by ISO 639 code."""

_OF_ONE_LANGUAGE = (
    "ARMENIAN:hy BENGALI:bn CJK:zh HIRAGANA:ja KATAKANA:ja ETHIOPIC:am GEORGIAN:ka GREEK:el "
    "GUJARATI:gu GURMUKHI:pa HANGUL:ko HEBREW:he KANNADA:kn KHMER:km LAO:lo MALAYALAM:ml "
    "MYANMAR:my ORIYA:or SINHALA:si TAMIL:ta TELUGU:te THAI:th TIBETAN:bo"
)
# The first word of the Unicode name of a letter, and the language or languages it decides for.
_SCRIPTS = {
    "LATIN": "af az ca cs cy da de en eo es et eu fi fr ga gl ha hr hu id ig is it jv la lt lv mg "
    "ms mt nl no pl pt ro rw sk sl sn so sq sv sw tl tr uz vi xh yo zu",
    "CYRILLIC": "ba be bg kk ky mk mn ru sr tg tt uk",
    "ARABIC": "ar fa ku ps ug ur",
    "DEVANAGARI": "hi mr ne",
} | {pair[:-3]: pair[-2:] for pair in _OF_ONE_LANGUAGE.split()}
_SAME = {"arz": "ar", "ary": "ar", "bs": "hr", "nn": "no", "nb": "no", "sdh": "ku", "ckb": "ku"}
_FEW_LETTERS = {"LATIN": 30, "CYRILLIC": 15, "ARABIC": 15, "DEVANAGARI": 15}
_ONE_LANGUAGE = 3  # letters, where the script decides
_SURE = 0.95
_READ = 2000  # characters
_IDEOGRAPH = 3  # as many letters as a character of Chinese or Japanese is worth

# Fenced and inline code, addresses, tags, formulas, and words that hold digits or signs of code.
_NO_PROSE = re.compile(
    r"```.*?(?:```|\Z)|`[^`\n]*`|https?://\S+|\S+@\S+|<[^<>\n]{1,200}>|\$\$.*?\$\$|\\\w+"
    r"|\S*[_=(){}\[\]/\\\d]\S*",
    re.DOTALL,
)


def language(text: str) -> str | None:
    """ISO 639 code of the language of most of the text, a key of :data:`NAMES`, or None."""
    prose = _NO_PROSE.sub(" ", text[: 2 * _READ])[:_READ]
    counts: Counter[str] = Counter()
    for character, times in Counter(prose).items():
        counts[_script(character)] += times
    del counts[""]
    for script in ("CJK", "HIRAGANA", "KATAKANA"):
        counts[script] *= _IDEOGRAPH
    kana = counts.pop("HIRAGANA") + counts.pop("KATAKANA")
    if kana > 0.1 * counts["CJK"]:
        kana, counts["CJK"] = kana + counts["CJK"], 0
    counts["HIRAGANA"] = kana
    script, letters = counts.most_common(1)[0]
    if letters < max(_FEW_LETTERS.get(script, _ONE_LANGUAGE), 0.6 * counts.total()):
        return None
    codes = _SCRIPTS.get(script, "").split()
    return _identified(prose, codes) if len(codes) > 1 else (codes[0] if codes else None)


@functools.lru_cache(maxsize=4096)
def _script(character: str) -> str:
    """The script of a letter as the first word of its Unicode name; empty for other signs."""
    if not unicodedata.category(character).startswith("L"):
        return ""
    return unicodedata.name(character, "").split(" ")[0].split("-")[0]


def _identified(prose: str, codes: list[str]) -> str | None:
    """The one of the languages that the prose is almost certainly in, or None."""
    chances = dict.fromkeys([*codes, "zxx"], 0.0)  # zxx: no language
    for code, chance in _identifier().rank(" ".join(prose.split())):
        code = _SAME.get(str(code), str(code))
        if code in chances:
            chances[code] += float(chance)
    best = max(codes, key=chances.__getitem__)
    return best if chances[best] >= _SURE * sum(chances.values()) else None


@functools.cache
def _identifier() -> LanguageIdentifier:
    """Reads a model of 5 MB in about half a second, once."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
