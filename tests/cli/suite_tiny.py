"""A suite of seconds for the tests of the command line."""

from guidebench.guidance.catalog import autoguidance, none
from guidebench.runs.spec import CurveRef, NetworkRef, RunSpec
from guidebench.sampling import deterministic_heun

TITLE = "tiny"
_MAIN = NetworkRef(name="fractal-main", iteration=4096, ema=0.010)
_GUIDE = NetworkRef(name="fractal-guide", iteration=512, ema=0.010)


def truth() -> RunSpec:
    return unguided().with_options(
        title="truth", role="truth", source="data",
        curves=(), networks={}, scheme=None, sampler=None,
    )  # fmt: skip


def unguided() -> RunSpec:
    return RunSpec(
        title="no guidance",
        role="table",
        curves=(CurveRef(series="autoguidance", at=1.0),),
        domain="fractal",
        source="sampler",
        networks={"main": _MAIN},
        scheme=none(),
        sampler=deterministic_heun(8, sigma_max=5.0),
        num_images=96,
        first_seed=0,
        repeats=1,
        shard_size=8,
        batch_size=4,
        metrics=("outlier_rate", "mean_log_density"),
        engine="eager",
        precision="fp32",
        device="cpu",
    )


def autoguidance_w3() -> RunSpec:
    return unguided().with_options(
        title="autoguidance, w = 3",
        curves=(CurveRef(series="autoguidance", at=3.0),),
        networks={"main": _MAIN, "guide": _GUIDE},
        scheme=autoguidance(3.0),
    )
