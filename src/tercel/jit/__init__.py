"""Everything that touches Numba: kernels, addresses, records in raw memory, the kernel cache.

A kernel is a plain function under `@kernel`. With NUMBA_DISABLE_JIT=1 every kernel is that plain function and runs in
the interpreter on the same memory, byte for byte. A kernel that Python calls is declared with `@entry`: it takes only
integers (addresses, counts, times), because every array argument costs a crossing 45 ns and a record far more. No other
room imports Numba; they import from here, not from the modules within.
"""

from __future__ import annotations

from tercel.jit.cache import BOUNDS_CHECK, COMPILED, kernel_cache_dir, kernel_cache_dirs, package_digest
from tercel.jit.handlers import KernelError, call_entry, call_handler, compile_handler, raised_exception, wrap_callback
from tercel.jit.intrinsics import cycle_counter
from tercel.jit.kernels import ENTRIES, Entry, brief_entry, cold_kernel, entry, inline_kernel, interpreted, kernel
from tercel.jit.linking import n_compilations
from tercel.jit.memory import address_of, addressof_record, record, records
from tercel.jit.methods import DERIVED, register_derived, register_methods

__all__ = [
    "BOUNDS_CHECK",
    "COMPILED",
    "DERIVED",
    "ENTRIES",
    "Entry",
    "KernelError",
    "address_of",
    "addressof_record",
    "brief_entry",
    "call_entry",
    "call_handler",
    "cold_kernel",
    "compile_handler",
    "cycle_counter",
    "entry",
    "inline_kernel",
    "interpreted",
    "kernel",
    "kernel_cache_dir",
    "kernel_cache_dirs",
    "n_compilations",
    "package_digest",
    "raised_exception",
    "record",
    "records",
    "register_derived",
    "register_methods",
    "wrap_callback",
]
