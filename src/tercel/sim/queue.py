"""Queue position on L2 data: how much stands in front of our order, guessed from sizes and trades at its price.

An order joins behind everything displayed. Trades at its price take from the front. What a level loses beyond its
trades was canceled, in front of us or behind us; the models differ in how they share it out. Definitions follow
R. Huang, "Estimation of queue position", and the power and logarithm families of the hftbacktest documentation ("Queue
Models", read 2024-2026), so that results can be compared fill by fill:

- risk-averse: nothing in front is ever canceled; only trades and a level smaller than our guess move us up.
- power: a canceled lot stood behind us with probability f(back) / (f(back) + f(front)), f(x) = x**n.
- power2: f(back) / f(back + front); power3: 1 - f(front / (front + back)), same f.
- log, log2: as power and power2 with f(x) = ln(1 + x), x in quantity, not lots.
- user: a class of the user's own, see `QueueModel`.

`ahead` counts lots as float64; at or below -0.5 the order itself has begun to trade.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tercel.errors import StrategyError
from tercel.features.state import State
from tercel.jit import inline_kernel, kernel

__all__ = [
    "FIFO",
    "LOG",
    "LOG2",
    "POWER",
    "POWER2",
    "POWER3",
    "QUEUE_MODELS",
    "QUEUE_VIEW",
    "RISK_AVERSE",
    "USER",
    "QueueModel",
    "queue_depth",
    "queue_filled",
    "queue_new",
    "queue_trade",
]

RISK_AVERSE, POWER, POWER2, POWER3, LOG, LOG2, FIFO, USER = range(8)
QUEUE_MODELS = {
    "risk_averse": RISK_AVERSE,
    "power": POWER,
    "power2": POWER2,
    "power3": POWER3,
    "log": LOG,
    "log2": LOG2,
    "fifo": FIFO,
}

#: What a user's queue model sees and may change. ahead: lots in front of our order; traded: lots traded at our price
#: since the level last changed. old, new: size of the level before and after (on_depth), or its size (on_new: new).
#: qty: lots of the trade (on_trade). lot: size of a lot.
QUEUE_VIEW = np.dtype(
    [("ahead", "f8"), ("traded", "f8"), ("old", "f8"), ("new", "f8"), ("qty", "f8"), ("lot", "f8"), ("_Queue", "u1")],
    align=True,
)


class QueueModel(State):
    """Base of a queue model of your own, in plain Python; compiled like a strategy.

    Write on_new(self, queue): our order joins a level of size queue.new; on_trade(self, queue): queue.qty lots traded
    at our price; on_depth(self, queue): the level went from queue.old to queue.new. Each may set queue.ahead and
    queue.traded; the order fills once queue.ahead is at most -0.5, by as many lots as it is below zero. Annotated
    fields are parameters and state, as in a strategy: `HalfAhead(share=0.3)`.
    """

    def __init__(self, **parameters: Any) -> None:
        known = type(self).annotations()
        for name, value in parameters.items():
            if name not in known:
                raise StrategyError(
                    f"{type(self).__name__} has no parameter {name!r}; it has: {', '.join(known) or 'none'}"
                )
            setattr(self, name, value)


@inline_kernel
def _weight(model: int, x: float, n: float, lot: float) -> float:
    if model == LOG or model == LOG2:
        return math.log(1.0 + x * lot)
    return math.pow(x, n)


@kernel
def _behind(model: int, front: float, back: float, n: float, lot: float) -> float:
    """Probability that a canceled lot stood behind us."""
    if model == POWER or model == LOG:
        f_back, f_front = _weight(model, back, n, lot), _weight(model, front, n, lot)
        total = f_back + f_front
        return f_back / total if total != 0.0 else 1.0
    if model == POWER2 or model == LOG2:
        total = _weight(model, back + front, n, lot)
        return _weight(model, back, n, lot) / total if total != 0.0 else 1.0
    total = front + back
    return 1.0 - _weight(model, front / total, n, lot) if total != 0.0 else 1.0


@kernel
def queue_new(queue: Any, level: float) -> int:
    """Our order joins a level that holds `level` lots. queue: a record with ahead and traded, mutated."""
    queue.ahead = level
    queue.traded = 0.0
    return 0


@kernel
def queue_trade(queue: Any, qty: float) -> int:
    """`qty` lots traded at our order's price."""
    queue.ahead -= qty
    queue.traded += qty
    return 0


@kernel
def queue_depth(queue: Any, model: int, old: float, new: float, n: float, lot: float) -> int:
    """The level of our order went from `old` to `new` lots. n: exponent of the power family. lot: size of a lot."""
    if model == RISK_AVERSE:
        if queue.ahead > new:
            queue.ahead = new
        return 0
    lost = old - new - queue.traded
    queue.traded = 0.0
    if lost < 0.0:
        if queue.ahead > new:
            queue.ahead = new
        return 0
    front = queue.ahead
    back = old - front
    behind = _behind(model, max(front, 0.0), max(back, 0.0), n, lot)
    spill = back - behind * lost
    estimate = front - (1.0 - behind) * lost + (spill if spill < 0.0 else 0.0)
    queue.ahead = estimate if estimate < new else new
    return 0


@inline_kernel
def queue_filled(queue: Any) -> int:
    """Lots of our order that have traded by now: how far `ahead` is below zero, to the nearest lot."""
    if queue.ahead <= -0.5:
        return int(math.floor(0.5 - queue.ahead))
    return 0
