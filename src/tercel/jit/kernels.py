"""How a function is declared as a kernel, or as an entry that Python calls with integers."""

from __future__ import annotations

import types as pytypes
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numba
from numba import types

from tercel.jit.cache import BOUNDS_CHECK, COMPILED, kernel_cache_dir, numba_cache_at
from tercel.jit.linking import PlainCompiler, linked_kernel

__all__ = [
    "ENTRIES",
    "INTERPRETED",
    "Entry",
    "brief_entry",
    "cold_kernel",
    "entry",
    "inline_kernel",
    "interpreted",
    "kernel",
]

F = TypeVar("F", bound=Callable[..., Any])


def kernel(function: F) -> F:
    """Compile a function that other kernels call: nogil, numpy error model, no bounds checks unless asked for."""
    return linked_kernel(function) if COMPILED else function


def inline_kernel(function: F) -> F:
    """As `kernel`, but LLVM is told to inline it always: for the few lines of a hot path."""
    return linked_kernel(function, forceinline=True) if COMPILED else function


def cold_kernel(function: F) -> F:
    """As `kernel`, but never inlined: for what is large and rarely runs. Keeps loops small and compiling short."""
    return linked_kernel(function, is_cold=True) if COMPILED else function


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

    Call it, or fetch `call` once and call that: `call` is the bare wrapper that Numba makes around the machine code,
    without the dispatcher that looks up the types of the arguments (130 ns a crossing more).
    """

    def __init__(
        self, function: Callable[..., int], n_args: int, cache_path: Path | None = None, is_brief: bool = False
    ) -> None:
        self.name = f"{function.__module__.removeprefix('tercel.')}.{function.__name__}"
        self.function = function
        self._signature = types.int64(*([types.int64] * n_args)) if COMPILED else None
        self._cache_path = cache_path
        self._is_brief = is_brief
        self._call: Callable[..., int] | None = None if COMPILED else function
        self._dispatcher: Any = None

    @property
    def call(self) -> Callable[..., int]:
        """The bare compiled function; compiles or loads it from the cache on first use."""
        return self._call or self.compile()

    def is_cached(self) -> bool:
        """Whether the cache holds this entry, so that `compile` takes milliseconds; True in the interpreter."""
        if not COMPILED:
            return True
        module, line = self.function.__module__.rpartition(".")[2], self.function.__code__.co_firstlineno
        path = self._cache_path or kernel_cache_dir(self.function.__module__)
        return any(path.glob(f"*/{module}.{self.function.__name__}-{line}.*.nbi"))

    def compile(self) -> Callable[..., int]:
        """Compile now, or load from the cache."""
        with numba_cache_at(self._cache_path or kernel_cache_dir(self.function.__module__)):
            dispatcher = numba.njit(
                self._signature,
                nogil=not self._is_brief,
                error_model="numpy",
                boundscheck=BOUNDS_CHECK,
                cache=True,
                pipeline_class=PlainCompiler,
            )(self.function)
        dispatcher.disable_compile()
        # The dispatcher keeps the machine code alive.
        self._dispatcher = dispatcher
        (result,) = dispatcher.overloads.values()
        self._call = result.entry_point
        return self._call  # type: ignore[no-any-return]

    @property
    def address(self) -> int:
        """The machine address, for `call_entry`; in the interpreter a number that stands for the function."""
        if not COMPILED:
            INTERPRETED[id(self)] = self.function
            return id(self)
        if self._dispatcher is None:
            self.compile()
        (result,) = self._dispatcher.overloads.values()
        return int(result.library.get_pointer_to_function(result.fndesc.llvm_func_name))

    def __call__(self, *args: int) -> int:
        return self.call(*args)


#: Entries by the number that stands for their address in the interpreter.
INTERPRETED: dict[int, Callable[..., int]] = {}


#: Every entry of the package, in the order of definition: what `tercel warmup` compiles.
ENTRIES: list[Entry] = []


def entry(function: Callable[..., int]) -> Entry:
    """Declare a kernel that Python calls. All arguments and the result are int64."""
    made = Entry(function, function.__code__.co_argcount)
    ENTRIES.append(made)
    return made


def brief_entry(function: Callable[..., int]) -> Entry:
    """As `entry`, but it keeps the interpreter's lock: for what returns within microseconds and is on a live path.

    Giving the lock up invites another thread to take it, and getting it back then takes as long as that thread likes.
    """
    made = Entry(function, function.__code__.co_argcount, is_brief=True)
    ENTRIES.append(made)
    return made
