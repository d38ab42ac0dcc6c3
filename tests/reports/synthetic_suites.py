"""The two suites made of synthetic numbers: every scheme sees the same noise, as in a real run.

Shapes: N seeds, C mixture components, H grid rows, W grid columns, K images.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from guidebench.reports.record import CurvePoint, Display

from .synthetic import Floats, Row, metric, write_run

GOLDEN = Path(__file__).parent.parent / "golden" / "toy_fractal.npz"
SIGMA, TIMES = "\N{GREEK SMALL LETTER SIGMA}", "\N{MULTIPLICATION SIGN}"
NUM_POINTS = 4096
NUM_DIGITS = 2048
FRACTAL_DISPLAY = {
    "outlier_rate": Display(label="Outlier rate", better="lower", percent=True),
    "mean_log_density": Display(label="Mean log-density", better="neither"),
    "occupancy_divergence": Display(label="Occupancy divergence", better="lower"),
    "sliced_wasserstein": Display(label="Sliced Wasserstein", better="lower"),
}
DIGIT_DISPLAY = {
    "fd_digits": Display(label="FD (digits)", better="lower"),
    "agreement": Display(label="Label agreement", better="higher", percent=True),
    "nearest_is_training": Display(label="Nearest is training", better="neither", percent=True),
}


class Mixture:
    """The published toy's class A: C Gaussians, log density and samples."""

    def __init__(self) -> None:
        stored = np.load(GOLDEN)
        self.weight_C: Floats = stored["A/phi"].astype(np.float64)
        self.weight_C /= self.weight_C.sum()
        self.mean_C2: Floats = stored["A/mu"].astype(np.float64)
        self.cov_C22: Floats = stored["A/Sigma"].astype(np.float64)

    def sample(self, rng: np.random.Generator, count: int) -> Floats:
        which_N = rng.choice(len(self.weight_C), count, p=self.weight_C)
        root_C22 = np.linalg.cholesky(self.cov_C22)
        noise_N2 = rng.standard_normal((count, 2))
        moved_N2: Floats = np.einsum("nij,nj->ni", root_C22[which_N], noise_N2)
        return self.mean_C2[which_N] + moved_N2

    def log_density(self, x_N2: Floats) -> Floats:
        inverse_C22 = np.linalg.inv(self.cov_C22)
        scale_C = np.log(self.weight_C) - 0.5 * np.linalg.slogdet(2 * np.pi * self.cov_C22)[1]
        found_N = np.empty(len(x_N2))
        for chunk in np.array_split(np.arange(len(x_N2)), max(1, len(x_N2) // 1000)):
            x_NC, y_NC = (x_N2[chunk, i, None] - self.mean_C2[None, :, i] for i in (0, 1))
            terms_NC = scale_C - 0.5 * (
                x_NC**2 * inverse_C22[:, 0, 0]
                + 2 * x_NC * y_NC * inverse_C22[:, 0, 1]
                + y_NC**2 * inverse_C22[:, 1, 1]
            )
            top_N = terms_NC.max(axis=1)
            found_N[chunk] = top_N + np.log(np.exp(terms_NC - top_N[:, None]).sum(axis=1))
        return found_N


def _grid(mixture: Mixture, size: int) -> dict[str, np.ndarray]:
    extent = (-0.9, 1.5, -0.9, 1.5)
    xs, ys = np.linspace(*extent[:2], size), np.linspace(*extent[2:], size)
    at_N2 = np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2)
    near = np.abs(at_N2[:, None] - mixture.mean_C2[None, ::8]).max(-1).min(-1) < 0.15
    log_N = np.full(len(at_N2), -60.0)
    log_N[near] = mixture.log_density(at_N2[near])
    return {
        "grid_log_density": log_N.reshape(size, size).astype(np.float32),
        "grid_extent": np.array(extent),
    }


def _fractal_points(mixture: Mixture) -> dict[str, Floats]:
    """Points of each scheme, moved from the same true draws."""
    rng = np.random.default_rng(1)
    true_N2 = mixture.sample(rng, NUM_POINTS)
    noise_N2, heavy_N = rng.standard_normal((NUM_POINTS, 2)), rng.random(NUM_POINTS)
    far_N2 = np.where(heavy_N[:, None] < 0.15, 0.07, 0.006) * noise_N2
    root = np.array([0.05, 0.08])
    return {
        "none": true_N2 + far_N2,
        "cfg": root + (true_N2 - root) * 1.04 + 0.10 * (true_N2 > 0.5) + 0.5 * far_N2,
        "cfg-interval": true_N2 + 0.55 * far_N2,
        "naive": root + (true_N2 - root) * 0.93 + 0.3 * far_N2,
        "autoguidance": true_N2 + 0.22 * far_N2,
    }


def write_fractal(
    out: Path, *, grid: int = 160, weights: Sequence[float] = (1.5, 2.0, 4.0, 5.0)
) -> None:
    """The truth, five schemes and two curves of the 2D suite."""
    mixture = Mixture()
    truth_N2 = mixture.sample(np.random.default_rng(0), NUM_POINTS)
    log_N = mixture.log_density(truth_N2)
    level = float(np.quantile(log_N, 0.01))
    suite = ("fractal", "2D fractal")
    extra = {**_grid(mixture, grid), "contour_log_density": np.array([level])}
    _write_points(out, suite, Row(row="truth", title="Truth", order=0, role="truth"), truth_N2,
                  log_N, level, extra)  # fmt: skip
    main, both = {"main": 63, "guide": 0}, {"main": 63, "guide": 63}
    start = (CurvePoint(series="CFG", at=1), CurvePoint(series="Autoguidance", at=1))
    rows = [
        Row(row="none", title="No guidance", order=1, calls=main, curves=start),
        Row(row="cfg", title="CFG, w = 4", order=2, calls=both,
            curves=(CurvePoint(series="CFG", at=4),)),
        Row(row="cfg-interval", title=f"CFG, w = 4, {SIGMA} in (0.1, 1]", order=3,
            calls={"main": 63, "guide": 21}, doubts=("only 3 repeats",)),
        Row(row="naive", title=f"Naive truncation, score {TIMES} 1.40", order=4, calls=main),
        Row(row="autoguidance", title="Autoguidance, w = 3", order=5, calls=both,
            curves=(CurvePoint(series="Autoguidance", at=3),), doubts=("only 3 repeats",)),
    ]  # fmt: skip
    points = _fractal_points(mixture)
    for row in rows:
        at_N2 = points[row.row]
        _write_points(out, suite, row, at_N2, mixture.log_density(at_N2), level, {})
    for weight in weights:
        for series, name, worst in (("CFG", "cfg", 0.9), ("Autoguidance", "autoguidance", 0.1)):
            if (name, weight) == ("cfg", 4.0):
                continue
            share = abs(weight - (2.0 if name == "cfg" else 3.0)) / 4
            at_N2 = points["none"] * share * worst + points[name] * (1 - share * worst)
            row = Row(row=f"{name}-w{weight:g}", title=f"{series}, w = {weight:g}", order=10,
                      role="curve", calls=both,
                      curves=(CurvePoint(series=series, at=weight),))  # fmt: skip
            _write_points(out, suite, row, at_N2, mixture.log_density(at_N2), level, None)


def _write_points(  # noqa: PLR0917
    out: Path,
    suite: tuple[str, str],
    row: Row,
    at_N2: Floats,
    log_N: Floats,
    level: float,
    extra: Mapping[str, np.ndarray] | None,
) -> None:
    outside_N = log_N < level
    shift_N = np.abs(at_N2[:, 0]) + 0.3 * at_N2[:, 1]
    raw = {
        "outlier_rate": (outside_N.astype(np.float64), 0.01),
        "mean_log_density": (np.maximum(log_N, -40), None),
        "occupancy_divergence": (0.05 + 0.6 * outside_N + 0.4 * shift_N**2 / 9, 0.031),
        "sliced_wasserstein": (0.004 + 0.02 * shift_N + 0.1 * outside_N, 0.0061),
    }
    influences = {name: np.ascontiguousarray(x - x.mean()) for name, (x, _) in raw.items()}
    metrics = {
        name: metric(influences[name], float(x.mean()), FRACTAL_DISPLAY[name], floor=floor)
        for name, (x, floor) in raw.items()
    }
    arrays: dict[str, Any] = {
        "points": at_N2.astype(np.float32),
        "highlight": outside_N.astype(np.uint8),
    }
    preview = None if extra is None else ("points", {**arrays, **extra})
    write_run(out, suite, row, metrics, influences, preview)


def _digit_rows() -> list[tuple[Row, float]]:
    main = {"main": 35, "guide": 0}
    both = {"main": 35, "guide": 35}
    titles = [
        ("none", "No guidance", main, 1.0),
        ("cfg", "CFG, w = 1.8", both, 0.62),
        (
            "cfg-interval",
            f"CFG, w = 2.4, {SIGMA} in (0.3, 3]",
            {"main": 35, "guide": 14},
            0.45,
        ),
        ("autoguidance", "Autoguidance, w = 2", both, 0.44),
        ("less-training", "Autoguidance, guide less trained only", both, 0.6),
        ("less-capacity", "Autoguidance, guide smaller only", both, 0.7),
        ("uncond", "Unconditional", main, 1.4),
        ("uncond-autoguidance", "Unconditional, autoguidance, w = 2", both, 0.8),
    ]
    rows = [(Row(row="real", title="Real test images", order=0, role="truth", repeats=2), 0.0)]
    for order, (name, title, calls, noise) in enumerate(titles, start=1):
        curve = (CurvePoint(series="Autoguidance", at=2.0),) if name == "autoguidance" else ()
        start = (CurvePoint(series="Autoguidance", at=1.0),) if name == "none" else curve
        rows.append((Row(row=name, title=title, order=order, calls=calls, curves=start,
                         repeats=2), noise))  # fmt: skip
    for weight, noise in ((1.5, 0.6), (2.5, 0.5), (3.0, 0.65)):
        point = (CurvePoint(series="Autoguidance", at=weight),)
        rows.append((Row(row=f"ag-w{weight:g}", title=f"Autoguidance, w = {weight:g}", order=20,
                         role="curve", calls=both, curves=point, repeats=2), noise))  # fmt: skip
    return rows


def _digit_images(count: int) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Strokes drawn from a seven-segment font: eight pixels a side, 0 to 255."""
    segments = ["abcdef", "bc", "abged", "abgcd", "fgbc", "afgcd", "afgedc", "abc", "abcdefg",
                "abcdfg"]  # fmt: skip
    boxes = {"a": (1, 2, 2, 6), "b": (1, 4, 5, 6), "c": (4, 7, 5, 6), "d": (6, 7, 2, 6),
             "e": (4, 7, 2, 3), "f": (1, 4, 2, 3), "g": (3, 4, 2, 6)}  # fmt: skip
    glyphs = np.zeros((10, 8, 8))
    for label, used in enumerate(segments):
        for segment in used:
            top, bottom, left, right = boxes[segment]
            glyphs[label, top:bottom, left:right] = 230
    labels_K = np.random.default_rng(3).integers(0, 10, count)
    return glyphs[labels_K], labels_K


def write_digits(out: Path) -> None:
    """Real images, eight schemes and one curve of the digits suite, two repeats a row."""
    clean_KHW, labels_K = _digit_images(200)
    rng = np.random.default_rng(4)
    blur_KHW, shared_N = rng.standard_normal(clean_KHW.shape), rng.standard_normal(NUM_DIGITS)
    for index, (row, noise) in enumerate(_digit_rows()):
        own_N = np.random.default_rng(100 + index).standard_normal(NUM_DIGITS)
        images_KHW = np.clip(clean_KHW + 75 * noise * blur_KHW, 0, 255).astype(np.uint8)
        base_N = shared_N + 0.3 * own_N
        raw = {"fd_digits": (18 * base_N, 3.1 + 14 * noise), "agreement": (0.2 * base_N,
               0.985 - 0.09 * noise), "nearest_is_training": (0.5 * base_N, 0.5)}  # fmt: skip
        influences = {name: np.ascontiguousarray(x - x.mean()) for name, (x, _) in raw.items()}
        metrics = {
            name: metric(
                influences[name],
                value,
                DIGIT_DISPLAY[name],
                floor=2.9 if name == "fd_digits" else None,
                repeats=[value * 0.99, value * 1.01] if row.repeats > 1 else None,
                features=True,
            )
            for name, (_, value) in raw.items()
        }
        arrays: dict[str, np.ndarray] = {"images": images_KHW, "labels": labels_K}
        preview = None if row.role == "curve" else ("images", arrays)
        write_run(out, ("digits", f"8{TIMES}8 digits"), row, metrics, influences, preview)
