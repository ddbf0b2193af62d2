"""Without torch, transformers and datasets: what works, and what says how to get them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from causalpref._extras import models_extra
from causalpref.simulation import hh_rlhf_twin

COMMAND = 'pip install "causalpref[models]"'


def run(env: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words], env=env, capture_output=True, text=True, timeout=300
    )


def test_the_audit_writes_its_page(plain_install: dict[str, str], tmp_path: Path) -> None:
    rows, page = tmp_path / "rows.csv", tmp_path / "page.html"
    hh_rlhf_twin(300).to_pandas()[["prompt", "response_a", "response_b", "label"]].to_csv(rows)
    done = run(plain_install, "-m", "causalpref.cli", "audit", str(rows), "--report", str(page))
    assert done.returncode in (0, 1), done.stderr
    assert page.read_text(encoding="utf-8").count("<svg") > 3


def test_what_needs_no_model_is_imported(plain_install: dict[str, str]) -> None:
    done = run(
        plain_install,
        "-c",
        "import causalpref.auditing, causalpref.cli, causalpref.collection, causalpref.figures\n"
        "import causalpref.studies.audits, causalpref.studies.checks\n"
        "import causalpref.studies.remedies, causalpref.studies.ultrafeedback\n"
        "from causalpref.rewards import KINDS, RewardConfig, Run\n"
        "from causalpref.simulation import hh_rlhf_twin\n"
        "from causalpref.text.embedding import hashed_ngrams\n"
        "hashed_ngrams(hh_rlhf_twin(20))\n",
    )
    assert done.returncode == 0, done.stderr


def test_help_is_quick(plain_install: dict[str, str]) -> None:
    """What is slow to import waits until there is something to audit."""
    done = run(
        plain_install,
        "-c",
        "import sys\nfrom causalpref.cli import main\n"
        "try:\n    main(['audit', '--help'])\n"
        "finally:\n"
        "    print(*sorted({'altair', 'pandas', 'scipy', 'sklearn'} & set(sys.modules)))\n",
    )
    assert "Check a preference data set" in done.stdout, done.stderr
    assert done.stdout.splitlines()[-1] == ""


@pytest.mark.parametrize(
    ("missing", "code"),
    [
        ("torch", "from causalpref.rewards import fit"),
        ("torch", "import causalpref; causalpref.fit"),
        ("torch", "from causalpref.text.embedding import encode; encode(['a'], 'model')"),
        ("datasets", "hh_rlhf_twin(20).to_dataset()"),
        ("datasets", "from causalpref.sources import load_hh_rlhf; load_hh_rlhf('hub')"),
        ("datasets", "from causalpref.cli import main; sys.exit(main(['audit', 'owner/name']))"),
    ],
)
def test_what_needs_a_model_says_what_to_install(
    plain_install: dict[str, str], missing: str, code: str
) -> None:
    done = run(
        plain_install, "-c", f"import sys\nfrom causalpref.simulation import hh_rlhf_twin\n{code}"
    )
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode and f"{missing} is not installed" in last and COMMAND in last, last


def test_another_missing_package_is_not_said_to_be_in_the_extra() -> None:
    with pytest.raises(ModuleNotFoundError) as error, models_extra():
        import no_such_package  # noqa: F401
    assert error.value.name == "no_such_package" and "models" not in str(error.value)
