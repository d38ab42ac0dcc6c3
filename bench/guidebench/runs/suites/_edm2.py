"""What the suites of published networks share: networks by name, optima as printed, whole rows."""

from dataclasses import dataclass, replace
from typing import Final, Literal, final

from guidebench.guidance.catalog import autoguidance, cfg, cfg_interval, none
from guidebench.guidance.scheme import Scheme
from guidebench.runs.spec import CheckpointRef, CurveRef, Degradation, Published, RunSpec
from guidebench.sampling import deterministic_heun

AUTOGUIDANCE_PAPER: Final = "arXiv:2406.02507"
EDM2_PAPER: Final = "arXiv:2312.02696"
BEST_OF_3: Final = "best of 3 evaluations of 50,000 images"
SAMPLER: Final = deterministic_heun(32, sigma_max=80.0)
_BATCH_SIZES: Final = {"img512": 32, "img64": 64}
_METRICS: Final = ("fid", "fd_dinov2")
_SETTINGS: Final = {"fid": "FID setting", "fd_dinov2": "FD_DINOv2 setting"}

Data = Literal["img512", "img64"]


@final
@dataclass(frozen=True, slots=True)
class Model:
    """A training run at a time: `kimg` thousands of images seen, cut off as file names do."""

    data: Data
    size: str
    kimg: int
    unconditional: bool = False

    def after(self, kimg: int) -> "Model":
        """The same run, earlier."""
        return replace(self, kimg=kimg)

    def averaged(self, ema: float, degradation: Degradation | None = None) -> CheckpointRef:
        """The network of this run with EMA length `ema`, by its published name."""
        kind = "-uncond" if self.unconditional else ""
        name = f"edm2-{self.data}-{self.size}{kind}-{self.kimg:07d}-{ema:.3f}"
        return CheckpointRef(checkpoint=name, degradation=degradation)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class At:
    """A published value and where its paper found it: weight, EMA lengths, interval."""

    value: float
    ema: float
    w: float = 1.0
    guide_ema: float | None = None
    interval: tuple[float, float] | None = None
    note: str = BEST_OF_3


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Unrunnable:
    """A row that a paper prints and no suite can run, with the reason."""

    title: str
    value: float
    ema: float
    source: str
    reason: str


def pair(
    title: str, source: str, main: Model, guide: Model | None = None, *, fid: At, fd_dinov2: At
) -> dict[str, RunSpec]:
    """A row of a paper: once as it is best for FID, once for FD_DINOv2. Both measure both.

    A conditional network guided by an unconditional one is CFG, any other pair autoguidance.
    """
    return {
        key: setting(title, source, main, guide, metric=metric, at=at)
        for key, metric, at in (("fid", "fid", fid), ("fd-dinov2", "fd_dinov2", fd_dinov2))
    }


def setting(
    title: str, source: str, main: Model, guide: Model | None = None, *, metric: str, at: At
) -> RunSpec:
    """One of a pair: the row where its paper found the best value of `metric`."""
    networks = {"main": main.averaged(at.ema)}
    weight = ""
    if guide is not None:
        assert at.guide_ema is not None
        role = "guide" if guide.unconditional == main.unconditional else "unconditional"
        networks[role] = guide.averaged(at.guide_ema)
        weight = f", w = {at.w:g}"
    published = Published(value=at.value, source=source, note=at.note)
    return image_row(
        f"{title}{weight} ({_SETTINGS[metric]})",
        main.data,
        networks,
        _scheme(networks, at),
        published={metric: published},
    )


def _scheme(networks: dict[str, CheckpointRef], at: At) -> Scheme:
    if "guide" in networks:
        return autoguidance(at.w)
    if "unconditional" not in networks:
        return none()
    if at.interval is None:
        return cfg(at.w)
    lo, hi = at.interval
    return cfg_interval(at.w, level(lo), level(hi))


def level(printed: float) -> float:
    """The sampler's noise level that rounds to a printed bound of an interval.

    The bounds of arXiv:2404.07724 are levels of the 32-step schedule with two decimals; the
    levels themselves decide which steps are guided.
    """
    (found,) = (s.sigma for s in SAMPLER.steps() if f"{s.sigma:.2f}" == f"{printed:.2f}")
    return found


def image_row(
    title: str,
    data: Data,
    networks: dict[str, CheckpointRef],
    scheme: Scheme,
    *curves: CurveRef,
    published: dict[str, Published],
    metrics: tuple[str, ...] = _METRICS,
    role: Literal["table", "curve"] = "table",
) -> RunSpec:
    """50,000 images as both papers sample them; device and precision are the run command's."""
    return RunSpec(
        title=title,
        role=role,
        curves=curves,
        domain="images",
        source="sampler",
        networks=networks,
        reference=data,
        published=published,
        scheme=scheme,
        sampler=SAMPLER,
        num_images=50_000,
        first_seed=0,
        repeats=1,
        shard_size=512,
        batch_size=_BATCH_SIZES[data],
        metrics=metrics,
        engine="eager",
        precision="fp32",
        device="cpu",
    )


XXS_512: Final = Model("img512", "xxs", 2147483)
XS_512: Final = Model("img512", "xs", 2147483)
S_512: Final = Model("img512", "s", 2147483)
M_512: Final = Model("img512", "m", 2147483)
L_512: Final = Model("img512", "l", 1879048)
XL_512: Final = Model("img512", "xl", 1342177)
XXL_512: Final = Model("img512", "xxl", 939524)
S_UNCOND_512: Final = Model("img512", "s", 2147483, unconditional=True)
XS_UNCOND_512: Final = Model("img512", "xs", 2147483, unconditional=True)
XS_64: Final = Model("img64", "xs", 1073741)
S_64: Final = Model("img64", "s", 1073741)
M_64: Final = Model("img64", "m", 2147483)
L_64: Final = Model("img64", "l", 1073741)
XL_64: Final = Model("img64", "xl", 671088)
XS_UNCOND_64: Final = Model("img64", "xs", 2147483, unconditional=True)
