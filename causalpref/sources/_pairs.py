"""Rows of two answers and a verdict."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from causalpref.data import Conversation
from causalpref.sources import _labels as labels
from causalpref.sources._labels import Meaning, Unclear, Verdict, meaning_of
from causalpref.sources._layouts import (
    ALPACA,
    OWN_LABEL,
    PANDALM,
    RANKS,
    SCORES,
    VERDICT_WORDS,
    VERDICTS,
    Judged,
    Said,
)  # fmt: skip
from causalpref.sources._prompts import (
    as_transcripts,
    asked,
    hold_prompt,
    parted,
    system_of,
    together,
    tools_of,
)
from causalpref.sources._rows import Bad, Row, show
from causalpref.sources._shapes import (
    Lacks,
    Shape,
    Stems,
    facts_of,
    graded,
    last_word,
    model_columns,
    name_models,
)
from causalpref.sources._values import (
    TURN,
    Answer,
    Message,
    answer,
    as_number,
    is_empty,
    is_messages,
    opened,
    string,
    words,
)  # fmt: skip
from causalpref.sources._view import View, at, mostly, need, selected

Judge = Callable[[Row], Verdict]


@dataclass(frozen=True)
class Verdicts:
    read: Judge
    used: frozenset[str]
    sentence: str
    graded: tuple[str, ...] = ()


def verdicts(
    view: View, first: str, second: str, sides: tuple[str, str], pairs: Stems,
    given: Mapping[Any, str] | None, models: tuple[str, str] | None,
) -> Verdicts | None:  # fmt: skip
    """Where a file says which of two answers is preferred, and what it means.

    Raises
    ------
    Unclear
        There is such a column, and nothing says what its values mean.
    """
    about = view.table.name
    names = view.names
    won = {"winner", "wins", "won", "win", "preferred", "better", "selected"}
    for stem, (a, b, _) in pairs.items():  # one column an answer, true where it won
        flags = [labels.key_of(v) for n in (a, b) for v in view.values(n) if not is_empty(v)]
        if won & set(stem) and not {a, b} & {first, second}:
            if mostly(flags, lambda f: f in ("0", "1", "true", "false"), 0.8):
                return _one_hot(view, a, b)
    unclear: Unclear | None = None
    candidates = [n for n in VERDICTS if n in names and n not in ("score", "rating")]
    candidates += [n for n in names if set(words(n)) & VERDICT_WORDS and n not in candidates]
    candidates += [n for n in ("score", "rating") if n in names]
    several_ = _raters(view)
    for name in sorted(candidates, key=lambda n: n not in view.given):
        if (
            name in (first, second)
            or name in several_
            or any(name in (a, b) for a, b, _ in pairs.values())
        ):
            continue
        values = [selected(v) for v in view.values(name)]
        if _by_content(view, name, first, second, models):
            return _content_verdict(view, name, first, second, models)
        known = _known(view, name, values)
        if not values or (known is None and _free(values)):
            continue
        try:
            meaning = meaning_of(names[name], values, sides, given=given, known=known, about=about)
        except Unclear as error:
            unclear = unclear or error
            continue
        return _single(names[name], meaning)
    for name in names:
        about_one = labels.of_column(name, sides)
        flags = {labels.key_of(v) for v in view.values(name)}
        if (
            about_one is not None
            and name not in (first, second)
            and flags <= {"true", "false", "0", "1", "yes", "no"}
            and flags
        ):
            if set(words(name)) & {
                "better",
                "won",
                "wins",
                "preferred",
                "prefer",
                "prefers",
                "winner",
                "win",
                "best",
            }:
                return _single(names[name], meaning_of(names[name], flags, sides, given=given))
    if several_:
        values = [v for n in several_ for v in view.values(n)]
        known = None
        if all(words(n)[0] == "annotator" for n in several_) and sides == ("1", "2"):
            known = labels.by_table(
                PANDALM, "0 = a tie, 1 = the first answer is preferred, 2 = the second"
            )
        try:
            meaning = meaning_of(
                names[several_[0]], values, sides, given=given, known=known, about=about
            )
        except Unclear as error:
            unclear = unclear or error
        else:
            return _votes([names[n] for n in several_], meaning)
    for stem, (a, b, _) in pairs.items():
        last = last_word(stem)
        if (
            last in (*SCORES, *RANKS)
            and {a, b}.isdisjoint((first, second))
            and not (view.texty(a) or view.texty(b))
        ):
            if view.values(a) and view.values(b):
                return _scores(view, a, b, low_is_better=last in RANKS)
    if unclear is not None:
        raise unclear
    if view.has("probability"):
        meaning = labels.between(1, 0, "probability = that the first answer is preferred")
        return _single(names["probability"], meaning)
    if view.has("strength"):
        meaning = labels.signed(
            -np.inf, np.inf, 1, "strength above 0 = the first answer is preferred"
        )
        return _single(names["strength"], meaning)
    return None


def _known(view: View, name: str, values: Sequence[Any]) -> Meaning | None:
    """What a published format says of a label column."""
    numbers = {labels.key_of(v) for v in values if not isinstance(v, (list, Mapping))}
    if name in ("label", "labels") and view.has("human_ref_a", "human_ref_b"):
        return labels.by_table(
            OWN_LABEL, f"{name} 1 = the first answer is preferred, 0 = the second"
        )
    if name in ("preference_strength", "overall_preference"):
        return labels.signed(
            -3,
            3,
            -1,
            f"{name} below 0 = the first answer is preferred, above 0 = the second, 0 = a tie",
        )
    if name == "preference" and view.has("output_1", "output_2"):
        sentence = "preference 1 = the first answer is preferred, 2 = the second, 0 or 1.5 = a tie"
        if numbers <= set(ALPACA):
            return labels.by_table(ALPACA, sentence)
        return labels.between(
            1,
            2,
            "preference 1 to 2 = the probability that the second answer is preferred",
            ties=(0,),
        )
    if name == "label" and (view.has("response_a", "response_b")):
        if any(v not in OWN_LABEL for v in numbers) and all(_is_share(v) for v in numbers):
            return labels.between(
                1, 0, "label = the probability that the first answer is preferred"
            )
        if not any(v in OWN_LABEL for v in numbers):
            return None
        return labels.by_table(OWN_LABEL, "label 1 = the first answer is preferred, 0 = the second")
    return None


def _free(values: Sequence[Any]) -> bool:
    """Whether a column holds free text or measurements rather than a few codes."""
    return len({labels.key_of(v) for v in values}) > max(12, 0.5 * len(values))


def _is_share(text: str) -> bool:
    try:
        return 0 <= float(text) <= 1
    except ValueError:
        return False


def _single(path: str, meaning: Meaning) -> Verdicts:
    return Verdicts(
        lambda row: meaning.read(selected(need(row, path)), path),
        frozenset({path}),
        meaning.sentence,
        meaning.graded,
    )


def _one_hot(view: View, a: str, b: str) -> Verdicts:
    paths = view.names[a], view.names[b]
    tie = next(
        (n for n in view.names if "tie" in words(n) and set(words(n)) - {"tie"} <= set(words(a))),
        None,
    )
    tie = view.names[tie] if tie else None

    def read(row: Row) -> Verdict:
        flags = [_flag(need(row, p), p) for p in paths]
        equal = (
            _flag(at(row, tie), tie) if tie and at(row, tie) is not None else flags[0] == flags[1]
        )
        if sum(flags) + equal != 1:
            raise Bad(f"{paths[0]} and {paths[1]} do not say who won")
        return Verdict(None if equal else int(flags[0]))

    sentence = (
        f"{paths[0]} is true = the first answer is preferred, {paths[1]} is true = the second"
    )
    return Verdicts(read, frozenset({*paths, *([tie] if tie else ())}), sentence)


def _flag(value: Any, name: str) -> bool:
    key = labels.key_of(value)
    if key not in ("0", "1", "true", "false"):
        raise Bad(f"is {show(value)}, expected true or false", name)
    return key in ("1", "true")


def _raters(view: View) -> list[str]:
    """Columns of several annotators: ``annotator1``, ``annotator2``, ..."""
    tokens = {n: words(n) for n in view.names}
    stems: dict[str, list[str]] = {}
    for n, said in tokens.items():
        if (
            len(said) == 2
            and said[0]
            in ("annotator", "rater", "label", "vote", "judge", "preference", "worker", "judgment")
            and (said[1].isdigit() or (len(said[1]) == 1 and said[1].isalpha()))
        ):
            stems.setdefault(said[0], []).append(n)
    return next(
        (
            sorted(found)
            for found in stems.values()
            if len(found) > 1 and not any(view.texty(n) and _long(view, n) for n in found)
        ),
        [],
    )


def _long(view: View, name: str) -> bool:
    return any(len(str(v)) > 40 for v in view.values(name)[:50])


def _votes(paths: Sequence[str], meaning: Meaning) -> Verdicts:
    def read(row: Row) -> Verdict:
        said = [v for p in paths if not is_empty(v := at(row, p))]
        if not said:
            raise Bad(f"none of {', '.join(paths)} says anything")
        return labels.majority(meaning.read(v, p) for v, p in zip(said, paths))

    sentence = f"{len(paths)} annotators a row, of whom the majority counts: {meaning.sentence}"
    return Verdicts(read, frozenset(paths), sentence, ("probability",))


def _scores(view: View, a: str, b: str, *, low_is_better: bool) -> Verdicts:
    paths = view.names[a], view.names[b]
    which = "lower" if low_is_better else "higher"
    return Verdicts(
        lambda row: labels.by_scores(need(row, paths[0]), need(row, paths[1]), paths, low_is_better=low_is_better),
        frozenset(paths),
        f"the answer with the {which} of {paths[0]} and {paths[1]} is preferred, equal ones are a tie",
        ("strength",),
    )  # fmt: skip


def _by_content(
    view: View, name: str, first: str, second: str, models: tuple[str, str] | None
) -> bool:
    """Whether a column names the winner by its model or by its text."""
    rows = [
        (v, row)
        for row in view.sample
        if isinstance(v := at(row, view.names[name]), str) and v.strip()
    ]
    if not rows or (view.given.get(name, None) is None and len(rows) < 0.5 * len(view.sample)):
        return False
    hits = sum(_match(view, v, row, first, second, models) is not None for v, row in rows)
    vague = sum(labels.of_word(labels.key_of(v), ("a", "b")) is not None for v, _ in rows)
    return hits > 0.5 * len(rows) and hits + vague > 0.9 * len(rows) and hits > vague * 0.5


def _match(
    view: View, value: str, row: Row, first: str, second: str, models: tuple[str, str] | None
) -> int | None:
    for pair in ((first, second), *([models] if models else ())):
        a, b = (at(row, view.names[n]) for n in pair)
        if a != b and value in (a, b):
            return int(value == a)
    return None


def _content_verdict(
    view: View, name: str, first: str, second: str, models: tuple[str, str] | None
) -> Verdicts:
    path = view.names[name]

    def read(row: Row) -> Verdict:
        value = need(row, path)
        if not isinstance(value, str):
            raise Bad(f"is {show(value)}, expected one of the two answers or models", path)
        match = _match(view, value, row, first, second, models)
        if match is not None:
            return Verdict(match)
        word = labels.of_word(labels.key_of(value), ("a", "b"))
        if word is None:
            raise Bad(f"is {show(value)}, which is neither of the two answers or models", path)
        return Verdict(word.label)

    return Verdicts(read, frozenset({path}), f"{path} names the answer that is preferred")


def build_two(
    view: View, first: str, second: str, sides: tuple[str, str], pairs: Stems,
    given: Mapping[Any, str] | None,
) -> Shape:  # fmt: skip
    paths = view.names[first], view.names[second]
    models = model_columns(view, sides)
    judge = verdicts(view, first, second, sides, pairs, given, models)
    others = {n for a, b, _ in pairs.values() for n in (a, b)}
    used_names = {n for n, p in view.names.items() if judge and p in judge.used}
    asking = asked(view, {first, second, *others, *used_names, *(models or ())}, first)
    if judge is None:
        raise Lacks(
            "pairs",
            "label",
            f"two answers ({paths[0]!r} and {paths[1]!r})"
            + ("" if asking.main else " and no prompt"),
        )
    turn = view.names.get("turn")
    sample = [at(r, paths[0]) for r in view.sample]
    in_messages = any(is_messages(opened(v)) for v in sample)
    if asking.main is None and not in_messages:
        if mostly(
            [v for v in sample if isinstance(v, str)], lambda v: bool(TURN.match(v.lstrip()))
        ):
            pass
        else:
            raise Lacks(
                "pairs", "prompt", f"two answers ({paths[0]!r} and {paths[1]!r}) and a verdict"
            )
    lists = asking.main is not None and mostly(
        [at(r, asking.main) for r in view.sample],
        lambda v: (
            isinstance(o := opened(v), list) and all(isinstance(x, str) or x is None for x in o)
        ),
    )

    def read(row: Row) -> Said:
        verdict = judge.read(row)
        values = [need(row, p) for p in paths]
        if lists:
            return [
                Judged(
                    *_zipped(need(row, asking.main or ""), values, asking.main or "", paths),
                    verdict.label,
                    graded(verdict),
                )
            ]
        a, b = (answer(v, p) for v, p in zip(values, paths))
        if asking.main is None and isinstance(a.content, str) and isinstance(b.content, str):
            return [
                Judged(
                    *as_transcripts((a.content, b.content), paths), verdict.label, graded(verdict)
                )
            ]
        if turn is not None:
            a, b = (_up_to_turn(y, at(row, turn)) for y in (a, b))
        alone = hold_prompt([a], [b])
        asking_now = None if alone or asking.main is None else asking.read(row)
        if alone and asking.main is None and asking.parts:
            asking_now = system_of(asking, row), tools_of(asking, row)
        return [
            Judged(
                *together(asking_now, (a, b), paths),
                verdict.label,
                {**graded(verdict), **facts_of(a, b)},
            )
        ]

    name = "pairs"
    if view.has("conversation_a", "conversation_b"):
        name = "arena"
    elif view.has("instruction", "output_1", "output_2", "preference"):
        name = "alpaca_farm"
    elif view.has("preference_strength") or view.has("overall_preference"):
        name = "helpsteer"
    used = {*paths, *judge.used, *asking.used, *([turn] if turn and in_messages else ())}
    facts = set(judge.graded)
    if name_models([(at(r, paths[0]), at(r, paths[1])) for r in view.sample]):
        facts.add("model")
    return Shape(name, read, frozenset(used), judge.sentence, facts=frozenset(facts), sides=sides)


def _zipped(
    asking: Any, answers: Sequence[Any], name: str, names: tuple[str, str]
) -> tuple[str, str, str]:
    """Prompts and answers as lists of turns: conversations, parted where they differ."""
    questions = opened(asking)
    if not isinstance(questions, list) or not questions:
        raise Bad(f"is {show(asking)}, expected a list of questions", name)
    found = []
    for value, at_ in zip(answers, names):
        replies = opened(value)
        if not isinstance(replies, list) or len(replies) != len(questions):
            raise Bad(
                f"is {show(value)}, expected {len(questions)} answers, one for each question", at_
            )
        turns: list[Message] = []
        for i, (q, r) in enumerate(zip(questions, replies)):
            turns.append(
                {"role": "user", "content": string("" if q is None else q, f"{name}[{i}]")}
            )
            turns.append(
                {"role": "assistant", "content": string("" if r is None else r, f"{at_}[{i}]")}
            )
        found.append(turns)
    shared, a, b = parted(found[0], found[1], names)
    return Conversation(shared), Conversation(a), Conversation(b)


def _up_to_turn(given: Answer, turn: Any) -> Answer:
    """A conversation up to the answer that was judged, the ``turn``-th of the assistant."""
    if not isinstance(given.content, list) or is_empty(turn):
        return given
    number = as_number(turn, "turn")
    ends = [i for i, m in enumerate(given.content, 1) if m["role"] == "assistant"]
    if not 1 <= number <= len(ends):
        return given
    return Answer(given.content[: ends[int(number) - 1]], given.facts)
