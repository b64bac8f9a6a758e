"""Methods and computed fields on records, chosen by a marker field that says whose record it is (ADR 2, ADR 12)."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from numba import types
from numba.core.typing.arraydecl import RecordAttribute
from numba.core.typing.templates import _OverloadMethodTemplate, infer_getattr, make_overload_attribute_template
from numba.extending import lower_getattr, overload
from numba.np.arrayobj import record_getattr

from tercel.jit.cache import COMPILED

__all__ = ["DERIVED", "register_derived", "register_methods"]

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
