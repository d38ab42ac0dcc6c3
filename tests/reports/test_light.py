import subprocess
import sys


def test_import_draws_nothing_in() -> None:
    """The record is read by every command: its import must not cost a plotting library."""
    heavy = "{'torch', 'matplotlib', 'jinja2', 'rich', 'safetensors'}"
    code = f"import sys, guidebench.reports; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_drawing_needs_no_torch() -> None:
    parts = "guidebench.reports.page, guidebench.reports.gate"
    code = f"import sys, {parts}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
