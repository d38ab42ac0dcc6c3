"""One measured run, as it is stored: versioned, unrounded, strict JSON. Imports no torch.

What was not measured is `None`, and `reasons` says why under the field's name: never NaN.
"""

import json
from pathlib import Path
from typing import Any, ClassVar, Final, Literal, Self

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from guidebench.base import UserError, atomic_write

AT_THIS_NUMBER: Final = "the expectation at this number of images"
Better = Literal["lower", "higher", "neither"]
CurveAxis = Literal["weight", "ema_main", "ema_guide"]


class RecordError(UserError):
    """A stored record that cannot be used; the message names the file and the way out."""


class Part(BaseModel):
    """Base of everything in a record: frozen, no unknown fields, finite numbers only."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Display(Part):
    """How a report shows a metric; the stored value is never rounded or scaled."""

    label: str
    better: Better
    percent: bool = False


class StatisticsSource(Part):
    """What a metric was measured against."""

    name: str
    sha256: str
    num_images: int | None


class FeatureSource(Part):
    """What turned images into features.

    `comparable` is false where the features are not those of the published metric, so that its
    values mean something within one table only: an untrained network, for tests. `extractor_id`
    covers weights, resize, precision and version of the code, where the extractor has one.
    """

    name: str
    weights_sha256: str
    resize: str | None
    precision: str
    tf32: bool
    comparable: bool = True
    extractor_id: str | None = None


class BiasCorrected(Part):
    """A distance without its bias at finite N, by the block jackknife.

    `interval_95` covers the value at infinite N. `standard_error` is also the block jackknife's
    own error of the plain value, to hold beside the influences'.
    """

    value: float
    standard_error: float
    interval_95: tuple[float, float]
    blocks: int


class MetricResult(Part):
    """One metric of one run.

    `value` is the mean of `repeats`; `standard_error` and `interval_95` are over seeds and
    cover the expectation at this number of images, so they hold the finite-N bias that
    `noise_floor` shows: the value that a perfect sampler would get on average at this N;
    `noise_floor_method` says how a Fréchet distance's was found, "closed form" or "simulated".
    """

    value: float
    standard_error: float
    interval_95: tuple[float, float]
    num_images: int
    noise_floor: float | None
    noise_floor_standard_error: float | None
    repeats: tuple[float, ...]
    display: Display
    reference: StatisticsSource | None
    features: FeatureSource | None
    terms: dict[str, float] = Field(default_factory=dict)
    interval_covers: str = AT_THIS_NUMBER
    noise_floor_method: str | None = None
    corrected: BiasCorrected | None = None


class PublishedValue(Part):
    """What a paper reports for a metric of a row.

    `note` says what makes it another quantity than ours, such as "best of 3".
    """

    value: float
    source: str
    note: str | None = None


class NetworkUse(Part):
    """A network in its role; `ema` is the power-function EMA length sigma_rel, if any."""

    name: str
    ema: float | None
    sha256: str
    parameters: int


class Memory(Part):
    """Peak bytes of a rank; `host` is the resident set of its process, `device` all of a GPU's."""

    allocated: int | None
    reserved: int | None
    device: int | None
    host: int | None


class Phases(Part):
    """Seconds that went into each phase, summed over all ranks.

    `load` reads networks, `warm_up` is first calls; the others are of all later batches.
    """

    load: float
    warm_up: float
    sample: float
    decode: float
    features: float


class RankCost(Part):
    """What one rank of a run did. `host` and `device` tell ranks on one machine or device.

    Energy and `idle_watts` are those of the whole device, as NVML counts them.
    """

    host: str
    device: str
    device_name: str
    images: int
    images_per_second: float | None
    peak_memory_bytes: Memory
    energy_joules: float | None = None
    idle_watts: float | None = None


class Cost(Part):
    """What the samples cost. Raw repeats are kept in `batch_seconds`.

    A multiply-add is two FLOPs. `fraction_of_peak` is the networks' FLOPs over the time spent in
    the sampler, by `peak_flops_per_second`: the rate of a square matrix product on the same
    device, threads and precision. `images_per_second` is the sum over ranks of their own rates; a
    rank that had other rows to do meanwhile counts at the mean rate, so that rows compare.

    `reduced_batch_size` is the smallest size that was used after memory ran out; None where
    every batch had `batch_size`, and only then are the bits those of the spec.
    """

    device: str
    engine: str
    precision: str
    batch_size: int
    reduced_batch_size: int | None = None
    ranks: int
    threads_per_rank: int
    images_per_second: float | None
    images_per_second_per_device: float | None
    network_calls_per_image: dict[str, int]
    flops_per_image: float | None
    fraction_of_peak: float | None
    peak_memory_bytes: Memory
    energy_joules_per_image: float | None
    first_call_seconds: float | None
    batch_seconds: tuple[float, ...]
    doubts: tuple[str, ...]
    peak_flops_per_second: float | None = None
    total_peak_memory_bytes: Memory | None = None
    phases: Phases | None = None
    per_rank: tuple[RankCost, ...] = ()


class CurvePoint(Part):
    """This row's place on a curve of metric against guidance weight or an EMA length."""

    series: str
    at: float = Field(validation_alias=AliasChoices("at", "weight"))  # as first written
    axis: CurveAxis = "weight"


class Seeds(Part):
    """Seeds first, first + 1, ... of each repeat; repeats follow each other."""

    first: int
    num_per_repeat: int
    repeats: int


class Attachment(Part):
    """A safetensors file beside the record, with arrays that a report draws or pairs."""

    file: str
    sha256: str


class Record(Part):
    """What was run, on what, and every number that came out, unrounded.

    `role` is "truth" for the row of real data, "table" for a row of the suite's table and
    "curve" for a row that only adds points to a curve; `order` is its place in the suite.
    `published` has what papers report, by metric; `moments` the mean and covariance of features;
    `suite_file` the file of a suite that is not built in, as the command named it.
    """

    FORMAT: ClassVar[int] = 1

    suite: str
    suite_title: str
    row: str
    title: str
    role: Literal["truth", "table", "curve"]
    order: int
    curves: tuple[CurvePoint, ...]
    spec_sha256: str
    samples_sha256: str
    scheme: dict[str, Any]
    networks: dict[str, NetworkUse]
    sampler: dict[str, Any] | None
    seeds: Seeds
    labels: str
    metrics: dict[str, MetricResult]
    cost: Cost
    environment: dict[str, str | int | float | bool | None]
    reasons: dict[str, str]
    per_seed: Attachment
    preview: Attachment | None
    published: dict[str, PublishedValue] = Field(default_factory=dict)
    moments: Attachment | None = None
    suite_file: str | None = None

    @property
    def runs_as(self) -> str:
        """What `guidebench run` takes for this row: SUITE::ROW, or FILE.py::ROW."""
        return f"{self.suite_file or self.suite}::{self.row}"

    def save(self, path: Path) -> None:
        """Write as strict JSON, whole or not at all."""
        fields = {"format": self.FORMAT, **self.model_dump(mode="json")}
        text = json.dumps(fields, indent=2, allow_nan=False, ensure_ascii=False)
        atomic_write(path, (text + "\n").encode())

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a record of this format.

        Raises:
            RecordError: for a file that is cut, not a record, or of another format.
        """
        if not path.is_file():
            msg = f"there is no record {path}; name a record.json, or the folder that holds it"
            raise RecordError(msg)
        try:
            fields = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            msg = f"{path} is not readable as a record ({error}); run its suite again to remake it"
            raise RecordError(msg) from error
        found = fields.pop("format", None) if isinstance(fields, dict) else None
        if found != cls.FORMAT:
            what = "no record format" if found is None else f"record format {found}"
            msg = (
                f"{path} has {what}, this version reads {cls.FORMAT}; "
                "run its suite again to remake it"
            )
            raise RecordError(msg)
        try:
            return cls.model_validate(fields)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(p) for p in first["loc"])
            msg = f"{path}: {where}: {first['msg']}; run its suite again to remake it"
            raise RecordError(msg) from error
