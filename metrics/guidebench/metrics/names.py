"""Names of the metrics of images. No torch, no numpy.

KIND:EXTRACTOR is a metric on the features of EXTRACTOR, `fd:dinov2-vits14` for one; `fid` and
`fd_dinov2` are the two that papers report.
"""

from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Final, Literal, final

from guidebench.base import UserError

UNTRAINED: Final = "untrained:"
DIGITS: Final = "digits"
"""The classifier of 8x8 digits that comes in the package."""

DINOV2: Final = tuple(
    f"dinov2-vit{size}14{registers}" for registers in ("", "-reg4") for size in "sblg"
)
"""FD_DINOv2 is taken on dinov2-vitl14, without registers."""

OWN_GROUP: Final = "guidebench.features"
"""Entry points under which installed packages offer feature networks of their own."""

Kind = Literal[
    "fd", "fd_infinity", "kid", "cmmd", "is", "precision_recall", "density_coverage", "copies"
]
KINDS: Final[dict[Kind, tuple[str, str]]] = {
    "fd": ("FD", "inception"),
    "fd_infinity": ("FD∞", "inception"),
    "kid": ("KID", "inception"),
    "cmmd": ("CMMD", "dinov2-vitl14"),
    "is": ("IS", "inception"),
    "precision_recall": ("", "inception"),
    "density_coverage": ("", "dinov2-vitl14"),
    "copies": ("copies", "dinov2-vitl14"),
}
"""How tables write each kind, and the features that it is taken on unless others are named."""

COVERS: Final = {
    "fd_infinity": "the value at infinitely many images",
    "recall": "the expectation over real images, for these samples",
}
"""What an interval is for, where that is not the expectation at this number of images."""

ALONE: Final[tuple[Kind, ...]] = ("fd", "fd_infinity", "is")
"""Kinds that need no features of real images: statistics of them, or nothing."""

_PAPERS: Final = {"fid": ("FID", "inception"), "fd_dinov2": ("FD_DINOv2", "dinov2-vitl14")}


@final
@dataclass(frozen=True, slots=True)
class ImageMetric:
    """A metric: its name, how tables write it, and the features that it is taken on."""

    name: str
    label: str
    extractor: str
    kind: Kind = "fd"


def own_extractors() -> dict[str, EntryPoint]:
    """What installed packages offer, by name. Our names stay ours: no package takes FID's place."""
    ours = {"inception", DIGITS, *DINOV2}
    found = {entry.name: entry for entry in entry_points(group=OWN_GROUP)}
    return {n: e for n, e in found.items() if n not in ours and not n.startswith(UNTRAINED)}


def has_published_weights(extractor: str) -> bool:
    """Whether an extractor's weights are a file of the cache: not so for digits and untrained."""
    own = extractor == DIGITS or extractor.startswith(UNTRAINED)
    return not own and extractor not in own_extractors()


def image_metric(name: str) -> ImageMetric:
    """Parse the name of a metric that needs no more than statistics of real images.

    >>> image_metric("fid").extractor
    'inception'
    >>> image_metric("fd:untrained:inception").extractor
    'untrained:inception'

    Raises:
        UserError: for a name that is no such metric.
    """
    kind = name.partition(":")[0]
    if name not in _PAPERS and (kind not in ALONE or name == "fd"):
        there = ", ".join((*_PAPERS, *ALONE[1:]))
        msg = f"images have no metric {name}; they have {there} and fd:EXTRACTOR"
        raise UserError(msg)
    return measured_metric(name)


def measured_metric(name: str) -> ImageMetric:
    """Parse the name of any metric of images, those that need real images included.

    >>> measured_metric("kid").label, measured_metric("copies:inception").label
    ('KID', 'copies inception')

    Raises:
        UserError: for a name that is no metric.
    """
    if name in _PAPERS:
        return ImageMetric(name, *_PAPERS[name])
    kind, colon, extractor = name.partition(":")
    found: Kind | None = next((k for k in KINDS if k == kind), None)
    if found is None or (colon and not extractor) or name == "fd":
        there = ", ".join((*_PAPERS, *KINDS))
        msg = f"there is no metric {name!r}; there are {there}, and KIND:EXTRACTOR of each kind"
        raise UserError(msg)
    label, own = KINDS[found]
    return ImageMetric(
        name, f"{label} {extractor}".strip() if colon else label, extractor or own, found
    )
