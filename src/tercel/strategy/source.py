"""A strategy's own text: its functions as syntax trees, and what each name in them can hold.

Reads source only, compiles and runs nothing. Called by `strategy.explain`, to point at the user's line.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
import types
from collections.abc import Iterator
from typing import Any

import msgspec

from tercel.features.state import State
from tercel.jit import DERIVED

__all__ = ["Owner", "UserFunction", "UserSource"]


class UserFunction(msgspec.Struct, frozen=True):
    """One function of the user. owner: the class it belongs to; arguments: names; lines: (first, last) in the file."""

    name: str
    owner: type
    file: str
    lines: tuple[int, int]
    arguments: tuple[str, ...]
    node: Any


class Owner(msgspec.Struct, frozen=True):
    """What stands left of a dot. label: as the user wrote it; what: in words; cls: its class where it is a State."""

    label: str
    what: str
    fields: tuple[str, ...]
    methods: tuple[str, ...]
    cls: type[State] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        return self.fields + self.methods


class UserSource:
    """The handler `handler` of `cls`, and every method of it and of its indicators, handler first."""

    def __init__(self, cls: type, handler: str) -> None:
        self.cls = cls
        self.handler = handler
        self.functions: list[UserFunction] = []
        self._read(cls, first=handler)

    def _read(self, cls: type, first: str = "") -> None:
        methods: dict[str, Any] = cls.record_methods() if issubclass(cls, State) else dict(vars(cls))
        for name in sorted(methods, key=lambda n: n != first):
            found = _parse(methods[name], cls)
            if found is not None and found not in self.functions:
                self.functions.append(found)
        if issubclass(cls, State):
            for field in cls.annotations():
                nested = _field_class(cls, field)
                if nested is not None and all(f.owner is not nested for f in self.functions):
                    self._read(nested)

    @property
    def main(self) -> UserFunction | None:
        """The handler itself; None where its text cannot be had."""
        return next((f for f in self.functions if f.name == self.handler and f.owner is self.cls), None)

    def at(self, file: str, line: int) -> UserFunction | None:
        """The user's function that holds a line of a file."""
        return next((f for f in self.functions if f.file == file and f.lines[0] <= line <= f.lines[1]), None)

    def nodes(self, *kinds: type) -> Iterator[tuple[UserFunction, Any]]:
        """Every node of the given kinds, in the order of the text, the handler's own first, then what it calls."""
        for function in self.reachable():
            found = [n for n in ast.walk(function.node) if isinstance(n, kinds) and n is not function.node]
            for node in sorted(found, key=lambda n: (getattr(n, "lineno", 0), getattr(n, "col_offset", 0))):
                yield function, node

    def reachable(self) -> list[UserFunction]:
        """The handler and the functions whose names are called as methods from it on."""
        if self.main is None:
            return list(self.functions)
        found, queue = [self.main], [self.main]
        while queue:
            called = {n.func.attr for n in _method_calls(queue.pop().node)}
            fresh = [f for f in self.functions if f.name in called and f not in found]
            found += fresh
            queue += fresh
        return found

    def owner(self, function: UserFunction, node: ast.expr) -> Owner | None:
        """What an expression holds, where the text alone tells it."""
        if isinstance(node, ast.Name):
            return self._owner_of_name(function, node.id)
        if isinstance(node, ast.Attribute):
            left = self.owner(function, node.value)
            if left is not None and left.cls is not None:
                nested = _field_class(left.cls, node.attr)
                if nested is not None:
                    return _state_owner(f"{left.label}.{node.attr}", nested)
        return None

    def _owner_of_name(self, function: UserFunction, name: str) -> Owner | None:
        if function.arguments and name == function.arguments[0]:
            return _state_owner(name, function.owner)
        arguments = self.main.arguments if self.main is not None else ()
        if len(arguments) > 1 and name == arguments[1]:
            return _context_owner(name)
        if len(arguments) > 2 and name == arguments[2]:
            return _event_owner(name, self.handler)
        value = self.global_value(function, name)
        if isinstance(value, types.ModuleType):
            return Owner(name, f"module {value.__name__}", (), tuple(n for n in dir(value) if not n.startswith("_")))
        return None

    def global_value(self, function: UserFunction, name: str) -> Any:
        """What a global name of the function's module holds, or None."""
        return self.globals_of(function).get(name)

    def globals_of(self, function: UserFunction) -> dict[str, Any]:
        """The module's names, as the function sees them."""
        for base in function.owner.__mro__:
            value = vars(base).get(function.name)
            if isinstance(value, types.FunctionType):
                return value.__globals__
        return {}


def _parse(function: Any, owner: type) -> UserFunction | None:
    if not isinstance(function, types.FunctionType):
        return None
    try:
        lines, first = inspect.getsourcelines(function)
        tree = ast.parse(textwrap.dedent("".join(lines)))
    except (OSError, TypeError, SyntaxError):
        return None
    if not tree.body or not isinstance(tree.body[0], (ast.FunctionDef, ast.AsyncFunctionDef)):
        return None
    node = ast.increment_lineno(tree.body[0], first - 1)
    arguments = tuple(a.arg for a in tree.body[0].args.args)
    file = function.__code__.co_filename
    return UserFunction(function.__name__, owner, file, (first, first + len(lines) - 1), arguments, node)


def _method_calls(node: ast.AST) -> list[Any]:
    return [n for n in ast.walk(node) if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute)]


def _field_class(cls: type[State], field: str) -> type[State] | None:
    """The State class that a field holds, by its default or its annotation."""
    if field not in cls.annotations():
        return None
    default = getattr(cls, field, None)
    kind = type(default) if isinstance(default, State) else cls.annotations()[field]
    return kind if isinstance(kind, type) and issubclass(kind, State) else None


def _state_owner(label: str, cls: type) -> Owner:
    if not issubclass(cls, State):
        return Owner(label, cls.__name__, (), tuple(n for n in vars(cls) if not n.startswith("__")))
    from tercel.strategy.contract import Strategy

    # What Strategy itself brings is for Python outside the run, not for handlers.
    methods = tuple(n for n in cls.record_methods() if not n.startswith("on_") and n not in vars(Strategy))
    return Owner(label, cls.__name__, tuple(cls.annotations()), methods, cls)


def _context_owner(label: str) -> Owner:
    from tercel.strategy.context import METHODS

    return Owner(label, "the context", ("now",), tuple(METHODS))


def _event_owner(label: str, handler: str) -> Owner:
    from tercel.strategy.contract import HANDLERS

    dtype = HANDLERS.get(handler)
    fields = (dtype.names or ()) if dtype is not None else ()
    derived = [name for field in fields for name in DERIVED.get(field, ())]
    names = tuple(n for n in (*fields, *derived) if not n.startswith("_"))
    return Owner(label, f"the event of {handler}", names, ())
