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
import importlib
import inspect
import os
import types as pytypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import llvmlite
import numba
import numpy as np
from llvmlite import ir
from numba import _dynfunc, types
from numba.core import cgutils, environment, event
from numba.core import config as numba_config
from numba.core.codegen import JITCodeLibrary, JITCPUCodegen
from numba.core.cpu import CPUContext
from numba.core.errors import NumbaError, UnsupportedBytecodeError
from numba.core.typing.arraydecl import RecordAttribute
from numba.core.typing.templates import _OverloadMethodTemplate, infer_getattr, make_overload_attribute_template
from numba.extending import lower_builtin, lower_getattr, overload, type_callable
from numba.np.arrayobj import populate_array, record_getattr

from tercel.clock import monotonic_ns
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
    "record",
    "records",
    "register_derived",
    "register_methods",
    "wrap_callback",
]

F = TypeVar("F", bound=Callable[..., Any])

COMPILED = not numba_config.DISABLE_JIT
BOUNDS_CHECK = os.environ.get("TERCEL_BOUNDSCHECK", "") == "1"

_PACKAGE = Path(__file__).parent


#: Rooms whose text no kernel is made from: edits there leave the kernels warm. Strategies have a digest of their own.
_NO_KERNELS = ("cli", "observe", "store", "net", "runtime", "live", "localvenue", "strategy/library")
#: Rooms with kernels that no other room's kernels call: edits there leave the other rooms' kernels warm.
_OWN_KERNELS = ("bench", "venues")


def package_digest(room: str = "") -> str:
    """Sixteen hex digits that change with a source file that has kernels, Numba, NumPy, llvmlite, a flag, the place.

    room: a room of `_OWN_KERNELS`, whose text then counts too; else the digest of all the others.
    """
    digest = hashlib.blake2b(digest_size=8)
    left_out = {*_NO_KERNELS, *_OWN_KERNELS} - {room}
    for path in sorted(_PACKAGE.rglob("*.py")):
        name = path.relative_to(_PACKAGE).as_posix()
        if name.startswith(tuple(f"{other}/" for other in left_out)):
            continue
        digest.update(name.encode())
        digest.update(path.read_bytes())
    # Where the package lies is compiled in, as the place that an exception came from.
    versions = (numba.__version__, np.__version__, llvmlite.__version__, BOUNDS_CHECK, str(_PACKAGE))
    digest.update(repr(versions).encode())
    return digest.hexdigest()


def kernel_cache_dir(module: str = "") -> Path:
    """Where compiled kernels of exactly this source are kept; of `module` where its room is one of its own."""
    room = module.removeprefix("tercel.").partition(".")[0]
    room = room if room in _OWN_KERNELS else ""
    if room not in _cache_paths:
        _cache_paths[room] = cache_dir() / "kernels" / package_digest(room)
    return _cache_paths[room]


def kernel_cache_dirs() -> set[Path]:
    """Every directory that kernels of this source are kept in."""
    return {kernel_cache_dir(), *(kernel_cache_dir(f"tercel.{room}") for room in _OWN_KERNELS)}


_cache_paths: dict[str, Path] = {}


@contextmanager
def _numba_cache_at(path: Path) -> Iterator[None]:
    """Point Numba's cache at `path` while a dispatcher is made, and leave other packages' setting alone."""
    before = numba_config.CACHE_DIR, environment._rebuild_env
    numba_config.CACHE_DIR = str(path)
    environment._rebuild_env = _environment
    try:
        yield
    finally:
        numba_config.CACHE_DIR, environment._rebuild_env = before


def _environment(module: str, constants: list[Any], name: str) -> Any:
    """What the cache keeps of a function's module, made anew in the process that loads the function.

    Numba imports the module. That fails for a strategy that was defined in a notebook's cell, a document or a file
    that is no module here. Kernels never look a name up when they run, so an empty module does as well.
    """
    found = environment.lookup_environment(name)
    if found is None:
        try:
            scope = importlib.import_module(module).__dict__
        except ImportError:
            scope = {"__name__": module}
        found = environment.Environment(scope)
        found.consts[:] = constants
        found.env_name = name
        environment.Environment._memo[name] = found
    return found


def _widened(kind: Any) -> Any:
    """The one type a kernel is compiled for where a caller offers several: int64, float64, bool."""
    kind = types.unliteral(kind)
    if isinstance(kind, types.Integer):
        return types.int64
    if isinstance(kind, types.Float):
        return types.float64
    return kind


#: The dispatchers being compiled now, innermost last. A kernel on top is compiled for linking only.
_compiling: list[Any] = []


def _kernel(function: F, is_cold: bool = False, **options: Any) -> F:
    """Compile lazily, once, and for linking only.

    A named constant or an int8 field as argument is widened, not specialised on: Numba compiles a function anew for
    each literal it is called with, which multiplies through the call tree (measured: 148 compilations for the engine
    instead of 95). And it optimises and emits machine code for every function of the tree with everything that it
    calls, though only the entry at the top ever runs: three quarters of the time. Kernels skip that; their code is
    optimised once, within the entry. Called from Python, as tests do, a kernel is compiled again in full.
    """
    # forceinline is stated always: left out, Numba takes the caller's, and an inlined caller would inline its callees.
    settings: dict[str, Any] = {
        "nogil": True, "error_model": "numpy", "boundscheck": BOUNDS_CHECK, "forceinline": False, **options,
    }  # fmt: skip
    dispatcher: Any = numba.njit(no_cpython_wrapper=True, no_cfunc_wrapper=True, **settings)(function)
    plain_compile = dispatcher.compile

    def compile_to_link(signature: Any) -> Any:
        _compiling.append(dispatcher)
        try:
            return plain_compile(tuple(_widened(kind) for kind in signature))
        finally:
            _compiling.pop()

    whole: Any = None

    def compile_to_run(*args: Any, **kwargs: Any) -> Any:
        nonlocal whole
        if whole is None:
            whole = numba.njit(**settings)(function)
        _compiling.append(whole)
        try:
            return whole._compile_for_args(*args, **kwargs)
        finally:
            _compiling.pop()

    dispatcher.compile = compile_to_link
    dispatcher.add_overload = lambda result: dispatcher.overloads.__setitem__(tuple(result.signature.args), result)
    dispatcher._compile_for_args = compile_to_run
    dispatcher.to_link_only = True
    dispatcher.is_cold = is_cold
    return dispatcher  # type: ignore[no-any-return]


class _LeanLibrary(JITCodeLibrary):
    """A code library that, for a kernel, stops before the passes whose result nobody runs.

    It is finished when the first caller links it, long after its own compilation; so it carries a mark.
    """

    to_link_only = False

    def _optimize_final_module(self) -> None:
        if not self.to_link_only:
            super()._optimize_final_module()

    def _finalize_final_module(self) -> None:
        if self.to_link_only:
            self._finalize_dynamic_globals()
            self._finalized = True
        else:
            super()._finalize_final_module()


def _lean_executable(plain: Any) -> Any:
    def get_executable(self: Any, library: Any, fndesc: Any, env: Any) -> Any:
        top = _compiling[-1] if _compiling else None
        if top is None or not hasattr(top, "to_link_only") or library.name != top.py_func.__name__:
            return plain(self, library, fndesc, env)
        library.to_link_only = True
        if top.is_cold:
            function = library._final_module.get_function(fndesc.llvm_func_name)
            function.add_function_attribute("noinline")
            function.add_function_attribute("cold")
        # Numba wants an object to file the function under; the address is never called.
        name = fndesc.qualname.split(".")[-1]
        return _dynfunc.make_function(fndesc.lookup_module(), name, "", 1, env, (library,))

    return get_executable


if COMPILED:
    JITCPUCodegen._library_class = _LeanLibrary
    CPUContext.get_executable = _lean_executable(CPUContext.get_executable)


class _Compilations(event.Listener):  # type: ignore[misc]
    """Counts what Numba really compiled; what it loads from its cache makes no such event."""

    n = 0

    def on_start(self, _event: Any) -> None:
        self.n += 1

    def on_end(self, _event: Any) -> None:
        """Nothing: a compilation counts from its beginning."""


_COMPILATIONS = _Compilations()
event.register("numba:compile", _COMPILATIONS)


def n_compilations() -> int:
    """How many functions Numba has compiled in this process, those loaded from the cache left out.

    A live session that is armed compiles nothing; its tests look here.
    """
    return _COMPILATIONS.n


def kernel(function: F) -> F:
    """Compile a function that other kernels call: nogil, numpy error model, no bounds checks unless asked for."""
    return _kernel(function) if COMPILED else function


def inline_kernel(function: F) -> F:
    """As `kernel`, but LLVM is told to inline it always: for the few lines of a hot path."""
    return _kernel(function, forceinline=True) if COMPILED else function


def cold_kernel(function: F) -> F:
    """As `kernel`, but never inlined: for what is large and rarely runs. Keeps loops small and compiling short."""
    return _kernel(function, is_cold=True) if COMPILED else function


def interpreted(function: Callable[..., Any]) -> Callable[..., Any]:
    """The plain Python behind a function: each kernel it names, all the way down, replaced by its own plain function.

    For code that runs in the interpreter in a process whose kernels are compiled, on objects that Numba has no type
    for. A function that names no kernel is returned as it is.
    """
    plain: Any = getattr(function, "py_func", function)
    if not COMPILED or not isinstance(plain, pytypes.FunctionType):
        return plain  # type: ignore[no-any-return]
    if plain in _PLAIN:
        return _PLAIN[plain]
    scope = dict(plain.__globals__)
    twin = pytypes.FunctionType(plain.__code__, scope, plain.__name__, plain.__defaults__, plain.__closure__)
    twin.__kwdefaults__ = plain.__kwdefaults__
    _PLAIN[plain] = twin
    is_other = False
    for name in plain.__code__.co_names:
        value = scope.get(name)
        is_ours = isinstance(value, pytypes.FunctionType) and value.__module__.startswith("tercel.")
        if is_ours or hasattr(value, "py_func"):
            scope[name] = interpreted(value)
            is_other |= scope[name] is not value
    if not is_other:
        _PLAIN[plain] = plain
    return _PLAIN[plain]


_PLAIN: dict[Any, Callable[..., Any]] = {}


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

    def is_cached(self) -> bool:
        """Whether the cache holds this entry, so that `compile` takes milliseconds; True in the interpreter."""
        if not COMPILED:
            return True
        module, line = self.function.__module__.rpartition(".")[2], self.function.__code__.co_firstlineno
        path = self._cache_path or kernel_cache_dir(self.function.__module__)
        return any(path.glob(f"*/{module}.{self.function.__name__}-{line}.*.nbi"))

    def compile(self) -> Callable[..., int]:
        """Compile now, or load from the cache."""
        with _numba_cache_at(self._cache_path or kernel_cache_dir(self.function.__module__)):
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
        buffer: Any = (ctypes.c_char * size).from_address(int(address))
        if dtype.names is None:
            view = np.frombuffer(buffer, dtype=dtype, count=n)
        else:
            view = np.frombuffer(buffer, dtype=_fields_first(dtype), count=n).view(_FieldRows)
        if len(_VIEWS) > 4096:
            _VIEWS.clear()
        _VIEWS[key] = view
        _VIEWED[id(dtype)] = dtype
    return view


_VIEWS: dict[tuple[int, int, int], Any] = {}
#: Dtypes that keys of _VIEWS name by id: kept, or another dtype might be born with the id of one that died.
_VIEWED: dict[int, np.dtype] = {}


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


# The functions that touch raw memory are typed and lowered directly, not through @overload: an overload is a function
# of its own to compile, for every dtype, and every kernel that uses it links and optimises it again.


def _as_i64(context: Any, builder: Any, value: Any, kind: Any) -> Any:
    return context.cast(builder, value, kind, types.int64)


@type_callable(records)
def _type_records(_context: Any) -> Any:
    def typer(address: Any, n: Any, dtype: Any) -> Any:
        return types.Array(dtype.dtype, 1, "C")

    return typer


@lower_builtin(records, types.Integer, types.Integer, types.DType)
def _lower_records(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    array = context.make_array(signature.return_type)(context, builder)
    address = _as_i64(context, builder, args[0], signature.args[0])
    n = _as_i64(context, builder, args[1], signature.args[1])
    size = context.get_abi_sizeof(context.get_data_type(signature.return_type.dtype))
    stride = context.get_constant(types.intp, size)
    populate_array(
        array,
        data=builder.inttoptr(address, array.data.type),
        shape=cgutils.pack_array(builder, [n]),
        strides=cgutils.pack_array(builder, [stride]),
        itemsize=stride,
        meminfo=None,
    )
    return array._getvalue()


@type_callable(record)
def _type_record(_context: Any) -> Any:
    def typer(address: Any, dtype: Any) -> Any:
        return dtype.dtype

    return typer


@lower_builtin(record, types.Integer, types.DType)
def _lower_record(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    address = _as_i64(context, builder, args[0], signature.args[0])
    return builder.inttoptr(address, context.get_value_type(signature.return_type))


def addressof_record(row: Any) -> Any:
    """The address of a record that lives in raw memory."""
    return int(row.__array_interface__["data"][0])


@type_callable(addressof_record)
def _type_addressof_record(_context: Any) -> Any:
    def typer(row: Any) -> Any:
        return types.int64 if isinstance(row, types.Record) else None

    return typer


@lower_builtin(addressof_record, types.Record)
def _lower_addressof_record(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
    return builder.ptrtoint(args[0], ir.IntType(64))


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
    return int(_HANDLER_C(int(address))(ctypes.addressof(result), int(error), int(state), int(context), int(event)))


@type_callable(call_handler)
def _type_call_handler(_context: Any) -> Any:
    def typer(address: Any, state: Any, context: Any, event: Any, error: Any) -> Any:
        return types.int64

    return typer


def _lower_call(context: Any, builder: Any, signature: Any, args: Any, n: int, raised: Any) -> tuple[Any, Any]:
    """Emit a call of a function of `n` int64 in Numba's calling convention; returns its status and result slot."""
    i64 = ir.IntType(64)
    numbers = [_as_i64(context, builder, a, t) for a, t in zip(args, signature.args)]
    function_type = ir.FunctionType(ir.IntType(32), [i64.as_pointer(), cgutils.voidptr_t.as_pointer(), *([i64] * n)])
    function = builder.inttoptr(numbers[0], function_type.as_pointer())
    result = cgutils.alloca_once(builder, i64)
    if raised is None:
        raised = cgutils.alloca_once(builder, cgutils.voidptr_t)
    return builder.call(function, [result, raised, *numbers[1 : n + 1]]), result


@lower_builtin(call_handler, *([types.Integer] * 5))
def _lower_call_handler(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    error = _as_i64(context, builder, args[4], signature.args[4])
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
    with _numba_cache_at(cache_path):
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
    where = f"{place[1]}:{place[2]}" if place and not str(place[1]).startswith(str(_PACKAGE)) else ""
    return kind.__name__, ", ".join(str(a) for a in arguments or ()), where


def wrap_callback(function: Callable[[int, int, int], int]) -> tuple[int, Any]:
    """A Python function of three addresses as a handler. Returns its address and the object that keeps it alive."""

    def handler(_result: Any, _error: Any, state: int, context: int, event: int) -> int:
        return function(state, context, event)

    callback = _HANDLER_C(handler)
    return ctypes.cast(callback, ctypes.c_void_p).value or 0, callback


# --- methods on records -------------------------------------------------------------------------------------------


#: Marker field -> name -> (integer field, numerator field, denominator field): floats computed when they are read.
DERIVED: dict[str, dict[str, tuple[str, str, str]]] = {}


def register_derived(marker: str, formulas: dict[str, tuple[str, str, str]]) -> None:
    """Let code read `name` on records with the field `marker` as float(integer) * numerator / denominator.

    What a handler does not read costs nothing; a stored float would cost a division for every event.
    """
    DERIVED[marker] = formulas
    if not COMPILED:
        return
    for name in formulas:
        if name not in _LOWERED:
            _LOWERED.add(name)
            lower_getattr(types.Record, name)(_lower_derived(name))


_LOWERED: set[str] = set()


def _formula(kind: Any, name: str) -> tuple[str, str, str] | None:
    for field in kind.fields:
        if field in DERIVED:
            return DERIVED[field].get(name)
    return None


def _lower_derived(name: str) -> Any:
    def lower(context: Any, builder: Any, kind: Any, value: Any) -> Any:
        if name in kind.fields:
            return record_getattr(context, builder, kind, value, name)
        formula = _formula(kind, name)
        assert formula is not None, name
        whole, num, den = (record_getattr(context, builder, kind, value, field) for field in formula)
        steps = builder.sitofp(whole, num.type)
        return builder.fdiv(builder.fmul(steps, num), den)

    return lower


def _field_or_nothing(self: Any, record_type: Any, name: str) -> Any:
    if name in record_type.fields:
        return record_type.typeof(name)
    return types.float64 if _formula(record_type, name) is not None else None


# Numba raises KeyError for what is no field, before it asks for methods that were offered after its first compilation
# (a class written later in a notebook); with None it goes on, and names the place where nothing is found.
RecordAttribute.generic_resolve = _field_or_nothing

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


# --- the cycle counter --------------------------------------------------------------------------------------------


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
