"""Names of the metrics of images. No torch, no numpy.

KIND:EXTRACTOR is a metric on the features of EXTRACTOR, `fd:dinov2-vits14` for one; `fid` and
`fd_dinov2` are the two that papers report.
"""

from dataclasses import dataclass
from typing import Final, Literal, final

from guidebench.base import UserError

UNTRAINED: Final = "untrained:"
Kind = Literal["fd", "kid", "cmmd", "precision_recall", "density_coverage", "copies"]
KINDS: Final[dict[Kind, tuple[str, str]]] = {
    "fd": ("FD", "inception"),
    "kid": ("KID", "inception"),
    "cmmd": ("CMMD", "dinov2-vitl14"),
    "precision_recall": ("", "inception"),
    "density_coverage": ("", "dinov2-vitl14"),
    "copies": ("copies", "dinov2-vitl14"),
}
"""How tables write each kind, and the features that it is taken on unless others are named."""

_PAPERS: Final = {"fid": ("FID", "inception"), "fd_dinov2": ("FD_DINOv2", "dinov2-vitl14")}


@final
@dataclass(frozen=True, slots=True)
class ImageMetric:
    """A metric: its name, how tables write it, and the features that it is taken on."""

    name: str
    label: str
    extractor: str
    kind: Kind = "fd"


def image_metric(name: str) -> ImageMetric:
    """Parse the name of a metric that needs statistics of real images alone.

    >>> image_metric("fid").extractor
    'inception'
    >>> image_metric("fd:untrained:inception").extractor
    'untrained:inception'

    Raises:
        UserError: for a name that is no such metric.
    """
    if name in _PAPERS:
        return ImageMetric(name, *_PAPERS[name])
    kind, _, extractor = name.partition(":")
    if kind != "fd" or not extractor:
        msg = f"images have no metric {name}; they have {', '.join(_PAPERS)} and fd:EXTRACTOR"
        raise UserError(msg)
    return ImageMetric(name, f"FD {extractor}", extractor)


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
        msg = f"there is no metric {name}; there are {there}, and KIND:EXTRACTOR of each kind"
        raise UserError(msg)
    label, own = KINDS[found]
    return ImageMetric(
        name, f"{label} {extractor}".strip() if colon else label, extractor or own, found
    )
