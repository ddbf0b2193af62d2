"""The site without a web server: search on ``file://``, and the zip.

Sphinx's search loads its index by a script, which works from a file, and the
texts of its summaries by ``fetch``, which does not. On ``file://`` the search
page of this book takes the texts from ``_static/search_text.js`` instead.

``python book/_ext/offline.py FOLDER FILE.zip`` packs a built site.
"""

from __future__ import annotations

import argparse
import html
import json
import re
import sys
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bs4 import BeautifulSoup, NavigableString, Tag
from sphinx.application import Sphinx

LOAD = """\
if (location.protocol === "file:")
  document.write('<script src="_static/search_text.js"><\\/script>');"""
ANSWER = """\
(() => {
  const texts = %s;
  const ask = window.fetch;
  window.fetch = (url, ...rest) => {
    const page = new URL(url, location).pathname;
    const name = Object.keys(texts).find((name) => page.endsWith("/" + name));
    return name ? Promise.resolve(new Response(texts[name])) : ask(url, ...rest);
  };
})();
"""
SILENT = ("script", "style", "svg", "button", "form")


def search_text(page: str) -> str:
    """Reduce a page to what the search's summaries are cut from.

    Parameters
    ----------
    page : str
        HTML of a built page.

    Returns
    -------
    str
        The text of its main part, in sections that keep their ids.
    """
    article = BeautifulSoup(page, "html.parser").select_one("article.bd-article")
    return "" if article is None else f'<div role="main">{"".join(_texts(article))}</div>'


def _texts(tag: Tag) -> Iterator[str]:
    for child in tag.children:
        if type(child) is NavigableString:
            yield html.escape(re.sub(r"\s+", " ", child), quote=False)
        elif (
            isinstance(child, Tag)
            and child.name not in SILENT
            and "headerlink" not in (child.get("class") or ())
        ):
            inner = "".join(_texts(child))
            anchor = child.get("id") if child.name == "section" else None
            yield f'<section id="{html.escape(str(anchor))}">{inner}</section>' if anchor else inner


def ask_for_text(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any
) -> None:
    """Let the search page load the texts where it is opened as a file."""
    if pagename == "search":
        app.add_js_file(None, body=LOAD)


def write_text(app: Sphinx, exception: Exception | None) -> None:
    """Write the texts of all pages beside the site's scripts."""
    if exception is not None or app.builder.name != "html":
        return
    texts = {}
    for doc in sorted(app.env.found_docs):
        page = Path(app.outdir) / f"{doc}.html"
        texts[f"{doc}.html"] = search_text(page.read_text(encoding="utf-8"))
    script = ANSWER % json.dumps(texts, ensure_ascii=False, indent=0)
    (Path(app.outdir) / "_static" / "search_text.js").write_text(script, encoding="utf-8")


def pack(site: Path, file: Path) -> int:
    """Pack a built site; the same site gives the same bytes.

    Parameters
    ----------
    site : Path
        Folder of the built site.
    file : Path
        Zip to write. Its files lie in one folder that has the zip's name.

    Returns
    -------
    int
        Number of files packed.

    Raises
    ------
    FileNotFoundError
        If there is no built site in the folder.
    """
    if not (site / "index.html").is_file():
        raise FileNotFoundError(f"{site} holds no index.html: build the book first (make book)")
    paths = [
        path for path in sorted(site.rglob("*")) if path.is_file() and path.name != ".buildinfo"
    ]
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as out:
        for path in paths:
            info = zipfile.ZipInfo(f"{file.stem}/{path.relative_to(site).as_posix()}")
            info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            out.writestr(info, path.read_bytes())
    return len(paths)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command: pack a site."""
    parser = argparse.ArgumentParser(
        description="Pack the built site into a zip that can be read from a folder."
    )
    parser.add_argument("site", type=Path, help="folder of the built site")
    parser.add_argument("file", type=Path, help="zip to write")
    args = parser.parse_args(argv)
    try:
        count = pack(args.site, args.file)
    except FileNotFoundError as error:
        print(error, file=sys.stderr)
        return 1
    size = args.file.stat().st_size / 1e6
    print(f"{args.file}: {count} files, {size:.1f} MB; unpack and open index.html")
    return 0


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect the extension."""
    app.connect("html-page-context", ask_for_text)
    app.connect("build-finished", write_text)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


if __name__ == "__main__":
    sys.exit(main())
