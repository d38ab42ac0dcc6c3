"""Which engine makes what, where the device is not here: only what it is asked for is looked at."""

import pytest

from guidebench.engines.compiled import compile_for_gpu
from guidebench.engines.direct import DirectGraphs
from guidebench.runs import execution
from guidebench.runs.execution import Execution
from guidebench.runs.sample import networks_of
from guidebench.sampling import make_plan
from tests.runs.test_sample import small


@pytest.mark.parametrize(
    ("engine", "streams", "compiled"),
    [
        ("compiled", None, compile_for_gpu),
        ("cuda-graph", None, None),
        ("cuda-graph", 2, None),
        ("cuda-graph-compiled", 2, compile_for_gpu),
    ],
)
def test_a_gpus_engines(
    engine: str, streams: int | None, compiled: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, object] = {}

    def graphs(device: object, **words: object) -> str:
        asked.update(words, device=str(device))
        return "graphs"

    def steps(*words: object, **more: object) -> str:
        asked.update(more, graphs=words[3])
        return "steps"

    monkeypatch.setattr(execution, "CudaGraphs", graphs)
    monkeypatch.setattr(execution, "RecordedSteps", steps)
    spec = small("digits::autoguidance-w1-5").spec
    networks = networks_of(spec)
    spec = spec.with_options(device="cuda", engine=engine, streams=streams)
    assert spec.sampler is not None
    assert spec.scheme is not None
    Execution(spec, make_plan(spec.sampler, spec.scheme), networks)
    assert asked["compiled"] is compiled
    assert asked["s_noise"] == spec.sampler.s_noise
    if engine == "compiled":
        assert isinstance(asked["graphs"], DirectGraphs)
    else:
        assert asked["graphs"] == "graphs"
        assert (asked["device"], asked["streams"]) == ("cuda", streams or 1)
