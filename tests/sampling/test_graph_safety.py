"""No operation of a guided step waits, branches on data or goes to the host, for any scheme.

Traced on fake CUDA tensors: shapes, types and devices without a GPU or a driver. The guard is
needed beside the trace: a fake tensor lets `.cpu()`, a copy from the host and a zero-dimensional
argument on the host pass.
"""

import copy
from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from typing_extensions import override

from guidebench.engines.graphs import AbstractGraphs
from guidebench.engines.safety import UnsafeRegionError, checked
from guidebench.guidance import SCHEMES, Scheme
from guidebench.networks import Denoiser, build_denoiser
from guidebench.sampling import HeunSpec, make_plan
from guidebench.sampling.steps import RecordedSteps, _Batch
from tests.guidance.test_all import NAMES, example
from tests.networks.test_edm2 import golden

SPEC = HeunSpec(
    num_steps=3, sigma_min=0.002, sigma_max=80.0, rho=7.0, s_churn=1.0, s_min=50.0, s_max=None,
    s_noise=1.0,
)  # fmt: skip
Network = Callable[[Tensor, Tensor, Tensor | None], Tensor]


def on_fake_cuda(network: Denoiser, mode: FakeTensorMode) -> Denoiser:
    """The network with weights that have no values, on a device that is not here."""
    moved = copy.deepcopy(network)
    with mode:
        for module in moved.modules():
            for kind in (module._parameters, module._buffers):
                for name, tensor in kind.items():
                    if tensor is not None:
                        fake = torch.empty(tensor.shape, dtype=tensor.dtype, device="cuda")
                        is_weight = isinstance(tensor, nn.Parameter)
                        kind[name] = nn.Parameter(fake, requires_grad=False) if is_weight else fake  # type: ignore[assignment]
    return moved


def networks(kind: str, dtype: torch.dtype) -> Denoiser:
    if kind == "fractal":
        state = {f"layers.{2 * i}.weight": torch.randn(8, 4 if i == 0 else 8) for i in range(5)} | {
            "gain": torch.ones([])
        }
        return build_denoiser("fractal", {"hidden": 8}, state)
    config, weights, _ = golden(kind)
    return build_denoiser("edm2", config, weights, dtype=dtype)


def regions(
    scheme: Scheme, network: Network, x: Tensor, labels_BL: Tensor | None
) -> dict[str, Callable[[], Tensor]]:
    """The region of each kind of step, as a device would record it."""
    found: dict[str, Callable[[], Tensor]] = {}

    class Collect(AbstractGraphs[None]):
        @override
        def new_pool(self) -> None:
            return None

        @override
        def record(self, region: Callable[[], Tensor], pool: None) -> Callable[[], Tensor]:
            found[str(len(found))] = region
            return region

        @override
        def together(self, calls: Sequence[Callable[[], Tensor]]) -> list[Tensor]:
            return [call() for call in calls]

    roles = dict.fromkeys(scheme.roles(), network)
    steps = RecordedSteps(make_plan(SPEC, scheme), scheme, roles, Collect())
    _Batch(steps, x, labels_BL, steps._table_NK.to(x.device), None)
    assert len(found) == len(set(steps.kinds))
    return found


CASES = [
    *((name, kind, dtype) for name in NAMES for kind, dtype in (
        ("cond", torch.float16), ("fractal", torch.float32),
    )),
    ("autoguidance", "cond", torch.float32),
    ("autoguidance", "uncond", torch.bfloat16),
]  # fmt: skip


@pytest.mark.parametrize(("name", "kind", "dtype"), CASES)
def test_every_scheme_can_be_recorded(name: str, kind: str, dtype: torch.dtype) -> None:
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    made = networks(kind, dtype)
    network = on_fake_cuda(made, mode)
    with mode, torch.inference_mode():
        x = torch.empty(2, *made.sample_shape, device="cuda")
        labels = torch.empty(2, made.label_dim, device="cuda") if made.label_dim else None
        found = regions(example(name), network, x, labels)
        for region in found.values():
            operations = checked(region, "cuda")
            assert len(operations) > 20
            assert not any("_local_scalar_dense" in o for o in operations)


@pytest.mark.parametrize("name", NAMES)
def test_the_whole_step_traces_to_one_graph_on_the_device(name: str) -> None:
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    network = on_fake_cuda(networks("fractal", torch.float32), mode)
    with mode, torch.no_grad():
        x = torch.empty(2, *network.sample_shape, device="cuda")
        for region in regions(example(name), network, x, None).values():
            graph = make_fx(region, tracing_mode="fake")().graph
            outputs = [n.meta["val"] for n in graph.nodes if isinstance(n.meta.get("val"), Tensor)]
            assert len(outputs) > 100
            assert {o.device.type for o in outputs} == {"cuda"}


def test_all_schemes_of_the_catalog_are_here() -> None:
    assert set(NAMES) == set(SCHEMES)


HOST = torch.tensor(2.0)
UNSAFE: dict[str, tuple[Network, str]] = {
    "item": (lambda x, sigma, _: x / sigma.item(), "a value of the device is read by Python"),
    "branch": (lambda x, sigma, _: x if sigma > 1 else -x, "a value of the device is read"),
    "to the host": (lambda x, _, __: x.cpu().to("cuda"), "makes a tensor on cpu"),
    "from Python": (lambda x, _, __: x * torch.tensor(2.0, device="cuda"), "made from Python data"),
    "host scalar": (lambda x, _, __: x * HOST, "takes a tensor on cpu"),
    "random": (lambda x, _, __: x + torch.randn_like(x), "random numbers are drawn"),
    "mask": (lambda x, _, __: x.masked_fill(x > 0, 0) + x[x > 0].sum(), "depends on values"),
}


@pytest.mark.parametrize("name", UNSAFE)
def test_an_unsafe_scheme_is_caught(name: str) -> None:
    """The same region with one forbidden thing in its network."""
    unsafe, words = UNSAFE[name]
    scheme = example("autoguidance")
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    found: dict[str, Callable[[], Tensor]] = {}
    with mode, torch.inference_mode():
        x = torch.empty(2, 3, 4, 4, device="cuda")
        found = regions(scheme, unsafe, x, None)
        with pytest.raises(UnsafeRegionError, match=words):
            checked(next(iter(found.values())), "cuda")
