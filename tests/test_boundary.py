"""Closed forms of appendix D.1 against simulation, integration and limits."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import integrate, special, stats

from causalpref.estimators import fit_linear
from causalpref.simulation.boundary import (
    accuracy_between,
    alpha_variance,
    expected_accuracy,
    labels_needed,
    opposed_probability,
)


def draw(n, rho, seed):
    return np.random.default_rng(seed).multivariate_normal([0, 0], [[1, rho], [rho, 1]], n)


@pytest.mark.parametrize("rho", [-0.8, -0.3, 0.0, 0.6, 0.95])
def test_opposed_probability_is_that_of_the_bivariate_normal(rho):
    """2 P(delta_1 < 0, delta_2 > 0), by SciPy's normal distribution function."""
    below = stats.multivariate_normal.cdf([0, 0], cov=[[1, -rho], [-rho, 1]])
    assert opposed_probability(rho) == pytest.approx(2 * below, abs=1e-6)


def test_opposed_probability_at_the_ends():
    assert opposed_probability(np.array([-1.0, 0.0, 1.0])) == pytest.approx([1, 0.5, 0])
    with pytest.raises(ValueError, match="rho = 1.5 is outside"):
        opposed_probability(1.5)


@pytest.mark.parametrize("rho", [-0.8, 0.0, 0.6, 0.9])
@pytest.mark.parametrize(("alpha", "guess"), [(0.25, 0.6), (0.25, 0.26), (0.5, 0.0), (0.0, 1.0)])
def test_accuracy_against_a_million_pairs(rho, alpha, guess):
    d = draw(1_000_000, rho, seed=1)
    same = (d @ [alpha, 1 - alpha] > 0) == (d @ [guess, 1 - guess] > 0)
    opposed = d[:, 0] * d[:, 1] < 0
    for value, exact in (
        (same, accuracy_between(alpha, guess, rho)),
        (same[opposed], accuracy_between(alpha, guess, rho, opposed=True)),
    ):
        assert abs(value.mean() - exact) < 4.5 * np.sqrt(0.25 / len(value))
    assert same[~opposed].all(), "no error outside the second and fourth quadrant"


def test_accuracy_is_the_angle_in_the_metric_of_the_correlation():
    rng = np.random.default_rng(2)
    for alpha, guess, rho in zip(
        rng.normal(0.5, 1, 200), rng.normal(0.5, 1, 200), rng.uniform(-1, 1, 200)
    ):
        s = np.array([[1, rho], [rho, 1]])
        w, v = np.array([alpha, 1 - alpha]), np.array([guess, 1 - guess])
        cosine = w @ s @ v / np.sqrt((w @ s @ w) * (v @ s @ v))
        assert accuracy_between(alpha, guess, rho) == pytest.approx(
            1 - np.arccos(np.clip(cosine, -1, 1)) / np.pi, abs=1e-7
        )


def test_accuracy_at_the_ends():
    assert accuracy_between(0.3, 0.3, 0.4) == 1
    assert accuracy_between(0.0, 1.0, -1.0) == pytest.approx(0), "delta_1 = -delta_2 always"
    assert accuracy_between(0.2, 0.9, 1.0) == 1, "one latent is as good as the other"
    assert np.isnan(accuracy_between(0.2, 0.9, 1.0, opposed=True))
    assert accuracy_between(0.0, 1.0, 0.3, opposed=True) == pytest.approx(0)
    with pytest.raises(ValueError, match="alpha_hat = 1.2 is outside"):
        accuracy_between(0.5, 1.2, 0.0, opposed=True)


@pytest.mark.parametrize(("alpha", "rho", "scale"), [(0.25, 0.9, 2.0), (0.7, -0.4, 0.5)])
def test_information_against_a_double_integral(alpha, rho, scale):
    w = scale * np.array([alpha, 1 - alpha])
    normal = stats.multivariate_normal(cov=[[1, rho], [rho, 1]])

    def entry(i, j):
        def f(b, a):
            t = w @ [a, b]
            return special.expit(t) * special.expit(-t) * (a, b)[i] * (a, b)[j] * normal.pdf([a, b])

        return integrate.dblquad(f, -8, 8, -8, 8, epsabs=1e-7)[0]

    information = np.array([[entry(0, 0), entry(0, 1)], [entry(0, 1), entry(1, 1)]])
    gradient = np.array([w[1], -w[0]]) / w.sum() ** 2
    assert alpha_variance(alpha, rho, scale=scale) == pytest.approx(
        gradient @ np.linalg.inv(information) @ gradient, rel=1e-4
    )


@pytest.mark.parametrize("rho", [0.0, 0.9])
def test_variance_and_accuracy_against_fits(rho):
    """600 maximum likelihood fits; the variance of a variance gives the tolerance."""
    n, fits, rng = 2000, 600, np.random.default_rng(3)
    guess = np.empty(fits)
    for i in range(fits):
        d = rng.multivariate_normal([0, 0], [[1, rho], [rho, 1]], n)
        label = (rng.random(n) < special.expit(d @ [0.5, 1.5])).astype(int)
        w = fit_linear(d, label).weights
        guess[i] = w[0] / w.sum()
    exact = alpha_variance(0.25, rho, scale=2.0)
    assert n * guess.var() == pytest.approx(exact, rel=4 * np.sqrt(2 / fits))
    found = accuracy_between(0.25, guess, -0.8)
    expected = expected_accuracy(n, 0.25, rho, rho_test=-0.8, scale=2.0)
    assert abs(found.mean() - expected) < 4 * found.std() / np.sqrt(fits) + 1e-3


def test_variance_grows_without_bound_as_the_latents_merge():
    """It is proportional to 1 / (1 - rho) near 1: delta_1 - delta_2 has variance 2 (1 - rho)."""
    v = np.array([alpha_variance(0.25, 1 - e) for e in (1e-3, 1e-4, 1e-5)])
    assert v[1:] / v[:-1] == pytest.approx([10, 10], rel=0.01)
    with pytest.raises(ValueError, match="cannot be told apart"):
        alpha_variance(0.25, 1.0)
    with pytest.raises(ValueError, match="scale is 0"):
        alpha_variance(0.25, 0.5, scale=0)


def test_labels_needed_inverts_expected_accuracy():
    for rho in (0.0, 0.6, 0.9):
        n = labels_needed(0.95, 0.25, rho, rho_test=-0.8)
        assert expected_accuracy(n, 0.25, rho, rho_test=-0.8) == pytest.approx(0.95, abs=1e-6)
    needed = [labels_needed(0.97, 0.25, rho, opposed=True, rho_test=0.0) for rho in (0, 0.6, 0.9)]
    assert needed[0] < needed[1] < needed[2], "correlation costs labels"
    with pytest.raises(ValueError, match="accuracy is 1"):
        labels_needed(1, 0.25, 0.0)


def test_variance_where_sigma_prime_is_narrow():
    """At a large scale: against adaptive quadrature over the plane."""
    from scipy.integrate import quad
    from scipy.special import expit
    from scipy.stats import norm

    alpha, rho, scale = 0.5, 0.99, 12.0
    tau = scale * np.sqrt((1 + rho) / 2)
    along, across = (
        quad(
            lambda u: expit(tau * u) * expit(-tau * u) * u**k * norm.pdf(u),
            -9,
            9,
            points=[0],
            limit=400,
            epsabs=1e-13,
        )[0]
        for k in (2, 0)
    )
    # across the line w . delta = 0 the contrast varies with variance (1 - rho) / 2
    expected = 1 / (2 * scale**2 * across * (1 - rho))
    assert along < across and alpha_variance(alpha, rho, scale=scale) == pytest.approx(
        expected, rel=1e-6
    )
