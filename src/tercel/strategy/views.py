"""What handlers receive: one record per kind of event, prices and quantities as floats beside the exact integers.

The engine fills one such record in the state block before it calls the handlers of a row, once for all strategies.
Times are int64 ns; `price`, `qty` and the like float64 in the instrument's units; `px` and `lots` int64 on its grids.
On the views of frequent events the floats are computed when a handler reads them, from the integers (ADR 0012).
"""

from __future__ import annotations

import numpy as np

from tercel.jit import register_derived

__all__ = ["BAR_VIEW", "BOOK_VIEW", "FILL_VIEW", "LEVEL_VIEW", "ORDER_VIEW", "SIGNAL_VIEW", "TIMER_VIEW", "TRADE_VIEW"]

#: The instrument's grids, on every view of a frequent event: price = px * tick_num / tick_den, and likewise for sizes.
_GRIDS = "tick_num tick_den lot_num lot_den"


def _view(marker: str, integers: str, floats: str, **derived: tuple[str, str, str]) -> np.dtype:
    fields = [(name, "i8") for name in integers.split()] + [(name, "f8") for name in floats.split()]
    if derived:
        register_derived(marker, derived)
    return np.dtype([*fields, (marker, "u1")], align=True)


def _price(field: str) -> tuple[str, str, str]:
    return field, "tick_num", "tick_den"


def _size(field: str) -> tuple[str, str, str]:
    return field, "lot_num", "lot_den"


#: on_book, on_quote: the top of the book when a whole venue message is in. An empty side has price 0 and size 0. Read
#: best_bid, best_ask, bid_qty, ask_qty, mid and spread as floats; mid_px2 is bid plus ask in ticks.
BOOK_VIEW = _view(
    "_BookView",
    "ts ts_exch instrument bid_px ask_px bid_lots ask_lots mid_px2 spread_px",
    _GRIDS + " tick_den2",
    best_bid=_price("bid_px"),
    best_ask=_price("ask_px"),
    bid_qty=_size("bid_lots"),
    ask_qty=_size("ask_lots"),
    mid=("mid_px2", "tick_num", "tick_den2"),
    spread=_price("spread_px"),
)
#: on_level: one level of a book changed. qty and lots are the size now. side is 1 for bids, -1 for asks.
LEVEL_VIEW = _view(
    "_LevelView",
    "ts ts_exch instrument side px lots id",
    _GRIDS,
    price=_price("px"),
    qty=_size("lots"),
)
#: on_trade: side is the aggressor's, 1 bought, -1 sold.
TRADE_VIEW = _view(
    "_TradeView",
    "ts ts_exch instrument side px lots id",
    _GRIDS,
    price=_price("px"),
    qty=_size("lots"),
)
#: on_bar: a bar that has just closed. Read open, high, low, close and volume as floats.
BAR_VIEW = _view(
    "_BarView",
    "ts ts_exch instrument open_px high_px low_px close_px lots",
    _GRIDS,
    open=_price("open_px"),
    high=_price("high_px"),
    low=_price("low_px"),
    close=_price("close_px"),
    volume=_size("lots"),
)
#: on_timer: `due` is when it was to fire, id what the strategy called it.
TIMER_VIEW = _view("_TimerView", "ts due id", "")
#: on_fill: `order` is the order's id, fee in settlement currency, position after the fill, leaves what is left. parent:
#: the execution algorithm that sent the order, 0 none.
FILL_VIEW = _view(
    "_FillView",
    "ts ts_exch instrument order side px lots maker reason id parent",
    "price qty fee position leaves",
)
#: on_order: every answer about an order, refusals of the own gate among them, and the end of an execution algorithm
#: (then parent is id). kind: the EVENT kind. state: see orders.
ORDER_VIEW = _view(
    "_OrderView",
    "ts ts_exch instrument id side kind state reason px lots filled_lots leaves_lots parent",
    "price qty filled leaves",
)
#: on_signal: an opinion that arrived as a row. ts_exch is when it was made; deadline is by when what it causes must
#: leave, 0 for none.
SIGNAL_VIEW = _view("_SignalView", "ts ts_exch instrument id deadline", "value confidence")

#: Bytes each handler's view has to itself in the state block: a refusal shown in the middle of on_book must not write
#: over what the next strategy is to see, and what never changes on a view is written once.
VIEW_STRIDE = 256
assert max(d.itemsize for d in (BOOK_VIEW, LEVEL_VIEW, TRADE_VIEW, BAR_VIEW, FILL_VIEW, ORDER_VIEW)) <= VIEW_STRIDE
