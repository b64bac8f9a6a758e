"""Machine addresses: users' functions compiled into handlers, and calls through an address from kernels (ADR 1)."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.errors import NumbaError, UnsupportedBytecodeError
from numba.extending import lower_builtin, type_callable

from tercel.jit.cache import PACKAGE, numba_cache_at
from tercel.jit.kernels import INTERPRETED
from tercel.jit.memory import as_i64, record

__all__ = ["KernelError", "call_entry", "call_handler", "compile_handler", "raised_exception", "wrap_callback"]

#: How a handler looks to C: Numba's own calling convention, so that an exception comes back as a status.
_HANDLER_C = ctypes.CFUNCTYPE(
    ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64
)


def call_handler(address: int, state: int, context: int, event: int, error: int) -> int:
    """Call the handler at `address` with three addresses. 0 is fine; otherwise `error` holds what was raised."""
    result = ctypes.c_int64()
    return int(_HANDLER_C(int(address))(ctypes.addressof(result), int(error), int(state), int(context), int(event)))


@type_callable(call_handler)
def _type_call_handler(_context: Any) -> Any:
    def typer(address: Any, state: Any, context: Any, event: Any, error: Any) -> Any:
        return types.int64

    return typer


def _lower_call(context: Any, builder: Any, signature: Any, args: Any, n: int, raised: Any) -> tuple[Any, Any]:
    """Emit a call of a function of `n` int64 in Numba's calling convention; returns its status and result slot."""
    i64 = ir.IntType(64)
    numbers = [as_i64(context, builder, a, t) for a, t in zip(args, signature.args)]
    function_type = ir.FunctionType(ir.IntType(32), [i64.as_pointer(), cgutils.voidptr_t.as_pointer(), *([i64] * n)])
    function = builder.inttoptr(numbers[0], function_type.as_pointer())
    result = cgutils.alloca_once(builder, i64)
    if raised is None:
        raised = cgutils.alloca_once(builder, cgutils.voidptr_t)
    return builder.call(function, [result, raised, *numbers[1 : n + 1]]), result


@lower_builtin(call_handler, *([types.Integer] * 5))
def _lower_call_handler(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    error = as_i64(context, builder, args[4], signature.args[4])
    raised = builder.inttoptr(error, cgutils.voidptr_t.as_pointer())
    status, _result = _lower_call(context, builder, signature, args, 3, raised)
    return builder.sext(status, ir.IntType(64))


#: What Numba raises when it cannot compile; only the strategy compiler reads it, to explain it.
KernelError = NumbaError

_HANDLER_TEXT = """\
def {name}(state, context, event):
    body({arguments})
    return 0
"""


def compile_handler(
    body: Callable[..., Any],
    dtypes: tuple[np.dtype, ...],
    cache_path: Path,
    name: str,
) -> tuple[int, Any]:
    """Compile a user's function of records into a handler of three addresses.

    body: takes one record per entry of `dtypes` (state, context and, where there is one, event). cache_path: a
    directory that belongs to exactly this source. name: an identifier unique to this handler and source. Returns the
    machine address and the object that keeps it alive.

    Division by zero and a bad index raise, as in Python; the raised exception comes back through `call_handler`.
    Raises KernelError, or what Python raises for a wrong name, where the body does not compile.
    """
    cache_path.mkdir(parents=True, exist_ok=True)
    names = ("state", "context", "event")[: len(dtypes)]
    text = _HANDLER_TEXT.format(name=name, arguments=", ".join(f"record({n}, {n.upper()})" for n in names))
    # Numba keeps a cache only for functions that live in a file; the file's name tells handlers apart.
    file = cache_path / f"{name}.py"
    if not file.exists():
        file.write_text(text)
    with numba_cache_at(cache_path):
        compiled_body = numba.njit(nogil=True, error_model="python", boundscheck=True, forceinline=True)(body)
        # The module's name must be one that can be imported when the cache is read.
        scope: dict[str, Any] = {"body": compiled_body, "record": record, "__name__": __name__}
        scope.update({n.upper(): dtype for n, dtype in zip(names, dtypes)})
        exec(compile(text, str(file), "exec"), scope)
        signature = types.int64(types.int64, types.int64, types.int64)
        compiler = numba.njit(signature, nogil=True, error_model="python", boundscheck=True, cache=True)
        try:
            dispatcher = compiler(scope[name])
        except (KeyError, UnsupportedBytecodeError) as error:
            # An unknown field and some unsupported statements escape Numba as these; callers know one kind.
            raise KernelError(f"{type(error).__name__}: {error}", highlighting=False) from error
    (result,) = dispatcher.overloads.values()
    return int(result.library.get_pointer_to_function(result.fndesc.llvm_func_name)), dispatcher


class _ExceptionInfo(ctypes.Structure):
    """Numba's description of a raised exception: a pickled (class, arguments, place)."""

    _fields_ = (("data", ctypes.c_void_p), ("size", ctypes.c_int32))


def raised_exception(address: int) -> tuple[str, str, str]:
    """What a compiled handler raised: the class name, the message, and `file:line` where a statement of the user
    raised it, else an empty string. `address` is what it left in the error slot.
    """
    import pickle

    if address == 0:
        return "Exception", "", ""
    info = _ExceptionInfo.from_address(int(address))
    unpacked = pickle.loads(ctypes.string_at(info.data, info.size))
    kind, arguments = unpacked[0], unpacked[1]
    place = unpacked[2] if len(unpacked) > 2 else None
    where = f"{place[1]}:{place[2]}" if place and not str(place[1]).startswith(str(PACKAGE)) else ""
    return kind.__name__, ", ".join(str(a) for a in arguments or ()), where


def wrap_callback(function: Callable[[int, int, int], int]) -> tuple[int, Any]:
    """A Python function of three addresses as a handler. Returns its address and the object that keeps it alive."""

    def handler(_result: Any, _error: Any, state: int, context: int, event: int) -> int:
        return function(state, context, event)

    callback = _HANDLER_C(handler)
    return ctypes.cast(callback, ctypes.c_void_p).value or 0, callback


def call_entry(address: int, a: int, b: int, c: int, d: int, e: int, f: int) -> int:
    """Call the entry of six arguments at `address` from a kernel.

    Two entries joined by an address compile apart: neither holds the other's code.
    """
    return INTERPRETED[address](a, b, c, d, e, f)


@type_callable(call_entry)
def _type_call_entry(_context: Any) -> Any:
    def typer(address: Any, a: Any, b: Any, c: Any, d: Any, e: Any, f: Any) -> Any:
        return types.int64

    return typer


@lower_builtin(call_entry, *([types.Integer] * 7))
def _lower_call_entry(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    # An entry does not raise: its status is always fine.
    _status, result = _lower_call(context, builder, signature, args, 6, None)
    return builder.load(result)
