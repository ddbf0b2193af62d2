"""A structural causal model of preference data, with the truth known.

A user with context C (their objective) writes a prompt, or is given one; the prompt
has a type and latents Z^X; two responses have latents Z^T and Z'^T; rewards R and R'
and an exogenous noise U decide the label: L = 1 exactly when R - R' + U > 0. With
logistic U this is Bradley-Terry-Luce (equation 1), since a logistic variable is the
difference of two Gumbel ones (the Gumbel-max form of appendix B, footnote 2).

Three levels of question have exact answers here: what is seen (:meth:`Simulator.sample`),
what would be seen under an intervention (:meth:`Simulator.do`), and what a unit that said
one thing would have said, had things been otherwise (:meth:`Simulator.counterfactual`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from scipy import optimize, special, stats

from causalpref.data import PreferenceData

__all__ = [
    "EXAMPLES",
    "Embedding",
    "Example",
    "Latent",
    "Simulator",
    "linear_reward",
    "quadratic_reward",
]

Reward = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""r(z_x, z_t, c): rewards (n,) from latents (n, k), (n, m) and contexts (n,)."""


# -- parts -----------------------------------------------------------------


@dataclass(frozen=True)
class Latent:
    """One latent feature and its marginal distribution.

    Parameters
    ----------
    name : str
    kind : {"gaussian", "binary", "ordinal"}
        Standard normal; 0 or 1; or 1, 2, ... in order.
    shares : float or sequence of float
        Binary: P(1). Ordinal: probabilities of 1, 2, ...; five equal ones by default.

    Raises
    ------
    ValueError
        Shares that are not positive, do not sum to 1, or go with no such kind.
    """

    name: str
    kind: Literal["gaussian", "binary", "ordinal"] = "gaussian"
    shares: float | Sequence[float] | None = None

    def __post_init__(self) -> None:
        if self.kind not in ("gaussian", "binary", "ordinal"):
            raise ValueError(
                f"latent {self.name!r}: kind is {self.kind!r}, expected "
                "'gaussian', 'binary' or 'ordinal'"
            )
        if self.kind == "gaussian":
            if self.shares is not None:
                raise ValueError(f"latent {self.name!r}: a Gaussian one has no shares")
            return
        shares = self.shares
        if self.kind == "binary":
            p = 0.5 if shares is None else float(np.asarray(shares))
            shares = (1 - p, p)
        elif shares is None:
            shares = (0.2,) * 5
        shares = tuple(float(s) for s in np.atleast_1d(shares))
        if len(shares) < 2 or min(shares) <= 0 or abs(sum(shares) - 1) > 1e-9:
            raise ValueError(f"latent {self.name!r}: shares {shares} must be positive and sum to 1")
        object.__setattr__(self, "shares", shares)

    @property
    def cuts(self) -> np.ndarray:
        """Where the underlying standard normal is cut, shape (levels - 1,)."""
        if self.kind == "gaussian":
            return np.empty(0)
        return stats.norm.ppf(np.cumsum(self.shares)[:-1])

    @property
    def mean(self) -> float:
        """Mean of the latent itself."""
        if self.kind == "gaussian":
            return 0.0
        return float(np.dot(np.arange(len(self.shares)), self.shares)) + (self.kind == "ordinal")

    @property
    def sd(self) -> float:
        """Standard deviation of the latent itself."""
        if self.kind == "gaussian":
            return 1.0
        value = np.arange(len(self.shares)) + (self.kind == "ordinal")
        return float(np.sqrt(np.dot((value - self.mean) ** 2, self.shares)))

    def read(self, underlying: np.ndarray) -> np.ndarray:
        """The latent from its underlying standard normal, elementwise."""
        if self.kind == "gaussian":
            return underlying
        return np.searchsorted(self.cuts, underlying).astype(float) + (self.kind == "ordinal")


def _correlation_of_latents(a: Latent, b: Latent, underlying: float) -> float:
    """Correlation of two latents whose underlying normals have correlation ``underlying``."""
    if a.kind == b.kind == "gaussian":
        return underlying
    if a.kind == "gaussian" or b.kind == "gaussian":
        cuts = b.cuts if a.kind == "gaussian" else a.cuts
        return float(underlying * stats.norm.pdf(cuts).sum() / (a.sd * b.sd))
    if abs(underlying) > 1 - 1e-12:
        both = np.minimum if underlying > 0 else lambda s, t: np.maximum(0, s + t - 1)
        joint = both(stats.norm.cdf(a.cuts)[:, None], stats.norm.cdf(b.cuts)[None, :])
    else:
        grid = np.stack(np.meshgrid(a.cuts, b.cuts, indexing="ij"), axis=-1)
        joint = np.atleast_1d(
            stats.multivariate_normal.cdf(
                grid.reshape(-1, 2), cov=[[1, underlying], [underlying, 1]]
            )
        ).reshape(len(a.cuts), len(b.cuts))
    product = stats.norm.cdf(a.cuts)[:, None] * stats.norm.cdf(b.cuts)[None, :]
    return float((joint - product).sum() / (a.sd * b.sd))


def _underlying_correlation(latents: Sequence[Latent], wanted: np.ndarray) -> np.ndarray:
    """Correlations for the underlying normals that give the latents those wanted."""
    m = len(latents)
    out = np.eye(m)
    for i in range(m):
        for j in range(i):
            a, b, target = latents[i], latents[j], wanted[i, j]
            low, high = (_correlation_of_latents(a, b, r) for r in (-1.0, 1.0))
            if not low <= target <= high:
                raise ValueError(
                    f"correlation {target:g} of {a.name!r} and {b.name!r} is out of "
                    f"reach: with these marginals it lies in [{low:.3f}, {high:.3f}]"
                )
            if a.kind == b.kind == "gaussian" or target == 0:
                r = target
            else:
                gap = lambda u, a=a, b=b, target=target: _correlation_of_latents(a, b, u) - target
                r = optimize.brentq(gap, -1, 1, xtol=1e-10)
            out[i, j] = out[j, i] = r
    return out


def linear_reward(weights: Sequence[float] | np.ndarray) -> Reward:
    """Equation 8: r is z^T weighted by one row of weights, for all contexts or one a context.

    Parameters
    ----------
    weights : array, shape (m,) or (n_contexts, m)
        For the paper's two latents ``(alpha, 1 - alpha)``.
    """
    weights = np.atleast_2d(np.asarray(weights, dtype=float))

    def reward(z_x: np.ndarray, z_t: np.ndarray, c: np.ndarray) -> np.ndarray:
        if len(weights) == 1:
            return z_t @ weights[0]
        return np.einsum("nm,nm->n", z_t, weights[c])

    return reward


def quadratic_reward(beta: Sequence[float], gamma: Sequence[float]) -> Reward:
    """Example 2: r = beta_j (z^T_1 - gamma_j)^2 with j = z^X_1, a binary task type."""
    beta_, gamma_ = np.asarray(beta, dtype=float), np.asarray(gamma, dtype=float)

    def reward(z_x: np.ndarray, z_t: np.ndarray, c: np.ndarray) -> np.ndarray:
        task = z_x[:, 0].astype(int)
        return beta_[task] * (z_t[:, 0] - gamma_[task]) ** 2

    return reward


@dataclass(frozen=True)
class Embedding:
    """A smooth map from latents to what a language model would show of a response.

    ``tanh(0.7 ((z + blur) M_t + v A + o_t + noise))``: z holds the latents of prompt and response,
    less their stated means and over their stated standard deviations, v nuisance features that
    the answers to one prompt share, o_t an offset. M, A and o are fixed by ``seed``.

    Parameters
    ----------
    d : int
        Width.
    nuisance : int
        Number of shared nuisance features.
    noise : float
        Standard deviation of the noise of each number.
    blur : float or sequence of float
        Standard deviation of noise on each latent before it is encoded, those of the
        prompt first: how poorly the text shows it, whatever the width.
    type_offset : float
        Size of o_t: how easy type(X) is to read off.
    type_dependence : float
        0: latents are encoded alike for every type. The larger, the more the map
        itself depends on the type.
    seed : int
    """

    d: int = 64
    nuisance: int = 8
    noise: float = 0.5
    blur: float | tuple[float, ...] = 0.0
    type_offset: float = 0.0
    type_dependence: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.d < 1 or self.nuisance < 0 or self.noise < 0:
            raise ValueError(
                f"d ({self.d}) must be positive, nuisance ({self.nuisance}) and noise "
                f"({self.noise}) not negative"
            )
        if np.min(self.blur) < 0:
            raise ValueError(f"blur is {self.blur}, expected no negative number")

    def draw(
        self,
        z: np.ndarray,
        prompt: np.ndarray,
        prompt_type: np.ndarray,
        *,
        seed: int | np.random.Generator = 0,
    ) -> np.ndarray:
        """Embeddings (n, d), float32, of responses with latents z (n, q).

        Parameters
        ----------
        z : array, shape (n, q)
        prompt : array of int, shape (n,)
            Row of each response's prompt.
        prompt_type : array of int, shape (n_prompts,)
        seed : int or numpy.random.Generator
            Of the noise and of what the texts share; the map itself is that of ``self.seed``.
        """
        rng = np.random.default_rng(seed)
        fixed = np.random.default_rng([self.seed, z.shape[1]])
        n_types = int(prompt_type.max()) + 1
        shared = fixed.standard_normal((z.shape[1], self.d))
        nuisance = fixed.standard_normal((self.nuisance, self.d)) / np.sqrt(max(self.nuisance, 1))
        each = np.random.default_rng([self.seed, z.shape[1], 1])  # type t: the same map always
        out = (rng.standard_normal((len(prompt_type), self.nuisance)) @ nuisance)[prompt]
        kind = prompt_type[prompt]
        if np.any(self.blur):
            if np.ndim(self.blur) and len(self.blur) != z.shape[1]:
                raise ValueError(
                    f"blur has {len(self.blur)} values, there are {z.shape[1]} latents"
                )
            z = z + self.blur * rng.standard_normal(z.shape)
        for t in range(n_types):
            own = each.standard_normal((z.shape[1], self.d))
            offset = each.standard_normal(self.d)
            encode = shared + self.type_dependence * own if t else shared
            encode = encode / np.maximum(np.linalg.norm(encode, axis=0), 1e-12)
            rows = kind == t
            out[rows] += z[rows] @ encode * np.sqrt(2) + self.type_offset * offset
        out += self.noise * rng.standard_normal(out.shape)
        return np.tanh(0.7 * out).astype(np.float32)


# -- the model -------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Simulator:
    """A structural causal model of preference data.

    Parameters
    ----------
    reward : callable
        r(z_x, z_t, c), the reward function; see :func:`linear_reward`.
    response_latents, prompt_latents : sequence of Latent
        Z^T, at least one, and Z^X.
    correlation : float or array, shape (m, m)
        Correlation of the components of delta = Z - Z' (equation 7; rho of appendix D.1). A
        number for two response latents. Without ``prompt_effect`` it is also that of the
        components of Z^T. With it, for latents that are not Gaussian, it is that of the
        underlying normals.
    prompt_effect : array, shape (m, k), optional
        Coefficients of the underlying normals of Z^X in those of Z^T: what an answer
        takes from its prompt. Marginals of Z^T stay as stated.
    type_effect : array, shape (n_types, k), optional
        Shift of the underlying normals of Z^X for each type of prompt.
    contexts : sequence of float
        Share of each context, P(C = 0), P(C = 1), ...
    rho : float, optional
        P(type(X) = C) when users write their own prompts (section 4). Without it a
        prompt has the type of its context.
    self_written : bool
        True: figure 2a, the type depends on C. False: figure 2b, types are
        dealt out at random with ``type_shares``, whoever judges.
    type_shares : sequence of float, optional
        For randomised prompts. Default: equal shares, one type for each context.
    position_bias : float
        Added to R, the reward of the response shown first (footnote 1).
    noise : float or None
        Scale of the logistic noise U. None: the higher reward always wins, a tie is a
        coin toss.
    hole : callable, optional
        ``hole(z_x, z_t, z_t_prime)`` returns True, shape (n,), for pairs that are never
        seen, in either order: a cut in the latent support (assumption 5).
    embedding : Embedding, optional
    name : str
        For captions.

    Raises
    ------
    ValueError
        A dial that no model can have: a matrix that is no correlation matrix, rho outside
        [0, 1], shares that do not sum to 1, effects that leave no variance, two latents of one
        name; the message names the dial and the reason.
    TypeError
        A reward or hole that cannot be called, or a latent that is no :class:`Latent`.
    """

    reward: Reward
    response_latents: tuple[Latent, ...] = (Latent("z1"), Latent("z2"))
    prompt_latents: tuple[Latent, ...] = ()
    correlation: float | np.ndarray = 0.0
    prompt_effect: np.ndarray | None = None
    type_effect: np.ndarray | None = None
    contexts: tuple[float, ...] = (1.0,)
    rho: float | None = None
    self_written: bool = True
    type_shares: tuple[float, ...] | None = None
    position_bias: float = 0.0
    noise: float | None = 1.0
    hole: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray] | None = None
    embedding: Embedding | None = None
    name: str = "simulated"
    _set: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        put = lambda name, value: object.__setattr__(self, name, value)
        _callable("reward", self.reward, "r(z_x, z_t, c), such as linear_reward([1, -1])")
        if self.hole is not None:
            _callable("hole", self.hole, "hole(z_x, z_t, z_t_prime)")
        for name in ("response_latents", "prompt_latents"):
            put(name, _latents(name, getattr(self, name)))
        m, k = len(self.response_latents), len(self.prompt_latents)
        if m == 0:
            raise ValueError("response_latents is empty: rewards need at least one Z^T")
        put("contexts", _probabilities("contexts", self.contexts))
        if self.rho is not None and not 0 <= self.rho <= 1:
            raise ValueError(f"rho is {self.rho}, a probability lies in [0, 1]")
        if self.rho is not None and len(self.contexts) < 2:
            raise ValueError("rho needs two contexts at least: P(type(X) = C) is 1 with one")
        if self.rho is not None and not self.self_written:
            raise ValueError("rho is given, but prompts are randomised (self_written=False)")
        if self.type_shares is not None:
            if self.self_written:
                raise ValueError("type_shares is for randomised prompts (self_written=False)")
            put("type_shares", _probabilities("type_shares", self.type_shares))
        if self.noise is not None and not self.noise > 0:
            raise ValueError(f"noise is {self.noise}, expected a positive scale or None")

        correlation = np.asarray(self.correlation, dtype=float)
        if correlation.ndim == 0:
            if m > 2 and correlation != 0:
                raise ValueError(
                    f"correlation is one number, there are {m} response latents: give a matrix"
                )
            correlation = np.where(np.eye(m, dtype=bool), 1.0, correlation)
        if (
            correlation.shape != (m, m)
            or not np.allclose(correlation, correlation.T)
            or not np.allclose(np.diag(correlation), 1)
        ):
            raise ValueError(
                f"correlation must be a symmetric ({m}, {m}) matrix with a diagonal of ones"
            )
        _root("correlation", correlation)
        put("correlation", _read_only(correlation))

        effect = _effect("prompt_effect", self.prompt_effect, (m, k))
        left = 1 - (effect**2).sum(1)
        if (left < 0).any():
            j = int(np.argmin(left))
            raise ValueError(
                f"prompt_effect of {self.response_latents[j].name!r} has squares that "
                f"add up to {1 - left[j]:g}, more than the variance of 1 there is"
            )
        put("prompt_effect", _read_only(effect))
        shift = _effect("type_effect", self.type_effect, (self.n_types, k))
        put("type_effect", _read_only(shift))
        plain = not effect.any()
        within = (
            _underlying_correlation(self.response_latents, correlation) if plain else correlation
        )
        scale = np.sqrt(left)
        put("_root", _root("correlation, for the underlying normals,", within) * scale[:, None])

    @property
    def n_types(self) -> int:
        """Number of types of prompt."""
        return len(self.type_shares) if self.type_shares else len(self.contexts)

    def replace(self, **dials: Any) -> Simulator:
        """The same model with some dials turned."""
        return dataclasses.replace(self, **dials)

    def do(
        self,
        *,
        context: int | None = None,
        prompt_type: int | None = None,
        prompt: Mapping[int | str, float] | None = None,
        response: Mapping[int | str, float] | None = None,
        first: Mapping[int | str, float] | None = None,
        second: Mapping[int | str, float] | None = None,
    ) -> Simulator:
        """The model under an intervention; everything upstream of it stays as it is.

        Parameters
        ----------
        context : int
            do(C = c).
        prompt_type : int
            do(type(X) = t): C keeps its distribution, which cuts the arrow from C.
        prompt : mapping of int or str to float
            do(Z^X_j = v) for each j: v; j is the column of the latent or its name.
        response : mapping of int or str to float
            do(Z^T_j = Z'^T_j = v), both responses.
        first, second : mapping of int or str to float
            do(Z^T_j = v), do(Z'^T_j = v): the pair shown. Then a prompt gets one pair.

        Returns
        -------
        Simulator

        Raises
        ------
        ValueError
            A context, type or latent that does not exist.
        """
        new = dict(self._set)
        if context is not None:
            new["context"] = self._context(context)
        if prompt_type is not None:
            new["prompt_type"] = _code("prompt_type", prompt_type, self.n_types)
        for name, values, latents in (
            ("prompt", prompt, self.prompt_latents),
            ("first", response, self.response_latents),
            ("second", response, self.response_latents),
            ("first", first, self.response_latents),
            ("second", second, self.response_latents),
        ):
            if values:
                new[name] = {**new.get(name, {}), **_by_column(latents, values)}
        return self.replace(_set=new)

    # -- level 1 and 2: sampling, observational or after `do` ---------------

    def sample(
        self, n_prompts: int, *, seed: int | np.random.Generator = 0, responses: int = 2
    ) -> PreferenceData:
        """Draw users, prompts, responses and labels.

        One user a prompt; every pair of its responses is judged once, in an order
        decided by a coin.

        Parameters
        ----------
        n_prompts : int
        seed : int or numpy.random.Generator
            To break the draw further by chance, use another stream, such as
            ``numpy.random.default_rng([seed, 1])``: one with the same seed repeats these numbers.
        responses : int
            Responses a prompt, 2 or more.

        Returns
        -------
        PreferenceData
            With ``objective`` (C), ``prompt_type``, ``prompt_latents`` (Z^X, if any),
            ``response_latents`` (Z^T) and, with an embedding map, ``embeddings``.

        Raises
        ------
        ValueError
            No prompts, fewer than two responses, or a hole that leaves almost nothing.
        """
        if n_prompts < 1:
            raise ValueError(f"n_prompts is {n_prompts}, expected at least 1")
        if responses < 2:
            raise ValueError(f"responses is {responses} a prompt: a pair needs two")
        if ("first" in self._set or "second" in self._set) and responses > 2:
            raise ValueError("an intervention on the pair shown goes with two responses a prompt")
        rng = np.random.default_rng(seed)
        left, right = np.triu_indices(responses, 1)
        parts, kept, tried = [], 0, 0
        while kept < n_prompts:
            size = max(n_prompts - kept, 64) if tried else n_prompts
            c, kind, z_x, z = self._draw(size, responses, rng)
            ok = np.ones(size, dtype=bool)
            if self.hole is not None:
                for a, b in zip(left, right):  # neither order of a pair may fall into the hole
                    ok &= ~np.asarray(self.hole(z_x, z[:, a], z[:, b]), dtype=bool)
                    ok &= ~np.asarray(self.hole(z_x, z[:, b], z[:, a]), dtype=bool)
            parts.append((c[ok], kind[ok], z_x[ok], z[ok]))
            kept += int(ok.sum())
            tried += size
            if tried >= 20_000 and kept < tried / 1000:
                raise ValueError(
                    f"the hole swallows {1 - kept / tried:.2%} of the prompts: "
                    "nothing is left to draw"
                )
        c, kind, z_x, z = (np.concatenate(p)[:n_prompts] for p in zip(*parts))

        flip = rng.random((n_prompts, len(left))) < 0.5
        if "first" in self._set or "second" in self._set:
            flip[:] = False
        first, second = np.where(flip, right, left), np.where(flip, left, right)
        start = responses * np.arange(n_prompts)[:, None]
        pairs = np.stack([(start + first).ravel(), (start + second).ravel()], axis=1)
        objective = np.repeat(c, len(left))
        z = z.reshape(-1, z.shape[-1])
        prompt = np.repeat(np.arange(n_prompts), responses)
        gap = self._gap(z_x[prompt[pairs[:, 0]]], z[pairs[:, 0]], z[pairs[:, 1]], objective)
        label = rng.random(len(pairs)) < self._win(gap)
        embeddings = None
        if self.embedding is not None:
            latents = self.prompt_latents + self.response_latents
            scaled = (np.concatenate([z_x[prompt], z], axis=1) - [g.mean for g in latents]) / [
                g.sd for g in latents
            ]
            embeddings = self.embedding.draw(scaled, prompt, kind, seed=rng)
        return PreferenceData(
            prompts=[f"prompt {i}" for i in range(n_prompts)],
            responses=[f"response {i}" for i in range(len(z))],
            response_prompt=prompt,
            pairs=pairs,
            label=label.astype(np.int64),
            objective=objective,
            prompt_type=kind,
            prompt_latents=z_x if z_x.shape[1] else None,
            response_latents=z,
            embeddings=embeddings,
            names={
                "response_latents": [latent.name for latent in self.response_latents],
                "prompt_latents": [latent.name for latent in self.prompt_latents],
            },
            source=self.name,
            simulated=True,
        )

    def _draw(
        self, n: int, responses: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Contexts (n,), types (n,), Z^X (n, k) and Z^T (n, responses, m)."""
        m, k = len(self.response_latents), len(self.prompt_latents)
        c = rng.choice(len(self.contexts), size=n, p=self.contexts)
        if "context" in self._set:
            c[:] = self._set["context"]
        if self.self_written:
            rho = 1.0 if self.rho is None else self.rho
            other = (c + rng.integers(1, max(len(self.contexts), 2), n)) % len(self.contexts)
            kind = np.where(rng.random(n) < rho, c, other)
        else:
            kind = rng.choice(self.n_types, size=n, p=self.type_shares)
        if "prompt_type" in self._set:
            kind[:] = self._set["prompt_type"]
        u_x = rng.standard_normal((n, k)) + self.type_effect[kind]
        z_x = (
            np.stack([g.read(u_x[:, j]) for j, g in enumerate(self.prompt_latents)], axis=1)
            if k
            else u_x
        )
        u_t = rng.standard_normal((n, responses, m)) @ self._root.T
        if k:
            u_t += (u_x @ self.prompt_effect.T)[:, None]
        z = np.stack([g.read(u_t[..., j]) for j, g in enumerate(self.response_latents)], axis=-1)
        for j, v in self._set.get("prompt", {}).items():
            z_x[:, j] = v
        for place, name in enumerate(("first", "second")):
            for j, v in self._set.get(name, {}).items():
                z[:, place, j] = v
        return c, kind, z_x, z

    # -- potential outcomes -------------------------------------------------

    def _context(self, context: int) -> int:
        return _code("context", context, len(self.contexts))

    def _gap(
        self, z_x: np.ndarray, z: np.ndarray, z_prime: np.ndarray, c: np.ndarray
    ) -> np.ndarray:
        return self.reward(z_x, z, c) - self.reward(z_x, z_prime, c) + self.position_bias

    def _win(self, gap: np.ndarray) -> np.ndarray:
        return np.exp(self._log_win(gap))

    def _log_win(self, gap: np.ndarray) -> np.ndarray:
        """log P(L = 1) at a reward gap R - R'."""
        if self.noise is None:
            return np.select([gap > 0, gap == 0], [0.0, np.log(0.5)], -np.inf)
        return special.log_expit(gap / self.noise)

    def potential_outcome(
        self, z_x: np.ndarray, z_t: np.ndarray, z_t_prime: np.ndarray, c: np.ndarray | int = 0
    ) -> np.ndarray:
        """P(L(x; y, y') = 1), exactly, for any pair (equation 3).

        Parameters
        ----------
        z_x : array, shape (n, k)
        z_t, z_t_prime : array, shape (n, m)
        c : int or array of int, shape (n,)
            Context of the unit asked.

        Returns
        -------
        array, shape (n,)
        """
        z_t, z_t_prime = np.atleast_2d(z_t), np.atleast_2d(z_t_prime)
        n = max(len(z_t), len(z_t_prime))
        z_x = np.broadcast_to(
            np.asarray(z_x, dtype=float).reshape(-1, len(self.prompt_latents))
            if len(self.prompt_latents)
            else np.empty((n, 0)),
            (n, len(self.prompt_latents)),
        )
        z_t, z_t_prime = (
            np.broadcast_to(v, (n, v.shape[1])).astype(float) for v in (z_t, z_t_prime)
        )
        return self._win(self._gap(z_x, z_t, z_t_prime, np.broadcast_to(c, (n,))))

    def outcomes(self, data: PreferenceData, *, context: int | str | None = None) -> np.ndarray:
        """P(L(x; y, y') = 1) for the pairs of drawn data, shape (n_pairs,).

        Parameters
        ----------
        data : PreferenceData
            With the latents of this model.
        context : int or str, optional
            Ask everybody as if of this context; a name is looked up among the objectives of the
            data. Default: each unit's own.

        Raises
        ------
        ValueError
            Data without the latents of this model, or a context that does not exist.
        """
        if context is not None:
            context = self._context(
                data.index_of("objective", context) if isinstance(context, str) else context
            )
        return self._win(self._gap(*self._of_pairs(data, context)))

    def _of_pairs(
        self, data: PreferenceData, context: int | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        m, k = len(self.response_latents), len(self.prompt_latents)
        z = data.response_latents
        if (
            z is None
            or z.shape[1] != m
            or (k and (data.prompt_latents is None or data.prompt_latents.shape[1] != k))
        ):
            raise ValueError(
                f"the data lack the latents of this model: {m} of responses and {k} of prompts"
            )
        z_x = data.prompt_latents[data.pair_prompt] if k else np.empty((len(data), 0))
        c = data.objective if context is None else np.full(len(data), context)
        if c is None:
            c = np.zeros(len(data), dtype=np.int64)
        return z_x, z[data.pairs[:, 0]], z[data.pairs[:, 1]], c

    def unit_table(
        self,
        z_x: np.ndarray,
        z_t: np.ndarray,
        *,
        c: int = 0,
        n_units: int = 1,
        seed: int | np.random.Generator = 0,
    ) -> np.ndarray:
        """What units would have said to every ordered pair of some responses.

        A unit carries one noise U into whatever pair it is shown, so its answers
        hang together: L(x; y, y') = 1 exactly when R - R' + U > 0.

        Parameters
        ----------
        z_x : array, shape (k,)
            Latents of the prompt.
        z_t : array, shape (n, m)
            Latents of the responses.
        c : int
            Context of the units.
        n_units : int
        seed : int or numpy.random.Generator

        Returns
        -------
        array of {0, 1}, shape (n_units, n, n)
            ``[u, i, j]``: does unit u prefer i, shown first, to j, shown second.
        """
        z_t = np.atleast_2d(np.asarray(z_t, dtype=float))
        n = len(z_t)
        i, j = np.divmod(np.arange(n * n), n)
        z_x = np.broadcast_to(
            np.asarray(z_x, dtype=float).reshape(1, -1), (n * n, len(self.prompt_latents))
        )
        p = self._win(self._gap(z_x, z_t[i], z_t[j], np.full(n * n, c)))
        u = np.random.default_rng(seed).random((n_units, 1))
        return (u < p).astype(np.int64).reshape(n_units, n, n)

    # -- level 3: counterfactuals -------------------------------------------

    def counterfactual(
        self,
        data: PreferenceData,
        *,
        context: int | None = None,
        prompt: Mapping[int | str, float] | None = None,
        response: Mapping[int | str, float] | None = None,
        first: Mapping[int | str, float] | None = None,
        second: Mapping[int | str, float] | None = None,
    ) -> np.ndarray:
        """P(L would have been 1), given what was seen and said, for each pair.

        Abduction: the label says where the unit's noise U lies. Action: the change below.
        Prediction: the probability that the same U gives 1 at the new gap. All
        in closed form: with F(g) = P(L = 1 at gap g), a unit that said 1 at g says 1 at g'
        with probability min(1, F(g') / F(g)).

        Parameters
        ----------
        data : PreferenceData
            With the latents of this model, drawn from it.
        context, prompt, response, first, second
            As for :meth:`do`; each latent's value replaces the one of the pair.

        Returns
        -------
        array, shape (n_pairs,)
            Equal to the label where nothing is changed.
        """
        z_x, z, z_prime, c = self._of_pairs(data)
        before = self._gap(z_x, z, z_prime, c)
        changed = (
            self.replace(_set={})
            .do(context=context, prompt=prompt, response=response, first=first, second=second)
            ._set
        )
        z_x, z, z_prime, c = (v.copy() for v in (z_x, z, z_prime, c))
        if context is not None:
            c[:] = context
        for name, target in (("prompt", z_x), ("first", z), ("second", z_prime)):
            for j, v in changed.get(name, {}).items():
                target[:, j] = v
        after = self._gap(z_x, z, z_prime, c)
        one = np.exp(np.minimum(0, _minus(self._log_win(after), self._log_win(before))))
        zero = -np.expm1(np.minimum(0, _minus(self._log_win(-after), self._log_win(-before))))
        return np.where(data.label == 1, one, zero)


def _code(name: str, value: int, n: int) -> int:
    if not isinstance(value, (int, np.integer)) or not 0 <= value < n:
        raise ValueError(f"{name} is {value!r}, expected 0 to {n - 1}")
    return int(value)


def _callable(name: str, value: Any, form: str) -> None:
    if not callable(value):
        raise TypeError(f"{name} is {value!r} ({type(value).__name__}), expected a function {form}")


def _latents(name: str, values: Any) -> tuple[Latent, ...]:
    if isinstance(values, Latent):
        raise TypeError(f"{name} is one Latent: give a sequence, ({values!r},)")
    values = tuple(values)
    for i, value in enumerate(values):
        if not isinstance(value, Latent):
            raise TypeError(f"{name}[{i}] is {value!r} ({type(value).__name__}), expected a Latent")
    words = [latent.name for latent in values]
    if len(set(words)) < len(words):
        raise ValueError(f"{name} holds two latents of one name: {', '.join(words)}")
    return values


def _by_column(latents: Sequence[Latent], values: Mapping[int | str, float]) -> dict[int, float]:
    """Values to set by the column of the latent, whether it was given by name or by number."""
    names = [latent.name for latent in latents]
    found = {}
    for which, value in values.items():
        j = names.index(which) if which in names else which
        if isinstance(j, str) or not 0 <= j < len(names):
            raise ValueError(
                f"there is no latent {which!r} to set; there are "
                + (", ".join(f"{i} ({name})" for i, name in enumerate(names)) or "none")
            )
        found[j] = float(value)
    return found


def _minus(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a - b for logarithms of probabilities; 0 where both are log 0."""
    with np.errstate(invalid="ignore"):
        return np.where(np.isneginf(a) & np.isneginf(b), 0.0, a - b)


def _probabilities(name: str, values: Any) -> tuple[float, ...]:
    values = tuple(float(v) for v in values)
    if not values or min(values) < 0 or abs(sum(values) - 1) > 1e-9:
        raise ValueError(f"{name} {values} must not be negative and must sum to 1")
    return values


def _effect(name: str, values: Any, shape: tuple[int, int]) -> np.ndarray:
    """Coefficients of latents; none has an effect by default."""
    array = np.zeros(shape) if values is None else np.asarray(values, dtype=float)
    if array.shape != shape:
        raise ValueError(f"{name} has shape {array.shape}, expected {shape}")
    return array


def _root(name: str, correlation: np.ndarray) -> np.ndarray:
    """A with A A^T = correlation; perfect correlations are allowed."""
    values, vectors = np.linalg.eigh(correlation)
    if values.min() < -1e-9:
        raise ValueError(
            f"{name} is not positive semi-definite (smallest eigenvalue "
            f"{values.min():.3g}): no variables have these correlations"
        )
    return vectors * np.sqrt(np.maximum(values, 0))


def _read_only(array: np.ndarray) -> np.ndarray:
    array = array.copy()
    array.flags.writeable = False
    return array


# -- the paper's examples --------------------------------------------------


@dataclass(frozen=True)
class Example:
    """One of the paper's examples as a model.

    Parameters
    ----------
    title : str
    simulator : Simulator
    graph : tuple of (str, str)
        Arrows of the causal graph.
    violates : str
        The assumption that fails.
    goes_wrong : str
        What an analyst who overlooks it concludes.
    """

    title: str
    simulator: Simulator
    graph: tuple[tuple[str, str], ...]
    violates: str
    goes_wrong: str


_PATHS = (
    ("X", "Y"),
    ("X", "Y'"),
    ("X", "Z^X"),
    ("X", "Z^T"),
    ("Y", "Z^T"),
    ("X", "Z'^T"),
    ("Y'", "Z'^T"),
    ("Z^X", "R"),
    ("Z^T", "R"),
    ("Z^X", "R'"),
    ("Z'^T", "R'"),
    ("R", "L"),
    ("R'", "L"),
)
_BY_USER = (("C", "X"), ("C", "R"), ("C", "R'"))

EXAMPLES: dict[str, Example] = {
    "1": Example(
        "Experts and laypeople",
        Simulator(
            reward=linear_reward([[-1.0, 1.0], [1.5, 1.0]]),
            response_latents=(Latent("jargon"), Latent("correct")),
            prompt_latents=(Latent("niche topic"),),
            prompt_effect=np.array([[0.8], [0.0]]),
            type_effect=np.array([[-0.8], [0.8]]),
            contexts=(0.7, 0.3),
            rho=0.9,
            name="simulated: example 1, experts and laypeople",
        ),
        _PATHS + _BY_USER,
        "2, unconfoundedness",
        "Jargon looks welcome on niche topics and unwelcome elsewhere, when it is the expert who "
        "likes it on any topic.",
    ),
    "2": Example(
        "How concise is best depends on the task",
        Simulator(
            reward=quadratic_reward((-1.0, -1.0), (1.0, -1.0)),
            response_latents=(Latent("conciseness"),),
            prompt_latents=(Latent("creative writing", "binary"),),
            name="simulated: example 2, conciseness by task",
        ),
        _PATHS,
        "none, unless Z^X is left out",
        "Averaged over tasks, conciseness seems to matter little, when it matters for every task, "
        "the other way round.",
    ),
    "3a": Example(
        "Topic and tone",
        Simulator(
            reward=linear_reward([0.0, 1.0]),
            response_latents=(Latent("formal", "binary"), Latent("helpful")),
            prompt_latents=(Latent("professional", "binary"),),
            prompt_effect=np.array([[0.99], [0.0]]),
            name="simulated: example 3a, topic and tone",
        ),
        _PATHS,
        "5, latent positivity",
        "Formal answers to casual prompts are hardly ever seen, so what tone does apart from the "
        "topic rests on a handful of pairs.",
    ),
    "3b": Example(
        "Completeness and conciseness",
        Simulator(
            reward=linear_reward([1.0, 1.0]),
            response_latents=(Latent("complete", "binary"), Latent("concise", "binary")),
            correlation=-0.9,
            name="simulated: example 3b, completeness and conciseness",
        ),
        _PATHS,
        "5, latent positivity",
        "Complete and concise answers are rare, so the two effects cannot be told apart and are "
        "easily traded for one another.",
    ),
    "4": Example(
        "Helpful and harmless",
        Simulator(
            reward=linear_reward([[1.0, 0.2], [-0.3, 1.0]]),
            response_latents=(Latent("helpfulness"), Latent("harmlessness")),
            prompt_latents=(Latent("risk"),),
            prompt_effect=np.array([[0.0], [0.0]]),
            type_effect=np.array([[-1.5], [1.5]]),
            contexts=(0.5, 0.5),
            rho=0.95,
            name="simulated: example 4, helpful and harmless",
        ),
        _PATHS + _BY_USER,
        "2 and overlap, 3 given C",
        "Helpfulness looks rewarded on safe prompts and punished on risky ones, when the "
        "objective of whoever wrote them decides.",
    ),
}
"""The paper's examples 1 to 4 by number. To add one, add an entry."""
