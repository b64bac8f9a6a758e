"""Classes whose instances are records: the state of an indicator or a strategy as plain bytes.

A subclass of `State` declares its fields by annotation (float, int, bool, a NumPy array, another State). An instance
is a description: it gives the dtype and the starting values. The engine keeps the record; compiled code calls the
class's methods on it, and in the interpreter a `StateView` calls the same methods on the same bytes. Record types
carry their class in a marker field named after a digest of its source, so that edited code is never mistaken for old.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import types
from typing import Any, ClassVar, get_type_hints

import numpy as np

from tercel.errors import StrategyError
from tercel.jit import DERIVED, interpreted, register_methods

__all__ = ["State", "StateView", "code_text", "source_digest", "view_class"]

_SCALARS: dict[type, str] = {float: "f8", int: "i8", bool: "?"}


def source_digest(cls: type) -> str:
    """Twelve hex digits that change with the source of a class or of any of its bases below State."""
    digest = hashlib.blake2b(digest_size=6)
    for base in cls.__mro__:
        if base is object:
            continue
        # Python may find the text of another class of the same name, so the code is digested in any case.
        with contextlib.suppress(OSError, TypeError):
            digest.update(inspect.getsource(base).encode())
        for name, value in sorted(vars(base).items()):
            if isinstance(value, types.FunctionType):
                digest.update(f"{name} {code_text(value.__code__)}".encode())
    return digest.hexdigest()


def code_text(code: types.CodeType) -> str:
    """A function's code as text that is the same in every process: instructions, names, constants, nested code.

    The repr of an inner function shows its address, that of a frozenset its order of the day.
    """
    constants = []
    for value in code.co_consts:
        if isinstance(value, types.CodeType):
            constants.append(code_text(value))
        elif isinstance(value, frozenset):
            constants.append(repr(sorted(map(repr, value))))
        else:
            constants.append(repr(value))
    return f"{code.co_code!r} {constants} {code.co_names} {code.co_freevars}"


class State:
    """Base of everything that lives as a record. Subclasses annotate fields and write methods."""

    _marker: ClassVar[str]
    _annotations: ClassVar[dict[str, Any]]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._marker = f"_{cls.__name__}_{source_digest(cls)}"
        cls._annotations = {}
        register_methods(cls._marker, cls.record_methods())

    @classmethod
    def annotations(cls) -> dict[str, Any]:
        """Field name -> annotated type, bases first. Evaluated late, so that names may be defined after the class."""
        if not cls._annotations:
            found: dict[str, Any] = {}
            for base in reversed(cls.__mro__):
                if not issubclass(base, State) or base is State:
                    continue
                names = vars(base).get("__annotations__", {})
                hints = _hints(base) if names else {}
                for name in names:
                    if not name.startswith("_") and "ClassVar" not in str(names[name]):
                        found[name] = hints.get(name, names[name])
            cls._annotations = found
        return cls._annotations

    @classmethod
    def record_methods(cls) -> dict[str, Any]:
        """The plain functions of the class and its bases that may be called on the record."""
        found: dict[str, Any] = {}
        for base in reversed(cls.__mro__):
            if issubclass(base, State) and base is not State:
                for name, value in vars(base).items():
                    if isinstance(value, types.FunctionType) and not name.startswith("__"):
                        found[name] = value
        return found

    def record_dtype(self) -> np.dtype:
        """The record of this instance; arrays and nested states take their shape from its values."""
        fields: list[tuple[Any, ...]] = []
        for name, kind in type(self).annotations().items():
            value = getattr(self, name, None)
            where = f"{type(self).__name__}.{name}"
            if value is None:
                raise StrategyError(f"{where} has no value: give it a default, as in `{name}: {_spell(kind)} = ...`")
            if isinstance(value, State):
                fields.append((name, value.record_dtype()))
            elif isinstance(value, np.ndarray):
                if value.dtype.kind not in "fi" or value.dtype.itemsize != 8:
                    raise StrategyError(f"{where} is an array of {value.dtype}: use float64 or int64")
                fields.append((name, value.dtype, value.shape))
            elif kind in _SCALARS:
                fields.append((name, _SCALARS[kind]))
            else:
                raise StrategyError(
                    f"{where} is annotated {_spell(kind)}: a field of a strategy must be float, int, bool, "
                    f"a NumPy array of float64 or int64, or an indicator"
                )
        fields.append((type(self)._marker, "u1"))
        return np.dtype(fields, align=True)

    @classmethod
    def check_value(cls, name: str, value: Any) -> None:
        """Raise StrategyError unless `value` may be stored in the scalar field `name`."""
        _check_scalar(f"{cls.__name__}.{name}", cls.annotations()[name], value)

    def write(self, row: Any) -> None:
        """Put the starting values into a zeroed record of `record_dtype`."""
        for name, kind in type(self).annotations().items():
            value = getattr(self, name)
            if isinstance(value, State):
                value.write(row[name])
            elif isinstance(value, np.ndarray):
                row[name][...] = value
            else:
                _check_scalar(f"{type(self).__name__}.{name}", kind, value)
                row[name] = value


def _spell(kind: Any) -> str:
    return kind.__name__ if isinstance(kind, type) else str(kind)


def _check_scalar(where: str, kind: Any, value: Any) -> None:
    allowed = {float: (float, int, np.floating, np.integer), int: (int, np.integer), bool: (bool, np.bool_)}[kind]
    if not isinstance(value, allowed) or (kind is not bool and isinstance(value, bool)):
        raise StrategyError(f"{where} must be {kind.__name__}, found {value!r} of type {type(value).__name__}")


def _hints(base: type) -> dict[str, Any]:
    """Resolved annotations; where a name is local to a function, fall back to what the default values say."""
    try:
        return get_type_hints(base)
    except NameError:
        plain = {"float": float, "int": int, "bool": bool}
        raw = vars(base).get("__annotations__", {})
        return {n: plain.get(a, type(getattr(base, n, None))) if isinstance(a, str) else a for n, a in raw.items()}


class _PlainArray(np.ndarray):
    """An array field in the interpreter. Its elements are Python's numbers, which raise when divided by zero, as
    compiled code does."""

    def __getitem__(self, key: Any) -> Any:
        value = super().__getitem__(key)
        return value.item() if isinstance(value, np.generic) else value


class StateView:
    """A record seen as an object in the interpreter: attributes are its fields, methods are the class's own."""

    __slots__ = ("_row", "_views")
    _nested: ClassVar[dict[str, type[StateView]]] = {}

    def __init__(self, row: Any) -> None:
        object.__setattr__(self, "_row", row)
        object.__setattr__(self, "_views", {})

    @property
    def __array_interface__(self) -> dict[str, Any]:
        return self._row.__array_interface__

    def __getattr__(self, name: str) -> Any:
        nested = self._nested.get(name)
        if nested is not None:
            view = self._views.get(name)
            if view is None:
                view = self._views[name] = nested(self._row[name])
            return view
        try:
            value = self._row[name]
        except (ValueError, IndexError):
            return self._derived(name)
        if isinstance(value, np.ndarray):
            return value.view(_PlainArray)
        return value.item() if isinstance(value, np.generic) and not isinstance(value, np.void) else value

    def _derived(self, name: str) -> float:
        """A float that is computed when it is read, as in compiled code."""
        for field in self._row.dtype.names:
            formula = DERIVED.get(field, {}).get(name)
            if formula is not None:
                whole, num, den = (self._row[part].item() for part in formula)
                return float(whole) * num / den
        raise AttributeError(f"{type(self).__name__} has no field or method {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        try:
            self._row[name] = value
        except (ValueError, IndexError):
            raise AttributeError(f"{type(self).__name__} has no field {name!r}") from None


def view_class(state: State) -> type[StateView]:
    """The StateView of an instance's class, with its nested states."""
    nested = {
        name: view_class(value)
        for name in type(state).annotations()
        if isinstance(value := getattr(state, name), State)
    }
    body: dict[str, Any] = {"__slots__": (), "_nested": nested}
    body |= {name: interpreted(method) for name, method in type(state).record_methods().items()}
    return type(type(state).__name__, (StateView,), body)
