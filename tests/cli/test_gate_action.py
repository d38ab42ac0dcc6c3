"""ci/gate.sh and the shell steps of action.yml, with a stand-in for the command."""

import os
import re
import subprocess
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GATE = ROOT / "ci" / "gate.sh"
FAKE = """#!/usr/bin/env bash
echo "$@" >>"$CALLS"
[ "$1" = gate ] || exit 0
while [ $# -gt 0 ]; do
  if [ "$1" = --markdown ]; then echo "| the table |" >"$2"; fi
  shift
done
looks=$(grep -c "^gate" "$CALLS")
code=$(sed -n "${looks}p" "$CODES")
if [ "$code" = 3 ] && [ "$looks" -lt 3 ]; then
  echo "look again on the next seeds: guidebench run s::a s::b --num 4 --seeds $((4 * looks))"
  echo "look again on the next seeds: guidebench run t::c --num 9 --seeds $((9 * looks))"
fi
exit "$code"
"""


def shell(tmp_path: Path, codes: list[int], *words: str, **more: str) -> tuple[int, list[str], str]:
    """Run bash with a stand-in `guidebench` whose gate answers with `codes` in turn."""
    fake = tmp_path / "bin" / "guidebench"
    fake.parent.mkdir(exist_ok=True)
    fake.write_text(FAKE)
    fake.chmod(0o755)
    calls = tmp_path / "calls"
    (tmp_path / "codes").write_text("".join(f"{c}\n" for c in codes))
    env = os.environ | {"CALLS": str(calls), "CODES": str(tmp_path / "codes")} | more
    env["PATH"] = f"{fake.parent}{os.pathsep}{env['PATH']}"
    ran = subprocess.run(["bash", *words], env=env, capture_output=True, text=True, check=False)
    return ran.returncode, calls.read_text().splitlines() if calls.exists() else [], ran.stdout


@pytest.mark.parametrize("code", [0, 1, 2])
def test_a_clear_answer_takes_one_look(tmp_path: Path, code: int) -> None:
    ended, calls, _ = shell(
        tmp_path, [code], str(GATE), "b.json", "out", "s t::c", "--alpha", "0.05"
    )
    assert ended == code
    assert calls == [
        "run s t::c --device cpu --out out",
        "gate out --baseline b.json --alpha 0.05",
    ]


def test_it_looks_again_on_the_seeds_that_the_gate_names(tmp_path: Path) -> None:
    ended, calls, _ = shell(tmp_path, [3, 0], str(GATE), "b.json", "out", "s t::c")
    assert ended == 0
    assert calls[2:4] == [
        "run s::a s::b --num 4 --seeds 4 --device cpu --out out",
        "run t::c --num 9 --seeds 9 --device cpu --out out",
    ]


def test_spent_looks_end_inconclusive(tmp_path: Path) -> None:
    ended, calls, _ = shell(tmp_path, [3, 3, 3], str(GATE), "b.json", "out", "s")
    assert ended == 3
    assert [c.split()[0] for c in calls].count("gate") == 3


def step(name: str) -> str:
    """The script of a step of action.yml, by its name."""
    text = (ROOT / "action.yml").read_text()
    found = re.search(rf"- name: {name}\n.*?run: \|\n((?: {{8}}[^\n]*\n)+)", text, re.DOTALL)
    assert found is not None
    return textwrap.dedent(found[1])


def gate_step(tmp_path: Path, codes: list[int]) -> tuple[int, dict[str, str], str]:
    """Exit code of the gate's step, its outputs and its summary."""
    script = tmp_path / "step.sh"
    script.write_text(step("Run and gate"))
    env = {
        "GITHUB_ACTION_PATH": str(ROOT), "RUNNER_TEMP": str(tmp_path / "temp"),
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary"),
        "GITHUB_OUTPUT": str(tmp_path / "outputs"),
        "BASELINE": "b.json", "SUITES": "s", "ALPHA": "0.01", "MARGIN": "0.02",
    }  # fmt: skip
    code, _, _ = shell(tmp_path, codes, "-e", str(script), **env)
    lines = (tmp_path / "outputs").read_text().splitlines()
    return code, dict(x.split("=", 1) for x in lines), (tmp_path / "summary").read_text()


@pytest.mark.parametrize("code", [0, 1])
def test_the_action_keeps_the_code_and_shows_the_table(tmp_path: Path, code: int) -> None:
    ended, outputs, summary = gate_step(tmp_path, [code])
    assert ended == 0  # the last step answers, after the table is posted
    assert outputs["code"] == str(code)
    assert outputs["junit"].endswith("junit.xml")
    assert summary == "| the table |\n"


@pytest.mark.parametrize(
    ("code", "inconclusive", "ends"),
    [("0", "fail", 0), ("1", "pass", 1), ("3", "fail", 3), ("3", "pass", 0), ("2", "pass", 2)],
)
def test_the_verdict_fails_the_job(tmp_path: Path, code: str, inconclusive: str, ends: int) -> None:
    script = tmp_path / "step.sh"
    script.write_text(step("Verdict"))
    ended, _, said = shell(tmp_path, [], str(script), CODE=code, INCONCLUSIVE=inconclusive)
    assert ended == ends
    assert ("::warning" in said) == ((code, ends) == ("3", 0))
