"""An audit as one HTML page; the template beside this file has its words."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import pandas as pd

from causalpref.assumptions import Verdict
from causalpref.assumptions.evidence import dots
from causalpref.assumptions.report import STYLE, html_table
from causalpref.auditing._summary import about, lost, shares, taken

if TYPE_CHECKING:
    from causalpref.auditing._result import Audit

__all__ = ["fragment", "page"]

_SECTIONS = (
    ("findings", "Findings"),
    ("data", "What was read"),
    ("contents", "Texts and labels"),
    ("baselines", "Content-blind baselines"),
    ("checks", "The checks"),
    ("next", "What to collect next"),
    ("how", "How this was computed"),
)
_SHOWN_BAD = 100
_WORST = {
    Verdict.VIOLATED: "Something is violated.",
    Verdict.STRAINED: "Something is strained.",
    Verdict.NOT_FOUND: "No violation was found, which does not mean that there is none.",
    Verdict.UNTESTABLE: "Nothing could be tested.",
}


def page(audit: Audit) -> str:
    """The whole page. It fetches nothing, runs nothing, and escapes every text from the data."""
    import jinja2
    from markupsafe import Markup

    from causalpref.assumptions.drawing import draw

    loader = jinja2.PackageLoader("causalpref.auditing", ".")
    environment = jinja2.Environment(
        loader=loader, autoescape=True, keep_trailing_newline=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["table"] = lambda frame: Markup(html_table(frame))
    picture = dots(audit.baselines.to_dict("records"), "accuracy", about=", accuracies", digits=3)
    assert picture is not None  # the longer one wins has an interval, whatever the data
    bad = _bad(audit)
    return environment.get_template("_page.html").render(
        audit=audit,
        style=STYLE,
        about=about(audit)[0],
        sections=_SECTIONS,
        worst=_WORST[audit.verdict],
        data=_data(audit),
        lost=lost(audit),
        taken=taken(audit.reading),
        bad=bad[:_SHOWN_BAD],
        more_bad=_n_bad(audit) - len(bad[:_SHOWN_BAD]),
        baselines=_shown(audit.baselines),
        baselines_svg=draw(picture, title="Baselines").svg,
        urgent=[r for r in audit.by_urgency if r.verdict is not Verdict.NOT_FOUND],
        how=_how(audit),
    )


def _bad(audit: Audit) -> list[str]:
    both = audit.reading, audit.reading.get("against", {})
    return [line for read in both for line in read.get("bad", ())]


def _n_bad(audit: Audit) -> int:
    both = audit.reading, audit.reading.get("against", {})
    return sum(read.get("bad_rows", 0) for read in both)


def fragment(audit: Audit) -> str:
    """The findings and the baselines, for a notebook."""
    overview = pd.DataFrame(
        [
            {
                "assumption": r.name,
                "verdict": f"{r.verdict.mark} {r.verdict}",
                "finding": r.sentence,
            }
            for r in audit.reports
        ]
    )
    said = [
        *(text.rstrip(".") for text, _ in lost(audit)),
        *(text[0].upper() + text[1:] for text in taken(audit.reading)),
        "",
    ]
    items = "".join(f"<li>{escape(f.sentence)}</li>" for f in audit.findings)
    items = f"<ul>{items}</ul>" if items else ""
    return (
        f'<style>{STYLE}</style><section class="cp-report {audit.verdict.css}">'
        f"<h3>Audit of {escape(audit.source)}</h3>"
        f"<p>{escape(about(audit)[0])}. {escape('. '.join(said))}</p>"
        f"<p>{escape(audit.latents)}</p>"
        f"{items}{html_table(overview)}{html_table(_shown(audit.baselines))}"
        "<p>The whole report: <code>to_html()</code>.</p></section>"
    )


def _shown(baselines: pd.DataFrame) -> pd.DataFrame:
    return baselines.rename(columns={"what": "rule", "value": "accuracy"})


def _data(audit: Audit) -> pd.DataFrame:
    """What the data are."""
    n, read = audit.counts, audit.reading
    per, types = n["pairs_per_prompt"], n["prompt_types"]
    rows = {
        "pairs": f"{n['pairs']:,}",
        "prompts": f"{n['prompts']:,}",
        "responses": f"{n['responses']:,}",
        "pairs a prompt": f"{per['mean']:.2f} on average, {per['most']:,} at most",
        "objectives": shares(n["objectives"], 12) if n["objectives"] else "not recorded",
        "types of prompts": f"{shares(types, 12)} (pairs)" if types else "not recorded",
        "annotators": f"{n['annotators']:,}" if n["annotators"] else "not recorded",
        "pairs that repeat an earlier one": f"{n['repeated_pairs']:,}",
        "pairs of a response with itself": f"{n['same_text_pairs']:,}",
        "order shown": "as in the file"
        if read["order_known"]
        else "not recorded; the order in the data is random, so position means nothing",
    }
    if "rows" in read:
        rows |= {
            "rows read": f"{read['rows']:,}",
            "rows lost": f"{read['lost']:,} ({read['lost_share']:.1%})",
            "layout": read["layout"],
            "meaning of the label": read["meaning"] or "that of the layout",
            "columns of the layout": ", ".join(read["columns"]) or "its own",
            "columns not read": ", ".join(read["unread"]) or "none",
            "ties, left out": f"{read['ties']:,}",
            "bad rows or parts of rows, left out": f"{read['bad_rows']:,}",
        }
    if other := read.get("against"):
        rows["compared with"] = f"{other['source']}: {other['shared_prompts']:,} shared prompts"
    return pd.DataFrame(rows.items(), columns=["what", "how many"])


def _how(audit: Audit) -> pd.DataFrame:
    """How the numbers were computed."""
    s, n = audit.settings, audit.counts["pairs"]
    used = s["pairs_of_texts"]
    rows = {
        "seed": str(s["seed"]),
        "texts": s["features"],
        "checks of texts rest on": f"all {n:,} pairs"
        if used == n
        else f"{used:,} of the {n:,} pairs, whole groups of prompts drawn at random",
        "other checks and baselines rest on": f"all {n:,} pairs",
        "prompts kept together": s["groups"],
        "versions": ", ".join(f"{k} {v}" for k, v in s["versions"].items()),
    }
    return pd.DataFrame(rows.items(), columns=["what", "how"])
