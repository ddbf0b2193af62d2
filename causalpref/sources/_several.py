"""Several answers to a prompt: in one row, or one a row."""

from __future__ import annotations

import contextlib
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from causalpref.sources import _labels as labels
from causalpref.sources._labels import Unclear, Verdict, meaning_of
from causalpref.sources._layouts import (
    EXTRAS,
    INDEX_WORDS,
    LISTS,
    MUTE,
    QUALITIES,
    RANKS,
    SCORES,
    TEXTS,
    VERDICT_WORDS,
    VERDICTS,
    WON,
    Judged,
    Rated,
    Said,
    better_is,
    deciding,
)
from causalpref.sources._prompts import asked, together
from causalpref.sources._rows import Bad, Row, count, show
from causalpref.sources._shapes import (
    Lacks,
    Shape,
    facts_of,
    graded,
    last_word,
    model_of,
    numbered_columns,
)
from causalpref.sources._values import (
    Answer,
    answer,
    as_category,
    as_number,
    is_empty,
    is_message,
    is_messages,
    opened,
    plain,
    words,
)
from causalpref.sources._view import View, at, kind_of, mostly, need


@dataclass(frozen=True)
class Listed:
    """Where a row lists its answers."""

    name: str
    own: frozenset[str]
    used: frozenset[str]
    read: Callable[[Row], list[Any]]


@dataclass(frozen=True)
class Best:
    """What a row says of the answers that it lists: pairs of positions, each with a verdict."""

    pairs: Callable[[Row, list[Any]], Iterable[tuple[int, int, Verdict | Bad]]]
    used: frozenset[str]
    sentence: str
    graded: tuple[str, ...] = ()
    shown: bool = False


Sample = Sequence[tuple[Row, list[Any]]]


def build_several(view: View, given: Mapping[Any, str] | None) -> Shape | None:
    """Rows with several answers and scores, ranks or the best of them; None if they list none.

    Raises
    ------
    Lacks
        Nothing says which answer is better, or no prompt.
    Unclear
        An index whose values may mean several things.
    """
    numbered = numbered_columns({n: words(n) for n in view.names})
    source = _in_columns(view, numbered) or _in_a_list(view)
    if source is None:
        return None
    sample: list[tuple[Row, list[Any]]] = []
    for row in view.sample:
        with contextlib.suppress(Bad):
            sample.append((row, source.read(row)))
    if not mostly(sample, lambda s: len(s[1]) > 1):
        return None
    best = next(_bests(view, sample, numbered, given, source), None)
    has = f"several answers in {source.name!r}"
    if best is None:
        raise Lacks("ranked", "score", has)
    asking = asked(view, {*source.own, *(n for n, p in view.names.items() if p in best.used)})
    if asking.main is None:
        raise Lacks("ranked", "prompt", has)
    name = source.name

    def read(row: Row) -> Said:
        prompt, values = asking.read(row), source.read(row)
        if len(values) < 2:
            raise Bad(f"holds {count(len(values), 'answer')}, a pair needs two", name)
        answers = [_answer(v, f"{name}[{i}]") for i, v in enumerate(values)]
        said: Said = [a for a in answers if isinstance(a, Bad)]
        for i, j, verdict in best.pairs(row, values):
            a, b = answers[i], answers[j]
            if isinstance(verdict, Bad):
                said.append(verdict)
            elif isinstance(a, Answer) and isinstance(b, Answer):
                both = together(prompt, (a, b), (f"{name}[{i}]", f"{name}[{j}]"))
                facts = {**graded(verdict), **facts_of(a, b)}
                said.append(Judged(*both, verdict.label, facts))
        return said or [Bad("gives no pair", name)]

    objects = [v for _, values in sample for v in values]
    models = all(isinstance(v, Mapping) and model_of(v) for v in objects)
    return Shape(
        "ranked",
        read,
        frozenset({*source.used, *best.used, *asking.used}),
        best.sentence,
        order_known=best.shown,
        facts=frozenset({*best.graded, *(["model"] if models else ())}),
    )


def _answer(value: Any, name: str) -> Answer | Bad:
    try:
        return answer(value, name)
    except Bad as bad:
        return bad


# -- where the answers are ------------------------------------------------------------------


def _in_columns(view: View, numbered: Mapping[Any, list[str]]) -> Listed | None:
    """Three columns of answers and more: ``answer_1``, ``answer_2``, ``answer_3``."""
    for stem, columns in numbered.items():
        if last_word(stem) in (*TEXTS, "") and all(map(view.texty, columns)):
            paths = [view.names[c] for c in columns]
            name = f"{paths[0]} ... {paths[-1]}"
            read = lambda row: [v for p in paths if (v := at(row, p)) is not None]  # noqa: B023
            return Listed(name, frozenset(columns), frozenset(paths), read)
    return None


def _in_a_list(view: View) -> Listed | None:
    """A column that holds a list of answers."""
    names = [n for n in LISTS if n in view.names]
    names += [n for n in view.names if {"ranked", "candidates"} & set(words(n))]
    names += [n for n in view.names if last_word(words(n)) in LISTS]
    column = next((n for n in names if _holds_answers(view, n)), None)
    if column is None:
        return None
    path = view.names[column]
    read = lambda row: _cells(need(row, path), path)
    return Listed(path, frozenset({column}), frozenset({path}), read)


def _cells(value: Any, name: str) -> list[Any]:
    """The answers of a cell: a list, or an object of lists, as ``datasets`` stores such a list."""
    value = opened(value)
    if isinstance(value, Mapping) and all(isinstance(v, list) for v in value.values()):
        sizes = {len(v) for v in value.values()}
        if len(sizes) == 1:
            value = [dict(zip(value, cells)) for cells in zip(*value.values())]
    if not isinstance(value, list):
        raise Bad(f"is {show(value)}, expected a list of answers", name)
    return value


def _holds_answers(view: View, name: str) -> bool:
    def answers(value: Any) -> bool:
        with contextlib.suppress(Bad):
            found = _cells(value, name)
            texts = all(isinstance(v, (str, Mapping)) or is_messages(v) for v in found)
            return len(found) > 1 and texts and not is_messages(found)
        return False

    return mostly([at(row, view.names[name]) for row in view.sample], answers)


# -- which one is better ---------------------------------------------------------------------


def _bests(
    view: View,
    sample: Sample,
    numbered: Mapping[Any, list[str]],
    given: Mapping[Any, str] | None,
    source: Listed,
) -> Iterator[Best]:
    """What may say which answer is better, the surest first."""
    yield from _in_objects(sample, source.name)
    stems = [s for s, columns in numbered.items() if better_is(s) and not source.own & {*columns}]
    if (place := deciding(stems)) is not None:
        paths = [view.names[c] for c in numbered[stems[place]]]
        name = f"{paths[0]} ... {paths[-1]}"
        read = lambda row, values: [at(row, p) for p in paths][: len(values)]
        yield _scored(read, name, better_is(stems[place]) == "lower", frozenset(paths))
    columns = [c for c in view.names if better_is(words(c)) and c not in source.own]
    listed_ = lambda path: lambda s: _is_list_of(at(s[0], path), len(s[1]))
    columns = [c for c in columns if mostly(sample, listed_(view.names[c]), 0.9)]
    if (place := deciding([words(c) for c in columns])) is not None:
        path, low = view.names[columns[place]], better_is(words(columns[place])) == "lower"
        read = lambda row, values: _as_many(need(row, path), values, path)
        yield _scored(read, path, low, frozenset({path}))
    if "ranked" in words(source.name) and all(isinstance(v, str) for _, vs in sample for v in vs):
        name = f"place in {source.name}"
        yield _scored(lambda row, values: list(range(len(values))), name, True)
    yield from _index(view, sample, given, source.own)


def _in_objects(sample: Sample, name: str) -> Iterator[Best]:
    """A score, a rank or a mark inside the objects of the answers."""
    objects = [v for _, vs in sample for v in vs if isinstance(v, Mapping) and not is_message(v)]
    filled = Counter(plain(k) for v in objects for k, x in v.items() if not is_empty(x))
    number = lambda key: lambda v: (x := _of(v, key)) is not None and kind_of(x) == "number"
    numbers = [key for key in filled if mostly(objects, number(key), 0.8)]
    for wanted in ("lower", "higher"):
        keys = [key for key in numbers if better_is(words(key)) == wanted]
        if (place := deciding([words(key) for key in keys])) is not None:
            key = keys[place]
            read = lambda row, values, key=key: [_of(v, key) for v in values]
            yield _scored(read, f"{name}.{key}", wanted == "lower")
    for key in filled:
        if set(words(key)) & (WON | {"chosen", "accepted", "winner"}) and not _against(key):
            read = lambda row, values, key=key: [
                labels.is_yes(labels.key_of(_of(v, key))) for v in values
            ]
            yield _marked(read, f"{name}.{key}")


def _against(name: str) -> bool:
    """Whether a column is about the worse answer."""
    return bool(labels.AGAINST & {*words(name)})


def _of(value: Any, key: str) -> Any:
    if not isinstance(value, Mapping):
        return None
    return next((v for k, v in value.items() if plain(k) == key), None)


def _is_list_of(value: Any, n: int) -> bool:
    found = opened(value)
    return (
        isinstance(found, list) and len(found) == n and all(kind_of(v) == "number" for v in found)
    )


def _as_many(value: Any, values: list[Any], path: str) -> list[Any]:
    found = opened(value)
    if not isinstance(found, list) or len(found) != len(values):
        raise Bad(f"is {show(value)}, expected {len(values)} numbers, one for each answer", path)
    return found


def _scored(
    scores: Callable[[Row, list[Any]], list[Any]],
    name: str,
    low: bool,
    used: frozenset[str] = frozenset(),
) -> Best:
    """All pairs of answers with a number for each."""

    def pairs(row: Row, values: list[Any]) -> Iterator[tuple[int, int, Verdict | Bad]]:
        numbers: dict[int, float] = {}
        for i, score in enumerate(scores(row, values)):
            try:
                numbers[i] = as_number(score, f"{name} of answer {i + 1}")
            except Bad as bad:
                yield i, i, bad
        for i, j in itertools.combinations(numbers, 2):
            verdict = labels.by_scores(numbers[i], numbers[j], (name, name), low_is_better=low)
            yield i, j, verdict

    which = "lower" if low else "higher"
    sentence = f"the answer with the {which} {name} is preferred, equal = a tie"
    return Best(pairs, used, sentence, ("strength",))


def _marked(
    marks: Callable[[Row, list[Any]], list[bool]],
    name: str,
    used: frozenset[str] = frozenset(),
    *,
    shown: bool = False,
) -> Best:
    """The answers with a mark against those without."""

    def pairs(row: Row, values: list[Any]) -> Iterator[tuple[int, int, Verdict]]:
        found = marks(row, values)
        if any(found) == all(found):
            raise Bad("does not say which answer is preferred", name)
        for i, j in itertools.combinations(range(len(values)), 2):
            if found[i] != found[j]:
                yield i, j, Verdict(int(found[i]))

    return Best(pairs, used, f"{name} says which answer is preferred to the others", (), shown)


def _index(
    view: View, sample: Sample, given: Mapping[Any, str] | None, own: frozenset[str]
) -> Iterator[Best]:
    """A column with the index of the preferred answer, or with its text."""
    unclear: Unclear | None = None
    names = [*VERDICTS, *(n for n in view.names if set(words(n)) & (VERDICT_WORDS | {"index"}))]
    for column in dict.fromkeys(n for n in names if n in view.names and n not in own):
        if _against(column) and not given:
            continue
        path, used = view.names[column], frozenset({view.names[column]})
        said = [(v, vs) for row, vs in sample if not is_empty(v := at(row, path))]
        if len(said) < 0.5 * len(sample):
            continue
        if mostly(said, lambda s: s[0] in s[1], 0.9):
            same = lambda row, vs, path=path: [v == need(row, path) for v in vs]
            yield _marked(same, path, used, shown=True)
        values, most = [v for v, _ in said], max(len(vs) for _, vs in said)
        keys = Counter(map(labels.key_of, values))
        found = {int(k) for k in keys if k.isdigit() and int(k) <= most}
        whole = sum(n for k, n in keys.items() if k.isdigit() and int(k) <= most) > 0.6 * len(said)
        if most == 2 and (given or not whole):
            sides = ("0", "1") if given else ("a", "b")
            with contextlib.suppress(Unclear):
                meaning = meaning_of(path, values, sides, given=given, about=view.table.name)
                read = lambda row, vs, path=path, meaning=meaning: [
                    (0, 1, meaning.read(need(row, path), path))
                ]
                yield Best(read, used, meaning.sentence, meaning.graded, shown=True)
        if whole and set(words(column)) & INDEX_WORDS:
            known = column == "choice" and "summaries" in own  # summarize-from-feedback
            base = 0 if known else _base(found, most)
            if base is not None:
                read = lambda row, vs, path=path, base=base: _at_index(
                    need(row, path), vs, path, base
                )
                yield _marked(read, path, used, shown=True)
        if len(keys) <= 20:
            unclear = unclear or labels.unclear(path, keys, view.table.name)
    if unclear is not None:
        raise unclear


def _base(found: set[int], most: int) -> int | None:
    """Whether indices count from 0 or from 1; None where the values fit both."""
    if min(found) == 0 and max(found) < most:
        return 0
    return 1 if min(found) > 0 and max(found) == most else None


def _at_index(value: Any, values: list[Any], path: str, base: int) -> list[bool]:
    number = as_number(value, path) - base
    if not (number.is_integer() and 0 <= number < len(values)):
        last = len(values) - 1 + base
        raise Bad(f"is {show(value)}, expected a whole number from {base} to {last}", path)
    return [i == number for i in range(len(values))]


# -- one answer a row, rated -----------------------------------------------------------


def build_rated(view: View) -> Shape | None:
    """Rows of one answer each, with ratings, several rows to a prompt; None if there are none."""
    own = [n for n in (*TEXTS, "model_response") if n in view.names and view.texty(n)]
    asking = asked(view, {own[0]}) if own else None
    if asking is None or asking.main is None:
        return None
    prompts = Counter(str(at(row, asking.main)) for row in view.sample)
    scored = [n for n in view.names if n != own[0] and _is_rating(view, n)]
    best = ("overall", "overall_score", "overall_rating", "score", "rating", "reward", *QUALITIES)
    may = [n for n in scored if not _against(n) and not MUTE & {*words(n)[:1]}]
    name = next((n for n in best if n in may), may[0] if len(scored) == 1 and may else None)
    if name is None or max(prompts.values(), default=0) < 2:
        return None
    path, score, low = view.names[own[0]], view.names[name], last_word(words(name)) in RANKS
    latents = tuple(view.names[n] for n in scored if n != name)
    model = view.first(("model", "model_name", "generator", "llm"), {own[0]})
    by = view.names[model] if model else None

    def read(row: Row) -> Said:
        given = answer(need(row, path), path)
        prompt, text, _ = together(asking.read(row), (given, given), (path, path))
        value = as_number(need(row, score), score)
        facts: dict[str, Any] = {}
        if latents:
            facts["response_latents"] = tuple(as_number(need(row, p), p) for p in latents)
        if by is not None:
            facts["model"] = as_category({by: need(row, by)}, by)
        return [Rated(prompt, text, -value if low else value, facts)]

    which = "lower" if low else "higher"
    facts = ["strength", *(["response_latents"] if latents else ()), *(["model"] if by else ())]
    return Shape(
        "rated",
        read,
        frozenset({path, score, *latents, *asking.used, *([by] if by else ())}),
        f"of two answers to a prompt the one with the {which} {score} is preferred, equal = a tie",
        order_known=False,
        facts=frozenset(facts),
        names={"response_latents": latents} if latents else {},
        grouped=True,
    )


def _is_rating(view: View, name: str) -> bool:
    """Whether a column holds ratings: numbers, not all equal, under a name for ratings."""
    values = view.values(name)
    if name in EXTRAS or last_word(words(name)) not in (*SCORES, *RANKS, *QUALITIES):
        return False
    numbers = all(kind_of(v) == "number" and not isinstance(v, bool) for v in values)
    return numbers and len(values) > 0.5 * len(view.sample) and len(set(map(str, values))) > 1
