"""Processor instructions that NumPy and Numba do not offer, as LLVM code built by hand.

A tile is a small block of results, `queries` x `rows`, whose sums stay in vector registers while
one loop walks along the columns. Each vector that is loaded is used several times, so the loop is
bound by arithmetic instead of by loads:

    for column in range(0, width, step):          one pass over the packed bytes
        q[0..m], t[0..n] = load vectors
        acc[i][j] = instruction(acc[i][j], q[i], t[j])    for all m x n
    out[i, j] = sum of the lanes of acc[i][j]

`psadbw` sums absolute differences of bytes, `vpdpbusd` (VNNI) multiplies unsigned by signed bytes
and adds four products to each 32-bit lane, `pmaddwd` does the same with two 16-bit products.
All of them are exact in integers.

Source: Intel 64 and IA-32 Architectures Software Developer's
Manual, volume 2.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

BIT = ir.IntType(1)
BYTE = ir.IntType(8)
I32 = ir.IntType(32)
I64 = ir.IntType(64)
I128 = ir.IntType(128)
Value = Any


def _vector(element: ir.Type, lanes: int) -> ir.VectorType:
    return ir.VectorType(element, lanes)


def _call(builder: ir.IRBuilder, name: str, result: ir.Type, *arguments: Value) -> Value:
    kind = ir.FunctionType(result, [argument.type for argument in arguments])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), arguments)


@dataclass(frozen=True)
class Recipe:
    """How one instruction makes a tile.

    Attributes:
        queries, rows: the shape of the tile; chosen so that the sums fit into the registers.
        step: columns (bytes) that one vector holds.
        accumulator: the type of one running sum.
        load: turns a vector of bytes into what `combine` takes.
        combine: (builder, accumulator, query vector, row vector) -> the new accumulator.
        finish: (builder, accumulator) -> one 64-bit integer.
    """

    queries: int
    rows: int
    step: int
    accumulator: ir.Type
    load: Callable[[ir.IRBuilder, Value], Value]
    combine: Callable[[ir.IRBuilder, Value, Value, Value], Value]
    finish: Callable[[ir.IRBuilder, Value], Value]


def _as_it_is(_: ir.IRBuilder, vector: Value) -> Value:
    return vector


def _sum_lanes(builder: ir.IRBuilder, vector: Value) -> Value:
    """Sum the lanes in 64 bits, whatever they have."""
    lanes = vector.type.count
    if vector.type.element == I32:
        half = _vector(I32, lanes // 2)
        wide = _vector(I64, lanes // 2)
        low = ir.Constant(half, list(range(lanes // 2)))
        high = ir.Constant(half, list(range(lanes // 2, lanes)))
        vector = builder.add(
            builder.sext(builder.shuffle_vector(vector, vector, low), wide),
            builder.sext(builder.shuffle_vector(vector, vector, high), wide),
        )
    name = f"llvm.vector.reduce.add.v{vector.type.count}i64"
    return _call(builder, name, I64, vector)


def _absolute_differences(name: str, lanes: int) -> Callable[..., Value]:
    def combine(builder: ir.IRBuilder, accumulator: Value, query: Value, row: Value) -> Value:
        return builder.add(accumulator, _call(builder, name, _vector(I64, lanes), query, row))

    return combine


def _byte_products(builder: ir.IRBuilder, accumulator: Value, query: Value, row: Value) -> Value:
    words = _vector(I32, 16)
    return _call(
        builder, "llvm.x86.avx512.vpdpbusd.512", words,
        accumulator, builder.bitcast(query, words), builder.bitcast(row, words),
    )  # fmt: skip


def _widened(lanes: int) -> Callable[[ir.IRBuilder, Value], Value]:
    return lambda builder, vector: builder.zext(vector, _vector(ir.IntType(16), lanes))


def _word_products(name: str, lanes: int) -> Callable[..., Value]:
    def combine(builder: ir.IRBuilder, accumulator: Value, query: Value, row: Value) -> Value:
        return builder.add(accumulator, _call(builder, name, _vector(I32, lanes), query, row))

    return combine


def _largest_difference(lanes: int) -> Callable[..., Value]:
    kind = f"v{lanes}i8"

    def combine(builder: ir.IRBuilder, accumulator: Value, query: Value, row: Value) -> Value:
        # One of the two saturating differences is zero, the other one is the absolute difference.
        above = _call(builder, f"llvm.usub.sat.{kind}", query.type, query, row)
        below = _call(builder, f"llvm.usub.sat.{kind}", query.type, row, query)
        return _call(
            builder, f"llvm.umax.{kind}", query.type, accumulator, builder.or_(above, below)
        )

    return combine


def _largest_lane(builder: ir.IRBuilder, vector: Value) -> Value:
    name = f"llvm.vector.reduce.umax.v{vector.type.count}i8"
    return builder.zext(_call(builder, name, BYTE, vector), I64)


def _tile(recipe: Recipe) -> Any:
    """Make the Numba function `tile(queries, rows, out, width, out_stride)` of one recipe.

    `queries`, `rows` and `out` are addresses; a row of bytes is `width` long (a multiple of
    `recipe.step`), a row of `out` is `out_stride` 64-bit integers long.
    """

    def generate(context: Any, builder: ir.IRBuilder, _: Any, arguments: Any) -> Value:
        queries, rows, out, width, out_stride = arguments
        vector = _vector(BYTE, recipe.step)
        # Two addresses and then only offsets: LLVM folds them into the loads.
        queries = builder.inttoptr(queries, BYTE.as_pointer())
        rows = builder.inttoptr(rows, BYTE.as_pointer())
        out = builder.inttoptr(out, I64.as_pointer())
        before = builder.block
        loop = builder.append_basic_block("columns")
        after = builder.append_basic_block("lanes")
        builder.branch(loop)

        builder.position_at_end(loop)
        column = builder.phi(I64)
        column.add_incoming(ir.Constant(I64, 0), before)
        sums = [[builder.phi(recipe.accumulator) for _ in range(recipe.rows)]
                for _ in range(recipe.queries)]  # fmt: skip

        def load(base: Value, index: int) -> Value:
            start = builder.mul(width, ir.Constant(I64, index))
            place = builder.gep(base, [builder.add(start, column)])
            bytes_ = builder.load(builder.bitcast(place, vector.as_pointer()), align=1)
            return recipe.load(builder, bytes_)

        query_vectors = [load(queries, i) for i in range(recipe.queries)]
        row_vectors = [load(rows, j) for j in range(recipe.rows)]
        totals = [[recipe.combine(builder, sums[i][j], query_vectors[i], row_vectors[j])
                   for j in range(recipe.rows)] for i in range(recipe.queries)]  # fmt: skip
        following = builder.add(column, ir.Constant(I64, recipe.step))
        column.add_incoming(following, loop)
        for i in range(recipe.queries):
            for j in range(recipe.rows):
                sums[i][j].add_incoming(ir.Constant(recipe.accumulator, None), before)
                sums[i][j].add_incoming(totals[i][j], loop)
        builder.cbranch(builder.icmp_signed("<", following, width), loop, after)

        builder.position_at_end(after)
        for i in range(recipe.queries):
            for j in range(recipe.rows):
                start = builder.mul(out_stride, ir.Constant(I64, i))
                place = builder.gep(out, [builder.add(start, ir.Constant(I64, j))])
                builder.store(recipe.finish(builder, totals[i][j]), place)
        return context.get_dummy_value()

    @intrinsic
    def tile(typing_context, queries, rows, out, width, out_stride):  # type: ignore[no-untyped-def]  # noqa: ARG001
        return types.void(*[types.intp] * 5), generate

    return tile


absolute_512 = _tile(Recipe(
    4, 4, 64, _vector(I64, 8), _as_it_is,
    _absolute_differences("llvm.x86.avx512.psad.bw.512", 8), _sum_lanes,
))  # fmt: skip
absolute_256 = _tile(Recipe(
    2, 4, 32, _vector(I64, 4), _as_it_is,
    _absolute_differences("llvm.x86.avx2.psad.bw", 4), _sum_lanes,
))  # fmt: skip
absolute_pair_512 = _tile(Recipe(
    1, 1, 64, _vector(I64, 8), _as_it_is,
    _absolute_differences("llvm.x86.avx512.psad.bw.512", 8), _sum_lanes,
))  # fmt: skip
absolute_pair_256 = _tile(Recipe(
    1, 1, 32, _vector(I64, 4), _as_it_is,
    _absolute_differences("llvm.x86.avx2.psad.bw", 4), _sum_lanes,
))  # fmt: skip
products_vnni = _tile(Recipe(
    4, 4, 64, _vector(I32, 16), _as_it_is, _byte_products, _sum_lanes,
))  # fmt: skip
products_512 = _tile(Recipe(
    4, 4, 32, _vector(I32, 16), _widened(32),
    _word_products("llvm.x86.avx512.pmaddw.d.512", 16), _sum_lanes,
))  # fmt: skip
products_256 = _tile(Recipe(
    2, 4, 16, _vector(I32, 8), _widened(16),
    _word_products("llvm.x86.avx2.pmadd.wd", 8), _sum_lanes,
))  # fmt: skip
largest_512 = _tile(Recipe(
    4, 4, 64, _vector(BYTE, 64), _as_it_is, _largest_difference(64), _largest_lane,
))  # fmt: skip
largest_256 = _tile(Recipe(
    2, 4, 32, _vector(BYTE, 32), _as_it_is, _largest_difference(32), _largest_lane,
))  # fmt: skip


@intrinsic
def smaller_angle(typing_context, dot_a, norm_a, dot_b, norm_b):  # type: ignore[no-untyped-def]  # noqa: ARG001
    """Say whether a is nearer than b: dot_a / sqrt(norm_a) > dot_b / sqrt(norm_b), exactly.

    For dot products that are not negative this is dot_a^2 norm_b > dot_b^2 norm_a. Images of up to
    2^24 bytes have dot products and squared norms below 2^40, so both sides fit into 128 bits.
    """

    def generate(_: Any, builder: ir.IRBuilder, __: Any, arguments: Any) -> Value:
        dot_a, norm_a, dot_b, norm_b = [builder.sext(value, I128) for value in arguments]
        left = builder.mul(builder.mul(dot_a, dot_a), norm_b)
        right = builder.mul(builder.mul(dot_b, dot_b), norm_a)
        return builder.icmp_signed(">", left, right)

    return types.boolean(*[types.int64] * 4), generate
