"""Published formats that are more than their columns."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from causalpref.sources import _labels as labels
from causalpref.sources._layouts import (
    ASPECTS,
    INDEX,
    OBJECTIVES,
    Judged,
    Said,
    read_ultrafeedback,
)  # fmt: skip
from causalpref.sources._prompts import asked, together
from causalpref.sources._rows import Bad, Row, show
from causalpref.sources._shapes import Shape
from causalpref.sources._values import answer, filled, opened, string  # fmt: skip
from causalpref.sources._view import MISSING, View, fetch, need
from causalpref.text.conversations import first_turn


def build_hh_rlhf(view: View) -> Shape:
    names = view.names
    kind = "prompt_type" if "prompt_type" in names else "data_subset"
    kinds = [("objective", "objective"), *([("prompt_type", kind)] if kind in names else ())]
    used = {c: names[c] for c in ("prompt", "responses", "label", *(k for _, k in kinds))}

    def read(row: Row) -> Said:
        responses = opened(need(row, used["responses"]))
        if not isinstance(responses, list):
            raise Bad(
                f"is {show(responses)}, expected a list (in a text file: as JSON)", "responses"
            )
        if len(responses) != 2:
            raise Bad(f"is a list of {len(responses)}, expected two strings", "responses")
        first, second = (string(r, f"responses[{i}]", nul=True) for i, r in enumerate(responses))
        facts = {}
        for name, column in kinds:
            facts[name] = need(row, used[column])
            if facts[name] not in OBJECTIVES:
                raise Bad(
                    f"is {show(facts[name])}, expected one of {', '.join(OBJECTIVES)}", used[column]
                )
        prompt = filled(string(need(row, used["prompt"]), "prompt", nul=True), "prompt")
        label = labels.by_table(INDEX, "").read(need(row, used["label"]), used["label"]).label
        return [Judged(prompt, first, second, label, facts)]

    return Shape(
        "hh_rlhf",
        read,
        frozenset(used.values()),
        "label 0 = the first answer is preferred, 1 = the second",
        facts=frozenset(name for name, _ in kinds),
        names={"objective": OBJECTIVES, "prompt_type": OBJECTIVES},
        sides=("0", "1"),
        groups=lambda prompts: pd.factorize(first_turn(prompts))[0],
    )


def build_safe_rlhf(view: View) -> Shape:
    names = view.names
    asking = asked(view, {"response_0", "response_1"})
    columns = {"helpful": names["better_response_id"], "safe": names["safer_response_id"]}
    paths = names["response_0"], names["response_1"]
    meaning = labels.by_table(INDEX, "")

    def read(row: Row) -> Said:
        asking_now = asking.read(row)
        both = together(
            asking_now,
            (answer(need(row, paths[0]), paths[0]), answer(need(row, paths[1]), paths[1])),
            paths,
        )
        return [
            Judged(*both, meaning.read(need(row, c), c).label, {"objective": o})
            for o, c in columns.items()
        ]

    better, safer = columns.values()
    return Shape(
        "safe_rlhf",
        read,
        frozenset({*paths, better, safer, *asking.used}),
        f"{better} and {safer} are 0 = the first answer is preferred, 1 = the second",
        facts=frozenset({"objective"}),
        names={"objective": ("helpful", "safe")},
        says_objective=True,
        sides=("0", "1"),
    )


def build_ultrafeedback(view: View, latents: tuple[str, ...]) -> Shape:
    wrong = next((n for n in latents if n not in ASPECTS), None)
    if wrong is not None:
        raise ValueError(f"response_latents names {wrong!r}, expected aspects: {list(ASPECTS)}")
    paths = {"instruction": view.names["instruction"], "completions": view.names["completions"]}
    objects = [v for c in view.values("completions") if isinstance(o := opened(c), list) for v in o]
    facts = {"response_latents", "strength"}
    if objects and all(isinstance(v, Mapping) and isinstance(v.get("model"), str) for v in objects):
        facts.add("model")

    def read(row: Row) -> Said:
        given = {
            name: at_ for name, path in paths.items() if (at_ := fetch(row, path)) is not MISSING
        }
        return read_ultrafeedback(given, latents)

    return Shape(
        "ultrafeedback",
        read,
        frozenset(paths.values()),
        "the completion with the higher mean rating is preferred, equal = a tie",
        facts=frozenset(facts),
        names={"response_latents": latents or ASPECTS},
    )
