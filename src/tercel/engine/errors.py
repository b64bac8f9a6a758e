"""Errors a step left in the block, put into words for people. Called by `Engine.check`."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING, NoReturn

from tercel.engine.calls import (
    ERROR_BOOK_FULL,
    ERROR_HANDLER,
    ERROR_MONEY_OVERFLOW,
    ERROR_UNKNOWN_INSTRUMENT,
)
from tercel.errors import CapacityError, DataError, StrategyRuntimeError, TercelError, UnknownInstrumentError
from tercel.jit import raised_exception
from tercel.strategy.contract import HANDLERS

if TYPE_CHECKING:
    from tercel.engine.engine import Engine

__all__ = ["raise_error"]


def raise_error(engine: Engine) -> NoReturn:
    """Raise the error that `engine`'s last step left; the block keeps it, so the engine stays stopped."""
    head = engine.head
    code, arg, seq = int(head["error"]), int(head["error_arg"]), int(head["seq"])
    if code == ERROR_HANDLER:
        _raise_handler(engine, list(HANDLERS)[arg >> 16], arg & 65535, seq)
    if code == ERROR_BOOK_FULL:
        symbol = engine.instruments[arg].symbol
        raise CapacityError(
            f"row {seq}: the book of {symbol} has more than {3 * engine.capacity.far_levels // 4} levels a side "
            f"outside its window of {engine.capacity.depth_ticks} ticks; raise the capacity far_levels or depth_ticks"
        )
    if code == ERROR_UNKNOWN_INSTRUMENT:
        raise UnknownInstrumentError(
            f"row {seq}: names instrument number {arg}, but the run has {len(engine.instruments)}: "
            f"{', '.join(i.symbol for i in engine.instruments)}"
        )
    if code == ERROR_MONEY_OVERFLOW:
        raise DataError(f"row {seq}: a fill on {engine.instruments[arg].symbol} moves more money than 64 bits count")
    raise TercelError(f"row {seq}: the engine stopped with status {code} ({arg})")


def _raise_handler(engine: Engine, handler: str, strategy: int, seq: int) -> NoReturn:
    compiled = engine.compiled[strategy]
    name = f"{compiled.name}.{handler}"
    when = f"row {seq}, time {int(engine.head['now'])} ns"
    error = compiled.raised.error
    if error is not None:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        raise StrategyRuntimeError(
            f"{name} raised {type(error).__name__}: {error} at {frame.filename}:{frame.lineno} ({frame.line}) on {when}"
        ) from error
    kind, message = raised_exception(int(engine._wiring[0]))
    function = compiled.source.handlers()[handler]
    where = f"{function.__code__.co_filename}:{function.__code__.co_firstlineno}"
    raise StrategyRuntimeError(
        f"{name} ({where}) raised {kind}: {message} on {when}. "
        f"Run it with jit=False to see the line and the values that led there"
    )
