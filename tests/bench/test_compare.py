"""Holding ratios against committed ones; runs with the other tests."""

import json
from pathlib import Path

import pytest

from guidebench.base import UserError
from tests.bench.compare import compare, main, ratios_of
from tests.bench.turns import ratios

COMMITTED = {"group": {"ours": [2.0, 3.0, 4.0], "other": [1.0, 1.0, 1.0]}}


def report(path: Path, ours: list[float]) -> Path:
    info = {"ratios": {"ours": ours, "other": [1.0, 1.0, 1.0]}}
    path.write_text(json.dumps({"benchmarks": [{"group": "group", "extra_info": info}]}))
    return path


def test_a_noisy_median_is_kept_and_a_lost_gain_is_named(tmp_path: Path) -> None:
    committed = tmp_path / "committed.json"
    committed.write_text(json.dumps(COMMITTED))
    noisy = report(tmp_path / "noisy.json", [1.0, 2.0, 2.5])
    assert main([str(noisy), str(committed)]) == 0
    lost = report(tmp_path / "lost.json", [1.0, 2.0, 2.3])
    assert main([str(lost), str(committed)]) == 1
    lines, good = compare(ratios_of(lost), COMMITTED)
    assert lines[0] == "group: ours: 1.00 / 2.00 / 2.30, committed 3.00: LOST ITS GAIN"
    assert not good
    assert main([str(lost), str(committed), "--update"]) == 0
    assert main([str(lost), str(committed)]) == 0


def test_what_was_not_measured_is_no_pass() -> None:
    lines, good = compare({}, COMMITTED)
    assert "group: ours: not measured, committed 3.00" in lines
    assert not good


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(UserError, match="is no report with ratios"):
        ratios_of(tmp_path / "x.json")


def test_ratios_are_to_the_slow_way_and_every_way_takes_its_turns() -> None:
    made: list[str] = []

    def slow() -> int:
        made.append("slow")
        return sum(range(2_000_000))

    def quick() -> int:
        made.append("quick")
        return sum(range(200_000))

    found = ratios({"slow": slow, "quick": quick}, "slow", 3)
    assert set(found) == {"quick"}
    assert found["quick"].least <= found["quick"].median <= found["quick"].most
    assert made.count("slow") >= 3 + 2
    assert made.count("quick") >= made.count("slow")
