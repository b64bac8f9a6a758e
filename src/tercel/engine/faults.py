"""What stops an engine: the codes a step leaves in the block, and the one kernel that leaves them.

A stopped engine stays stopped: every further call returns at once, and `Engine.check` raises the same error again. A
snapshot from before brings it back. `engine.errors` puts the codes into words.
"""

from __future__ import annotations

from typing import Any

from tercel.jit import cold_kernel

__all__ = [
    "FAULT_BAD_FILL", "FAULT_BAD_KIND", "FAULT_BOOK_FULL", "FAULT_HANDLER", "FAULT_MONEY_OVERFLOW",
    "FAULT_REFUSALS_FULL", "FAULT_UNKNOWN_INSTRUMENT", "fault",
]  # fmt: skip

FAULT_HANDLER = 1  #: a handler raised; arg: handler * 65536 + strategy
FAULT_BOOK_FULL = 2  #: a book's far table is full; arg: instrument
FAULT_UNKNOWN_INSTRUMENT = 3  #: a row names an instrument the run does not have; arg: its number
FAULT_MONEY_OVERFLOW = 4  #: a fill or funding beyond what 64 bits count; arg: instrument
FAULT_REFUSALS_FULL = 5  #: more refused orders on one row than the capacity; arg: strategy
FAULT_BAD_KIND = 6  #: a row of no known kind; arg: the kind
FAULT_BAD_FILL = 7  #: a fill without size, price or side; arg: instrument


@cold_kernel
def fault(ctx: Any, code: int, arg: int) -> None:
    """Stop the engine with a code; the first one stays. Counts as emitted, so that the step ends with this row."""
    ctx.n_emitted += 1
    if ctx.error == 0:
        ctx.error = code
        ctx.error_arg = arg
