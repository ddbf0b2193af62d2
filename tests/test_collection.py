"""Designs of preferences against closed forms, brute force, finite differences and simulation."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import integrate, special

from causalpref.collection import (
    design_loss,
    fit_posterior,
    fit_rationales,
    information,
    labels_worth,
    mutual_information,
    next_pairs,
    rationale_information,
    rationale_probabilities,
)
from causalpref.estimators import fit_linear
from causalpref.simulation.boundary import alpha_variance
from causalpref.statistics import gaussian_information

W = np.array([0.9, -0.5, 0.4])


def draw(n, d=3, seed=0):
    return np.random.default_rng(seed).standard_normal((n, d))


def toss(x, w, seed):
    return (np.random.default_rng(seed).random(len(x)) < special.expit(x @ w)).astype(int)


def second_derivative(f, w, step=1e-4):
    """Central differences of a scalar function of w, shape (d, d)."""
    d, e = len(w), np.eye(len(w)) * step
    return np.array(
        [
            [
                (f(w + e[i] + e[j]) - f(w + e[i] - e[j]) - f(w - e[i] + e[j]) + f(w - e[i] - e[j]))
                / (4 * step**2)
                for j in range(d)
            ]
            for i in range(d)
        ]
    )


# -- information -----------------------------------------------------------


def test_information_is_minus_the_second_derivative_of_the_log_likelihood():
    x, counts = draw(40), np.random.default_rng(1).integers(0, 5, 40)

    def loss(w):  # the label does not matter: the logit is linear in w
        return (counts * np.logaddexp(0, -x @ w)).sum()

    assert information(x, W, counts=counts) == pytest.approx(second_derivative(loss, W), abs=1e-5)
    assert information(-x, W) == pytest.approx(information(x, W)), "which is first is no matter"
    assert information(x) == pytest.approx(x.T @ x / 4)


def test_information_is_that_of_the_fit():
    x = draw(3000, seed=2)
    fit = fit_linear(x, toss(x, W, 3))
    assert np.linalg.inv(information(x, fit.weights)) == pytest.approx(fit.covariance)


def test_controlled_pairs_are_known_without_the_correlation():
    """n_k pairs that differ by a in latent k alone: variance 1 / (n_k a^2 sigmoid'(a w_k))."""
    a, n = 1.5, np.array([100, 40, 60])
    m = information(a * np.eye(3), W, counts=n)
    p = special.expit(a * W)
    assert np.linalg.inv(m) == pytest.approx(np.diag(1 / (n * a**2 * p * (1 - p))))


@pytest.mark.parametrize(
    ("alpha", "rho", "scale"), [(0.25, 0.9, 2.0), (0.7, -0.4, 0.5), (0.5, 0.99, 3.0)]
)
def test_gaussian_information_gives_the_variance_of_appendix_d1(alpha, rho, scale):
    w = scale * np.array([alpha, 1 - alpha])
    m = gaussian_information(np.array([[1, rho], [rho, 1]]), w)
    g = np.array([w[1], -w[0]]) / w.sum() ** 2
    assert design_loss(m, "c", contrast=g) == pytest.approx(alpha_variance(alpha, rho, scale=scale))


def test_gaussian_information_is_the_mean_over_pairs():
    root = np.array([[1, 0, 0], [0.8, 0.6, 0], [-0.3, 0.2, 0.9]])
    x = draw(400_000, seed=4) @ root.T
    exact = gaussian_information(root @ root.T, W)
    assert information(x, W) / len(x) == pytest.approx(exact, abs=0.003)
    assert gaussian_information(root @ root.T, 0 * W) == pytest.approx(root @ root.T / 4)


@pytest.mark.parametrize("scale", [0.01, 0.6, 6.0, 60.0])
def test_gaussian_information_of_orthogonal_contrasts(scale):
    """For g . w = 0 the variance is g' S^-1 g / s_0, and s_0 is an integral in one variable."""
    rho, w = 0.95, np.array([scale, scale])
    s = np.array([[1, rho], [rho, 1]])
    tau = np.sqrt(w @ s @ w)
    s_0 = integrate.quad(
        lambda u: (
            special.expit(tau * u)
            * special.expit(-tau * u)
            * np.exp(-(u**2) / 2)
            / np.sqrt(2 * np.pi)
        ),
        -12,
        12,
        points=[0],
        epsabs=1e-12,
    )[0]
    g = np.array([1.0, -1.0])
    assert design_loss(gaussian_information(s, w), "c", contrast=g) == pytest.approx(
        2 / ((1 - rho) * s_0)
    )


def test_design_loss_in_closed_form():
    m = np.diag([4.0, 0.5])
    assert design_loss(m) == pytest.approx(-np.log(2))
    assert design_loss(m, "A") == pytest.approx(2.25)
    assert design_loss(m, "c", contrast=[1, -2]) == pytest.approx(0.25 + 8)
    tie = np.array([[1.0, 1.0], [1.0, 1.0]])
    assert design_loss(tie) == design_loss(tie, "A") == np.inf
    assert design_loss(tie, "c", contrast=[1, -1]) == np.inf
    assert design_loss(tie, "c", contrast=[1, 1]) == pytest.approx(1), "the sum is known"
    assert design_loss(np.zeros((2, 2)), "c", contrast=[1, 1]) == np.inf


# -- what a label is worth -------------------------------------------------


def test_labels_worth_without_a_start_is_a_ratio_of_variances():
    w, g = np.array([0.8, 0.4]), np.array([0.4, -0.8])
    passive = gaussian_information(np.array([[1, 0.9], [0.9, 1]]), w)
    bought = information(np.array([g]), w, counts=200) + 1e-9 * np.eye(2)
    ratio = design_loss(passive, "c", contrast=g) / design_loss(bought, "c", contrast=g)
    assert labels_worth(bought, passive, contrast=g) == pytest.approx(ratio, rel=1e-6)
    assert labels_worth(300 * passive, passive, contrast=g) == pytest.approx(300, rel=1e-6)


def test_labels_worth_on_top_of_a_log():
    w, g = np.array([0.8, 0.4]), np.array([0.4, -0.8])
    passive = gaussian_information(np.array([[1, 0.9], [0.9, 1]]), w)
    bought, start = information(np.eye(2), w, counts=50), 500 * passive
    n = labels_worth(bought, passive, contrast=g, start=start)
    assert design_loss(start + n * passive, "c", contrast=g) == pytest.approx(
        design_loss(start + bought, "c", contrast=g)
    )
    assert labels_worth(0 * passive, passive, contrast=g, start=start) == 0


def test_some_information_no_passive_label_has():
    tie = np.array([[1.0, 1.0], [1.0, 1.0]])
    assert labels_worth(np.eye(2), tie, contrast=[1, -1]) == np.inf
    with pytest.raises(ValueError, match="do not identify the contrast"):
        labels_worth(tie, np.eye(2), contrast=[1, -1])


# -- selection -------------------------------------------------------------


@pytest.mark.parametrize("repeat", [False, True])
@pytest.mark.parametrize(
    ("criterion", "contrast"), [("D", None), ("A", None), ("c", [1.0, 0.0, -1.0])]
)
def test_every_step_is_the_best_single_step(criterion, contrast, repeat):
    """Against inverting the matrix for every candidate; 70 steps cross a refresh."""
    x, start = draw(90, seed=5), np.diag([0.3, 1.0, 2.0])
    picked = next_pairs(
        x, 70, weights=W, start=start, criterion=criterion, contrast=contrast, repeat=repeat
    )
    assert repeat or len(set(picked)) == 70
    m, left = start.copy(), np.ones(90, dtype=bool)
    for i in picked:
        losses = np.array(
            [
                design_loss(m + information(x[[j]], W), criterion, contrast=contrast)
                if left[j]
                else np.inf
                for j in range(90)
            ]
        )
        assert losses[i] == pytest.approx(losses.min(), rel=1e-9)
        m += information(x[[i]], W)
        left[i] = repeat


def test_greedy_against_all_subsets():
    """log det is submodular: greedy gains at least 1 - 1/e of the best subset's gain."""
    worst = 1.0
    for seed in range(8):
        x = draw(11, seed=20 + seed)
        gain = {
            s: -design_loss(np.eye(3) + information(x[list(s)], W))
            for s in itertools.combinations(range(11), 4)
        }
        mine = gain[tuple(sorted(next_pairs(x, 4, weights=W)))]
        worst = min(worst, mine / max(gain.values()))
    assert worst > 1 - 1 / np.e
    assert worst > 0.97, "in practice it is nearly the best"


def test_d_optimal_designs_of_a_cube_are_orthogonal():
    """On {-1, 0, 1}^2 every pair should change both features, the signs balanced."""
    cube = np.array([p for p in itertools.product((-1, 0, 1), repeat=2) if any(p)], dtype=float)
    x = cube[next_pairs(cube, 400, start=1e-6 * np.eye(2), repeat=True)]
    assert (np.abs(x) == 1).all() and abs((x[:, 0] * x[:, 1]).mean()) < 0.01


def test_c_optimal_selection_asks_the_contrast():
    """Of pairs with |delta_k| <= 1 the best for g is g itself: variance 4 max g^2 / n, the least
    that any design can have (chapter roadmap)."""
    rng, w = np.random.default_rng(6), np.array([0.6, 0.3])
    g = np.array([0.3, -0.6])  # g . w = 0
    box = np.vstack([rng.uniform(-1, 1, (3000, 2)), [g / 0.6]])
    start = gaussian_information(np.array([[1, 0.9], [0.9, 1]]), w) * 1000
    picked = next_pairs(box, 100, weights=w, start=start, criterion="c", contrast=g, repeat=True)
    cosine = np.abs(box[picked] @ g) / np.linalg.norm(box[picked], axis=1) / np.linalg.norm(g)
    assert cosine.min() > 0.9
    only = information(g[None] / 0.6, w, counts=100)
    assert design_loss(only, "c", contrast=g) == pytest.approx(4 * 0.36 / 100)
    for _ in range(200):
        x = rng.uniform(-1, 1, (100, 2))
        assert design_loss(information(x, w), "c", contrast=g) >= 4 * 0.36 / 100


def test_a_pool_of_a_hundred_thousand_and_equal_pairs():
    x = np.repeat(draw(50_000, d=8, seed=7), 2, axis=0)
    picked = next_pairs(x, 30, criterion="D")
    assert (picked[:1] % 2 == 0).all(), "of equals, the first"
    m = np.eye(8) + information(x[picked])
    random = np.eye(8) + information(x[:30])
    assert design_loss(m) < design_loss(random)


# -- mutual information ----------------------------------------------------


def exact_information(mean, sd):
    """H(E p) - E H(p) by adaptive quadrature."""

    def weigh(f):
        def g(t):
            return f(t) * np.exp(-(((t - mean) / sd) ** 2) / 2) / (sd * np.sqrt(2 * np.pi))

        low, high = max(mean - 12 * sd, -60), min(mean + 12 * sd, 60)
        points = [p for p in (-5, 0, 5, mean) if low < p < high]
        return integrate.quad(g, low, high, points=points, limit=400, epsabs=1e-13)[0]

    def entropy(t):
        p = special.expit(t)
        return special.entr(p) + special.entr(1 - p)

    # what lies beyond 60 on either side cancels where the mean is 0
    p = weigh(lambda t: special.expit(t) - 0.5) + 0.5
    return special.entr(p) + special.entr(1 - p) - weigh(entropy)


@pytest.mark.parametrize(
    ("mean", "sd"), [(0, 0.05), (0.7, 0.6), (1, 0.999), (1, 1.001), (-2, 1.7), (5, 0.5), (0, 30)]
)
def test_mutual_information_by_quadrature(mean, sd):
    found = mutual_information(np.ones((1, 1)), np.array([mean]), np.array([[sd**2]]))[0]
    assert found == pytest.approx(exact_information(mean, sd), abs=1e-10)


def test_mutual_information_by_drawing_weights():
    rng, x = np.random.default_rng(8), draw(5, seed=9)
    root = rng.standard_normal((3, 3)) / 2
    p = special.expit((W + rng.standard_normal((400_000, 3)) @ root.T) @ x.T)
    q = p.mean(0)
    drawn = special.entr(q) + special.entr(1 - q) - (special.entr(p) + special.entr(1 - p)).mean(0)
    assert mutual_information(x, W, root @ root.T) == pytest.approx(drawn, abs=0.002)


def test_mutual_information_at_its_ends():
    """For a nearly known w it is half the D-gain, s delta' V delta / 2; it never passes log 2."""
    x = draw(20, seed=10)
    v = 1e-4 * np.eye(3)
    gain = special.expit(x @ W) * special.expit(-x @ W) * (x**2).sum(1) * 1e-4 / 2
    assert mutual_information(x, W, v) == pytest.approx(gain, rel=2e-3)
    assert (mutual_information(x, W, 0 * v) < 1e-12).all()
    huge = mutual_information(x, 0 * W, 1e8 * np.eye(3))
    assert (huge < np.log(2)).all() and (huge > 0.99 * np.log(2)).all()


# -- posterior -------------------------------------------------------------


def test_posterior_is_the_stationary_point_and_its_curvature():
    x = draw(60, seed=11)
    y = toss(x, W, 12)
    found = fit_posterior(x, y, precision=0.5)

    def loss(w):
        return np.logaddexp(0, (1 - 2 * y) * (x @ w)).sum() + 0.25 * w @ w

    gradient = [(loss(found.mean + e) - loss(found.mean - e)) / 2e-6 for e in 1e-6 * np.eye(3)]
    assert gradient == pytest.approx(np.zeros(3), abs=1e-5)
    assert np.linalg.inv(found.covariance) == pytest.approx(
        second_derivative(loss, found.mean), abs=1e-4
    )


def test_posterior_without_labels_is_the_prior_and_separation_is_no_trouble():
    empty = fit_posterior(np.empty((0, 2)), np.empty(0), precision=4)
    assert empty.mean == pytest.approx(np.zeros(2)) and empty.covariance == pytest.approx(
        np.eye(2) / 4
    )
    one = fit_posterior(np.ones((30, 1)) * 5, np.ones(30))
    assert np.isfinite(one.mean).all() and one.mean[0] > 0
    x = draw(5000, seed=13)
    y = toss(x, W, 14)
    assert fit_posterior(x, y, precision=1e-8).mean == pytest.approx(
        fit_linear(x, y).weights, abs=1e-6
    )


# -- rationales ------------------------------------------------------------


@pytest.mark.parametrize(("noise", "sharpness"), [(0.0, 1.0), (0.3, 1.0), (0.1, 2.5), (1.0, 1.0)])
def test_rationale_information_is_the_expected_curvature(noise, sharpness):
    """The sum over labels and names of P(L) P(K | L) times minus the second derivative of
    log P(K | L), by central differences."""
    x = draw(6, seed=15)
    x[0, 1] = 0.0  # a feature that does not differ
    total = np.zeros((3, 3))
    for label, name in itertools.product((0, 1), range(3)):
        y = np.full(len(x), label)
        p = (
            special.expit((2 * label - 1) * (x @ W))
            * rationale_probabilities(x, y, W, noise=noise, sharpness=sharpness)[:, name]
        )

        def log_p(w, y=y, name=name, p=p):
            found = rationale_probabilities(x, y, w, noise=noise, sharpness=sharpness)[:, name]
            return -(p * np.log(np.where(p > 0, found, 1))).sum()

        total += second_derivative(log_p, W)
    mine = rationale_information(x, W, noise=noise, sharpness=sharpness)
    assert mine == pytest.approx(total, abs=2e-5)
    assert (noise < 1) == bool(mine.any())


def test_a_rationale_of_two_features_is_a_label_of_the_flipped_pair():
    """Without noise K = 0 has log odds s (w_1 delta_1 - w_2 delta_2)."""
    x, w = draw(50, d=2, seed=16), np.array([1.2, 0.7])
    flipped = x * [1, -1]
    for label in (0, 1):
        p = rationale_probabilities(x, np.full(50, label), w)[:, 0]
        assert p == pytest.approx(special.expit((2 * label - 1) * flipped @ w))
    assert rationale_information(x, w) == pytest.approx(information(flipped, w))
    label = toss(x, w, 17)
    named = np.random.default_rng(18).random(50) > rationale_probabilities(x, label, w)[:, 0]
    both = fit_linear(
        np.vstack([x, (2 * label - 1)[:, None] * flipped]), np.concatenate([label, 1 - named])
    )
    mine = fit_rationales(x, label, named.astype(int))
    assert mine.weights == pytest.approx(both.weights, abs=1e-6)
    assert mine.covariance == pytest.approx(both.covariance, rel=1e-5)


def test_names_go_to_features_that_differ():
    x = np.array([[1.0, 0.0, 2.0], [0.0, 0.0, 0.0], [0.0, 3.0, 0.0]])
    p = rationale_probabilities(x, np.array([1, 0, 1]), W)
    assert p[0, 1] == 0 and p[1] == pytest.approx(1 / 3) and p[2] == pytest.approx([0, 1, 0])
    assert rationale_probabilities(x, np.array([1, 0, 1]), W, noise=0.3)[2] == pytest.approx(
        [0.1, 0.8, 0.1]
    )


def test_fit_rationales_finds_the_truth_with_the_spread_it_states():
    """Tied features, noisy rationales: 150 fits; the mean and the variance are as stated."""
    rng, noise, n = np.random.default_rng(19), 0.2, 800
    root = np.array([[1, 0, 0], [0.95, np.sqrt(1 - 0.95**2), 0], [0, 0, 1]])
    found, stated = [], []
    for _ in range(150):
        x = rng.standard_normal((n, 3)) @ root.T
        y = (rng.random(n) < special.expit(x @ W)).astype(int)
        p = rationale_probabilities(x, y, W, noise=noise)
        named = (rng.random((n, 1)) > p.cumsum(1)).sum(1)
        fit = fit_rationales(x, y, named, noise=noise)
        found.append(fit.weights)
        stated.append(fit.se)
    found, stated = np.array(found), np.array(stated).mean(0)
    assert np.abs(found.mean(0) - W).max() < 4 * stated.max() / np.sqrt(150)
    assert found.std(0, ddof=1) / stated == pytest.approx(np.ones(3), abs=4 / np.sqrt(300))


def test_fit_rationales_without_rationales_is_the_plain_fit():
    x = draw(900, seed=21)
    y = toss(x, W, 22)
    plain, mine = fit_linear(x, y), fit_rationales(x, y, np.full(900, -1))
    assert mine.weights == pytest.approx(plain.weights, abs=1e-6)
    assert mine.se == pytest.approx(plain.se, rel=1e-5) and mine.loss == pytest.approx(plain.loss)


# -- errors ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: information(x, [1.0]), r"weights has shape \(1,\), expected \(2,\)"),
        (lambda x: information(x, counts=[1, -1, 1]), r"counts\[1\] = -1"),
        (lambda x: information([[0.0, np.nan]]), r"features\[0\] = .* is not finite"),
        (
            lambda x: gaussian_information([[1, 2], [2, 1]], [1, 1]),
            "covariance is not positive semi",
        ),
        (lambda x: gaussian_information([[1, 0.5], [0, 1]], [1, 1]), "covariance is not symmetric"),
        (lambda x: design_loss(np.eye(2), "E"), "criterion is 'E'"),
        (lambda x: design_loss(np.eye(2), "c"), "needs a contrast of 2 finite numbers"),
        (lambda x: design_loss(np.eye(2), "D", contrast=[1, 0]), "goes with criterion 'c'"),
        (lambda x: next_pairs(x, 4), "budget is 4, expected 1 to 3"),
        (lambda x: next_pairs(x, 0, repeat=True), "budget is 0"),
        (lambda x: next_pairs(x, 1, start=np.zeros((2, 2))), "start is not positive definite"),
        (lambda x: next_pairs(x, 1, start=np.eye(3)), r"start has shape \(3, 3\)"),
        (lambda x: mutual_information(x, [0.0], np.eye(2)), r"mean has shape \(1,\)"),
        (lambda x: mutual_information(x, [0.0, 0.0], np.eye(3)), r"covariance has shape \(3, 3\)"),
        (lambda x: fit_posterior(x, [0, 1, 2]), r"label\[2\] = 2 is neither 0 nor 1"),
        (lambda x: fit_posterior(x, [0, 1, 1], precision=0), "precision is 0"),
        (lambda x: rationale_probabilities(x, [0, 1, 1], [1, 1], noise=1.5), "noise is 1.5"),
        (lambda x: rationale_information(x, [1, 1], sharpness=-1), "sharpness is -1"),
        (lambda x: fit_rationales(x, [0, 1, 1], np.array([0, 1, 2])), r"named\[2\] = 2, expected"),
        (
            lambda x: fit_rationales(x, [0, 1, 1], np.array([1, 0, 0])),
            r"named\[0\] = 1 is a feature that does not differ",
        ),
        (lambda x: fit_rationales(x, [0, 1, 1], np.array([0.5, 1, 0])), "expected .* integers"),
    ],
)
def test_errors_name_what_is_wrong(call, message):
    with pytest.raises(ValueError, match=message):
        call(np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]))


def test_a_fit_that_runs_away_is_refused():
    x = np.array([[1.0, 1.0], [2.0, 2.0], [-1.0, -1.0], [3.0, 3.0]])
    with pytest.raises(ValueError, match="linearly dependent"):
        fit_rationales(x, np.array([1, 0, 1, 1]), np.full(4, -1))
