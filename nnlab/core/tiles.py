"""The innermost loops of matrix products, as LLVM code built by hand.

A tile is a small block of results, `ROWS` x some vectors, whose sums stay in vector registers
while one loop walks along the inner dimension. Every vector of B that is loaded is used `ROWS`
times, every number of A once for each vector, so the loop is bound by arithmetic:

    for k in range(depth):
        b[0..V] = load vectors of B's row k
        for i in range(ROWS):
            sum[i][v] = fma(A[i, k], b[v], sum[i][v])        for all v

The first tile of a panel of B finds it where it lies, and copies it on the way for the others.

Every result is one sum in the order of k, wherever it stands in a tile and whoever computes it: it
has the same bits for any cut of the product. A number is an argument `one` where the functions
need to know their type. Addresses are integers, steps are counted in numbers.

Source: K. Goto and R. van de Geijn, Anatomy of High-Performance Matrix Multiplication, ACM
Transactions on Mathematical Software 34(3), 2008.
"""

import platform
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from nnlab.machine import AVX2, AVX512, processor_flags

I32, I64 = ir.IntType(32), ir.IntType(64)


def _shape() -> tuple[int, int]:
    """Return the bytes of a vector and the rows of a tile: as many sums as there are registers."""
    flags = processor_flags()
    if flags >= AVX512:
        return 64, 8  # 32 registers: 24 sums, 3 vectors of B, the rest for A
    if flags >= AVX2:
        return 32, 4  # 16 registers
    return 16, 8 if platform.machine() in {"aarch64", "arm64"} else 2


VECTOR_BYTES, ROWS = _shape()
# Vectors of a tile at most.
WIDEST = 3
# Whether a tile may be half a vector wide. AMD's Zen 4 computes those in half the time.
HALVES = VECTOR_BYTES >= 32
# Bytes of a cache line: a vector that lies across two of them takes twice as long to load.
LINE = 64


class _Vectors:
    """The vectors of one type of number, and what is done with them."""

    def __init__(self, builder: ir.IRBuilder, one: Any, halves: int = 2) -> None:
        bits = 32 if one == types.float32 else 64
        self.builder = builder
        self.number = ir.FloatType() if bits == 32 else ir.DoubleType()
        self.lanes = halves * VECTOR_BYTES * 4 // bits
        self.kind = ir.VectorType(self.number, self.lanes)
        self.name = f"v{self.lanes}f{bits}"

    def of(self, element: ir.Type, values: Any) -> Any:
        """A constant vector of any type, as long as these."""
        return ir.Constant(ir.VectorType(element, self.lanes), values)

    def spread(self, value: Any) -> Any:
        """A value in all lanes."""
        nothing = self.of(value.type, ir.Undefined)
        first = self.builder.insert_element(nothing, value, I32(0))
        return self.builder.shuffle_vector(first, nothing, self.of(I32, [0] * self.lanes))

    def at(self, base: Any, offset: Any) -> Any:
        """The address of the vector `offset` numbers behind a base."""
        return self.builder.bitcast(self.builder.gep(base, [offset]), self.kind.as_pointer())

    def first_lanes(self, count: Any) -> Any:
        """The mask of so many lanes."""
        return self.builder.icmp_signed(
            "<", self.of(I64, list(range(self.lanes))), self.spread(count)
        )

    def load(self, at: Any, mask: Any = None) -> Any:
        """Load the lanes of a mask, zeros elsewhere; or all."""
        if mask is None:
            return self.builder.load(at, align=1)
        zeros = ir.Constant(self.kind, None)
        return self.call(f"llvm.masked.load.{self.name}.p0", self.kind, at, I32(1), mask, zeros)

    def store(self, value: Any, at: Any, mask: Any = None) -> None:
        """Store the lanes of a mask, or all."""
        if mask is None:
            self.builder.store(value, at, align=1)
        else:
            name = f"llvm.masked.store.{self.name}.p0"
            self.call(name, ir.VoidType(), value, at, I32(1), mask)

    def add_product(self, a: Any, b: Any, total: Any) -> Any:
        """Return a b + total, rounded once where the processor can."""
        return self.call(f"llvm.fmuladd.{self.name}", self.kind, a, b, total)

    def all(self, value: int) -> Any:
        """A number in all lanes."""
        return self.of(self.number, [float(value)] * self.lanes)

    def rectify(self, x: Any) -> Any:
        """Return max(0, x), and NaN for NaN."""
        return self.builder.select(self.builder.fcmp_ordered("<=", x, self.all(0)), self.all(0), x)

    def exceeds_zero(self, x: Any) -> Any:
        """The mask of the lanes above 0."""
        return self.builder.fcmp_ordered(">", x, self.all(0))

    def call(self, name: str, result: ir.Type, *arguments: Any) -> Any:
        """Call a function of LLVM's."""
        kind = ir.FunctionType(result, [argument.type for argument in arguments])
        function = cgutils.get_or_insert_function(self.builder.module, kind, name)
        return self.builder.call(function, arguments)


def _pointers(builder: ir.IRBuilder, kind: ir.Type, *addresses: Any) -> Any:
    return (builder.inttoptr(address, kind.as_pointer()) for address in addresses)


def _rows(builder: ir.IRBuilder, count: int, last: Any) -> list[Any]:
    """The numbers of so many rows, of which none is beyond the last."""
    return [
        builder.select(builder.icmp_signed("<", I64(i), last), I64(i), last) for i in range(count)
    ]


def _build_tile(builder: ir.IRBuilder, one: Any, halves: int, values: Any) -> None:
    """Write the code of a tile so many half vectors wide; its arguments are those of `tile`."""
    depth, last, columns, a, a_row, a_column, b, b_row, panel, start, *rest = values
    start_row, out, out_row, gate = rest
    vector, vectors = _Vectors(builder, one, min(2, halves)), max(1, halves // 2)
    lanes = vector.lanes
    is_open = builder.icmp_signed("==", gate, I64(0))
    is_own = builder.icmp_signed("==", gate, out)
    copies = builder.icmp_signed("!=", panel, I64(0))
    a, b, panel, start, out, gate = _pointers(builder, vector.number, a, b, panel, start, out, gate)
    rows = _rows(builder, ROWS, last)
    row_starts = [builder.gep(a, [builder.mul(row, a_row)]) for row in rows]
    whole = (vectors - 1) * lanes
    masks = [None] * (vectors - 1)
    masks.append(vector.first_lanes(builder.sub(columns, I64(whole))))

    def place(base: Any, row: Any, step: Any, v: int) -> Any:
        return vector.at(base, builder.add(builder.mul(row, step), I64(v * lanes)))

    def multiply(sums: list[Any], copying: bool) -> list[Any]:
        """Add A B to the sums; from here to a new block."""
        before, loop = builder.block, builder.append_basic_block("depth")
        builder.branch(loop)
        builder.position_at_end(loop)
        k, in_a, in_b, in_panel = (builder.phi(I64) for _ in range(4))
        totals = [builder.phi(vector.kind) for _ in sums]
        of_b = []
        for v in range(vectors):
            at = vector.at(b, builder.add(in_b, I64(v * lanes)))
            of_b.append(vector.load(at, masks[v] if copying else None))
            if copying:
                vector.store(of_b[v], vector.at(panel, builder.add(in_panel, I64(v * lanes))))
        following = []
        for i, first in enumerate(row_starts):
            value = vector.spread(builder.load(builder.gep(first, [in_a])))
            following += [
                vector.add_product(value, of_b[v], totals[i * vectors + v]) for v in range(vectors)
            ]
        next_k = builder.add(k, I64(1))
        for phi, begin, value in (
            (k, I64(0), next_k),
            (in_a, I64(0), builder.add(in_a, a_column)),
            (in_b, I64(0), builder.add(in_b, b_row if copying else I64(vectors * lanes))),
            (in_panel, I64(0), builder.add(in_panel, I64(vectors * lanes))),
            *zip(totals, sums, following, strict=True),
        ):
            phi.add_incoming(begin, before)
            phi.add_incoming(value, loop)
        after = builder.append_basic_block("sums")
        builder.cbranch(builder.icmp_signed("<", next_k, depth), loop, after)
        builder.position_at_end(after)
        return following

    begun = [vector.load(place(start, row, start_row, v), masks[v])
             for row in rows for v in range(vectors)]  # fmt: skip
    with builder.if_else(copies) as (first_tile, later_tile):
        with first_tile:
            copying, block_of_copying = multiply(begun, copying=True), builder.block
        with later_tile:
            reading, block_of_reading = multiply(begun, copying=False), builder.block
    totals = []
    for one_way, other_way in zip(copying, reading, strict=True):
        total = builder.phi(vector.kind)
        total.add_incoming(one_way, block_of_copying)
        total.add_incoming(other_way, block_of_reading)
        totals.append(total)

    def write(finish: Any) -> None:
        for i, row in enumerate(rows):
            for v in range(vectors):
                value = finish(totals[i * vectors + v], row, v)
                vector.store(value, place(out, row, out_row, v), masks[v])

    def opened(row: Any, v: int) -> Any:
        output = vector.load(place(gate, row, out_row, v), masks[v])
        return builder.select(vector.exceeds_zero(output), vector.all(1), vector.all(0))

    with builder.if_else(is_open) as (plain, gated):
        with plain:
            write(lambda total, *_: total)
        with gated, builder.if_else(is_own) as (own, other):
            with own:
                write(lambda total, *_: vector.rectify(total))
            with other:
                write(lambda total, row, v: builder.fmul(total, opened(row, v)))


@intrinsic
def tile(  # type: ignore[no-untyped-def]
    _, one, width, depth, last, columns, a, a_row, a_column, b, b_row, panel, start, start_row,
    out, out_row, gate,
):  # fmt: skip
    """Write start + A B to out, `ROWS` rows and some columns of it.

    Args:
        one: the number 1.
        width: how many columns: `WIDEST` vectors or fewer, or half a one.
        depth: columns of A and rows of B, at least 1.
        last: the last row of A that there is; the tile's rows beyond it repeat it.
        columns: of B, `start` and `out` that there are; more than all vectors but the last hold.
        a, a_row, a_column: address, and the steps to the next row and column.
        b, b_row: address, and the step to the next row, of B's `columns` columns.
        panel: where B's rows are copied to on the way, one behind the other, filled up with zeros;
            0 if `b` is such a copy already.
        start, start_row: what the sums begin with.
        out, out_row: where they go.
        gate: 0 to write the sums as they are; the address `out` to write the ReLU of them; that of
            a ReLU's output, with rows like those of `out`, to write its gradient.
    """

    def generate(context, builder, _, arguments):  # type: ignore[no-untyped-def]
        _, width, *values = arguments
        half = _Vectors(builder, one, 1).lanes
        for halves in (*([1] if HALVES else []), *range(2, 2 * WIDEST + 1, 2)):
            with builder.if_then(builder.icmp_signed("==", width, I64(halves * half))):
                _build_tile(builder, one, halves, values)
        return context.get_dummy_value()

    return types.void(one, *[types.intp] * 15), generate


@intrinsic
def copy_vector(_, one, count, source, target):  # type: ignore[no-untyped-def]
    """Copy `count` numbers, and zeros behind them up to a whole vector."""

    def generate(context, builder, _, arguments):  # type: ignore[no-untyped-def]
        _, count, *addresses = arguments
        vector = _Vectors(builder, one)
        source, target = _pointers(builder, vector.kind, *addresses)
        vector.store(vector.load(source, vector.first_lanes(count)), target)
        return context.get_dummy_value()

    return types.void(one, *[types.intp] * 3), generate


@intrinsic
def transpose(  # type: ignore[no-untyped-def]
    _, one, last, count, source, source_row, target, target_row
):
    """Copy a square block, as wide as a vector, so that its rows become columns.

    Args:
        one: the number 1.
        last: the last row that there is; the block's rows beyond it repeat it.
        count: of numbers in a row that there are; zeros stand for those beyond.
        source, source_row: address, and the step to the next row.
        target, target_row: the same of the copy.
    """

    def generate(context, builder, _, arguments):  # type: ignore[no-untyped-def]
        _, last, count, source, source_row, target, target_row = arguments
        vector = _Vectors(builder, one)
        lanes, mask = vector.lanes, vector.first_lanes(count)
        source, target = _pointers(builder, vector.number, source, target)
        rows = [
            vector.load(vector.at(source, builder.mul(row, source_row)), mask)
            for row in _rows(builder, lanes, last)
        ]
        # In every round, blocks of twice the size exchange the two that stand off their diagonal.
        distance = 1
        while distance < lanes:
            upper = [n + lanes - distance if n & distance else n for n in range(lanes)]
            lower = [n + lanes if n & distance else n + distance for n in range(lanes)]
            for i in range(lanes):
                if not i & distance:
                    pair = rows[i], rows[i + distance]
                    rows[i], rows[i + distance] = (
                        builder.shuffle_vector(*pair, vector.of(I32, mask))
                        for mask in (upper, lower)
                    )
            distance *= 2
        for i, row in enumerate(rows):
            vector.store(row, vector.at(target, builder.mul(target_row, I64(i))))
        return context.get_dummy_value()

    return types.void(one, *[types.intp] * 6), generate
