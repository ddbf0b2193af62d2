"""The built site in a real browser: one visit to a page gathers all that the tests ask of it.

Used by ``tests/test_browser.py`` and ``benchmarks/pages.py``. The browser is the Chromium or
Chrome that is installed; nothing is downloaded.
"""

from __future__ import annotations

import contextlib
import functools
import http.server
import os
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

__all__ = ["NARROW", "Visit", "browser", "context", "find_browser", "pages", "serve", "visit"]

NARROW = 390  # pixels: a telephone held upright
_WAIT = 60_000  # milliseconds until something that does not come is given up
_SCRIPT = Path(__file__).with_suffix(".js").read_text(encoding="utf-8")
# No fading, so that colours are measured as they stay; all that is painted can be hit.
_STYLE = """*, *::before, *::after { transition: none !important; animation: none !important; }
svg.marks *, svg.cp-evidence * { pointer-events: auto !important; }"""
# Milliseconds until each chart is drawn, by id.
_CLOCK = """window.chartTimes = {};
new MutationObserver((changes) => {
  for (const { addedNodes } of changes) for (const node of addedNodes) {
    const inside = node.querySelector && node.querySelector("svg.marks");
    const drawing = node.nodeName === "svg" ? node : inside;
    const chart = drawing && drawing.closest("[id^=altair-viz]");
    if (chart && !(chart.id in chartTimes)) chartTimes[chart.id] = performance.now();
  }
}).observe(document, { childList: true, subtree: true });"""
_RESTING = """() => { const charts = [...document.querySelectorAll("[id^=altair-viz]")];
  return charts.every((e) => e.querySelector("svg.marks, canvas.marks")
                             && e.getAttribute("aria-busy") !== "true"); }"""
_TWO_FRAMES = "new Promise((r) => requestAnimationFrame(() => requestAnimationFrame(() => r())))"
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


@dataclass
class Visit:
    """What was seen on one page in one mode.

    Parameters
    ----------
    page, mode : str
        File name; ``light`` or ``dark``.
    requests : list of str
        Addresses asked for, in order.
    asked : int
        How many of them before anything was touched.
    faults : list of str
        Messages of the console that are warnings or errors, exceptions, failed responses.
    own_bytes, shared_bytes : int
        Size of the page with what is its own, and of what it shares with others (``_static``
        and the index for searching).
    chart_ms : dict of str to float
        Milliseconds from the start of the navigation until each chart was first drawn.
    facts : dict
        Answers of ``tests/visiting.js``, by name.
    """

    page: str
    mode: str
    requests: list[str] = field(default_factory=list)
    asked: int = 0
    faults: list[str] = field(default_factory=list)
    own_bytes: int = 0
    shared_bytes: int = 0
    chart_ms: dict[str, float] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)


def find_browser() -> str:
    """Path of the installed Chromium or Chrome; ``CAUSALPREF_CHROMIUM`` names another.

    Raises
    ------
    LookupError
        There is none; says what to do.
    """
    named = os.environ.get("CAUSALPREF_CHROMIUM")
    for name in [named] if named else _NAMES:
        if found := shutil.which(name):
            return found
    raise LookupError(
        f"CAUSALPREF_CHROMIUM={named!r} is no program"
        if named
        else "no Chromium or Chrome is installed: "
        "apt-get install chromium, or set CAUSALPREF_CHROMIUM"
    )


def pages(site: Path) -> list[str]:
    """Every page of a built site, by file name relative to it."""
    return sorted(
        p.relative_to(site).as_posix() for p in site.rglob("*.html") if "_static" not in p.parts
    )


class _Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@contextlib.contextmanager
def serve(site: Path) -> Iterator[str]:
    """Serve a folder on this machine; yields its address, with ``/`` at the end."""
    handler = functools.partial(_Handler, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()


@contextlib.contextmanager
def browser() -> Iterator[Browser]:
    """A browser without a window.

    Raises
    ------
    LookupError
        Neither Chromium nor Chrome is installed, or playwright is missing.
    """
    program = find_browser()
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise LookupError("playwright is missing: pip install playwright") from None
    with sync_playwright() as playwright:
        # no name of another host resolves: what asks for one fails, and is seen to
        started = playwright.chromium.launch(
            executable_path=program,
            args=["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"],
        )
        try:
            yield started
        finally:
            started.close()


def context(started: Browser, mode: str) -> BrowserContext:
    """A fresh profile that prefers light or dark."""
    made = started.new_context(
        color_scheme=mode, reduced_motion="reduce", viewport={"width": 1280, "height": 900}
    )
    made.set_default_timeout(_WAIT)
    return made


def settle(page: Page) -> None:
    """Wait until the charts are drawn and formulas set, or time is up: the facts will tell."""
    from playwright.sync_api import TimeoutError

    page.evaluate(_TWO_FRAMES)
    with contextlib.suppress(TimeoutError):
        page.wait_for_function(_RESTING, timeout=_WAIT)
    page.evaluate("window.MathJax && MathJax.startup && MathJax.startup.promise")
    page.evaluate(_TWO_FRAMES)


def visit(
    profile: BrowserContext, site: Path, base: str, name: str, mode: str, *, touch: bool = True
) -> Visit:
    """Open a page, look at all of it, use its keyboard and its sliders, make it narrow.

    Parameters
    ----------
    profile : BrowserContext
        Of :func:`context`, in the same mode.
    site, base : Path, str
        Folder of the site, and where it is served.
    name, mode : str
        Page, by file name; ``light`` or ``dark``.
    touch : bool
        Whether to use the keyboard and the sliders and to make the window narrow.
    """
    seen = Visit(name, mode)
    page = profile.new_page()
    page.on("request", lambda r: seen.requests.append(r.url))
    page.on("requestfailed", lambda r: seen.faults.append(f"{r.failure}: {r.url}"))
    page.on("response", lambda r: r.status >= 400 and seen.faults.append(f"{r.status}: {r.url}"))
    page.on("pageerror", lambda e: seen.faults.append(f"exception: {e}"))
    page.on(
        "console",
        lambda m: m.type in ("warning", "error") and seen.faults.append(f"{m.type}: {m.text}"),
    )
    page.add_init_script(_CLOCK)
    try:
        page.goto(base + name, wait_until="load")
        settle(page)
        seen.asked = len(seen.requests)
        seen.chart_ms = page.evaluate("chartTimes")
        page.add_style_tag(content=_STYLE)
        page.evaluate(_SCRIPT)
        seen.facts["theme"] = page.evaluate("document.documentElement.dataset.theme")
        seen.facts["charts"] = page.evaluate("visit.charts()")
        if touch:
            seen.facts["keyboard"] = _walk(page)
        page.evaluate("visit.open()")
        for fact in ("texts", "marks", "figures", "maths", "headings", "links", "words"):
            seen.facts[fact] = page.evaluate(f"visit.{fact}()")
        if touch:
            seen.facts["controls"] = [
                moved for i in range(page.evaluate("visit.controls()")) if (moved := _move(page, i))
            ]
            page.set_viewport_size({"width": NARROW, "height": 844})
            settle(page)
            seen.facts["narrow"] = {
                "charts": page.evaluate("visit.charts()"),
                "clipped": page.evaluate("visit.clipped()"),
                "letters": page.evaluate("visit.letters()"),
                **page.evaluate("visit.wide()"),
            }
    finally:
        page.close()
    for address in seen.requests[: seen.asked]:
        file = site / unquote(urlsplit(address).path).lstrip("/")
        if address.startswith(base) and file.is_file():
            # the index is fetched once, for the search field of every page
            shared = "_static" in file.relative_to(site).parts or file.name == "searchindex.js"
            seen.shared_bytes += shared * file.stat().st_size
            seen.own_bytes += (not shared) * file.stat().st_size
    return seen


def _walk(page: Page) -> dict[str, Any]:
    """Tab through the whole page; then follow the link that skips to the content."""
    page.evaluate("visit.follow()")
    for _ in range(page.evaluate("visit.tabbable()") + 3):
        page.keyboard.press("Tab")
    facts = page.evaluate("visit.followed()")
    page.evaluate("document.querySelector('.skip-link a').focus()")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    facts["skipped"] = page.evaluate("Boolean(document.activeElement.closest('#main-content'))")
    page.evaluate("document.activeElement.blur()")
    return facts


def _move(page: Page, i: int) -> dict[str, Any] | None:
    """Move the i-th slider, menu or row of buttons with the keyboard; None for a button at rest."""
    from playwright.sync_api import TimeoutError

    before = page.evaluate("(i) => visit.control(i)", i)
    if before["type"] == "radio" and not before["checked"]:
        return None
    keys = {"checkbox": ("Space",), "select-one": ("ArrowDown", "ArrowUp")}.get(
        before["type"], ("ArrowRight", "ArrowLeft")
    )
    moved = changed = False
    page.evaluate("(i) => visit.focus(i)", i)
    for key in keys:
        page.keyboard.press(key)
        with contextlib.suppress(TimeoutError):
            page.wait_for_function(
                "([i, drawing]) => visit.control(i).drawing !== drawing",
                arg=[i, before["drawing"]],
                timeout=1500,
            )
        after = page.evaluate("(i) => visit.control(i)", i)
        moved |= after["value"] != before["value"]
        changed |= after["drawing"] != before["drawing"]
        if moved and changed:
            break
    return {"where": before["where"], "label": before["label"], "moved": moved, "changed": changed}
