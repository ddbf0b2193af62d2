"""Slides: one HTML file a chapter, made from the built pages.

``python book/_ext/slides.py SITE FOLDER`` writes a deck for each page with a
chapter card: title and question, each figure with its caption, each
definition, assumption and proposition, the first exercise, the key ideas.
Charts stay alive. A deck holds all it needs, so it opens from anywhere
without a network.
"""

from __future__ import annotations

import argparse
import base64
import html
import mimetypes
import re
import sys
from collections.abc import Iterator, Sequence
from copy import copy
from pathlib import Path

from bs4 import BeautifulSoup, Tag

ASSETS = Path(__file__).parent / "deck"
STATEMENTS = (
    "definition",
    "assumption",
    "axiom",
    "proposition",
    "theorem",
    "lemma",
    "corollary",
    "conjecture",
)
# MathJax would load these from files of its own, which a deck does not carry.
LOADED = re.compile(
    r"\\(boldsymbol|cancel|bcancel|xcancel|color|textcolor|colorbox|bbox|require)\b"
)


def pages(site: Path) -> list[Path]:
    """Pages that are chapters, in the order of the table of contents.

    Raises
    ------
    FileNotFoundError
        If there is no built site in the folder.
    """
    index = site / "index.html"
    if not index.is_file():
        raise FileNotFoundError(f"{site} holds no index.html: build the book first (make book)")
    links = BeautifulSoup(index.read_text(encoding="utf-8"), "html.parser").select(
        "nav.bd-links a[href], .toctree-wrapper a[href]"
    )
    names = dict.fromkeys(str(link["href"]).partition("#")[0] for link in links)
    found = [site / name for name in names if name.endswith(".html") and "://" not in name]
    return [
        page
        for page in found
        if page.is_file() and "chapter-card" in page.read_text(encoding="utf-8")
    ]


def deck(site: Path, page: Path) -> str:
    """Make the slides of one chapter.

    Parameters
    ----------
    site : Path
        Folder of the built site.
    page : Path
        Page of a chapter in it.

    Returns
    -------
    str
        HTML that refers to no other file.

    Raises
    ------
    ValueError
        If the page has no card or no key ideas, or a formula needs a part of
        MathJax that a deck does not carry.
    """
    soup = BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")
    article = soup.select_one("article.bd-article, article, [role=main]")
    card = article.select_one(".chapter-card") if article else None
    if article is None or card is None:
        raise ValueError(f"{page.name}: no chapter card, so no slides")
    ideas = article.select_one("section#key-ideas > ul, section#key-ideas > ol")
    if ideas is None:
        raise ValueError(f"{page.name}: no list under a heading 'Key ideas'")
    title = _title(article.select_one("h1"))
    made = [_slide("title", title, "h1", "", _card(card))]
    for part in article.select("figure, div.proof"):
        kind = next((name for name in STATEMENTS if name in part.get("class", [])), None)
        if part.find_parent(class_=["solution", "exercise"]) or (
            part.name != "figure" and kind is None
        ):
            continue
        section = part.find_parent("section")
        while section is not None and not section.find(["h2", "h3"], recursive=False):
            section = section.find_parent("section")
        heading = _title(section.find(["h2", "h3"], recursive=False)) if section else title
        if part.name == "figure":
            made.append(_slide("figure", heading, "h2", "", _figure(part, site)))
        else:
            head = _title(part.select_one(".admonition-title"))
            body = "".join(
                _clean(child, site)
                for child in part.select_one("section").find_all(recursive=False)
            )
            made.append(_slide("statement", head, "h2", heading, body))
    exercise = article.select_one("div.exercise")
    if exercise is not None:
        head = _title(exercise.select_one(".admonition-title"))
        body = "".join(
            _clean(child, site)
            for child in exercise.select_one("section").find_all(recursive=False)
        )
        made.append(_slide("exercise", head, "h2", "Your turn", body))
    made.append(_slide("ideas", "Key ideas", "h2", "", _clean(ideas, site)))
    return _document(site, soup, title, "\n".join(made), page)


def _title(tag: Tag | None) -> str:
    """Inner HTML of a heading, without links."""
    if tag is None:
        return ""
    tag = copy(tag)
    for link in tag.select("a.headerlink"):
        link.decompose()
    for link in tag.select("a"):
        link.unwrap()
    return re.sub(r"\s+", " ", tag.decode_contents()).strip()


def _card(card: Tag) -> str:
    items = [copy(item) for item in card.select("li")]
    wanted = [
        item
        for item in items
        if re.match(r"\s*(Question|Afterwards you can|Data)\b", item.get_text())
    ]
    return (
        "<ul>" + "".join(f"<li>{_clean(item, None, inner=True)}</li>" for item in wanted) + "</ul>"
    )


def _clean(tag: Tag, site: Path | None, inner: bool = False) -> str:
    """HTML of a piece of a page: nothing that refers to another file or place."""
    tag = copy(tag)
    for link in tag.select("a.headerlink, button"):
        link.decompose()
    for link in tag.select("a[href]"):
        if not str(link["href"]).startswith(("http://", "https://")):
            link.unwrap()
    for image in tag.select("img[src]"):
        if site is not None and not str(image["src"]).startswith("data:"):
            file = site / str(image["src"])
            kind = mimetypes.guess_type(file.name)[0] or "image/png"
            image["src"] = f"data:{kind};base64,{base64.b64encode(file.read_bytes()).decode()}"
    for named in tag.select("[id]"):
        if not str(named["id"]).startswith("altair-viz"):
            del named["id"]
    return tag.decode_contents() if inner else tag.decode()


def _figure(figure: Tag, site: Path) -> str:
    caption = figure.find("figcaption")
    shown = "".join(
        _clean(child, site) for child in figure.find_all(recursive=False) if child is not caption
    )
    under = f"<figcaption>{_clean(caption, site, inner=True)}</figcaption>" if caption else ""
    return f'<figure><div class="chart">{shown}</div>{under}</figure>'


def _slide(kind: str, title: str, level: str, above: str, body: str) -> str:
    eyebrow = f"<p>{above}</p>" if above else ""
    return (
        f'<section class="slide {kind}"><header>{eyebrow}<{level}>{title}</{level}></header>'
        f'<div class="body">{body}</div></section>'
    )


def _inline(script: str) -> str:
    return "<script>" + script.replace("</script", "<\\/script") + "</script>"


def _setting(soup: BeautifulSoup, name: str) -> str:
    """The script of the page that sets a global variable, or nothing."""
    scripts = (script.get_text().strip() for script in soup.select("script:not([src])"))
    return next((script for script in scripts if script.startswith(name)), "")


def _scripts(site: Path, soup: BeautifulSoup, body: str, page: Path) -> Iterator[str]:
    static = site / "_static"
    if 'class="math' in body:
        if found := LOADED.search(body):
            raise ValueError(
                f"{page.name}: a slide's formula uses {found[0]}, "
                "which needs a part of MathJax that decks leave out"
            )
        yield _inline(_setting(soup, "window.MathJax"))
        mathjax = next(static.glob("mathjax/*.js"))
        fonts = {font.name: font for font in static.rglob("MathJax_*.woff")}

        def embed(match: re.Match[str]) -> str:
            return (
                "data:font/woff;base64," + base64.b64encode(fonts[match[1]].read_bytes()).decode()
            )

        yield _inline(
            re.sub(r"%%URL%%/(MathJax_[\w-]+\.woff)", embed, mathjax.read_text(encoding="utf-8"))
        )
    if "vegaEmbed" in body:
        yield _inline((static / "vega.js").read_text(encoding="utf-8"))


def _document(site: Path, soup: BeautifulSoup, title: str, body: str, page: Path) -> str:
    plain = html.escape(BeautifulSoup(title, "html.parser").get_text(), quote=False)
    book = html.escape(
        soup.title.get_text().rpartition(" — ")[2].strip() if soup.title else "", quote=False
    )
    style = "\n".join(
        path.read_text(encoding="utf-8")
        for path in (site / "_static" / "book.css", ASSETS / "deck.css")
    )
    charts = ""
    if "vegaEmbed" in body:
        drawing = (site / "_static" / "charts.js").read_text(encoding="utf-8")
        charts = _inline(_setting(soup, "window.VEGA_DEBUG")) + _inline(drawing)
    scripts = "\n".join(
        [
            *_scripts(site, soup, body, page),
            _inline((ASSETS / "deck.js").read_text(encoding="utf-8")),
        ]
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{plain}: slides</title>
<link rel="icon" href="data:,">
<style>
{style}
</style>
{charts}
</head>
<body>
<main class="bd-content">
{body}
</main>
<nav aria-label="Slides"><span>{book}</span><span id="count" aria-live="polite"></span>
<button id="back" aria-label="Previous slide">&larr;</button>
<button id="on" aria-label="Next slide">&rarr;</button>
<button id="colours" aria-label="Dark or light">&#9680;</button></nav>
{scripts}
</body>
</html>
"""


def contents(decks: dict[str, str]) -> str:
    """Make the page that lists the decks.

    Parameters
    ----------
    decks : dict
        From file names to titles.
    """
    items = "\n".join(f'<li><a href="{name}">{title}</a></li>' for name, title in decks.items())
    style = (ASSETS / "deck.css").read_text(encoding="utf-8")
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Slides</title>
<link rel="icon" href="data:,">
<style>
{style}
:root {{ font-size: 16px; }} body {{ max-width: 40rem; margin: 3rem auto; padding: 0 1rem; }}
</style></head>
<body><main><h1>Slides</h1>
<ol>
{items}
</ol>
<p>Arrow keys turn the slides, d changes between dark and light, and printing gives one slide a
page.</p>
</main>
<script>
const dark = matchMedia("(prefers-color-scheme: dark)").matches;
document.documentElement.dataset.theme = dark ? "dark" : "light";
</script>
</body>
</html>
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command: write all decks and a page that lists them."""
    parser = argparse.ArgumentParser(description="Write one HTML file of slides a chapter.")
    parser.add_argument("site", type=Path, help="folder of the built site")
    parser.add_argument("out", type=Path, help="folder for the slides")
    args = parser.parse_args(argv)
    try:
        made = {page.name: deck(args.site, page) for page in pages(args.site)}
    except (FileNotFoundError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    args.out.mkdir(parents=True, exist_ok=True)
    titles = {}
    for name, text in made.items():
        (args.out / name).write_text(text, encoding="utf-8")
        titles[name] = re.search(r"<title>(.*?): slides</title>", text)[1]
        count = text.count('<section class="slide')
        print(f"{args.out / name}: {count} slides, {len(text.encode()) / 1e6:.1f} MB")
    (args.out / "index.html").write_text(contents(titles), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
