"""Small files that would keep a careless reader busy for years, written opcode by opcode.

What stands in them once can be meant many times: by the memo, by equal hashes, or as the text
of an error.
"""

import struct
from collections.abc import Callable, Mapping
from typing import Final

_PROTOCOL: Final = b"\x80\x02"
_MAGIC: Final = 0x1950A86A20F9469CFC6C
_HASH_PRIME: Final = 2**61 - 1  # numbers that differ by it have one hash


def text(value: str) -> bytes:
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def number(value: int) -> bytes:
    return b"J" + struct.pack("<i", value)


def large(value: int) -> bytes:
    data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(data)]) + data


def put(index: int) -> bytes:
    return b"r" + struct.pack("<I", index)


def get(index: int) -> bytes:
    return b"j" + struct.pack("<I", index)


def name(module: str, attribute: str) -> bytes:
    return f"c{module}\n{attribute}\n".encode()


def mapping(entries: Mapping[str, bytes]) -> bytes:
    return b"}(" + b"".join(text(key) + value for key, value in entries.items()) + b"u"


def state(**entries: bytes) -> bytes:
    return mapping(entries)


def persistent(inner: bytes, **meta: bytes) -> bytes:
    fields = {"type": text("class"), "version": number(6), "module_src": text("pass"),
              "class_name": text("Precond"), "state": inner}  # fmt: skip
    callee = name("torch_utils.persistence", "_reconstruct_persistent_obj")
    return callee + mapping(fields | meta) + b"\x85R"


def network(inner: bytes, before: bytes = b"N", **meta: bytes) -> bytes:
    """A file; what `before` puts into the memo can be used in the network's state."""
    return _PROTOCOL + state(junk=before, ema=persistent(inner, **meta)) + b"."


def with_arguments(**arguments: bytes) -> bytes:
    given = {"img_resolution": number(8), "img_channels": number(3), "label_dim": number(0)}
    return network(state(_init_kwargs=mapping(given | arguments)))


def laughs() -> bytes:
    """A pair of the same pair twice, and so on 40 times: 2^40 words when written out."""
    return b"N" + put(9) + (get(9) + b"\x86" + put(9)) * 40


def storage(raw: bytes, fill: int = 0) -> bytes:
    """Half-precision numbers in torch's legacy format, with a long list beside them."""
    facts = state(little_endian=b"\x88", filler=b"]" + b"Na" * fill)
    reference = (b"(" + text("storage") + name("torch", "HalfStorage") + text("0") + text("cpu")
                 + number(len(raw) // 2) + b"NtQ")  # fmt: skip
    parts = (large(_MAGIC), number(1001), facts, reference, b"]" + text("0") + b"a")
    blob = b"".join(_PROTOCOL + part + b"." for part in parts)
    blob += struct.pack("<q", len(raw) // 2) + raw
    return name("torch.storage", "_load_from_bytes") + b"B" + struct.pack("<I", len(blob)) + blob


def tensor(stored: bytes, size: bytes = b")", stride: bytes = b")") -> bytes:
    hooks = name("collections", "OrderedDict") + b")R"
    return (name("torch._utils", "_rebuild_tensor_v2") + b"(" + stored + b"\x85R" + number(0)
            + size + stride + b"\x89" + hooks + b"tR")  # fmt: skip


def many(index: int, count: int) -> bytes:
    return mapping({f"p{place}": get(index) for place in range(count)})


def shared_modules() -> bytes:
    """Ten times the same module in each of ten, 15 levels deep."""
    levels = persistent(state()) + put(500)
    for level in range(500, 515):
        levels += persistent(state(_modules=many(level, 10))) + put(level + 1)
    return network(state(_modules=state(top=get(515))), b"(" + levels + b"l")


def toy() -> bytes:
    one = number(1) + number(1) + b"\x86"
    weight = tensor(storage(bytes(2)), one, one)
    layer = persistent(state(_parameters=state(weight=weight)))
    layers = persistent(state(_modules=mapping({"0": layer})))
    inner = state(_init_kwargs=state(sigma_data=laughs()), _modules=state(layers=layers))
    return _PROTOCOL + persistent(inner, class_name=text("ToyModel")) + b"."


def statistics() -> bytes:
    order = b"(" + number(3) + laughs() + b"NNN" + number(-1) * 2 + number(0) + b"tb"
    dtype = name("numpy", "dtype") + b"(" + text("f8") + b"\x89\x88tR" + order
    mean = (name("numpy.core.numeric", "_frombuffer") + b"(C\x08" + bytes(8) + dtype + number(1)
            + b"\x85" + text("C") + b"tR")  # fmt: skip
    return _PROTOCOL + state(fid=state(mu=mean, sigma=b"N")) + b"."


def collisions() -> bytes:
    """50,000 keys of one hash, in pieces that the stack has room for."""
    keys = [large(_HASH_PRIME * (place + 1)) + b"N" for place in range(50_000)]
    pieces = (b"".join(keys[start : start + 5000]) for start in range(0, len(keys), 5000))
    return _PROTOCOL + b"}" + b"".join(b"(" + piece + b"u" for piece in pieces) + b"."


def endless() -> dict[str, bytes]:
    """By name; each is below 2 MB."""
    parameter = tensor(storage(bytes(1 << 20)), number(1 << 19) + b"\x85", number(1) + b"\x85")
    slow = tensor(storage(bytes(2), fill=50_000))
    made: dict[str, Callable[[], bytes]] = {
        "laughs as a version": lambda: network(state(), version=laughs()),
        "laughs as a type": lambda: network(state(), type=laughs()),
        "laughs as a class name": lambda: network(state(), class_name=laughs()),
        "laughs as a built-in setting": lambda: with_arguments(res_balance=laughs()),
        "laughs as a number of blocks": lambda: with_arguments(num_blocks=laughs()),
        "laughs as channels": lambda: with_arguments(channel_mult=laughs()),
        "laughs as a toy's setting": toy,
        "laughs as a size": lambda: network(
            state(_parameters=state(w=tensor(storage(bytes(2)), laughs() + b"\x85")))
        ),
        "laughs as a byte order": statistics,
        "one module in a million places": shared_modules,
        "one storage in 20,000 places": lambda: network(
            state(_parameters=many(700, 9000)), parameter + put(700)
        ),
        "a long pickle in a storage": lambda: network(state(_parameters=state(w=slow))),
        "keys of one hash": collisions,
    }
    return {title: make() for title, make in made.items()}
