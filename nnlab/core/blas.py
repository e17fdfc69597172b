"""NumPy's own BLAS, called from compiled code: the same products by the same kernels.

NumPy does not say which BLAS it computes with, but the library that does is linked to it, and the
dynamic linker finds its functions through NumPy's module. Where they go by none of the known
names, `find_blas` says so and products stay with `numpy.matmul`.
"""

import ctypes
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

# OpenBLAS in NumPy's wheels, and elsewhere: what stands before and after a function's name.
NAMES = (("scipy_", "64_"), ("", "64_"), ("", ""))
I32, I64 = ir.IntType(32), ir.IntType(64)
# CBLAS's codes.
ROW_MAJOR, AS_IT_IS, TRANSPOSED = 101, 111, 112


@dataclass(frozen=True)
class Blas:
    """An OpenBLAS.

    Attributes:
        gemm: address of the matrix product, by dtype.
        wide: 1 if its integers have 64 bits, 0 for 32.
        get_threads, set_threads: how many threads it computes with.
    """

    gemm: dict[np.dtype[Any], int]
    wide: int
    get_threads: Any
    set_threads: Any


@cache
def find_blas() -> Blas | None:
    """Return the OpenBLAS that NumPy computes with; None if it is another BLAS, or hidden."""
    try:
        from numpy._core import _multiarray_umath  # NumPy 2
    except ImportError:
        from numpy.core import _multiarray_umath
    try:
        library = ctypes.CDLL(_multiarray_umath.__file__)
    except OSError:
        return None
    for before, after in NAMES:
        try:
            products = [
                getattr(library, f"{before}cblas_{letter}gemm{after}") for letter in ("s", "d")
            ]
            get_threads, set_threads = (
                getattr(library, f"{before}openblas_{verb}_num_threads{after}")
                for verb in ("get", "set")
            )
        except AttributeError:
            continue
        addresses = [ctypes.cast(product, ctypes.c_void_p).value or 0 for product in products]
        gemm = dict(zip((np.dtype(np.float32), np.dtype(np.float64)), addresses, strict=True))
        return Blas(gemm, int(after == "64_"), get_threads, set_threads)
    return None


@intrinsic
def product(  # type: ignore[no-untyped-def]
    _, gemm, wide, a_code, b_code, rows, columns, inner, a, a_step, b, b_step, one, out, out_step
):
    """Write op(a) op(b), (rows, columns), to `out`; all by address, in the type of `one`.

    Args:
        gemm: address of the function.
        wide: whether its integers have 64 bits.
        a_code, b_code: `AS_IT_IS` or `TRANSPOSED`.
        rows, columns, inner: op(a) is (rows, inner), op(b) is (inner, columns).
        a, b, out: addresses; each is followed by the elements from one row to the next.
        one: the number 1.
    """
    number = ir.FloatType() if one == types.float32 else ir.DoubleType()

    def call(builder, arguments, integer):  # type: ignore[no-untyped-def]
        gemm, _, a_code, b_code, *sizes_and_matrices = arguments
        rows, columns, inner, a, a_step, b, b_step, one, out, out_step = sizes_and_matrices
        kind = ir.FunctionType(ir.VoidType(), [
            I32, I32, I32, integer, integer, integer, number, I64, integer, I64, integer, number,
            I64, integer,
        ])  # fmt: skip
        rows, columns, inner, a_step, b_step, out_step = (
            value if integer is I64 else builder.trunc(value, integer)
            for value in (rows, columns, inner, a_step, b_step, out_step)
        )
        builder.call(builder.inttoptr(gemm, kind.as_pointer()), [
            I32(ROW_MAJOR), builder.trunc(a_code, I32), builder.trunc(b_code, I32),
            rows, columns, inner, one, a, a_step, b, b_step, number(0.0), out, out_step,
        ])  # fmt: skip

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        with builder.if_else(builder.icmp_signed("!=", arguments[1], I64(0))) as (then, otherwise):
            with then:
                call(builder, arguments, I64)
            with otherwise:
                call(builder, arguments, I32)
        return context.get_dummy_value()

    return types.void(*[types.intp] * 11, one, types.intp, types.intp), generate
