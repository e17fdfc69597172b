"""A team of threads that share compiled loops, for work that is over in microseconds.

    @compiled
    def scale_part(part, parts, x, factor): ...        one part of the work

    scale_parts = shared(scale_part)

    @compiled
    def scale(team, parts, x, factor):
        scale_parts(team, parts, (x, factor))          all parts of it, on all threads

A pool of Python threads takes tens of microseconds to wake up, and a BLAS's own threads wait for
one another at every product, for milliseconds if another process holds a core. Here the helpers
wait in compiled code, and the parts of a job are handed out one by one: whoever is free takes the
next, and if nobody helps, the caller does them all. What the parts are, and with it the order of
every sum, is up to the caller, whoever computes them.

Numba's cache on disk notices changes of the file that a compiled function stands in, and of no
other: after a change here, touch the files that use it.
"""

import threading
import weakref
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from nnlab.jit import compiled

I8P, I64 = ir.IntType(8).as_pointer(), ir.IntType(64)
TASK = ir.FunctionType(ir.VoidType(), [I8P, I64, I64])
WORD, LINE = 8, 64
# The words that a team shares, as offsets. Different threads write them: each has a cache line.
# TICKET holds the number of the job and, in its lower half, that of the next part to take.
TICKET, PARTS, FUNCTION, DATA, DONE, STOP = (LINE * number for number in range(6))
PART_BITS = 32
# How often a helper looks for a new job before it goes to sleep: about a millisecond.
PATIENCE = 1_000_000
# After so many looks at a time a waiting thread lets others onto its core.
POLITE = 10_000


class Team:
    """Helpers that wait for jobs; one caller at a time gives them any.

    Attributes:
        threads: how many compute, the caller among them.
        address: what compiled functions call the team by; 0, where there are no helpers.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        memory = np.zeros(8 * LINE // WORD, np.int64)
        aligned = -(-memory.ctypes.data // LINE) * LINE
        self.address = int(aligned) if threads > 1 else 0
        self._wanted = threading.Event()
        helpers = [
            threading.Thread(target=_help, args=(self.address, memory, self._wanted), daemon=True)
            for _ in range(threads - 1)
        ]
        for helper in helpers:
            helper.start()
        # At the latest before the interpreter ends and takes the memory from under the helpers.
        weakref.finalize(self, _dissolve, self.address, self._wanted, helpers)

    def wake(self) -> None:
        """Have helpers that went to sleep look for jobs again; call it now and then."""
        if not self._wanted.is_set():
            self._wanted.set()


def _help(team: int, memory: Any, wanted: threading.Event) -> None:  # noqa: ARG001  (kept alive)
    while _serve(team):
        wanted.clear()
        wanted.wait()


def _dissolve(team: int, wanted: threading.Event, helpers: list[threading.Thread]) -> None:
    if helpers:
        _dismiss(team)
        wanted.set()
        for helper in helpers:
            helper.join()


def shared(task: Any) -> Any:
    """Make ``run(team, parts, arguments)`` of a compiled ``task(part, parts, *arguments)``.

    `run` is for compiled functions. It does every part on the threads of the team and returns
    when all are done. `team` is an address, 0 to do without; tasks must not raise.
    """

    @intrinsic
    def run(typing_context: Any, team: Any, parts: Any, arguments: Any) -> Any:  # noqa: ARG001
        kinds = (types.intp, types.intp, *arguments.types)
        signature = types.Dispatcher(task).get_call_type(typing_context, kinds, {})

        def generate(context: Any, builder: Any, _: Any, values: Any) -> Any:
            packed = values[2]
            data = cgutils.alloca_once_value(builder, packed)
            name = builder.module.get_unique_name(f"{task.__name__}.task")
            function = ir.Function(builder.module, TASK, name)
            function.linkage = "internal"
            _call_with_stored(context, function, packed.type, task, signature)
            _call(context, builder, _work_off, [
                values[0], builder.ptrtoint(function, I64), builder.ptrtoint(data, I64), values[1]
            ])  # fmt: skip
            return context.get_dummy_value()

        return types.void(types.intp, types.intp, arguments), generate

    return run


def _call_with_stored(
    context: Any, function: Any, stored: ir.Type, task: Any, signature: Any
) -> None:
    """Fill ``function(data, part, parts)``: unpack the arguments at `data`, call the task."""
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    data, part, parts = function.args
    packed = builder.load(builder.bitcast(data, stored.as_pointer()))
    count = len(signature.args) - 2
    arguments = [builder.extract_value(packed, index) for index in range(count)]
    _call(context, builder, task, [part, parts, *arguments], signature)
    builder.ret_void()


def _call(
    context: Any, builder: Any, task: Any, arguments: list[Any], signature: Any = None
) -> None:
    """Call another compiled function, whose result is of no interest."""
    signature = signature or types.void(*[types.intp] * len(arguments))
    found = task.get_compile_result(signature)
    context.add_linking_libs([found.library])
    context.call_internal_no_propagate(builder, found.fndesc, found.signature, arguments)


def _on_words(count: int, result: Any, generate: Any) -> Any:
    """Make an intrinsic of `count` integers, the first an address of a shared word."""

    def run(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
        pointer = builder.inttoptr(arguments[0], I64.as_pointer())
        found = generate(builder, pointer, *arguments[1:])
        return context.get_dummy_value() if result is types.void else found

    signature = result(*[types.intp] * count)
    if count == 1:
        return intrinsic(lambda _, address: (signature, run))
    if count == 2:
        return intrinsic(lambda _, address, value: (signature, run))
    return intrinsic(lambda _, address, expected, value: (signature, run))


_load = _on_words(1, types.intp, lambda b, at: b.load_atomic(at, "seq_cst", WORD))
_store = _on_words(2, types.void, lambda b, at, value: b.store_atomic(value, at, "seq_cst", WORD))
_add = _on_words(2, types.intp, lambda b, at, value: b.atomic_rmw("add", at, value, "seq_cst"))
# Write `value` where `expected` stands; say whether it stood there.
_swap = _on_words(
    3, types.boolean,
    lambda b, at, old, new: b.extract_value(b.cmpxchg(at, old, new, "seq_cst", "seq_cst"), 1),
)  # fmt: skip


@intrinsic
def _do(_: Any, function: Any, data: Any, part: Any, parts: Any) -> Any:  # noqa: ARG001
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
        function = builder.inttoptr(arguments[0], TASK.as_pointer())
        builder.call(function, [builder.inttoptr(arguments[1], I8P), *arguments[2:]])
        return context.get_dummy_value()

    return types.void(*[types.intp] * 4), generate


_let_others_run = types.ExternalFunction("sched_yield", types.int32())


@compiled
def _take_parts(team: int) -> None:
    """Do parts of the job until none is left to take."""
    while True:
        ticket = _load(team + TICKET)
        function, data, parts = _load(team + FUNCTION), _load(team + DATA), _load(team + PARTS)
        part = ticket & ((1 << PART_BITS) - 1)
        if part >= parts:
            return
        # If the ticket still stands, the job was not over, and what has been read belongs to it.
        if _swap(team + TICKET, ticket, ticket + 1):
            _do(function, data, part, parts)
            _add(team + DONE, 1)


@compiled
def _work_off(team: int, function: int, data: int, parts: int) -> None:
    """Do all parts of a job, with the team if there is one."""
    if team == 0 or parts == 1:
        for part in range(parts):
            _do(function, data, part, parts)
        return
    _store(team + FUNCTION, function)
    _store(team + DATA, data)
    _store(team + PARTS, parts)
    _store(team + DONE, 0)
    _store(team + TICKET, ((_load(team + TICKET) >> PART_BITS) + 1) << PART_BITS)
    _take_parts(team)
    looks = 0
    while _load(team + DONE) < parts:
        looks += 1
        if looks % POLITE == 0:
            _let_others_run()


@compiled
def _serve(team: int) -> bool:
    """Help with job after job until none has come for a while; say whether to come back."""
    looks, last = 0, -1
    while looks < PATIENCE:
        if _load(team + STOP) != 0:
            return False
        job = _load(team + TICKET) >> PART_BITS
        if job == last:
            looks += 1
            if looks % POLITE == 0:
                _let_others_run()
        else:
            looks, last = 0, job
            _take_parts(team)
    return True


@compiled
def _dismiss(team: int) -> None:
    _store(team + STOP, 1)
