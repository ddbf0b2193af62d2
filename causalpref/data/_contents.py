"""What the texts and labels of a data set give away before any model: repeats, contradictions,
empty answers, and prompts that two data sets share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from causalpref.data._normalised import normalised
from causalpref.data._preferences import PreferenceData

__all__ = [
    "Finding",
    "SharedPrompts",
    "contents",
    "example_pairs",
    "normalised",
    "shared_prompts",
    "shortened",
]

_SHOWN, _WIDTH, _EMPTY = 3, 120, "(empty)"
_RATINGS = {
    f"{of}{what}"
    for of in ("", "overall ", "quality ", "reward ", "preference ")
    for what in ("score", "rating")
} | {"overall", "overall quality", "quality", "reward", "grade"}


def shortened(text: str, width: int = _WIDTH) -> str:
    """The text on one line, cut with an ellipsis, without characters that steer a terminal."""
    flat = " ".join(text[: 4 * width].split())
    if len(flat) > width or len(text) > 4 * width:
        flat = flat[: width - 1].rstrip() + "…"
    # joiners without width spell words in some scripts
    return "".join(c if c.isprintable() or c in "\u200c\u200d" else "\ufffd" for c in flat)


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that the contents of a data set give away, in words and numbers.

    Parameters
    ----------
    key : str
        What kind of finding it is, for programs: ``"contradictions"``.
    sentence : str
        The finding, with its number, for people.
    count, of : int
        How many of how many.
    unit : str
        What is counted: ``"pairs"``, ``"prompts"``.
    bears_on : str
        What becomes wrong because of it.
    next_step : str
        What to do.
    numbers : mapping of str to number
        Other figures, such as the best accuracy that a model can reach.
    examples : tuple of mappings of str to str
        A few cases, with shortened texts; all have the same keys.
    """

    key: str
    sentence: str
    count: int
    of: int
    unit: str
    bears_on: str
    next_step: str
    numbers: Mapping[str, float] = field(default_factory=dict)
    examples: tuple[Mapping[str, str], ...] = ()

    def __str__(self) -> str:
        return self.sentence

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return vars(self) | {
            "numbers": dict(self.numbers),
            "examples": [dict(e) for e in self.examples],
        }


# -- one data set ----------------------------------------------------------------


def contents(data: PreferenceData) -> list[Finding]:
    """What stands out in the texts and labels of a data set.

    Looked for are pairs judged both ways, pairs of a text with itself, ratings that contradict
    the label, empty responses, repeated pairs, and prompts that differ by blanks or case only.

    Parameters
    ----------
    data : PreferenceData

    Returns
    -------
    list of Finding
        Only what was found, the gravest first.

    Notes
    -----
    A pair is the same pair if it shows the same two texts, in either order, for the same prompt
    under the same objective, whatever the number under which the texts are stored. Ties
    (:attr:`PreferenceData.tie`) are left out where labels are compared.
    """
    text = _text_codes(data)
    low, high = np.sort(text[data.pairs], axis=1).T
    cell = _cells(data, low, high)
    empty = np.fromiter((not r.strip() for r in data.responses), bool, len(data.responses))
    judged = _judged(data, text, cell, low == high)
    found = [
        _contradictions(data, judged, cell),
        _with_itself(data, low == high, judged.best),
        *_against_ratings(data),
        _empty(data, empty),
        _repeats(data, cell, low == high),
        _near_prompts(data),
    ]
    return [f for f in found if f is not None]


def _text_codes(data: PreferenceData) -> np.ndarray:
    """A number for each response, the same for equal texts, shape (n_responses,).

    Both responses of a pair answer one prompt, so a text needs its prompt only in :func:`_cells`.
    """
    return pd.factorize(data.responses)[0]


def _cells(data: PreferenceData, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """A number for each pair, the same for the same two texts under the same objective."""
    keys = [data.pair_prompt, low, high]
    if data.objective is not None:
        keys.append(data.objective)
    code = np.zeros(len(data), dtype=np.int64)
    for key in keys:
        values = pd.factorize(key)[0]
        code = pd.factorize(code * (values.max() + 1) + values)[0]
    return code


@dataclass(frozen=True)
class _Judged:
    """How often either text of each cell won; ``one`` is the text with the smaller number."""

    use: np.ndarray  # (n_pairs,) bool: decided, and two different texts
    one_first: np.ndarray  # (n_pairs,) bool: ``one`` is the first response
    one_won: np.ndarray  # (n_pairs,) bool
    wins: np.ndarray  # (n_cells,) int
    losses: np.ndarray  # (n_cells,) int
    best: float  # the largest share of labels that any scores of the texts agree with


def _judged(data: PreferenceData, text: np.ndarray, cell: np.ndarray, same: np.ndarray) -> _Judged:
    decided = ~data.tie
    use = decided & ~same
    one_first = text[data.pairs[:, 0]] < text[data.pairs[:, 1]]
    one_won = (data.label == 1) == one_first
    n = cell.max() + 1
    wins = np.bincount(cell[use & one_won], minlength=n)
    losses = np.bincount(cell[use & ~one_won], minlength=n)
    right = np.maximum(wins, losses).sum() + 0.5 * (decided & same).sum()
    return _Judged(use, one_first, one_won, wins, losses, float(right / max(decided.sum(), 1)))


def _contradictions(data: PreferenceData, judged: _Judged, cell: np.ndarray) -> Finding | None:
    """Pairs judged both ways: by one annotator or nobody named, or by several."""
    both = (judged.wins > 0) & (judged.losses > 0)
    if not both.any():
        return None
    k, repeated = int(both.sum()), int((judged.wins + judged.losses > 1).sum())
    rows = np.flatnonzero(judged.use & both[cell])
    alone = _by_one_annotator(data, judged, cell)
    numbers = {"best_accuracy": judged.best, "pairs_concerned": len(rows)}
    said = f"{_of(k, repeated, 'repeated pair')} judged both ways"
    key, by = "contradictions", "no annotator is recorded, so the labels contradict each other"
    step = (
        "Find out how a pair came to be listed twice: often a file was joined with its own mirror "
        "image, or chosen and rejected were exchanged in a part of it. If several people judged, "
        "add a column that says who."
    )
    if data.annotator is not None:
        numbers["by_one_annotator"] = alone
        by = "the same annotator gave both labels"
        step = "Find out whether these annotators changed their minds, or rows were mixed up."
        if alone < k:
            key = "disagreement"
            said = f"Annotators disagree about {_of(k, repeated, 'repeated pair', verb=False)}"
            by = "people differ, so this is not by itself an error"
            if alone:
                by += f"; in {alone:,} of {k:,} cases one annotator gave both labels"
            step = (
                "Compare every accuracy with this bound, and look at whether the disagreement "
                "follows from who judged or from what was asked."
            )
    return Finding(
        key=key,
        sentence=f"{said}: {_bound(judged.best)}.",
        count=k,
        of=repeated,
        unit="pairs judged more than once",
        bears_on=f"Label noise and the accuracy that a model can reach: {by}.",
        next_step=step,
        numbers=numbers,
        examples=_both_ways(data, judged, cell, rows),
    )


def _bound(best: float) -> str:
    return f"the best accuracy that any model of the texts can reach is {_percent(best)}"


def _by_one_annotator(data: PreferenceData, judged: _Judged, cell: np.ndarray) -> int:
    """Cells in which some annotator gave both labels."""
    if data.annotator is None:
        return 0
    who = pd.factorize(data.annotator)[0]
    one = pd.factorize(cell * (who.max() + 1) + who)[0]
    n = one.max() + 1
    wins, times = (
        np.bincount(one[m], minlength=n) for m in (judged.use & judged.one_won, judged.use)
    )
    torn = (wins > 0) & (wins < times)
    return len(np.unique(cell[judged.use & torn[one]]))


def _both_ways(
    data: PreferenceData, judged: _Judged, cell: np.ndarray, rows: np.ndarray
) -> tuple[dict[str, str], ...]:
    _, first = np.unique(cell[rows], return_index=True)
    examples = []
    for i in rows[np.sort(first)[:_SHOWN]].tolist():
        times = judged.wins[cell[i]], judged.losses[cell[i]]
        pair, times = data[i], times if judged.one_first[i] else times[::-1]
        examples.append(
            {
                "prompt": shortened(pair.prompt),
                "one response": shortened(pair.first) or _EMPTY,
                "preferred": f"{times[0]:,} ×",
                "other response": shortened(pair.second) or _EMPTY,
                "preferred instead": f"{times[1]:,} ×",
            }
        )
    return tuple(examples)


def _with_itself(data: PreferenceData, same: np.ndarray, best: float) -> Finding | None:
    if not same.any():
        return None
    k, n = int(same.sum()), len(data)
    return Finding(
        key="identical_responses",
        sentence=f"{_of(k, n, 'pair')} of a text with itself ({_percent(k / n)}): "
        f"there is nothing to prefer, and {_bound(best)}.",
        count=k,
        of=n,
        unit="pairs",
        bears_on="Accuracy and position: a model is right about such a pair half of the time, "
        "whatever it learned, and the label can only show which position was chosen.",
        next_step="Leave these pairs out before training, or check whether the difference "
        "between the two responses is in a column that was not read.",
        numbers={"share": k / n, "best_accuracy": best},
        examples=_rows(data, np.flatnonzero(same)),
    )


def _against_ratings(data: PreferenceData) -> list[Finding]:
    """For each response latent that is an overall rating: pairs whose winner is rated lower."""
    if data.response_latents is None:
        return []
    found = []
    for column, name in enumerate(data.names_of("response_latents")):
        if name.casefold().replace("-", " ").replace("_", " ") not in _RATINGS:
            continue
        z = data.response_latents[:, column]
        first, second = z[data.pairs].T
        lower = np.where(data.label == 1, first < second, second < first) & ~data.tie
        if not lower.any():
            continue
        k, n = int(lower.sum()), int((~data.tie).sum())
        chosen = np.where(data.label == 1, first, second)
        other = np.where(data.label == 1, second, first)
        rated: Callable[[int], dict[str, str]] = lambda i, c=chosen, o=other: {
            "rating of the winner": f"{c[i]:g}",
            "rating of the loser": f"{o[i]:g}",
        }
        found.append(
            Finding(
                key="rating_below",
                sentence=f"In {_of(k, n, 'pair', verb=False)} the preferred response has the "
                f"lower {name} ({_percent(k / n)}).",
                count=k,
                of=n,
                unit="pairs",
                bears_on="What the label means: the label and the rating cannot both say which "
                "response is better.",
                next_step=f"Find out how {name} was given. If it is the source of the labels, "
                "correct the labels; if lower values are better, nothing is wrong.",
                numbers={"share": k / n},
                examples=_rows(data, np.flatnonzero(lower), rated),
            )
        )
    return found


def _empty(data: PreferenceData, empty: np.ndarray) -> Finding | None:
    has = empty[data.pairs]
    if not has.any():
        return None
    n, k = len(data), int(has.any(axis=1).sum())
    one = has[:, 0] != has[:, 1]
    one &= ~data.tie
    lost = int((has[:, 0] == (data.label == 0))[one].sum())
    compared = int(one.sum())
    said = (
        f"the empty one loses {lost:,} of {compared:,} times ({_percent(lost / compared)})"
        if compared
        else "none is compared with a response that has words"
    )
    return Finding(
        key="empty_responses",
        sentence=f"{k:,} of {_count(n, 'pair')} {'has' if k == 1 else 'have'} an empty response: "
        f"{said}.",
        count=k,
        of=n,
        unit="pairs",
        bears_on="Length and selection: an empty response is easy to beat, and leaving such pairs "
        "out selects on the outcome.",
        next_step="Keep these pairs, find out whether the model refused, failed or was cut off, "
        "and report accuracy with and without them.",
        numbers={"compared_with_words": compared, "lost": lost},
        examples=_rows(data, np.flatnonzero(has.any(axis=1))),
    )


def _repeats(data: PreferenceData, cell: np.ndarray, same: np.ndarray) -> Finding | None:
    times = np.bincount(cell)
    first = np.zeros(len(data), dtype=bool)
    first[np.unique(cell, return_index=True)[1]] = True
    k, n = int((~first).sum()), len(data)
    if not k:
        return None
    rows = np.flatnonzero(first & (times[cell] > 1) & ~same)
    shown: Callable[[int], dict[str, str]] = lambda i: {"judged": f"{times[cell[i]]:,} ×"}
    again = "repeats" if k == 1 else "repeat"
    return Finding(
        key="repeated_pairs",
        sentence=f"{k:,} of {_count(n, 'pair')} {again} an earlier pair ({_percent(k / n)}): "
        f"{_count(int((times > 1).sum()), 'pair')} judged up to {times.max():,} times.",
        count=k,
        of=n,
        unit="pairs",
        bears_on="Independence: repeated pairs count several times in accuracies and intervals, "
        "and copies on both sides of a split leak.",
        next_step="If they are separate judgements, keep them and say who judged; if they are "
        "copies, keep one of each: data[~data.duplicated()].",
        numbers={"most": int(times.max())},
        examples=_rows(data, rows, shown),
    )


def _near_prompts(data: PreferenceData) -> Finding | None:
    used = np.unique(data.pair_prompt)
    code, _ = pd.factorize(_keys(data.prompts[used]))
    times = np.bincount(code)
    k, n = int((times[code] > 1).sum()), len(used)
    if not k:
        return None
    near = np.zeros(len(data.prompts), dtype=bool)
    near[used[times[code] > 1]] = True
    examples = []
    for group in pd.unique(code[times[code] > 1])[:_SHOWN]:
        one, other = data.prompts[used[code == group][:2]].tolist()
        examples.append(dict(zip(("one prompt", "another prompt"), _difference(one, other))))
    return Finding(
        key="near_prompts",
        sentence=f"{k:,} of {_count(n, 'prompt')} differ from another one only by blanks or case: "
        f"they are {_count(int((times > 1).sum()), 'prompt')}.",
        count=k,
        of=n,
        unit="prompts",
        bears_on="Splits and clusters: a prompt that is stored twice can be in training and in "
        "test, and its pairs pass for independent.",
        next_step="Make the prompts equal before loading, or give them one prompt_group.",
        numbers={"pairs_concerned": int(near[data.pair_prompt].sum())},
        examples=tuple(examples),
    )


# -- two data sets -----------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class SharedPrompts:
    """Prompts that two data sets share; false if there are none.

    Parameters
    ----------
    exact : int
        Prompts of ``b`` that are in ``a`` letter by letter.
    near : int
        Prompts of ``b`` that are in ``a`` only after :func:`normalised`.
    prompts : int
        Prompts of ``b``.
    pairs, of : int
        Pairs of ``b`` with a prompt of either kind, and all its pairs.
    pairs_a, of_a : int
        The same for ``a``.
    examples : tuple of mappings
        ``a`` and ``b``: a prompt as either has it, quoted; ``same``: ``"exactly"`` or ``"but for
        blanks or case"``.
    """

    exact: int
    near: int
    prompts: int
    pairs: int
    of: int
    pairs_a: int
    of_a: int
    examples: tuple[Mapping[str, str], ...] = ()

    def __bool__(self) -> bool:
        return self.exact + self.near > 0

    def sentence(self, a: str = "the first data set", b: str = "the second data set") -> str:
        """How many prompts are shared and how many pairs that touches, in one sentence.

        Parameters
        ----------
        a, b : str
            What the two data sets are called.
        """
        k = self.exact + self.near
        how = f"{self.exact:,} exactly, {self.near:,} but for blanks or case"
        if not self:
            return f"None of the {_count(self.prompts, 'prompt')} of {b} is in {a}."
        return (
            f"{k:,} of the {_count(self.prompts, 'prompt')} of {b} {'is' if k == 1 else 'are'} in "
            f"{a} too ({how}); {self.pairs:,} of its {_count(self.of, 'pair')} "
            f"{'is' if self.pairs == 1 else 'are'} affected."
        )

    def finding(self, a: str = "the first data set", b: str = "the second data set") -> Finding:
        """As a finding, for a report that names the data sets ``a`` and ``b``."""
        named = {"a": f"in {a}", "b": f"in {b}"} if a != b else {}
        return Finding(
            key="shared_prompts",
            sentence=self.sentence(a, b),
            count=self.exact + self.near,
            of=self.prompts,
            unit="prompts",
            bears_on="The test: a model that saw a prompt in training is not tested on new ones, "
            "so its accuracy is too high.",
            next_step="Take the shared prompts out of one of the two, or split all pairs again by "
            "prompt: data.split(train=0.8, test=0.2, seed=0).",
            numbers={
                "exact": self.exact,
                "near": self.near,
                "pairs": self.pairs,
                "of_pairs": self.of,
                "pairs_first": self.pairs_a,
                "of_pairs_first": self.of_a,
            },
            examples=tuple({named.get(k, k): v for k, v in e.items()} for e in self.examples),
        )


def shared_prompts(a: PreferenceData, b: PreferenceData) -> SharedPrompts:
    """The prompts that two data sets share, exactly or but for blanks and case.

    Parameters
    ----------
    a, b : PreferenceData
        For example training and test data. Prompts that no pair uses do not count.

    Returns
    -------
    SharedPrompts
    """
    used_a, used_b = np.unique(a.pair_prompt), np.unique(b.pair_prompt)
    texts_a, texts_b = a.prompts[used_a], b.prompts[used_b]
    there = set(texts_a)
    exact = np.fromiter((t in there for t in texts_b), bool, len(texts_b))
    codes = pd.factorize(np.concatenate([_keys(texts_a), _keys(texts_b)]))[0]
    code_a, code_b = np.split(codes, [len(texts_a)])
    shared = np.isin(code_b, code_a)
    touched_a = np.zeros(len(a.prompts), dtype=bool)
    touched_a[used_a[np.isin(code_a, code_b)]] = True
    touched_b = np.zeros(len(b.prompts), dtype=bool)
    touched_b[used_b[shared]] = True
    near = shared & ~exact
    examples = []
    for rows, same in ((near, "but for blanks or case"), (exact, "exactly")):
        for i in np.flatnonzero(rows)[: _SHOWN - 1]:
            one = texts_b[i] if same == "exactly" else texts_a[np.argmax(code_a == code_b[i])]
            left, right = _difference(str(one), str(texts_b[i]))
            examples.append({"a": left, "b": right, "same": same})
    return SharedPrompts(
        exact=int(exact.sum()),
        near=int(near.sum()),
        prompts=len(used_b),
        pairs=int(touched_b[b.pair_prompt].sum()),
        of=len(b),
        pairs_a=int(touched_a[a.pair_prompt].sum()),
        of_a=len(a),
        examples=tuple(examples),
    )


# -- words and examples --------------------------------------------------------------


def example_pairs(data: PreferenceData, most: int = 2) -> tuple[dict[str, str], ...]:
    """A few pairs with prompt, winner and loser, so that a person can check the labels.

    Parameters
    ----------
    data : PreferenceData
    most : int

    Returns
    -------
    tuple of dict
        ``pair`` (its number in the data), ``prompt``, ``winner``, ``loser``: shortened. Pairs of
        two different texts with another prompt each come first.
    """
    first, second = data.responses[data.pairs[:1000]].T
    differ = np.flatnonzero((first != second) & ~data.tie[:1000])
    rows = differ if len(differ) else np.arange(min(len(data), most))
    prompt = data.pair_prompt[rows]
    _, fresh = np.unique(prompt, return_index=True)
    order = np.concatenate([np.sort(fresh), np.setdiff1d(np.arange(len(rows)), fresh)])
    return _rows(data, rows[order][:most])


def _rows(
    data: PreferenceData, rows: np.ndarray, more: Callable[[int], dict[str, str]] | None = None
) -> tuple[dict[str, str], ...]:
    examples = []
    for i in rows[:_SHOWN].tolist():
        pair = data[i]
        examples.append(
            {
                "pair": f"{i:,}",
                "prompt": shortened(pair.prompt),
                "winner": shortened(pair.chosen) or _EMPTY,
                "loser": shortened(pair.rejected) or _EMPTY,
            }
            | (more(i) if more else {})
        )
    return tuple(examples)


def _difference(one: str, other: str, width: int = 60) -> tuple[str, str]:
    """Both texts quoted, blanks and all, cut to where they begin to differ."""
    alike = next((i for i, (a, b) in enumerate(zip(one, other)) if a != b), -1)
    alike = min(len(one), len(other)) if alike < 0 else alike
    start = max(0, alike - width // 2)
    start = 0 if max(len(one), len(other)) <= width else start
    return tuple(
        ("…" if start else "")
        + repr(str(t[start : start + width]))
        + ("…" if len(t) > start + width else "")
        for t in (one, other)
    )  # type: ignore[return-value]


def _keys(texts: np.ndarray) -> np.ndarray:
    keys = np.empty(len(texts), dtype=object)
    keys[:] = [normalised(t) for t in texts]
    return keys


def _of(k: int, n: int, word: str, verb: bool = True) -> str:
    """3 of 200 pairs, with a verb that agrees."""
    return f"{k:,} of {_count(n, word)}" + (f" {'is' if k == 1 else 'are'}" if verb else "")


def _percent(share: float) -> str:
    """50% or 57.1%; what is not all or nothing is not shown as 100% or 0%."""
    text = f"{100 * share:.1f}".removesuffix(".0")
    if text in ("0", "100") and 0 < share < 1:
        text = "less than 0.1" if text == "0" else "more than 99.9"
    return f"{text}%"


def _count(n: int, word: str) -> str:
    return f"{n:,} {word}{'' if n == 1 else 's'}"
