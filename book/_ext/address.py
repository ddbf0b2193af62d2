"""Write the repository's address wherever it is needed.

The address is set in one place, ``[project.urls] Repository`` in
``pyproject.toml``. ``python book/_ext/address.py`` (``make address``) copies it to
the configuration, the citation file, the README and the install cells;
``--check`` writes nothing and fails if one of them says something else.
"""

from __future__ import annotations

import argparse
import re
import sys
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml

PACKAGE = "causalpref"
FILES = ("pyproject.toml", "_config.yml", "CITATION.cff", "README.md", "book/**/*.md")


def pages_address(repository: str) -> str:
    """Where GitHub Pages serves a repository.

    Parameters
    ----------
    repository : str
        ``https://github.com/OWNER/NAME``.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        If it is no address of a repository on GitHub, which Colab needs.

    Examples
    --------
    >>> pages_address("https://github.com/Ada/notes")
    'https://ada.github.io/notes/'
    """
    match = re.fullmatch(r"https://github\.com/([\w-]+)/([\w.-]+?)", repository)
    if match is None or repository.endswith((".git", "/")):
        raise ValueError(
            f"pyproject.toml, [project.urls]: Repository = {repository!r} is no "
            "https://github.com/OWNER/NAME; Colab opens notebooks from GitHub only"
        )
    owner, name = match[1].lower(), match[2]
    host = f"https://{owner}.github.io/"
    return host if name.lower() == f"{owner}.github.io" else f"{host}{name}/"


def addresses(root: Path) -> tuple[str, str]:
    """Return the addresses of the repository and of the book.

    Parameters
    ----------
    root : Path
        Folder of ``pyproject.toml``.

    Returns
    -------
    tuple of str
        The book is on GitHub Pages, unless ``Book`` in ``pyproject.toml`` names a
        domain of its own.
    """
    urls = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]
    book = pages_address(urls["Repository"])
    own = not re.match(r"https://[\w-]+\.github\.io/", urls["Book"])
    return urls["Repository"], urls["Book"] if own else book


def rewritten(root: Path) -> Iterator[tuple[Path, str, str]]:
    """Yield every file that holds the address, its text, and what it should be."""
    repository, book = addresses(root)
    config = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))
    before, site = config["repository"]["url"], config["html"]["baseurl"]
    names = {PACKAGE, *(url.rstrip("/").rpartition("/")[2] for url in (repository, before))}
    name = "|".join(sorted(map(re.escape, names), key=len, reverse=True))
    # Colab opens https://colab.research.google.com/github/OWNER/NAME/...
    source = re.compile(
        rf"(?:(?<=https://)|(?<=research\.google\.com/))github(?:\.com)?/[\w-]+/(?:{name})(?![\w-]|\.\w)"
    )
    where = repository.removeprefix("https://github.com/")
    pages = re.compile(
        rf"{re.escape(site)}(?=[\s\"'<>)]|$)|https://[\w-]+\.github\.io/(?:{name})/", re.M
    )
    for pattern in FILES:
        for path in sorted(root.glob(pattern)):
            text = path.read_text(encoding="utf-8")
            new = pages.sub(
                lambda _: book, source.sub(lambda m: f"{m[0].split('/')[0]}/{where}", text)
            )
            yield path, text, new


def main(argv: Sequence[str] | None = None, root: Path | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments of the command line.
    root : Path, optional
        Folder of ``pyproject.toml``; by default that of this file's checkout.

    Returns
    -------
    int
        0 if all is well, 1 if the address is unusable or, with ``--check``, if a
        file says something else.
    """
    parser = argparse.ArgumentParser(description="Write the repository's address everywhere.")
    parser.add_argument(
        "--check", action="store_true", help="write nothing; fail if a file differs"
    )
    check = parser.parse_args(argv).check
    root = root or Path(__file__).resolve().parents[2]
    differing = 0
    try:
        for path, text, new in list(rewritten(root)):
            if text != new:
                differing += 1
                print(
                    f"{path.relative_to(root).as_posix()}: {'another address' if check else 'written'}"
                )
                if not check:
                    path.write_text(new, encoding="utf-8", newline="\n")
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    return int(check and differing > 0)


if __name__ == "__main__":
    sys.exit(main())
