"""Published files made ready for runs: pickles converted, missing networks reconstructed."""

from collections.abc import Callable
from pathlib import Path
from typing import Final, final

from guidebench.base import cache_folder
from guidebench.checkpoints.cache import network_path
from guidebench.checkpoints.catalog import NetworkName, RemoteFile, reconstruction
from guidebench.checkpoints.lockfile import expected_sha256
from guidebench.runs.conversion import convert_network
from guidebench.runs.reconstruction import Made, Reconstruction

_PICKLE: Final = ".pkl"


@final
class FromSnapshots:
    """A network that is not published, from the raw snapshots of its training.

    Snapshots are downloaded and converted one after the other, and each pickle is deleted once
    it is converted: what was done is kept, and a second call goes on from there.
    """

    def __init__(self, network: NetworkName) -> None:
        self.network, self.made = network, reconstruction(network)
        self.folder = cache_folder() / "snapshots" / network.run

    def missing(self) -> list[str]:
        """Addresses of the snapshots that are not here yet."""
        return [url for url in self.made.urls if not self._converted(url).is_file()]

    def fetch(self, bring: Callable[[RemoteFile], Path], say: Callable[[str], None]) -> None:
        """Bring and convert what is missing.

        Raises:
            UserError: where a snapshot is not there or is refused; those before it are kept.
        """
        each = self.network.estimated_bytes
        for url in self.missing():
            name = f"downloads/snapshots/{self.network.run}/{_name(url)}"
            file = RemoteFile(url=url, file=name, estimated_bytes=each)
            pickled = bring(file)
            convert_network(pickled, self._converted(url), expected_sha256(file))
            pickled.unlink()
            say(f"{self._converted(url).stem}: converted")

    def reconstruct(self, progress: Callable[[int, int, str], None]) -> Made:
        """Make the network, where rows look for it."""
        kimg = self.network.num_images // 1000
        out = network_path(self.network.name).parent
        (made,) = Reconstruction(self.folder, [self.network.ema], [kimg], out=out).run(progress)[0]
        return made

    def _converted(self, url: str) -> Path:
        return self.folder / _name(url).replace(_PICKLE, ".safetensors")


def _name(url: str) -> str:
    return url.rpartition("/")[2]
