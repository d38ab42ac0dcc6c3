"""Persistent objects and torch modules from records: class names, arguments and tensors."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, final

from torch import Tensor

from guidebench.base import sha256_bytes
from guidebench.checkpoints.legacy_pickle.arrays import as_dict, described, is_call, shown, tensor
from guidebench.checkpoints.legacy_pickle.records import RefusedError, Seen

_PERSISTENT: Final = "torch_utils.persistence._reconstruct_persistent_obj"
_VERSION: Final = 6
_CONTAINERS: Final = (
    "torch.nn.modules.container.ModuleDict",
    "torch.nn.modules.container.ModuleList",
    "torch.nn.modules.container.Sequential",
)
_DEEPEST: Final = 16
_NAME: Final = re.compile(r"[A-Za-z0-9_]{1,64}")


@final
@dataclass(frozen=True, slots=True)
class Persistent:
    """An object that was stored with its source code, of which only the digest is kept."""

    class_name: str
    source_sha256: str
    state: dict[str | int, Any]

    def arguments(self, *positional: str) -> dict[str, Any]:
        """Constructor arguments by name; `positional` names those that may stand first."""
        given = self.state.get("_init_args", ())
        if not isinstance(given, tuple) or len(given) > len(positional):
            msg = f"{self.class_name} was made with {described(given)} as arguments"
            raise RefusedError(msg)
        named = as_dict(self.state.get("_init_kwargs", {}), f"arguments of {self.class_name}")
        first = dict(zip(positional, given, strict=False))
        return first | {str(key): value for key, value in named.items()}


def is_persistent(record: Any) -> bool:  # noqa: ANN401
    """Whether a record is an object stored with its source code."""
    return is_call(record, _PERSISTENT)


def persistent(record: Any, what: str) -> Persistent:  # noqa: ANN401
    """Read a persistent object's record; its source code is hashed and left alone.

    Raises:
        RefusedError: for anything else, or another version of the format.
    """
    if not is_persistent(record) or len(record.arguments) != 1 or record.built or record.items:
        msg = f"{what} is {described(record)}, not a persistent object"
        raise RefusedError(msg)
    meta = as_dict(record.arguments[0], what)
    kind, version = meta.get("type"), meta.get("version")
    name, source = meta.get("class_name"), meta.get("module_src")
    if kind != "class" or version != _VERSION:
        msg = f"{what} has persistence type {shown(kind)} and version {shown(version)}"
        raise RefusedError(msg)
    if not isinstance(name, str) or not name.isidentifier() or not isinstance(source, str):
        msg = f"{what} has no class name or no source"
        raise RefusedError(msg)
    state = as_dict(meta.get("state"), f"the state of {what}")
    return Persistent(name, sha256_bytes(source.encode()), state)


def state_dict(record: Any, what: str) -> dict[str, Tensor]:  # noqa: ANN401
    """All parameters and persistent buffers below a module, by their dotted names.

    Raises:
        RefusedError: for unknown kinds of modules, too many of them, or one in two places.
    """
    return dict(_tensors(record, what, 0, Seen()))


def _tensors(
    record: Any,  # noqa: ANN401
    name: str,
    depth: int,
    seen: Seen,
) -> Iterator[tuple[str, Tensor]]:
    seen.once(record, name)
    if depth > _DEEPEST:
        msg = f"modules more than {_DEEPEST} levels deep"
        raise RefusedError(msg)
    state = _module_state(record, name)
    transient = _names(state.get("_non_persistent_buffers_set", set()))
    for group in ("_parameters", "_buffers"):
        for key, value in _named(state.get(group, {}), f"{group} of {name}"):
            if not (group == "_buffers" and key in transient):
                yield key, tensor(value, f"{name}.{key}", seen)
    for key, value in _named(state.get("_modules", {}), f"modules of {name}"):
        for inner, found in _tensors(value, f"{name}.{key}", depth + 1, seen):
            yield f"{key}.{inner}", found


def _named(record: Any, what: str) -> Iterator[tuple[str, Any]]:  # noqa: ANN401
    """Entries that are not None, by names that a module's attributes or numbers may have."""
    for key, value in as_dict(record, what).items():
        if not _NAME.fullmatch(str(key)):
            msg = f"{what} has an entry named {shown(key)}"
            raise RefusedError(msg)
        if value is not None:
            yield str(key), value


def _names(record: Any) -> set[str | int]:  # noqa: ANN401
    """A set of names; protocols before 4 write it as the call of `set` on a list."""
    if is_call(record, "builtins.set", "__builtin__.set") and len(record.arguments) == 1:
        (values,) = record.arguments
        if isinstance(values, list) and all(isinstance(v, str) for v in values):
            return set(values)
    if isinstance(record, set):
        return record
    msg = f"names of buffers that are {described(record)}"
    raise RefusedError(msg)


def _module_state(record: Any, name: str) -> dict[str | int, Any]:  # noqa: ANN401
    if is_call(record, *_CONTAINERS) and not record.arguments:
        return as_dict(record.state, f"the state of {name}")
    return persistent(record, name).state
