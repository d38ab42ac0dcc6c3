"""The rules of recorded regions, held by the stand-in: each fault that a GPU hides is an error."""

import contextlib
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from guidebench.engines.graphs import WARM_UPS, Region, Replay
from guidebench.engines.safety import UnsafeRegionError, check_operation
from guidebench.engines.stand_in import ReplayError, StandInGraphs


class Step:
    """x <- 2 x + y on static tensors, with a switch for each fault."""

    def __init__(self) -> None:
        self.x, self.y = torch.ones(3), torch.zeros(3)
        self.scale = 2.0
        self.extra: Callable[[Tensor], Tensor] = lambda x: x

    def region(self) -> Tensor:
        self.x.copy_(self.extra(self.scale * self.x + self.y))
        return self.x

    def statics(self) -> dict[str, Tensor]:
        return {"x": self.x, "y": self.y}


def recorded(step: Step) -> Replay:
    graphs = StandInGraphs()
    return Replay(graphs.record(step.region, graphs.new_pool()), step.statics)


def test_replays_on_new_values() -> None:
    step = Step()
    replay = recorded(step)
    for start in (1.0, -4.0):
        step.x.fill_(start)
        step.y.fill_(0.5)
        replay()
        assert torch.equal(replay(), torch.full((3,), 2 * (2 * start + 0.5) + 0.5))


def test_recording_computes_nothing_that_can_be_used() -> None:
    graphs, x = StandInGraphs(), torch.ones(2)
    results: list[Tensor] = []

    def region() -> Tensor:
        results.append(x + 1)
        return results[-1]

    replay = graphs.record(region, graphs.new_pool())
    assert results[-1].isnan().all()
    assert torch.equal(replay(), torch.full((2,), 2.0))


def test_recording_warms_up_and_then_runs_nothing() -> None:
    """What static tensors hold afterwards is what the warm-up left."""
    graphs, x = StandInGraphs(), torch.zeros(2)
    graphs.record(lambda: x.add_(1), graphs.new_pool())
    assert torch.equal(x, torch.full((2,), float(WARM_UPS)))


def test_what_another_region_of_the_pool_made_is_overwritten_before_a_replay() -> None:
    graphs, x = StandInGraphs(), torch.ones(2)
    pool, made = graphs.new_pool(), list[Tensor]()

    def first() -> Tensor:
        made.append(x + 1)
        return made[-1]

    replay_first = graphs.record(first, pool)
    left = made[-1]
    replay_second = graphs.record(lambda: left * 1, pool)
    replay_first()
    assert torch.isnan(replay_second()).all()


def test_a_rebound_input_is_refused_with_its_name() -> None:
    step = Step()
    replay = recorded(step)
    step.y = torch.ones(3)
    with pytest.raises(ValueError, match="y was rebound after recording; copy new values into it"):
        replay()


def test_a_rebound_tensor_that_nobody_declared_is_found_by_the_walk() -> None:
    step = Step()
    graphs = StandInGraphs()
    replay = graphs.record(step.region, graphs.new_pool())
    replay()
    step.y = torch.ones(3)
    with pytest.raises(ReplayError, match="takes another tensor than the recorded one"):
        replay()


def test_a_frozen_python_number_is_found() -> None:
    step = Step()
    replay = recorded(step)
    replay()
    step.scale = 3.0
    with pytest.raises(ReplayError, match=r"now takes 3\.0, but 2\.0 was recorded"):
        replay()


@pytest.mark.parametrize(
    ("now", "words"),
    [
        (lambda x: x.neg(), "now runs aten.neg"),
        (lambda x: x.add(1).neg(), "now runs aten.add"),
    ],
)
def test_another_branch_is_found(now: Callable[[Tensor], Tensor], words: str) -> None:
    step = Step()
    step.extra = lambda x: x.abs()
    replay = recorded(step)
    replay()
    step.extra = now
    with pytest.raises(ReplayError, match=words):
        replay()


def test_a_shorter_region_is_found() -> None:
    graphs, x, long = StandInGraphs(), torch.ones(2), [True]

    def region() -> Tensor:
        x.add_(1)
        if long[0]:
            x.mul_(2)
        return x

    replay = graphs.record(region, graphs.new_pool())
    long[0] = False
    with pytest.raises(ReplayError, match=r"ends before aten\.mul_"):
        replay()


def test_a_stale_result_is_found() -> None:
    step = Step()
    replay = recorded(step)
    step.x.fill_(1.0)
    lent = replay()
    kept = lent.clone()
    replay()
    assert torch.equal(kept, torch.full((3,), 2.0))
    for use in (lent.clone, lambda: lent + 1, lambda: torch.equal(lent, kept), lent.tolist):
        with pytest.raises(ReplayError, match="used after the next replay; copy it out"):
            use()


def test_regions_of_one_pool_share_memory_and_of_two_pools_do_not() -> None:
    graphs = StandInGraphs()
    a, b = torch.ones(2), torch.full((2,), 5.0)

    def regions(*pools: object) -> list[Region]:
        return [
            graphs.record(lambda x=x: x * 2, pool)  # type: ignore[arg-type, misc]
            for x, pool in zip((a, b), pools, strict=True)
        ]

    shared = graphs.new_pool()
    first, second = regions(shared, shared)
    lent = first()
    second()
    with pytest.raises(ReplayError, match="used after the next replay"):
        lent.clone()
    first, second = regions(graphs.new_pool(), graphs.new_pool())
    lent = first()
    second()
    assert torch.equal(lent, torch.full((2,), 2.0))


def test_memory_that_is_read_before_it_is_written_is_not_a_number() -> None:
    """A region that keeps a tensor of its own from one replay to the next reads garbage."""
    graphs, x = StandInGraphs(), torch.ones(2)
    kept: list[Tensor] = []

    def region() -> Tensor:
        kept.append(x + 1)
        return x + 0

    graphs.record(region, graphs.new_pool())()
    after = kept[-1]
    other = graphs.new_pool()
    replay = graphs.record(lambda: after * 1, other)
    assert torch.equal(replay(), torch.full((2,), 2.0))  # another pool leaves it alone


UNSAFE: dict[str, Callable[[Tensor], Tensor]] = {
    "item": lambda x: x * x.sum().item(),
    "bool": lambda x: x if x.sum() > 0 else -x,
    "nonzero": lambda x: x[x.nonzero()[:, 0]],
    "mask": lambda x: x[x > 0],
    "from Python": lambda x: x + torch.tensor([1.0, 2.0, 3.0]),
    "random": lambda x: x + torch.randn(3),
    "dropout": lambda x: torch.dropout(x, 0.5, train=True),
}


@pytest.mark.parametrize("name", UNSAFE)
def test_what_cannot_be_recorded_is_refused_while_recording(name: str) -> None:
    step = Step()
    step.extra = UNSAFE[name]
    with pytest.raises(UnsafeRegionError, match="in a region"):
        recorded(step)


@pytest.mark.parametrize("drop", [0.0, 0.5])
def test_fused_attention_is_allowed_unless_it_drops(drop: float) -> None:
    """As a GPU runs it: there it is one operation."""
    attention = torch.ops.aten._scaled_dot_product_flash_attention.default
    q = torch.empty(1, 1, 3, 4)
    with (
        pytest.raises(UnsafeRegionError, match="random numbers")
        if drop
        else contextlib.nullcontext()
    ):
        check_operation(attention, (q, q, q, drop), {}, q.device)


def test_integer_indices_and_attention_without_dropout_are_allowed() -> None:
    table, index = torch.arange(6.0).reshape(2, 3), torch.zeros(1, dtype=torch.int64)
    q = torch.randn(1, 1, 3, 4)

    def region() -> Tensor:
        attended = torch.nn.functional.scaled_dot_product_attention(q, q, q)
        index.add_(1).remainder_(2)
        return table[index][0] + attended.sum()

    graphs = StandInGraphs()
    replay = graphs.record(region, graphs.new_pool())
    index.zero_()
    expected = torch.nn.functional.scaled_dot_product_attention(q, q, q).sum()
    assert torch.equal(replay().clone(), table[1] + expected)
    assert torch.equal(replay().clone(), table[0] + expected)


def test_calls_together_come_back_in_order_and_must_not_need_each_other() -> None:
    graphs, order = StandInGraphs(), []

    def call(n: int) -> Tensor:
        order.append(n)
        return torch.tensor(n)

    found = graphs.together([lambda: call(1), lambda: call(2)])
    assert [int(t) for t in found] == [1, 2]
    assert order == [2, 1]
