"""Whole trainings against the shipped files: slow, `nox -s slow`.

Not bit for bit: another processor may round a sum differently, and training amplifies that.
"""

import pytest

from guidebench.checkpoints.builtin import builtin_networks
from guidebench.training.loop import train
from guidebench.training.recipes import RECIPES
from guidebench.training.tasks import held_out_accuracy

BY_NAME = {recipe.name: recipe for suite in RECIPES.values() for recipe in suite}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fractal-guide", "digits-small", "digits-classifier"])
def test_retraining_reaches_the_shipped_loss(name: str) -> None:
    shipped, trained = builtin_networks()[name], train(BY_NAME[name])
    final = sum(trained.losses[-100:]) / 100
    assert final == pytest.approx(shipped.final_loss, rel=0.1, abs=0.01)
    assert trained.file.num_parameters == shipped.parameters
    if "held_out_accuracy" in shipped.checks:
        last = trained.file.snapshots[-1]
        assert held_out_accuracy(trained.file.reconstruct(last.iteration, last.ema)) >= 0.97
