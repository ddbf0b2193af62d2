"""``causalpref audit``: from a file to verdicts, a summary, a page and JSON."""

from __future__ import annotations

import gzip
import html
import json
import os
import re
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from conftest import toy
from test_figures import luminance

from causalpref import PreferenceData
from causalpref.assumptions import (
    CHECKS,
    Picture,
    Report,
    Verdict,
    check_all,
    check_unconfoundedness,
)
from causalpref.assumptions.drawing import draw
from causalpref.auditing import Audit, audit, baselines
from causalpref.cli import main
from causalpref.simulation import EXAMPLES, Embedding
from causalpref.sources import load_preferences
from causalpref.text.surface import surface_features

HOSTILE = [
    "<script>alert(1)</script>",
    '</style><script src="https://evil.example/x.js">',
    '"><img src=x onerror=alert(1)>',
    "]]> --> &lt; $\\alpha$",
    "\x1b[31mred\x07 中文 é",
    "<a href='javascript:alert(1)'>",
    "</title></svg><svg onload=alert(1)>",
]


# -- data --------------------------------------------------------------------


def plain_rows(n: int = 120, *, seed: int = 0) -> list[dict]:
    """Short texts; labels and objectives are coins, so nothing is violated."""
    rng = np.random.default_rng(seed)
    words = np.array(
        ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
    )
    text = lambda: " ".join(rng.choice(words, rng.integers(3, 12)))
    return [
        {
            "prompt": f"{text()} {i}",
            "response_a": f"{text()} a",
            "response_b": f"{text()} b",
            "label": int(rng.integers(2)),
            "objective": ["kind", "true"][rng.integers(2)],
        }
        for i in range(n)
    ]


def example_4(n: int = 600, *, rho: float, seed: int = 0) -> list[dict]:
    """Example 4 in words: the prompt's tell its type, the responses' tell their latents."""
    data = EXAMPLES["4"].simulator.replace(rho=rho).sample(n, seed=seed)
    rng = np.random.default_rng(seed + 1)

    def said(value: float, yes: str, no: str, k: int) -> str:
        return " ".join(np.where(rng.random(k) < 1 / (1 + np.exp(-2 * value)), yes, no))

    rows = []
    for i, (pair, label) in enumerate(zip(data.pairs, data.label)):
        risk = data.prompt_latents[data.pair_prompt[i], 0]
        (h1, s1), (h2, s2) = data.response_latents[pair]
        rows.append(
            {
                "prompt": f"{said(risk, 'weapon', 'garden', 12)} {i}",
                "risk": risk,
                "response_a": said(h1, "detail", "vague", 8) + " " + said(s1, "mild", "rash", 8),
                "response_b": said(h2, "detail", "vague", 8)
                + " "
                + said(s2, "mild", "rash", 8)
                + " b",
                "help_a": h1,
                "help_b": h2,
                "harm_a": s1,
                "harm_b": s2,
                "label": int(label),
                "objective": ["helpful", "harmless"][data.objective[i]],
            }
        )
    return rows


def lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def strict(text: str) -> dict:
    def refuse(token):
        raise AssertionError(f"{token} is no JSON")

    return json.loads(text, parse_constant=refuse)


def verdicts(found: dict) -> dict[str, str]:
    return {r["assumption"]: r["verdict"] for r in found["reports"]}


def run_json(capsys, *options) -> tuple[int, dict]:
    capsys.readouterr()
    status = main(["audit", *map(str, options), "--json", "-", "--quiet"])
    said = capsys.readouterr()
    assert said.err == ""
    return status, strict(said.out)


# -- files in, exit status out -------------------------------------------------


def formats(folder, rows):
    """The same rows, written in every way."""
    import datasets

    frame = pd.DataFrame(rows)
    lines(folder / "a.jsonl", rows)
    (folder / "a.json").write_text(json.dumps(rows, indent=1))
    with gzip.open(folder / "a.jsonl.gz", "wt") as stream:
        stream.writelines(json.dumps(r) + "\n" for r in rows)
    frame.to_csv(folder / "a.csv", index=False)
    frame.to_csv(folder / "a.tsv", index=False, sep="\t")
    frame.to_parquet(folder / "a.parquet")
    datasets.Dataset.from_list(rows).save_to_disk(str(folder / "saved"))
    load_preferences(folder / "a.jsonl").data.save(folder / "ours")
    return ["a.jsonl", "a.json", "a.jsonl.gz", "a.csv", "a.tsv", "a.parquet", "saved", "ours"]


def test_every_format_gives_the_same_audit(tmp_path, capsys):
    rows = plain_rows()
    found = {}
    for name in formats(tmp_path, rows):
        status, found[name] = run_json(capsys, tmp_path / name)
        assert status == 0, name
    expected = found["a.jsonl"]
    assert expected["format"] == "causalpref.Audit/1" and expected["counts"]["pairs"] == 120
    assert expected["counts"]["objectives"] == {
        c: sum(r["objective"] == c for r in rows) for c in ("kind", "true")
    }
    for name, other in found.items():
        assert verdicts(other) == verdicts(expected), name
        assert [r["value"] for r in other["reports"]] == [r["value"] for r in expected["reports"]]
        assert other["reading"]["order_known"] is True


@pytest.mark.parametrize("layout", ["chosen_rejected", "messages", "transcripts"])
def test_layouts_that_list_the_preferred_first(tmp_path, capsys, layout):
    rows = []
    for r in plain_rows():
        a, b = (r["response_a"], r["response_b"])[:: 1 if r["label"] else -1]
        message = {"role": "user", "content": r["prompt"]}
        rows.append(
            {
                "chosen_rejected": {"prompt": r["prompt"], "chosen": a, "rejected": b},
                "messages": {
                    side: [message, {"role": "assistant", "content": t}]
                    for side, t in (("chosen", a), ("rejected", b))
                },
                "transcripts": {
                    side: f"\n\nHuman: {r['prompt']}\n\nAssistant: {t}"
                    for side, t in (("chosen", a), ("rejected", b))
                },
            }[layout]
        )
    status, found = run_json(capsys, lines(tmp_path / "x.jsonl", rows))
    assert found["reading"]["layout"] == layout and found["counts"]["pairs"] == 120
    assert found["reading"]["order_known"] is False
    by_place = next(b for b in found["baselines"] if b["what"] == "the first one wins")
    assert by_place["value"] is None and "not recorded" in by_place["note"]
    assert verdicts(found)["1, consistency"] == "cannot be tested"
    assert verdicts(found)["2, unconfoundedness"] == "cannot be tested"
    assert status == int(found["violated"])


def test_columns_by_option(tmp_path, capsys):
    rows = [
        {
            "frage": r["prompt"],
            "links": r["response_a"],
            "rechts": r["response_b"],
            "sieg": r["label"],
            "ziel": r["objective"],
            "wer": f"w{i % 7}",
            "art": i % 2,
            "len_a": 1.0 * len(r["response_a"]),
            "len_b": 1.0 * len(r["response_b"]),
            "hard": 0.1 * (i % 5),
        }
        for i, r in enumerate(plain_rows())
    ]
    path = lines(tmp_path / "x.jsonl", rows)
    status, found = run_json(
        capsys,
        path,
        "--prompt",
        "frage",
        "--response-a",
        "links",
        "--response-b",
        "rechts",
        "--label",
        "sieg",
        "--objective",
        "ziel",
        "--annotator",
        "wer",
        "--prompt-type",
        "art",
        "--latents",
        "len",
        "--prompt-latents",
        "hard",
    )
    assert found["counts"]["annotators"] == 7 and not found["proxies"]
    assert found["latents"] == "Latents: Z^T = len (in the data); Z^X = hard (in the data)."
    assert any("prompt = frage" in note for note in found["notes"])
    assert main(["audit", str(path), "--column", "prompt"]) == 2
    assert "expected NAME=COL" in capsys.readouterr().err
    _, found = run_json(
        capsys,
        path,
        "--column",
        "prompt=frage",
        "--column",
        "response_a=links",
        "--response-b",
        "rechts",
        "--label",
        "sieg",
        "--column",
        "objective=",
    )
    assert found["counts"]["objectives"] is None


def test_exit_status(tmp_path, capsys):
    good = lines(tmp_path / "good.jsonl", plain_rows())
    assert main(["audit", str(good), "--quiet"]) == 0
    bad = [r | {"label": 1 if len(r["response_a"]) > 40 else 0} for r in plain_rows()]
    twice = bad + [
        r | {"response_a": r["response_b"], "response_b": r["response_a"]} for r in bad
    ]  # the label stays: the first is preferred whichever it is
    twice = [r | {"label": 1, "objective": "kind"} for r in twice] + [
        {"prompt": "p", "response_a": "x", "response_b": "y", "label": 0, "objective": "kind"}
    ]
    assert main(["audit", str(lines(tmp_path / "bad.jsonl", twice)), "--quiet"]) == 1
    assert capsys.readouterr() == ("", "")
    for options, says in (
        (["nowhere.jsonl"], "nowhere.jsonl"),
        ([str(good), "--layout", "x"], "'x'"),
        ([str(good), "--label", "nil"], "'nil'"),
        ([str(good), "--latents", "zz"], "'zz'"),
        ([str(good), "--model", str(tmp_path / "none")], ""),
    ):
        assert main(["audit", *options, "--quiet"]) == 2
        said = capsys.readouterr()
        assert said.out == "" and said.err.startswith("causalpref: ") and says in said.err
        assert "Traceback" not in said.err
    for options in (
        ["--limit", "0"],
        ["--most-pairs", "-3"],
        ["--template", "x"],
        ["--label-values", "0=first,1=frist"],
        ["--label-values", "first"],
    ):
        with pytest.raises(SystemExit, match="2"):
            main(["audit", str(good), *options])


def test_help_explains_itself(capsys):
    with pytest.raises(SystemExit):
        main(["audit", "--help"])
    said = capsys.readouterr().out
    assert "exit status:" in said and said.count("causalpref audit ") >= 2
    assert all(f"\n  {code}  " in said for code in (0, 1, 2, 3, 130))


# -- rows that are bad -----------------------------------------------------------


def test_a_broken_row_is_named_by_its_line(tmp_path, capsys):
    path = lines(tmp_path / "x.jsonl", plain_rows())
    text = path.read_text().splitlines()
    text[6] = "{broken"
    path.write_text("\n\n" + "\n".join(text))  # two empty lines first: row 7 is line 9
    assert main(["audit", str(path), "--quiet", "--strict"]) == 2
    said = capsys.readouterr().err
    assert "x.jsonl, line 9" in said and said.count("\n") == 1
    status, found = run_json(capsys, path)
    assert status == 0 and found["counts"]["pairs"] == 119
    assert found["reading"]["lost"] == found["reading"]["bad_rows"] == 1
    assert "line 9" in found["reading"]["bad"][0]


def test_every_bad_row_and_tie_is_counted(tmp_path, capsys):
    rows = plain_rows(150)
    spoiled = {
        10: {"prompt": None},
        20: {"response_a": None},
        30: {"label": 0.5},
        31: {"label": 0.5},
        40: {"response_b": "\ud800"},
    }
    for i, change in spoiled.items():
        rows[i] = rows[i] | change
    for i in range(60, 85):
        del rows[i]["label"]
    path = lines(tmp_path / "x.jsonl", rows)
    report = tmp_path / "r.html"
    status, found = run_json(capsys, path, "--report", report)
    read = found["reading"]
    assert (read["rows"], read["lost"], read["ties"]) == (150, 3 + 25, 2)
    assert read["lost_share"] == pytest.approx(28 / 150)
    assert found["counts"]["pairs"] == 150 - 28 - 2
    assert len(read["bad"]) == read["bad_rows"] == 28 and "line 11:" in read["bad"][0]
    page = Tags(report.read_text()).text
    assert all(b in page for b in read["bad"])
    assert page.index("28 of 150 rows could not be read; 18.7%.") < page.index("Findings")
    assert status == main(["audit", str(path)]) == 3
    said = capsys.readouterr().out.splitlines()
    assert "28 of 150 rows could not be read; 18.7%." in said[1] and "line 11" in said[2]
    assert any("2 ties" in line for line in said)


@pytest.mark.parametrize(("spoiled", "status"), [(6, 0), (7, 3)])
def test_more_than_a_twentieth_of_the_rows_lost(spoiled, status, tmp_path, capsys):
    rows = plain_rows(120)
    for r in rows[:spoiled]:
        r["prompt"] = None
    path = lines(tmp_path / "x.jsonl", rows)
    assert main(["audit", str(path), "--quiet"]) == status
    good = lines(tmp_path / "y.jsonl", plain_rows(120, seed=1))
    assert main(["audit", str(good), "--against", str(path), "--quiet"]) == status
    always = lines(tmp_path / "z.jsonl", [r | {"label": 1, "objective": "o"} for r in rows])
    violated = main(["audit", str(always), "--quiet"])
    assert violated == (status or violated), "rows lost come before a violation"


def test_what_the_values_of_a_label_mean(tmp_path, capsys):
    rows = [r | {"label": ["L", "R", "even"][i % 3]} for i, r in enumerate(plain_rows(60))]
    path = lines(tmp_path / "x.jsonl", [{"verdict": r.pop("label"), **r} for r in rows])
    values = ["--label-values", "L=first,R=second", "--label-values", "even=tie"]
    _, found = run_json(capsys, path, "--label", "verdict", *values)
    assert (found["counts"]["pairs"], found["reading"]["ties"]) == (40, 20)
    assert found["reading"]["meaning"] and found["reading"]["lost"] == 0
    rate = {b["what"]: b["value"] for b in found["baselines"]}
    assert rate["the first one wins"] == 0.5
    winner = found["examples"][0]["winner"]
    assert winner == rows[0]["response_a"], "L is the first"


def test_two_files_are_compared(tmp_path, capsys):
    train = lines(tmp_path / "train.jsonl", plain_rows(60))
    new = plain_rows(8, seed=5)
    test = [
        {"prompt": f"{r['prompt']} ", "chosen": "yes", "rejected": "no"} for r in plain_rows(4)
    ] + [
        {"prompt": r["prompt"], "chosen": "yes", "rejected": "no"} for r in plain_rows(6)[4:] + new
    ]
    test = lines(tmp_path / "test.jsonl", test)
    report = tmp_path / "r.html"
    _, found = run_json(capsys, train, "--against", test, "--report", report)
    shared = found["findings"][0]
    assert shared["key"] == "shared_prompts" and (shared["count"], shared["of"]) == (6, 14)
    assert shared["numbers"] == {
        "exact": 2,
        "near": 4,
        "pairs": 6,
        "of_pairs": 14,
        "pairs_first": 6,
        "of_pairs_first": 60,
    }
    read = found["reading"]
    assert (read["layout"], read["against"]["layout"]) == ("pairs", "chosen_rejected")
    assert shared["sentence"] in Tags(report.read_text()).text
    main(["audit", str(train), "--against", str(test)])
    said = " ".join(capsys.readouterr().out.split())
    assert "6 of the 14 prompts of test.jsonl are in train.jsonl too (2 exactly, 4 but" in said
    apart = audit(plain_rows(20), against=new)
    assert apart.findings == [] and "None of the 8 prompts" in apart.notes[0]
    assert main(["audit", str(train), "--against", str(test), "--json", str(test)]) == 2
    assert "is the data" in capsys.readouterr().err, "nor may the second file be overwritten"


def test_what_texts_and_labels_give_away_is_in_every_form(tmp_path, capsys):
    rows = plain_rows(30)
    rows += [r | {"label": 1 - r["label"]} for r in rows[:10]]
    rows += [r | {"response_b": r["response_a"], "objective": "other"} for r in rows[:5]]
    path, report = lines(tmp_path / "x.jsonl", rows), tmp_path / "r.html"
    _, found = run_json(capsys, path, "--report", report)
    page = Tags(report.read_text()).text
    main(["audit", str(path)])
    said = " ".join(capsys.readouterr().out.split())
    fragment = Tags(audit(path)._repr_html_()).text
    best = (20 + 10 + 2.5) / 45
    for key, words in (
        (
            "contradictions",
            f"10 of 10 repeated pairs are judged both ways: the best accuracy that "
            f"any model of the texts can reach is {best:.1%}",
        ),
        ("identical_responses", "5 of 45 pairs are of a text with itself (11.1%)"),
        ("repeated_pairs", "10 of 45 pairs repeat an earlier pair"),
    ):
        sentence = next(f["sentence"] for f in found["findings"] if f["key"] == key)
        assert words in sentence
        assert all(sentence in text for text in (page, said, fragment))
    for example in found["examples"]:
        assert all(example[k] in page for k in ("prompt", "winner", "loser"))
    assert said.count("e.g. winner: ") == 2 and "label 1 = the first" in said


# -- truth that is known -----------------------------------------------------------


OWN = ("--latents", "help,harm", "--prompt-latents", "risk")
OWN_COLUMNS = {"response_latents": ["help", "harm"], "prompt_latents": ["risk"]}


def test_example_4_is_found_out(tmp_path, capsys):
    """rho = 0.95: who asks goes with what is asked, and overlap is poor; nothing else is wrong."""
    path = lines(tmp_path / "x.jsonl", example_4(rho=0.95))
    status, found = run_json(capsys, path, *OWN)
    said = verdicts(found)
    assert status == 1 and said["2, unconfoundedness"] == "violated"
    assert said["3, positivity given C"] in ("strained", "violated")
    assert said["4, latent sufficiency"] == said["5, latent positivity"] == "no violation found"
    assert said["that Z^X is additive (3.2)"] == "no violation found"
    steps = [s["verdict"] for s in found["next_steps"]]
    order = ["violated", "strained", "cannot be tested", "no violation found"]
    assert steps == sorted(steps, key=order.index)


def test_example_4_with_objectives_dealt_by_a_coin(tmp_path, capsys):
    path = lines(tmp_path / "x.jsonl", example_4(rho=0.5))
    status, found = run_json(capsys, path, *OWN)
    said = verdicts(found)
    assert said.pop("that annotators agree in taste") == "cannot be tested"
    assert status == 0 and set(said.values()) == {"no violation found"}


def test_example_4_when_nobody_recorded_the_objective(tmp_path, capsys):
    """Section 3.2: the taste of those who write risky prompts looks like the prompts' doing."""
    path = lines(tmp_path / "x.jsonl", example_4(rho=0.95))
    status, found = run_json(capsys, path, *OWN, "--column", "objective=")
    said = verdicts(found)
    assert status == 1 and said["2, unconfoundedness"] == "cannot be tested"
    assert said["that Z^X is additive (3.2)"] == "violated"


def test_a_latent_left_out_is_missed_and_proxies_strain_at_most(tmp_path, capsys):
    path = lines(tmp_path / "x.jsonl", example_4(1500, rho=0.5))
    _, found = run_json(
        capsys, path, "--latents", "help", "--prompt-latents", "risk", "--column", "objective="
    )
    assert verdicts(found)["4, latent sufficiency"] in ("strained", "violated")
    status, found = run_json(capsys, path)
    four = next(r for r in found["reports"] if r["key"] == "sufficiency")
    assert found["proxies"] and four["verdict"] == "strained" and four["low"] > 0
    assert "proxies" in four["sentence"] and "proxy" in four["blind"]
    data = load_preferences(path).data
    five = audit(data)["latent_positivity"]
    assert "surface proxies" in five.sentence
    # the same, had somebody claimed that these latents suffice
    claimed = audit(
        data.replace(response_latents=surface_features(data.responses).to_numpy()[:, :1]),
        latents="own",
    )
    assert claimed["sufficiency"].verdict == "violated" and not claimed.proxies


def test_the_real_file_in_both_directions(real_hh_rlhf, tmp_path, capsys):
    """As relabelled, objectives were dealt at random; as released, they go with the prompt."""
    path = real_hh_rlhf / "test.jsonl.gz"
    _, found = run_json(capsys, path)
    assert found["counts"]["pairs"] == found["reading"]["rows"] == 4043
    assert found["reading"]["layout"] == "hh_rlhf" and found["reading"]["bad_rows"] == 0
    said = verdicts(found)
    assert said["2, unconfoundedness"] == said["3, positivity given C"] == "no violation found"
    rate = {b["what"]: b["value"] for b in found["baselines"]}
    assert rate["the longer one wins, objective helpful"] == pytest.approx(
        (1105 * 0.660 + 1052 * 0.592) / 2157, abs=1e-3
    )
    assert rate["the longer one wins, objective harmless"] == pytest.approx(
        (882 * 0.439 + 1004 * 0.440) / 1886, abs=1e-3
    )
    with gzip.open(path, "rt") as stream:
        own = [r for r in map(json.loads, stream) if r["data_subset"] == r["objective"]]
    _, found = run_json(capsys, lines(tmp_path / "own.jsonl", own))
    assert found["counts"]["pairs"] == 1105 + 1004
    assert verdicts(found)["2, unconfoundedness"] == "strained"
    assert verdicts(found)["1, consistency"] == "strained", "under harmless the first one wins"
    _, lost = run_json(capsys, tmp_path / "own.jsonl", "--order-unknown")
    assert verdicts(lost)["1, consistency"] == "cannot be tested"
    said = next(r["sentence"] for r in found["reports"] if r["key"] == "unconfoundedness")
    assert "the objective's doing or the prompts'" in said, "each judged its own kind"


# -- what is printed and written ----------------------------------------------------


class Tags(HTMLParser):
    """Start tags with their attributes, and the text of the page."""

    def __init__(self, page: str):
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(page)
        assert self.open == [], "every element is closed"

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] != "style":
            self.text += data


def hostile_rows() -> list[dict]:
    rows = example_4(300, rho=1.0)
    for i, r in enumerate(rows):
        evil = HOSTILE[i % len(HOSTILE)]
        r["prompt"] = f"{evil} {r['prompt']}"
        r["response_a"] = f"{evil} {r['response_a']}"
        r['<img src="x">_a'], r['<img src="x">_b'] = r.pop("help_a"), r.pop("help_b")
        r["<script>z"] = r.pop("risk")
        r["objective"] = HOSTILE[0 if r["objective"] == "helpful" else 4]
    return rows


def test_the_page_runs_and_fetches_nothing_whatever_the_data_say(tmp_path, capsys):
    path = lines(tmp_path / '<b onclick=alert(1)>&"x.jsonl', hostile_rows() + [{"x": 1}])
    report = tmp_path / "r.html"
    status = main(
        [
            "audit",
            str(path),
            "--latents",
            '<img src="x">,harm',
            "--prompt-latents",
            "<script>z",
            "--report",
            str(report),
        ]
    )
    said = capsys.readouterr().out
    assert status == 1 and "\x1b" not in said and "\x07" not in said
    page = report.read_text(encoding="utf-8")
    found = Tags(page)
    names = {tag for tag, _ in found.tags}
    assert names.isdisjoint({"script", "img", "link", "iframe", "object", "embed", "form", "base"})
    assert names >= {"svg", "table", "nav", "main", "title", "style"}
    for tag, attributes in found.tags:
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            if name in ("href", "xlink:href", "src", "action"):
                assert value.startswith("#"), (tag, name, value)
    assert "http" not in re.sub(r'xmlns(:xlink)?="http://www\.w3\.org/[\w/]+"', "", page).replace(
        "http-equiv", ""
    ).replace(html.escape(HOSTILE[1]), "").replace("src=&#34;https://evil", ""), "but as text"
    policy = next(a["content"] for t, a in found.tags if t == "meta" and "http-equiv" in a)
    assert policy == "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    assert "lang" in dict(found.tags)["html"] and found.tags[0][0] == "html"
    for text in (HOSTILE[0], '<img src="x">', "<script>z", path.name):
        assert text in found.text, "shown as text"
    for tag, attributes in found.tags:  # the table of contents leads somewhere
        if tag == "a":
            assert f'id="{attributes["href"][1:]}"' in page


def test_page_of_a_small_data_set_is_complete(tmp_path, capsys):
    path = lines(tmp_path / "x.jsonl", plain_rows())
    report = tmp_path / "r.html"
    main(["audit", str(path), "--report", str(report), "--seed", "3", "--limit", "100"])
    said, page = capsys.readouterr(), Tags(report.read_text()).text
    for part in (
        "Findings",
        "What was read",
        "Texts and labels",
        "Content-blind baselines",
        "The checks",
        "What to collect next",
        "How this was computed",
        "seed3",
        "numpy",
        "scikit-learn",
        "The first 100 rows only",
        "all 100 pairs",
        "proxies",
    ):
        assert part in page, part
    assert page.count("What it cannot") == len(CHECKS)
    assert f"reading {path}" in said.err and "report: " in said.out


def test_summary_fits_a_screen(tmp_path, capsys):
    rows = example_4(400, rho=1.0)
    for i, r in enumerate(rows):
        r["objective"] = f"{'a very long name of an objective ' * 3}{i % 6}"
        r["prompt"] = f"{r['objective']} {r['prompt']}"
        r["label"] = int(i % 10 > 0)
    path = lines(tmp_path / ("long " * 40 + "x.jsonl"), rows)
    for options in ([], OWN):
        main(["audit", str(path), *options])
        said = capsys.readouterr().out.splitlines()
        assert len(said) <= 50 and max(map(len, said)) <= 80
        assert sum(line[:1] in "?·!✗" and bool(line.strip()) for line in said) >= 6
    main(["audit", str(lines(tmp_path / "y.jsonl", plain_rows()))])
    assert "does not mean that there is none" in capsys.readouterr().out


def test_outputs_are_the_same_each_time(tmp_path, capsys):
    path = lines(tmp_path / "x.jsonl", plain_rows())
    pages = []
    for name in ("1", "2"):
        main(
            [
                "audit",
                str(path),
                "--report",
                str(tmp_path / f"{name}.html"),
                "--json",
                str(tmp_path / f"{name}.json"),
                "--quiet",
            ]
        )
        pages.append([(tmp_path / f"{name}.{end}").read_bytes() for end in ("html", "json")])
    assert pages[0] == pages[1]
    assert strict(pages[0][1].decode())["settings"]["seed"] == 0


def test_json_has_infinities_as_words():
    data = toy(60)
    z = data.response_latents
    found = audit(data.replace(response_latents=np.column_stack([z, z[:, 0]])), latents="own")
    parsed = strict(found.to_json())
    five = next(r for r in parsed["reports"] if r["key"] == "latent_positivity")
    assert five["value"] == "Infinity" and five["verdict"] == "violated"


def test_outputs_are_checked_before_the_work(tmp_path, capsys, monkeypatch):
    data = lines(tmp_path / "x.jsonl", plain_rows())

    def work(*_, **__):
        raise AssertionError("the work was begun")

    monkeypatch.setattr("causalpref.sources.load_preferences", work)
    out = tmp_path / "r.html"
    for options, says in (
        (["--report", str(tmp_path / "no" / "r.html")], "cannot write"),
        (["--json", str(tmp_path)], "is a folder"),
        (["--report", str(data)], "is the data"),
        (["--report", str(out), "--json", str(out)], "both"),
    ):
        assert main(["audit", str(data), *options]) == 2
        said = capsys.readouterr().err
        assert says in said and said.count("\n") == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.jsonl"]


def test_an_output_is_replaced_whole_or_not_at_all(tmp_path, capsys, monkeypatch):
    data = lines(tmp_path / "x.jsonl", plain_rows())
    out = tmp_path / "r.html"
    out.write_text("old")

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        assert main(["audit", str(data), "--report", str(out), "--quiet"]) == 2
    assert "No space left" in capsys.readouterr().err and out.read_text() == "old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["r.html", "x.jsonl"]
    assert main(["audit", str(data), "--report", str(out), "--quiet"]) == 0
    assert out.read_text().startswith("<!DOCTYPE html>")
    mask = os.umask(0)
    os.umask(mask)
    assert out.stat().st_mode & 0o777 == 0o666 & ~mask


def test_stopped_by_hand(tmp_path, capsys, monkeypatch):
    data = lines(tmp_path / "x.jsonl", plain_rows())

    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setitem(CHECKS, "positivity", replace(CHECKS["positivity"], compute=stop))
    assert main(["audit", str(data), "--quiet"]) == 130
    assert capsys.readouterr().err == "causalpref: stopped\n"


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_stopped_by_a_signal_and_printed_in_ascii(tmp_path):
    """The command in a process of its own: Ctrl-C while it reads a pipe, and a poor terminal."""
    data = lines(tmp_path / "x.jsonl", plain_rows())
    command = [sys.executable, "-m", "causalpref.cli", "audit"]
    done = subprocess.run(
        [*command, str(data)],
        capture_output=True,
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
        timeout=120,
    )
    assert done.returncode == 0 and b"no violation found" in done.stdout
    pipe = tmp_path / "pipe.jsonl"
    os.mkfifo(pipe)
    waits = subprocess.Popen(
        [*command, str(pipe)],
        stderr=subprocess.PIPE,
        text=True,
        # a test run in the background may ignore Ctrl-C, and a child would do the same
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    writer = os.open(pipe, os.O_WRONLY)  # opens once the command reads
    time.sleep(0.2)
    waits.send_signal(signal.SIGINT)
    _, said = waits.communicate(timeout=60)
    os.close(writer)
    assert waits.returncode == 130 and "Traceback" not in said


# -- baselines -------------------------------------------------------------------


def by_what(table: pd.DataFrame) -> dict[str, pd.Series]:
    return {row["what"]: row for _, row in table.iterrows()}


def test_baselines_against_loops():
    rng = np.random.default_rng(0)
    texts = ["w " * k + "w\n- item" * f for k in range(1, 9) for f in range(3)]
    n = 200
    pairs = rng.integers(0, len(texts), (n, 2))
    reward = np.array([-len(t.split()) for t in texts]) / 6
    p = 1 / (1 + np.exp(reward[pairs[:, 1]] - reward[pairs[:, 0]]))
    data = PreferenceData(
        prompts=["p"],
        responses=[t + "." for t in texts],
        response_prompt=[0] * len(texts),
        pairs=pairs,
        label=(rng.random(n) < p).astype(int),
        objective=rng.integers(0, 2, n),
    )
    table = by_what(baselines(data))
    longer = formatted = 0.0
    for (a, b), label in zip(pairs, data.label):
        for kind in ("longer", "formatted"):
            size = len if kind == "longer" else lambda t: t.count("- item")
            x, y = size(data.responses[a]), size(data.responses[b])
            right = 0.5 if x == y else float((x > y) == bool(label))
            longer, formatted = (
                (longer + right, formatted) if kind == "longer" else (longer, formatted + right)
            )
    assert longer / n < 0.5 and "the longer one wins" not in table
    row = table["the shorter one wins"]
    assert row.value == pytest.approx(1 - longer / n) and row.low < row.value < row.high
    assert table["the one with less formatting wins"].value == pytest.approx(1 - formatted / n)
    place = table["the first one wins" if data.label.mean() >= 0.5 else "the second one wins"]
    assert place.value == pytest.approx(max(data.label.mean(), 1 - data.label.mean()))
    for c in (0, 1):
        here = data.objective == c
        one = by_what(baselines(data.select(here)))["the shorter one wins"].value
        assert table[f"the longer one wins, objective C = {c}"].value == pytest.approx(1 - one)


def test_baseline_regression_against_sklearn():
    from sklearn.linear_model import LogisticRegression

    from causalpref.statistics import folds

    rng = np.random.default_rng(1)
    rows = plain_rows(400)
    for r in rows:
        gap = len(r["response_a"].split()) - len(r["response_b"].split())
        r["label"] = int(rng.random() < 1 / (1 + np.exp(-0.5 * gap)))
    data = PreferenceData.from_dataset(
        [{k: v for k, v in r.items() if k != "objective"} for r in rows]
    )
    z = surface_features(data.responses)[["length"]].to_numpy()
    d = z[data.pairs[:, 0]] - z[data.pairs[:, 1]]
    d /= np.sqrt((d**2).mean())
    fold = folds(data.pair_prompt, 5, seed=7)
    hit = np.empty(len(data))
    for k in range(5):
        fit = LogisticRegression(C=1.0, fit_intercept=False, tol=1e-9).fit(
            d[fold != k], data.label[fold != k]
        )
        margin = fit.decision_function(d[fold == k])
        hit[fold == k] = np.where(margin == 0, 0.5, (margin > 0) == data.label[fold == k])
    row = by_what(baselines(data, seed=7))["logistic regression on the surface"]
    assert row.value == pytest.approx(hit.mean()) and row.value > 0.6


def test_baselines_where_they_make_no_sense():
    data = load_rows(plain_rows(9))
    table = by_what(baselines(data.replace(label=np.ones(len(data)))))
    assert table["the first one wins"].value is None
    assert "the same" in table["the first one wins"].note
    assert table["logistic regression on the surface"].note == "too few pairs"
    same = PreferenceData(
        prompts=["p", "q"],
        responses=["a b", "a c", "d e"],
        response_prompt=[0, 0, 1],
        pairs=[[0, 1], [2, 2]],
        label=[1, 0],
    )
    table = by_what(baselines(same))
    assert table["the longer one wins"].value == 0.5
    assert (
        table["logistic regression on the surface"].note
        == "the surface never differs within a pair"
    )


# -- the function -------------------------------------------------------------------


def test_audit_of_an_object():
    data = toy(80)
    data = data.replace(names={"objective": ["kind", "true"]})
    found = audit(data, notes=["a note"])
    assert isinstance(found, Audit) and len(found.reports) == len(found.to_frame()) == len(CHECKS)
    assert found.verdict == max((r.verdict for r in found.reports), key=list(Verdict).index)
    assert found.counts["pairs"] == 160 and set(found.counts["objectives"]) == {"kind", "true"}
    assert found.settings["features"] == "embeddings of the data" and not found.proxies
    assert found.notes == ["a note"] and "rows" not in found.reading
    fragment = found._repr_html_()
    assert len(fragment) < 0.2 * len(found.to_html()) and "<svg" not in fragment
    Tags(fragment)
    assert "rows read" not in str(found)


def test_what_is_looked_at_of_the_texts():
    data, seen = toy(80).replace(embeddings=None), []

    def model(part):
        seen.append(part)
        return part.replace(
            embeddings=np.random.default_rng(0).standard_normal((len(part.responses), 5))
        )

    x = np.random.default_rng(1).standard_normal((len(data), 4))
    plain, given, none, by_model = (
        audit(data, features=f, most_pairs=m)
        for f, m in (("auto", 1000), (x, 1000), (None, 1000), (model, 60))
    )
    assert plain.settings["features"].startswith("hashed")
    assert given.settings["features"] == "features that were passed"
    assert none.settings["features"] == "not looked at"
    assert none["sufficiency"].verdict == "cannot be tested"
    assert by_model.settings["pairs_of_texts"] == len(seen[0]) <= 60
    counts = pd.Series(seen[0].prompts[seen[0].pair_prompt]).value_counts()
    assert (counts == 2).all(), "whole prompts are drawn"
    assert len(seen[0].responses) == 3 * len(counts), "and nothing else is embedded"
    assert by_model["unconfoundedness"].n <= 60 < by_model["consistency"].n, (
        "cheap checks see all pairs"
    )
    # the same features passed as embeddings or as an array tell the objective equally well
    e = np.random.default_rng(2).standard_normal((len(data.responses), 6))
    mean = (e[data.pairs[:, 0]] + e[data.pairs[:, 1]]) / 2
    assert audit(data, features=mean)["unconfoundedness"].value == pytest.approx(
        audit(data.replace(embeddings=e))["unconfoundedness"].value, abs=1e-5
    )


def test_a_language_model_reads_the_texts(minilm, tmp_path, capsys):
    path = lines(tmp_path / "x.jsonl", example_4(60, rho=1.0))
    _, found = run_json(capsys, path, "--model", minilm, "--template", "plain", "--most-pairs", 40)
    assert found["settings"]["features"] == "embeddings of a language model"
    assert found["settings"]["pairs_of_texts"] == 40 == found["reports"][1]["n"]
    assert any("template plain" in note for note in found["notes"])
    assert found["reports"][1]["value"] > 0.8, "it reads weapon and garden"
    _, found = run_json(capsys, path, "--model", "hashed")
    assert found["settings"]["features"].startswith("hashed")


def test_groups_keep_prompts_together():
    """Conversations that open alike share their words: in one group they tell nothing."""
    data = PreferenceData.from_dataset(
        [
            {
                "prompt": f"Human: opening {g} {g} {g}\n\nAssistant: yes\n\nHuman: turn {i}",
                "response_a": f"a {i}",
                "response_b": f"b {i}",
                "label": i % 2,
                "objective": g % 2,
            }
            for g in range(40)
            for i in range(4)
        ]
    )
    x = np.eye(40)[np.arange(160) // 4]
    known = audit(data, features=x)["unconfoundedness"]
    leaky = audit(data.replace(prompt_group=np.arange(160)), features=x)["unconfoundedness"]
    assert leaky.value > 0.95 and known.value < 0.8 and known.p_value > 0.05


def test_surface_latents_are_named_and_constant_ones_left_out():
    rows = plain_rows()
    for i, r in enumerate(rows):
        r["response_a"] += "?" * (i % 2)
        r["prompt_type"] = i % 3
    data = load_rows(rows)
    found = audit(data)
    assert found.proxies and found.latents.startswith("Latents read off the surface are proxies")
    assert "Z^T = length, questions (surface)" in found.latents
    assert "prompt type 1, prompt type 2 (surface)" in found.latents
    assert found.notes[-1].endswith("differ in them: formatting, refusal.")
    own = audit(
        data.replace(
            response_latents=np.random.default_rng(0).standard_normal((len(data.responses), 2))
        )
    )
    assert "Z^T = Z^T_1, Z^T_2 (in the data)" in own.latents and not own.proxies
    assert audit(data, latents="own")["latent_positivity"].verdict == "cannot be tested"
    assert audit(own_latents(data), latents="surface").proxies


def load_rows(rows):
    return PreferenceData.from_dataset(
        [{k: v for k, v in r.items() if k != "objective"} for r in rows]
    )


def own_latents(data):
    return data.replace(response_latents=np.zeros((len(data.responses), 1)))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"latents": "mine"}, "latents is 'mine'"),
        ({"features": "bert"}, "features is 'bert'"),
        ({"most_pairs": 0}, "most_pairs is 0"),
        ({"features": np.zeros((3, 2))}, r"shape \(3, 2\)"),
        ({"features": np.full((80, 2), np.nan)}, "not finite"),
        ({"features": lambda data: data.replace(embeddings=None)}, "must return the data"),
    ],
)
def test_arguments_that_make_no_sense(arguments, says):
    with pytest.raises(ValueError, match=says):
        audit(toy(40), **arguments)


def as_loaded(rows, tmp_path):
    return load_preferences(lines(tmp_path / "x.jsonl", rows), **OWN_COLUMNS).data


WORLDS = {
    "embeddings": lambda tmp_path: (
        EXAMPLES["4"].simulator.replace(embedding=Embedding(d=8)).sample(300, seed=0)
    ),
    "texts": lambda tmp_path: as_loaded(example_4(300, rho=0.8), tmp_path),
    "openings shared": lambda tmp_path: as_loaded(
        [
            r | {"prompt": f"Human: opening {i % 60}\n\nAssistant: yes\n\nHuman: {r['prompt']}"}
            for i, r in enumerate(example_4(300, rho=0.8))
        ],
        tmp_path,
    ),
}


@pytest.mark.parametrize("most_pairs", [1000, 150])
@pytest.mark.parametrize("world", WORLDS)
def test_check_all_and_the_audit_agree(world, most_pairs, tmp_path):
    """The same features, seed and subsample: they once gave two AUCs on the same data."""
    data = WORLDS[world](tmp_path)
    alone = check_all(data, most_pairs=most_pairs, seed=3)
    found = audit(data, most_pairs=most_pairs, seed=3)
    assert found["unconfoundedness"].value > 0.6
    assert [r.to_dict() for r in found.reports] == [r.to_dict() for r in alone]
    if world == "embeddings":
        one = check_unconfoundedness(data, most_pairs=most_pairs, seed=3)
        assert one.to_dict() == found["unconfoundedness"].to_dict()


def test_a_report_is_found_by_its_key():
    found = audit(toy(40))
    assert [found[key] for key in CHECKS] == found.reports
    with pytest.raises(KeyError, match="'honesty' is no check"):
        found["honesty"]


def test_whatever_can_be_read_can_be_audited(tmp_path):
    import datasets

    rows = plain_rows(60)
    data = load_preferences(rows)
    path = lines(tmp_path / "x.jsonl", rows)
    said = lambda found: [r.to_dict() | {"source": ""} for r in found.reports]
    expected = said(audit(data.data))
    frame = pd.DataFrame(rows)
    for thing in (rows, frame, datasets.Dataset.from_list(rows), path, str(path), data):
        found = audit(thing)
        assert said(found) == expected
        assert found.reading["layout"] == "pairs" and found.reading["lost"] == 0
    renamed = frame.rename(columns={"prompt": "question"})
    found = audit(renamed, columns={"prompt": "question", "objective": None})
    assert found.counts["pairs"] == 60 and found.counts["objectives"] is None
    for read in (data, data.data):
        with pytest.raises(TypeError, match="'layout', an option for reading.*load_preferences"):
            audit(read, layout="pairs")
    with pytest.raises(TypeError, match="layuot"):
        audit(rows, layuot="pairs")


@pytest.mark.parametrize(
    ("thing", "error"),
    [
        ("nowhere.jsonl", FileNotFoundError),
        (3, TypeError),
        (None, TypeError),
        ([{"prompt": "p"}], ValueError),
        (pd.DataFrame(), ValueError),
    ],
)
def test_what_is_no_data_is_refused_at_once(thing, error):
    with pytest.raises(error):
        audit(thing)
    with pytest.raises(error):
        audit(toy(40), against=thing or 3)


@pytest.mark.parametrize("report", [False, True])
def test_an_audit_needs_neither_torch_nor_plots(report, tmp_path):
    """The command in a process of its own; a report draws with matplotlib, and only with it."""
    path, page = lines(tmp_path / "x.jsonl", plain_rows()), tmp_path / "r.html"
    options = ["--report", str(page)] if report else []
    heavy = {"torch", "transformers", "altair", "causalpref.figures"}
    heavy |= set() if report else {"matplotlib", "jinja2"}
    program = (
        "import sys\nfrom causalpref.cli import main\n"
        f"status = main({['audit', str(path), '--quiet', *options]!r})\n"
        f"print(status, sorted({heavy!r} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120
    )
    assert done.stdout == "0 []\n", done.stderr
    assert page.exists() == report


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("n", [1, 2, 10])
def test_a_handful_of_rows(n, tmp_path, capsys):
    status, found = run_json(
        capsys, lines(tmp_path / "x.jsonl", plain_rows(n)), "--report", tmp_path / "r.html"
    )
    assert status in (0, 1) and len(found["reports"]) == len(CHECKS)
    Tags((tmp_path / "r.html").read_text())


# -- the drawing ---------------------------------------------------------------------


def pictures() -> dict[str, Picture]:
    names = [f"{h} {i}" for i, h in enumerate(HOSTILE)]
    rng = np.random.default_rng(0)
    dots = pd.DataFrame(
        [
            {"what": name, "value": v, "low": v - 0.1, "high": v + 0.1}
            for name, v in zip(names, rng.random(7))
        ]
    )
    dots.loc[1, ["low", "high"]] = None
    dots.loc[2, "value"] = np.inf
    bars = pd.DataFrame(
        [
            {"left": float(i), "right": i + 1.0, "group": g, "count": int(c)}
            for g in names
            for i, c in zip(range(-3, 3), rng.integers(0, 9, 6))
        ]
    )
    cells = pd.DataFrame(
        [
            {"row": a, "column": b, "value": float(rng.standard_normal())}
            for a in names * 5
            for b in names * 2
        ]
    ).drop_duplicates(["row", "column"])
    return {
        "intervals": Picture("intervals", dots, HOSTILE[0], (0.5,), HOSTILE[1]),
        "histogram": Picture("histogram", bars, HOSTILE[2], (-2.0, 2.0), HOSTILE[4]),
        "matrix": Picture("matrix", cells, HOSTILE[5], (), HOSTILE[6]),
    }


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", ["intervals", "histogram", "matrix"])
def test_figures_are_sound_xml_without_script(kind, tmp_path):
    picture = pictures()[kind]
    drawn = draw(picture, title=HOSTILE[0])
    root = ElementTree.fromstring(drawn.svg)
    svg = "{http://www.w3.org/2000/svg}"
    assert root.tag == f"{svg}svg" and root.get("role") == "img" and root.get("viewBox")
    assert root.find(f"{svg}title").text == HOSTILE[0]
    said = root.find(f"{svg}desc").text
    assert said == re.sub(r"[\x00-\x1f]", "\N{REPLACEMENT CHARACTER}", picture.description)
    used = {e.tag.removeprefix(svg) for e in root.iter()}
    assert used <= {
        "svg",
        "title",
        "desc",
        "g",
        "defs",
        "path",
        "use",
        "text",
        "clipPath",
        "rect",
        "tspan",
    }
    assert not any(name.startswith("on") for e in root.iter() for name in e.attrib)
    shown = " ".join("".join(e.itertext()) for e in root.iter(f"{svg}text"))
    assert "<script>" in shown and "javascript" in shown, "names are shown as they are"
    assert drawn.svg == draw(picture, title=HOSTILE[0]).svg
    saved = ElementTree.parse(drawn.save(tmp_path / "x.svg")).getroot()
    assert "background:#ffffff" in saved.get("style") and len(list(saved.iter())) == len(
        list(root.iter())
    )
    assert drawn.svg in drawn._repr_html_()


def test_figures_take_the_colour_of_the_page():
    """No ink of their own; numbers in cells stay readable on the strongest colour."""
    for picture in pictures().values():
        svg = draw(picture).svg
        colours = set(re.findall(r"(?:fill|stroke): ?(#\w+|\w+)", svg))
        assert colours <= {"none", "currentColor", "#2f86c8", "#d1672c"}, colours
        assert "font-family: sans-serif" in svg and "DejaVu" not in svg

    def over(front: str, back: str, alpha: float) -> str:
        mixed = (
            round(alpha * int(front[i : i + 2], 16) + (1 - alpha) * int(back[i : i + 2], 16))
            for i in (1, 3, 5)
        )
        return "#" + "".join(f"{v:02x}" for v in mixed)

    strongest = max(
        float(v) for v in re.findall(r"opacity: ([\d.]+)", draw(pictures()["matrix"]).svg)
    )
    assert strongest == 0.4
    for page, ink in (("#ffffff", "#222832"), ("#14181e", "#ced6dd")):
        for colour in ("#2f86c8", "#d1672c"):
            pair = sorted((luminance(over(colour, page, strongest)), luminance(ink)))
            assert (pair[1] + 0.05) / (pair[0] + 0.05) >= 4.5
            assert (max(luminance(colour), luminance(page)) + 0.05) / (
                min(luminance(colour), luminance(page)) + 0.05
            ) >= 3


def test_figures_of_one_page_share_no_ids():
    ids = [re.findall(r' id="([^"]+)"', draw(p).svg) for p in pictures().values()]
    flat = [i for found in ids for i in found]
    assert len(flat) == len(set(flat))


def test_figures_say_what_they_leave_out_and_what_they_cannot_draw():
    many = pd.DataFrame(
        [{"what": f"w{i}", "value": 0.1 * i, "low": 0.0, "high": 3.0} for i in range(30)]
    )
    assert "and 6 more, not drawn" in draw(Picture("intervals", many, "x")).svg
    matrix = draw(pictures()["matrix"]).svg
    assert "with the largest values" not in matrix, "7 x 7 is drawn whole"
    wide = pd.DataFrame(
        [
            {"row": f"r{i}", "column": f"c{j}", "value": float(i == 29) + j}
            for i in range(30)
            for j in range(12)
        ]
    )
    svg = draw(Picture("matrix", wide, "x")).svg
    assert "the 24 x 8 with the largest values, of 30 x 12" in svg
    assert ">r29<" in svg and ">c11<" in svg and ">c0<" not in svg
    with pytest.raises(ValueError, match="kind is 'pie'"):
        draw(Picture("pie", many, "x"))
    bare = Report(
        key="consistency", number=1, verdict=Verdict.UNTESTABLE, sentence="s", next_step="n"
    )
    with pytest.raises(ValueError, match="no figure"):
        bare.plot()


# -- causalpref run checks --------------------------------------------------------------


def test_run_checks_writes_the_table(tmp_path, capsys, monkeypatch):
    from causalpref.studies import checks

    few = {name: checks.SCENARIOS[name] for name in ("place", "hole")}
    monkeypatch.setattr(checks, "SCENARIOS", few)
    out = tmp_path / "o"
    assert (
        main(["run", "checks", "--datasets", "5", "--seed", "2", "--out", str(out), "--quiet"]) == 0
    )
    said = capsys.readouterr()
    assert said.err == "" and "checks.csv" in said.out and "false_alarms" in said.out
    table = pd.read_csv(out / "checks.csv")
    pd.testing.assert_frame_equal(
        table, checks.size_and_power(n_datasets=5, seed=2), rtol=1e-5, check_dtype=False
    )
    facts = json.loads((out / "provenance.json").read_text())
    assert facts["command"] == "causalpref run checks --datasets 5 --seed 2"
    assert facts["simulated"] is True
