"""Which files rows of images need, which are here, and how large the others are. No torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, final

from guidebench.checkpoints.cache import entry_status
from guidebench.checkpoints.catalog import find_entry, reconstruction
from guidebench.runs.inputs import Input, inputs_of
from guidebench.runs.spec import Row


@final
@dataclass(frozen=True, slots=True)
class Item:
    """A file that rows need.

    `bytes` are those on disk, or of the download, estimated unless `exact`; None where not known.
    `snapshots` and what follows say what the network is made of if it is not published.
    """

    name: str
    kind: str
    state: Literal["present", "downloaded", "missing"]
    bytes: int | None
    exact: bool
    snapshots: int = 0
    snapshot_bytes: int | None = None
    snapshots_url: str | None = None


@final
@dataclass(frozen=True, slots=True)
class Inventory:
    """All files of some rows, each once, and the names of each row's files."""

    items: dict[str, Item]
    of_row: dict[str, tuple[str, ...]]

    def not_present(self, label: str | None = None) -> list[Item]:
        """Files that no run can use yet, of one row or of all: missing, or not yet converted."""
        names = self.items if label is None else self.of_row[label]
        return [self.items[name] for name in names if self.items[name].state != "present"]


def inventory(rows: Sequence[Row]) -> Inventory:
    """Look up every file that the rows need; looks at the disk only.

    Raises:
        UserError: for names that the catalog does not have.
    """
    items: dict[str, Item] = {}
    of_row: dict[str, tuple[str, ...]] = {}
    for row in rows:
        needed = inputs_of(row.spec)
        of_row[row.label] = tuple(need.name for need in needed)
        for need in needed:
            if need.name not in items:
                items[need.name] = _look_up(need)
    return Inventory(items, of_row)


def _look_up(need: Input) -> Item:
    if str(need.path) == need.name:  # the user's own
        there = need.path.is_file()
        size = need.path.stat().st_size if there else None
        return Item(need.name, need.kind, "present" if there else "missing", size, exact=True)
    entry = find_entry(need.name)
    found = entry_status(entry)
    exact = found.state != "missing" or entry.size_is_known
    if entry.listed or entry.network is None:
        return Item(entry.name, entry.kind, found.state, found.bytes, exact)
    made = reconstruction(entry.network)
    return Item(
        entry.name, entry.kind, found.state, found.bytes, exact,
        snapshots=len(made.urls), snapshot_bytes=made.estimated_bytes,
        snapshots_url=made.folder_url,
    )  # fmt: skip
