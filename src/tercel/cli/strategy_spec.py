"""From what a user types to strategies: a file, a module or a name of the library, and parameters as text.

`quoter`, `package.module:Class`, `path/to/file.py:Class`, or the file alone when it has one strategy. Called by
`backtest`, `demo` and the compile workers; nothing here compiles.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tercel.errors import ConfigError, StrategyError
from tercel.strategy.contract import Strategy

__all__ = ["load_class", "load_module", "make_strategies"]


def load_class(spec: str) -> type[Strategy]:
    """The strategy class a specification names.

    ConfigError when there is no such file, module or class; StrategyError, naming file and line, when it does not load.
    """
    from tercel.strategy import library

    if spec in library.LIBRARY:
        return library.load(spec)
    place, _, name = spec.rpartition(":") if ":" in spec else (spec, "", "")
    if place.endswith(".py") or name:
        module = load_module(place)
    else:
        raise ConfigError(
            f"no strategy {spec!r}: expected path/to/file.py:Class, package.module:Class, or one of the library: "
            f"{', '.join(library.LIBRARY)}"
        )
    classes = {
        key: value
        for key, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, Strategy) and value.__module__ == module.__name__
    }
    if not name:
        if len(classes) == 1:
            return next(iter(classes.values()))
        raise ConfigError(
            f"{place} has {len(classes)} strategies ({', '.join(classes) or 'none'}): name one as {place}:Class"
        )
    found = getattr(module, name, None)
    if not (isinstance(found, type) and issubclass(found, Strategy)):
        raise ConfigError(f"{place} has no strategy {name!r}; it has: {', '.join(classes) or 'none'}")
    return found


def load_module(place: str) -> Any:
    """The module at a path that ends in .py, or of that name; errors as of `load_class`."""
    return _module_of_file(Path(place)) if place.endswith(".py") else _module_of_name(place)


def _module_of_file(path: Path) -> Any:
    """Load a file as a module of a name that belongs to its path alone.

    Compiled code in the cache refers to its module by name, so the name must be the same in every process and stand in
    sys.modules. The file's own directory is importable, as it is when Python runs it.
    """
    if not path.is_file():
        raise ConfigError(f"no strategy file at {path}")
    path = path.resolve()
    name = f"{path.stem}_{hashlib.blake2b(str(path).encode(), digest_size=4).hexdigest()}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{path} cannot be loaded as Python")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(module)
    except StrategyError:
        del sys.modules[name]
        raise
    except Exception as error:
        del sys.modules[name]
        raise StrategyError(f"{path}, line {_line_of(error, path)}: {type(error).__name__}: {error}") from error
    return module


def _line_of(error: BaseException, path: Path) -> int:
    """The last line of `path` that an error went through; a syntax error's own line."""
    if isinstance(error, SyntaxError) and error.lineno:
        return error.lineno
    line, trace = 1, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def _module_of_name(name: str) -> Any:
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise ConfigError(f"no module {name!r}: is it installed, or in this directory?") from None
        raise StrategyError(f"module {name} does not load: {error}") from error
    except Exception as error:
        raise StrategyError(f"module {name} does not load: {type(error).__name__}: {error}") from error


def make_strategies(specs: Sequence[str], settings: Sequence[str] = ()) -> list[Strategy]:
    """One strategy per specification, with parameters set.

    settings: `name=value` for every strategy that has the parameter, `Class.name=value` for one, and
    `name.argument=value` for an argument of an indicator, as in `fast.span=20`. ConfigError for a parameter that no
    strategy has, or a value that is not of its type.
    """
    classes = [load_class(spec) for spec in specs]
    values: list[dict[str, Any]] = [{} for _ in classes]
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals:
            raise ConfigError(f"--set takes name=value, found {setting!r}")
        n_taken = 0
        for cls, mine in zip(classes, values):
            own = name.removeprefix(f"{cls.__name__}.")
            field, _, argument = own.partition(".")
            if field in cls.annotations():
                mine[field] = _value(cls, field, argument, text, mine)
                n_taken += 1
        if n_taken == 0:
            known = "; ".join(f"{cls.__name__} has {', '.join(_parameters(cls)) or 'none'}" for cls in classes)
            raise ConfigError(f"--set {setting}: no strategy here has a parameter {name!r}; {known}")
    return [cls(**mine) for cls, mine in zip(classes, values)]


def _parameters(cls: type[Strategy]) -> list[str]:
    """What can be set, in the form it is set in."""
    names: list[str] = []
    for field, kind in cls.annotations().items():
        if kind in (float, int, bool):
            names.append(field)
        else:
            names += [f"{field}.{argument}" for argument in _arguments(getattr(cls, field, None))]
    return names


def _arguments(state: Any) -> list[str]:
    if state is None or not hasattr(type(state), "record_methods"):
        return []
    return list(inspect.signature(type(state)).parameters)


def _value(cls: type[Strategy], field: str, argument: str, text: str, set_before: dict[str, Any]) -> Any:
    kind = cls.annotations()[field]
    where = f"--set {field}{'.' if argument else ''}{argument}={text}"
    if kind in (float, int, bool) and not argument:
        return _number(kind, text, where)
    default: Any = set_before.get(field, getattr(cls, field, None))
    if argument not in _arguments(default):
        raise ConfigError(f"{where}: {cls.__name__} takes {', '.join(_parameters(cls))}")
    given: dict[str, Any] = {}
    for name, parameter in inspect.signature(type(default)).parameters.items():
        if name == argument:
            given[name] = _number(int if "int" in str(parameter.annotation) else float, text, where)
        elif hasattr(default, name):
            given[name] = getattr(default, name)
        elif parameter.default is inspect.Parameter.empty:
            raise ConfigError(f"{where}: {type(default).__name__} also needs {name}, which cannot be set from here")
    return type(default)(**given)


_WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def _number(kind: type, text: str, where: str) -> float | int | bool:
    if kind is bool:
        if text.lower() not in _WORDS:
            raise ConfigError(f"{where}: expected true or false, found {text!r}")
        return _WORDS[text.lower()]
    try:
        number = float(text) if kind is float else int(text)
    except ValueError:
        raise ConfigError(f"{where}: expected {kind.__name__}, found {text!r}") from None
    if number != number or abs(number) == float("inf"):
        raise ConfigError(f"{where}: expected a finite number, found {text!r}")
    return number
