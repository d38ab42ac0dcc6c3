import subprocess
import sys


def test_numbers_alone_do_not_import_torch() -> None:
    code = "import sys, guidebench.metrics; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
