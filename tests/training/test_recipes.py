"""The shipped recipes still do what they did when the shipped networks were trained."""

from dataclasses import replace

import pytest

from guidebench.checkpoints.builtin import builtin_networks
from guidebench.training.loop import Recipe, train
from guidebench.training.recipes import RECIPES

ALL = [r for suite in RECIPES.values() for r in suite]


def test_names_are_unique_and_of_their_suite() -> None:
    assert len({r.name for r in ALL}) == len(ALL)
    assert all(r.name.startswith(f"{s}-") for s, recipes in RECIPES.items() for r in recipes)


@pytest.mark.parametrize("recipe", ALL, ids=lambda r: r.name)
def test_ends_with_a_snapshot(recipe: Recipe) -> None:
    assert recipe.snapshot_iterations[-1] == recipe.iterations


@pytest.mark.parametrize("recipe", ALL, ids=lambda r: r.name)
def test_first_losses_are_those_of_the_shipped_network(recipe: Recipe) -> None:
    expected = builtin_networks()[recipe.name].first_losses
    num = len(expected)
    assert num == 8
    found = train(replace(recipe, iterations=num, snapshot_iterations=(num,))).losses
    assert found == pytest.approx(expected, rel=1e-3)
