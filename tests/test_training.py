"""Many runs at once: each equals itself alone, whatever is beside it and however often it stops."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from conftest import toy

from causalpref.rewards import KINDS, RewardConfig, RewardModel, Run, curves, fit, fit_runs, predict
from causalpref.rewards import _training as training
from causalpref.rewards._stacked import Stack, spans_of

SIDES = toy(60).split(seed=0, train=0.7, validation=0.3)
OPTIONS = dict(epochs=4, batch_size=16, device="cpu")


def run_of(kind="multihead", seed=0, *, n=None, **more):
    train = SIDES["train"] if n is None else SIDES["train"].select(slice(n))
    config = RewardConfig(kind, 6, 2, hidden=12, lambda_=more.pop("lambda_", 1.0))
    return Run(config, train, SIDES["validation"], seed=seed, **more)


def apart(a, b):
    """Largest difference of two models' reward differences, and of their weights.

    Rewards count up to a constant: the last bias of a network has a gradient of 0 in exact
    arithmetic, Adam blows up what rounding leaves of it, and no reward difference depends on it.
    """
    margins = [abs(predict(a, side) - predict(b, side)).max() for side in SIDES.values()]
    one, other = a.state_dict(), b.state_dict()
    last = {
        max(k for k in one if k.startswith(f"{net}.") and k.endswith("bias"))
        for net in ("trunk", "heads.0", "heads.1")
        if f"{net}.0.bias" in one
    }
    if a.config.kind != "base":
        last -= {k for k in last if k.startswith("trunk")}
    return max(
        *margins, *((v - other[k]).abs().max().item() for k, v in one.items() if k not in last)
    )


def mixed_runs():
    weight = np.linspace(0.5, 2, len(SIDES["train"]))
    runs = [run_of(kind, seed, tags={"model": kind}) for kind in KINDS for seed in (0, 1)]
    return runs + [
        run_of("adversarial", 2, lambda_=0.3),
        run_of("multihead", 3, learning_rate=3e-3),
        run_of("multihead", 4, n=20),
        run_of("multihead", 5, weight=weight),
        run_of("multihead", 6, learning_rate=0.05, patience=1),
    ]


# -- one pass -------------------------------------------------------------------


@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_stack_gives_the_losses_and_gradients_of_each_model(kind, k):
    rng = torch.Generator().manual_seed(0)
    lambdas = (0.0, 0.4, 2.0)
    models = [
        RewardModel(RewardConfig(kind, d=5, n_objectives=k, hidden=7, lambda_=v)).double()
        for v in lambdas
    ]
    c = torch.randint(0, k, (3, 11), generator=rng).sort(1).values
    label = torch.randint(0, 2, (3, 11), generator=rng)
    e = torch.randn(3, 2, 11, 5, dtype=torch.float64, generator=rng)
    stack = Stack(models, "cpu")
    loss, adversary, margin = stack.losses(e, c, label, spans_of(c[:, None], k)[0])
    total = loss if adversary is None else loss + adversary
    total.sum().backward()
    for r, model in enumerate(models):
        a, b, m = model.losses(e[r, 0], e[r, 1], label[r], c[r])
        (a if b is None else a + b).backward()
        # cross-entropy is taken in float32, hence the tolerance
        torch.testing.assert_close(loss[r], a.float(), rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(margin[r], m.float(), rtol=1e-5, atol=1e-6)
        if b is not None:
            torch.testing.assert_close(adversary[r], b.float(), rtol=1e-5, atol=1e-6)
        for name, p in model.named_parameters():
            mine = stack.parameters[name].grad[r]
            torch.testing.assert_close(
                mine.mT if mine.ndim == 2 else mine, p.grad, rtol=1e-4, atol=1e-7
            )
        for name, weight in stack.weights(r).items():
            assert torch.equal(weight, model.state_dict()[name])


def test_spans_hold_every_run_and_no_more():
    c = torch.tensor([[0, 0, 1, 1, 1], [0, 0, 0, 0, 1]])
    assert spans_of(c[:, None], 2) == [[(0, 4), (2, 5)]]
    assert spans_of(c[:1, None], 2) == [[(0, 2), (2, 5)]]
    assert spans_of(torch.zeros(1, 1, 5, dtype=int), 2) == [[(0, 5), (5, 5)]]


# -- whole runs -------------------------------------------------------------------


def plain(run, epochs, batch_size):
    """The same training written out in PyTorch for one model; weights after the last epoch."""
    torch.manual_seed(run.seed)
    model = RewardModel(run.config)
    optimiser = torch.optim.Adam(model.parameters(), lr=run.learning_rate)
    e = torch.tensor(run.train.embeddings)
    pairs, label, c = (
        torch.tensor(v) for v in (run.train.pairs, run.train.label, run.train.objective)
    )
    weight = (
        torch.ones(len(label))
        if run.weight is None
        else torch.tensor(run.weight / run.weight.mean(), dtype=torch.float32)
    )
    order = torch.Generator().manual_seed(run.seed)
    for _ in range(epochs):
        for rows in torch.randperm(len(label), generator=order).split(batch_size):
            a, b = e[pairs[rows]].unbind(1)
            if run.config.kind == "base":
                margin, extra = model(a, c[rows]) - model(b, c[rows]), 0.0
            else:
                both = [model.represent(v) for v in (a, b)]
                rewards = [
                    torch.stack([h(z)[:, 0] for h in model.heads], 1)[
                        torch.arange(len(rows)), c[rows]
                    ]
                    for z in both
                ]
                margin, extra = rewards[0] - rewards[1], 0.0
                if run.config.kind == "adversarial":
                    from causalpref.rewards import reverse_gradient

                    extra = sum(
                        torch.nn.functional.binary_cross_entropy_with_logits(
                            model.adversary(reverse_gradient(z, run.config.lambda_))[:, 0],
                            c[rows].float(),
                            reduction="none",
                        )
                        for z in both
                    )
            sign = 2.0 * label[rows] - 1
            loss = -torch.nn.functional.logsigmoid(sign * margin) + extra
            optimiser.zero_grad()
            (weight[rows] * loss).mean().backward()
            optimiser.step()
    return model


def test_fit_equals_the_training_written_out():
    runs = [run for run in mixed_runs() if run.patience is None]
    for epochs in (1, 3):
        for run, fitted in zip(runs, fit_runs(runs, **OPTIONS | {"epochs": epochs})):
            if fitted.best_epoch == epochs:  # the weights kept are those of the last epoch
                assert apart(fitted.model, plain(run, epochs, 16)) < 1e-5, run
    assert all(f.best_epoch == 1 for f in fit_runs(runs, **OPTIONS | {"epochs": 1}))


@pytest.mark.parametrize("together", [None, 1, 2, 100])
def test_a_run_comes_out_as_if_alone(together):
    runs = mixed_runs()
    all_of_them = fit_runs(runs, together=together, **OPTIONS)
    for run, fitted in zip(runs, all_of_them):
        alone = fit_runs([run], **OPTIONS)[0]
        assert apart(fitted.model, alone.model) < 1e-5
        assert fitted.best_epoch == alone.best_epoch and fitted.seed == run.seed
        np.testing.assert_allclose(fitted.history, alone.history, rtol=1e-4, atol=1e-6)
    table = curves(all_of_them[:6])
    assert list(table.columns[-2:]) == ["model", "seed"] and len(table) == 24
    assert not torch.equal(*(next(f.model.parameters()) for f in all_of_them[:2]))


def test_threads_do_not_change_the_numbers_and_are_given_back():
    runs, before = mixed_runs(), torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = fit_runs(runs, **OPTIONS)
        torch.set_num_threads(2)
        two = fit_runs(runs, **OPTIONS)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    for a, b in zip(one, two):
        assert apart(a.model, b.model) < 1e-5


def test_patience_stops_a_run_and_no_other():
    runs = [run_of("multihead", 0, learning_rate=0.05, patience=1), run_of("multihead", 1)]
    first, second = fit_runs(runs, epochs=8, batch_size=16, device="cpu")
    assert len(second.history) == 8
    assert len(first.history) == first.best_epoch + 1 < 8
    whole = fit_runs(
        [run_of("multihead", 0, learning_rate=0.05)], epochs=8, batch_size=16, device="cpu"
    )[0].history
    np.testing.assert_allclose(first.history, whole[: len(first.history)], rtol=1e-4, atol=1e-6)


def test_a_run_that_diverges_leaves_its_neighbours_alone():
    runs = [
        run_of("multihead", 0),
        run_of("multihead", 1, learning_rate=1e30),
        run_of("multihead", 2),
    ]
    fits = fit_runs(runs, together=3, **OPTIONS)
    assert "the loss is" in fits[1].diverged and "in epoch 1" in fits[1].diverged
    assert len(fits[1].history) == 0 and fits[1].best_epoch == 0
    assert apart(fits[1].model, _initial(runs[1])) == 0, "its initial weights are kept"
    for k in (0, 2):
        assert fits[k].diverged == "" and len(fits[k].history) == 4
        assert apart(fits[k].model, fit_runs([runs[k]], **OPTIONS)[0].model) < 1e-5


def _initial(run):
    torch.manual_seed(run.seed)
    return RewardModel(run.config)


def test_weights_count_and_only_their_ratios():
    double = np.where(np.arange(len(SIDES["train"])) % 2, 2.0, 0.0)
    fits = fit_runs([run_of(weight=w) for w in (double, 5 * double, double + 1, None)], **OPTIONS)
    assert apart(fits[0].model, fits[1].model) < 1e-6 < apart(fits[0].model, fits[2].model)
    ones = fit_runs([run_of(weight=np.full(len(double), 3.0))], **OPTIONS)[0]
    assert apart(ones.model, fits[3].model) < 1e-6


def test_short_memory_splits_the_runs(monkeypatch):
    runs = [run_of("adversarial", s) for s in range(6)]
    whole = fit_runs(runs, together=6, **OPTIONS)
    need = training._room(runs[0], 16, "cpu", 1)
    assert need == training._CPU_RUNS, "toy runs are small"
    page = os.sysconf("SC_PAGE_SIZE")
    monkeypatch.setattr(
        os, "sysconf", lambda name: page if name == "SC_PAGE_SIZE" else 2 * 100_000 // page
    )
    assert training._room(runs[0], 16, "cpu", 1) < 3
    assert len(training._plan(runs, 4, 16, "cpu", 1, None)) >= 3
    for a, b in zip(whole, fit_runs(runs, **OPTIONS)):
        assert apart(a.model, b.model) < 1e-5


def test_bfloat16_is_close_and_not_equal():
    runs = [run_of(kind, 0) for kind in KINDS]
    for a, b in zip(fit_runs(runs, **OPTIONS), fit_runs(runs, precision="bfloat16", **OPTIONS)):
        assert a.history.train_loss.to_numpy() == pytest.approx(b.history.train_loss, abs=0.02)
        assert not np.array_equal(a.history.train_loss, b.history.train_loss)
        assert b.model.state_dict()["trunk.0.weight"].dtype == torch.float32


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (list, "runs is empty"),
        (
            lambda: [run_of(), run_of(weight=np.ones(3), tags={"rho": 0.9})],
            r"run 1 \{'rho': 0.9\}: weight has shape \(3,\)",
        ),
        (
            lambda: [run_of(weight=np.r_[-1.0, np.ones(len(SIDES["train"]) - 1)])],
            r"weight\[0\] = -1",
        ),
        (lambda: [run_of(weight=np.zeros(len(SIDES["train"])))], "all weights are 0"),
        (lambda: [run_of(patience=0)], r"patience \(0\)"),
        (
            lambda: [run_of(), Run(RewardConfig("base", d=7), *SIDES.values())],
            "run 1: the embeddings are 6 wide, config.d is 7",
        ),
    ],
)
def test_fit_runs_refuses(bad, says):
    with pytest.raises(ValueError, match=says):
        fit_runs(bad())
    with pytest.raises(ValueError, match="precision is 'half'"):
        fit_runs([run_of()], precision="half")


@pytest.mark.parametrize("error", [AttributeError, ValueError, OSError])
def test_trains_where_the_system_does_not_say_how_much_memory_is_free(monkeypatch, error):
    """Windows has no os.sysconf, macOS does not know the name; the result is the same."""
    here = fit_runs([run_of()], **OPTIONS)[0]

    def unknown(name):
        raise error(name)

    monkeypatch.setattr(training.os, "sysconf", unknown)
    there = fit_runs([run_of()], **OPTIONS)[0]
    assert apart(here.model, there.model) == 0
    monkeypatch.delattr(training.os, "sysconf")
    assert fit_runs([run_of()], **OPTIONS)[0].history.equals(here.history)


# -- stopping and going on ----------------------------------------------------------


def same(a, b):
    return all(
        apart(x.model, y.model) == 0
        and x.history.equals(y.history)
        and x.best_epoch == y.best_epoch
        and x.diverged == y.diverged
        for x, y in zip(a, b)
    )


def test_a_checkpoint_is_gone_on_from(tmp_path, monkeypatch):
    runs = [*mixed_runs(), run_of("multihead", 9, learning_rate=1e30)]
    whole = fit_runs(runs, **OPTIONS)

    class Stop(Exception):
        pass

    real, count = training._Program._save, [0]

    def save(self):
        real(self)
        count[0] += 1
        if count[0] in (1, 4, 9):
            raise Stop

    monkeypatch.setattr(training._Program, "_save", save)
    stops = 0
    for _ in range(9):
        try:
            done = fit_runs(runs, checkpoint=tmp_path, **OPTIONS)
            break
        except Stop:
            stops += 1
    assert stops == 3 and same(done, whole)
    assert same(fit_runs(runs, checkpoint=tmp_path, **OPTIONS), whole), "from the file alone"
    with pytest.raises(ValueError, match="belongs to other runs or settings"):
        fit_runs(runs[:3], checkpoint=tmp_path, **OPTIONS)
    with pytest.raises(ValueError, match="belongs to other runs or settings"):
        fit_runs(runs, checkpoint=tmp_path, **OPTIONS | {"epochs": 5})


def test_forgetting_a_checkpoint_spares_what_is_not_its_own(tmp_path):
    fit_runs([run_of()], checkpoint=tmp_path / "a", **OPTIONS)
    fit_runs([run_of()], checkpoint=tmp_path / "b", **OPTIONS)
    (tmp_path / "b" / "thesis.txt").write_text("mine")
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "0.safetensors").write_text("mine too")
    for name in "abc":
        training.forget(tmp_path / name)
    left = sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file())
    assert left == ["b/thesis.txt", "c/0.safetensors"] and not (tmp_path / "a").exists()


SCRIPT = """
import sys
from test_training import *
fits = fit_runs([*mixed_runs()], epochs=40, batch_size=8, device="cpu", checkpoint=sys.argv[1])
print("done")
"""


def test_a_killed_process_goes_on_to_the_same_numbers(tmp_path):
    runs, random_ = mixed_runs(), random.Random(1)
    options = OPTIONS | {"epochs": 40, "batch_size": 8}
    start = time.monotonic()
    whole = fit_runs(runs, **options)
    length = time.monotonic() - start
    here = os.path.dirname(__file__)
    killed = 0
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, tmp_path], cwd=here, stdout=subprocess.PIPE, text=True
        )
        until = time.monotonic() + 60
        while not list(tmp_path.glob("*.safetensors")) and time.monotonic() < until:
            time.sleep(0.01)
        time.sleep(random_.random() * length / 4)
        process.send_signal(signal.SIGKILL)
        killed += process.wait() == -signal.SIGKILL
        process.stdout.close()
    assert killed >= 1
    assert same(fit_runs(runs, checkpoint=tmp_path, **options), whole)


def test_the_single_fit_is_one_of_the_runs():
    one = fit(run_of().config, *SIDES.values(), seed=3, epochs=2, batch_size=16)
    other = fit_runs([run_of(seed=3)], epochs=2, batch_size=16)[0]
    assert same([one], [other])
    assert one.accuracy(SIDES["validation"]).all == pytest.approx(
        one.history.validation_accuracy.max()
    )
