"""Errors a step left in the block, put into words for people. Called by `Engine.check`."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from tercel.engine.blame import line_of, user_line
from tercel.engine.faults import (
    FAULT_BAD_FILL,
    FAULT_BAD_KIND,
    FAULT_BOOK_FULL,
    FAULT_HANDLER,
    FAULT_MONEY_OVERFLOW,
    FAULT_REFUSALS_FULL,
    FAULT_UNKNOWN_INSTRUMENT,
)
from tercel.errors import CapacityError, DataError, StrategyRuntimeError, TercelError, UnknownInstrumentError
from tercel.jit import raised_exception
from tercel.model.events import KIND_NAMES
from tercel.strategy.contract import HANDLERS

if TYPE_CHECKING:
    from tercel.engine.engine import Engine

__all__ = ["raise_error"]


def raise_error(engine: Engine) -> NoReturn:
    """Raise the error that `engine`'s last step left; the block keeps it, so the engine stays stopped."""
    head = engine.head
    code, arg, seq = int(head["error"]), int(head["error_arg"]), int(head["seq"])
    if code == FAULT_HANDLER:
        _raise_handler(engine, arg, seq)
    if code == FAULT_BOOK_FULL:
        symbol = engine.instruments[arg].symbol
        raise CapacityError(
            f"row {seq}: the book of {symbol} has more than {3 * engine.capacity.far_levels // 4} levels a side "
            f"outside its window of {engine.capacity.depth_ticks} ticks; raise the capacity far_levels or depth_ticks"
        )
    if code == FAULT_UNKNOWN_INSTRUMENT:
        raise UnknownInstrumentError(
            f"row {seq}: names instrument number {arg}, but the run has {len(engine.instruments)}: "
            f"{', '.join(i.symbol for i in engine.instruments)}"
        )
    if code == FAULT_MONEY_OVERFLOW:
        raise DataError(
            f"row {seq}: a fill or funding on {engine.instruments[arg].symbol} moves more money than 64 bits count; "
            f"check its price and size, or give the instrument fewer money_decimals"
        )
    if code == FAULT_BAD_FILL:
        raise DataError(
            f"row {seq}: a fill on {engine.instruments[arg].symbol} has no positive price and size, or a side that is "
            f"neither 1 nor -1; correct the journal or the driver that made it"
        )
    if code == FAULT_BAD_KIND:
        raise DataError(f"row {seq}: no row has the kind {arg}; known are {', '.join(map(str, KIND_NAMES))}")
    if code == FAULT_REFUSALS_FULL:
        raise StrategyRuntimeError(
            f"row {seq}: more than {engine.capacity.commands} orders were refused for one event, the last of "
            f"{engine.compiled[arg].name}; send fewer, or raise the capacity commands"
        )
    raise TercelError(f"row {seq}: the engine stopped with status {code} ({arg})")


def _raise_handler(engine: Engine, arg: int, seq: int) -> NoReturn:
    handler, strategy = list(HANDLERS)[arg >> 16], arg & 65535
    compiled = engine.compiled[strategy]
    name = f"{compiled.name}.{handler}"
    when = f"row {seq}, time {int(engine.head['now'])} ns"
    error = compiled.raised.error
    if error is not None:
        if not isinstance(error, Exception):
            raise error
        raise StrategyRuntimeError(
            f"{name} raised {type(error).__name__}: {error} at {line_of(error)} on {when}"
        ) from error
    if engine._explained is None:
        engine._explained = _explain(engine, handler, strategy)
    raise StrategyRuntimeError(f"{name} raised {engine._explained} on {when}")


def _explain(engine: Engine, handler: str, strategy: int) -> str:
    """What a compiled handler raised and where, as far as can be told."""
    kind, message, place = raised_exception(int(engine._wiring[0]))
    if place:
        return f"{kind}: {message} at {place}"
    line = user_line(engine, handler, strategy, kind)
    if line:
        return f"{kind}: {message} at or near {line}"
    code = engine.compiled[strategy].source.handlers()[handler].__code__
    return (
        f"{kind}: {message} in the handler at {code.co_filename}:{code.co_firstlineno}; run it with jit=False to see "
        f"the line"
    )
