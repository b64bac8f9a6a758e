"""From a strategy to addresses: each handler compiled to machine code, or wrapped for the interpreter.

Compiled handlers are cached on disk under a digest of everything their text depends on: the module of the class, the
modules of the functions it calls, the constants it reads, its record. Called by drivers before a run and by `tercel
warmup`; never per event.
"""

from __future__ import annotations

import dis
import hashlib
import os
import types
from pathlib import Path
from typing import Any
from weakref import WeakSet

import msgspec
import numpy as np

from tercel.errors import StrategyError
from tercel.features.state import State, code_text, view_class
from tercel.jit import COMPILED, KernelError, compile_handler, interpreted, kernel_cache_dir, record, wrap_callback
from tercel.strategy.context import CONTEXT, ContextView
from tercel.strategy.contract import HANDLERS, Strategy
from tercel.strategy.explain import check_handler, explain

__all__ = ["CompiledStrategy", "Raised", "code_digest", "compile_strategy", "text_digest"]


class Raised(msgspec.Struct):
    """What an interpreted handler raised last, kept for the driver to report."""

    error: BaseException | None = None


class CompiledStrategy(msgspec.Struct, frozen=True):
    """A strategy ready to be wired: its record and one address per handler it has.

    name: the class name. dtype: the record. addresses: handler name -> machine address. keep: what keeps the code
    alive. raised: filled by interpreted handlers. source: the class, to explain errors.
    """

    name: str
    dtype: np.dtype
    addresses: dict[str, int]
    keep: list[Any]
    raised: Raised
    source: type[Strategy]


#: Classes whose text has been looked through.
_CHECKED: WeakSet[type[Strategy]] = WeakSet()
#: Digest of everything a class's code depends on -> its addresses and what keeps them alive.
_COMPILED: dict[str, tuple[dict[str, int], list[Any]]] = {}


def compile_strategy(strategy: Strategy, *, jit: bool = True) -> CompiledStrategy:
    """Compile every handler of a strategy, or wrap them when `jit` is false or Numba is switched off.

    Raises StrategyCompileError with the user's line when a handler does not compile, StrategyError when the class has
    no handler or a field is wrong. Classes and parameters: the same class with other scalar parameters shares its code.
    """
    cls = type(strategy)
    handlers = cls.handlers()
    if not handlers:
        raise StrategyError(f"{cls.__name__} has no handler: write at least one of {', '.join(HANDLERS)}")
    if cls not in _CHECKED:
        for name, function in handlers.items():
            _check_arity(cls, name, function, 2 if HANDLERS[name] is None else 3)
            check_handler(cls, name)
        _CHECKED.add(cls)
    dtype = strategy.record_dtype()
    raised = Raised()
    if not (jit and COMPILED):
        addresses, keep = _interpreted(strategy, dtype, handlers, raised)
        return CompiledStrategy(cls.__name__, dtype, addresses, keep, raised, cls)
    digest = code_digest(cls, dtype)
    if digest not in _COMPILED:
        _COMPILED[digest] = _compiled(cls, dtype, handlers, digest)
    addresses, keep = _COMPILED[digest]
    return CompiledStrategy(cls.__name__, dtype, addresses, keep, raised, cls)


def _compiled(
    cls: type[Strategy], dtype: np.dtype, handlers: dict[str, Any], digest: str
) -> tuple[dict[str, int], list[Any]]:
    path = kernel_cache_dir() / "strategies" / digest
    addresses: dict[str, int] = {}
    keep: list[Any] = []
    for name, function in handlers.items():
        event = HANDLERS[name]
        dtypes = (dtype, CONTEXT) if event is None else (dtype, CONTEXT, event)
        try:
            addresses[name], kept = compile_handler(function, dtypes, path, f"{cls.__name__}_{name}_{digest}")
        except (KernelError, NameError, AttributeError, TypeError, NotImplementedError) as error:
            raise explain(error, cls, name) from error
        keep.append(kept)
    return addresses, keep


def _check_arity(cls: type[Strategy], name: str, function: Any, n: int) -> None:
    wanted = ("self", "ctx", "event")[:n]
    if function.__code__.co_argcount != n:
        raise StrategyError(
            f"{cls.__name__}.{name} (line {function.__code__.co_firstlineno}) takes {function.__code__.co_argcount} "
            f"arguments; it must take {n}: {', '.join(wanted)}"
        )


def _interpreted(
    strategy: Strategy, dtype: np.dtype, handlers: dict[str, Any], raised: Raised
) -> tuple[dict[str, int], list[Any]]:
    state_view = view_class(strategy)
    addresses: dict[str, int] = {}
    keep: list[Any] = []
    for name, function in handlers.items():
        event = HANDLERS[name]
        addresses[name], kept = wrap_callback(_callback(function, dtype, state_view, event, raised))
        keep.append(kept)
    keep.append(dtype)
    return addresses, keep


def _callback(function: Any, dtype: np.dtype, state_view: Any, event: np.dtype | None, raised: Raised) -> Any:
    from tercel.features.state import StateView

    function = interpreted(function)

    def call(state: int, context: int, view: int) -> int:
        arguments = [state_view(record(state, dtype)), ContextView(record(context, CONTEXT))]
        if event is not None:
            arguments.append(StateView(record(view, event)))
        try:
            function(*arguments)
        except BaseException as error:
            # All of them: what escapes here would be printed and forgotten, an interrupt by the user too.
            raised.error = error
            return 1
        return 0

    return call


def code_digest(cls: type[State], dtype: np.dtype) -> str:
    """Twelve hex digits that name the compiled code of a class's methods in the cache.

    The module's name is among what they are made from: compiled code refers to it, and fails to load where it is
    another. See `text_digest` for whether two classes do the same.
    """
    return _digest(cls, f"{cls.__module__} {cls._marker} {dtype.descr}")


def text_digest(cls: type[State], dtype: np.dtype) -> str:
    """Twelve hex digits over all the text and constants that the code of a class's methods is made from.

    They are the same for a class of a script that is run and for the one that is loaded from the script's file, which
    Python knows by modules of different names.
    """
    return _digest(cls, f"{cls.__qualname__} {cls._marker} {dtype.descr}")


def _digest(cls: type[State], head: str) -> str:
    digest = hashlib.blake2b(digest_size=6)
    # The marker, and those of nested states in the dtype, hold the text of the classes.
    digest.update(head.encode())
    seen: set[Any] = set()
    for function in cls.record_methods().values():
        _digest_function(digest, function, seen)
    return digest.hexdigest()


#: File name -> its time and size, and the digest of its bytes then.
_FILES: dict[str, tuple[tuple[int, int], bytes]] = {}


def _file_digest(name: str) -> bytes:
    """Sixteen bytes over a module's text, none for what is no file; read again only when the file has changed."""
    try:
        status = os.stat(name)
        at = (status.st_mtime_ns, status.st_size)
        if name not in _FILES or _FILES[name][0] != at:
            _FILES[name] = at, hashlib.blake2b(Path(name).read_bytes(), digest_size=16).digest()
    except OSError:
        return b""
    return _FILES[name][1]


def _globals_of(code: types.CodeType) -> list[str]:
    """The global names that code reads, in order."""
    found = (x.argval for x in dis.get_instructions(code) if x.opname in ("LOAD_GLOBAL", "LOAD_NAME"))
    return list(dict.fromkeys(found))


def _digest_function(digest: Any, function: Any, seen: set[Any]) -> None:
    function = getattr(function, "py_func", function)
    if id(function) in seen or not isinstance(function, types.FunctionType):
        return
    seen.add(id(function))
    code = function.__code__
    digest.update(code_text(code).encode())
    if code.co_filename not in seen:
        seen.add(code.co_filename)
        digest.update(_file_digest(code.co_filename))
    # Names of attributes are left out: a script may have a variable of that name which a handler never reads.
    outside = [(name, function.__globals__.get(name)) for name in _globals_of(code)]
    outside += [(name, cell.cell_contents) for name, cell in zip(code.co_freevars, function.__closure__ or ())]
    for name, value in outside:
        if isinstance(value, (int, float, str, tuple)):
            digest.update(f"{name}={value!r}".encode())
        elif isinstance(value, np.ndarray):
            digest.update(f"{name}={value.dtype} {value.shape}".encode() + value.tobytes())
        elif hasattr(value, "py_func") or isinstance(value, types.FunctionType):
            _digest_function(digest, value, seen)
