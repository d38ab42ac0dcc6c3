"""Names of the metrics of images. No torch, no numpy.

fd:EXTRACTOR is the Fréchet distance on the features of EXTRACTOR; `fid` and `fd_dinov2` are the
two that papers report.
"""

from dataclasses import dataclass
from typing import Final, final

from guidebench.base import UserError

UNTRAINED: Final = "untrained:"
_PREFIX: Final = "fd:"
_KNOWN: Final = {"fid": "inception", "fd_dinov2": "dinov2-vitl14"}
_LABELS: Final = {"fid": "FID", "fd_dinov2": "FD_DINOv2"}


@final
@dataclass(frozen=True, slots=True)
class ImageMetric:
    """A Fréchet distance: its name, how tables write it, and the features that it is taken on."""

    name: str
    label: str
    extractor: str


def image_metric(name: str) -> ImageMetric:
    """Parse a metric's name.

    >>> image_metric("fid").extractor
    'inception'
    >>> image_metric("fd:untrained:inception").extractor
    'untrained:inception'

    Raises:
        UserError: for a name that is no metric of images.
    """
    if name in _KNOWN:
        return ImageMetric(name, _LABELS[name], _KNOWN[name])
    extractor = name.removeprefix(_PREFIX)
    if not name.startswith(_PREFIX) or not extractor:
        msg = f"images have no metric {name}; they have {', '.join(_KNOWN)} and fd:EXTRACTOR"
        raise UserError(msg)
    return ImageMetric(name, f"FD {extractor}", extractor)
