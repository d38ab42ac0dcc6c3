"""The 2D fractal of the paper's Figure 1: every scheme on one small network.

Networks, sampler and weights: Appendix C of arXiv:2406.02507. The interval is ours: the paper
has none for its toy.
"""

from guidebench.guidance.catalog import autoguidance, cfg, cfg_interval, naive_truncation, none
from guidebench.guidance.scheme import Scheme
from guidebench.runs.spec import CurveRef, NetworkRef, RunSpec
from guidebench.sampling import deterministic_heun

TITLE = "2D fractal, class A"

_EMA = 0.010
_NETWORKS = {
    "main": NetworkRef(name="fractal-main", iteration=4096, ema=_EMA),
    "guide": NetworkRef(name="fractal-guide", iteration=512, ema=_EMA),
    "unconditional": NetworkRef(name="fractal-cfg-guide", iteration=512, ema=_EMA),
}
_METRICS = ("outlier_rate", "mean_log_density", "occupancy_divergence", "sliced_wasserstein")
_CFG, _AUTOGUIDANCE, _NAIVE = "CFG", "autoguidance", "naive truncation"


def truth() -> RunSpec:
    """Exact samples of class A."""
    return none_().with_options(
        title="ground truth", role="truth", source="data",
        curves=(), networks={}, scheme=None, sampler=None,
    )  # fmt: skip


def _row(title: str, scheme: Scheme, *curves: CurveRef) -> RunSpec:
    return RunSpec(
        title=title,
        role="table",
        curves=curves,
        domain="fractal",
        source="sampler",
        networks={role: _NETWORKS[role] for role in scheme.roles()},
        scheme=scheme,
        sampler=deterministic_heun(32, sigma_max=5.0),
        num_images=4096,
        first_seed=0,
        repeats=1,
        shard_size=1024,
        batch_size=512,
        metrics=_METRICS,
        engine="eager",
        precision="fp32",
        device="cpu",
    )


def none_() -> RunSpec:
    """The main network alone."""
    starts = [CurveRef(series=s, at=1.0) for s in (_CFG, _AUTOGUIDANCE, _NAIVE)]
    return _row("no guidance", none(), *starts)


def cfg_w4() -> RunSpec:
    """CFG at the paper's weight."""
    return _row("CFG, w = 4", cfg(4.0), CurveRef(series=_CFG, at=4.0))


def cfg_interval_w4() -> RunSpec:
    """The same weight, only at middle noise levels."""
    return _row("CFG in (0.05, 0.5], w = 4", cfg_interval(4.0, 0.05, 0.5))


def naive_s1_4() -> RunSpec:
    """The score times 1.4, as in the paper."""
    curve = CurveRef(series=_NAIVE, at=1.4)
    return _row("naive truncation, s = 1.4", naive_truncation(1.4), curve)


def autoguidance_w3() -> RunSpec:
    """Autoguidance at the paper's weight."""
    curve = CurveRef(series=_AUTOGUIDANCE, at=3.0)
    return _row("autoguidance, w = 3", autoguidance(3.0), curve)


def weights() -> dict[str, RunSpec]:
    """More weights for the curves."""
    more = {
        f"cfg-{w:g}": (cfg(w), CurveRef(series=_CFG, at=w)) for w in (2.0, 3.0, 6.0)
    } | {
        f"autoguidance-{w:g}": (autoguidance(w), CurveRef(series=_AUTOGUIDANCE, at=w))
        for w in (1.5, 2.0, 4.0)
    } | {
        f"naive-{w:g}": (naive_truncation(w), CurveRef(series=_NAIVE, at=w))
        for w in (1.2, 2.0)
    }  # fmt: skip
    return {
        key: _row(f"{curve.series}, w = {curve.at:g}", scheme, curve).with_options(role="curve")
        for key, (scheme, curve) in more.items()
    }
