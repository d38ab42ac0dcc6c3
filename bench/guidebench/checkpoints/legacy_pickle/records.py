"""What the reader puts in the place of objects: data that can do nothing."""

from dataclasses import dataclass, field
from typing import Any, final


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
