"""What the extensions read of a page's source."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml
from sphinx_external_toc.parsing import parse_toc_yaml

FRONT = re.compile(r"\A---\n(.*?)^---\n", re.DOTALL | re.MULTILINE)
STATEMENT = re.compile(
    r"^:::+\{prf:(assumption|corollary|definition|lemma|proposition|theorem)\} *(.*?) *\n"
    r":label: (\S+)$",
    re.MULTILINE,
)


def pages(book: Path) -> list[str]:
    """Pages in the order of the table of contents, without extensions."""
    return [str(page).removesuffix(".md") for page in parse_toc_yaml(book / "_toc.yml")]


def split(path: Path) -> tuple[dict[str, Any], str]:
    """Front matter of a page, and its text."""
    text = path.read_text(encoding="utf-8")
    front = FRONT.match(text)
    return (yaml.safe_load(front[1]) or {}, text[front.end() :]) if front else ({}, text)


def statements(book: Path) -> list[tuple[str, str, str, str]]:
    """Page, kind, label and title of each labelled statement, in the order of the book."""
    return [
        (page, kind, label, title)
        for page in pages(book)
        for kind, title, label in STATEMENT.findall(split(book / f"{page}.md")[1])
    ]
