"""The contract of a strategy: annotated parameters and state, and the handlers the engine calls.

A strategy is a plain class. Its annotations become one record (see features.state); its handlers are called with the
record, the context and a view of the event. What a handler may do is listed in `strategy.context`.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from tercel.errors import StrategyError
from tercel.features.state import State
from tercel.strategy.views import (
    BAR_VIEW,
    BOOK_VIEW,
    FILL_VIEW,
    LEVEL_VIEW,
    ORDER_VIEW,
    SIGNAL_VIEW,
    TIMER_VIEW,
    TRADE_VIEW,
)

__all__ = ["HANDLERS", "Strategy"]

#: Handler name -> the record of its event, None where there is none. The order is the handler's number in the engine.
HANDLERS: dict[str, np.dtype | None] = {
    "on_start": None,
    "on_book": BOOK_VIEW,
    "on_level": LEVEL_VIEW,
    "on_trade": TRADE_VIEW,
    "on_quote": BOOK_VIEW,
    "on_bar": BAR_VIEW,
    "on_timer": TIMER_VIEW,
    "on_fill": FILL_VIEW,
    "on_order": ORDER_VIEW,
    "on_signal": SIGNAL_VIEW,
    "on_stop": None,
}


class Strategy(State):
    """Base of every strategy. Annotate parameters and state with defaults, write the handlers you need.

    Handlers: on_start(self, ctx), on_stop(self, ctx), and with an event as third argument on_book (a venue message
    changed the book), on_level (one level changed), on_trade, on_quote, on_bar, on_timer, on_fill, on_order, on_signal.

    `EmaCross(qty=0.02)` sets parameters for one run; a name that is not annotated is refused.
    """

    _handler_names: ClassVar[tuple[str, ...]] = ()

    def __init__(self, **parameters: Any) -> None:
        known = type(self).annotations()
        for name, value in parameters.items():
            if name not in known:
                raise StrategyError(
                    f"{type(self).__name__} has no parameter {name!r}; it has: {', '.join(known) or 'none'}"
                )
            setattr(self, name, value)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name in vars(cls):
            if name.startswith("on_") and name not in HANDLERS:
                raise StrategyError(
                    f"{cls.__name__}.{name} is no handler; handlers are: {', '.join(HANDLERS)}. "
                    f"Name a method of your own without the prefix on_."
                )

    @classmethod
    def handlers(cls) -> dict[str, Any]:
        """The handlers this class has, by name."""
        methods = cls.record_methods()
        return {name: methods[name] for name in HANDLERS if name in methods}

    def parameters(self) -> dict[str, Any]:
        """The scalar fields with their values, for reports and metadata."""
        return {
            name: getattr(self, name) for name, kind in type(self).annotations().items() if kind in (float, int, bool)
        }
