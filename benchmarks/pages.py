"""Every page of the built site, measured in a browser: weight, requests, charts, contrast.

    python benchmarks/pages.py [--site _build/html] [--out book/results/pages]

Needs a built site (``make book``) and an installed Chromium or Chrome. Each page is opened three
times with an empty cache, light, dark and light; times are medians of the three. The seconds
that a page's code takes come from the execution cache beside the site. One table, ``pages.csv``:

page                                  name without ending
html_kb, page_kb, shared_kb           1000 bytes, uncompressed: the HTML file; with images of its
                                      own; what it shares with other pages (styles, scripts,
                                      fonts, the index for searching)
requests                              all of them, the page's own included
charts, first_chart_ms, last_chart_ms from the start of loading until a chart is drawn
execution_s                           of the page's cells, where it has any
words                                 of the article, captions and shown code included
contrast_min_light, contrast_min_dark the least contrast of any words with what is behind them
figures, figures_with_alt             drawings and images, and those described in eight words
                                      or more
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import statistics
import sys
from pathlib import Path

import pandas as pd

from causalpref.studies import record

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

import visiting  # noqa: E402

MODES = ("light", "dark", "light")


def executions(build: Path) -> dict[str, float]:
    """Seconds that the cells of each page took, from the latest use of the execution cache."""
    found: dict[str, tuple[str, float]] = {}
    query = (
        "SELECT uri, max(created, accessed), json_extract(data, '$.execution_seconds') FROM nbcache"
    )
    for database in (build / ".jupyter_cache").glob("*/global.db"):
        with sqlite3.connect(database) as connection:
            for uri, when, seconds in connection.execute(query):
                page = Path(uri).stem
                if seconds is not None and when > found.get(page, ("", 0.0))[0]:
                    found[page] = when, float(seconds)
    return {page: seconds for page, (_, seconds) in found.items()}


def measure(site: Path) -> tuple[pd.DataFrame, str]:
    """The table of pages, and the browser's version."""
    seconds = executions(site.parent)
    rows = []
    with visiting.browser() as browser, visiting.serve(site) as base:
        for name in visiting.pages(site):
            visits = []
            for mode in MODES:
                profile = visiting.context(browser, mode)
                visits.append(visiting.visit(profile, site, base, name, mode, touch=False))
                profile.close()
            light, dark, _ = visits
            drawn = [list(v.chart_ms.values()) for v in visits if v.chart_ms]
            contrast = {v.mode: min(t["ratio"] for t in v.facts["texts"]) for v in (light, dark)}
            alt = [len(f["alt"].split()) >= 8 for f in light.facts["figures"]]
            page = name.removesuffix(".html")
            rows.append(
                {
                    "page": page,
                    "html_kb": round((site / name).stat().st_size / 1e3, 1),
                    "page_kb": round(light.own_bytes / 1e3, 1),
                    "shared_kb": round(light.shared_bytes / 1e3, 1),
                    "requests": light.asked,
                    "charts": len(light.facts["charts"]),
                    "first_chart_ms": round(statistics.median(map(min, drawn))) if drawn else None,
                    "last_chart_ms": round(statistics.median(map(max, drawn))) if drawn else None,
                    "execution_s": round(seconds[page], 1) if page in seconds else None,
                    "words": light.facts["words"],
                    "contrast_min_light": round(contrast["light"], 2),
                    "contrast_min_dark": round(contrast["dark"], 2),
                    "figures": len(alt),
                    "figures_with_alt": sum(alt),
                }
            )
            print(*rows[-1].values(), sep="\t", flush=True)
        version = browser.version
    table = pd.DataFrame(rows)
    whole = ["first_chart_ms", "last_chart_ms"]
    return table.astype(dict.fromkeys(whole, "Int64")), version


def main() -> None:
    """Measure and record."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--site", type=Path, default=ROOT / "_build" / "html")
    parser.add_argument("--out", type=Path, default=ROOT / "book" / "results" / "pages")
    args = parser.parse_args()
    if not visiting.pages(args.site):
        sys.exit(f"there is no built site in {args.site}: make book")
    table, version = measure(args.site)
    record(
        {"pages": table},
        args.out,
        command="make book && python benchmarks/pages.py",
        source="this book",
        simulated=False,
        machine=f"{os.cpu_count()} CPU cores",
        browser=f"Chromium {version}, without a window, on the same machine as the site",
    )


if __name__ == "__main__":
    main()
