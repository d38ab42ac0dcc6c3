"""Static programs against the networks that they are made of."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, get_args

import pytest
import torch
from torch import Tensor

from guidebench.networks import EDM2Denoiser, FractalDenoiser, build_denoiser
from guidebench.networks import block as block_module
from guidebench.networks.program import BACKENDS, Backend, build_program, prepacked
from guidebench.networks.program.ops import Kind
from guidebench.networks.program.winograd import is_wide
from guidebench.networks.sizes import edm2_config
from tests.networks.test_edm2 import NAMES, golden
from tests.reference.edm2 import SlowEDM2

SIGMAS = (40.0, 1.3, 0.06)
SMALL: dict[str, Any] = {
    "img_resolution": 8, "img_channels": 1, "label_dim": 10, "model_channels": 8,
    "channel_mult": [1, 2], "num_blocks": 1, "attn_resolutions": [4], "channels_per_head": 8,
}  # fmt: skip
# Wide enough for every algorithm: 128 channels at 16 x 16 and 8 x 8.
WIDE: dict[str, Any] = {
    "img_resolution": 16, "img_channels": 3, "label_dim": 10, "model_channels": 128,
    "channel_mult": [1, 1], "num_blocks": 1, "attn_resolutions": [8],
}  # fmt: skip
# Widths and sizes of images that fill no vector and no block of columns.
ODD: dict[str, Any] = {
    "img_resolution": 12, "img_channels": 2, "label_dim": 10, "model_channels": 40,
    "channel_mult": [1, 2], "num_blocks": 1, "attn_resolutions": [6], "channels_per_head": 20,
}  # fmt: skip
ALL = list(BACKENDS)


def random_edm2(config: dict[str, Any]) -> EDM2Denoiser:
    """Random weights with gains that let every path count."""
    generator = torch.Generator().manual_seed(5)
    network = EDM2Denoiser(**config)
    state = {n: torch.randn(t.shape, generator=generator) for n, t in network.state_dict().items()}
    for name in state:
        if name.endswith("emb_gain"):
            state[name] = torch.tensor(0.4)
        elif name.endswith("out_gain"):
            state[name] = torch.tensor(0.8)
    built = build_denoiser("edm2", config, state)
    assert isinstance(built, EDM2Denoiser)
    return built


def random_fractal(hidden: int = 32) -> FractalDenoiser:
    generator = torch.Generator().manual_seed(5)
    network = FractalDenoiser(hidden=hidden)
    for layer in network.linear_layers:
        layer.weight.data = torch.randn(layer.weight.shape, generator=generator)
    network.gain.data.fill_(0.7)
    return network.bake()


def error(found: Tensor, expected: Tensor) -> float:
    return ((found.double() - expected).abs().max() / expected.abs().max()).item()


def inputs(network: EDM2Denoiser | FractalDenoiser, batch: int) -> tuple[Tensor, Tensor | None]:
    generator = torch.Generator().manual_seed(9)
    x = torch.randn(batch, *network.sample_shape, generator=generator)
    if not network.label_dim:
        return x, None
    return x, torch.eye(network.label_dim)[torch.arange(batch) % 3 + 1]


@contextmanager
def threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("backend", ALL)
@pytest.mark.parametrize("name", NAMES)
def test_agrees_with_the_published_network(name: str, backend: Backend) -> None:
    config, state, arrays = golden(name)
    network = build_denoiser("edm2", config, state)
    x, sigmas = arrays["in/x"], arrays["in/sigma"].tolist()
    program = build_program(network, batch_size=len(x), backend=backend)
    table = program.table(sigmas, arrays.get("in/labels"))
    found = torch.stack([program(x, table, n)[n].clone() for n in range(len(x))])
    assert error(found, arrays["out/D"]) < 5e-6
    if name == "cond":
        table = program.table(sigmas)
        found = torch.stack([program(x, table, n)[n].clone() for n in range(len(x))])
        assert error(found, arrays["out/D_nolabel"]) < 5e-6


@pytest.mark.parametrize("config", [SMALL, WIDE, ODD], ids=["small", "wide", "odd"])
@pytest.mark.parametrize("backend", ALL)
def test_error_against_float64_is_small(config: dict[str, Any], backend: Backend) -> None:
    network = random_edm2(config)
    state = {name: t.double() for name, t in network.state_dict().items()}
    slow = SlowEDM2(state, channels_per_head=config.get("channels_per_head", 64))
    x, labels = inputs(network, 3)
    assert labels is not None
    program = build_program(network, batch_size=3, backend=backend)
    table = program.table(SIGMAS, labels)
    for n, sigma in enumerate(SIGMAS):
        scale = max(sigma, 1.0)
        expected = slow(x.double() * scale, sigma, labels.double())
        assert error(program(x * scale, table, n), expected) < 5e-6
        if backend == "torch":
            continue
        wide = [op for op in program.ops if op.kind == "conv" and is_wide(op)]
        assert bool(wide) == (config is WIDE)


@pytest.mark.parametrize("batch", [1, 37])
def test_fractal_agrees_with_the_network_in_float64(batch: int) -> None:
    network = random_fractal()
    x, _ = inputs(network, batch)
    program = build_program(network, batch_size=batch)
    table = program.table(SIGMAS)
    exact = random_fractal().double()
    for n, sigma in enumerate(SIGMAS):
        assert error(program(x, table, n), exact(x.double(), sigma)) < 2e-6


@pytest.mark.parametrize("backend", ALL)
@pytest.mark.parametrize("config", [SMALL, WIDE, ODD, None], ids=["small", "wide", "odd", "2D"])
def test_bits_depend_on_neither_batch_nor_threads(
    config: dict[str, Any] | None, backend: Backend
) -> None:
    """The one thread's batch is what every other number of threads and batch size must equal."""
    network = random_fractal() if config is None else random_edm2(config)
    batch = 4 if config is WIDE else 5
    x, labels = inputs(network, batch)
    whole = build_program(network, batch_size=batch, backend=backend)
    single = build_program(network, batch_size=1, backend=backend)
    with threads(1):
        table = whole.table(SIGMAS, labels)
        expected = [whole(x, table, n).clone() for n in range(len(SIGMAS))]
    for count in (1, 2, 3):
        with threads(count):
            table = whole.table(SIGMAS, labels)
            assert all(torch.equal(whole(x, table, n), e) for n, e in enumerate(expected))
            for b in range(batch):
                # Another schedule around it, and another company, change nothing either.
                label = None if labels is None else labels[b : b + 1]
                table = single.table((7.0, *SIGMAS), label)
                for n, e in enumerate(expected):
                    assert torch.equal(single(x[b : b + 1], table, n + 1)[0], e[b])


def test_a_table_does_not_depend_on_its_company() -> None:
    program = build_program(random_edm2(SMALL), batch_size=20)
    labels = torch.eye(10)[torch.arange(20) % 10]
    many = program.table([0.01 * 1.3**n for n in range(40)], labels)
    assert many.row_B is not None
    assert many.columns_SRM.shape[1] == 10
    alone = build_program(random_edm2(SMALL), batch_size=1).table([0.01 * 1.3**39], labels[7:8])
    assert alone.row_B is None
    assert torch.equal(alone.columns_SRM[0, 0], many.columns_SRM[39, many.row_B[7]])


def test_output_is_the_programs_own_until_the_next_call() -> None:
    network = random_edm2(SMALL)
    x, labels = inputs(network, 2)
    program = build_program(network, batch_size=2)
    table = program.table(SIGMAS, labels)
    first = program(x, table, 0)
    kept = first.clone()
    second = program(x, table, 1)
    assert first.data_ptr() == second.data_ptr()
    assert not torch.equal(first, kept)
    assert torch.equal(program(x, table, 0), kept)
    # The output may be the next input.
    assert torch.equal(program(program(x, table, 0), table, 1), program(kept, table, 1))


def test_no_memory_is_left_behind_by_inference_mode() -> None:
    network = random_edm2(SMALL)
    x, labels = inputs(network, 1)
    with torch.inference_mode():
        program = build_program(network, batch_size=1)
        inside = program(x, program.table(SIGMAS, labels), 1).clone()
    outside = program(x, program.table(SIGMAS, labels), 1)
    assert torch.equal(inside, outside)
    assert not outside.is_inference()


def test_not_a_number_reaches_the_output() -> None:
    for backend in ALL:
        for config in (SMALL, WIDE):
            program = build_program(random_edm2(config), batch_size=2, backend=backend)
            x, labels = inputs(random_edm2(config), 2)
            x[1, 0, 3, 3] = float("nan")
            found = program(x, program.table(SIGMAS, labels), 1)
            assert found[1].isnan().any()
            assert found[0].isfinite().all()
            x[1, 0, 3, 3] = 0.0
            assert program(x, program.table(SIGMAS, labels), 1).isfinite().all()


def test_large_activations_are_clipped_as_by_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    network = random_edm2(SMALL)
    for block in network.unet.blocks:
        assert block.conv_res1.baked is not None
        block.conv_res1.baked *= 3000  # far beyond what training leaves
    x, labels = inputs(network, 2)
    program = build_program(network, batch_size=2)
    found = program(x, program.table([1.3], labels), 0)
    assert error(found, network(x, 1.3, labels)) < 1e-3  # such values round coarsely
    monkeypatch.setattr(block_module, "CLIP", float("inf"))
    assert error(found, network(x, 1.3, labels)) > 0.1
    clip_ops = [op for op in program.ops if op.kind == "clip"]
    assert {op.alpha for op in clip_ops} == {256.0}


def test_released_and_stored_half_weights_give_the_networks_own_numbers() -> None:
    config, state, arrays = golden("cond")
    half = {name: t.half() for name, t in state.items()}
    network = build_denoiser("edm2", config, half, release=True)
    program = build_program(network, batch_size=4)
    sigma = float(arrays["in/sigma"][1])
    found = program(arrays["in/x"], program.table([sigma], arrays["in/labels"]), 0)
    assert error(found, network(arrays["in/x"], sigma, arrays["in/labels"])) < 2e-6


def test_the_list_is_short_and_says_what_it_does() -> None:
    program = build_program(random_edm2(SMALL), batch_size=2)
    kinds = {op.kind for op in program.ops}
    assert kinds <= set(get_args(Kind))
    assert kinds == set(get_args(Kind)) - {"silu_gradient"}
    lines = program.describe().splitlines()
    assert len(lines) == len(program.ops)
    assert any(re.search(r"conv\(8x8x8 bordered .*weight 8x8x3x3", line) for line in lines)
    # Memory is used again: far fewer places than values.
    slots = {op.writes.slot for op in program.ops}
    assert len(slots) < len(program.ops) / 3


def test_without_packed_weights_the_numbers_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    network = random_edm2(WIDE)
    x, labels = inputs(network, 2)
    for backend in ALL:
        packed = build_program(network, batch_size=2, backend=backend)
        expected = packed(x, packed.table(SIGMAS, labels), 1)
        with monkeypatch.context() as patch:
            patch.setattr(prepacked, "has_packed_convolutions", lambda: False)
            plain = build_program(network, batch_size=2, backend=backend)
        assert error(plain(x, plain.table(SIGMAS, labels), 1), expected) < 2e-6


def test_what_cannot_be_lowered_is_refused_in_words() -> None:
    network = random_edm2(SMALL)
    with pytest.raises(ValueError, match=r"at least 1; got 0"):
        build_program(network, batch_size=0)
    with pytest.raises(ValueError, match="unknown back end cuda; there are torch, winograd"):
        build_program(network, batch_size=1, backend="cuda")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="on the CPU, and this network is on meta"):
        build_program(random_edm2(SMALL).to("meta"), batch_size=1)
    with pytest.raises(ValueError, match=r"float32 weights, and this one has torch\.float16"):
        build_program(random_edm2(SMALL).bake(torch.float16), batch_size=1)
    with pytest.raises(ValueError, match="training mode, where dropout acts"):
        build_program(random_edm2(SMALL).train(), batch_size=1)
    with pytest.raises(ValueError, match="not normalised yet; call bake"):
        build_program(EDM2Denoiser(**SMALL).eval(), batch_size=1)
    with pytest.raises(ValueError, match="call bake"):
        build_program(FractalDenoiser(hidden=8).eval(), batch_size=1)


def test_wrong_calls_are_refused_in_words() -> None:
    network = random_edm2(SMALL)
    x, labels = inputs(network, 2)
    program = build_program(network, batch_size=2)
    table = program.table(SIGMAS, labels)
    with pytest.raises(ValueError, match=r"built for \[2, 1, 8, 8\]; got \[1, 1, 8, 8\]"):
        program(x[:1], table, 0)
    with pytest.raises(ValueError, match="3 noise levels; there is no number 3"):
        program(x, table, 3)
    with pytest.raises(ValueError, match=r"labels \[2, 10\]; got \[1, 10\]"):
        program.table(SIGMAS, torch.eye(10)[:1])
    with pytest.raises(ValueError, match=r"positive and finite; got 0\.0"):
        program.table([1.0, 0.0])
    other = build_program(network, batch_size=3).table(SIGMAS, torch.eye(10)[:3])
    with pytest.raises(ValueError, match="another network or batch size"):
        program(x, other, 0)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ALL)
def test_the_published_size_s_is_lowered_whole_in_width(backend: Backend) -> None:
    """EDM2-S with one block a level instead of three: every width and resolution that it has."""
    config = {**edm2_config("S", resolution=64), "num_blocks": 1}
    network = random_edm2(config)
    state = {name: t.double() for name, t in network.state_dict().items()}
    x, labels = inputs(network, 1)
    assert labels is not None
    expected = SlowEDM2(state)(x.double(), 1.3, labels.double())
    program = build_program(network, batch_size=1, backend=backend)
    assert error(program(x, program.table([1.3], labels), 0), expected) < 5e-6
