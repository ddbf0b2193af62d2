"""The site without a web server: search on ``file://``, and the zip.

Sphinx's search loads its index by a script, which works from a file, and the
texts of its summaries by ``fetch``, which does not. On ``file://`` the search
page of this book takes the texts from ``_static/search_text.js`` instead.

``python book/_ext/offline.py FOLDER FILE.zip`` packs a built site.
"""

from __future__ import annotations

import json
import re
import sys
import zipfile
from pathlib import Path
from typing import Any

from bs4 import BeautifulSoup, NavigableString
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


def search_text(page: str) -> str:
    """Text of a page's main part, in sections that keep their ids: what summaries are cut from."""
    article = BeautifulSoup(page, "html.parser").select_one("article.bd-article")
    if article is None:
        return ""
    for part in article.select("script, style, svg, button, form, .headerlink"):
        part.decompose()
    for comment in article.find_all(string=lambda text: type(text) is not NavigableString):
        comment.extract()
    for tag in article.find_all(lambda tag: tag.name != "section"):
        tag.unwrap()
    text = re.sub(r"\s+", " ", article.decode_contents())
    return f'<div role="main">{text}</div>'


def ask_for_text(app: Sphinx, page: str, template: str, context: dict[str, Any], tree: Any) -> None:
    """Let the search page load the texts where it is opened as a file."""
    if page == "search":
        app.add_js_file(None, body=LOAD)


def write_text(app: Sphinx, exception: Exception | None) -> None:
    """Write the texts of all pages beside the site's scripts."""
    if exception is None and app.builder.name == "html":
        out = Path(app.outdir)
        texts = {
            f"{doc}.html": search_text((out / f"{doc}.html").read_text(encoding="utf-8"))
            for doc in sorted(app.env.found_docs)
        }
        script = ANSWER % json.dumps(texts, ensure_ascii=False, indent=0)
        (out / "_static" / "search_text.js").write_text(script, encoding="utf-8")


def pack(site: Path, file: Path) -> int:
    """Pack a built site into one folder of a zip, the same bytes each time; return the count."""
    if not (site / "index.html").is_file():
        raise FileNotFoundError(f"{site} holds no index.html: build the book first (make book)")
    paths = [p for p in sorted(site.rglob("*")) if p.is_file() and p.name != ".buildinfo"]
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as out:
        for path in paths:
            info = zipfile.ZipInfo(f"{file.stem}/{path.relative_to(site).as_posix()}")
            info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            out.writestr(info, path.read_bytes())
    return len(paths)


def main(argv: list[str]) -> int:
    """Run the command: pack a site."""
    site, file = map(Path, argv)
    try:
        count = pack(site, file)
    except FileNotFoundError as error:
        print(error, file=sys.stderr)
        return 1
    size = file.stat().st_size / 1e6
    print(f"{file}: {count} files, {size:.1f} MB; unpack and open index.html")
    return 0


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect the extension."""
    app.connect("html-page-context", ask_for_text)
    app.connect("build-finished", write_text)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
