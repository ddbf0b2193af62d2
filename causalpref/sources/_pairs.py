"""Rows of two answers and a verdict: a label, a winner, scores, votes, several annotators."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from causalpref.data import Conversation
from causalpref.sources import _labels as labels
from causalpref.sources._labels import Meaning, Unclear, Verdict, meaning_of
from causalpref.sources._layouts import (
    ALPACA,
    OVERALL,
    OWN_LABEL,
    PANDALM,
    RANKS,
    SCORES,
    VERDICT_WORDS,
    VERDICTS,
    WON,
    Judged,
    Said,
    better_is,
    deciding,
)
from causalpref.sources._prompts import (
    Asked,
    around,
    as_transcripts,
    asked,
    hold_prompt,
    parted,
    together,
)
from causalpref.sources._rows import Bad, Row, show
from causalpref.sources._shapes import (
    Lacks,
    Shape,
    Stems,
    facts_of,
    graded,
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
)
from causalpref.sources._view import View, at, mostly, need, selected


@dataclass(frozen=True)
class Judge:
    """Where a file says which of two answers is preferred, and what it means."""

    read: Callable[[Row], Verdict]
    used: frozenset[str]
    sentence: str
    graded: tuple[str, ...] = ()


@dataclass(frozen=True)
class Two:
    """Two columns of answers, and what may judge between them."""

    view: View
    first: str
    second: str
    sides: tuple[str, str]
    pairs: Stems
    models: tuple[str, str] | None
    given: Mapping[Any, str] | None

    @property
    def others(self) -> Iterator[tuple[set[str], str, str]]:
        """Further columns that come in pairs: their words, and the two names."""
        for stem, (a, b, _) in self.pairs.items():
            if not {a, b} & {self.first, self.second}:
                yield {w for w in stem if w}, a, b

    def judge(self) -> Judge | None:
        """The first judge that there is, the surest first.

        Raises
        ------
        Unclear
            There is a column of verdicts, and nothing says what its values mean.
        """
        unclear: Unclear | None = None
        for find in (self.flags, self.column, self.yes_no, self.annotators, self.scores, self.own):
            try:
                if (found := find()) is not None:
                    return found
            except Unclear as error:
                unclear = unclear or error
        if unclear is not None:
            raise unclear
        return None

    def meaning(self, name: str, values: Sequence[Any], known: Meaning | None = None) -> Meaning:
        about, path = self.view.table.name, self.view.names[name]
        return meaning_of(path, values, self.sides, given=self.given, known=known, about=about)

    def flags(self) -> Judge | None:
        """A column for either answer, true where it won, and perhaps one for ties."""
        for said, a, b in self.others:
            values = [v for n in (a, b) for v in self.view.values(n) if not is_empty(v)]
            flags = [labels.key_of(v) for v in values]
            if WON & said and mostly(flags, labels.is_flag, 0.8):
                return _one_hot(self.view, a, b)
        return None

    def column(self) -> Judge | None:
        """One column that names the winner, by its side, its model or its text."""
        names, unclear = self.view.names, None
        taken = {self.first, self.second, *_raters(self.view)}
        taken |= {n for _, a, b in self.others for n in (a, b)}
        late, about = ("score", "rating"), self.view.table.name
        found = [n for n in VERDICTS if n not in late]
        found += [n for n in names if set(words(n)) & VERDICT_WORDS]
        found = [n for n in dict.fromkeys((*found, *late)) if n in names and n not in taken]
        main = lambda n: n not in VERDICTS and not {*OVERALL} & {*words(n)}
        order = lambda n: (n not in self.view.given, self._coded(n), main(n))
        for name in sorted(found, key=order):
            values = [selected(v) for v in self.view.values(name)]
            if self._names_winner(name):
                return self._by_content(name)
            known = _known(self.view, name, values, self.sides)
            if all(map(_no_code, values)) or (known is None and _free(values)):
                continue
            try:
                if name not in VERDICTS:
                    self._alone(name, found)
                if name in late and self._coded(name) and not self.given:
                    raise labels.unclear(names[name], Counter(map(labels.key_of, values)), about)
                return _single(names[name], self.meaning(name, values, known))
            except Unclear as error:
                unclear = unclear or error
        if unclear is not None:
            raise unclear
        return None

    def _alone(self, name: str, found: Sequence[str]) -> None:
        """Raise Unclear where another column of verdicts says otherwise, and neither is main."""
        if name in self.view.given or {*OVERALL} & {*words(name)}:
            return
        told = lambda n: [labels.of_word(labels.key_of(v), self.sides) for v in self.view.values(n)]
        own = told(name)
        for other in found:
            if other == name or None in own or other in VERDICTS:
                continue
            theirs = told(other)
            if None not in theirs and theirs != own:
                a, b = self.view.names[name], self.view.names[other]
                raise Unclear(
                    f"{self.view.table.name}: {a!r} and {b!r} name different answers, and the "
                    f"columns do not say which of them is the preference. Say "
                    f"columns={{'label': {a!r}}} or on the command line --column label={a}"
                )

    def _coded(self, name: str) -> bool:
        """Whether a verdict is numbers, which say less than words."""
        return not self.view.texty(name)

    def yes_no(self) -> Judge | None:
        """A column about one answer, such as ``left_is_better``."""
        for name in self.view.names:
            flags = [labels.key_of(v) for v in self.view.values(name) if not is_empty(v)]
            about = labels.of_column(name, self.sides) is not None
            if about and set(words(name)) & WON and mostly(flags, labels.is_flag, 0.8):
                judge = _single(self.view.names[name], self.meaning(name, flags))
                return _or_tie(judge, _tie_of(self.view, name))
        return None

    def annotators(self) -> Judge | None:
        """One column an annotator; the majority counts."""
        raters = _raters(self.view)
        if not raters:
            return None
        values = [v for n in raters for v in self.view.values(n)]
        known = None
        coded = {labels.key_of(v) for v in values} > {"2"}
        if words(raters[0])[0] == "annotator" and self.sides == ("1", "2") and coded:
            known = labels.by_table(
                PANDALM, "0 = a tie, 1 = the first answer is preferred, 2 = the second"
            )
        return _votes([self.view.names[n] for n in raters], self.meaning(raters[0], values, known))

    def scores(self) -> Judge | None:
        """A score, a rank or a count of votes for either answer."""
        found, names = self.score_columns(), self.view.names
        if found is not None:
            return _compared(self.view, *found)
        for said, a, b in self.others:
            if said & {*SCORES, *RANKS} and self._numbers(a, b):
                raise Unclear(
                    f"{self.view.table.name}: the columns do not say whether {names[a]!r} and "
                    f"{names[b]!r} decide which answer is preferred. If they do, say "
                    f"columns={{'score_a': {names[a]!r}, 'score_b': {names[b]!r}}} where a higher "
                    "one is better, 'rank_a' and 'rank_b' where a lower one is (on the command "
                    "line --column score_a=COL), or name a label with label_values"
                )
        return None

    def score_columns(self) -> tuple[str, str, bool] | None:
        """The columns of scores that say which answer is better, and whether a lower one is.

        None where there are several, and none of them is the overall one.
        """
        found = [
            (stem, a, b, better)
            for stem, (a, b, _) in self.pairs.items()
            if not {a, b} & {self.first, self.second} and self._numbers(a, b)
            if (better := better_is(stem))
        ]
        place = deciding([stem for stem, *_ in found])
        if place is None:
            return None
        _, a, b, better = found[place]
        return a, b, better == "lower"

    def _numbers(self, *names: str) -> bool:
        return all(self.view.values(n) and not self.view.texty(n) for n in names)

    def own(self) -> Judge | None:
        """``probability`` or ``strength``, as :class:`PreferenceData` has them, if so given."""
        said = (
            (
                "probability",
                labels.between(1, 0, "probability = that the first answer is preferred"),
            ),
            (
                "strength",
                labels.signed(
                    -np.inf, np.inf, 1, "strength above 0 = the first answer is preferred"
                ),
            ),
        )
        for name, meaning in said:
            if self.view.has(name):
                path = self.view.names[name]
                if name not in self.view.given:
                    raise Unclear(
                        f"{self.view.table.name}: the columns do not say which answer {path!r} is "
                        f"about. If a higher one is for the first, say columns={{{name!r}: "
                        f"{path!r}}} (on the command line --column {name}={path}); otherwise name "
                        "a label, with label_values"
                    )
                return _single(path, meaning)
        return None

    # -- the winner by its name ------------------------------------------------------

    def _names_winner(self, name: str) -> bool:
        said = [(at(r, self.view.names[name]), r) for r in self.view.sample]
        rows = [(v, r) for v, r in said if isinstance(v, (str, int)) and not is_empty(v)]
        hits = sum(self._match(v, r) is not None for v, r in rows)
        vague = sum(labels.of_word(labels.key_of(v), ("a", "b")) is not None for v, _ in rows)
        return hits > max(0.5 * len(rows), 0.5 * vague) and hits + vague > 0.9 * len(rows)

    def _match(self, value: str | int, row: Row) -> int | None:
        for pair in ((self.first, self.second), *([self.models] if self.models else ())):
            a, b = (at(row, self.view.names[n]) for n in pair)
            if a != b and value in (a, b):
                return int(value == a)
        return None

    def _by_content(self, name: str) -> Judge:
        path = self.view.names[name]

        def read(row: Row) -> Verdict:
            value = need(row, path)
            if isinstance(value, (str, int)):
                if (match := self._match(value, row)) is not None:
                    return Verdict(match)
                if (word := labels.of_word(labels.key_of(value), ("a", "b"))) is not None:
                    return Verdict(word.label)
            raise Bad(f"is {show(value)}, which is neither of the two answers or models", path)

        return Judge(read, frozenset({path}), f"{path} names the answer that is preferred")


def _known(view: View, name: str, values: Sequence[Any], sides: tuple[str, str]) -> Meaning | None:
    """What a published format says of a label column."""
    keys = {labels.key_of(v) for v in values if not isinstance(v, (list, Mapping))}
    numbers = [n for v in values if (n := _number(v)) is not None]
    if name in ("label", "labels") and view.has("human_ref_a", "human_ref_b"):
        sentence = f"{name} 1 = the first answer is preferred, 0 = the second"
        return labels.by_table(OWN_LABEL, sentence)
    signed = name in ("preference_strength", "overall_preference") and sides == ("1", "2")
    around_0 = min(numbers, default=0) < 0 or sum(n > 0 for n in numbers) < 5
    if signed and (around_0 or view.has("individual_preference")):
        sentence = (
            f"{name} below 0 = the first answer is preferred, above 0 = the second, 0 = a tie"
        )
        return labels.signed(-3, 3, -1, sentence)
    if name == "preference" and view.has("output_1", "output_2"):
        if any(0 < n < 1 for n in numbers) or (0 in numbers and max(numbers) <= 1):
            return None
        if keys <= set(ALPACA):
            sentence = (
                "preference 1 = the first answer is preferred, 2 = the second, 0 or 1.5 = a tie"
            )
            return labels.by_table(ALPACA, sentence)
        sentence = "preference 1 to 2 = the probability that the second answer is preferred"
        return labels.between(1, 2, sentence, ties=(0,))
    if name == "label" and view.has("response_a", "response_b") and keys & OWN_LABEL.keys():
        sentence = "label 1 = the first answer is preferred, 0 = the second"
        return labels.by_table(OWN_LABEL, sentence)
    return None


def _free(values: Sequence[Any]) -> bool:
    """Whether a column holds free text or measurements rather than a few codes."""
    return len({labels.key_of(v) for v in values}) > max(12, 0.5 * len(values))


def _number(value: Any) -> float | None:
    with contextlib.suppress(Bad):
        return as_number(value, "")
    return None


def _single(path: str, meaning: Meaning) -> Judge:
    read = lambda row: meaning.read(selected(need(row, path)), path)
    return Judge(read, frozenset({path}), meaning.sentence, meaning.graded)


def _no_code(value: Any) -> bool:
    """Whether a value cannot be a verdict."""
    return is_empty(value) or isinstance(value, (list, Mapping))


def _tie_of(view: View, name: str) -> str | None:
    """The column that says whether it was a tie, beside one that says whether an answer won."""
    ties = (n for n in view.names if {"tie", "draw"} & set(words(n)))
    beside = (n for n in ties if set(words(n)) - {"tie", "draw", "is"} <= set(words(name)))
    return next((view.names[n] for n in beside), None)


def _or_tie(judge: Judge, tie: str | None) -> Judge:
    """The judge, where a column of ties does not say otherwise."""
    if tie is None:
        return judge

    def read(row: Row) -> Verdict:
        said = at(row, tie)
        return Verdict(None) if not is_empty(said) and _flag(said, tie) else judge.read(row)

    return Judge(read, judge.used | {tie}, f"{judge.sentence}, {tie} = a tie")


def _one_hot(view: View, a: str, b: str) -> Judge:
    paths = view.names[a], view.names[b]
    tie = _tie_of(view, a)

    def read(row: Row) -> Verdict:
        first, second = (_flag(need(row, p), p) for p in paths)
        said = at(row, tie) if tie else None
        equal = first == second if tie is None or is_empty(said) else _flag(said, tie)
        if first + second + equal != 1:
            raise Bad(f"{paths[0]} and {paths[1]} do not say who won")
        return Verdict(None if equal else int(first))

    sentence = f"{paths[0]} is true = the first answer is preferred, {paths[1]} = the second"
    return Judge(read, frozenset({*paths, *([tie] if tie else ())}), sentence)


def _flag(value: Any, name: str) -> bool:
    key = labels.key_of(value)
    if not labels.is_flag(key):
        raise Bad(f"is {show(value)}, expected true or false", name)
    return labels.is_yes(key)


_RATERS = ("annotator", "rater", "label", "vote", "judge", "preference", "worker", "judgment")


def _raters(view: View) -> list[str]:
    """Columns of several annotators: ``annotator1``, ``annotator2``, ..."""
    found: dict[str, list[str]] = {}
    for name in view.names:
        stem, *number = words(name) or ("",)
        if stem in _RATERS and len(number) == 1 and (number[0].isdigit() or len(number[0]) == 1):
            found.setdefault(stem, []).append(name)
    short = lambda n: all(len(str(v)) <= 40 for v in view.values(n)[:50])
    groups = (sorted(names) for names in found.values() if len(names) > 1)
    return next((names for names in groups if all(map(short, names))), [])


def _votes(paths: Sequence[str], meaning: Meaning) -> Judge:
    def read(row: Row) -> Verdict:
        said = [(v, p) for p in paths if not is_empty(v := at(row, p))]
        if not said:
            raise Bad(f"none of {', '.join(paths)} says anything")
        return labels.majority(meaning.read(v, p) for v, p in said)

    sentence = f"{len(paths)} annotators a row, of whom the majority counts: {meaning.sentence}"
    return Judge(read, frozenset(paths), sentence, ("probability",))


def _compared(view: View, a: str, b: str, low_is_better: bool) -> Judge:
    paths = view.names[a], view.names[b]
    which = "lower" if low_is_better else "higher"

    def read(row: Row) -> Verdict:
        scores = [need(row, p) for p in paths]
        return labels.by_scores(scores[0], scores[1], paths, low_is_better=low_is_better)

    sentence = (
        f"the answer with the {which} of {paths[0]} and {paths[1]} is preferred, equal = a tie"
    )
    return Judge(read, frozenset(paths), sentence, ("strength",))


# -- the shape --------------------------------------------------------------------------


def build_two(
    view: View,
    first: str,
    second: str,
    sides: tuple[str, str],
    pairs: Stems,
    given: Mapping[Any, str] | None,
) -> Shape:
    """Rows of two answers in the columns ``first`` and ``second``.

    Raises
    ------
    Lacks
        No verdict, or no prompt.
    Unclear
        A verdict whose values may mean several things.
    """
    paths = view.names[first], view.names[second]
    models = model_columns(view, sides)
    two = Two(view, first, second, sides, pairs, models, given)
    judge = two.judge()
    has = f"two answers ({paths[0]!r} and {paths[1]!r})"
    taken = {n for a, b, _ in pairs.values() for n in (a, b)} | {*(models or ())}
    taken |= {n for n, p in view.names.items() if judge and p in judge.used}
    asking = asked(view, {first, second, *taken}, first)
    if judge is None:
        maybe = [n for n, p in view.names.items() if n not in taken and _coded(view, n)]
        said = "" if asking.main else " and no prompt"
        raise Lacks("pairs", "label", has + said, [view.names[n] for n in maybe])
    sample = [at(r, paths[0]) for r in view.sample]
    in_messages = any(is_messages(opened(v)) for v in sample)
    texts = [v for v in sample if isinstance(v, str)]
    transcripts = mostly(texts, lambda v: bool(TURN.match(v.lstrip())))
    if asking.main is None and not in_messages and not transcripts:
        raise Lacks("pairs", "prompt", f"{has} and a verdict")
    turn = view.names.get("turn") if in_messages else None
    read = _reader(judge, asking, paths, turn, _asks_in_turns(view, asking))
    facts = {*judge.graded}
    if name_models([(at(r, paths[0]), at(r, paths[1])) for r in view.sample]):
        facts.add("model")
    scores = two.score_columns()
    ratings = None
    if scores is not None and not scores[2] and view.names[scores[0]] not in judge.used:
        ratings = view.names[scores[0]], view.names[scores[1]]
    return Shape(
        _name(view),
        read,
        frozenset({*paths, *judge.used, *asking.used, *([turn] if turn else ())}),
        judge.sentence,
        facts=frozenset(facts),
        sides=sides,
        ratings=ratings,
    )


def _name(view: View) -> str:
    if view.has("conversation_a", "conversation_b"):
        return "arena"
    if view.has("instruction", "output_1", "output_2", "preference"):
        return "alpaca_farm"
    signed = view.has("preference_strength") or view.has("overall_preference")
    return "helpsteer" if signed else "pairs"


def _coded(view: View, name: str) -> bool:
    """Whether a column may be a verdict: a few short values."""
    values = [v for v in view.values(name) if not isinstance(v, (list, Mapping))]
    keys = {labels.key_of(v) for v in values}
    return 1 < len(keys) <= 7 and all(len(k) <= 20 for k in keys) and len(values) > 2 * len(keys)


def _asks_in_turns(view: View, asking: Asked) -> bool:
    """Whether prompts are lists of questions, each with an answer in the lists of answers."""

    def in_turns(value: Any) -> bool:
        found = opened(value)
        return isinstance(found, list) and all(isinstance(v, str) or v is None for v in found)

    return asking.main is not None and mostly([at(r, asking.main) for r in view.sample], in_turns)


def _reader(
    judge: Judge, asking: Asked, paths: tuple[str, str], turn: str | None, in_turns: bool
) -> Callable[[Row], Said]:
    def texts(row: Row, a: Answer, b: Answer) -> tuple[str, str, str]:
        plain = isinstance(a.content, str) and isinstance(b.content, str)
        if asking.main is None and plain:
            return as_transcripts((str(a.content), str(b.content)), paths)
        if turn is not None:
            a, b = (_up_to_turn(y, at(row, turn)) for y in (a, b))
        if hold_prompt([a, b]):
            return together(around(asking, row), (a, b), paths)
        return together(asking.read(row), (a, b), paths)

    def read(row: Row) -> Said:
        verdict = judge.read(row)
        values = [need(row, p) for p in paths]
        if in_turns:
            main = asking.main or ""
            both = _zipped(need(row, main), values, (main, *paths))
            return [Judged(*both, verdict.label, graded(verdict))]
        a, b = (answer(v, p) for v, p in zip(values, paths))
        facts = {**graded(verdict), **facts_of(a, b)}
        return [Judged(*texts(row, a, b), verdict.label, facts)]

    return read


def _zipped(
    asking: Any, answers: Sequence[Any], names: tuple[str, str, str]
) -> tuple[str, str, str]:
    """Prompts and answers as lists of turns: conversations, parted where they differ."""
    questions = opened(asking)
    if not isinstance(questions, list) or not questions:
        raise Bad(f"is {show(asking)}, expected a list of questions", names[0])
    found = []
    for value, name in zip(answers, names[1:]):
        replies = opened(value)
        if not isinstance(replies, list) or len(replies) != len(questions):
            raise Bad(f"is {show(value)}, expected {len(questions)} answers in a list", name)
        turns: list[Message] = []
        for i, (q, r) in enumerate(zip(questions, replies)):
            for role, text, at_ in (("user", q, names[0]), ("assistant", r, name)):
                turns.append({"role": role, "content": string(text or "", f"{at_}[{i}]")})
        found.append(turns)
    shared, a, b = parted(found[0], found[1], (names[1], names[2]))
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
