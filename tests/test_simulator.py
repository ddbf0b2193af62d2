"""Laws of the structural causal model, each against a closed form or a large draw."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

from causalpref.simulation import (
    EXAMPLES,
    Embedding,
    Latent,
    Simulator,
    linear_reward,
    quadratic_reward,
)

LINEAR = linear_reward([0.25, 0.75])


def deltas(data):
    z = data.response_latents
    return z[data.pairs[:, 0]] - z[data.pairs[:, 1]]


# -- level 1: marginals, correlations and rho hit their dials ---------------


@pytest.mark.parametrize(
    "kinds",
    [
        ("gaussian", "gaussian"),
        ("binary", "binary"),
        ("ordinal", "ordinal"),
        ("gaussian", "ordinal"),
        ("ordinal", "binary"),
    ],
)
@pytest.mark.parametrize("rho", [-0.4, 0.0, 0.6])
def test_marginals_and_correlation_of_delta(kinds, rho):
    shares = {"gaussian": None, "binary": 0.3, "ordinal": (0.05, 0.1, 0.2, 0.4, 0.25)}
    latents = tuple(Latent(f"z{i}", k, shares[k]) for i, k in enumerate(kinds))
    data = Simulator(LINEAR, latents, correlation=rho).sample(60_000, seed=3)
    z = data.response_latents
    for j, kind in enumerate(kinds):
        if kind == "gaussian":
            assert abs(z[:, j].mean()) < 0.015 and abs(z[:, j].std() - 1) < 0.015
        else:
            got = np.bincount(z[:, j].astype(int) - (kind == "ordinal")) / len(z)
            np.testing.assert_allclose(got, latents[j].shares, atol=0.008)
    for sample in (z, deltas(data)):
        assert abs(np.corrcoef(sample.T)[0, 1] - rho) < 0.015


def test_quadrants_of_equation_7():
    """The share of pairs on which the two latents disagree is 1/2 - arcsin(rho) / pi."""
    for rho in (0.0, 0.5, 0.9):
        d = deltas(Simulator(LINEAR, correlation=rho).sample(100_000, seed=0))
        share = (d[:, 0] * d[:, 1] < 0).mean()
        assert share == pytest.approx(0.5 - np.arcsin(rho) / np.pi, abs=0.006)


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.8, 1.0])
def test_rho_and_context_shares(rho):
    data = Simulator(LINEAR, contexts=(0.7, 0.3), rho=rho).sample(40_000, seed=1)
    assert abs(data.consistent.mean() - rho) < 0.012
    assert abs((data.objective == 0).mean() - 0.7) < 0.012


def test_randomised_prompts_know_nothing_of_the_context():
    data = Simulator(LINEAR, contexts=(0.5, 0.5), self_written=False).sample(40_000, seed=1)
    kind = data.prompt_type[data.pair_prompt]
    assert abs(np.corrcoef(kind, data.objective)[0, 1]) < 0.02


def test_prompt_effect_leaves_the_marginals_and_links_the_responses():
    sim = Simulator(
        LINEAR,
        prompt_latents=(Latent("x"),),
        correlation=0.4,
        prompt_effect=np.array([[0.8], [0.0]]),
    )
    data = sim.sample(60_000, seed=0)
    z, x = data.response_latents, data.prompt_latents[data.response_prompt]
    assert abs(z[:, 0].std() - 1) < 0.015
    assert abs(np.corrcoef(z[:, 0], x[:, 0])[0, 1] - 0.8) < 0.01
    first, second = z[data.pairs[:, 0], 0], z[data.pairs[:, 1], 0]
    assert abs(np.corrcoef(first, second)[0, 1] - 0.64) < 0.012
    assert abs(np.corrcoef(deltas(data).T)[0, 1] - 0.4) < 0.015


def test_labels_follow_bradley_terry():
    sim = Simulator(LINEAR, noise=0.5)
    data = sim.sample(80_000, seed=0)
    gap = deltas(data) @ [0.25, 0.75]
    p = special.expit(gap / 0.5)
    np.testing.assert_allclose(sim.outcomes(data), p, rtol=1e-12)
    for low, high in ((-9, -1), (-1, 0), (0, 1), (1, 9)):
        cell = (gap >= low) & (gap < high)
        se = np.sqrt((p[cell] * (1 - p[cell])).mean() / cell.sum())
        assert abs(data.label[cell].mean() - p[cell].mean()) < 4 * se


def test_without_noise_the_better_wins_and_ties_are_coins():
    latents = (Latent("a", "binary"), Latent("b", "binary"))
    sim = Simulator(LINEAR, latents, noise=None)
    data = sim.sample(20_000, seed=0)
    gap = deltas(data) @ [0.25, 0.75]
    np.testing.assert_array_equal(data.label[gap != 0], (gap > 0)[gap != 0])
    assert abs(data.label[gap == 0].mean() - 0.5) < 0.03
    assert set(sim.outcomes(data)) == {0.0, 0.5, 1.0}


def test_position_bias_is_the_footnotes_r_and_r_prime():
    sim = Simulator(LINEAR, position_bias=0.8)
    z = np.zeros((1, 2))
    assert sim.potential_outcome(None, z, z)[0] == pytest.approx(special.expit(0.8))
    assert sim.sample(20_000, seed=0).label.mean() > 0.6


def test_hole_is_never_seen_in_either_order():
    hole = lambda z_x, z, z2: (z[:, 0] > 0) & (z2[:, 0] < 0)
    data = Simulator(LINEAR, hole=hole).sample(2000, seed=0, responses=3)
    signs = np.sign(data.response_latents[:, 0]).reshape(-1, 3)
    assert len(data) == 6000 and (np.abs(signs.sum(1)) == 3).all()
    with pytest.raises(ValueError, match="the hole swallows"):
        Simulator(LINEAR, hole=lambda *z: np.ones(len(z[1]), bool)).sample(10, seed=0)


def test_three_responses_give_three_pairs_in_fair_order():
    data = Simulator(LINEAR).sample(5000, seed=0, responses=3)
    assert len(data) == 15_000 and not data.duplicated().any()
    assert abs((data.pairs[:, 0] < data.pairs[:, 1]).mean() - 0.5) < 0.02


def test_same_seed_same_bytes_and_no_shared_state():
    a, b = Simulator(LINEAR, correlation=0.3), Simulator(LINEAR, correlation=0.3)
    first = a.sample(200, seed=5)
    b.sample(300, seed=9)
    assert first == a.sample(200, seed=5) == b.sample(200, seed=5) != a.sample(200, seed=6)
    state = np.random.get_state()[1].copy()
    a.sample(10, seed=0)
    np.testing.assert_array_equal(state, np.random.get_state()[1])


# -- level 2: interventions -------------------------------------------------


def test_do_sets_what_it_names_and_leaves_what_is_upstream():
    sim = EXAMPLES["4"].simulator
    plain, cut = sim.sample(20_000, seed=0), sim.do(prompt_type=1).sample(20_000, seed=0)
    assert (cut.prompt_type == 1).all()
    np.testing.assert_array_equal(plain.objective, cut.objective)
    asked = sim.do(context=1).sample(20_000, seed=0)
    assert (asked.objective == 1).all()
    assert abs(asked.consistent.mean() - 0.95) < 0.01, "the type still follows C"
    shown = sim.do(first={0: 2.0}, second={0: -2.0}).sample(500, seed=0)
    z = shown.response_latents
    assert (z[shown.pairs[:, 0], 0] == 2).all() and (z[shown.pairs[:, 1], 0] == -2).all()
    both = sim.do(response={1: 0.5}, prompt={0: 1.0}).sample(50, seed=0)
    assert (both.response_latents[:, 1] == 0.5).all() and (both.prompt_latents == 1).all()


def test_seeing_is_not_doing_when_the_user_writes_the_prompt():
    """Example 1: conditioning on a niche topic finds experts, setting it does not."""
    sim = EXAMPLES["1"].simulator.replace(rho=1.0)
    seen = sim.sample(40_000, seed=0)
    given_type = (seen.objective == 1)[seen.prompt_type[seen.pair_prompt] == 1].mean()
    done = (sim.do(prompt_type=1).sample(40_000, seed=0).objective == 1).mean()
    assert given_type == 1.0 and abs(done - 0.3) < 0.01


@pytest.mark.parametrize(
    ("what", "says"),
    [
        (dict(context=2), "context is 2, expected 0 to 1"),
        (dict(prompt_type=-1), "prompt_type is -1"),
        (dict(response={5: 0.0}), "no latent 5"),
    ],
)
def test_do_refuses(what, says):
    with pytest.raises(ValueError, match=says):
        EXAMPLES["4"].simulator.do(**what)


def test_outcomes_of_another_context_by_code_or_by_the_name_in_the_data():
    sim = EXAMPLES["4"].simulator
    data = sim.sample(200, seed=0).replace(names={"objective": ["helpful", "harmless"]})
    np.testing.assert_array_equal(
        sim.outcomes(data, context="harmless"),
        sim.outcomes(data.replace(objective=np.ones(len(data), dtype=int))),
    )
    assert (sim.outcomes(data, context="helpful") == sim.outcomes(data, context=0)).all()
    for context, says in (("kind", "no objective 'kind'"), (2, "context is 2"), (-1, "is -1")):
        with pytest.raises(ValueError, match=says):
            sim.outcomes(data, context=context)


def test_pair_shown_needs_one_pair_a_prompt():
    with pytest.raises(ValueError, match="two responses a prompt"):
        Simulator(LINEAR).do(first={0: 1.0}).sample(5, seed=0, responses=3)


# -- level 3: counterfactuals -----------------------------------------------

changes = st.fixed_dictionaries(
    {},
    optional={
        "context": st.integers(0, 1),
        "prompt": st.fixed_dictionaries({0: st.floats(-3, 3)}),
        "response": st.fixed_dictionaries({0: st.floats(-3, 3)}),
        "first": st.fixed_dictionaries({1: st.floats(-30, 30)}),
        "second": st.fixed_dictionaries({0: st.floats(-30, 30)}),
    },
)
models = st.builds(
    lambda rho, noise, bias: EXAMPLES["4"].simulator.replace(
        rho=rho, noise=noise, position_bias=bias
    ),
    st.floats(0, 1),
    st.sampled_from([None, 0.01, 0.3, 1.0, 10.0]),
    st.floats(-1, 1),
)


@settings(deadline=None, max_examples=60)
@given(models, st.integers(0, 10**6))
def test_the_factual_world_reproduces_every_label(sim, seed):
    data = sim.sample(60, seed=seed)
    np.testing.assert_array_equal(sim.counterfactual(data), data.label)


@settings(deadline=None, max_examples=60)
@given(models, changes, st.integers(0, 10**6))
def test_counterfactuals_are_probabilities_that_average_to_the_intervention(sim, change, seed):
    """Sum over labels of P(label) x counterfactual = P(L = 1) after the change, pair by pair."""
    data = sim.sample(60, seed=seed)
    p = sim.outcomes(data)
    said = [sim.counterfactual(data.replace(label=np.full(len(data), v)), **change) for v in (0, 1)]
    assert np.all((said[0] >= 0) & (said[0] <= 1) & (said[1] >= 0) & (said[1] <= 1))
    z_x, z, z_prime, c = (v.copy() for v in sim._of_pairs(data))
    for target, name in (
        (z_x, "prompt"),
        (z, "response"),
        (z_prime, "response"),
        (z, "first"),
        (z_prime, "second"),
    ):
        for j, v in change.get(name, {}).items():
            target[:, j] = v
    after = sim.potential_outcome(z_x, z, z_prime, change.get("context", c))
    np.testing.assert_allclose((1 - p) * said[0] + p * said[1], after, atol=1e-9)


@settings(deadline=None, max_examples=40)
@given(models, st.floats(0, 20), st.integers(0, 10**6))
def test_raising_the_gap_never_turns_one_into_zero(sim, more, seed):
    sim = sim.replace(reward=lambda z_x, z, c: z[:, 0])
    data = sim.sample(60, seed=seed)
    best = float(np.abs(data.response_latents[:, 0]).max()) + more
    raised = sim.counterfactual(data, first={0: best})
    assert (raised[data.label == 1] == 1).all()
    lowered = sim.counterfactual(data, first={0: -best})
    assert (lowered[data.label == 0] == 0).all()


def test_counterfactual_equals_a_brute_force_abduction():
    """Draw the noise, keep the draws that explain the label, replay them at the new gap."""
    sim = Simulator(LINEAR, noise=0.7, position_bias=0.1)
    data = sim.sample(6, seed=2)
    exact = sim.counterfactual(data, second={1: 1.0})
    u = np.random.default_rng(0).logistic(scale=0.7, size=400_000)
    z = data.response_latents
    first, second = z[data.pairs[:, 0]], z[data.pairs[:, 1]].copy()
    before = (first - second) @ [0.25, 0.75] + 0.1
    second[:, 1] = 1.0
    after = (first - second) @ [0.25, 0.75] + 0.1
    for k in range(6):
        fits = u[(before[k] + u > 0) == data.label[k]]
        assert exact[k] == pytest.approx((after[k] + fits > 0).mean(), abs=0.005)


def test_units_answer_all_pairs_together():
    sim = Simulator(LINEAR)
    z = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]])
    table = sim.unit_table([], z, n_units=40_000, seed=0)
    assert table.shape == (40_000, 3, 3)
    for i in range(3):
        for j in range(3):
            p = sim.potential_outcome(None, z[[i]], z[[j]])[0]
            assert table[:, i, j].mean() == pytest.approx(p, abs=0.01)
    # one noise a unit: who prefers i to j prefers every better response to j as well
    assert (table[:, 2, 0] >= table[:, 1, 0]).all()


# -- impossible dials, embeddings, examples ---------------------------------


@pytest.mark.parametrize(
    ("dials", "says"),
    [
        (dict(correlation=1.2), "correlation is not positive semi-definite"),
        (dict(correlation=np.eye(3)), r"symmetric \(2, 2\) matrix"),
        (dict(rho=1.5, contexts=(0.5, 0.5)), "rho is 1.5"),
        (dict(rho=0.5), "rho needs two contexts"),
        (dict(rho=0.5, contexts=(0.5, 0.5), self_written=False), "prompts are randomised"),
        (dict(contexts=(0.5, 0.6)), "contexts .* must sum to 1"),
        (dict(noise=0.0), "noise is 0.0"),
        (dict(response_latents=()), "at least one"),
        (dict(type_shares=(1.0,)), "randomised prompts"),
        (
            dict(prompt_latents=(Latent("x"),), prompt_effect=np.array([[1.2], [0.0]])),
            "more than the variance",
        ),
        (
            dict(prompt_latents=(Latent("x"),), prompt_effect=np.zeros((1, 1))),
            "prompt_effect has shape",
        ),
        (
            dict(
                response_latents=(Latent("a", "binary", 0.1), Latent("b", "binary", 0.9)),
                correlation=0.9,
            ),
            r"correlation 0.9 of 'b' and 'a' is out of reach",
        ),
        (
            dict(response_latents=tuple(Latent(str(i)) for i in range(3)), correlation=0.5),
            "give a matrix",
        ),
    ],
)
def test_impossible_dials_say_why(dials, says):
    with pytest.raises(ValueError, match=says):
        Simulator(LINEAR, **dials)


@pytest.mark.parametrize(
    ("latent", "says"),
    [
        (dict(kind="poisson"), "kind is 'poisson'"),
        (dict(kind="gaussian", shares=0.5), "no shares"),
        (dict(kind="binary", shares=1.0), "must be positive"),
        (dict(kind="ordinal", shares=(0.5, 0.6)), "sum to 1"),
    ],
)
def test_impossible_latents(latent, says):
    with pytest.raises(ValueError, match=says):
        Latent("z", **latent)


@pytest.mark.parametrize(
    ("n", "responses", "says"), [(0, 2, "n_prompts is 0"), (5, 1, "a pair needs two")]
)
def test_sample_refuses(n, responses, says):
    with pytest.raises(ValueError, match=says):
        Simulator(LINEAR).sample(n, seed=0, responses=responses)


def test_embeddings_show_latents_and_type_as_asked():
    from sklearn.linear_model import LinearRegression, LogisticRegression

    base = EXAMPLES["4"].simulator.replace(type_effect=None, rho=0.5)
    for offset, low, high in ((0.0, 0.4, 0.6), (1.0, 0.9, 1.0)):
        data = base.replace(embedding=Embedding(type_offset=offset)).sample(2000, seed=0)
        assert data.embeddings.shape == (4000, 64) and np.abs(data.embeddings).max() <= 1
        half = slice(0, 2000), slice(2000, 4000)
        fit = LinearRegression().fit(data.embeddings[half[0]], data.response_latents[half[0]])
        assert fit.score(data.embeddings[half[1]], data.response_latents[half[1]]) > 0.8
        kind = data.prompt_type[data.response_prompt]
        told = LogisticRegression(max_iter=500).fit(data.embeddings[half[0]], kind[half[0]])
        assert low < told.score(data.embeddings[half[1]], kind[half[1]]) <= high
    with pytest.raises(ValueError, match="d .0. must be positive"):
        Embedding(d=0)


def test_interventions_reach_the_embeddings():
    sim = Simulator(LINEAR, embedding=Embedding(noise=0.0))
    low, high = (sim.do(response={0: v}).sample(50, seed=0).embeddings for v in (0.0, 3.0))
    assert np.abs(low - high).max() > 0.1


def test_two_draws_share_one_embedding_map():
    """A probe fitted on one draw reads another: the map belongs to the model, not the draw."""
    from sklearn.linear_model import LinearRegression

    sim = Simulator(LINEAR, embedding=Embedding())
    a, b = sim.sample(2000, seed=0), sim.sample(1000, seed=1)
    fit = LinearRegression().fit(a.embeddings, a.response_latents)
    assert fit.score(b.embeddings, b.response_latents) > 0.8


@pytest.mark.parametrize("number", EXAMPLES)
def test_examples_run_and_say_what_goes_wrong(number):
    example = EXAMPLES[number]
    data = example.simulator.sample(500, seed=0)
    assert data.simulated and "simulated" in data.source
    assert example.goes_wrong.endswith(".") and example.violates
    assert not any(b == "C" for _, b in example.graph), "C has no cause in the graph"
    assert (("C", "X") in example.graph) == (len(example.simulator.contexts) > 1)


def test_example_2_by_hand():
    reward = quadratic_reward((-1.0, -2.0), (1.0, -1.0))
    z_x, z = np.array([[0.0], [1.0]]), np.array([[3.0], [1.0]])
    assert reward(z_x, z, np.zeros(2, int)).tolist() == [-4.0, -8.0]


def test_example_3_support_is_thin():
    tone = EXAMPLES["3a"].simulator.sample(20_000, seed=0)
    x = tone.prompt_latents[tone.response_prompt, 0]
    odd = (tone.response_latents[:, 0] != x).mean()
    assert odd == pytest.approx(np.arccos(0.99) / np.pi, abs=0.006)
    z = EXAMPLES["3b"].simulator.sample(20_000, seed=0).response_latents
    assert z.min(axis=1).mean() == pytest.approx((1 - 0.9) / 4, abs=0.006)


@pytest.mark.parametrize(
    ("dials", "error", "says"),
    [
        ({"reward": 3}, TypeError, r"reward is 3 \(int\), expected a function r\(z_x, z_t, c\)"),
        ({"reward": [1.0, 2.0]}, TypeError, r"reward is \[1.0, 2.0\] \(list\)"),
        ({"response_latents": ["z"]}, TypeError, r"response_latents\[0\] is 'z' \(str\)"),
        ({"prompt_latents": Latent("x")}, TypeError, "prompt_latents is one Latent"),
        ({"response_latents": (Latent("z"),) * 2}, ValueError, "two latents of one name: z, z"),
        ({"hole": True}, TypeError, "hole is True"),
    ],
)
def test_a_wrong_type_is_refused_at_once(dials, error, says):
    with pytest.raises(error, match=says):
        Simulator(**{"reward": linear_reward([1, 1]), **dials})


def test_drawn_data_carry_the_names_of_the_latents():
    data = Simulator(linear_reward([1, 1]), prompt_latents=(Latent("topic"),)).sample(20, seed=0)
    assert data.names["response_latents"] == ("z1", "z2")
    assert data.names_of("prompt_latents") == ["topic"]


def test_a_latent_is_set_by_name_or_by_column():
    model = Simulator(linear_reward([1, -1]), response_latents=(Latent("length"), Latent("tone")))
    named, numbered = model.do(response={"tone": 2.0}), model.do(response={1: 2.0})
    assert named.sample(30, seed=1) == numbered.sample(30, seed=1)
    data = model.sample(30, seed=0)
    np.testing.assert_array_equal(
        model.counterfactual(data, first={"length": 0.5}),
        model.counterfactual(data, first={0: 0.5}),
    )
    with pytest.raises(ValueError, match=r"no latent 'size' to set; there are 0 \(length\)"):
        model.do(first={"size": 1.0})
