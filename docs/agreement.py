"""Our features and metrics against other tools' on the same photographs and weights.

    python -m docs.agreement           prints the tables of docs/agreement.md
    python -m docs.agreement --write   and writes them there; about three minutes

Weights are random, the same on both sides: agreement does not depend on their values. pytorch-fid
and clean-fid are compared where they are installed.
"""

import importlib.util
import math
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_sample_images
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_isc import KEY_METRIC_ISC_MEAN, isc_features_to_metric
from torch_fidelity.metric_kid import kernel_poly, mmd2
from torch_fidelity.metric_prc import calculate_precision_recall_full

from guidebench.metrics import GaussianReference, frechet
from guidebench.metrics.features import dinov2, extractor, inception
from guidebench.metrics.inception_score import inception_score
from guidebench.metrics.kernel import kid
from guidebench.metrics.neighbours import manifold
from tests.reference.metrics_images import antialiased_bicubic, bicubic_with_scale, tf1_bilinear

Array = NDArray[Any]
Row = tuple[str, str, float, str]
SIDES: Final = (32, 64, 256, 299, 512)
TARGET: Final = Path(__file__).with_name("agreement.md")
CPU: Final = torch.device("cpu")
ZERO, ROUNDING, OTHER = "yes, exactly", "to rounding", "no: another resize"
SCALING: Final = "no: 2 x - 1, not (x - 128) / 128"


def photographs(side: int, num: int = 4) -> NDArray[np.uint8]:
    """Crops of scikit-learn's two photographs, 427 x 640, enlarged where they are too small."""
    rng = np.random.default_rng(side)
    found = []
    for place in range(num):
        photograph = load_sample_images().images[place % 2]
        if side > 400:
            photograph = np.asarray(Image.fromarray(photograph).resize((960, 640)))
        y, x = (rng.integers(0, n - side + 1) for n in photograph.shape[:2])
        found.append(photograph[y : y + side, x : x + side])
    return np.stack(found)


def gap(a: Array, b: Array) -> float:
    """Largest difference over the largest value of the second."""
    return float(np.abs(np.asarray(a, np.float64) - b).max() / np.abs(b).max())


def worst(ours: Callable[[Array], Array], theirs: Callable[[Array], Array], *sides: int) -> float:
    """Over crops of all sizes."""
    return max(gap(ours(x), theirs(x)) for x in map(photographs, sides))


def as_batch(images_BHWC: Array) -> torch.Tensor:
    """Bytes as networks take them."""
    return torch.from_numpy(np.ascontiguousarray(images_BHWC)).permute(0, 3, 1, 2)


def inception_rows() -> Iterator[Row]:
    """Against torch-fidelity, and what other tools' preparations do to the same network."""
    network = inception._network(None)  # noqa: SLF001
    extractor.randomise(network, 3)
    made = inception._extractor("inception", network, "0" * 64, CPU, comparable=False)  # noqa: SLF001
    ours = made.extract
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.pth"
        torch.save(network.state_dict(), path)
        theirs = FeatureExtractorInceptionV3(
            "inception-v3-compat", ["2048", "logits_unbiased"], str(path)
        )
    sizes = ", ".join(map(str, SIDES))

    def fidelity(x: Array, place: int = 0) -> Array:
        with torch.inference_mode():
            found: Array = theirs(as_batch(x))[place].numpy()
        return found

    def logits(x: Array) -> Array:
        assert made.logits is not None
        return made.logits(ours(x))

    name = "Inception features, torch-fidelity 0.4"
    yield name, sizes, worst(ours, fidelity, *SIDES), ZERO
    name = "Inception logits from cached features, torch-fidelity"
    yield name, sizes, worst(logits, lambda x: fidelity(x, 1), *SIDES), ROUNDING
    resized = [
        gap(_resize(x), np.stack([_literal_resize(i) for i in x])) for x in (photographs(64, 1),)
    ]
    yield "resized pixels, literal TensorFlow 1 bilinear", "64", max(resized), ROUNDING
    yield from _pytorch_fid(network, ours)
    yield from _clean_fid(network, ours)


def _resize(x: Array) -> Array:
    from torch_fidelity.interpolate_compat_tensorflow import (  # noqa: PLC0415
        interpolate_bilinear_2d_like_tensorflow1x as resize,
    )

    found: Array = resize(as_batch(x).float(), size=(299, 299), align_corners=False).numpy()
    return found


def _literal_resize(image_HWC: Array) -> Array:
    return np.stack([tf1_bilinear(image_HWC[..., c].astype(float), 299) for c in range(3)])


def _pytorch_fid(network: torch.nn.Module, ours: Callable[[Array], Array]) -> Iterator[Row]:
    try:
        from pytorch_fid import inception as module  # noqa: PLC0415
    except ImportError:
        return
    state = network.state_dict()
    module.load_state_dict_from_url = lambda *_, **__: state  # the same weights, no download
    theirs = module.InceptionV3([3]).eval()

    def features(x: Array) -> Array:
        with torch.inference_mode():
            found: Array = theirs(as_batch(x).float() / 255)[0].flatten(1).numpy()
        return found

    yield (
        "Inception features, pytorch-fid, no resize needed",
        "299",
        worst(ours, features, 299),
        SCALING,
    )
    yield "Inception features, pytorch-fid", "64", worst(ours, features, 64), OTHER
    yield "Inception features, pytorch-fid", "512", worst(ours, features, 512), OTHER


def _clean_fid(network: torch.nn.Module, ours: Callable[[Array], Array]) -> Iterator[Row]:
    """Its own networks are downloads; its preparations are code, given to our network."""
    try:
        from cleanfid.resize import build_resizer  # noqa: PLC0415
    except ImportError:
        return

    def features(mode: str) -> Callable[[Array], Array]:
        resize = build_resizer(mode)

        def take(x: Array) -> Array:
            prepared = np.stack([resize(image) for image in x])
            if mode == "legacy_tensorflow":
                return ours(prepared)  # resized inside the network, as ours
            return _without_resize(network, prepared)

        return take

    for mode, side, zero in (
        ("legacy_tensorflow", 64, ZERO), ("legacy_tensorflow", 512, ZERO),
        ("legacy_pytorch", 299, ROUNDING), ("legacy_pytorch", 512, OTHER), ("clean", 512, OTHER),
    ):  # fmt: skip
        name = f"Inception features, clean-fid's {mode} preparation"
        yield name, str(side), worst(ours, features(mode), side), zero


def _without_resize(network: torch.nn.Module, prepared_BHWC: Array) -> Array:
    """Float pixels of 299 x 299 through the network, past its uint8 check and its resize."""
    x = torch.from_numpy(prepared_BHWC).permute(0, 3, 1, 2).float()
    kept: list[torch.Tensor] = []
    handle = network.Conv2d_1a_3x3.register_forward_pre_hook(  # type: ignore[union-attr,operator]
        lambda _module, _inputs: ((x - 128) / 128,)
    )
    try:
        with torch.inference_mode():
            kept.append(network(torch.zeros(len(x), 3, 299, 299, dtype=torch.uint8))[0])
    finally:
        handle.remove()
    found: Array = kept[0].numpy()
    return found


def dinov2_rows() -> Iterator[Row]:
    """Against a literal position table and resize; and what timm alone would give."""
    name = "dinov2-vits14"
    network = dinov2._network(name, None)  # noqa: SLF001
    extractor.randomise(network, 5)
    own = network.state_dict()
    smooth = F.interpolate(
        torch.randn(1, 384, 9, 9, generator=torch.Generator().manual_seed(1)), size=(37, 37),
        mode="bicubic",
    )  # fmt: skip
    table = torch.cat([torch.zeros(1, 1, 384), smooth.flatten(2).transpose(1, 2)], dim=1)
    found = dinov2.resample_positions(table)
    grids = smooth[0].numpy().astype(float)
    literal = np.stack([bicubic_with_scale(g, 16, 16.1 / 37) for g in grids[:8]], -1)
    yield (
        "position table, literal bicubic with scale 16.1 / 37",
        "37 to 16",
        gap(found[0, 1:, :8].numpy(), literal.reshape(256, 8)),
        ROUNDING,
    )

    def features(positions: torch.Tensor) -> Callable[[Array], Array]:
        network.load_state_dict(own | {"pos_embed": positions})

        def take(x: Array) -> Array:
            with torch.inference_mode():
                found: Array = network(dinov2.preprocess(as_batch(x))).numpy()
            return found

        return take

    crops = photographs(256)
    ours = features(found)(crops)
    theirs = torch.cat([table[:, :1], torch.from_numpy(_literal_table(grids))[None].float()], dim=1)
    yield "DINOv2 features, literal table", "256", gap(ours, features(theirs)(crops)), ROUNDING
    resampled = F.interpolate(smooth, size=(16, 16), mode="bicubic", antialias=True)
    timms = torch.cat([table[:, :1], resampled.flatten(2).transpose(1, 2)], dim=1)
    yield "DINOv2 features, timm's own table", "256", gap(ours, features(timms)(crops)), OTHER
    pixels = dinov2.preprocess(as_batch(photographs(300, 1)))[0].numpy()
    wide = photographs(300, 1)[0].astype(float)
    expected = np.stack([antialiased_bicubic(wide[..., c], 224) for c in range(3)])
    mean, std = (np.array(v)[:, None, None] for v in (dinov2._MEAN, dinov2._STD))  # noqa: SLF001
    yield (
        "resized and normalised pixels, literal antialiased bicubic",
        "300",
        gap(pixels, (expected / 255 - mean) / std),
        ROUNDING,
    )


def _literal_table(grids: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.stack([bicubic_with_scale(g, 16, 16.1 / 37) for g in grids], -1).reshape(256, -1)


def _frechet_by_pytorch_fid(a_ND: NDArray[np.float32], b_ND: NDArray[np.float32]) -> float:
    from pytorch_fid.fid_score import calculate_frechet_distance  # noqa: PLC0415  optional

    means = [x.mean(0, dtype=np.float64) for x in (a_ND, b_ND)]
    covs = [np.cov(x, rowvar=False) for x in (a_ND, b_ND)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scipy's word on `disp`
        return float(calculate_frechet_distance(means[0], covs[0], means[1], covs[1]))


def metric_rows() -> Iterator[Row]:
    """On the same features; torch-fidelity's mean is float32."""
    rng = np.random.default_rng(0)
    a = (rng.normal(size=(900, 64)) * 1.2 + 0.1).astype(np.float32)
    b = rng.normal(size=(1000, 64)).astype(np.float32)
    ours = frechet(a, GaussianReference.from_features(b, name="b")).value
    stats = [fid_features_to_statistics(torch.from_numpy(x)) for x in (a, b)]
    theirs = float(next(iter(fid_statistics_to_metric(*stats, verbose=False).values())))
    yield "Fréchet distance, torch-fidelity", "900, 1,000", abs(ours / theirs - 1), ROUNDING
    if importlib.util.find_spec("pytorch_fid"):
        theirs = _frechet_by_pytorch_fid(a, b)
        yield "Fréchet distance, pytorch-fid", "900, 1,000", abs(ours / theirs - 1), ROUNDING
    options = {"kid_kernel_poly_degree": 3, "kid_kernel_poly_gamma": None,
               "kid_kernel_poly_coef0": 1.0}  # fmt: skip
    x, y = a[:900].astype(float), b[:900].astype(float)
    theirs = mmd2(*(kernel_poly(p, q, **options) for p, q in ((x, x), (x, y), (y, y))))
    yield (
        "KID over all pairs, torch-fidelity's MMD",
        "900, 900",
        abs(kid(x, y).value / theirs - 1),
        ROUNDING,
    )
    theirs = isc_features_to_metric(torch.from_numpy(a), splits=1)[KEY_METRIC_ISC_MEAN]
    yield (
        "Inception score in one split, torch-fidelity",
        "900",
        abs(inception_score(a).value / theirs - 1),
        ROUNDING,
    )
    found = manifold(a, b, k=3)
    pair = calculate_precision_recall_full(torch.from_numpy(a), torch.from_numpy(b), 3)
    yield (
        "precision and recall, torch-fidelity",
        "900, 1,000",
        max(abs(found.precision.value - pair[0]), abs(found.recall.value - pair[1])),
        ROUNDING,
    )


def text() -> str:
    """The page."""
    rows = [*inception_rows(), *dinov2_rows(), *metric_rows()]
    lines = [
        "| compared with | sizes | largest relative difference | should be zero |",
        "|---|---|---|---|",
        *(f"| {name} | {size} | {_number(found)} | {zero} |" for name, size, found, zero in rows),
    ]
    return "\n".join([_HEAD, *lines, "", _FOOT, ""])


def _number(found: float) -> str:
    return "0" if not found else f"{found:.1g}" if math.isfinite(found) else "not finite"


_HEAD: Final = """\
# Agreement with other tools

Made by `nox -s agreement`, on crops of scikit-learn's two photographs and with random weights that
are the same on both sides: the published files were not at hand. Differences are the largest one
over the largest value.
"""
_FOOT: Final = """\
pytorch-fid and clean-fid's `legacy_pytorch` resize by half-pixel bilinear without antialias,
`clean` by Pillow's bicubic: their values are other metrics than the FID of the EDM papers, so a
reference made with them is refused unless its features are named on import. clean-fid's own
networks are downloads; its preparations are given to our network. timm's own position table differs
from DINOv2's, so FD_DINOv2 needs ours. The Inception score is ours in one split; other tools
average over ten. torch-fidelity keeps the mean in float32."""


def main() -> None:
    """Print, and write where asked."""
    found = text()
    print(found)
    if "--write" in sys.argv[1:]:
        TARGET.write_text(found, encoding="utf-8")


if __name__ == "__main__":
    main()
