"""The names that people give to columns, and the published formats that settle a label.

A layout is found from the columns in :mod:`causalpref.sources._plan`; this module only knows words:
what a prompt, an answer, a verdict, a score may be called.
"""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from causalpref.sources._labels import AGAINST, FIRST, SECOND, TIE
from causalpref.sources._rows import Bad, Row, show
from causalpref.sources._values import a_list, as_number, filled, stated, string, words

OBJECTIVES = ("helpful", "harmless")
"""Code of C and of type(X) in HH-RLHF: 0 is helpful, 1 is harmless (appendix E.1)."""

ASPECTS = ("helpfulness", "honesty", "instruction_following", "truthfulness")
"""The four rated aspects of UltraFeedback, in the order of the ratings of a completion."""

LAYOUTS: dict[str, tuple[str, ...]] = {
    "hh_rlhf": ("prompt", "responses", "label", "objective", "data_subset or prompt_type"),
    "safe_rlhf": (
        "prompt", "response_0", "response_1", "better_response_id", "safer_response_id",
    ),
    "ultrafeedback": ("instruction", "completions with annotations"),
    "arena": ("conversation_a", "conversation_b", "winner"),
    "alpaca_farm": ("instruction", "output_1", "output_2", "preference"),
    "helpsteer": (
        "prompt or context", "response_1", "response_2",
        "preference_strength or overall_preference",
    ),
    "pairs": ("prompt", "response_a", "response_b", "label"),
    "messages": ("chosen as messages", "rejected as messages"),
    "transcripts": ("chosen with Human: turns", "rejected with Human: turns"),
    "chosen_rejected": ("prompt", "chosen", "rejected"),
    "ranked": ("prompt", "answers with scores or ranks"),
    "rated": ("prompt", "response", "score"),
}  # fmt: skip
"""Name of each layout and the columns it needs, by the commonest of their names."""


class Judged(NamedTuple):
    """One comparison, as a row states it. A label of None is a tie."""

    prompt: str
    first: str
    second: str
    label: int | None
    facts: Mapping[str, Any] = MappingProxyType({})


class Rated(NamedTuple):
    """One answer and its rating: rows of one prompt are compared with one another."""

    prompt: str
    response: str
    score: float
    facts: Mapping[str, Any] = MappingProxyType({})


Said = list[Judged | Rated | Bad]

# -- words of columns -------------------------------------------------------------

SIDES = (
    ("a", "b"), ("1", "2"), ("0", "1"), ("left", "right"), ("first", "second"), ("one", "two"),
)  # fmt: skip
"""What two answers are called, in the order in which they are listed."""

GOOD_BAD = (
    ("chosen", "rejected"), ("chosen", "reject"), ("accepted", "rejected"), ("preferred",
    "dispreferred"), ("preferred", "nonpreferred"), ("chosen", "notchosen"), ("best", "loser"),
    ("preferred", "rejected"), ("preferred", "unpreferred"), ("winner", "loser"), ("winning",
    "losing"), ("win", "lose"), ("win", "loss"), ("won", "lost"), ("better", "worse"), ("best",
    "worst"), ("good", "bad"), ("positive", "negative"), ("pos", "neg"), ("selected", "rejected"),
    ("w", "l"), ("yw", "yl"),
)  # fmt: skip
"""What the preferred answer and the other one are called."""

TEXTS = (
    "response", "responses", "answer", "completion", "output", "conversation", "candidate", "reply",
    "summary", "generation", "continuation", "message", "messages", "text", "ref", "story", "resp",
    "solution", "description", "option", "assistant", "content", "translation", "chat", "dialogue",
    "result", "essay", "code", "passage",
)  # fmt: skip
"""Last words of columns that hold an answer, the surest first."""

SCORES = (
    "score", "rating", "reward", "votes", "vote", "upvotes", "likes", "stars", "quality", "points",
    "grade", "pref", "preferences", "scores", "ratings", "rewards", "karma", "overall",
    "helpfulness",
)  # fmt: skip
QUALITIES = (
    "helpfulness", "quality", "correctness", "coherence", "complexity", "verbosity", "relevance",
    "fluency", "consistency", "honesty", "harmlessness", "safety",
)  # fmt: skip
"""Aspects that an answer may be rated on, the commonest first."""
RANKS = ("rank", "ranks", "place")
OVERALL = ("overall", "total", "final", "mean", "average", "avg", "human")
"""What sets the score that decides apart from others."""
MUTE = {"length", "len", "verbosity", "complexity", "tokens", "words", "difficulty", "rank"}
"""Words of columns whose numbers do not say which answer is better."""
MODELS = ("model", "generator", "llm", "policy", "models")

MAIN = (
    "prompt", "instruction", "question", "query", "user_prompt", "user_input", "user_query",
    "user_message", "input", "user", "human", "context", "history", "messages", "conversation",
    "conversations", "conversation_input", "context_messages", "contents", "trajectory", "dialogue",
    "dialog", "chat", "post", "article", "document", "source_text", "situation", "problem",
    "task_description", "request", "question_full_text", "full_text", "info_post", "info_article",
    "text", "body", "selftext", "title", "x",
)  # fmt: skip
"""What a prompt is called, the surest first."""

TASKS = (
    "question", "query", "article", "document", "post", "source_text", "passage", "problem", "body",
    "content", "instruction", "user_input", "user_query",
)  # fmt: skip
"""Columns that hold what an instruction, the same in every row, is about."""

PARTS: dict[str, tuple[str, ...]] = {
    "system": ("system", "system_prompt", "system_message", "system_instruction"),
    "history": ("history", "chat_history", "conversation_history", "previous_turns"),
    "context": ("context", "passage", "reference_text", "document", "article"),
    "input": ("input", "input_text"),
    "tools": ("tools", "functions", "available_tools"),
}
"""The further parts of a prompt, and what each is called."""

VERDICTS = (
    "label", "labels", "winner", "preference", "overall_preference", "preference_strength",
    "preferred", "preferred_response", "preferred_answer", "preferred_output", "preference_label",
    "human_preference", "human_label", "choice", "chosen", "selected", "best", "better",
    "better_response", "better_answer", "better_response_id", "verdict", "judgment", "judgement",
    "decision", "vote", "comparison", "annotation", "gold_label", "gold", "ground_truth", "gt",
    "orig_preference", "result", "pick", "prefer", "outcome", "target", "score", "rating",
)  # fmt: skip
VERDICT_WORDS = {
    "winner", "better", "preferred", "preference", "prefer", "prefers", "verdict", "choice", "best",
    "won", "wins", "judgment", "judgement", "vote", "choose",
}  # fmt: skip
WON = {
    "winner",
    "wins",
    "won",
    "win",
    "preferred",
    "prefer",
    "prefers",
    "better",
    "best",
    "selected",
}
"""Words of columns that are true where an answer won."""
INDEX_WORDS = {"choice", "best", "chosen", "selected", "preferred", "winner", "better", "pick"}

LISTS = (
    "responses", "answers", "completions", "candidates", "outputs", "generations", "replies",
    "summaries", "options", "choices", "comments", "response", "answer", "output", "completion",
)  # fmt: skip

EXTRAS: dict[str, tuple[str, ...]] = {
    "objective": ("objective",),
    "annotator": (
        "annotator", "annotator_id", "judge", "worker", "worker_id", "evaluator", "rater",
        "rater_id", "labeler", "labeller", "labeler_id",
    ),
    "prompt_type": ("prompt_type",),
    "prompt_group": ("prompt_group",),
    "session": ("session",),
    "time": ("time", "timestamp", "tstamp"),
}  # fmt: skip
"""Facts of a judgement or a prompt, and the columns that may hold them."""

OWN = (
    "strength",
    "probability",
    "prompt_latents",
    "latents_a",
    "latents_b",
    "embedding_a",
    "embedding_b",
)
"""Columns of :meth:`PreferenceData.to_pandas` beyond texts, label and the facts above."""

COMMON = (
    "prompt", "chosen", "rejected", "response_a", "response_b", "label", "answers", "scores",
    "ranks", "score", "system", "history", "context", "input", "tools", "objective", "annotator",
    "session", "time", "prompt_type", "prompt_group", "model_a", "model_b",
)  # fmt: skip
"""What columns may be called, for messages."""


def better_is(said: Sequence[str | None]) -> str | None:
    """Whether of two numbers in columns of such a name the "higher" or the "lower" is better.

    None where the words do not say.
    """
    *before, last = [w for w in said if w] or [""]
    if AGAINST & {*before, last} or MUTE & {*before}:
        return None
    return "lower" if last in RANKS else "higher" if last in SCORES else None


def deciding(stems: Sequence[Sequence[str | None]]) -> int | None:
    """Which of several scores says which answer is better: the overall one, or the only one.

    None where there are several, and none of them is the overall one.
    """
    more = {*SCORES, *RANKS, *OVERALL, *TEXTS}
    sure = [i for i, stem in enumerate(stems) if not {w for w in stem if w} - more]
    return sure[0] if sure else 0 if len(stems) == 1 else None


def is_role(name: str) -> bool:
    """Whether a name plays a part in some layout."""
    said = words(name)
    known = {
        *COMMON, *MAIN, *VERDICTS, *LISTS, *TEXTS, *OWN, *SCORES, *RANKS,
        *(n for names in (*PARTS.values(), *EXTRAS.values()) for n in names),
    }  # fmt: skip
    sides = {w for pair in (*SIDES, *GOOD_BAD) for w in pair}
    stems = {*TEXTS, *SCORES, *RANKS, *MODELS, "better", "safer", *VERDICT_WORDS}
    return "_".join(said) in known or bool(
        set(said) & sides and (len(said) == 1 or set(said) & stems)
    )


# -- published formats that settle a label -----------------------------------------

_YES = {**dict.fromkeys(("1", "true"), FIRST), **dict.fromkeys(("0", "false"), SECOND)}
OWN_LABEL = {**_YES, "0.5": TIE}
"""Label of the layout ``pairs``, as :class:`PreferenceData` has it: 1 means the first."""
ALPACA = {"1": FIRST, "2": SECOND, "0": TIE, "1.5": TIE}
PANDALM = {"0": TIE, "1": FIRST, "2": SECOND}
INDEX = {"0": FIRST, "1": SECOND}

# -- UltraFeedback -----------------------------------------------------------------


def read_ultrafeedback(row: Row, needed: tuple[str, ...] = ()) -> Said:
    prompt = filled(string(stated(row, "instruction"), "instruction"), "instruction")
    completions = a_list(stated(row, "completions"), "completions")
    if len(completions) < 2:
        raise Bad(f"is a list of {len(completions)}, a pair needs two", "completions")
    found: Said = []
    rated: list[tuple[str, tuple[float, ...], float, Any]] = []
    seen: dict[str, tuple[int, tuple[float, ...]]] = {}
    for i, given in enumerate(completions):
        name = f"completions[{i}]"
        try:
            text, ratings = completion(given, name)
            if isinstance(given, Mapping) and given.get("response") is None:
                raise Bad("has no response", name)
            string(text, f"{name}.response")
            by_aspect: dict[str, float] = dict(zip(ASPECTS, ratings))
            for aspect in needed:
                if math.isnan(by_aspect[aspect]):
                    raise Bad(f"has no rating of {aspect}", name)
            values = [r for r in ratings if not math.isnan(r)]
            if not values:
                raise Bad("has no rating", name)
            k, earlier = seen.setdefault(text, (i, ratings))
            if not np.array_equal(earlier, ratings, equal_nan=True):
                raise Bad(f"has the text of completions[{k}] and other ratings", name)
        except Bad as bad:
            found.append(bad)
            continue
        latents = tuple(by_aspect[a] for a in needed or ASPECTS)
        rated.append((text, latents, sum(values) / len(values), given.get("model")))
    for (a, z_a, mean_a, by_a), (b, z_b, mean_b, by_b) in itertools.combinations(rated, 2):
        label = None if mean_a == mean_b else int(mean_a > mean_b)
        facts = {"response_latents": (z_a, z_b), "model": (by_a, by_b), "strength": mean_a - mean_b}
        found.append(Judged(prompt, a, b, label, facts))
    return found


class BadRating(Bad):
    """A rating that is neither a number from 1 to 5 nor "N/A"."""


_RATINGS = {
    **{str(k): float(k) for k in range(1, 6)},
    **dict.fromkeys(("N/A", "NA", "NAN", "NONE", "NULL", ""), math.nan),
}


def completion(
    value: Any, name: str, aspects: Sequence[str] = ASPECTS
) -> tuple[str, tuple[float, ...]]:
    """Text and ratings of an entry of ``completions``.

    The text is "" where there is none, and a rating is nan where it is "N/A" or missing.
    """
    if not isinstance(value, Mapping):
        raise Bad(f"is {show(value)}, expected an object", name)
    text = value.get("response")
    text = "" if text is None else string(text, f"{name}.response", nul=True)
    annotations = value.get("annotations")
    ratings = []
    for aspect in aspects:
        entry = annotations.get(aspect) if isinstance(annotations, Mapping) else None
        rating = entry.get("Rating") if isinstance(entry, Mapping) else None
        ratings.append(_rating(rating, name, aspect))
    return text, tuple(ratings)


def _rating(value: Any, name: str, aspect: str) -> float:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return math.nan
    if isinstance(value, str) and (word := value.strip().upper()) in _RATINGS:
        return _RATINGS[word]
    with contextlib.suppress(Bad):
        if not isinstance(value, bool) and 1 <= (rating := as_number(value, name)) <= 5:
            return rating
    raise BadRating(
        f"{name}: the rating of {aspect} is {show(value)}, expected '1' to '5' or 'N/A'"
    )
