"""Every built page in a real browser, light and dark: what it asks for, shows, and lets one do.

The site is the one in ``_build/html``; the browser is the Chromium or Chrome that is installed.
Where one of them is missing the tests are skipped with the reason. With the environment variable
``CAUSALPREF_BROWSER=require`` (``make browser``) they fail instead.

Each page is opened once in each mode; the tests look at what that visit gathered. All of them
belong in one process (``pytest --dist loadfile``): another would open the pages again.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
import visiting
import yaml
from conftest import ROOT
from visiting import Visit

SITE = ROOT / "_build" / "html"
REQUIRED = os.environ.get("CAUSALPREF_BROWSER") == "require"
LIMIT = 1_500_000  # bytes of a page beside what it shares with others
PAGES = visiting.pages(SITE)
CHAPTERS = sorted(
    {
        str(entry["file"])
        for part in yaml.safe_load((ROOT / "book" / "_toc.yml").read_text(encoding="utf-8"))[
            "parts"
        ]
        for entry in part["chapters"]
        if "file" in entry
    }
)
MODES = ("light", "dark")
CASES = [
    pytest.param((page, mode), id=f"{page.removesuffix('.html')}-{mode}")
    for page in PAGES
    for mode in MODES
]

Profile = Callable[[str], Any]


def missing(reason: str) -> None:
    """Skip, or fail where the browser is required."""
    if REQUIRED:
        pytest.fail(f"CAUSALPREF_BROWSER=require, but {reason}", pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="module")
def site() -> Path:
    if not PAGES:
        missing("there is no built site in _build/html: make book")
    stale = [
        p.name
        for p in (ROOT / "book").glob("*.md")
        if p.with_suffix("").name in CHAPTERS
        and (SITE / f"{p.stem}.html").is_file()
        and p.stat().st_mtime > (SITE / f"{p.stem}.html").stat().st_mtime
    ]
    if stale:
        missing(f"the site in _build/html is older than {', '.join(sorted(stale))}: make book")
    return SITE


@pytest.fixture(scope="module")
def profile() -> Iterator[Profile]:
    """A browser's profile, by mode."""
    with contextlib.ExitStack() as stack:
        try:
            browser = stack.enter_context(visiting.browser())
        except LookupError as error:
            missing(str(error))
        made: dict[str, Any] = {}

        def of(mode: str) -> Any:
            if mode not in made:
                made[mode] = visiting.context(browser, mode)
            return made[mode]

        yield of


@pytest.fixture(scope="module")
def base(site: Path) -> Iterator[str]:
    """Where the site is served."""
    with visiting.serve(site) as address:
        yield address


@pytest.fixture(scope="module", params=CASES or [pytest.param(("index.html", "light"), id="site")])
def seen(request: pytest.FixtureRequest, profile: Profile, site: Path, base: str) -> Visit:
    """One visit for all tests of a page in a mode."""
    name, mode = request.param
    return visiting.visit(profile(mode), site, base, name, mode)


def listed(faults: list[str]) -> str:
    return "\n  ".join(["", *faults])


# What a page asks for, and what comes ----------------------------------------


def test_every_chapter_is_built(site: Path) -> None:
    assert [c for c in CHAPTERS if f"{c}.html" not in PAGES] == []


def test_nothing_from_elsewhere_and_no_error(seen: Visit, base: str) -> None:
    elsewhere = [a for a in seen.requests if not a.startswith((base, "data:", "blob:"))]
    assert not elsewhere, f"asks another host: {listed(elsewhere)}"
    assert not seen.faults, listed(seen.faults)
    assert seen.facts["theme"] == seen.mode


def test_weight(seen: Visit) -> None:
    assert 0 < seen.own_bytes <= LIMIT, f"{seen.own_bytes / 1e6:.2f} MB beside the shared files"


def test_maths_is_typeset(seen: Visit) -> None:
    maths = seen.facts["maths"]
    assert not maths["raw"], f"TeX among the words: {listed(maths['raw'])}"
    assert not maths["bare"], f"not typeset: {listed(maths['bare'])}"
    assert not maths["errors"], f"MathJax says: {listed(maths['errors'])}"


def test_every_chart_is_drawn(seen: Visit) -> None:
    faults = [f"{c['id']}: {c['text']}" for c in seen.facts["charts"] if not c["drawn"]]
    assert not faults, listed(faults)
    assert set(seen.chart_ms) == {c["id"] for c in seen.facts["charts"]}
    source = (SITE / seen.page).read_text(encoding="utf-8")
    assert len(seen.facts["charts"]) == len(re.findall(r'<div id="altair-viz-', source))


# Light and dark --------------------------------------------------------------


def test_contrast_of_words(seen: Visit) -> None:
    """WCAG 2.2, 1.4.3: 4.5:1, and 3:1 for large letters; those in charts too."""
    assert seen.facts["texts"], "no visible words"
    faults = [
        f"{t['ratio']:.2f} of {t['needed']}: {t['fore']} on {t['back']}, {t['times']} times, "
        f"{t['text']!r}, {t['where']}"
        for t in seen.facts["texts"]
        if t["ratio"] < t["needed"]
    ]
    assert not faults, listed(faults)


def test_contrast_of_marks(seen: Visit) -> None:
    """WCAG 2.2, 1.4.11: 3:1. Bars and cells may fade if one of them stands out; shading may."""
    faults = [
        f"{m['least']:.2f}: {m['kind']} in {m['layer']}, {m['where']}"
        for m in seen.facts["marks"]
        if not m["shading"] and m["most" if m["kind"] == "rect" else "least"] < 3
    ]
    assert not faults, listed(faults)


# Words for those who do not see ----------------------------------------------


def test_alternative_text(seen: Visit) -> None:
    """Every figure says what it shows, in a sentence of its own."""
    faults = [
        f"{f['where']}: {f['alt']!r}" for f in seen.facts["figures"] if len(f["alt"].split()) < 8
    ]
    assert not faults, listed(faults)


def test_headings_in_order(seen: Visit) -> None:
    levels = seen.facts["headings"]
    assert [text for level, text in levels if level == 1] == [levels[0][1]], levels
    jumps = [f"{a} -> {b}" for a, b in pairwise(levels) if b[0] > a[0] + 1]
    assert not jumps, listed(jumps)
    assert all(text for _, text in levels)


# Keyboard and telephone ------------------------------------------------------


def test_keyboard(seen: Visit) -> None:
    """Tab reaches what can be used, in sight and marked; the first stop skips to the content."""
    keys = seen.facts["keyboard"]
    assert re.search("skip to", keys["first"], re.I), keys["first"]
    assert keys["skipped"], "the skip link does not lead into the content"
    assert not keys["missed"], f"not reached with Tab: {listed(keys['missed'])}"
    assert not keys["unseen"], f"has the focus out of sight: {listed(keys['unseen'])}"
    assert not keys["unmarked"], f"does not show that it has the focus: {listed(keys['unmarked'])}"


def test_sliders_move(seen: Visit) -> None:
    """An arrow key moves every slider, menu and row of buttons; the chart answers."""
    controls = seen.facts["controls"]
    assert not (faults := [c["where"] for c in controls if not c["moved"]]), listed(faults)
    assert not (faults := [c["where"] for c in controls if not c["changed"]]), (
        f"the chart stays as it was: {listed(faults)}"
    )
    assert not (faults := [c["where"] for c in controls if not c["label"]]), (
        f"without a label: {listed(faults)}"
    )


def test_narrow(seen: Visit) -> None:
    """On a telephone only boxes of their own scroll sideways; charts fit and can be read."""
    narrow = seen.facts["narrow"]
    assert narrow["window"] == visiting.NARROW
    assert narrow["page"] <= narrow["window"], narrow
    assert not narrow["out"], f"sticks out: {listed(narrow['out'])}"
    assert all(c["drawn"] for c in narrow["charts"]), narrow["charts"]
    assert not narrow["clipped"], f"wider than its column: {listed(narrow['clipped'])}"
    small = [f"{c['where']}: {c['size']:.1f} px" for c in narrow["letters"] if c["size"] < 8.5]
    assert not small, f"words wider than the chart make its letters small: {listed(small)}"


# Links and search ------------------------------------------------------------


def test_links_resolve(seen: Visit, base: str, site: Path) -> None:
    """Within the site to a page and a place in it; to the repository, to a file that is there."""
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    repository = config["repository"]["url"]
    colab = repository.replace("https://github.com", "https://colab.research.google.com/github")
    faults = []
    for link in seen.facts["links"]:
        address = link["href"]
        inside = re.match(
            rf"(?:{re.escape(repository)}|{re.escape(colab)})/"
            r"(?:blob|edit|raw|tree)/[^/]+/([^?#]+)",
            address,
        )
        if inside:
            if not (ROOT / unquote(inside[1])).exists():
                faults.append(address)
        elif address.startswith(base):
            parts = urlsplit(address)
            file = site / unquote(parts.path).lstrip("/")
            file = file / "index.html" if file.is_dir() else file
            if not file.is_file():
                faults.append(address)
            elif (
                parts.fragment
                and file.suffix == ".html"
                and not re.search(
                    rf'\b(?:id|name)="{re.escape(unquote(parts.fragment))}"',
                    file.read_text(encoding="utf-8"),
                )
            ):
                faults.append(f"{address} (no such place)")
    assert not faults, listed(faults)


def test_colab_and_download(seen: Visit, base: str) -> None:
    """A chapter with code leads to its own copy on Colab, and to its notebook and source."""
    stem = seen.page.removesuffix(".html")
    links = [link["href"] for link in seen.facts["links"]]
    colab = [a for a in links if a.startswith("https://colab.research.google.com/")]
    copies = [a.rpartition("/blob/main/")[2] for a in colab]
    assert [c for c in copies if not (ROOT / c).is_file() or not c.endswith(".ipynb")] == []
    source = ROOT / "book" / f"{stem}.md"
    if source.is_file() and "{code-cell}" in source.read_text(encoding="utf-8"):
        assert f"book/{stem}.ipynb" in copies
        assert f"{base}_sources/{stem}.ipynb" in links
        assert f"{base}_sources/{stem}.md" in links


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_search_finds(chapter: str, profile: Profile, base: str, site: Path) -> None:
    """The words of a chapter's title find it."""
    text = (site / f"{chapter}.html").read_text(encoding="utf-8")
    title = re.search(r"<title>(.*?) &#8212;", text, re.DOTALL)[1]
    words = re.sub(r"&\w+;|^\d+\. |\W", " ", title).split()
    page = profile("light").new_page()
    try:
        page.goto(f"{base}search.html?q={'+'.join(words)}")
        page.wait_for_selector("#search-results li a, #search-results .search-summary")
        page.wait_for_function(
            "document.querySelector('#search-results h2').innerText.trim() "
            "&& !document.querySelector('#search-progress')?.innerText"
            ".includes('Searching')",
            timeout=20000,
        )
        found = page.eval_on_selector_all("#search-results li a", "a => a.map((e) => e.href)")
    finally:
        page.close()
    assert any(urlsplit(a).path == f"/{chapter}.html" for a in found), (words, found)


@pytest.mark.parametrize("mode", MODES)
def test_search_by_keyboard(mode: str, profile: Profile, base: str) -> None:
    """Control and K open the field, a word and Enter find pages."""
    page = profile(mode).new_page()
    try:
        page.goto(f"{base}index.html")
        page.keyboard.press("Control+K")
        page.wait_for_function("document.activeElement.name === 'q'")
        page.keyboard.type("confounding")
        page.keyboard.press("Enter")
        page.wait_for_url("**/search.html?q=confounding")
        page.wait_for_selector("#search-results li a")
    finally:
        page.close()


def test_switching_redraws_the_charts(profile: Profile, base: str) -> None:
    """The switch between light and dark keeps the sliders and changes the chart's colours."""
    page = profile("light").new_page()
    look = (
        "() => { const e = document.querySelector('.vega-embed'); return ["
        "getComputedStyle(e.querySelector('svg.marks text')).fill,"
        " e.querySelector('input').value, document.documentElement.dataset.theme]; }"
    )
    try:
        page.goto(f"{base}index.html")
        visiting.settle(page)
        slider = page.locator(".vega-bind input[type=range]").first
        slider.focus()
        page.keyboard.press("ArrowLeft")
        before = page.evaluate(look)
        for _ in range(3):
            if page.evaluate(look)[2] == before[2]:
                page.locator(".theme-switch-button:visible").first.click()
        visiting.settle(page)
        after = page.evaluate(look)
    finally:
        page.evaluate("localStorage.clear()")
        page.close()
    assert (before[2], after[2]) == ("light", "dark")
    assert after[1] == before[1] and after[0] != before[0]


# The tests' own eyes ---------------------------------------------------------

FAULTY = """<!doctype html><html data-theme="light"><head><title>faults</title><style>
body { margin: 0; background: #ffffff; color: #000000; font-size: 16px; }
.faded { opacity: 0.5; } .dark { background: #0000ff; } .large { font-size: 24px; color: #949494; }
#unmarked:focus-visible { outline: 0; } .far { position: absolute; left: 380px; width: 99px; }
</style></head><body><div class="skip-link"><a href="#main-content">Skip to content</a></div>
<main class="bd-main bd-article" id="main-content">
<h1>One</h1><h3>Three</h3>
<p style="color: #777777">grey</p><p class="faded">faded</p><p class="large">large</p>
<p class="dark"><span style="color: rgba(255, 255, 255, 0.5)">half</span></p>
<p style="display: none; color: white">hidden</p>
<p>costs $x$, \\(y\\)</p><span class="math">z</span><code>$HOME</code>
<button id="unmarked">one</button><button>two</button>
<img src="gone.png" alt="a picture"><img src="https://elsewhere.invalid/x.png" alt="">
<svg class="marks" role="img" width="200" height="50" viewBox="0 0 200 50">
<title>Two words on two grounds, a thin line and a faint circle</title>
<g class="mark-rect role-mark one"><path d="M0,0h100v50h-100Z" fill="#000000"/></g>
<g class="mark-symbol role-mark two"><path d="M150,40h5v5h-5Z" fill="#cccccc"/></g>
<g class="mark-rect role-mark three"><path d="M180,0h9v50h-9Z" fill="#000000" opacity="0.2"/></g>
<text x="10" y="30" fill="#ffffff">light</text><text x="110" y="30" fill="#777777">grey</text></svg>
<p class="far">far</p>
<a href="index.html#nowhere">nowhere</a></main>
<script>console.error("told")</script></body></html>
"""


def test_visit_finds_known_faults(profile: Profile, tmp_path: Path) -> None:
    """Each fault put into a page is seen, with the contrast that it has by WCAG's formula."""
    (tmp_path / "index.html").write_text(FAULTY, encoding="utf-8")
    with visiting.serve(tmp_path) as base:
        found = visiting.visit(profile("light"), tmp_path, base, "index.html", "light")
    faults = " ".join(found.faults)
    assert "404" in faults and "elsewhere.invalid" in faults and "error: told" in faults
    assert [a for a in found.requests if not a.startswith(base)] == [
        "https://elsewhere.invalid/x.png"
    ]
    assert found.own_bytes == len(FAULTY.encode()) and found.shared_bytes == 0
    facts = found.facts
    by_words = {(t["text"], t["back"]): t for t in facts["texts"]}
    known = {
        ("grey", "#ffffff"): 4.478,
        ("faded", "#ffffff"): 3.98,
        ("large", "#ffffff"): 3.03,
        ("half", "#0000ff"): 2.63,
        ("light", "#000000"): 21.0,
    }
    for key, ratio in known.items():
        assert by_words[key]["ratio"] == pytest.approx(ratio, abs=0.01), key
        assert by_words[key]["needed"] == (3 if key[0] == "large" else 4.5)
    assert "hidden" not in {words for words, _ in by_words}
    marks = {m["layer"]: m for m in facts["marks"]}
    assert marks["two"]["least"] == pytest.approx(1.606, abs=0.01) and not marks["two"]["shading"]
    assert marks["one"]["most"] == pytest.approx(21) and marks["three"]["shading"]
    assert [f["alt"] for f in facts["figures"]][:2] == ["a picture", ""]
    assert facts["figures"][2]["alt"].startswith("Two words on")
    assert facts["maths"]["raw"] == ["costs $x$, \\(y\\)"] and facts["maths"]["bare"] == ["z"]
    assert facts["headings"] == [[1, "One"], [3, "Three"]]
    assert facts["keyboard"]["unmarked"] == ["button#unmarked"] and facts["keyboard"]["skipped"]
    assert facts["narrow"]["page"] == 479 and facts["narrow"]["out"] == ["p.far in #main-content"]
