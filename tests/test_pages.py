"""The back matter: notation, glossary, reference of the package, related work, bibliography."""

from __future__ import annotations

import importlib
import inspect
import re
import subprocess
import sys
import textwrap
from collections import Counter
from functools import reduce
from pathlib import Path

import pytest
from pybtex.database import parse_file

import causalpref
from causalpref.graph import CausalGraph
from causalpref.rewards import RewardConfig, RewardModel
from causalpref.simulation import Simulator

ROOT = Path(__file__).resolve().parents[1]
BOOK = ROOT / "book"
sys.path.insert(0, str(BOOK / "_ext"))

import public_names  # noqa: E402
import sources  # noqa: E402

PAGES = {
    page: (BOOK / f"{page}.md").read_text(encoding="utf-8")
    for page in sources.pages(BOOK)
    if (BOOK / f"{page}.md").is_file()
}
LINKS_TO_COME: set[str] = set()  # pages still being written
CHAPTERS = [page for page, text in PAGES.items() if ":class: chapter-card" in text]
PY_ROLE = re.compile(r"\{py:\w+\}`(?:[^`<]*<)?~?([\w.]+)>?`")
TERM = re.compile(r"\{term\}`(?:[^`<]*<)?([^`<>]+)>?`")

# Works in the reference list of the paper.
PAPER = [
    "ahuja2023",
    "annervaz2018",
    "bai2022",
    "bica2020",
    "bose2025",
    "bradley1952",
    "brehmer2022",
    "butcher2024",
    "cao2022",
    "chen2024",
    "coste2024",
    "crump2006",
    "cui2024",
    "dehaan2019",
    "dekoninck2024",
    "du2021",
    "eisenstein2024",
    "fong2016",
    "fong2023",
    "ganin2016",
    "gui2023",
    "hahn1998",
    "hendrycks2016",
    "hirano2003",
    "hu2021",
    "kobalczyk2024",
    "li2024",
    "liang2024",
    "lin2024",
    "liu2024",
    "liu2025",
    "locatello2019",
    "lopez2017",
    "luce1959",
    "maddison2014",
    "makar2022",
    "melo2024",
    "muldrew2024",
    "oberst2019",
    "ouyang2022",
    "ozeryflato2020",
    "park2024",
    "pryzant2021",
    "rame2023",
    "reber2025",
    "richens2024",
    "rosenbaum1983",
    "scholkopf2021",
    "singhal2024",
    "siththaranjan2024",
    "skalse2022",
    "neyman1990",
    "tien2023",
    "vig2020",
    "vonkugelgen2023",
    "wang2023",
    "wang2024armo",
    "wu2023",
    "wu2024",
    "xia2024",
    "zhang2024",
]


def prose(text: str) -> str:
    """The page without front matter, cells, other fences, formulas and exercises."""
    text = re.sub(r"\A---\n.*?\n---\n", "", text, flags=re.DOTALL).partition("\n## Exercises")[0]
    text = re.sub(r"^(`{3,})[^`].*?^\1$", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"\$\$.*?\$\$", "", text, flags=re.DOTALL)


# The reference of the package --------------------------------------------------


def sections() -> dict[str, str]:
    """Module to the page that describes it."""
    found = [
        (module, page)
        for page, text in PAGES.items()
        for module in re.findall(r"^```\{public-names\} (\S+)$", text, re.MULTILINE)
    ]
    assert len(found) == len(dict(found)), "a module with two sections"
    return dict(found)


def test_every_module_has_a_section():
    wanted = {module for module, names in public_names.homes().items() if names}
    assert set(sections()) == wanted, "add or drop a {public-names} section in book/api*.md"


def test_every_public_name_has_one_home():
    homes = public_names.homes()
    described = Counter(
        (name, id(getattr(importlib.import_module(module), name)))
        for module, names in homes.items()
        for name in names
    )
    assert set(described.values()) == {1}
    for module in public_names.public_modules():
        for name in importlib.import_module(module).__all__:
            assert described[public_names.thing(module, name)] == 1, f"{module}.{name}"


def test_every_public_name_has_words_of_its_own():
    for module, names in public_names.homes().items():
        loaded = importlib.import_module(module)
        assert inspect.getdoc(loaded), module
        for name in names:
            thing = getattr(loaded, name)
            own = (
                inspect.getdoc(thing)
                if callable(thing)
                else public_names.constant_doc(f"{module}.{name}", thing)
            )
            assert own, f"{module}.{name} has no docstring"
            summary = " ".join(own if isinstance(own, list) else own.partition("\n\n")[0].split())
            for code in re.findall(r"``([^`]+)``", summary):
                assert ". " not in code, f"{module}.{name}: the summary would end within ``{code}``"


def test_a_name_offered_twice_is_described_where_the_module_name_is_shortest():
    homes = public_names.homes()
    assert "check_all" in homes["causalpref.assumptions"]
    assert "check_positivity" in homes["causalpref.assumptions"]
    assert homes["causalpref.assumptions.positivity"] == []
    assert "PreferenceData" in homes["causalpref.data"] and homes["causalpref"] == ["__version__"]
    # Of one name but two things: both stay.
    assert "ASPECTS" in homes["causalpref.sources.hanna"]
    assert "ASPECTS" in homes["causalpref.sources.ultrafeedback"]


@pytest.mark.parametrize(
    ("target", "home"),
    [
        ("fit", "causalpref.rewards.fit"),
        ("causalpref.rewards.training.fit", "causalpref.rewards.fit"),
        ("load_ultrafeedback", "causalpref.sources.load_ultrafeedback"),
        ("correlated_latents", "causalpref.studies.ultrafeedback.correlated_latents"),
        ("PreferenceData.save", "causalpref.data.PreferenceData.save"),
        ("causalpref.PreferenceData", "causalpref.data.PreferenceData"),
        ("causalpref.sources.hanna.ASPECTS", "causalpref.sources.hanna.ASPECTS"),
        ("ASPECTS", None),  # two of them
        ("numpy.fit", None),
    ],
)
def test_docstrings_find_names_wherever_they_are_described(target, home):
    known = {*public_names.described().values(), "causalpref.data.PreferenceData.save"}
    assert public_names.home_of(target, known) == home


def test_docstrings_and_signatures_are_tidied():
    lines = ["    X. All distinct.", "Mr. Y is a word.", "  L. 1 means the first."]
    public_names.tidy_doc(None, "class", "n", None, None, lines)
    assert lines == [r"    X\. All distinct.", "Mr. Y is a word.", r"  L\. 1 means the first."]
    signature = "(a: int, name: str = 's', _set: ~typing.Mapping[str, int] = <factory>)"
    tidy = public_names.tidy_signature(None, "class", "n", None, None, signature, "int")
    assert tidy == ("(a: int, name: str = 's')", "int")
    lines = ["str(object='') -> str"]
    public_names.describe_constants(
        None, "data", "causalpref.__version__", causalpref.__version__, None, lines
    )
    assert lines[0] == "Version of the package."


def test_pages_of_the_reference_build_without_a_warning(tmp_path):
    (tmp_path / "conf.py").write_text(
        textwrap.dedent(f"""
        import sys
        sys.path.insert(0, {str(BOOK / "_ext")!r})
        extensions = ["myst_parser", "public_names"]
        napoleon_use_param = napoleon_use_rtype = False
        nitpicky = True
        nitpick_ignore_regex = [("py:class", ".*")]
    """)
    )
    (tmp_path / "_toc.yml").write_text("root: index\n")
    (tmp_path / "index.md").write_text(
        textwrap.dedent("""\
        # Reference

        {py:func}`~causalpref.simulation.boundary.alpha_variance`,
        {py:obj}`~causalpref.text.surface.PROMPT_FEATURES`

        ```{public-names} causalpref.simulation.boundary
        ```

        ```{public-names} causalpref.text.surface
        ```
    """)
    )
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "-W",
        "-q",
        "-b",
        "html",
        str(tmp_path),
        str(tmp_path / "html"),
    ]
    run = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    page = (tmp_path / "html" / "index.html").read_text(encoding="utf-8")
    for name in public_names.homes()["causalpref.simulation.boundary"]:
        assert f'id="causalpref.simulation.boundary.{name}"' in page, name
    assert 'href="#causalpref.text.surface.PROMPT_FEATURES"' in page
    assert "Built-in immutable sequence" not in page, "words of a type in place of a constant's own"


def test_used_names_reads_cells_only():
    page = textwrap.dedent("""\
        `fit` is `causalpref.rewards.fit`.

        ```{code-cell} ipython3
        :tags: [hide-input]

        import sys
        if "google.colab" in sys.modules:
            %pip install causalpref
        from causalpref import figures
        from causalpref.estimators import amce, delta
        from causalpref.studies import recorded
        from causalpref.figures.notebook import figure
        ```

        ```{code-cell} ipython3
        ---
        tags: [remove-cell]
        ---
        figure("a", figures.causal_graph([]))
        ```

        ```python
        from causalpref.rewards import fit
        ```
        """)
    assert public_names.used_names(page) == [
        "causalpref.estimators.amce",
        "causalpref.estimators.delta",
        "causalpref.studies.recorded",
        "causalpref.figures.causal_graph",
    ]


def test_every_name_is_first_used_once():
    first = public_names.first_used(BOOK)
    names = [name for page in first.values() for name in page]
    assert len(names) == len(set(names)) > 50
    assert "causalpref.simulation.Simulator" in first["preferences"]


@pytest.mark.parametrize("page", CHAPTERS)
def test_a_chapter_links_the_names_that_it_is_the_first_to_use(page):
    linked = re.search(r"^```\{first-used\}\n```$", PAGES[page], re.MULTILINE)
    if page in LINKS_TO_COME:
        assert not linked, f"take {page} out of LINKS_TO_COME"
        pytest.xfail("links are to come")
    if public_names.first_used(BOOK)[page]:
        assert linked, f"end {page}.md with ```{{first-used}}``` on two lines"


@pytest.mark.parametrize("page", [p for p in CHAPTERS if "```{first-used}" in PAGES[p]])
def test_a_function_named_in_prose_is_linked_there(page):
    functions: dict[str, list[str]] = {}
    for module, names in public_names.homes().items():
        for name in names:
            functions.setdefault(name, []).append(f"{module}.{name}")
    linked = set(PY_ROLE.findall(PAGES[page]))
    for name in re.findall(r"(?<![}`])`(\w+)`", prose(PAGES[page])):
        if len(full := functions.get(name, [])) == 1:
            assert full[0] in linked, f"{page}: link `{name}` where it is first named"


@pytest.mark.parametrize("page", PAGES)
def test_links_into_the_reference_resolve(page):
    for name in PY_ROLE.findall(PAGES[page]):
        resolve(name)


def resolve(name: str) -> object:
    """The object of a dotted name; submodules are imported."""
    parts = name.split(".")
    for k in range(len(parts), 0, -1):
        try:
            module = importlib.import_module(".".join(parts[:k]))
        except ImportError:
            continue
        return reduce(getattr, parts[k:], module)
    raise AssertionError(name)


# Notation ------------------------------------------------------------------------


def code_names() -> list[str]:
    """Names in code of the notation page, wherever they stand in a table."""
    rows = [line for line in PAGES["notation"].split("\n") if line.startswith("|")]
    return [name for row in rows for name in re.findall(r"(?<!\})`([a-z]\w*(?:\.\w+)+)`", row)]


def test_names_of_the_notation_exist():
    owners = {
        "data": causalpref.PreferenceData,
        "simulator": Simulator,
        "graph": CausalGraph,
        "config": RewardConfig,
        "model": RewardModel,
    }
    names = code_names()
    assert len(names) > 15
    for name in names:
        owner, _, attribute = name.partition(".")
        if owner in owners:
            known = set(dir(owners[owner])) | set(
                getattr(owners[owner], "__dataclass_fields__", ())
            )
            assert attribute in known, name
        else:
            resolve(name)


def test_notation_names_every_field_and_every_check():
    text = PAGES["notation"]
    for field in causalpref.PreferenceData.__dataclass_fields__:
        if field not in ("source", "simulated", "response_prompt"):
            assert f"data.{field}" in text, field
    for name in causalpref.assumptions.__all__:
        if name.startswith("check_") and name != "check_all":
            assert f"causalpref.assumptions.{name}`" in text, name


def test_every_statement_is_in_the_table():
    kinds = "assumption|corollary|definition|lemma|proposition|theorem"
    wanted = {page: re.findall(rf"\{{prf:({kinds})\}}", text) for page, text in PAGES.items()}
    found = sources.statements(BOOK)
    for page, made in wanted.items():
        assert made == [kind for where, kind, _, _ in found if where == page], page
    assert len(found) == len({label for _, _, label, _ in found}) > 30
    assert all(title for _, _, _, title in found)


# Glossary ------------------------------------------------------------------------


def glossary() -> dict[str, str]:
    """Term to definition."""
    body = re.search(
        r"```\{glossary\}\n(?::\w+:\n)*(.*?)^```", PAGES["glossary"], re.MULTILINE | re.DOTALL
    )
    entries = re.findall(r"^(\S[^\n]*)\n((?:    [^\n]*\n)+)", body[1] + "\n", re.MULTILINE)
    assert len(entries) == len({term.lower() for term, _ in entries}), "a term defined twice"
    return {term: " ".join(text.split()) for term, text in entries}


def test_glossary_has_the_terms_and_says_where_they_are_explained():
    terms = glossary()
    assert len(terms) >= 50
    for term, text in terms.items():
        pages = re.findall(r"\{doc\}`(\w+)`", text)
        assert pages, f"{term} links no chapter"
        assert len(text) < 420, f"{term}: one or two sentences"
        word = re.sub(r"\W+", " ", term).lower().split()[0][:5]
        assert any(word in PAGES[page].lower() for page in pages), f"{term} is not in {pages}"


@pytest.mark.parametrize("page", PAGES)
def test_terms_are_linked_once_a_page_and_in_prose_only(page):
    text = PAGES[page]
    used = [" ".join(term.split()).lower() for term in TERM.findall(text)]
    known = {term.lower() for term in glossary()}
    assert set(used) <= known, set(used) - known
    twice = [term for term, n in Counter(used).items() if n > 1]
    assert not twice, f"linked twice: {twice}"
    outside = len(TERM.findall(prose(text)))
    assert outside == len(used), "a {term} in code, a caption or an exercise"
    card = re.search(r"^:{3,}\{admonition\} This chapter\n.*?^:{3,}$", text, re.M | re.S)
    assert not card or not TERM.search(card[0]), "a {term} in the card"
    assert not [line for line in text.split("\n") if line.startswith("#") and TERM.search(line)]


@pytest.mark.parametrize("page", [p for p in CHAPTERS if "```{first-used}" in PAGES[p]])
def test_chapters_link_terms(page):
    assert len(TERM.findall(PAGES[page])) >= 4


# Bibliography and related work ---------------------------------------------------

BIB = parse_file(str(BOOK / "references.bib")).entries  # a repeated key is an error
CITED = Counter(
    key.strip()
    for text in PAGES.values()
    for keys in re.findall(r"\{cite(?::\w+)?\}`([^`]*)`", text)
    for key in keys.split(",")
)


def test_every_work_is_cited_and_every_citation_has_its_work():
    assert set(CITED) == set(BIB), set(CITED) ^ set(BIB)


@pytest.mark.parametrize("key", BIB)
def test_entries_are_complete(key):
    entry = BIB[key]
    fields = {name.lower(): value for name, value in entry.fields.items()}
    assert entry.persons.get("author"), "author"
    assert re.fullmatch(r"1[89]\d\d|20[0-2]\d", fields.get("year", "")), "year"
    assert len(fields.get("title", "")) > 5, "title"
    venue = {
        "article": "journal",
        "inproceedings": "booktitle",
        "book": "publisher",
        "techreport": "institution",
        "phdthesis": "school",
        "misc": "url",
    }[entry.type]
    assert fields.get(venue), venue
    if entry.type == "article":
        assert fields.get("volume"), "volume"
    if "doi" in fields:
        assert re.fullmatch(r"10\.\d{4,}/\S+", fields["doi"]), "doi: the bare identifier"
    if "url" in fields:
        assert re.fullmatch(r"https://\S+", fields["url"]), "url"
    if entry.type not in ("book",):
        assert "doi" in fields or "url" in fields or "pages" in fields, "no way to find it"
    if "pages" in fields:
        assert re.fullmatch(r"\d+(--\d+)?", fields["pages"]), "pages"
        ends = [int(page) for page in fields["pages"].split("--")]
        assert ends == sorted(ends)


def test_no_work_stands_twice():
    def plain(text: str) -> str:
        return re.sub(r"[^a-z]", "", text.lower())

    titles = Counter(plain(entry.fields["title"]) for entry in BIB.values())
    assert max(titles.values()) == 1, titles.most_common(2)
    dois = Counter(e.fields["doi"].lower() for e in BIB.values() if "doi" in e.fields)
    assert max(dois.values()) == 1, dois.most_common(2)


def test_the_papers_reference_list_is_in_the_bibliography():
    assert len(PAPER) == len(set(PAPER)) == 61
    assert set(PAPER) <= set(BIB), set(PAPER) - set(BIB)


def test_names_that_the_paper_misspells():
    assert str(BIB["kobalczyk2024"].persons["author"][0]) == "Kobalczyk, Katarzyna"
    assert str(BIB["neyman1990"].persons["author"][0].rich_last_names[0]) == "Spława-Neyman"
    assert len(BIB["neyman1990"].persons["author"]) == 1, "translators are no authors"
    assert "doi" not in BIB["dehaan2019"].fields, "that of Hahn (1998)"


def test_related_work_is_a_chapter_to_work_from():
    text = PAGES["related_work"]
    path = re.findall(r"^\| \d+ \| \{cite:t\}`(\w+)` \| \S", text, re.MULTILINE)
    assert len(path) == len(set(path)) == 10
    questions = re.split(r"^## ", text, flags=re.MULTILINE)
    questions = [
        part for part in questions if re.match(r"[^\n]*\?\n", part) and "**Known.**" in part
    ]
    assert len(questions) == 8
    for part in questions:
        assert "**Open.**" in part and re.search(r"\*\*Against ", part), part[:40]
        assert len(re.findall(r"\{cite:", part)) >= 4
    labels = re.findall(r"^:::\{exercise\}[^\n]*\n:label: (\S+)", text, re.MULTILINE)
    solved = re.findall(r"^:{3,4}\{solution(?:-start)?\} (\S+)", text, re.MULTILINE)
    assert len(labels) >= 5 and labels == solved
