"""Seeds from digests: every random stream is named, none is `seed + i`."""

from __future__ import annotations

import hashlib
import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


def derive(*parts: object) -> int:
    """Return a 63-bit seed that depends on all of `parts` (their `str`), and on nothing else."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def rng(*parts: object) -> random.Random:
    """Return a Python generator seeded by `derive(*parts)`."""
    return random.Random(derive(*parts))


def numpy_rng(*parts: object) -> np.random.Generator:
    """Return a NumPy generator seeded by `derive(*parts)`."""
    import numpy as np

    return np.random.default_rng(derive(*parts))
