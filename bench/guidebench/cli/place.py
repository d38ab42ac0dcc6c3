"""Whether this process is one rank of several that torchrun started, and which."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self, final


@final
@dataclass(slots=True)
class Place:
    """A rank among `world` others, or no rank: then `world` is 0.

    Ranks of one run share its folder and no connection: torchrun's rendezvous serves to start
    them. `at_work` is set once an error is this rank's own, not one that all ranks meet.
    """

    rank: int = 0
    local_rank: int = 0
    world: int = 0
    at_work: bool = False

    @classmethod
    def found(cls, environ: Mapping[str, str]) -> Self:
        """From the variables that torchrun sets."""
        if not {"RANK", "LOCAL_RANK", "WORLD_SIZE"} <= environ.keys():
            return cls()
        return cls(int(environ["RANK"]), int(environ["LOCAL_RANK"]), int(environ["WORLD_SIZE"]))

    @property
    def is_rank(self) -> bool:
        """Whether torchrun started this process."""
        return self.world > 0

    @property
    def is_first(self) -> bool:
        """Whether it shows progress, prints the tables and writes the report."""
        return self.rank == 0

    @property
    def speaks_for_its_node(self) -> bool:
        """Whether it says what is wrong with the question, once a node."""
        return self.local_rank == 0

    @property
    def name(self) -> str:
        """In front of an error, where several ranks may say one."""
        return f"rank {self.rank}: " if self.world > 1 and self.at_work else ""
