"""Random numbers as a function of what they are for.

Every generator in nnlab is derived from (seed, purpose, indices such as epoch and step). Nothing
has to be stored to go on with a run exactly as if it had never stopped, and any past batch or
dropout mask can be made again. There is no global seed anywhere.
"""

import zlib

import numpy as np


def generator(seed: int, purpose: str, *indices: int) -> np.random.Generator:
    """Return the generator of one purpose.

    Args:
        seed: the run's seed, at least 0.
        purpose: what the numbers are for, for example ``"dropout"``. Different purposes give
            independent streams under the same seed.
        *indices: where in the run, for example epoch and step, each at least 0.

    Returns:
        A fresh `numpy.random.Generator`; the same arguments always give the same stream.
    """
    key = zlib.crc32(purpose.encode())
    sequence = np.random.SeedSequence(seed, spawn_key=(key, *indices))
    return np.random.Generator(np.random.SFC64(sequence))
