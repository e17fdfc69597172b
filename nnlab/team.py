"""A team of threads that share compiled loops, for work that is over in microseconds.

    @compiled
    def scale_part(part, parts, x, factor): ...        one part of the work

    scale_parts = shared(scale_part)

    @compiled
    def scale(team, parts, x, factor):
        scale_parts(team, parts, (x, factor))          all parts of it, on all threads

A pool of Python threads takes tens of microseconds to wake up, and a BLAS's own threads wait for
one another at every product, for milliseconds if another process holds a core. Here the helpers
wait in compiled code, where they need not ask for the interpreter's lock, and the parts of a job
are handed out one by one: whoever is free takes the next, and if nobody helps, the caller does
them all. What the parts are, and with it the order of every sum, is up to the caller, whoever
computes them.
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
# ASLEEP counts the helpers that wait at the semaphore BED.
TICKET, PARTS, FUNCTION, DATA, DONE, STOP, ASLEEP, BED, END = (LINE * n for n in range(9))
PART_BITS = 32
# How often a helper looks for a new job before it goes to sleep: about half a millisecond.
PATIENCE = 500_000
# How often the caller looks whether a helper is done before it leaves its core to others for some
# microseconds, among them perhaps that helper. Not by sched_yield, in which a BLAS's threads wait:
# Linux holds every yield against a thread and in the end lets it wait for as long as others work.
POLITE = 50_000
NAP = 20  # microseconds


class Team:
    """Helpers that wait for jobs; one caller at a time gives them any.

    Attributes:
        threads: how many compute, the caller among them.
        address: what compiled functions call the team by; 0, where there are no helpers.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.address = 0
        if threads == 1:
            return
        memory = np.zeros(END // WORD + LINE // WORD, np.int64)
        self.address = -(-memory.ctypes.data // LINE) * LINE
        _prepare(self.address)
        helpers = [
            threading.Thread(target=_help, args=(self.address, memory), daemon=True)
            for _ in range(threads - 1)
        ]
        for helper in helpers:
            helper.start()
        # At the latest before the interpreter ends and takes the memory from under the helpers.
        weakref.finalize(self, _dissolve, self.address, helpers)


def _help(team: int, memory: Any) -> None:  # (kept alive)
    _serve(team)


def _dissolve(team: int, helpers: list[threading.Thread]) -> None:
    _dismiss(team, len(helpers))
    for helper in helpers:
        helper.join()


def shared(task: Any) -> Any:
    """Make ``run(team, parts, arguments)`` of a compiled ``task(part, parts, *arguments)``.

    `run` is for compiled functions. It does every part on the threads of the team and returns
    when all are done. `team` is an address, 0 to do without; tasks must not raise. All jobs of a
    team are cut into the same number of parts: a helper that is late reads the number of a job
    that may be over.
    """

    @intrinsic
    def run(typing_context: Any, team: Any, parts: Any, arguments: Any) -> Any:
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
    """Fill ``function(data, part, parts)``: unpack the arguments at `data`, call the task.

    Arrays are lent: the caller keeps them alive. Threads that all count references to the same
    array would wait for one another's caches at every slice of it.
    """
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    data, part, parts = function.args
    packed = builder.load(builder.bitcast(data, stored.as_pointer()))
    arguments = []
    for index, kind in enumerate(signature.args[2:]):
        value = builder.extract_value(packed, index)
        if isinstance(kind, types.Array):
            array = context.make_array(kind)(context, builder, value)
            array.meminfo = array.parent = ir.Constant(I8P, None)
            value = array._getvalue()
        arguments.append(value)
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

    def run(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
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
_exchange = _on_words(2, types.intp, lambda b, at, new: b.atomic_rmw("xchg", at, new, "seq_cst"))
# Write `value` where `expected` stands; say whether it stood there.
_swap = _on_words(
    3, types.boolean,
    lambda b, at, old, new: b.extract_value(b.cmpxchg(at, old, new, "seq_cst", "seq_cst"), 1),
)  # fmt: skip


@intrinsic
def _do(_: Any, function: Any, data: Any, part: Any, parts: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        function = builder.inttoptr(arguments[0], TASK.as_pointer())
        builder.call(function, [builder.inttoptr(arguments[1], I8P), *arguments[2:]])
        return context.get_dummy_value()

    return types.void(*[types.intp] * 4), generate


# POSIX: a pause, and a semaphore between the threads of a process.
_sleep = types.ExternalFunction("usleep", types.int32(types.uint32))
_make_semaphore = types.ExternalFunction(
    "sem_init", types.int32(types.intp, types.intc, types.uintc)
)
_wait = types.ExternalFunction("sem_wait", types.int32(types.intp))
_post = types.ExternalFunction("sem_post", types.int32(types.intp))


@compiled
def _prepare(team: int) -> None:
    _make_semaphore(team + BED, 0, 0)


@compiled
def _wake(team: int) -> None:
    for _ in range(_exchange(team + ASLEEP, 0)):
        _post(team + BED)


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
    if _load(team + ASLEEP) != 0:
        _wake(team)
    _take_parts(team)
    looks = 0
    while _load(team + DONE) < parts:
        looks += 1
        if looks % POLITE == 0:
            _sleep(NAP)


@compiled
def _serve(team: int) -> None:
    """Help with job after job, asleep where none comes for a while, until the team dissolves."""
    looks, last = 0, -1
    while _load(team + STOP) == 0:
        job = _load(team + TICKET) >> PART_BITS
        if job != last:
            looks, last = 0, job
            _take_parts(team)
            continue
        looks += 1
        if looks == PATIENCE:
            # A job that comes just now is done without this helper; the next one wakes it.
            _add(team + ASLEEP, 1)
            _wait(team + BED)
            looks = 0


@compiled
def _dismiss(team: int, helpers: int) -> None:
    _store(team + STOP, 1)
    for _ in range(helpers):
        _post(team + BED)
