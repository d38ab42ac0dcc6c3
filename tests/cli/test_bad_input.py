"""Bad input: one clear sentence, exit code 2, and nothing lost or half-written."""

import shutil
from pathlib import Path

import pytest
import torch

from guidebench.checkpoints.builtin import FOLDER
from tests.cli.conftest import SUITE, Command, Ran, numbers


def check_refused(ran: Ran, *words: str) -> None:
    lines = ran.stderr.splitlines()
    assert ran.returncode == 2, ran.stderr
    assert len(lines) == 1, ran.stderr
    assert lines[0].startswith("guidebench")
    for word in words:
        assert word in lines[0]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["rum"], ["unknown command rum; did you mean run?"]),
        (["run", "fractl"], ["unknown suite fractl; did you mean fractal?"]),
        (["run", "digits::autoguidanse-w1-5"], ["no row", "did you mean autoguidance-"]),
        (["run", "fractal::"], ["'fractal::' leaves a name empty; write SUITE or SUITE::ROW"]),
        (["run", ""], ["'' leaves a name empty"]),
        (["run", "fractal", "--seeds", "4294967296"], ["first_seed", "less than 4294967296"]),
        (["run", "nowhere.py"], ["there is no suite file nowhere.py"]),
        (["run", "fractal", "--num", "1"], ["--num must be at least 2, got 1"]),
        (["run", "fractal", "--num", "many"], ["invalid int value: 'many'"]),
        (["run", "fractal", "--repeats", "0"], ["--repeats must be at least 1, got 0"]),
        (["run", "fractal", "--ranks", "0"], ["--processes must be at least 1, got 0"]),
        (["run", "fractal", "--seeds", "-1"], ["first_seed", "greater than or equal to 0"]),
        (["run"], ["required: SUITE[::ROW ...]", "--help"]),
        (["train", "letters"], ["invalid choice: 'letters'"]),
        (["report", "nowhere"], ["there is no folder nowhere"]),
        (["gate", "nowhere", "--baseline", "b.json"], ["there is no folder nowhere"]),
    ],
)
def test_wrong_words(command: Command, words: list[str], said: list[str]) -> None:
    check_refused(command(*words), *said)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def row(:\n", ["does not load", "SyntaxError", "line 1"]),
        ("import nowhere_at_all\n", ["does not load", "No module named 'nowhere_at_all'"]),
        ("X = 1\n", ["has no rows"]),
        ("def row():\n    return 3\n", ["is a int", "return RunSpec"]),
        ("def row():\n    return 1 / 0\n", ["::row cannot be made", "division by zero"]),
        (
            (
                "from guidebench.runs.spec import RunSpec\n\n"
                "def row():\n    return RunSpec(title='x')\n"
            ),
            ["::row cannot be made", "role", "Field required"],
        ),
    ],
)
def test_broken_suite_files(command: Command, tmp_path: Path, text: str, said: list[str]) -> None:
    suite = tmp_path / "broken.py"
    suite.write_text(text)
    check_refused(command("run", suite, "--out", tmp_path / "out"), *said)
    assert not (tmp_path / "out").exists()


def test_folder_that_cannot_be_written(command: Command, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    check_refused(
        command("run", SUITE, "--out", tmp_path / "file" / "out"), "cannot write", "file/out"
    )


@pytest.mark.parametrize(
    ("file", "why"), [("out", "Not a directory"), ("out/.state", "File exists")]
)
def test_a_training_that_cannot_be_stored_is_not_begun(
    file: str, why: str, inline: Command, tmp_path: Path
) -> None:
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text("")
    ran = inline("train", "digits", "--out", tmp_path / "out")
    assert ran.returncode == 2
    begun, refused = ran.stderr.splitlines()
    assert begun.startswith("training digits into")
    assert "cannot write" in refused
    assert f"/out/.state: {why}; name another folder or make room there" in refused


def test_cuda_where_there_is_none(command: Command, tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    ran = command("run", SUITE, "--out", tmp_path, "--device", "cuda")
    check_refused(ran, "no CUDA device can be used; try --device cpu")


@pytest.mark.parametrize("damage", ["flipped byte", "missing", "provenance cut"])
def test_altered_weights(command: Command, tmp_path: Path, damage: str) -> None:
    networks = Path(shutil.copytree(FOLDER, tmp_path / "networks"))
    path = networks / "fractal-main.safetensors"
    if damage == "flipped byte":
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(bytes(data))
        said = ["fractal-main.safetensors has SHA-256", "altered", "install guidebench again"]
    elif damage == "missing":
        path.unlink()
        said = ["fractal-main.safetensors is missing"]
    else:
        provenance = networks / "provenance.json"
        provenance.write_text(provenance.read_text()[:100])
        said = ["provenance.json is not a readable provenance"]
    ran = command("run", SUITE, "--out", tmp_path / "o", GUIDEBENCH_NETWORKS=str(networks))
    check_refused(ran, *said)


def test_what_was_cut_in_half_is_made_again(
    results: Path, finished: tuple[Path, Ran], inline: Command, warm: object
) -> None:
    """Records and arrays of all three rows, and nothing else."""
    names = {
        "truth": "record.json",
        "unguided": "per_seed.safetensors",
        "autoguidance-w3": "preview.safetensors",
    }
    for row, name in names.items():
        (path,) = results.glob(f"suite_tiny/{row}/*/{name}")
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert warm
    ran = inline("run", SUITE, "--out", results, "--ranks", 1)
    assert ran.returncode == 0, ran.stderr
    assert "run 3/3" in ran.stderr
    assert numbers(results) == numbers(finished[0])


def test_spoilt_shards_alone_are_redone(
    results: Path, finished: tuple[Path, Ran], inline: Command, warm: object
) -> None:
    """Cut, altered, another run's, and missing: four shards, and the record."""
    (record,) = results.glob("suite_tiny/unguided/*/record.json")
    record.unlink()
    cut, altered, foreign, missing = (
        record.parent / "shards" / f"{i:06d}.safetensors" for i in (1, 3, 5, 7)
    )
    cut.write_bytes(cut.read_bytes()[:200])
    data = bytearray(altered.read_bytes())
    data[-3] ^= 255
    altered.write_bytes(bytes(data))
    (other,) = results.glob("suite_tiny/autoguidance-w3/*/shards/000005.safetensors")
    shutil.copy(other, foreign)
    missing.unlink()
    assert warm
    ran = inline("run", SUITE, "--out", results, "--ranks", 1)
    assert ran.returncode == 0, ran.stderr
    assert "run 5/5" in ran.stderr
    assert numbers(results) == numbers(finished[0])


def test_samples_that_are_not_finite_name_their_seeds(
    inline: Command, warm: object, tmp_path: Path
) -> None:
    suite = tmp_path / "wild.py"
    suite.write_text(
        "from guidebench.guidance.catalog import naive_truncation\n"
        "from tests.cli.suite_tiny import unguided\n\n"
        "def wild():\n"
        "    return unguided().with_options(scheme=naive_truncation(1e30), curves=())\n"
    )
    assert warm
    ran = inline("run", suite, "--out", tmp_path / "out", "--ranks", 1)
    assert ran.returncode == 2, ran.stderr
    assert "seeds 0 to 3: 4 of 4 samples are not finite" in ran.stderr.splitlines()[-1]
    assert "Traceback" not in ran.stderr
    assert not list(tmp_path.rglob("record.json"))
