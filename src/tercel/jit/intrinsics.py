"""Single machine instructions that Python has no word for."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import lower_builtin, type_callable

from tercel.clock import monotonic_ns

__all__ = ["cycle_counter"]


def cycle_counter() -> int:
    """The processor's time-stamp counter; in the interpreter, the monotonic clock."""
    return monotonic_ns()


@type_callable(cycle_counter)
def _type_cycle_counter(_context: Any) -> Any:
    def typer() -> Any:
        return types.int64

    return typer


@lower_builtin(cycle_counter)
def _lower_cycle_counter(_context: Any, builder: Any, _signature: Any, _args: Any) -> Any:
    function_type = ir.FunctionType(ir.IntType(64), ())
    return builder.call(builder.module.declare_intrinsic("llvm.readcyclecounter", (), function_type), ())
