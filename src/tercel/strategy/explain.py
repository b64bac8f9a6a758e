"""Says in a few plain words why a strategy does not compile: the user's line, the offending name, what to do.

The compiler's own report is pages of types about its inner workings; it stays attached as the cause and is never
shown. What users do is recognised by the rules of `strategy.mistakes`; here the place is found and the message written.
`check_handler` finds, before anything is compiled, what would compile but not do what it says. Called by
`strategy.compiler` alone.
"""

from __future__ import annotations

import linecache
import os
import re
import textwrap
from pathlib import Path

from tercel.errors import StrategyCompileError
from tercel.strategy.mistakes import RULES, SILENT_RULES, Case, Finding, unknown
from tercel.strategy.source import UserSource

__all__ = ["check_handler", "explain"]


def explain(error: Exception, cls: type, handler: str) -> StrategyCompileError:
    """The error to raise when `cls.handler` did not compile with `error`, which becomes its cause.

    The message has less than twelve lines: class, handler, file and line; the source line; what is wrong; what to do.
    """
    source = UserSource(cls, handler)
    text = _text(error)
    file, line = _place(error, text, source)
    case = Case(error, text, source, file, line)
    found = next((f for rule in RULES if (f := rule(case)) is not None), None) or unknown(case)
    made = StrategyCompileError(_message(cls, handler, found))
    made.__cause__ = error
    return made


def check_handler(cls: type, handler: str) -> None:
    """Raise StrategyCompileError for what would compile and then silently do nothing or the wrong thing.

    That is: a handler that is a generator or a coroutine (its body would never run), a comparison with a text (never
    equal to a number) and an assignment to an attribute of self that is not annotated. Parses source, compiles nothing.
    """
    source = UserSource(cls, handler)
    if source.main is None:
        return
    case = Case(Exception(), "", source, source.main.file, source.main.lines[0])
    for rule in SILENT_RULES:
        found = rule(case)
        if found is not None:
            raise StrategyCompileError(_message(cls, handler, found))


def _message(cls: type, handler: str, found: Finding) -> str:
    path = Path(found.file)
    cwd = Path.cwd()
    shown = path.relative_to(cwd) if path.is_relative_to(cwd) else path
    line = linecache.getline(found.file, found.line).strip()
    head = f"{cls.__name__}.{handler} does not compile: {shown}, line {found.line}"
    parts = [head, f"    {line}"] if line else [head]
    parts += textwrap.wrap(f"`{found.name}`: {found.what}", 118)[:3]
    parts += textwrap.wrap(found.do, 118)[:6]
    return "\n".join(parts)


# --- where -------------------------------------------------------------------------------------------------------

_PLACES = re.compile(r'(?:at|from) (?P<a>\S[^\n]*?) \((?P<an>\d+)\)|File "(?P<f>[^"\n]+)", line (?P<fn>\d+)')


def _text(error: Exception) -> str:
    """All the compiler says, without terminal colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", str(error))


def _place(error: Exception, text: str, source: UserSource) -> tuple[str, int]:
    """The first place in the text that lies in a function of the user: reports open with the innermost."""
    for match in _PLACES.finditer(text):
        file = os.path.abspath(match["a"] or match["f"])
        line = int(match["an"] or match["fn"])
        if source.at(file, line) is not None:
            return file, line
    loc = getattr(error, "loc", None)
    file, line = str(getattr(loc, "filename", "")), int(getattr(loc, "line", 0) or 0)
    if file and source.at(file, line) is not None:
        return file, line
    main = source.main
    return (main.file, 0) if main is not None else (_file_of(source.cls, source.handler), 0)


def _file_of(cls: type, handler: str) -> str:
    code = getattr(getattr(cls, handler, None), "__code__", None)
    return str(getattr(code, "co_filename", "<unknown>"))
