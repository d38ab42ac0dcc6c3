"""Finding suites and rows by name, built in or from a user's file. No torch."""

import difflib
import importlib
import importlib.util
import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Final

from pydantic import ValidationError

from guidebench.base import UserError
from guidebench.runs.spec import Row, RunSpec, first_problem

SUITES: Final = (
    "fractal",
    "digits",
    "table1-img512",
    "table1-img64",
    "edm2-table2",
    "edm2-img64",
    "degradation",
    "fig3",
    "fig7",
    "interval-steps",
)


def nearest(name: str, known: Sequence[str]) -> str:
    """Ask whether the closest known name was meant, or list them all."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    return f"did you mean {close[0]}?" if close else f"there are: {', '.join(known)}"


def _import_suite(name: str) -> ModuleType:
    return importlib.import_module(f"guidebench.runs.suites.{name.replace('-', '_')}")


def _load_file(path: Path) -> ModuleType:
    if not path.is_file():
        msg = f"there is no suite file {path}; name an existing .py file"
        raise UserError(msg)
    found = importlib.util.spec_from_file_location(f"guidebench_suite_{path.stem}", path)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    try:
        found.loader.exec_module(module)
    except Exception as error:  # anything can go wrong in a user's file
        msg = f"suite file {path} does not load: {_in_one_line(error)}; mend it and run again"
        raise UserError(msg) from error
    return module


def _in_one_line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return first_problem(error)
    line = getattr(error, "lineno", None)
    where = f" (line {line})" if line else ""
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}{where}"


def _call(suite: str, name: str, function: object) -> Mapping[str, RunSpec]:
    """Rows of one function: itself, or NAME-KEY for each entry of the dict it returns."""
    assert callable(function)
    label = name.strip("_").replace("_", "-")
    try:
        made = function()
    except Exception as error:
        msg = f"row {suite}::{label} cannot be made: {_in_one_line(error)}; mend the suite"
        raise UserError(msg) from error
    rows = {f"{label}-{k}": s for k, s in made.items()} if isinstance(made, dict) else {label: made}
    specs = {key: spec for key, spec in rows.items() if isinstance(spec, RunSpec)}
    if wrong := next((key for key in rows if key not in specs), None):
        kind = type(rows[wrong]).__name__
        msg = f"row {suite}::{wrong} is a {kind}, a suite's functions return RunSpec"
        raise UserError(msg)
    return specs


def load_suite(name: str) -> list[Row]:
    """All rows of a suite, in the order of its functions.

    A suite is a module whose public functions without arguments return a `RunSpec`, or a dict
    of them. Names are built in, or a path to a .py file. TITLE is the suite's title.

    Raises:
        UserError: for an unknown name, or a file that does not load.
    """
    if name in SUITES:
        module, suite, file = _import_suite(name), name, None
    elif name.endswith(".py"):
        module, suite, file = _load_file(Path(name)), Path(name).stem, name
    else:
        msg = f"unknown suite {name}; {nearest(name, SUITES)}"
        raise UserError(msg)
    functions = {
        n: f
        for n, f in vars(module).items()
        if inspect.isfunction(f) and f.__module__ == module.__name__ and not n.startswith("_")
    }
    specs = [item for n, f in functions.items() for item in _call(suite, n, f).items()]
    if not specs:
        msg = f"suite {name} has no rows: it needs functions that return a RunSpec"
        raise UserError(msg)
    title = str(getattr(module, "TITLE", suite))
    return [
        Row(
            suite=suite,
            suite_title=title,
            name=row,
            order=order,
            spec=spec,
            suite_file=file,
        )
        for order, (row, spec) in enumerate(specs)
    ]


def select(names: Sequence[str]) -> list[Row]:
    """Rows that SUITE, SUITE::ROW or SUITE::ROW::ROW name, each once, in order.

    Raises:
        UserError: for an unknown suite or row, with the nearest name.
    """
    found: dict[str, Row] = {}
    for name in names:
        suite, *wanted = name.split("::")
        if not all((suite, *wanted)):
            msg = f"{name!r} leaves a name empty; write SUITE or SUITE::ROW, as in fractal::none"
            raise UserError(msg)
        rows = {row.name: row for row in load_suite(suite)}
        for row in wanted:
            if row not in rows:
                msg = f"suite {suite} has no row {row}; {nearest(row, tuple(rows))}"
                raise UserError(msg)
        found |= {row.label: row for row in rows.values() if not wanted or row.name in wanted}
    return list(found.values())
