"""Slides: one HTML file a chapter, made from the built pages.

``python book/_ext/slides.py SITE FOLDER`` writes a deck for each page with a
chapter card: title and question, each figure with its caption, each
definition, assumption and proposition, the first exercise, the key ideas.
Charts stay alive. A deck holds all it needs, so it opens from anywhere
without a network.
"""

from __future__ import annotations

import base64
import mimetypes
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from bs4 import BeautifulSoup, Tag
from jinja2 import Environment, FileSystemLoader

ASSETS = Path(__file__).parent / "deck"
TEMPLATES = Environment(loader=FileSystemLoader(ASSETS), trim_blocks=True)
TEMPLATES.filters["inside"] = lambda script: script.replace("</script", "<\\/script")
STATEMENTS = (
    "div.proof:is(.definition, .assumption, .axiom, .proposition, .theorem, .lemma, .corollary,"
    " .conjecture)"
)
# MathJax would load these from files of its own, which a deck does not carry.
LOADED = re.compile(
    r"\\(boldsymbol|cancel|bcancel|xcancel|color|textcolor|colorbox|bbox|require)\b"
)
FOLLOW = """document.documentElement.dataset.theme =
  matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";"""


def soup_of(page: Path) -> BeautifulSoup:
    """Read a page of the site."""
    return BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")


def pages(site: Path) -> list[Path]:
    """Pages that are chapters, in the order of the table of contents."""
    if not (site / "index.html").is_file():
        raise FileNotFoundError(f"{site} holds no index.html: build the book first (make book)")
    links = soup_of(site / "index.html").select("nav.bd-links a[href], .toctree-wrapper a[href]")
    names = dict.fromkeys(str(link["href"]).partition("#")[0] for link in links)
    found = [site / name for name in names if name.endswith(".html") and "://" not in name]
    return [p for p in found if p.is_file() and "chapter-card" in p.read_text(encoding="utf-8")]


def _data(file: Path, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(file.read_bytes()).decode()}"


def _inner(tag: Tag | None) -> str:
    return " ".join(tag.decode_contents().split()) if tag else ""


def _slides(article: Tag, name: str) -> Iterator[dict[str, str]]:
    """Kind, title, line above it and body of each slide."""
    card = article.select_one(".chapter-card")
    if card is None:
        raise ValueError(f"{name}: no chapter card, so no slides")
    ideas = article.select_one("section#key-ideas > ul, section#key-ideas > ol")
    if ideas is None:
        raise ValueError(f"{name}: no list under a heading 'Key ideas'")
    title = _inner(article.h1)
    wanted = re.compile(r"\s*(Question|Afterwards you can|Data)\b")
    items = [str(item) for item in card.select("li") if wanted.match(item.get_text())]
    yield {"kind": "title", "title": title, "body": f"<ul>{''.join(items)}</ul>"}
    for part in article.select(f"figure, {STATEMENTS}") + article.select("div.exercise")[:1]:
        if part.find_parent(class_=["solution", "exercise"]):
            continue
        above = part.find_previous(["h2", "h3"])
        heading = _inner(above) if above else title
        if part.name == "figure":
            caption = part.figcaption.extract() if part.figcaption else ""
            body = f'<figure><div class="chart">{part.decode_contents()}</div>{caption}</figure>'
            yield {"kind": "figure", "title": heading, "body": body}
        else:
            kind = "exercise" if "exercise" in part["class"] else "statement"
            yield {
                "kind": kind,
                "title": _inner(part.select_one(".admonition-title")),
                "above": "Your turn" if kind == "exercise" else heading,
                "body": part.select_one("section").decode_contents(),
            }
    yield {"kind": "ideas", "title": "Key ideas", "body": str(ideas)}


def deck(site: Path, page: Path) -> str:
    """Make the slides of one chapter: HTML that refers to no other file.

    Raises
    ------
    ValueError
        If the page has no card or no key ideas, or a formula needs a part of
        MathJax that a deck does not carry.
    """
    soup, static = soup_of(page), site / "_static"
    settings = [script.get_text().strip() for script in soup.select("script:not([src])")]
    book = soup.title.get_text().rpartition(" — ")[2].strip() if soup.title else ""
    article = soup.select_one("article.bd-article, article, [role=main]")
    for part in article.select("a.headerlink, button"):
        part.decompose()
    for link in article.select("a[href]"):
        if not str(link["href"]).startswith(("http://", "https://")):
            link.unwrap()
    for image in article.select("img[src]"):
        if not str(image["src"]).startswith("data:"):
            file = site / str(image["src"])
            image["src"] = _data(file, mimetypes.guess_type(file.name)[0] or "image/png")
    slides = list(_slides(article, page.name))
    body = "".join(slide["body"] for slide in slides)
    head, tail = [], [(ASSETS / "deck.js").read_text(encoding="utf-8")]

    def setting(name: str) -> str:
        return next((text for text in settings if text.startswith(name)), "")

    if "vegaEmbed" in body:
        head = [setting("window.VEGA_DEBUG"), (static / "charts.js").read_text(encoding="utf-8")]
        tail.insert(0, (static / "vega.js").read_text(encoding="utf-8"))
    if 'class="math' in body:
        if found := LOADED.search(body):
            raise ValueError(
                f"{page.name}: a slide's formula uses {found[0]}, "
                "which needs a part of MathJax that decks leave out"
            )
        fonts = {font.name: _data(font, "font/woff") for font in static.rglob("MathJax_*.woff")}
        mathjax = next(static.glob("mathjax/*.js")).read_text(encoding="utf-8")
        embedded = re.sub(r"%%URL%%/(MathJax_[\w-]+\.woff)", lambda m: fonts[m[1]], mathjax)
        tail[:0] = [setting("window.MathJax"), embedded]
    files = (static / "book.css", ASSETS / "deck.css")
    return TEMPLATES.get_template("deck.html").render(
        title=slides[0]["title"],
        book=book,
        slides=slides,
        styles=[file.read_text(encoding="utf-8") for file in files],
        head=head,
        tail=tail,
    )


def main(argv: list[str]) -> int:
    """Run the command: write all decks and a page that lists them."""
    site, out = map(Path, argv)
    decks = {}
    try:
        made = {page.name: deck(site, page) for page in pages(site)}
    except (FileNotFoundError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    out.mkdir(parents=True, exist_ok=True)
    for name, text in made.items():
        (out / name).write_text(text, encoding="utf-8")
        decks[name] = re.search(r"<title>(.*?): slides</title>", text)[1]  # type: ignore[index]
        count = text.count('<section class="slide')
        print(f"{out / name}: {count} slides, {len(text.encode()) / 1e6:.1f} MB")
    style = (ASSETS / "deck.css").read_text(encoding="utf-8")
    contents = TEMPLATES.get_template("deck.html").render(
        title="Slides", decks=decks, styles=[style], tail=[FOLLOW]
    )
    (out / "index.html").write_text(contents, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
