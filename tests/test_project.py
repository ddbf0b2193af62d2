"""What is stated in two places agrees; nothing tracked points at one person's machine."""

from __future__ import annotations

import re
import subprocess
import tomllib
from itertools import chain

import pytest
import yaml
from conftest import ROOT
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

import causalpref

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

# Preinstalled on Colab (googlecolab/backend-info, 2026-08-19, Python 3.13).
COLAB = {
    "altair": "5.5.0",
    "datasets": "4.0.0",
    "fsspec": "2025.3.0",
    "jinja2": "3.1.6",
    "matplotlib": "3.10.0",
    "networkx": "3.6.1",
    "numpy": "2.1.3",
    "pandas": "2.2.3",
    "pyarrow": "18.1.0",
    "safetensors": "0.8.0",
    "scikit-learn": "1.6.1",
    "scipy": "1.16.3",
    "torch": "2.11.0",
    "tqdm": "4.67.3",
    "transformers": "5.15.0",
}


# Not on Colab: pure Python that needs numpy only, so that installing it changes nothing else.
ADDED = {"py3langid"}


def requirements(names):
    return {r.name.lower(): r for r in map(Requirement, names)}


def test_colab_keeps_its_versions():
    """Every run-time requirement is satisfied by what Colab has: pip changes nothing it has."""
    extra = PROJECT["optional-dependencies"]["models"]
    for name, requirement in requirements(PROJECT["dependencies"] + extra).items():
        if name in ADDED:
            continue
        assert name in COLAB, f"{name} is not on Colab: it would be installed there"
        assert requirement.specifier.contains(COLAB[name]), f"{requirement} on Colab"
    assert SpecifierSet(PROJECT["requires-python"]).contains("3.13")


def test_a_plain_install_is_light():
    """What weighs gigabytes is an extra, which the book and the tests have."""
    extras = PROJECT["optional-dependencies"]
    heavy = {"torch", "transformers", "datasets"}
    assert heavy <= set(requirements(extras["models"]))
    assert not heavy & set(requirements(PROJECT["dependencies"]))
    assert all("causalpref[models]" in extras[name] for name in ("book", "test"))


def test_colab_versions_are_the_published_ones():
    freeze = ROOT.parent / "shared" / "data" / "colab" / "pip-freeze.gpu.txt"
    if not freeze.is_file():
        pytest.skip("Colab's published list is not beside this clone (../shared/data)")
    published = dict(
        line.lower().split("==", 1) for line in freeze.read_text().splitlines() if "==" in line
    )
    for name, version in COLAB.items():
        assert Version(published[name].split("+")[0]) == Version(version), name


def test_constraints_fit_the_ranges():
    lines = [
        li
        for li in (ROOT / "constraints.txt").read_text().splitlines()
        if li and not li.startswith("#")
    ]
    pinned = requirements(lines)
    asked = requirements(chain(PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()))
    for name, pin in pinned.items():
        version = next(iter(pin.specifier)).version
        if name in asked:
            assert asked[name].specifier.contains(version), name
    assert next(iter(pinned["jupyter-book"].specifier)).version.startswith("1.")


def test_environment_yml_cannot_drift():
    """conda installs the project itself with its extras, under the same constraints."""
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    python, pip, by_pip = environment["dependencies"]
    assert python == f"python{PROJECT['requires-python']}" and pip == "pip"
    assert by_pip == {"pip": ["--constraint constraints.txt", "-e .[book,test]"]}
    assert set(PROJECT["optional-dependencies"]) == {"book", "models", "test"}
    makefile = (ROOT / "Makefile").read_text()
    assert '--constraint constraints.txt $(PIP_ARGS) --editable ".[book,test]"' in makefile


def test_one_version_and_one_address():
    """Every file that names the address says what pyproject.toml says."""
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert PROJECT["version"] == causalpref.__version__ == citation["version"]
    config = yaml.safe_load((ROOT / "_config.yml").read_text())
    urls = PROJECT["urls"]
    assert config["repository"]["url"] == urls["Repository"] == citation["repository-code"]
    assert config["html"]["baseurl"] == urls["Book"] == citation["url"]
    source = urls["Repository"].removeprefix("https://github.com/")
    for page in [ROOT / "README.md", *ROOT.glob("book/*.md")]:
        text = page.read_text(encoding="utf-8")
        for address in re.findall(r"(?:git\+|research\.google\.com/)([^\s\"]+)", text):
            where = address.removeprefix("https://github.com/").removeprefix("github/")
            assert where == source or where.startswith(f"{source}/blob/main/"), (page, address)
        for address in re.findall(r"https://[\w-]+\.github\.io/causalpref/?", text):
            assert address == urls["Book"], page


def test_python_versions_agree():
    listed = [c.rsplit(" ", 1)[1] for c in PROJECT["classifiers"] if "Python :: 3." in c]
    assert listed == ["3.11", "3.12", "3.13", "3.14"]
    assert PROJECT["requires-python"] == ">=3.11,<3.15"
    assert "(3, 11) <= v <= (3, 14)" in (ROOT / "Makefile").read_text()
    assert "You need Python 3.11 to 3.14" in (ROOT / "README.md").read_text()
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "tests.yml").read_text())["jobs"]
    assert jobs["tests"]["strategy"]["matrix"]["python"] == listed


def test_readme_names_the_commands():
    readme = (ROOT / "README.md").read_text()
    assert re.search(r"```(?:bash|sh)?\nmake book\n", readme)
    assert re.search(r"```(?:bash|sh)?\nmake test\n", readme)
    for target in set(re.findall(r"`make (\w+)", readme)):
        assert re.search(rf"^(\w+ )*{target}( \w+)*:", (ROOT / "Makefile").read_text(), re.M), (
            target
        )


def test_no_absolute_paths_of_a_machine():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    for name in listed.stdout.split():
        path = ROOT / name
        if path.suffix in {".py", ".md", ".json", ".csv", ".yml", ".toml", ".ipynb", ".cff"}:
            text = path.read_text(encoding="utf-8")
            found = re.search(r"(?<![\w.])/(?:home|root|tmp|Users|work)/\w", text)
            assert not found or name == "tests/test_project.py", (name, found)


def test_public_names_exist_and_are_documented():
    import importlib
    import pkgutil

    for info in pkgutil.walk_packages(causalpref.__path__, "causalpref."):
        module = importlib.import_module(info.name)
        assert module.__doc__, info.name
        for name in getattr(module, "__all__", []):
            thing = getattr(module, name)
            if callable(thing) and getattr(thing, "__module__", "").startswith("causalpref"):
                assert thing.__doc__, f"{info.name}.{name}"
