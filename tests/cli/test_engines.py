"""guidebench run --engine: the same numbers, another folder, and words where it is not as asked."""

from pathlib import Path
from typing import Any

import pytest

from guidebench.engines.choice import missing_compiler
from tests.cli.conftest import SUITE, Command, Ran, records


def check_same_within_float_noise(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert set(found) == set(expected)
    for row, record in found.items():
        for name, metric in record["metrics"].items():
            value = expected[row]["metrics"][name]["value"]
            assert metric["value"] == pytest.approx(value, rel=1e-4, abs=1e-6), (row, name)
        calls = record["cost"]["network_calls_per_image"]
        assert calls == expected[row]["cost"]["network_calls_per_image"]


@pytest.mark.parametrize(
    "engine",
    [
        "static",
        pytest.param(
            "compiled",
            marks=[
                pytest.mark.slow,
                pytest.mark.skipif(missing_compiler() is not None, reason=str(missing_compiler())),
            ],
        ),
    ],
)
def test_engines_give_the_metrics_of_eager(
    engine: str, finished: tuple[Path, Ran], tmp_path: Path, command: Command
) -> None:
    ran = command("run", SUITE, "--out", tmp_path, "--engine", engine, "--processes", 2,
                  GUIDEBENCH_CACHE=str(tmp_path / "cache"))  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines()[0] == f"engine {engine}"
    found, eager = records(tmp_path), records(finished[0])
    check_same_within_float_noise(found, eager)
    for row in ("unguided", "autoguidance-w3"):
        assert found[row]["cost"]["engine"] == engine
        assert found[row]["spec_sha256"] != eager[row]["spec_sha256"]
        assert "cost.engine" not in found[row]["reasons"]
    assert found["truth"]["spec_sha256"] == eager["truth"]["spec_sha256"]


def test_auto_says_why(finished: tuple[Path, Ran]) -> None:
    out, ran = finished
    assert ran.stdout.startswith("engine eager (auto: on a CPU, ")
    assert records(out)["unguided"]["cost"]["engine"] == "eager"
    assert records(out)["unguided"]["reasons"]["cost.engine"].startswith("auto: on a CPU")


def test_without_a_compiler_the_run_goes_on_eager_and_the_record_says_so(
    tmp_path: Path, inline: Command
) -> None:
    row = f"{SUITE}::unguided"
    words = ("--engine", "compiled", "--num", 8, "--processes", 1)
    ran = inline("run", row, "--out", tmp_path, *words, CXX="no-such-compiler")
    assert ran.returncode == 0, ran.stderr
    said = "compiled was asked for, but no-such-compiler, which CXX names, is not here"
    assert ran.stdout.splitlines()[0] == f"engine eager ({said})"
    cost = records(tmp_path)["unguided"]
    assert (cost["cost"]["engine"], cost["reasons"]["cost.engine"]) == ("eager", said)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--engine", "cuda-graph"), "engine cuda-graph runs on cuda, and this row on cpu; try"),
        (("--engine", "warp"), "invalid choice: 'warp'"),
        (("--streams", "2"), "--streams 2 belongs to engine cuda-graph, and this row runs eager"),
    ],
)
def test_what_cannot_be_is_refused_before_any_work(
    words: tuple[str, str], said: str, tmp_path: Path, inline: Command
) -> None:
    ran = inline("run", SUITE, "--out", tmp_path / "out", "--device", "cpu", *words)
    assert ran.returncode == 2
    assert said in ran.stderr
    assert not (tmp_path / "out").exists()
