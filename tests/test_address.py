"""The repository's address is set in one place and copied from there."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import address
import pytest
import yaml
from conftest import ROOT

COPIED = ("pyproject.toml", "_config.yml", "CITATION.cff", "README.md")


def fork(root: Path, repository: str) -> Path:
    """A copy in which one line was changed."""
    for name in COPIED:
        shutil.copy(ROOT / name, root)
    (root / "book").mkdir()
    for page in ROOT.glob("book/*.md"):
        shutil.copy(page, root / "book")
    project = root / "pyproject.toml"
    text, n = re.subn(
        r'(?m)^Repository = ".*"$', f'Repository = "{repository}"', project.read_text()
    )
    assert n == 1
    project.write_text(text)
    return root


def test_every_file_says_the_same() -> None:
    assert address.main(["--check"]) == 0


@pytest.mark.parametrize(
    ("repository", "book"),
    [
        ("https://github.com/Ada-L/causalpref", "https://ada-l.github.io/causalpref/"),
        ("https://github.com/ada/who.asked", "https://ada.github.io/who.asked/"),
        ("https://github.com/ada/ada.github.io", "https://ada.github.io/"),
    ],
)
def test_a_fork_changes_one_line_and_runs_one_command(
    tmp_path: Path, repository: str, book: str
) -> None:
    old, old_book = address.addresses(ROOT)
    root = fork(tmp_path, repository)
    assert address.main(["--check"], root=root) == 1
    assert address.main([], root=root) == 0
    assert address.main(["--check"], root=root) == 0
    assert address.addresses(root) == (repository, book)
    config = yaml.safe_load((root / "_config.yml").read_text())
    citation = yaml.safe_load((root / "CITATION.cff").read_text())
    assert config["repository"]["url"] == citation["repository-code"] == repository
    assert config["html"]["baseurl"] == citation["url"] == book
    for path in [*map(root.joinpath, COPIED), *root.glob("book/*.md")]:
        text = path.read_text(encoding="utf-8")
        assert not re.search(re.escape(old) + r"(?![\w.-])", text), path
        assert not re.search(r"(?<![\w-])" + re.escape(old_book), text), path
        assert set(re.findall(r"git\+([^\s\"]+)", text)) <= {repository}, path
    # There and back again gives the same files.
    project = root / "pyproject.toml"
    project.write_text(project.read_text().replace(repository, old))
    assert address.main([], root=root) == 0
    for name in COPIED:
        assert (root / name).read_text() == (ROOT / name).read_text(), name


def test_a_domain_of_its_own_is_kept(tmp_path: Path) -> None:
    root = fork(tmp_path, "https://github.com/ada/causalpref")
    project = root / "pyproject.toml"
    project.write_text(
        re.sub(r'(?m)^Book = ".*"$', 'Book = "https://book.example.org/"', project.read_text())
    )
    assert address.main([], root=root) == 0 and address.main(["--check"], root=root) == 0
    assert (
        yaml.safe_load((root / "_config.yml").read_text())["html"]["baseurl"]
        == "https://book.example.org/"
    )


@pytest.mark.parametrize(
    "repository",
    [
        "https://gitlab.com/a/b",
        "git@github.com:a/b",
        "https://github.com/a/b.git",
        "https://github.com/a/b/",
    ],
)
def test_an_address_that_colab_cannot_open_is_refused(
    tmp_path: Path, repository: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert address.main([], root=fork(tmp_path, repository)) == 1
    assert repr(repository) in capsys.readouterr().err
    assert (tmp_path / "_config.yml").read_text() == (ROOT / "_config.yml").read_text()


def test_readme_says_where_it_is_set() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "`Repository` in `pyproject.toml`" in readme and "`make address`" in readme
