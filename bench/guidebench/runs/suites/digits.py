"""The 8x8 digits with networks in the roles of Table 1 of arXiv:2406.02507.

How EMA lengths, guides and weights were chosen, on which seeds, and the same rows on seeds never
looked at: docs/choices.md.
"""

from guidebench.guidance.catalog import autoguidance, cfg, cfg_interval, none
from guidebench.guidance.scheme import Scheme
from guidebench.runs.spec import CurveRef, NetworkRef, RunSpec
from guidebench.sampling import deterministic_heun

TITLE = "8x8 digits"

_T = 1000
_MAIN = NetworkRef(name="digits-main", iteration=_T, ema=0.10)
_LESS_TRAINING = NetworkRef(name="digits-main", iteration=_T // 4, ema=0.10)
_LESS_CAPACITY = NetworkRef(name="digits-small", iteration=_T, ema=0.10)
_LESS_OF_BOTH = NetworkRef(name="digits-small", iteration=_T * 3 // 8, ema=0.15)
_UNCONDITIONAL = NetworkRef(name="digits-unconditional", iteration=_T, ema=0.10)
_UNCONDITIONAL_GUIDE = NetworkRef(
    name="digits-unconditional-small", iteration=_T * 3 // 8, ema=0.15
)
_CFG, _AUTOGUIDANCE = "CFG", "autoguidance"


def real() -> RunSpec:
    """Real images, drawn with replacement."""
    return none_().with_options(
        title="real images", role="truth", source="data",
        curves=(), networks={}, scheme=None, sampler=None,
    )  # fmt: skip


def _row(
    title: str,
    scheme: Scheme,
    others: dict[str, NetworkRef],
    *curves: CurveRef,
    main: NetworkRef = _MAIN,
) -> RunSpec:
    labelled = ("agreement",) if main is _MAIN else ()
    return RunSpec(
        title=title,
        role="table",
        curves=curves,
        domain="digits",
        source="sampler",
        networks={"main": main} | others,
        scheme=scheme,
        sampler=deterministic_heun(16, sigma_max=80.0),
        num_images=1024,
        first_seed=0,
        repeats=1,
        shard_size=256,
        batch_size=128,
        metrics=("fd_digits", *labelled, "nearest_is_training"),
        engine="eager",
        precision="fp32",
        device="cpu",
    )


def none_() -> RunSpec:
    """The main network alone."""
    starts = [CurveRef(series=s, at=1.0) for s in (_CFG, _AUTOGUIDANCE)]
    return _row("no guidance", none(), {}, *starts)


def cfg_w1_5() -> RunSpec:
    """CFG with an unconditional network of the same size and training."""
    curve = CurveRef(series=_CFG, at=1.5)
    return _row("CFG, w = 1.5", cfg(1.5), {"unconditional": _UNCONDITIONAL}, curve)


def cfg_interval_w2() -> RunSpec:
    """CFG at middle noise levels only."""
    scheme = cfg_interval(2.0, 0.5, 5.0)
    return _row("CFG in (0.5, 5], w = 2", scheme, {"unconditional": _UNCONDITIONAL})


def autoguidance_w1_5() -> RunSpec:
    """Autoguidance: the guide has half the channels and 3/8 of the training."""
    curve = CurveRef(series=_AUTOGUIDANCE, at=1.5)
    return _row("autoguidance, w = 1.5", autoguidance(1.5), {"guide": _LESS_OF_BOTH}, curve)


def reduce_training_only() -> RunSpec:
    """The guide is the main network, earlier."""
    return _row(
        "autoguidance, less training only, w = 2", autoguidance(2.0), {"guide": _LESS_TRAINING}
    )


def reduce_capacity_only() -> RunSpec:
    """The guide is a smaller network, trained as long."""
    return _row(
        "autoguidance, less capacity only, w = 1.5", autoguidance(1.5), {"guide": _LESS_CAPACITY}
    )


def unconditional() -> RunSpec:
    """The unconditional network alone."""
    return _row("unconditional", none(), {}, main=_UNCONDITIONAL)


def unconditional_autoguidance() -> RunSpec:
    """Autoguidance needs no condition."""
    return _row(
        "unconditional + autoguidance, w = 1.5",
        autoguidance(1.5),
        {"guide": _UNCONDITIONAL_GUIDE},
        main=_UNCONDITIONAL,
    )


def limits() -> dict[str, RunSpec]:
    """For the gate: so strong a weight that activations are clipped, which else they never are."""
    spec = _row("CFG, w = 8", cfg(8.0), {"unconditional": _UNCONDITIONAL})
    return {"cfg-8": spec.with_options(role="curve")}


def weights() -> dict[str, RunSpec]:
    """One more weight for each curve, past the best one."""
    w = 2.5
    others = {"unconditional": _UNCONDITIONAL}
    rows = {
        f"cfg-{w:g}": _row(f"CFG, w = {w:g}", cfg(w), others, CurveRef(series=_CFG, at=w)),
        f"autoguidance-{w:g}": _row(
            f"autoguidance, w = {w:g}",
            autoguidance(w),
            {"guide": _LESS_OF_BOTH},
            CurveRef(series=_AUTOGUIDANCE, at=w),
        ),
    }
    return {key: spec.with_options(role="curve") for key, spec in rows.items()}
