"""What a reward model is asked to score: texts, an objective, and embeddings made like its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from causalpref.data import Conversation, PreferenceData

__all__ = ["Texts", "check_recipe", "code_of", "one_by_one", "own_recipe"]

Texts = str | Sequence[str] | Sequence[Mapping[str, Any]] | Sequence[Sequence[Mapping[str, Any]]]
"""One text, the messages of one, or a sequence of either."""

_NOT_HOW = ("model", "revision", "truncated")  # the identity has what the first two name


def own_recipe(recipe: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """What a model keeps of the recipe of its training data: how, not what became of them."""
    return None if recipe is None else {k: v for k, v in recipe.items() if k != "truncated"}


def check_recipe(
    given: Mapping[str, Any] | None, recipe: Mapping[str, Any] | None, whose: str
) -> None:
    """Refuse embeddings made otherwise than by this recipe.

    Raises
    ------
    ValueError
        Names the first field that differs. Nothing is refused where ``recipe`` is None.
    """
    if recipe is None:
        return
    way = "causalpref.embed(data, model.recipe) embeds them alike"
    if given is None:
        raise ValueError(
            "the data do not say how their embeddings were made, and those of "
            f"{whose} were made with {_name(recipe)}: {way}; if they were made so, say it with "
            "data.replace(recipe=model.recipe)"
        )
    for name in dict.fromkeys([*recipe, *given]):
        if name not in _NOT_HOW and recipe.get(name) != given.get(name):
            raise ValueError(
                f"the embeddings were made otherwise than those of {whose}: {name} is "
                f"{given.get(name)!r} ({_name(given)}), expected {recipe.get(name)!r} "
                f"({_name(recipe)}). {way}"
            )


def _name(recipe: Mapping[str, Any]) -> str:
    return str(recipe.get("model", recipe.get("kind")))


def code_of(objective: int | str | None, names: Sequence[str], n_objectives: int) -> int:
    """The code of an objective that is given by name or code; None where there is only one.

    Raises
    ------
    ValueError
        No objective where there are several, or one that the model does not have; lists them.
    TypeError
        Neither a name nor a whole number.
    """
    codes = [f"{c} ({name})" for c, name in enumerate(names)]
    there = ", ".join(codes + [str(c) for c in range(len(codes), n_objectives)])
    if objective is None:
        if n_objectives == 1:
            return 0
        raise ValueError(
            f"the model has {n_objectives} objectives, one is needed for a score: pass "
            f"objective=, one of {there}"
        )
    if isinstance(objective, bool) or not isinstance(objective, (str, int, np.integer)):
        raise TypeError(f"objective is {objective!r}, expected a name or a whole number")
    if isinstance(objective, str) and objective in names:
        return list(names).index(objective)
    if not isinstance(objective, str) and 0 <= objective < n_objectives:
        return int(objective)
    raise ValueError(f"the model has no objective {objective!r}; there are {there}")


def one_by_one(prompts: Any, responses: Any) -> PreferenceData:
    """Texts to score as data: response i answers prompt i, or the only prompt.

    Parameters
    ----------
    prompts, responses
        Each a text, a list of chat messages, or a sequence of these.

    Raises
    ------
    ValueError
        No texts, unequal lengths, or prompts that read alike and are different conversations.
    TypeError
        Anything else.
    """
    asked, one = _texts("prompts", prompts, "user")
    said, _ = _texts("responses", responses, "assistant")
    if one:
        asked *= len(said)
    if len(asked) != len(said):
        raise ValueError(
            f"there are {len(asked)} prompts and {len(said)} responses, expected as many of "
            "either. Several responses to one prompt: pass the prompt itself, not a list"
        )
    if not said:
        raise ValueError("responses is empty: there is nothing to score")
    rows: dict[str, int] = {}
    of = [rows.setdefault(prompt, len(rows)) for prompt in asked]
    kept = list(rows)
    for i, (prompt, row) in enumerate(zip(asked, of)):
        if _messages(prompt) != _messages(kept[row]):
            raise ValueError(
                f"prompts[{i}] reads like prompts[{of.index(row)}] but has other messages: score "
                "them in two calls"
            )
    return PreferenceData(kept, said, of, [[0, 0]], [1], order_known=False, source="texts to score")


def _messages(text: str) -> Any:
    return (text.messages, text.tools) if isinstance(text, Conversation) else None


def _texts(name: str, given: Any, role: str) -> tuple[list[str], bool]:
    """Texts, and whether it was one alone."""
    if isinstance(given, str) or _is_chat(given):
        return [_text(name, given)], True
    if isinstance(given, Mapping) or not hasattr(given, "__iter__"):
        raise TypeError(
            f"{name} is of type {type(given).__name__}, expected texts: a string, a list of "
            f'messages such as {{"role": "{role}", "content": "..."}}, or a sequence of either'
        )
    return [_text(f"{name}[{i}]", item) for i, item in enumerate(given)], False


def _is_chat(given: Any) -> bool:
    return (
        isinstance(given, (list, tuple))
        and len(given) > 0
        and all(isinstance(message, Mapping) for message in given)
    )


def _text(name: str, given: Any) -> str:
    if isinstance(given, str):
        return given
    if _is_chat(given):
        try:
            return Conversation(given)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    raise TypeError(
        f"{name} is {str(given)[:40]!r} ({type(given).__name__}), expected a string or a list of "
        "messages"
    )
