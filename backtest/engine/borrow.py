"""Arrays without an owner inside compiled loops.

For: kernels that hand arrays around for every trade: each hand would count references to the owner,
and counting is what many threads must agree on. The caller keeps the arrays alive. Not for: arrays
that a kernel returns.
"""

from __future__ import annotations

from typing import Any

from numba import njit
from numba.extending import intrinsic


def _borrow(_context: Any, array: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        struct = context.make_array(signature.return_type)(context, builder, arguments[0])
        struct.meminfo = struct.meminfo.type(None)
        return struct._getvalue()

    return array(array), generate


borrowed: Any = intrinsic(_borrow)
"""The same array, which nobody has to count."""


@njit(cache=True, nogil=True, inline="always")
def all_borrowed(four: Any) -> Any:
    """The same four arrays, which nobody has to count."""
    return borrowed(four[0]), borrowed(four[1]), borrowed(four[2]), borrowed(four[3])
