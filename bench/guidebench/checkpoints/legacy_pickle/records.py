"""What the reader puts in the place of objects: data that can do nothing."""

from dataclasses import dataclass, field
from typing import Any, Final, final

MOST_PARTS: Final = 2_000  # EDM2 has 204 modules and 203 tensors at every size


class RefusedError(ValueError):
    """What in a file is not allowed, as the middle of a sentence."""


@final
@dataclass(frozen=True, slots=True)
class Global:
    """A name that the file mentions; nothing is imported for it."""

    name: str


@final
@dataclass(slots=True, eq=False)
class Call:
    """A callee with its arguments, never called; `state` and `items` came after it.

    `built` tells whether a state was given at all.
    """

    callee: Global
    arguments: tuple[Any, ...]
    state: Any = None
    built: bool = False
    items: dict[str | int, Any] = field(default_factory=dict)


@final
@dataclass(frozen=True, slots=True)
class PersistentId:
    """A reference to a storage beside the pickle, as torch writes them."""

    value: Any


@final
class Seen:
    """Modules and storages that were read, each of which is read once.

    A part that stands in two places costs a file a few bytes and its reader the whole part, in
    every place anew: ten in each of ten, and so on, would never end.
    """

    def __init__(self) -> None:
        self._names: dict[int, str] = {}

    def once(self, part: object, name: str) -> None:
        """Note a part, which the records keep alive.

        Raises:
            RefusedError: where it was read before, or there are too many.
        """
        if (first := self._names.setdefault(id(part), name)) is not name:
            msg = f"{name} is the same object as {first}"
            raise RefusedError(msg)
        if len(self._names) > MOST_PARTS:
            msg = f"more than {MOST_PARTS} modules and tensors"
            raise RefusedError(msg)
