"""How Numba is made to compile a kernel: for few types, lazily, and for linking only (ADR 4). Counts compilations.

Nothing else of the package reaches into Numba's compiler.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba
from numba import _dynfunc, types
from numba.core import event
from numba.core.codegen import JITCodeLibrary, JITCPUCodegen
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import PassManager
from numba.core.cpu import CPUContext
from numba.core.typed_passes import NopythonTypeInference, PreLowerStripPhis
from numba.core.typing import context as typing_context
from numba.core.untyped_passes import (
    DeadBranchPrune,
    FixupArgs,
    GenericRewrites,
    IRProcessing,
    ReconstructSSA,
    RewriteSemanticConstants,
    TranslateByteCode,
)

from tercel.jit.cache import BOUNDS_CHECK, COMPILED

__all__ = ["linked_kernel", "n_compilations"]

F = TypeVar("F", bound=Callable[..., Any])


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


def linked_kernel(function: F, is_cold: bool = False, **options: Any) -> F:
    """Compile lazily, once, and for linking only.

    A named constant or an int8 field as argument is widened, not specialised on: Numba compiles a function anew for
    each literal it is called with, which multiplies through the call tree (measured: 148 compilations for the engine
    instead of 95). And it optimises and emits machine code for every function of the tree with everything that it
    calls, though only the entry at the top ever runs: three quarters of the time. Kernels skip that; their code is
    optimised once, within the entry. Called from Python, as tests do, a kernel is compiled again in full.
    """
    # forceinline is stated always: left out, Numba takes the caller's, and an inlined caller would inline its callees.
    settings: dict[str, Any] = {
        "nogil": True, "error_model": "numpy", "boundscheck": BOUNDS_CHECK, "forceinline": False,
        "pipeline_class": PlainCompiler, **options,
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


class PlainCompiler(CompilerBase):  # type: ignore[misc]
    """Numba's pipeline without the passes that find nothing in a kernel.

    Left out are closures, with blocks, literal_unroll, inlining of Numba's own functions, raised exceptions, array
    expressions: a kernel has none of them (ADR 4). The machine code is the same to the byte; each pass that runs costs
    a walk over the function, and as many over what it finds out anew.
    """

    def define_pipelines(self) -> list[Any]:
        """The one pipeline."""
        passes = PassManager("kernel")
        for each in (
            TranslateByteCode,
            FixupArgs,
            IRProcessing,
            RewriteSemanticConstants,
            DeadBranchPrune,
            GenericRewrites,
            ReconstructSSA,
            NopythonTypeInference,
            PreLowerStripPhis,
        ):
            passes.add_pass(each, each.__name__)
        passes.passes.extend(DefaultPassBuilder.define_nopython_lowering_pipeline(self.state).passes)
        passes.finalize()
        return [passes]


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


_by_specificity = typing_context.order_by_target_specificity
_ORDERS: dict[tuple[Any, ...], list[Any]] = {}


def _remembered_order(target: Any, templates: list[Any], fnkey: Any = "") -> list[Any]:
    """Numba's order of what may explain an attribute or a call: the same for the same candidates, so asked for once."""
    key = (target, *templates)
    if key not in _ORDERS:
        _ORDERS[key] = _by_specificity(target, templates, fnkey=fnkey)
    return _ORDERS[key]


if COMPILED:
    typing_context.order_by_target_specificity = _remembered_order
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
