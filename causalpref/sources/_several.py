"""Several answers to a prompt: in one row, or one a row."""

from __future__ import annotations

import contextlib
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from causalpref.sources import _labels as labels
from causalpref.sources._labels import Meaning, Unclear, Verdict, meaning_of
from causalpref.sources._layouts import (
    EXTRAS,
    INDEX_WORDS,
    LISTS,
    RANKS,
    SCORES,
    TEXTS,
    VERDICT_WORDS,
    VERDICTS,
    Judged,
    Rated,
    Said,
)  # fmt: skip
from causalpref.sources._prompts import asked, together
from causalpref.sources._rows import Bad, Row, show
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
)  # fmt: skip
from causalpref.sources._view import View, at, kind_of, mostly, need

# -- several answers in a row ------------------------------------------------------------


def build_several(view: View, given: Mapping[Any, str] | None) -> Shape | None:
    """Lists of answers with scores, ranks or the index of the best; None if there is no list."""
    numbered = numbered_columns({n: words(n) for n in view.names})
    columns = next(
        (
            cols
            for stem, cols in numbered.items()
            if last_word(stem) in (*TEXTS, "") and all(map(view.texty, cols))
        ),
        None,
    )
    source: Callable[[Row], list[Any]]
    if columns is not None:
        paths = [view.names[c] for c in columns]
        source, name, used, own = (
            (lambda row: [v for p in paths if (v := at(row, p)) is not None]),
            " ... ".join((paths[0], paths[-1])),
            {*paths},
            {*columns},
        )
    else:
        lists = [n for n in LISTS if n in view.names]
        lists += [
            n for n in view.names if set(words(n)) & {"ranked", "candidates"} and n not in lists
        ]
        lists += [n for n in view.names if n not in lists and last_word(words(n)) in LISTS]
        column = next((n for n in lists if _holds_answers(view, n)), None)
        if column is None:
            return None
        name = view.names[column]
        source, used, own = (lambda row: listed_answers(need(row, name), name)), {name}, {column}
    sample = []
    for row in view.sample:
        with contextlib.suppress(Bad):
            sample.append((row, source(row)))
    if not mostly(sample, lambda s: len(s[1]) > 1):
        return None
    best = _best(view, sample, numbered, given, own, name)
    if best is None:
        raise Lacks("ranked", "score", f"several answers in {name!r}")
    asking = asked(view, {*own, *(n for n, p in view.names.items() if p in best.used)})
    if asking.main is None:
        raise Lacks("ranked", "prompt", f"several answers in {name!r}")
    objects = [v for _, vs in sample for v in vs]
    facts = {
        *best.graded,
        *(
            {"model"}
            if objects and all(isinstance(v, Mapping) and model_of(v) for v in objects)
            else ()
        ),
    }

    def read(row: Row) -> Said:
        asking_now = asking.read(row)
        values = source(row)
        if len(values) < 2:
            raise Bad(
                f"holds {len(values)} answer{'s' * (len(values) != 1)}, a pair needs two", name
            )
        answers: list[Answer | Bad] = []
        for i, v in enumerate(values):
            try:
                answers.append(answer(v, f"{name}[{i}]"))
            except Bad as bad:
                answers.append(bad)
        said: Said = [a for a in answers if isinstance(a, Bad)]
        for i, j, verdict in best.pairs(row, values):
            a, b = answers[i], answers[j]
            if isinstance(a, Bad) or isinstance(b, Bad):
                continue
            both = together(asking_now, (a, b), (f"{name}[{i}]", f"{name}[{j}]"))
            said.append(Judged(*both, verdict.label, {**graded(verdict), **facts_of(a, b)}))
        if not said:
            raise Bad("gives no pair", name)
        return said

    return Shape(
        "ranked",
        read,
        frozenset({*used, *best.used, *asking.used}),
        best.sentence,
        order_known=best.shown,
        facts=frozenset(facts),
    )


def listed_answers(value: Any, name: str) -> list[Any]:
    """The answers of a cell: a list, or an object of lists as ``datasets`` stores a list of objects."""
    value = opened(value)
    if isinstance(value, Mapping) and value and all(isinstance(v, list) for v in value.values()):
        if len({len(v) for v in value.values()}) == 1:
            value = [dict(zip(value, cells)) for cells in zip(*value.values())]
    if not isinstance(value, list):
        raise Bad(f"is {show(value)}, expected a list of answers", name)
    return value


def _holds_answers(view: View, name: str) -> bool:
    found = []
    for value in view.values(name):
        with contextlib.suppress(Bad):
            found.append(listed_answers(value, name))
    return (
        mostly(view.values(name), lambda v: True)
        and mostly(
            found,
            lambda v: (
                len(v) > 1
                and not is_messages(v)
                and all(isinstance(x, (str, Mapping, list)) for x in v)
                and not all(isinstance(x, list) and not is_messages(x) for x in v)
            ),
        )
        and len(found) > 0.5 * len(view.sample)
    )


@dataclass(frozen=True)
class Best:
    """Which pairs a list of answers gives, and what each says."""

    pairs: Callable[[Row, list[Any]], Iterable[tuple[int, int, Verdict]]]
    used: frozenset[str]
    sentence: str
    graded: tuple[str, ...] = ()
    shown: bool = False


def _best(
    view: View, sample: Sequence[tuple[Row, list[Any]]], numbered: Mapping[Any, list[str]],
    given: Mapping[Any, str] | None, own: set[str], name: str,
) -> Best | None:  # fmt: skip
    keys = Counter(
        plain(k)
        for _, vs in sample
        for v in vs
        if isinstance(v, Mapping) and not is_message(v)
        for k, x in v.items()
        if not is_empty(x)
    )
    total = sum(len(vs) for _, vs in sample)
    for wanted, low in ((RANKS, True), (SCORES, False)):
        key = next(
            (
                k
                for k in keys
                if last_word(words(k)) in wanted and keys[k] > 0.9 * total and _numbers(sample, k)
            ),
            None,
        )
        if key is not None:
            return _ranked(
                lambda row, values, key=key: [_at_plain(v, key) for v in values],
                frozenset(),
                f"{name}.{key}",
                low,
            )
    flag = next(
        (
            k
            for k in keys
            if set(words(k)) & {"selected", "best", "chosen", "preferred", "winner", "accepted"}
        ),
        None,
    )
    if flag is not None:
        return _chosen_one(
            lambda row, values: [
                labels.key_of(_at_plain(v, flag)) in ("1", "true", "yes") for v in values
            ],
            f"{name}.{flag}",
        )
    for stem, cols in numbered.items():
        last = last_word(stem)
        if last in (*SCORES, *RANKS) and not own & set(cols):
            paths = [view.names[c] for c in cols]
            return _ranked(
                lambda row, values: [need(row, p) for p in paths][: len(values)],
                frozenset(paths),
                " ... ".join((paths[0], paths[-1])),
                last in RANKS,
            )
    for column in view.names:
        last = last_word(words(column))
        if column in own or last not in (*SCORES, *RANKS, "ratings"):
            continue
        path = view.names[column]
        if mostly(
            sample,
            lambda s: (
                isinstance(o := opened(at(s[0], path)), list)
                and len(o) == len(s[1])
                and all(isinstance(x, (int, float, str)) or x is None for x in o)
            ),
            0.9,
        ):
            return _ranked(
                lambda row, values: _as_many(opened(need(row, path)), values, path),
                frozenset({path}),
                path,
                last in RANKS,
            )
    if not any(isinstance(v, Mapping) for _, vs in sample for v in vs) and "ranked" in words(name):
        return _ranked(
            lambda row, values: list(range(len(values))), frozenset(), f"the order of {name}", True
        )
    return _index(view, sample, given, own)


def _as_many(found: Any, values: list[Any], path: str) -> list[Any]:
    if not isinstance(found, list) or len(found) != len(values):
        raise Bad(f"is {show(found)}, expected {len(values)} numbers, one for each answer", path)
    return found


def _at_plain(value: Any, key: str) -> Any:
    return (
        next((v for k, v in value.items() if plain(k) == key), None)
        if isinstance(value, Mapping)
        else None
    )


def _numbers(sample: Sequence[tuple[Row, list[Any]]], key: str) -> bool:
    found = [_at_plain(v, key) for _, vs in sample for v in vs]
    return mostly(found, lambda v: kind_of(v) == "number" and v is not None, 0.8)


def _ranked(
    scores: Callable[[Row, list[Any]], list[Any]], used: frozenset[str], name: str, low: bool
) -> Best:
    def pairs(row: Row, values: list[Any]) -> Iterable[tuple[int, int, Verdict]]:
        found = scores(row, values)
        for i, j in itertools.combinations(range(len(values)), 2):
            yield (
                i,
                j,
                labels.by_scores(
                    found[i],
                    found[j],
                    (f"{name} of answer {i + 1}", f"{name} of answer {j + 1}"),
                    low_is_better=low,
                ),
            )

    which = "lower" if low else "higher"
    return Best(
        pairs,
        used,
        f"the answer with the {which} {name} is preferred, equal ones are a tie",
        ("strength",),
    )


def _chosen_one(
    flags: Callable[[Row, list[Any]], list[bool]],
    name: str,
    used: frozenset[str] = frozenset(),
    shown: bool = False,
) -> Best:
    def pairs(row: Row, values: list[Any]) -> Iterable[tuple[int, int, Verdict]]:
        found = flags(row, values)
        if not any(found) or all(found):
            raise Bad("does not say which answer is preferred", name)
        for i, j in itertools.combinations(range(len(values)), 2):
            if found[i] != found[j]:
                yield i, j, Verdict(int(found[i]))

    return Best(pairs, used, f"{name} says which answer is preferred to the others", (), shown)


def _index(
    view: View,
    sample: Sequence[tuple[Row, list[Any]]],
    given: Mapping[Any, str] | None,
    own: set[str],
) -> Best | None:
    """A column that holds the index of the preferred answer in the list, or its text."""
    names = [n for n in VERDICTS if n in view.names and n not in own]
    names += [
        n
        for n in view.names
        if set(words(n)) & (VERDICT_WORDS | {"index"}) and n not in names and n not in own
    ]
    unclear: Unclear | None = None
    for column in names:
        path = view.names[column]
        values = [(at(row, path), vs) for row, vs in sample if not is_empty(at(row, path))]
        if len(values) < 0.5 * len(sample):
            continue
        if mostly(values, lambda s: s[0] in s[1], 0.9):
            return _chosen_one(
                lambda row, vs, path=path: [v == need(row, path) for v in vs],
                path,
                frozenset({path}),
                True,
            )
        two = all(len(vs) == 2 for _, vs in values)
        if given and two:
            meaning = meaning_of(path, [v for v, _ in values], ("0", "1"), given=given)
            return _pairwise(meaning, path)
        keys = {labels.key_of(v) for v, _ in values}
        numbers = all(k.isdigit() for k in keys)
        if two and not numbers:
            with contextlib.suppress(Unclear):
                return _pairwise(
                    meaning_of(path, [v for v, _ in values], ("a", "b"), about=view.table.name),
                    path,
                )
        most = max(len(vs) for _, vs in values)
        from_zero = numbers and "0" in keys and all(int(k) < most for k in keys)
        from_one = (
            numbers and "0" not in keys and str(most) in keys and all(int(k) <= most for k in keys)
        )
        if set(words(column)) & INDEX_WORDS and (from_zero or from_one):
            shift = 0 if from_zero else 1
            return _chosen_one(
                lambda row, vs, path=path, shift=shift: _flags(need(row, path), vs, path, shift),
                path,
                frozenset({path}),
                True,
            )
        counts = Counter(labels.key_of(v) for v, _ in values)
        if len(counts) <= 20:
            unclear = unclear or labels.unclear(path, counts, view.table.name)
    if unclear is not None:
        raise unclear
    return None


def _flags(value: Any, values: list[Any], path: str, shift: int) -> list[bool]:
    number = as_number(value, path) - shift
    if not (number.is_integer() and 0 <= number < len(values)):
        raise Bad(f"is {show(value)}, expected {shift} to {len(values) - 1 + shift}", path)
    return [i == number for i in range(len(values))]


def _pairwise(meaning: Meaning, path: str) -> Best:
    return Best(
        lambda row, vs: [(0, 1, meaning.read(need(row, path), path))] if len(vs) == 2 else [],
        frozenset({path}),
        meaning.sentence,
        meaning.graded,
        True,
    )


# -- one answer a row, rated -----------------------------------------------------------


def build_rated(view: View) -> Shape | None:
    """Rows of one answer each, with ratings, several rows to a prompt; None if there are none."""
    response = view.first(
        n
        for n in (*TEXTS, "model_response", "response_text", "summary_text")
        if n in view.names and view.texty(n)
    )
    if response is None:
        return None
    asking = asked(view, {response})
    if asking.main is None:
        return None
    scored = [
        n for n in view.names
        if n not in (response, *EXTRAS) and (values := view.values(n)) and len(values) > 0.5 * len(view.sample)
        and all(kind_of(v) == "number" and not isinstance(v, bool) for v in values) and len({labels.key_of(v) for v in values}) > 1
        and (last_word(words(n)) in (*SCORES, *RANKS, "correctness", "coherence", "complexity", "verbosity", "relevance", "fluency", "consistency"))
    ]  # fmt: skip
    order = (
        "overall",
        "overall_score",
        "overall_rating",
        "score",
        "rating",
        "reward",
        "helpfulness",
        "quality",
        "rank",
    )
    name = next((n for n in order if n in scored), scored[0] if len(scored) == 1 else None)
    prompts = Counter(str(at(row, asking.main)) for row in view.sample)
    if name is None or max(prompts.values(), default=0) < 2:
        return None
    path, score = view.names[response], view.names[name]
    low = last_word(words(name)) in RANKS
    latents = tuple(view.names[n] for n in scored if n != name)
    model = view.first(("model", "model_name", "generator", "llm"), {response})

    def read(row: Row) -> Said:
        given = answer(need(row, path), path)
        prompt, text, _ = together(asking.read(row), (given, given), (path, path))
        value = as_number(need(row, score), score)
        facts: dict[str, Any] = {}
        if latents:
            facts["response_latents"] = tuple(as_number(need(row, p), p) for p in latents)
        if model is not None:
            facts["model"] = as_category({model: at(row, view.names[model])}, model)
        return [Rated(prompt, text, -value if low else value, facts)]

    which = "lower" if low else "higher"
    facts = {
        "strength",
        *(("response_latents",) if latents else ()),
        *(("model",) if model else ()),
    }
    used = {path, score, *latents, *asking.used, *([view.names[model]] if model else ())}
    return Shape("rated", read, frozenset(used), f"of two answers to a prompt the one with the {which} {score} is preferred, equal ones are a tie",
                 order_known=False, facts=frozenset(facts), names={"response_latents": latents} if latents else {}, grouped=True)  # fmt: skip
