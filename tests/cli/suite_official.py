"""Rows of the paper's Table 1, ImageNet-64, made small: few steps, few images, untrained features.

The names of the networks are the published ones; the files behind them are the test's own.
"""

from pathlib import Path

from guidebench.runs.catalog import load_suite
from guidebench.runs.spec import RunSpec
from guidebench.sampling import deterministic_heun

TITLE = "Table 1, made small"

_METRIC = "fd:untrained:dinov2-vits14"
_PAPER = {row.name: row.spec for row in load_suite("table1-img64")}


def _small(name: str) -> RunSpec:
    paper = _PAPER[name]
    return paper.with_options(
        sampler=deterministic_heun(4, sigma_max=80.0),
        num_images=12,
        shard_size=8,
        batch_size=4,
        metrics=(_METRIC,),
        published={_METRIC: paper.published["fid"]},
        reference=str(Path(__file__).with_name("img64.safetensors")),
    )


def none_() -> RunSpec:
    return _small("edm2-s-none-fid")


def cfg() -> RunSpec:
    return _small("edm2-s-cfg-fid")


def autoguidance() -> RunSpec:
    return _small("edm2-s-autoguidance-fid")
