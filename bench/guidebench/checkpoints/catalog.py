"""Published files by name: networks, references, feature weights, the VAE. No torch, no requests.

Names, roots and digests stand in catalog.json; what a network's name says is parsed from it.
"""

import difflib
import json
import re
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any, Final, Literal, Self, final

from guidebench.base import UserError

Kind = Literal["network", "reference", "features", "vae"]

_NETWORK: Final = re.compile(
    r"edm2-img(?P<resolution>512|64)-(?P<size>xxs|xs|s|m|l|xl|xxl)(?P<uncond>-uncond)?"
    r"-(?P<kimg>\d{7})-(?P<ema>0\.\d{3})"
)
_BATCH: Final = 2048  # images a training step, arXiv:2312.02696
_SNAPSHOT_EVERY: Final = 1 << 25  # images between the published raw snapshots
_LONGEST_EMA: Final = 0.2886  # sigma_rel of the plain mean
_TRACKED_EMAS: Final = (0.050, 0.100)
_FP16_BYTES: Final = 2
_PICKLE_BYTES: Final = 200_000  # source code, names and buffers beside the parameters


@final
@dataclass(frozen=True, slots=True)
class Licence:
    """What a file may be used for, in one line, and where the text is."""

    key: str
    name: str
    url: str
    terms: str


@final
@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One file: where it is published, its path below the cache, and what is known of it."""

    url: str
    file: str
    sha256: str | None = None
    bytes: int | None = None
    estimated_bytes: int | None = None

    @property
    def expected_bytes(self) -> int | None:
        """The known size, else the estimate."""
        return self.bytes if self.bytes is not None else self.estimated_bytes


@final
@dataclass(frozen=True, slots=True)
class NetworkName:
    """What the name of a published network says.

    `run` names the training, `num_images` the images seen, `ema` the length sigma_rel.
    """

    run: str
    resolution: Literal[64, 512]
    size: str
    unconditional: bool
    num_images: int
    ema: float

    @property
    def kimg(self) -> str:
        """Thousands of images, cut off, as names write them."""
        return f"{self.num_images // 1000:07d}"

    @property
    def name(self) -> str:
        """The name that was parsed."""
        return f"{self.run}-{self.kimg}-{self.ema:.3f}"

    @property
    def parameters(self) -> int | None:
        """About how many, from the papers; None for the size that they leave out."""
        millions = _data()["networks"]["parameters_millions"].get(self.size)
        return None if millions is None else round(millions * 1e6)

    @property
    def estimated_bytes(self) -> int | None:
        """About how large a float16 file is."""
        known = self.parameters
        return None if known is None else _FP16_BYTES * known + _PICKLE_BYTES


@final
@dataclass(frozen=True, slots=True)
class Reconstruction:
    """How to make a network that is not listed: from these raw snapshots, by this command.

    The layout of the snapshots' folder is recalled, not checked against the server.
    """

    folder_url: str
    urls: tuple[str, ...]
    estimated_bytes: int | None
    command: str


@final
@dataclass(frozen=True, slots=True)
class Entry:
    """A name and its files; `network` is what the name of a network says.

    `listed` is False for a network whose name is well formed but which no published preset
    uses: it may not be on the server.
    """

    name: str
    kind: Kind
    licence: Licence
    files: tuple[RemoteFile, ...]
    network: NetworkName | None = None
    listed: bool = True

    @property
    def expected_bytes(self) -> int | None:
        """Size of all files, estimated where not known; None where even that is not."""
        sizes = [file.expected_bytes for file in self.files]
        return None if None in sizes else sum(s for s in sizes if s is not None)

    @property
    def size_is_known(self) -> bool:
        """Whether the size is exact."""
        return all(file.bytes is not None for file in self.files)

    @classmethod
    def of_network(cls, network: NetworkName, *, listed: bool) -> Self:
        """The entry of a parsed name."""
        facts = _data()["networks"]
        file = RemoteFile(
            url=f"{facts['root']}/{network.name}.pkl",
            file=f"downloads/{network.name}.pkl",
            estimated_bytes=network.estimated_bytes,
        )
        licence = licences()[facts["licence"]]
        return cls(network.name, "network", licence, (file,), network, listed)


def parse_network_name(name: str) -> NetworkName:
    """What a name such as edm2-img512-s-2147483-0.130 says.

    >>> parse_network_name("edm2-img64-xs-uncond-1073741-0.030").num_images == 1 << 30
    True

    Raises:
        UserError: for a name of another form, or numbers that no training has.
    """
    found = _NETWORK.fullmatch(name)
    if found is None:
        msg = (
            f"{name!r} is no network's name; one reads edm2-img512-s-2147483-0.130 "
            "(run, thousands of training images, EMA length)"
        )
        raise UserError(msg)
    ema, num_images = float(found["ema"]), images_seen(int(found["kimg"]))
    if num_images == 0 or num_images % _BATCH:
        msg = f"{name!r}: no batch of {_BATCH} images ends at {found['kimg']} thousand images"
        raise UserError(msg)
    if not 0 < ema < _LONGEST_EMA:
        msg = f"{name!r}: EMA lengths lie between 0 and {_LONGEST_EMA}, got {found['ema']}"
        raise UserError(msg)
    return NetworkName(
        run=name[: found.start("kimg") - 1],
        resolution=512 if found["resolution"] == "512" else 64,
        size=found["size"],
        unconditional=found["uncond"] is not None,
        num_images=num_images,
        ema=ema,
    )


def images_seen(kimg: int) -> int:
    """Images of a training that a name gives in thousands, cut off: whole batches if that fits.

    >>> images_seen(134217) == 1 << 27
    True
    """
    whole = -(-kimg * 1000 // _BATCH) * _BATCH
    return whole if whole < (kimg + 1) * 1000 else kimg * 1000


def reconstruction(network: NetworkName) -> Reconstruction:
    """The raw snapshots, up to the network's training time, that give any EMA length."""
    folder = f"{_data()['networks']['snapshots_root']}/{network.run}"
    times = range(_SNAPSHOT_EVERY, network.num_images + 1, _SNAPSHOT_EVERY)
    urls = tuple(
        f"{folder}/{network.run}-{num_images // 1000:07d}-{ema:.3f}.pkl"
        for num_images in times
        for ema in _TRACKED_EMAS
    )
    each = network.estimated_bytes
    command = f"guidebench checkpoint ema FOLDER --std {network.ema:.3f} --kimg {int(network.kimg)}"
    return Reconstruction(f"{folder}/", urls, each and each * len(urls), command)


def find_entry(name: str) -> Entry:
    """The entry of a listed name, or of any well-formed name of a network.

    Raises:
        UserError: for a name that is neither, with the nearest listed one.
    """
    known = catalog_entries()
    if name in known:
        return known[name]
    if _NETWORK.fullmatch(name):
        return Entry.of_network(parse_network_name(name), listed=False)
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]}?" if close else "see `guidebench list downloads`"
    msg = f"unknown file {name}; {hint}"
    raise UserError(msg)


@lru_cache(maxsize=1)
def catalog_entries() -> dict[str, Entry]:
    """Every listed entry by name: networks, references, feature weights, the VAE."""
    data = _data()
    networks = [
        Entry.of_network(parse_network_name(name), listed=True)
        for name in data["networks"]["listed"]
    ]
    facts = data["references"]
    references = [
        Entry(
            name,
            "reference",
            licences()[facts["licence"]],
            (
                RemoteFile(
                    url=f"{facts['root']}/{name}.pkl",
                    file=f"downloads/{name}.pkl",
                    estimated_bytes=facts["estimated_bytes"],
                ),
            ),
        )
        for name in facts["listed"]
    ]
    others = [
        Entry(
            other["name"],
            other["kind"],
            licences()[other["licence"]],
            tuple(RemoteFile(**file) for file in other["files"]),
        )
        for other in data["others"]
    ]
    return {entry.name: entry for entry in (*networks, *references, *others)}


@lru_cache(maxsize=1)
def licences() -> dict[str, Licence]:
    """All licences by key."""
    return {key: Licence(key=key, **facts) for key, facts in _data()["licences"].items()}


@lru_cache(maxsize=1)
def _data() -> dict[str, Any]:
    text = resources.files("guidebench.checkpoints").joinpath("catalog.json").read_text("utf-8")
    found: dict[str, Any] = json.loads(text)
    return found
