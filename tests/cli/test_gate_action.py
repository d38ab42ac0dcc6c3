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
[ "$1" = gate ] || exit "${RUN_CODE:-0}"
while [ $# -gt 0 ]; do
  if [ "$1" = --markdown ]; then echo "| the table |" >"$2"; fi
  shift
done
looks=$(grep -c "^gate" "$CALLS")
code=$(sed -n "${looks}p" "$CODES")
if [ "$code" = 3 ] && [ "$looks" -lt 3 ]; then
  echo "::warning title=open::at look $looks"
  echo "look again on the next seeds: guidebench run s::a s::b --num 4 --seeds $((4 * looks))"
  echo "look again on the next seeds: guidebench run t::c --num 9 --seeds $((9 * looks))"
fi
echo "::notice title=last::at look $looks"
exit "$code"
"""
FAKE_GH = """#!/usr/bin/env bash
echo "gh $*" >>"$CALLS"
if [ "$2" = --paginate ]; then printf '%s' "$MINE"; exit "$CODE"; fi
file=${@: -1:1}
cat "${file#body=@}" >>"$CALLS"
exit "$CODE"
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


def test_annotations_are_those_of_the_last_look(tmp_path: Path) -> None:
    _, _, said = shell(tmp_path, [3, 0], str(GATE), "b.json", "out", "s")
    assert [x for x in said.splitlines() if x.startswith("::")] == [
        "::notice title=last::at look 2"
    ]


def test_suites_may_stand_on_several_lines(tmp_path: Path) -> None:
    _, calls, _ = shell(tmp_path, [0], str(GATE), "b.json", "out", "s\nt::c\n  u\n")
    assert calls[0] == "run s t::c u --device cpu --out out"


@pytest.mark.parametrize(("run", "ends"), [("1", 2), ("2", 2), ("130", 130)])
def test_a_run_that_fails_is_no_verdict(tmp_path: Path, run: str, ends: int) -> None:
    ended, calls, _ = shell(tmp_path, [0], str(GATE), "b.json", "out", "s", RUN_CODE=run)
    assert ended == ends
    assert len(calls) == 1  # nothing was gated


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


STEP = {
    "GITHUB_ACTION_PATH": str(ROOT), "BASELINE": "b.json", "SUITES": "s", "ALPHA": "0.01",
    "MARGIN": "0.02",
}  # fmt: skip


def gate_step(tmp_path: Path, codes: list[int]) -> tuple[int, dict[str, str], str]:
    """Exit code of the gate's step, its outputs and its summary."""
    script = tmp_path / "step.sh"
    script.write_text(step("Run and gate"))
    env = {
        "RUNNER_TEMP": str(tmp_path / "temp"), "GITHUB_STEP_SUMMARY": str(tmp_path / "summary"),
        "GITHUB_OUTPUT": str(tmp_path / "outputs"), **STEP,
    }  # fmt: skip
    code, _, _ = shell(tmp_path, codes, "-e", str(script), **env)
    lines = (tmp_path / "outputs").read_text().splitlines()
    return code, dict(x.split("=", 1) for x in lines), (tmp_path / "summary").read_text()


def test_an_earlier_gates_table_is_not_shown_again(tmp_path: Path) -> None:
    """A second gate in the job that has no verdict, and so writes no table."""
    gate_step(tmp_path, [0])
    (tmp_path / "summary").write_text("")
    (tmp_path / "outputs").write_text("")
    (tmp_path / "calls").unlink()
    script = tmp_path / "step.sh"
    env = {"RUN_CODE": "2", **STEP, "RUNNER_TEMP": str(tmp_path / "temp"),
           "GITHUB_STEP_SUMMARY": str(tmp_path / "summary"),
           "GITHUB_OUTPUT": str(tmp_path / "outputs")}  # fmt: skip
    ended, _, _ = shell(tmp_path, [0], "-e", str(script), **env)
    assert ended == 0
    assert (tmp_path / "outputs").read_text().startswith("code=2\n")
    assert (tmp_path / "summary").read_text() == ""


@pytest.mark.parametrize(("mine", "method"), [("", "POST"), ("17\n18\n", "PATCH")])
def test_the_table_is_posted_once_and_then_replaced(tmp_path: Path, mine: str, method: str) -> None:
    code, calls, said = post_step(tmp_path, mine, "0")
    assert (code, said) == (0, "")
    where = "issues/comments/17" if mine else "issues/5/comments"
    assert f"gh api --silent --method {method} repos/o/r/{where} -F body=@" in calls[1]
    assert calls[2:] == ["<!-- guidebench gate: b.json -->", "| the table |"]


def test_a_table_that_cannot_be_posted_warns_and_leaves_the_verdict(tmp_path: Path) -> None:
    """A pull request from a fork has a token that may not write."""
    code, calls, said = post_step(tmp_path, "", "1")
    assert code == 0
    assert len(calls) == 1
    assert said.startswith("::warning title=guidebench gate::the table was not posted")


def post_step(tmp_path: Path, mine: str, code: str) -> tuple[int, list[str], str]:
    """Exit code of the posting step, what `gh` was asked, and what was said."""
    script, gh = tmp_path / "step.sh", tmp_path / "bin" / "gh"
    gh.parent.mkdir()
    gh.write_text(FAKE_GH)
    gh.chmod(0o755)
    script.write_text(step("Post the table"))
    (tmp_path / "gate.md").write_text("| the table |\n")
    return shell(tmp_path, [], "-eo", "pipefail", str(script), MINE=mine, CODE=code,
                 TABLE=str(tmp_path / "gate.md"), GITHUB_REPOSITORY="o/r", PULL_REQUEST="5",
                 MARK="<!-- guidebench gate: b.json -->")  # fmt: skip


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
    assert ("::error" in said) == (code == "2")
