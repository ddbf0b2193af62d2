"""How often the checks raise an alarm: a small version of ``causalpref run checks``.

Bands are those of a binomial at 99.9 %. The full table has 500 data sets a number.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from causalpref.assumptions import (
    check_additivity,
    check_consistency,
    check_latent_positivity,
    check_positivity,
    check_sufficiency,
    check_unconfoundedness,
)
from causalpref.simulation import Embedding, Latent, Simulator, linear_reward
from causalpref.studies.checks import SCENARIOS, power_curve, size_and_power

N = 80


def highest(n: int = N, p: float = 0.05) -> float:
    return float(stats.binom.ppf(0.999, n, p) / n)


def lowest(n: int = N, p: float = 0.8) -> float:
    return float(stats.binom.ppf(0.001, n, p) / n)


@pytest.mark.parametrize("name", SCENARIOS)
def test_size_and_power_at_the_stated_strength(name):
    curve = power_curve(name, (0.0, SCENARIOS[name].stated), n_datasets=N, seed=11)
    null, broken = curve.itertuples()
    assert null.untestable == broken.untestable == 0
    assert null.alarms <= highest()
    assert broken.alarms >= lowest()


@pytest.mark.parametrize(
    "name,strengths",
    [
        ("place", (0.0, 0.2, 0.3, 0.6)),  # at 0.1 the margin of 2 points is not reached
        ("interaction", (0.0, 0.1, 0.25, 0.6)),
        ("told", (0.0, 0.04, 0.1, 0.3)),
    ],
)
def test_power_rises_with_the_violation(name, strengths):
    alarms = power_curve(name, strengths, n_datasets=40, seed=3).alarms.to_numpy()
    assert (np.diff(alarms) >= -0.1).all() and alarms[-1] == 1
    more = power_curve(
        name, strengths[1:2], n_datasets=40, n_prompts=4 * SCENARIOS[name].n_prompts, seed=3
    ).alarms.item()
    assert more > alarms[1], "and with the number of prompts"


def test_the_table_and_its_refusal():
    table = size_and_power(n_datasets=2, seed=0)
    assert table.scenario.tolist() == list(SCENARIOS) and set(table.datasets) == {2}
    assert table.equals(size_and_power(n_datasets=2, seed=0))
    assert set(table.source) == {"simulated"}
    with pytest.raises(ValueError, match="scenario 'nothing' is not known"):
        power_curve("nothing", [0.0])


# -- other worlds in which nothing is wrong ---------------------------------


REWARDS = [[1.0, 0.2], [-0.3, 1.0], [0.5, 0.5]]
GAUSSIAN = (Latent("a"), Latent("b"))
DISCRETE = (Latent("a", "binary", 0.3), Latent("b", "ordinal"))


def world(contexts=(0.5, 0.5), latents=GAUSSIAN, rewards=REWARDS) -> Simulator:
    """Prompts are dealt at random (figure 2b); the objective changes the reward."""
    return Simulator(
        linear_reward(rewards[: len(contexts)]),
        latents,
        (Latent("x"),),
        contexts=contexts,
        self_written=False,
        embedding=Embedding(d=24),
    )


def grouped(rng, *, dealt: bool, n=400, size=5):
    """Prompts in groups that share most of Z^X and of the embedding, and C too if ``dealt``."""
    sim = world()
    data = sim.sample(n, seed=rng)
    member = np.arange(n) // size
    n_groups = member.max() + 1
    z_x = (
        np.sqrt(0.8) * rng.standard_normal(n_groups)[member]
        + np.sqrt(0.2) * data.prompt_latents[:, 0]
    )
    of_group = rng.standard_normal((n_groups, data.embeddings.shape[1]))[member]
    data = data.replace(
        prompt_latents=z_x[:, None],
        embeddings=data.embeddings + of_group[data.response_prompt],
        objective=rng.integers(0, 2, n_groups)[member] if dealt else rng.integers(0, 2, n),
    )
    label = rng.random(len(data)) < sim.outcomes(data)
    return data.replace(label=label.astype(int), prompt_group=member)


def some_under_both(rng, share, n=100):
    """Six pairs a prompt; one judge for most prompts, any judge for each pair of the others."""
    sim = world()
    data = sim.sample(n, seed=rng, responses=4)
    shared = (rng.random(n) < share)[data.pair_prompt]
    c = np.where(shared, rng.integers(0, 2, len(data)), rng.integers(0, 2, n)[data.pair_prompt])
    data = data.replace(objective=c)
    return data.replace(label=(rng.random(len(data)) < sim.outcomes(data)).astype(int))


WORLDS = {
    "plain": lambda rng: world().sample(400, seed=rng),
    "small": lambda rng: world().sample(100, seed=rng),
    "six pairs a prompt": lambda rng: world().sample(100, seed=rng, responses=4),
    "three contexts": lambda rng: world((0.5, 0.3, 0.2)).sample(400, seed=rng),
    "discrete latents": lambda rng: world(
        latents=(Latent("a", "binary", 0.3), Latent("b", "ordinal"))
    ).sample(400, seed=rng),
    "unequal shares": lambda rng: world((0.1, 0.9)).sample(400, seed=rng),
    "strong rewards": lambda rng: world(rewards=[[4.0, 2.0], [-3.0, 4.0]]).sample(400, seed=rng),
    "some prompts under both": lambda rng: some_under_both(rng, 0.2),
    "all prompts under both": lambda rng: some_under_both(rng, 1.0),
    "groups": lambda rng: grouped(rng, dealt=False),
    "groups with one context each": lambda rng: grouped(rng, dealt=True),
}


def without_embeddings(data):
    return data.replace(embeddings=None)


# With 19 permutations the smallest p-value is 1/20: the test has its level exactly, and is quick.
CHECKS = {
    "consistency": check_consistency,
    "unconfoundedness, embeddings": lambda d: check_unconfoundedness(d, permutations=19),
    "unconfoundedness, latents": lambda d: check_unconfoundedness(
        without_embeddings(d), permutations=19
    ),
    "positivity": check_positivity,
    "sufficiency": lambda d: check_sufficiency(d, permutations=19),
    "latent positivity": check_latent_positivity,
    "additivity": check_additivity,
}
# too few informative pairs for so many terms: there it is right not to test
TOO_LITTLE = {("sufficiency", "small"), ("sufficiency", "strong rewards"), ("additivity", "small")}


def cases():
    out = []
    for check in CHECKS:
        for name in WORLDS:
            out.append(pytest.param(check, name, id=f"{check}-{name}"))
    return out


@pytest.mark.parametrize("check,name", cases())
def test_no_more_false_alarms_than_promised(check, name):
    verdicts = [
        CHECKS[check](WORLDS[name](np.random.default_rng([5, seed]))).verdict for seed in range(N)
    ]
    assert np.mean([v.alarm for v in verdicts]) <= highest()
    if (check, name) not in TOO_LITTLE:
        assert all(v != "cannot be tested" for v in verdicts)


@pytest.mark.parametrize("contexts,d", [((0.5, 0.3, 0.2), 32), ((0.5, 0.5), 128)])
def test_sufficiency_keeps_its_level(contexts, d):
    """Many terms or a wide embedding for 400 prompts; a narrower band than above."""
    sim, runs = world(contexts).replace(embedding=Embedding(d=d)), 200
    alarms = np.mean(
        [
            check_sufficiency(sim.sample(400, seed=[21, seed]), permutations=59).verdict.alarm
            for seed in range(runs)
        ]
    )
    assert alarms <= highest(runs)
