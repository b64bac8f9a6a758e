"""The only module that imports Numba: kernels, addresses, records in raw memory, the kernel cache, warm-up.

A kernel is a plain function under `@kernel`. With NUMBA_DISABLE_JIT=1 every kernel is that plain function and runs in
the interpreter on the same memory, byte for byte. A kernel that Python calls is declared with `@entry`: it takes only
integers (addresses, counts, times), because every array argument costs a crossing 45 ns and a record far more.

Numba's disk cache does not notice edits in imported functions and ignores the bounds-check flag, so the cache
directory is named after a digest of the package's source, the versions and the flags.
"""

from __future__ import annotations

import ctypes
import hashlib
import inspect
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import llvmlite
import numba
import numpy as np
from llvmlite import ir
from numba import carray, types
from numba.core import cgutils
from numba.core import config as numba_config
from numba.core.errors import NumbaError
from numba.core.typing.templates import _OverloadMethodTemplate, infer_getattr, make_overload_attribute_template
from numba.extending import intrinsic, overload

from tercel.config import cache_dir

__all__ = [
    "BOUNDS_CHECK",
    "COMPILED",
    "ENTRIES",
    "Entry",
    "KernelError",
    "address_of",
    "addressof_record",
    "call_entry",
    "call_handler",
    "compile_handler",
    "cycle_counter",
    "entry",
    "inline_kernel",
    "kernel",
    "kernel_cache_dir",
    "package_digest",
    "record",
    "records",
    "register_methods",
    "wrap_callback",
]

F = TypeVar("F", bound=Callable[..., Any])

COMPILED = not numba_config.DISABLE_JIT
BOUNDS_CHECK = os.environ.get("TERCEL_BOUNDSCHECK", "") == "1"

_PACKAGE = Path(__file__).parent


def package_digest() -> str:
    """Sixteen hex digits that change whenever a source file of tercel, Numba, NumPy, llvmlite or a flag changes."""
    digest = hashlib.blake2b(digest_size=8)
    for path in sorted(_PACKAGE.rglob("*.py")):
        digest.update(str(path.relative_to(_PACKAGE)).encode())
        digest.update(path.read_bytes())
    versions = (numba.__version__, np.__version__, llvmlite.__version__, BOUNDS_CHECK)
    digest.update(repr(versions).encode())
    return digest.hexdigest()


def kernel_cache_dir() -> Path:
    """Where compiled kernels of exactly this source are kept."""
    global _cache_path
    if _cache_path is None:
        _cache_path = cache_dir() / "kernels" / package_digest()
    return _cache_path


_cache_path: Path | None = None


@contextmanager
def _numba_cache_at(path: Path) -> Iterator[None]:
    """Point Numba's cache at `path` while a dispatcher is made, and leave other packages' setting alone."""
    before = numba_config.CACHE_DIR
    numba_config.CACHE_DIR = str(path)
    try:
        yield
    finally:
        numba_config.CACHE_DIR = before


def kernel(function: F) -> F:
    """Compile a function that other kernels call: nogil, numpy error model, no bounds checks unless asked for."""
    if not COMPILED:
        return function
    made: F = numba.njit(nogil=True, error_model="numpy", boundscheck=BOUNDS_CHECK)(function)
    return made


def inline_kernel(function: F) -> F:
    """As `kernel`, but LLVM is told to inline it always: for the few lines of a hot path."""
    if not COMPILED:
        return function
    made: F = numba.njit(nogil=True, error_model="numpy", boundscheck=BOUNDS_CHECK, forceinline=True)(function)
    return made


class Entry:
    """A compiled function that Python calls with integers only and that returns one integer.

    Call it, or fetch `call` once and call that: `call` is the bare dispatcher, about 250 ns a crossing.
    """

    def __init__(self, function: Callable[..., int], n_args: int, cache_path: Path | None = None) -> None:
        self.name = f"{function.__module__.removeprefix('tercel.')}.{function.__name__}"
        self.function = function
        self._signature = types.int64(*([types.int64] * n_args)) if COMPILED else None
        self._cache_path = cache_path
        self._call: Callable[..., int] | None = None if COMPILED else function

    @property
    def call(self) -> Callable[..., int]:
        """The bare compiled function; compiles or loads it from the cache on first use."""
        if self._call is None:
            self._call = self.compile()
        return self._call

    def compile(self) -> Callable[..., int]:
        """Compile now, or load from the cache."""
        with _numba_cache_at(self._cache_path or kernel_cache_dir()):
            dispatcher = numba.njit(
                self._signature, nogil=True, error_model="numpy", boundscheck=BOUNDS_CHECK, cache=True
            )(self.function)
        dispatcher.disable_compile()
        self._call = dispatcher
        return dispatcher

    @property
    def address(self) -> int:
        """The machine address, for `call_entry`; in the interpreter a number that stands for the function."""
        if not COMPILED:
            _INTERPRETED[id(self)] = self.function
            return id(self)
        (result,) = self.call.overloads.values()  # type: ignore[attr-defined]
        return int(result.library.get_pointer_to_function(result.fndesc.llvm_func_name))

    def __call__(self, *args: int) -> int:
        return self.call(*args)


_INTERPRETED: dict[int, Callable[..., int]] = {}


#: Every entry of the package, in the order of definition: what `tercel warmup` compiles.
ENTRIES: list[Entry] = []


def entry(function: Callable[..., int]) -> Entry:
    """Declare a kernel that Python calls. All arguments and the result are int64."""
    made = Entry(function, function.__code__.co_argcount)
    ENTRIES.append(made)
    return made


# --- raw memory -------------------------------------------------------------------------------------------------


def records(address: int, n: int, dtype: np.dtype) -> Any:
    """`n` records of `dtype` that start at `address`; a view, nothing is copied. `dtype` must be a global constant."""
    key = (address, n, id(dtype))
    view: Any = _VIEWS.get(key)
    if view is None:
        size = max(1, int(n) * dtype.itemsize)
        buffer = (ctypes.c_char * size).from_address(int(address))
        if dtype.names is None:
            view = np.frombuffer(buffer, dtype=dtype, count=n)
        else:
            view = np.frombuffer(buffer, dtype=_fields_first(dtype), count=n).view(_FieldRows)
        if len(_VIEWS) > 4096:
            _VIEWS.clear()
        _VIEWS[key] = view
    return view


_VIEWS: dict[tuple[int, int, int], Any] = {}


class _FieldRecord(np.record):  # type: ignore[misc]
    """A record in the interpreter. Its fields come before NumPy's own attributes, as they do in compiled code:
    `row.flags` is the field, where np.record gives the memory layout of the scalar."""

    __slots__ = ()

    def __getattribute__(self, name: str) -> Any:
        try:
            return _field(self, name)
        except ValueError:
            return np.void.__getattribute__(self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value


_field = np.void.__getitem__


class _FieldRows(np.recarray):
    """An array of `_FieldRecord`; np.recarray alone would turn its records into np.record."""

    def __array_finalize__(self, obj: Any) -> None:
        """Leave the dtype as it is."""


def _fields_first(dtype: np.dtype) -> np.dtype:
    """`dtype` with the same layout, whose records, nested ones too, are `_FieldRecord`."""
    if dtype.subdtype is not None:
        return np.dtype((_fields_first(dtype.subdtype[0]), dtype.subdtype[1]))
    if dtype.names is None:
        return dtype
    formats = [_fields_first(dtype[name]) for name in dtype.names]
    offsets = [dtype.fields[name][1] for name in dtype.names]  # type: ignore[index]
    layout = {"names": list(dtype.names), "formats": formats, "offsets": offsets, "itemsize": dtype.itemsize}
    return np.dtype((_FieldRecord, np.dtype(layout, align=dtype.isalignedstruct)))  # type: ignore[call-overload]


def record(address: int, dtype: np.dtype) -> Any:
    """The one record of `dtype` at `address`; a view. `dtype` must be a global constant."""
    return records(address, 1, dtype)[0]


@intrinsic
def _pointer(typing_context: Any, address: Any) -> Any:
    def codegen(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], cgutils.voidptr_t)

    return types.voidptr(types.int64), codegen


@overload(records, inline="never")
def _records(address: Any, n: Any, dtype: Any) -> Any:
    def compiled(address: Any, n: Any, dtype: Any) -> Any:
        return carray(_pointer(address), n, dtype)

    return compiled


@overload(record, inline="never")
def _record(address: Any, dtype: Any) -> Any:
    def compiled(address: Any, dtype: Any) -> Any:
        return carray(_pointer(address), 1, dtype)[0]

    return compiled


def addressof_record(row: Any) -> Any:
    """The address of a record that lives in raw memory."""
    return int(row.__array_interface__["data"][0])


@intrinsic
def _record_address(typing_context: Any, row: Any) -> Any:
    def codegen(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.ptrtoint(args[0], ir.IntType(64))

    return types.int64(row), codegen


@overload(addressof_record)
def _addressof_record(row: Any) -> Any:
    if isinstance(row, types.Record):

        def compiled(row: Any) -> Any:
            return _record_address(row)

        return compiled
    return None


def address_of(array: np.ndarray) -> int:
    """The address of an array's first byte; the caller keeps the array alive."""
    return int(array.__array_interface__["data"][0])


# --- calls through an address -----------------------------------------------------------------------------------

#: How a handler looks to C: Numba's own calling convention, so that an exception comes back as a status.
_HANDLER_C = ctypes.CFUNCTYPE(
    ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64
)


def call_handler(address: int, state: int, context: int, event: int, error: int) -> int:
    """Call the handler at `address` with three addresses. 0 is fine; otherwise `error` holds what was raised."""
    result = ctypes.c_int64()
    return int(_HANDLER_C(address)(ctypes.addressof(result), error, state, context, event))


@intrinsic
def _call_handler_c(typing_context: Any, address: Any, state: Any, context: Any, event: Any, error: Any) -> Any:
    signature = types.int64(types.int64, types.int64, types.int64, types.int64, types.int64)

    def codegen(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        i64 = ir.IntType(64)
        slot = cgutils.voidptr_t.as_pointer()
        function_type = ir.FunctionType(ir.IntType(32), [i64.as_pointer(), slot, i64, i64, i64])
        function = builder.inttoptr(args[0], function_type.as_pointer())
        result = cgutils.alloca_once(builder, i64)
        raised = builder.inttoptr(args[4], slot)
        status = builder.call(function, [result, raised, args[1], args[2], args[3]])
        return builder.sext(status, i64)

    return signature, codegen


@overload(call_handler)
def _call_handler(address: Any, state: Any, context: Any, event: Any, error: Any) -> Any:
    def compiled(address: Any, state: Any, context: Any, event: Any, error: Any) -> Any:
        return _call_handler_c(address, state, context, event, error)

    return compiled


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
    directory that belongs to exactly this source. name: an identifier unique to this handler and source. Returns the machine address and the object that keeps it alive.
    Division by zero and a bad index raise, as in Python; the raised exception comes back through `call_handler`.
    """
    cache_path.mkdir(parents=True, exist_ok=True)
    names = ("state", "context", "event")[: len(dtypes)]
    text = _HANDLER_TEXT.format(name=name, arguments=", ".join(f"record({n}, {n.upper()})" for n in names))
    # Numba keeps a cache only for functions that live in a file; the file's name tells handlers apart.
    file = cache_path / f"{name}.py"
    if not file.exists():
        file.write_text(text)
    with _numba_cache_at(cache_path):
        compiled_body = numba.njit(nogil=True, error_model="python", boundscheck=True, forceinline=True)(body)
        # The module's name must be one that can be imported when the cache is read.
        scope: dict[str, Any] = {"body": compiled_body, "record": record, "__name__": __name__}
        scope.update({n.upper(): dtype for n, dtype in zip(names, dtypes)})
        exec(compile(text, str(file), "exec"), scope)
        signature = types.int64(types.int64, types.int64, types.int64)
        dispatcher = numba.njit(signature, nogil=True, error_model="python", boundscheck=True, cache=True)(scope[name])
    (result,) = dispatcher.overloads.values()
    return int(result.library.get_pointer_to_function(result.fndesc.llvm_func_name)), dispatcher


class _ExceptionInfo(ctypes.Structure):
    """Numba's description of a raised exception: a pickled (class, arguments, place)."""

    _fields_ = (("data", ctypes.c_void_p), ("size", ctypes.c_int32))


def raised_exception(address: int) -> tuple[str, str]:
    """What a compiled handler raised: the class name and the message. `address` is what it left in the error slot."""
    import pickle

    if address == 0:
        return "Exception", ""
    info = _ExceptionInfo.from_address(int(address))
    unpacked = pickle.loads(ctypes.string_at(info.data, info.size))
    kind, arguments = unpacked[0], unpacked[1]
    return kind.__name__, ", ".join(str(a) for a in arguments or ())


def wrap_callback(function: Callable[[int, int, int], int]) -> tuple[int, Any]:
    """A Python function of three addresses as a handler. Returns its address and the object that keeps it alive."""

    def handler(_result: Any, _error: Any, state: int, context: int, event: int) -> int:
        return function(state, context, event)

    callback = _HANDLER_C(handler)
    return ctypes.cast(callback, ctypes.c_void_p).value or 0, callback


# --- methods on records -------------------------------------------------------------------------------------------

#: Marker field -> method name -> function. A record type carries its class as a marker field, because two classes may
#: have the same fields.
_METHODS: dict[str, dict[str, Callable[..., Any]]] = {}
_OFFERED: set[str] = set()


def register_methods(marker: str, methods: dict[str, Callable[..., Any]]) -> None:
    """Let compiled code call `methods` on records that have a field named `marker`."""
    if not COMPILED:
        return
    _METHODS[marker] = methods
    for name in methods:
        if name not in _OFFERED:
            _OFFERED.add(name)
            _offer(name)


def _method_of(kind: Any, name: str) -> Callable[..., Any] | None:
    """The function that `name` means on a record type, or None."""
    if isinstance(kind, types.Record):
        for field in reversed(list(kind.fields)):
            if field in _METHODS:
                return _METHODS[field].get(name)
    return None


class _RecordMethodTemplate(_OverloadMethodTemplate):
    """An overloaded method whose signature depends on the record: Ema.update(x), Atr.update(high, low, close)."""

    def _resolve(self, kind: Any, name: str) -> Any:
        function = _method_of(kind, name) if name == self._attr else None
        if function is None:
            return None
        bound = super()._resolve(kind, name)
        shape = inspect.signature(function)

        class Method(bound.template):  # type: ignore[misc, name-defined]
            # Bound functions are told apart by this attribute; without it Numba would hand out `bound` again.
            _overload_func = staticmethod(function)

            def generic(_, args: Any, kws: Any) -> Any:
                every = (kind, *args)
                found = self._get_signature(self.context, self._get_function_type(self.context, kind), every, kws)
                return None if found is None else found.replace(pysig=shape).as_method()

        return types.BoundFunction(Method, kind)


def _offer(name: str) -> None:
    def resolve(self: Any, *args: Any, **kwargs: Any) -> Any:
        return _method_of(self, name)

    options = {"nogil": True, "error_model": "python", "boundscheck": True, "forceinline": True}
    overload(resolve, strict=False, jit_options=options)(resolve)
    template = make_overload_attribute_template(types.Record, name, resolve, base=_RecordMethodTemplate)
    infer_getattr(template)


def call_entry(address: int, a: int, b: int, c: int, d: int, e: int, f: int) -> int:
    """Call the entry of six arguments at `address` from a kernel.

    Two entries joined by an address compile apart: neither holds the other's code.
    """
    return _INTERPRETED[address](a, b, c, d, e, f)


@intrinsic
def _call_entry_c(typing_context: Any, address: Any, a: Any, b: Any, c: Any, d: Any, e: Any, f: Any) -> Any:
    signature = types.int64(*([types.int64] * 7))

    def codegen(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        i64 = ir.IntType(64)
        slot = cgutils.voidptr_t.as_pointer()
        function_type = ir.FunctionType(ir.IntType(32), [i64.as_pointer(), slot, *([i64] * 6)])
        function = builder.inttoptr(args[0], function_type.as_pointer())
        result = cgutils.alloca_once(builder, i64)
        raised = cgutils.alloca_once(builder, cgutils.voidptr_t)
        # An entry does not raise: its status is always fine.
        builder.call(function, [result, raised, *args[1:]])
        return builder.load(result)

    return signature, codegen


@overload(call_entry)
def _call_entry(address: Any, a: Any, b: Any, c: Any, d: Any, e: Any, f: Any) -> Any:
    def compiled(address: Any, a: Any, b: Any, c: Any, d: Any, e: Any, f: Any) -> Any:
        return _call_entry_c(address, a, b, c, d, e, f)

    return compiled


# --- the cycle counter --------------------------------------------------------------------------------------------


@intrinsic
def _read_cycle_counter(typing_context: Any) -> Any:
    def codegen(_context: Any, builder: Any, _signature: Any, _args: Any) -> Any:
        function_type = ir.FunctionType(ir.IntType(64), ())
        return builder.call(builder.module.declare_intrinsic("llvm.readcyclecounter", (), function_type), ())

    return types.int64(), codegen


def cycle_counter() -> int:
    """The processor's time-stamp counter; in the interpreter, the monotonic clock."""
    import time

    return time.perf_counter_ns()


@overload(cycle_counter)
def _cycle_counter() -> Any:
    def compiled() -> Any:
        return _read_cycle_counter()

    return compiled
