"""Hostile pickles by name. Those in `ARMED` do harm under plain `pickle.loads`: a marker file.

What harm means is written into each file when it is made: COMMAND touches the marker.
"""

import random
import struct
from collections import OrderedDict
from typing import Any, Final

import numpy as np
import torch
from typing_extensions import override

from guidebench.networks import EDM2Denoiser
from tests.checkpoints.legacy_pickle import official

CONFIG: Final[dict[str, Any]] = {
    "img_resolution": 8, "img_channels": 3, "label_dim": 4, "model_channels": 8,
    "channel_mult": [1, 2], "num_blocks": 1, "attn_resolutions": [4], "channels_per_head": 8,
}  # fmt: skip
COMMAND: Final = 'touch "$GUIDEBENCH_MARKER"'
PYTHON: Final = "import os; os.system('touch \"$GUIDEBENCH_MARKER\"')"


def small_network() -> EDM2Denoiser:
    torch.manual_seed(0)
    return EDM2Denoiser(**CONFIG)


def good() -> bytes:
    return official.network_bytes(small_network(), CONFIG)


def text(value: str) -> bytes:
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def call(module: str, name: str, argument: str) -> bytes:
    return f"c{module}\n{name}\n".encode() + text(argument) + b"\x85R"


def armed() -> dict[str, bytes]:
    """Each runs something under plain `pickle.loads`."""
    chain = text("subprocess") + text("os.system")
    popen = b"csubprocess\nPopen\n](" + text("sh") + text("-c") + text(COMMAND) + b"e\x85R"
    found = {
        "reduce to os.system": b"\x80\x02" + call("os", "system", COMMAND) + b".",
        "reduce to exec": b"\x80\x02" + call("builtins", "exec", PYTHON) + b".",
        "reduce to Popen": b"\x80\x02" + popen + b".",
        "attribute chain": b"\x80\x04" + chain + b"\x93" + text(COMMAND) + b"\x85R.",
        "opcode INST": b"\x80\x02(" + text(COMMAND) + b"ios\nsystem\n.",
        "opcode OBJ": b"\x80\x02(cos\nsystem\n" + text(COMMAND) + b"o.",
        "state on a class": b"\x80\x02clogging\nHandler\nN}" + text("hacked") + b"\x88s\x86b.",
        "hidden in a dict of the right keys": b"\x80\x02}" + text("ema")
        + call("os", "system", COMMAND) + b"s.",
    }  # fmt: skip
    inner = b"\x80\x02" + call("os", "system", COMMAND) + b"."
    blob = b"ctorch.storage\n_load_from_bytes\nB" + struct.pack("<I", len(inner)) + inner
    found["pickle nested in a storage"] = b"\x80\x04" + blob + b"\x85R."
    found["embedded source"] = official.dumped(
        official.Persistent("Precond", {}, module_src=PYTHON), 4
    )
    return found


class FakeTensor:
    """Pickles as a tensor with whatever offset, size and stride."""

    def __init__(self, offset: Any, size: Any, stride: Any, **meta: Any) -> None:  # noqa: ANN401
        self.offset, self.size, self.stride = offset, size, stride
        self.values = meta.get("values", torch.zeros(4))
        self.hooks = meta.get("hooks", OrderedDict())

    @override
    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        storage = torch.storage.TypedStorage(
            wrap_storage=self.values.untyped_storage(), dtype=self.values.dtype, _internal=True
        )
        arguments = (storage, self.offset, self.size, self.stride, False, self.hooks)
        return vars(torch)["_utils"]._rebuild_tensor_v2, arguments


def with_first_parameter(value: object, name: str = "out_gain") -> bytes:
    """An official file whose `out_gain` is something else."""
    ema = official.wrapped(official.half(small_network()), **CONFIG)
    ema.meta["state"]["_modules"]["unet"].meta["state"]["_parameters"][name] = value
    return official.dumped({"encoder": official.encoder("rgb"), "ema": ema}, 4)


def with_arguments(**changes: object) -> bytes:
    ema = official.wrapped(official.half(small_network()), **(CONFIG | changes))
    return official.dumped({"encoder": official.encoder("rgb"), "ema": ema}, 4)


def with_one_tensor_twice() -> bytes:
    ema = official.wrapped(official.half(small_network()), **CONFIG)
    unet = ema.meta["state"]["_modules"]["unet"].meta["state"]["_parameters"]
    unet["again"] = unet["out_gain"]
    return official.dumped({"ema": ema}, 4)


def with_transposed(layer: str) -> bytes:
    """An official file that stores one layer's weight column by column."""
    ema = official.wrapped(official.half(small_network()), **CONFIG)
    unet = ema.meta["state"]["_modules"]["unet"].meta["state"]["_modules"]
    parameters = unet[layer].meta["state"]["_parameters"]
    stored = parameters["weight"].detach().t().contiguous().t()
    parameters["weight"] = torch.nn.Parameter(stored, requires_grad=False)
    return official.dumped({"ema": ema}, 4)


def with_encoder(**state: object) -> bytes:
    encoder = official.encoder("stability-vae")
    encoder.meta["state"].update(state)
    ema = official.wrapped(official.half(small_network()), **CONFIG)
    return official.dumped({"encoder": encoder, "ema": ema}, 4)


def mutants(count: int) -> dict[str, bytes]:
    """Bit flips and lost bytes of an official file; some only change a weight."""
    rng, whole, found = random.Random(0), good(), {}
    for index in range(count):
        mutant = bytearray(whole)
        for _ in range(rng.choice([1, 1, 2, 8])):
            place = rng.randrange(len(mutant))
            if rng.random() < 0.7:
                mutant[place] ^= 1 << rng.randrange(8)
            else:
                del mutant[place : place + rng.randrange(1, 9)]
        found[f"mutant {index}"] = bytes(mutant)
    return found


def broken() -> dict[str, bytes]:
    """Files that want memory, time or numbers that are not theirs."""
    whole = good()
    cuts = range(0, len(whole), max(1, len(whole) // 40))
    found = {f"cut at byte {cut}": whole[:cut] for cut in cuts if cut}
    found["bytes after the end"] = whole + b"x"
    return found | _broken_opcodes() | _broken_networks() | _broken_statistics()


def _broken_opcodes() -> dict[str, bytes]:
    return {
        "a length of 2^33 bytes": b"\x80\x04\x8e" + struct.pack("<Q", 1 << 33) + b"abc.",
        "a text of 2^40 bytes": b"\x80\x04\x8d" + struct.pack("<Q", 1 << 40) + b"abc.",
        "a frame of 2^60 bytes": b"\x80\x04\x95" + struct.pack("<Q", 1 << 60) + b"N.",
        "a memo index of 2^27": b"\x80\x02Nr" + struct.pack("<I", 1 << 27) + b".",
        "a million lists in one another": b"\x80\x02" + b"]" * 10**6 + b"a" * (10**6 - 1) + b".",
        "a million tuples in one another": b"\x80\x02)" + b"\x85" * 10**6 + b".",
        "nested tuples for arguments": b"\x80\x02ccollections\nOrderedDict\n)"
        + b"\x85" * 100_000 + b"R.",
        "laughs": b"\x80\x02](" + b"Nq\x00" + b"h\x00h\x00\x86q\x00" * 60 + b"e.",
        "opcode EXT1": b"\x80\x02\x82\x01.",
        "opcode PERSID": b"\x80\x02Pabc\n.",
        "opcode BINPERSID": b"\x80\x02NQ.",
        "opcode NEWOBJ_EX": b"\x80\x04ccollections\nOrderedDict\n)}\x92.",
        "opcode POP": b"\x80\x02NN0.",
        "opcode DUP": b"\x80\x02N2\x86.",
        "protocol 0": b"(dp0\n.",
        "nothing": b"\x80\x02N.",
        "two objects": b"\x80\x02NN.",
        "an unhashable key": b"\x80\x02}]Ns.",
    }  # fmt: skip


def _broken_networks() -> dict[str, bytes]:
    nan = torch.full((), float("nan"))
    return {
        "10^6 channels": with_arguments(model_channels=10**6),
        "10^9 blocks": with_arguments(num_blocks=10**9),
        "an argument of ours that is a call": with_arguments(num_blocks=OrderedDict()),
        "an unknown argument": with_arguments(backdoor=True),
        "another balance": with_arguments(res_balance=0.4),
        "not finite": with_first_parameter(torch.nn.Parameter(nan)),
        "an offset beyond the storage": with_first_parameter(FakeTensor(4, (), ())),
        "a stride beyond the storage": with_first_parameter(FakeTensor(0, (2, 2), (3, 1))),
        "a negative size": with_first_parameter(FakeTensor(0, (-1, 2), (1, 1))),
        "a size of 2^62": with_first_parameter(FakeTensor(0, (1 << 62,), (0,))),
        "one number repeated": with_first_parameter(FakeTensor(0, (10**9,), (0,))),
        "hooks": with_first_parameter(FakeTensor(0, (), (), hooks=OrderedDict(a=1))),
        "integers": with_first_parameter(FakeTensor(0, (), (), values=torch.zeros(4).int())),
        "one tensor in two places": with_one_tensor_twice(),
        "an encoder that is not finite": with_encoder(scale=np.full((1, 4, 1, 1), np.nan, "f4")),
        "an encoder that divides by 0": with_encoder(scale=np.zeros((1, 4, 1, 1), "f4")),
        "an encoder of a million channels": with_encoder(bias=np.ones(10**6, "f4")),
        "a class that is no name": official.dumped(
            {"ema": official.Persistent("Evil\n\x1b[2J", {})}, 4
        ),
        "a tensor that is no name": with_first_parameter(torch.nn.Parameter(nan), "a\n\x1b[31m"),
    }  # fmt: skip


def _broken_statistics() -> dict[str, bytes]:
    eye = np.eye(3)
    return {
        "objects in an array": official.dumped(
            {"fid": {"mu": np.array([None]), "sigma": np.eye(1)}}, 4
        ),
        "big-endian numbers": official.dumped(
            {"fid": {"mu": np.zeros(3, dtype=">f8"), "sigma": eye}}, 4
        ),
        "statistics that are not finite": official.reference_bytes(
            9, {"fid": (np.full(3, np.nan), eye)}
        ),
        "statistics of nothing": official.reference_bytes(
            9, {"fid": (np.zeros(0), np.zeros((0, 0)))}
        ),
        "fewer images than none": official.reference_bytes(-9, {"fid": (np.zeros(3), eye)}),
        "statistics that do not fit": official.reference_bytes(9, {"fid": (np.zeros(2), eye)}),
        "statistics under another key": official.dumped({"mu": np.zeros(3), "sigma": eye}, 4),
    }  # fmt: skip
