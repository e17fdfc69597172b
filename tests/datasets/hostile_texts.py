"""Texts that are none, or far more than they seem: CSV and LIBSVM."""

import bz2
import gzip
from pathlib import Path

import numpy as np
from hostile_making import hostile


@hostile("is in no format|numbers|columns|not text")
def csv_of_nonsense(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 256, (50, 50), np.uint8)
    path = folder / "train.csv"
    path.write_bytes(b"\n".join(b",".join(bytes([value]) for value in row) for row in rows))
    return path


@hostile("is too long|in no format")
def csv_of_one_endless_line(folder: Path) -> Path:
    path = folder / "train.csv.gz"
    path.write_bytes(gzip.compress(b"1," + b"0," * 2**24) * 300)
    return path


@hostile("far more text than its size", long=True)
def csv_bomb(folder: Path) -> Path:
    path = folder / "train.csv.gz"
    path.write_bytes(gzip.compress((b"1," + b"0," * 783 + b"0\n") * 40_000) * 160)
    return path


@hostile("are too many|more values")
def libsvm_of_far_apart_pixels(folder: Path) -> Path:
    path = folder / "train.libsvm"
    path.write_bytes(b"1 50000000:1\n" * 1000)
    return path


@hostile("far more text than its size", long=True)
def libsvm_bomb(folder: Path) -> Path:
    path = folder / "train.bz2"
    path.write_bytes(bz2.compress(b"1 1:1 2:1 3:1 4:1\n" * 10**5) * 6000)
    return path
