"""Every rank writes into memory that all have in common, and looks at what the others wrote."""

from nnlab.common_memory import LARGE, common_memory
from nnlab.ranks import join_ranks

ranks = join_ranks()
memory = common_memory(ranks, 2 * LARGE)
assert memory is not None
assert memory.ctypes.data % LARGE == 0
assert memory.size == 2 * LARGE
assert not memory.any()
ranks.wait()
memory[ranks.rank :: ranks.size] = ranks.rank + 1
ranks.wait()
for rank in range(ranks.size):
    assert (memory[rank :: ranks.size] == rank + 1).all()
