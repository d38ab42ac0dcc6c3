"""50,000 images never need more than 2 GB above the networks: peak memory of real passes."""

import subprocess
import sys

import pytest

LIMIT = 2 * 1000**3

PEAK = """
import re
from pathlib import Path

def peak():  # not ru_maxrss, which a child inherits from its parent
    status = Path("/proc/self/status").read_text()
    return 1024 * int(re.search(r"VmHWM:\\s+(\\d+) kB", status)[1])
"""
PASS = """
import numpy as np, torch
from guidebench.metrics import GaussianReference, frechet
from guidebench.metrics.bias import jackknife
from guidebench.metrics.build import features_of
from guidebench.metrics.features import Extractor
from guidebench.metrics.images import TensorSource

NUM, DIMS = 50_000, {"fid": 2048, "fd_dinov2": 1024}

def extractor(name, dim):
    weight = torch.randn(3 * 32 * 32, dim, generator=torch.Generator().manual_seed(dim)) / 400
    embed = lambda x_BCHW: x_BCHW.flatten(1).to(torch.float32) @ weight
    return Extractor(name=name, dim=dim, weights_sha256="0" * 64, resize="none", comparable=False,
                     device=torch.device("cpu"), embed=embed)

def images():
    for start in range(0, NUM, 500):
        generator = torch.Generator().manual_seed(start)
        yield torch.randint(0, 256, (500, 3, 32, 32), dtype=torch.uint8, generator=generator)

made = {name: extractor(name, dim) for name, dim in DIMS.items()}
before = peak()
passed = features_of(TensorSource(images(), num=NUM), made, workers=0)
for name, features in passed.features.items():
    reference = GaussianReference.from_features(features[:4000], name=name)
    assert frechet(features, reference).num_seeds == NUM
print(peak() - before)
"""
BLOCKS = """
import numpy as np
from guidebench.metrics import GaussianReference
from guidebench.metrics.bias import jackknife

features = np.random.default_rng(0).standard_normal((50_000, 2048), dtype=np.float32)
reference = GaussianReference.from_features(features[:4000], name="part")
before = peak() - features.nbytes
assert jackknife(features, reference).standard_error > 0
print(peak() - before)
"""
SCORE = """
import numpy as np
from guidebench.metrics.inception_score import inception_score

logits = np.random.default_rng(0).standard_normal((50_000, 1008), dtype=np.float32)
before = peak() - logits.nbytes - 50_000 * 3072 * 4  # beside the features of both networks
assert inception_score(logits).value > 1
print(peak() - before)
"""
NEIGHBOURS = """
import numpy as np
from guidebench.metrics.neighbours import manifold

rng = np.random.default_rng(0)
before = peak()
a, b = (rng.standard_normal((50_000, 1024), dtype=np.float32) for _ in range(2))
assert 0 <= manifold(a, b, k=3).precision.value <= 1
print(peak() - before)
"""


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    "work", [PASS, BLOCKS, SCORE, NEIGHBOURS], ids=["pass", "blocks", "score", "neighbours"]
)
def test_fifty_thousand_images_fit(work: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", PEAK + work], capture_output=True, text=True, check=True
    )
    used = int(ran.stdout.split()[-1])
    print(f"{used / 1000**3:.2f} GB")
    assert used < LIMIT
