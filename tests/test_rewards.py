"""Losses, gradients, architectures and training, each against something known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import toy

from causalpref import PreferenceData
from causalpref.rewards import (
    KINDS,
    RewardConfig,
    RewardModel,
    Run,
    accuracy,
    adversary_loss,
    bradley_terry_loss,
    correct,
    fit,
    fit_runs,
    load_model,
    predict,
    reverse_gradient,
    save_model,
)


def linear_data(n=600, d=3, *, seed=0, noise=True):
    """Pairs whose reward is linear in the embedding; one pair a prompt, one objective."""
    rng = np.random.default_rng(seed)
    e = rng.standard_normal((2 * n, d))
    w = np.array([1.0, -0.5, 0.25])[:d]
    gap = (e[::2] - e[1::2]) @ w
    label = (rng.random(n) < 1 / (1 + np.exp(-gap))) if noise else gap > 0
    return PreferenceData(
        prompts=[str(i) for i in range(n)],
        responses=[f"r{i}" for i in range(2 * n)],
        response_prompt=np.repeat(np.arange(n), 2),
        pairs=np.arange(2 * n).reshape(n, 2),
        label=label.astype(int),
        objective=np.zeros(n, int),
        prompt_type=np.arange(n) % 2,
        embeddings=e,
        simulated=True,
    )


# -- losses ----------------------------------------------------------------


def test_bradley_terry_loss_equals_float64_reference():
    rng = np.random.default_rng(0)
    margin, label = rng.normal(0, 5, 200), rng.integers(0, 2, 200)
    p = 1 / (1 + np.exp(-margin))
    reference = -np.mean(label * np.log(p) + (1 - label) * np.log(1 - p))
    for dtype, tolerance in ((torch.float64, 1e-12), (torch.float32, 1e-6)):
        got = bradley_terry_loss(torch.tensor(margin, dtype=dtype), torch.tensor(label))
        assert abs(got.item() - reference) < tolerance


@pytest.mark.parametrize("scale", 10.0 ** np.arange(-4, 6))
def test_bradley_terry_loss_is_finite_and_antisymmetric(scale):
    margin = torch.tensor([scale, -scale], dtype=torch.float32, requires_grad=True)
    loss = bradley_terry_loss(margin, torch.tensor([1, 1]))
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(margin.grad).all()
    flipped = bradley_terry_loss(-margin.detach(), torch.tensor([0, 0]))
    torch.testing.assert_close(loss.detach(), flipped)
    # -log s(m) - log s(-m) = m + 2 log(1 + exp(-m)) for m > 0
    assert loss.item() == pytest.approx((scale + 2 * np.log1p(np.exp(-scale))) / 2, rel=1e-5)


def test_adversary_loss_is_the_binary_cross_entropy():
    rng = np.random.default_rng(1)
    h, c = torch.tensor(rng.normal(0, 3, 50)), torch.tensor(rng.integers(0, 2, 50))
    expected = F.binary_cross_entropy_with_logits(h, c.double())
    torch.testing.assert_close(adversary_loss(h[:, None], c), expected)
    printed = -(h * c + (1 - h) * (1 - c)).mean()
    assert abs(printed - expected) > 0.05, "equation 13 as printed is something else"


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0, 5.0])
def test_reversal_is_minus_lambda_times_the_plain_gradient(weight):
    z = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    (plain,) = torch.autograd.grad(z.sin().sum(), z)
    (reversed_,) = torch.autograd.grad(reverse_gradient(z, weight).sin().sum(), z)
    torch.testing.assert_close(reversed_, -weight * plain)
    torch.testing.assert_close(reverse_gradient(z, weight), z)


# -- architectures ---------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_sizes_are_those_of_appendix_e1(kind):
    model = RewardModel(RewardConfig(kind, d=4096, n_objectives=2))
    shapes = {name: tuple(p.shape) for name, p in model.named_parameters() if p.ndim == 2}
    head = {"0": (512, 512), "2": (1, 512)}
    expected = {
        "trunk.0.weight": (512, 4097 if kind == "base" else 4096),
        "trunk.2.weight": (512, 512),
        "trunk.4.weight": (1, 512) if kind == "base" else (512, 512),
    }
    if kind != "base":
        expected |= {f"heads.{c}.{k}.weight": s for c in (0, 1) for k, s in head.items()}
    if kind == "adversarial":
        expected |= {f"adversary.{k}.weight": s for k, s in head.items()}
    assert shapes == expected
    assert all(
        isinstance(
            m,
            (torch.nn.Linear, torch.nn.GELU, torch.nn.Sequential, torch.nn.ModuleList, RewardModel),
        )
        for m in model.modules()
    )


def test_multihead_reads_the_head_of_the_objective():
    model = RewardModel(RewardConfig("multihead", d=5, n_objectives=3, hidden=8)).double()
    e, c = torch.randn(7, 5, dtype=torch.float64), torch.tensor([0, 1, 2, 0, 2, 1, 1])
    z = model.represent(e)
    for i in range(7):
        torch.testing.assert_close(model(e, c)[i], model.heads[c[i]](z[i])[0])
    with pytest.raises(ValueError, match="no representation"):
        RewardModel(RewardConfig("base", d=5, n_objectives=2)).represent(e)


def test_base_takes_the_objective_as_one_column():
    model = RewardModel(RewardConfig("base", d=5, n_objectives=2, hidden=8)).double()
    e, c = torch.randn(4, 5, dtype=torch.float64), torch.tensor([0, 1, 1, 0])
    torch.testing.assert_close(model(e, c), model.trunk(torch.cat([e, c[:, None]], 1))[:, 0])


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_against_finite_differences(kind):
    torch.manual_seed(0)
    model = RewardModel(RewardConfig(kind, d=4, n_objectives=2, hidden=6, lambda_=0.7)).double()
    e, e2 = torch.randn(2, 9, 4, dtype=torch.float64)
    label, c = torch.randint(0, 2, (2, 9))
    reward, adversary, _ = model.losses(e, e2, label, c)
    total = reward if adversary is None else reward + adversary
    names, parameters = zip(*model.named_parameters())
    gradients = torch.autograd.grad(total, parameters)
    for name, parameter, gradient in zip(names, parameters, gradients):
        flat = parameter.data.view(-1)
        for k in range(0, flat.numel(), max(1, flat.numel() // 5)):
            values = []
            for step in (1e-5, -1e-5):
                flat[k] += step
                a, b, _ = model.losses(e, e2, label, c)
                # equation 12: the trunk sees L_R - lambda L_adv, the adversary sees L_adv
                sign = 1.0 if name.startswith("adversary") else -0.7
                values.append((a if b is None else a + sign * b).item())
                flat[k] -= step
            assert gradient.view(-1)[k].item() == pytest.approx(
                (values[0] - values[1]) / 2e-5, abs=1e-7
            ), name


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (dict(kind="linear", d=3), "kind is 'linear'"),
        (dict(kind="base", d=0), "d is 0"),
        (dict(kind="base", d=3, depth=0), "depth is 0"),
        (dict(kind="base", d=3, lambda_=-1.0), "lambda_ is -1"),
    ],
)
def test_config_refuses(bad, says):
    with pytest.raises(ValueError, match=says):
        RewardConfig(**bad)


# -- training --------------------------------------------------------------


def test_linear_fit_equals_logistic_regression():
    """Bradley-Terry with a linear reward is logistic regression on e - e', no intercept."""
    from sklearn.linear_model import LogisticRegression

    sides = linear_data(600).split(seed=0, train=0.9, validation=0.1)
    train = sides["train"]
    first, second = train.pairs.T
    delta = train.embeddings[first] - train.embeddings[second]
    reference = (
        LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-10)
        .fit(delta, train.label)
        .coef_[0]
    )

    config = RewardConfig("base", d=3, n_objectives=1, depth=1)
    torch.manual_seed(0)
    model = RewardModel(config).double()  # in float32 the optimiser stops where rounding does
    e, e2 = (torch.tensor(train.embeddings[side]).double() for side in (first, second))
    label = torch.tensor(train.label)
    optimiser = torch.optim.LBFGS(
        model.parameters(), max_iter=200, tolerance_grad=1e-9, tolerance_change=1e-12
    )

    def step():
        optimiser.zero_grad()
        loss, _, _ = model.losses(e, e2, label, torch.zeros_like(label))
        loss.backward()
        return loss

    optimiser.step(step)
    np.testing.assert_allclose(model.trunk[0].weight.detach()[0], reference, atol=1e-4)

    # and `fit`, given full batches and time, ends at the loss of that optimum
    fitted = fit(
        config,
        train,
        sides["validation"],
        seed=0,
        epochs=500,
        learning_rate=0.02,
        batch_size=10_000,
    )
    optimum = np.log1p(np.exp(-np.where(train.label, 1, -1) * (delta @ reference))).mean()
    assert fitted.history.train_loss.iloc[-1] == pytest.approx(optimum, abs=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_seed_reproduces_to_the_bit_and_leaves_the_global_state(kind):
    data = toy(30).split(seed=0, train=0.7, validation=0.3)
    config = RewardConfig(kind, hidden=16)
    state = torch.get_rng_state()
    a, b, other = (
        fit(config, data["train"], data["validation"], seed=s, epochs=2, batch_size=8)
        for s in (0, 0, 1)
    )
    assert torch.equal(torch.get_rng_state(), state)
    for key, value in a.model.state_dict().items():
        assert torch.equal(value, b.model.state_dict()[key])
    assert a.history.equals(b.history)
    assert not torch.equal(next(a.model.parameters()), next(other.model.parameters()))


def test_best_epoch_is_kept_and_scored_on_all_of_validation():
    sides = linear_data(300).split(seed=0, train=0.5, validation=0.5)
    fitted = fit(
        RewardConfig("base", hidden=16),
        sides["train"],
        sides["validation"],
        seed=0,
        epochs=12,
        learning_rate=0.01,
    )
    scores = fitted.history.validation_accuracy
    assert fitted.best_epoch == scores.idxmax() + 1
    whole = fitted.accuracy(sides["validation"]).all
    assert whole == pytest.approx(scores.max(), abs=1e-12)
    assert fitted.history.adversary_loss.isna().all()


def test_noise_free_rewards_are_learned_and_noise_is_not():
    for noise, floor, ceiling in ((False, 0.93, 1.0), (True, 0.6, 0.85)):
        sides = linear_data(1500, noise=noise).split(seed=0, train=0.6, validation=0.2, test=0.2)
        fitted = fit(
            RewardConfig("multihead", hidden=32),
            sides["train"],
            sides["validation"],
            seed=0,
            epochs=10,
            learning_rate=3e-3,
        )
        assert floor < fitted.accuracy(sides["test"]).all < ceiling


def test_adversary_hides_the_objective():
    """type(X) = C in training: a plain trunk shows C, one behind the reversal does not."""
    rng = np.random.default_rng(0)
    n = 800
    c = rng.integers(0, 2, n)
    e = rng.standard_normal((2 * n, 4)).astype(np.float32)
    e[:, 3] = 2 * np.repeat(c, 2) - 1 + 0.5 * e[:, 3]
    label = (rng.random(n) < 1 / (1 + np.exp(-2 * (e[::2, 0] - e[1::2, 0])))).astype(int)
    data = PreferenceData(
        prompts=[str(i) for i in range(n)],
        responses=[f"r{i}" for i in range(2 * n)],
        response_prompt=np.repeat(np.arange(n), 2),
        pairs=np.arange(2 * n).reshape(n, 2),
        label=label,
        objective=c,
        prompt_type=c,
        embeddings=e,
    )
    sides = data.split(seed=0, train=0.8, validation=0.2)
    guess = {}
    for lambda_ in (0.0, 1.0):
        fitted = fit(
            RewardConfig("adversarial", hidden=32, lambda_=lambda_),
            sides["train"],
            sides["validation"],
            seed=0,
            epochs=40,
            learning_rate=3e-4,
        )
        guess[lambda_] = fitted.history.adversary_loss.iloc[-10:].mean() / 2
        assert fitted.accuracy(sides["validation"]).all > 0.7
    assert guess[0.0] < 0.5, "lambda 0: the adversary reads C from the trunk"
    assert guess[1.0] > 0.65, "lambda 1: it does not (log 2 = 0.69 is guessing)"


def test_type_labels_cannot_reach_training():
    sides = toy(30).split(seed=0, train=0.7, validation=0.3)
    config = RewardConfig("adversarial", hidden=8)
    fits = [
        fit(config, *(s.replace(prompt_type=typed(s)) for s in sides.values()), seed=0, epochs=1)
        for typed in (lambda s: None, lambda s: 0 * s.prompt_type, lambda s: s.prompt_type)
    ]
    for other in fits[1:]:
        assert fits[0].history.equals(other.history)


@pytest.mark.parametrize(
    ("change", "options", "says"),
    [
        ({"embeddings": lambda e: None}, {}, "no embeddings"),
        ({"embeddings": lambda e: e[:, :5]}, {}, "embeddings are 5 wide, config.d is 6"),
        ({"objective": lambda c: None}, {}, "no objective, config.n_objectives is 2"),
        ({}, {"epochs": 0}, r"epochs \(0\)"),
        ({}, {"learning_rate": -1.0}, "learning_rate"),
    ],
)
def test_fit_refuses(change, options, says):
    sides = [
        s.replace(**{name: how(getattr(s, name)) for name, how in change.items()})
        for s in toy(30).split(seed=0, a=0.5, b=0.5).values()
    ]
    with pytest.raises(ValueError, match=says):
        fit(RewardConfig("base", d=6, n_objectives=2), *sides, **options)


def test_fit_refuses_shared_prompts_bad_objectives_and_divergence():
    data = toy(30)
    with pytest.raises(ValueError, match="share 30 prompts"):
        fit("base", data, data)
    a, b = data.split(seed=0, a=0.5, b=0.5).values()
    worse = a.replace(objective=np.r_[3, a.objective[1:]])
    with pytest.raises(ValueError, match=r"objective\[0\] = 3, expected 0 to 1"):
        fit(RewardConfig("base", n_objectives=2), worse, b)
    config = RewardConfig("multihead", d=6, n_objectives=2, hidden=8)
    with pytest.raises(ValueError, match="the loss is nan in epoch 1"):  # after its last step
        fit(config, a, b, seed=0, epochs=1, batch_size=999, learning_rate=1e30)
    broken = RewardModel(config)
    with torch.no_grad():
        broken.trunk[0].bias.fill_(torch.nan)
    with pytest.raises(ValueError, match="reward difference of pair 0 is nan"):
        accuracy(broken, a)
    huge = [s.replace(embeddings=s.embeddings * np.float32(1e37)) for s in (a, b)]
    with pytest.raises(ValueError, match="the loss is (nan|inf) in epoch [12]"):
        fit(RewardConfig("base", hidden=16), *huge, seed=0, learning_rate=1e3)


@pytest.mark.parametrize("kind", KINDS)
def test_sizes_come_from_the_data(kind):
    """A name alone, and a configuration that states the sizes, give the same weights."""
    data = toy(40)
    data = data.replace(objective=np.arange(len(data)) % 3)
    train, validation = data.split(seed=0, a=0.5, b=0.5).values()
    short, stated = (
        fit(config, train, validation, epochs=1)
        for config in (kind, RewardConfig(kind, d=6, n_objectives=3))
    )
    assert short.model.config == stated.model.config == RewardConfig(kind, 6, 3)
    np.testing.assert_array_equal(short.predict(validation), stated.predict(validation))
    alone = fit(kind, *(s.replace(objective=None) for s in (train, validation)), epochs=1)
    assert alone.model.config.n_objectives == 1
    with pytest.raises(ValueError, match="d is None and n_objectives is 2: state both"):
        RewardModel(RewardConfig(kind, n_objectives=2))
    with pytest.raises(ValueError, match="no embeddings"):
        fit(kind, *(s.replace(embeddings=None) for s in (train, validation)))


def test_fit_takes_what_a_run_takes():
    train, validation = toy(40).split(seed=0, a=0.5, b=0.5).values()
    more = dict(
        weight=np.linspace(0.5, 2, len(train)), learning_rate=0.05, patience=1, tags={"rho": 0.9}
    )
    run = Run(RewardConfig("multihead", hidden=8), train, validation, seed=3, **more)
    (batch,) = fit_runs([run], epochs=20)
    one = fit(run.config, train, validation, seed=3, epochs=20, **more)
    assert one.history.equals(batch.history) and len(one.history) < 20, "patience ended it"
    assert one.tags == batch.tags == {"rho": 0.9}
    np.testing.assert_array_equal(one.predict(validation), batch.predict(validation))
    np.testing.assert_array_equal(one.correct(validation), correct(one.model, validation))
    assert one.accuracy(validation) == accuracy(one.model, validation)
    seeds = [
        fit("base", train, validation, epochs=1, seed=np.random.default_rng(1)).seed for _ in "ab"
    ]
    assert seeds[0] == seeds[1] != 0


# -- evaluation and files --------------------------------------------------


def test_swapping_a_pair_flips_the_margin():
    data = toy(20)
    model = RewardModel(RewardConfig("multihead", d=6, n_objectives=2, hidden=8)).eval()
    margin = predict(model, data, batch_size=7)
    np.testing.assert_allclose(
        margin, -predict(model, data.replace(pairs=data.pairs[:, ::-1])), atol=1e-6
    )
    right = correct(model, data)
    assert accuracy(model, data).all == pytest.approx(right.mean())
    same = data.replace(pairs=np.repeat(data.pairs[:, :1], 2, axis=1))
    assert (correct(model, same) == 0.5).all()


def test_accuracy_splits_by_consistency():
    data = toy(20)
    model = RewardModel(RewardConfig("base", d=6, n_objectives=2, hidden=8)).eval()
    got, right = accuracy(model, data), correct(model, data)
    share = data.consistent.mean()
    assert got.all == pytest.approx(share * got.consistent + (1 - share) * got.inconsistent)
    assert got.consistent == pytest.approx(right[data.consistent].mean())
    blind = accuracy(model, data.replace(prompt_type=None))
    assert blind.all == got.all and np.isnan([blind.consistent, blind.inconsistent]).all()
    only = data.select(data.consistent)
    assert np.isnan(accuracy(model, only).inconsistent)


@pytest.mark.parametrize("kind", KINDS)
def test_weights_survive_a_file(kind, tmp_path):
    data = toy(20)
    model = RewardModel(RewardConfig(kind, d=6, n_objectives=2, hidden=8)).eval()
    back = load_model(save_model(model, tmp_path / "deep" / "m.safetensors"))
    assert back.config == model.config
    np.testing.assert_array_equal(predict(back, data), predict(model, data))


def test_load_model_refuses(tmp_path):
    from safetensors.torch import save_file

    with pytest.raises(FileNotFoundError, match="does not exist"):
        load_model(tmp_path / "none")
    (tmp_path / "junk").write_bytes(b"junk")
    with pytest.raises(ValueError, match="not a safetensors file"):
        load_model(tmp_path / "junk")
    save_file({"x": torch.zeros(1)}, tmp_path / "other")
    with pytest.raises(ValueError, match="has format None"):
        load_model(tmp_path / "other")
