"""The README's commands are the ones that run."""

import re
import subprocess
import sys
from pathlib import Path

from guidebench.cli import COMMANDS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_ci_runs_the_readmes_test_command() -> None:
    setup, tests = (block.strip() for block in blocks("sh"))
    assert tests in (ROOT / ".ci/run").read_text(encoding="utf-8")
    assert setup.endswith("guidebench run fractal digits")


def test_the_example_suite_loads(tmp_path: Path) -> None:
    (example,) = blocks("python")
    path = tmp_path / "my_suite.py"
    path.write_text(example, encoding="utf-8")
    code = (
        f"from guidebench.runs.catalog import load_suite; print(load_suite({str(path)!r})[0].label)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "my_suite::gentle"


def test_links_lead_somewhere() -> None:
    for page in [ROOT / "README.md", ROOT / "ARCHITECTURE.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_listed_commands_exist() -> None:
    assert set(re.findall(r"^\| `guidebench (\w+)", README, flags=re.MULTILINE)) == set(COMMANDS)
