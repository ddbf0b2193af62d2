"""What GitHub is told to do: valid, in step with the project, and without duplicates."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT
from packaging.specifiers import SpecifierSet
from packaging.version import Version
from test_project import ADDED

GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PUBLISHED = ROOT.parent / "shared" / "data" / "colab"


def workflow(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.load(
        (GITHUB / "workflows" / f"{name}.yml").read_text(), yaml.BaseLoader
    )
    return loaded


def steps(name: str) -> list[dict[str, Any]]:
    return [step for job in workflow(name)["jobs"].values() for step in job["steps"]]


def commands(name: str) -> str:
    return "\n".join(step.get("run", "") for step in steps(name))


def targets() -> set[str]:
    return set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@pytest.mark.parametrize("path", [*WORKFLOWS, GITHUB / "dependabot.yml"], ids=lambda p: p.stem)
def test_files_follow_githubs_schema(path: Path) -> None:
    schema = "vendor.dependabot" if path.stem == "dependabot" else "vendor.github-workflows"
    done = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, str(path)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_there_is_a_workflow_for_each_purpose() -> None:
    assert [path.stem for path in WORKFLOWS] == ["pages", "release", "tests", "weekly"]


@pytest.mark.parametrize("name", [path.stem for path in WORKFLOWS])
def test_workflows_use_the_makefile_and_ask_for_no_more_than_they_need(name: str) -> None:
    for target in re.findall(r"\bmake ([a-z]+)", commands(name)):
        assert target in targets(), f"{name}.yml: no target {target!r} in the Makefile"
    asked = workflow(name)
    assert asked["permissions"] == {"contents": "read"}
    for job, content in asked["jobs"].items():
        assert "timeout-minutes" in content, f"{name}.yml: {job} may run for six hours"
        for step in content["steps"]:
            # One major version, from GitHub itself.
            assert re.fullmatch(r"actions/[\w-]+@v\d+", step.get("uses", "actions/checkout@v4")), (
                step
            )
            # What others can write must not become part of a script.
            assert not re.search(r"\$\{\{\s*github\.(event|head_ref)", step.get("run", "")), step


@pytest.mark.parametrize("name", [path.stem for path in WORKFLOWS])
def test_files_that_workflows_name_exist(name: str) -> None:
    for file in re.findall(r"\bpython3? ((?:book|benchmarks|tests)/[\w/.]+)", commands(name)):
        assert (ROOT / file).is_file(), file


def test_tests_run_on_every_python_that_is_supported() -> None:
    listed = [c.rsplit(" ", 1)[1] for c in PROJECT["classifiers"] if "Python :: 3." in c]
    jobs = workflow("tests")["jobs"]
    assert jobs["tests"]["strategy"]["matrix"]["python"] == listed
    assert "make test" in jobs["tests"]["steps"][-1]["run"]
    assert "make check" in jobs["check"]["steps"][-1]["run"]
    site = "\n".join(step.get("run", "") for step in jobs["site"]["steps"])
    assert "make book BOOK_ARGS=-W" in site and "make browser" in site
    supported = SpecifierSet(PROJECT["requires-python"])
    for name in ("tests", "pages", "weekly", "release"):
        for step in steps(name):
            version = step.get("with", {}).get("python-version", "")
            assert "{{" in version or not version or Version(version) in supported, step


def test_smoke_needs_neither_make_nor_extras() -> None:
    job = workflow("tests")["jobs"]["smoke"]
    assert job["strategy"]["matrix"]["os"] == ["macos-latest", "windows-latest"]
    run = "\n".join(step.get("run", "") for step in job["steps"])
    assert "make" not in run and "tests/test_smoke.py" in run
    assert re.search(r"pip install --constraint constraints\.txt \. ", run)
    for file in re.findall(r"tests/\w+\.py", run):
        text = (ROOT / file).read_text()
        asked = set(re.findall(r"^(?:import|from) (\w+)", text, re.MULTILINE))
        assert not asked & {"torch", "transformers", "datasets", "yaml", "sphinx"}, file


def test_pages_publishes_what_is_built() -> None:
    jobs = workflow("pages")["jobs"]
    (upload,) = [s for s in jobs["build"]["steps"] if "upload-pages-artifact" in s.get("uses", "")]
    assert "make book BOOK_ARGS=-W" in commands("pages") and upload["with"]["path"] == "_build/html"
    assert jobs["deploy"]["needs"] == "build"
    assert jobs["deploy"]["permissions"] == {"pages": "write", "id-token": "write"}
    assert workflow("pages")["on"]["push"]["branches"] == ["main"]


def test_release_attaches_the_zip_and_the_pdf() -> None:
    job = workflow("release")["jobs"]["release"]
    assert workflow("release")["on"] == {"push": {"tags": ["v*"]}}
    assert job["permissions"] == {"contents": "write"}
    run = commands("release")
    assert run.index("make zip") < run.index("make pdf") < run.index("gh release create")
    check = next(step["run"] for step in job["steps"] if "tag" in step.get("name", ""))
    for tag, status in ((f"v{PROJECT['version']}", 0), ("v999", 1)):
        done = subprocess.run(
            ["bash", "-e", "-c", check], cwd=ROOT, env=os.environ | {"GITHUB_REF_NAME": tag}
        )
        assert done.returncode == status, tag


def test_dependabot_leaves_jupyter_book_below_2() -> None:
    updates = yaml.safe_load((GITHUB / "dependabot.yml").read_text())["updates"]
    by = {update["package-ecosystem"]: update for update in updates}
    assert set(by) == {"pip", "github-actions"}
    ignored = {i["dependency-name"]: i["versions"] for i in by["pip"]["ignore"]}
    (versions,) = ignored["jupyter-book"]
    assert Version("2.0") in SpecifierSet(versions) and Version("1.9") not in SpecifierSet(versions)


# The weekly run ----------------------------------------------------------------


def test_weekly_runs_every_notebook_and_every_link() -> None:
    asked = workflow("weekly")
    assert re.fullmatch(r"\d+ \d+ \* \* [0-6]", asked["on"]["schedule"][0]["cron"])
    run = commands("weekly")
    assert "book/*.ipynb" in run and "--nbmake" in run and "make linkcheck" in run
    report = asked["jobs"]["report"]
    assert set(report["needs"]) == set(asked["jobs"]) - {"report"}
    assert report["permissions"] == {"issues": "write"}
    assert "failure" in report["if"] and "always()" in report["if"]


GH = """#!/usr/bin/env bash
echo "$1 $2" >> "$LOG"
if [ "$1 $2" = "issue list" ]; then printf %s "$OPEN"; fi
"""


@pytest.mark.parametrize(("open_", "then"), [("", "issue create"), ("7", "issue comment")])
def test_weekly_adds_to_an_open_issue(tmp_path: Path, open_: str, then: str) -> None:
    """The step itself is run, with a `gh` that only notes what it was asked."""
    (step,) = workflow("weekly")["jobs"]["report"]["steps"]
    (tmp_path / "gh").write_text(GH)
    (tmp_path / "gh").chmod(0o755)
    names = dict.fromkeys(step["env"], "x")
    environment = {
        **names,
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "OPEN": open_,
        "LOG": str(tmp_path / "log"),
    }
    subprocess.run(["bash", "-eo", "pipefail", "-c", step["run"]], env=environment, check=True)
    assert (tmp_path / "log").read_text().split("\n")[:-1] == ["label create", "issue list", then]


FREEZE = """\
# a comment
torch==2.11.0+cu128
Jupyter_Core==5.7.2
google-colab @ file:///colabtools/dist/google_colab-1.0.0.tar.gz
cuda-toolkit==12.8.1
nvidia-nccl-cu12==2.27.5
rmm-cu12==26.2.0
-e git+https://example.org/x#egg=x
"""


def lists(folder: Path, freeze: str, info: str) -> dict[str, str]:
    """Run the step that reads Colab's lists; return the files that it writes."""
    (step,) = [s for s in steps("weekly") if s.get("id") == "colab"]
    (folder / "curl").write_text(
        '#!/usr/bin/env bash\nwhile [ "$1" != --output ]; do shift; done\n'
        f'case "$2" in *freeze.txt) cp {folder}/freeze "$2";; *) cp {folder}/info "$2";; esac\n'
    )
    (folder / "curl").chmod(0o755)
    (folder / "freeze").write_text(freeze)
    (folder / "info").write_text(info)
    environment = {
        "PATH": f"{folder}:{os.environ['PATH']}",
        "RUNNER_TEMP": str(folder),
        "GITHUB_OUTPUT": str(folder / "output"),
    }
    subprocess.run(["bash", "-eo", "pipefail", "-c", step["run"]], env=environment, check=True)
    return {name: (folder / name).read_text() for name in ("colab.txt", "output")}


def test_colabs_list_becomes_constraints(tmp_path: Path) -> None:
    found = lists(tmp_path, FREEZE, "Ubuntu 22.04\nPython 3.13.15\nR version 4.6\n")
    assert found["colab.txt"] == "torch==2.11.0\njupyter-core==5.7.2\n"
    assert found["output"] == "python=3.13\n"


@pytest.mark.parametrize(("freeze", "info"), [("<html>404", "Python 3.13.1"), (FREEZE, "Ubuntu")])
def test_lists_that_are_none_stop_the_run(tmp_path: Path, freeze: str, info: str) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        lists(tmp_path, freeze, info)


@pytest.mark.parametrize(("requires", "status"), [("numpy, scikit-learn", 0), ("numpy, odd", 1)])
def test_a_requirement_that_colab_lacks_is_named(
    tmp_path: Path, requires: str, status: int
) -> None:
    (step,) = [s for s in steps("weekly") if "pip show" in s.get("run", "")]
    (tmp_path / "python").write_text(
        f'#!/usr/bin/env bash\n[ "$3" != show ] || echo "Requires: {requires}"\n'
    )
    (tmp_path / "python").chmod(0o755)
    (tmp_path / "colab.txt").write_text("numpy==2.0.2\nscikit-learn==1.6.1\n")
    done = subprocess.run(
        ["bash", "-eo", "pipefail", "-c", step["run"]],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}", "RUNNER_TEMP": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == status and ("odd\n" in done.stdout) == bool(status)


def test_published_list_can_be_read(tmp_path: Path) -> None:
    if not (PUBLISHED / "pip-freeze.gpu.txt").is_file():
        pytest.skip("Colab's published list is not beside this clone (../shared/data)")
    texts = [(PUBLISHED / f).read_text() for f in ("pip-freeze.gpu.txt", "os-info-gpu.txt")]
    found = lists(tmp_path, *texts)
    names = {line.partition("==")[0] for line in found["colab.txt"].splitlines()}
    for line in PROJECT["dependencies"]:
        name = re.match(r"[\w-]+", line)[0].lower()
        assert name in names | ADDED, line
    version = found["output"].strip().removeprefix("python=")
    assert Version(version) in SpecifierSet(PROJECT["requires-python"])
