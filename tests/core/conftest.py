"""What several tests of the core share."""

import pytest

from nnlab.core import workers
from nnlab.core.blas import find_blas


@pytest.fixture(params=[1, 2])
def threads(request):
    """Let the core compute with so many threads."""
    blas = find_blas()
    before = blas.get_threads()
    blas.set_threads(request.param)
    yield request.param
    blas.set_threads(before)
    workers._mine.known.clear()  # no threads are left for the tests that follow
