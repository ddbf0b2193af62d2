"""A study and its command say the same: what one holds, the other reads."""

from __future__ import annotations

import dataclasses
import json
import shlex
import types
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import pytest
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st

from causalpref.cli import main, parser
from causalpref.studies.configurations import HHRLHF, STUDIES, AuditHHRLHF, UltraFeedback
from causalpref.studies.study import Study

RECORDED = sorted(
    path
    for path in (ROOT / "book/results").glob("*/provenance.json")
    if path.parent.name != "pages"  # a measurement of the built site, made by benchmarks/pages.py
)


def parsed(command: str) -> Study:
    program, *words = shlex.split(command)
    assert program == "causalpref"
    options = parser().parse_args(words)
    return STUDIES[options.study].from_options(options)


def values(field: dataclasses.Field, hint: Any) -> st.SearchStrategy:
    """Any value that a field may have."""
    optional = get_origin(hint) in (Union, types.UnionType)
    if optional:
        hint = next(a for a in get_args(hint) if a is not type(None))
    number = st.floats(allow_nan=False, allow_infinity=False)
    if get_origin(hint) is Literal:
        some = st.sampled_from(get_args(hint))
    elif get_origin(hint) is tuple:
        some = st.lists(number, min_size=1, max_size=4).map(tuple)
    elif hint is str and field.metadata["placeholder"]:
        some = st.sampled_from(["offline", "hub", "hashed", "DATA", "MODEL", "owner/a-model"])
    else:
        some = {
            bool: st.booleans(),
            int: st.integers(field.metadata["least"], 10**9),
            float: number,
            # argparse itself drops a value that is "--" and nothing else
            str: st.text("ab1-= \n'\"$/\\é", max_size=12).filter(lambda text: text != "--"),
        }[hint]
    return st.none() | some if optional else some


@st.composite
def studies(draw: st.DrawFn) -> Study:
    study = draw(st.sampled_from(list(STUDIES.values())))
    hints = get_type_hints(study)
    chosen = draw(st.sets(st.sampled_from([f.name for f in dataclasses.fields(study)])))
    return study(
        **{
            f.name: draw(values(f, hints[f.name]))
            for f in dataclasses.fields(study)
            if f.name in chosen and f.compare
        }
    )


@given(studies())
def test_a_command_gives_its_configuration_back(study):
    assert parsed(study.command) == study


@pytest.mark.parametrize("study", STUDIES.values(), ids=STUDIES)
def test_a_default_configuration_names_no_option_but_its_source(study):
    words = shlex.split(study().command)
    assert words[:3] == ["causalpref", "run", study.name]
    assert words[3:] in ([], ["--source", "offline"])


@pytest.mark.parametrize("path", RECORDED, ids=lambda p: p.parent.name)
def test_recorded_commands_are_those_of_configurations(path):
    command = json.loads(path.read_text(encoding="utf-8"))["command"]
    assert parsed(command).command == command


def test_local_paths_are_named_by_what_they_hold(tmp_path, monkeypatch):
    study = HHRLHF(source=str(tmp_path), model=str(tmp_path), model_name="a name", hidden=16)
    words = "--source DATA --model MODEL --model-name 'a name' --hidden 16"
    assert study.command == f"causalpref run hh-rlhf {words}"
    for word in ("hub", "hashed", "offline"):
        (tmp_path / word).mkdir()
    monkeypatch.chdir(tmp_path)
    assert "--source hub --model hashed" in UltraFeedback(source="hub", model="hashed").command
    assert AuditHHRLHF(source="hub").command == "causalpref run audit-hh-rlhf"


def test_where_a_study_runs_is_no_part_of_it(tmp_path):
    there = HHRLHF(device="cuda", cache="elsewhere", checkpoint="kept")
    assert there == HHRLHF() and there.command == HHRLHF().command
    assert HHRLHF().at(tmp_path).checkpoint == str(tmp_path / "checkpoint")
    assert there.at(tmp_path).checkpoint == "kept"


def test_the_environment_sets_the_source_and_the_command_says_so(monkeypatch):
    monkeypatch.setenv("CAUSALPREF_DATA", "hub")
    read = parsed("causalpref run hh-rlhf")
    assert read.source == "hub" and read.command == "causalpref run hh-rlhf --source hub"
    assert HHRLHF().source == "offline" and parsed(HHRLHF().command) == HHRLHF()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["hh-rlhf", "--seeds", "0"], "'0' must be a positive integer"),
        (["hh-rlhf", "--epochs", "two"], "'two' must be a positive integer"),
        (["checks", "--seed", "-1"], "'-1' must be an integer of at least 0"),
        (["hh-rlhf", "--precision", "float16"], "invalid choice: 'float16'"),
        (["ultrafeedback", "--alpha", "half"], "invalid float value: 'half'"),
    ],
)
def test_values_that_cannot_be(options, says, capsys):
    with pytest.raises(SystemExit):
        main(["run", *options])
    assert says in capsys.readouterr().err


def test_help_names_every_study_and_every_option(capsys):
    with pytest.raises(SystemExit):
        main(["run", "--help"])
    said = capsys.readouterr().out
    assert all(name in said for name in STUDIES)
    for name, study in STUDIES.items():
        with pytest.raises(SystemExit):
            main(["run", name, "--help"])
        said = " ".join(capsys.readouterr().out.split())
        for field in dataclasses.fields(study):
            assert field.metadata["help"] in said, (name, field.name)
