"""How well queue models guess: real orders of an order log are hidden, the models see levels and trades only.

An order log (L3) says when each order really traded. Each real order is taken in turn, its own size is removed from
the level it rests on, and every queue model follows it on what is left, the L2 view: the sizes of its level and the
trades. What the model predicts is compared with what happened. Uses the kernels of `queue` as the simulated venue
does. Called by tests, docs and the command line.

Trades are mostly reported after the order lines they caused; the L2 view puts each trade before the first of those
lines, as venues that publish both do. The maker of a trade is the older of the two orders that lost exactly its size.

A truth can also be made from the rows of a simulated market, whose queues are longer: `log_of_rows`.

A prediction is the moment a model first gives the order a fill: its queue is used up, or a trade happens through its
price. It is looked for from the order's creation to its end for orders that were canceled untouched (a prediction is
then false), and to `horizon_s` after the true first fill for the others (none is then a miss).
"""

from __future__ import annotations

import bisect
import statistics
from collections import defaultdict, deque

import msgspec
import numpy as np

from tercel.book.audit_l3 import LogEvent, OrderLog, OrderLogReplay
from tercel.jit import address_of, entry, record, records
from tercel.model.events import ADD, CHANGE, DELETE, TRADE
from tercel.sim.queue import QUEUE_MODELS, queue_depth, queue_filled, queue_new, queue_trade

__all__ = [
    "AT", "DEFAULT_MODELS", "DEPTH", "STEP", "THROUGH", "HiddenOrder", "MatchedTrade", "QueueScore",
    "fills_out_of_turn", "follow_queue", "hidden_orders", "log_of_rows", "match_trades", "queue_views",
    "score_queue_models",
]  # fmt: skip

#: Model name and exponent n (of no meaning to risk_averse and the log family).
DEFAULT_MODELS: tuple[tuple[str, int], ...] = (
    ("risk_averse", 1),
    ("power", 1),
    ("power", 2),
    ("power", 3),
    ("power2", 2),
    ("power3", 2),
    ("power3", 3),
    ("log", 1),
    ("log2", 1),
)

#: Lines between a trade's report and the order lines it caused, at most; now and then one comes after.
_REACH = 40
_REACH_AFTER = 10

STEP = np.dtype([("kind", "i8"), ("old", "i8"), ("new", "i8")])
#: Kinds of step: the level changed, a trade at the price (new: its size), a trade through the price.
DEPTH, AT, THROUGH = 0, 1, 2

_QUEUE = np.dtype([("ahead", "f8"), ("traded", "f8"), ("lot", "f8")])


class MatchedTrade(msgspec.Struct, frozen=True):
    """A trade put where it belongs: before line `i`, aggressor's side, both order ids (0: not named by the log)."""

    i: int
    px: int
    qty: int
    side: int
    maker: int
    taker: int


class HiddenOrder(msgspec.Struct, frozen=True):
    """A real order that rested: lines of creation, first fill (-1: never) and end, and its remaining size over time."""

    order_id: int
    side: int
    px: int
    i_created: int
    i_filled: int
    i_end: int
    lines: list[int]
    sizes: list[int]

    def size(self, i: int) -> int:
        """Its own size after line `i`."""
        at = bisect.bisect_right(self.lines, i) - 1
        return self.sizes[at] if at >= 0 else 0


class QueueScore(msgspec.Struct, frozen=True):
    """One model's record. Times in seconds; an error is predicted minus true, so positive is late.

    n_filled: orders that really traded; n_predicted of them predicted within the horizon, n_same at exactly the true
    trade, n_early before, n_late after. n_canceled: orders canceled untouched; n_false of them predicted filled.
    Errors are over predicted orders.
    """

    model: str
    exponent: int
    n_filled: int
    n_predicted: int
    n_same: int
    n_early: int
    n_late: int
    n_canceled: int
    n_false: int
    error_median_abs_s: float
    error_mean_abs_s: float
    error_mean_s: float


# --- what the log says --------------------------------------------------------------------------------------------


def _losses(log: OrderLog) -> dict[int, tuple[LogEvent, int]]:
    """Per line: the event and the size its order lost to a trade there; -1 where the log never stated the size."""
    left: dict[int, int] = {}
    losses: dict[int, tuple[LogEvent, int]] = {}
    for event in log.events:
        if event.kind == "trade":
            continue
        before = left.get(event.order_id)
        if event.kind == "created" or event.kind == "changed":
            left[event.order_id] = event.qty
        if event.kind == "changed" or (event.kind == "deleted" and event.qty == 0):
            losses[event.i] = (event, before - event.qty if before is not None else -1)
    return losses


def match_trades(log: OrderLog) -> list[MatchedTrade]:
    """Each trade with the order lines that it caused, found by size among the lines around its report, sorted.

    Where only one order lost that size, it took if a resting order of unstated size was hit there, else it was hit.
    """
    losses = _losses(log)
    used: set[int] = set()
    trades: list[MatchedTrade] = []
    last_side = 1
    for trade in log.events:
        if trade.kind != "trade":
            continue
        near = [i for i in _near(trade.i) if i in losses and i not in used]
        found: list[LogEvent] = []
        for i in near:
            if losses[i][1] != trade.qty or len(found) == 2:
                continue
            if not found or found[0].order_id != losses[i][0].order_id:
                found.append(losses[i][0])
        used.update(event.i for event in found)
        found.sort(key=lambda event: event.order_id)
        first = min((event.i for event in found), default=trade.i)
        maker, taker = 0, 0
        if len(found) == 2:
            maker, taker, last_side = found[0].order_id, found[1].order_id, found[1].side
        elif found and any(losses[i][1] < 0 and losses[i][0].px == trade.px for i in near):
            taker, last_side = found[0].order_id, found[0].side
        elif found:
            maker, last_side = found[0].order_id, -found[0].side
        trades.append(MatchedTrade(first, trade.px, trade.qty, last_side, maker, taker))
    return sorted(trades, key=_line_of)


def _near(i: int) -> list[int]:
    """Lines around a trade's report, the likeliest first."""
    return [*range(i - 1, max(-1, i - _REACH), -1), *range(i + 1, i + _REACH_AFTER)]


def hidden_orders(log: OrderLog, replay: OrderLogReplay, trades: list[MatchedTrade]) -> list[HiddenOrder]:
    """The orders fit to be hidden: born and ended in the log, never moved in price, resting from birth.

    An order that met the other side at birth, or that took in any trade, is left out.
    """
    takers = {trade.taker for trade in trades}
    first_fill: dict[int, int] = {}
    for trade in trades:
        if trade.maker:
            first_fill.setdefault(trade.maker, trade.i)
    lives: dict[int, list[LogEvent]] = defaultdict(list)
    for event in log.events:
        if event.kind != "trade":
            lives[event.order_id].append(event)
    found = []
    for order_id, life in lives.items():
        born, end = life[0], life[-1]
        whole = born.kind == "created" and end.kind == "deleted" and len({event.px for event in life}) == 1
        # An order that ended with nothing left but in no matched trade is one whose truth is not known.
        known = order_id in first_fill or all(event.qty == born.qty for event in life)
        if not whole or not known or order_id in takers or order_id in replay.deleted_first or _crosses(replay, born):
            continue
        sizes = [event.qty if event.kind != "deleted" else 0 for event in life]
        lines = [event.i for event in life]
        filled = first_fill.get(order_id, -1)
        found.append(HiddenOrder(order_id, born.side, born.px, born.i, filled, end.i, lines, sizes))
    return found


def log_of_rows(rows: np.ndarray) -> tuple[OrderLog, list[MatchedTrade]]:
    """An order log and its trades from the "l3" rows of a simulated market, snapshot orders as if created first.

    Times are kept in ms, as the real log has them, but distinct lines stay distinct.
    """
    events: list[LogEvent] = []
    trades: list[MatchedTrade] = []
    pending: deque[tuple[int, int, int]] = deque()
    names = {ADD: "created", CHANGE: "changed", DELETE: "deleted"}
    columns = (rows[name].tolist() for name in ("kind", "ts_exch", "id", "side", "px", "qty"))
    for i, (kind, ts, order_id, side, px, qty) in enumerate(zip(*columns, strict=True)):
        if kind == TRADE:
            pending.append((px, qty, side))
        elif kind in names:
            events.append(LogEvent(i, ts // 1_000_000, names[kind], order_id, side, px, qty))
            if pending:
                # A message holds its trades and then, in the same order, the makers.
                trades.append(MatchedTrade(i, *pending.popleft(), order_id, 0))
    return OrderLog(events, [], len(rows)), trades


def _crosses(replay: OrderLogReplay, born: LogEvent) -> bool:
    """Whether an order met the other side when it was created."""
    best = replay.best(-born.side, born.i)
    return best is not None and born.side * (best - born.px) <= 0


def _line_of(trade: MatchedTrade) -> int:
    return trade.i


# --- the L2 view --------------------------------------------------------------------------------------------------


def queue_views(
    order: HiddenOrder, replay: OrderLogReplay, trades: list[MatchedTrade], i_until: int
) -> tuple[int, np.ndarray, list[int]]:
    """What an L2 feed shows around an order, its own size removed, from its birth to line `i_until` exclusive.

    Returns the size ahead at birth, (n,) STEP rows and the line of each.
    """
    lines, sizes = replay.history((order.side, order.px))
    at = bisect.bisect_right(lines, order.i_created) - 1
    view = ahead = sizes[at] - order.size(lines[at])
    steps: list[tuple[int, int, tuple[int, int, int]]] = []
    for k in range(at + 1, len(lines)):
        if lines[k] >= i_until:
            break
        now = sizes[k] - order.size(lines[k])
        if now != view:
            steps.append((lines[k], 1, (DEPTH, view, now)))
            view = now
    first = bisect.bisect_right(trades, order.i_created, key=_line_of)
    for trade in trades[first : bisect.bisect_left(trades, i_until, key=_line_of)]:
        if trade.side == -order.side:
            if trade.px == order.px:
                steps.append((trade.i, 0, (AT, 0, trade.qty)))
            elif order.side * (trade.px - order.px) < 0:
                steps.append((trade.i, 0, (THROUGH, 0, trade.qty)))
    steps.sort(key=lambda step: step[:2])
    return ahead, np.array([step[2] for step in steps], STEP), [step[0] for step in steps]


@entry
def follow_queue(queue: int, ahead: int, steps: int, n_steps: int, model: int, exponent: int) -> int:
    """Walk one order's STEP rows with a model. Returns the index of the step that first fills it, -1 for none."""
    state = record(queue, _QUEUE)
    rows = records(steps, n_steps, STEP)
    queue_new(state, float(ahead))
    for i in range(n_steps):
        if rows[i].kind == THROUGH:
            return i
        if rows[i].kind == AT:
            queue_trade(state, float(rows[i].new))
            if queue_filled(state) > 0:
                return i
        else:
            queue_depth(state, model, float(rows[i].old), float(rows[i].new), float(exponent), state.lot)
    return -1


def fills_out_of_turn(replay: OrderLogReplay, trades: list[MatchedTrade], log: OrderLog) -> tuple[int, int]:
    """Whether the venue and the L3 book agree on who is first: (fills of resting orders, those with size in front)."""
    lines: dict[int, list[int]] = defaultdict(list)
    for event in log.events:
        if event.i in replay.ahead_at_loss:
            lines[event.order_id].append(event.i)
    n_fills = n_wrong = 0
    for trade in trades:
        of_maker = lines.get(trade.maker, [])
        at = bisect.bisect_left(of_maker, trade.i)
        if at < len(of_maker):
            n_fills += 1
            n_wrong += replay.ahead_at_loss[of_maker[at]] > 0
    return n_fills, n_wrong


# --- the score ----------------------------------------------------------------------------------------------------


def score_queue_models(
    log: OrderLog,
    models: tuple[tuple[str, int], ...] = DEFAULT_MODELS,
    *,
    trades: list[MatchedTrade] | None = None,
    queued_only: bool = False,
    lot: float = 1e-8,
    horizon_s: float = 600.0,
) -> list[QueueScore]:
    """Hide every fit order of the log in turn and score each model.

    trades: as `match_trades` finds them, unless given. queued_only: only orders that had size ahead of them at birth.
    lot: size of a lot in the units the log family of models counts in.
    """
    replay = OrderLogReplay(log, completed=True)
    trades = match_trades(log) if trades is None else trades
    times = replay.times
    orders, views = [], []
    for order in hidden_orders(log, replay, trades):
        until = order.i_end + 1
        if order.i_filled >= 0:
            until = bisect.bisect_right(times, times[order.i_filled] + round(horizon_s * 1000))
        view = queue_views(order, replay, trades, until)
        if view[0] > 0 or not queued_only:
            orders.append(order)
            views.append(view)
    queue = np.zeros(1, _QUEUE)
    queue["lot"] = lot
    scores = []
    for name, exponent in models:
        predicted = []
        for ahead, steps, lines in views:
            at = follow_queue.call(
                address_of(queue), ahead, address_of(steps), len(steps), QUEUE_MODELS[name], exponent
            )
            predicted.append(lines[at] if at >= 0 else -1)
        scores.append(_score(name, exponent, orders, predicted, times))
    return scores


def _score(name: str, exponent: int, orders: list[HiddenOrder], predicted: list[int], times: list[int]) -> QueueScore:
    filled = [(order.i_filled, i) for order, i in zip(orders, predicted) if order.i_filled >= 0]
    hit = [(true, i) for true, i in filled if i >= 0]
    errors = [(times[i] - times[true]) / 1000 for true, i in hit]
    return QueueScore(
        model=name,
        exponent=exponent,
        n_filled=len(filled),
        n_predicted=len(hit),
        n_same=sum(i == true for true, i in hit),
        n_early=sum(i < true for true, i in hit),
        n_late=sum(i > true for true, i in hit),
        n_canceled=len(orders) - len(filled),
        n_false=sum(order.i_filled < 0 and i >= 0 for order, i in zip(orders, predicted)),
        error_median_abs_s=statistics.median([abs(e) for e in errors]) if errors else 0.0,
        error_mean_abs_s=statistics.fmean([abs(e) for e in errors]) if errors else 0.0,
        error_mean_s=statistics.fmean(errors) if errors else 0.0,
    )
