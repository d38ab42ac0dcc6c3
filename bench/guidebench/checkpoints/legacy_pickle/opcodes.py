"""Walks a pickle's opcodes over a buffer and builds inert records. Nothing is called or imported.

Only the opcodes that published files hold are known; any other one ends the reading. Long byte
strings stay slices of the buffer, so that a file of gigabytes costs no second copy.
"""

import re
import struct
from collections.abc import Callable
from typing import Any, Final, final

from guidebench.checkpoints.legacy_pickle.records import Call, Global, PersistentId, RefusedError

MOST_OPCODES: Final = 120_000  # a file of EDM2-M has 27,336: tests, test_memory.py
MOST_STORAGE_OPCODES: Final = 64  # in each of the five pickles of a storage; torch writes 27
MOST_STACK: Final = 20_000
_LARGEST_KEY: Final = 1 << 31
_LONGEST_TEXT: Final = 4 << 20  # embedded source code is about 50 kB
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")
_MARK: Final = object()


def read_pickle(
    view: memoryview, start: int = 0, *, persistent_ids: bool = False
) -> tuple[Any, int]:
    """The object that a pickle describes, as records, and where the pickle ends.

    Args:
        view: the bytes; slices of it may appear in the result.
        start: where the pickle begins.
        persistent_ids: allow references to storages, as inside torch's own format, which is short.

    Raises:
        RefusedError: for any opcode, length or use of the stack that is not expected.
    """
    machine = _Machine(view, start, persistent_ids=persistent_ids)
    most = MOST_STORAGE_OPCODES if persistent_ids else MOST_OPCODES
    for _ in range(most):
        if machine.step():
            return machine.result(), machine.position
    msg = f"more than {most} opcodes"
    raise RefusedError(msg)


@final
class _Machine:
    """Stack, memo and position. The memo is a dict: a false index costs nothing."""

    def __init__(self, view: memoryview, start: int, *, persistent_ids: bool) -> None:
        self.view, self.position = view, start
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.persistent_ids = persistent_ids

    def step(self) -> bool:
        """Read one opcode; true at the end of the pickle."""
        code = self.take(1)[0]
        if code == _STOP:
            return True
        action = _ACTIONS.get(code)
        if action is None or (code == _PERSID and not self.persistent_ids):
            msg = f"opcode 0x{code:02x} at byte {self.position - 1} is not allowed"
            raise RefusedError(msg)
        action(self)
        if len(self.stack) > MOST_STACK:
            msg = f"more than {MOST_STACK} objects in one another"
            raise RefusedError(msg)
        return False

    def result(self) -> Any:  # noqa: ANN401  records of any kind
        if len(self.stack) != 1 or self.stack[0] is _MARK:
            msg = f"{len(self.stack)} objects are left at the end of the pickle, not 1"
            raise RefusedError(msg)
        return self.stack[0]

    def take(self, count: int) -> memoryview:
        end = self.position + count
        if count < 0 or end > len(self.view):
            msg = f"{count} bytes wanted at byte {self.position}, the file has {len(self.view)}"
            raise RefusedError(msg)
        found = self.view[self.position : end]
        self.position = end
        return found

    def number(self, layout: str) -> Any:  # noqa: ANN401  int or float
        return struct.unpack(layout, self.take(struct.calcsize(layout)))[0]

    def text(self, count: int) -> str:
        if count > _LONGEST_TEXT:
            msg = f"a text of {count} bytes"
            raise RefusedError(msg)
        return bytes(self.take(count)).decode("utf-8")

    def line(self) -> str:
        """Up to a line end, as old opcodes write names."""
        window = bytes(self.view[self.position : self.position + 256])
        end = window.find(b"\n")
        if end < 0:
            msg = f"a name without end at byte {self.position}"
            raise RefusedError(msg)
        self.position += end + 1
        return window[:end].decode("ascii")

    def push(self, value: Any) -> None:  # noqa: ANN401
        self.stack.append(value)

    def pop(self) -> Any:  # noqa: ANN401
        if not self.stack or self.stack[-1] is _MARK:
            msg = f"an object is missing from the stack at byte {self.position}"
            raise RefusedError(msg)
        return self.stack.pop()

    def top(self) -> Any:  # noqa: ANN401
        value = self.pop()
        self.stack.append(value)
        return value

    def pop_to_mark(self) -> list[Any]:
        for place in range(len(self.stack) - 1, -1, -1):
            if self.stack[place] is _MARK:
                found = self.stack[place + 1 :]
                del self.stack[place:]
                return found
        msg = f"a mark is missing from the stack at byte {self.position}"
        raise RefusedError(msg)


def _remember(m: _Machine, index: int) -> None:
    m.memo[index] = m.top()


def _recall(m: _Machine, index: int) -> None:
    if index not in m.memo:
        msg = f"object {index} is used before it is made"
        raise RefusedError(msg)
    m.push(m.memo[index])


def _name(module: Any, name: Any) -> Global:  # noqa: ANN401  from the stack
    if not (isinstance(module, str) and isinstance(name, str)):
        msg = "a global whose name is no text"
        raise RefusedError(msg)
    if not (_NAME.fullmatch(module) and _NAME.fullmatch(name)):
        msg = f"the global {module[:80]!r} {name[:80]!r}"
        raise RefusedError(msg)
    return Global(f"{module}.{name}")


def _stack_global(m: _Machine) -> None:
    name, module = m.pop(), m.pop()
    m.push(_name(module, name))


def _line_global(m: _Machine) -> None:
    module = m.line()
    m.push(_name(module, m.line()))


def _call(m: _Machine) -> None:
    arguments, callee = m.pop(), m.pop()
    if not isinstance(callee, Global) or not isinstance(arguments, tuple):
        msg = f"a call at byte {m.position} of something that is not a name"
        raise RefusedError(msg)
    m.push(Call(callee, arguments))


def _build(m: _Machine) -> None:
    state, target = m.pop(), m.top()
    if not isinstance(target, Call) or target.built:
        msg = f"a state at byte {m.position} for something that takes none"
        raise RefusedError(msg)
    target.state, target.built = state, True


def _set_items(m: _Machine, pairs: list[Any]) -> None:
    target = m.top()
    found = target.items if isinstance(target, Call) else target
    if not isinstance(found, dict) or len(pairs) % 2:
        msg = f"entries at byte {m.position} for something that is no dict"
        raise RefusedError(msg)
    for key, value in zip(pairs[::2], pairs[1::2], strict=True):
        found[_key(key)] = value


def _key(value: Any) -> str | int:  # noqa: ANN401
    """A text or a small number; large ones can be made to have one hash, and cost hours."""
    if isinstance(value, str) or (isinstance(value, int) and 0 <= value < _LARGEST_KEY):
        return value
    msg = (
        "a large number as a key" if isinstance(value, int) else f"a key of {type(value).__name__}"
    )
    raise RefusedError(msg)


def _set_item(m: _Machine) -> None:
    value, key = m.pop(), m.pop()
    _set_items(m, [key, value])


def _append(m: _Machine, values: list[Any]) -> None:
    target = m.top()
    if not isinstance(target, list):
        msg = f"elements at byte {m.position} for something that is no list"
        raise RefusedError(msg)
    target.extend(values)


def _add(m: _Machine) -> None:
    values, target = m.pop_to_mark(), m.top()
    if not isinstance(target, set):
        msg = f"elements at byte {m.position} for something that is no set"
        raise RefusedError(msg)
    target.update(map(_key, values))


def _tuple(count: int) -> Callable[[_Machine], None]:
    def action(m: _Machine) -> None:
        m.push(tuple(reversed([m.pop() for _ in range(count)])))

    return action


def _dict_from_mark(m: _Machine) -> None:
    pairs = m.pop_to_mark()
    m.push({})
    _set_items(m, pairs)


def _persistent(m: _Machine) -> None:
    m.push(PersistentId(m.pop()))


def _long(m: _Machine) -> None:
    m.push(int.from_bytes(m.take(m.number("<B")), "little", signed=True))


def _memoize(m: _Machine) -> None:
    _remember(m, len(m.memo))


_STOP: Final = ord(".")
_PERSID: Final = ord("Q")
_ACTIONS: Final[dict[int, Callable[[_Machine], None]]] = {
    0x80: lambda m: _protocol(m.number("<B")),
    0x95: lambda m: _frame(m, m.number("<Q")),
    ord("("): lambda m: m.push(_MARK),
    ord("}"): lambda m: m.push({}),
    ord("]"): lambda m: m.push([]),
    ord(")"): lambda m: m.push(()),
    0x8F: lambda m: m.push(set()),
    ord("d"): _dict_from_mark,
    ord("l"): lambda m: m.push(m.pop_to_mark()),
    ord("t"): lambda m: m.push(tuple(m.pop_to_mark())),
    0x85: _tuple(1),
    0x86: _tuple(2),
    0x87: _tuple(3),
    ord("s"): _set_item,
    ord("u"): lambda m: _set_items(m, m.pop_to_mark()),
    ord("a"): lambda m: _append(m, [m.pop()]),
    ord("e"): lambda m: _append(m, m.pop_to_mark()),
    0x90: _add,
    ord("N"): lambda m: m.push(None),
    0x88: lambda m: m.push(True),
    0x89: lambda m: m.push(False),
    ord("J"): lambda m: m.push(m.number("<i")),
    ord("K"): lambda m: m.push(m.number("<B")),
    ord("M"): lambda m: m.push(m.number("<H")),
    0x8A: _long,
    ord("G"): lambda m: m.push(m.number(">d")),
    ord("X"): lambda m: m.push(m.text(m.number("<I"))),
    0x8C: lambda m: m.push(m.text(m.number("<B"))),
    0x8D: lambda m: m.push(m.text(m.number("<Q"))),
    ord("B"): lambda m: m.push(m.take(m.number("<I"))),
    ord("C"): lambda m: m.push(m.take(m.number("<B"))),
    0x8E: lambda m: m.push(m.take(m.number("<Q"))),
    0x96: lambda m: m.push(m.take(m.number("<Q"))),
    ord("c"): _line_global,
    0x93: _stack_global,
    ord("R"): _call,
    0x81: _call,
    ord("b"): _build,
    ord("q"): lambda m: _remember(m, m.number("<B")),
    ord("r"): lambda m: _remember(m, m.number("<I")),
    0x94: _memoize,
    ord("h"): lambda m: _recall(m, m.number("<B")),
    ord("j"): lambda m: _recall(m, m.number("<I")),
    _PERSID: _persistent,
}


def _protocol(version: int) -> None:
    if not 2 <= version <= 5:
        msg = f"pickle protocol {version}, not 2 to 5"
        raise RefusedError(msg)


def _frame(m: _Machine, length: int) -> None:
    if length > len(m.view) - m.position:
        msg = f"a frame of {length} bytes at byte {m.position}, the file ends before"
        raise RefusedError(msg)
