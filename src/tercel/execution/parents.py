"""Parent orders: TWAP, VWAP, POV and engine-side icebergs as state machines that decide which child to send next.

A PARENT is a record in the state block. Rows change what it knows (fills of its child, trades of the market); it acts
only when its time `due_ns` has come, as a timer does, so that how rows were batched changes nothing. `parent_next` is
the one decision: it returns an action and leaves the child to send in the record. At most one child lives at a time and
it is never larger than what is left, so that children cannot exceed the parent.

Kernels only. Started by `strategy.executing`, carried out by `engine.parents`. Decisions: docs/adr/0023.
"""

from __future__ import annotations

from typing import Any

from tercel.execution.schedule import (
    ENGINE_ICEBERG,
    NEVER,
    POST,
    POV,
    PROFILE_MAX,
    PROTECT,
    PS_ENDED,
    PS_FREE,
    PS_PAUSED,
    PS_WORKING,
    RECENT,
    RETRY_NS,
    TAKE,
    parent_target,
    slice_now,
    slice_ns,
)
from tercel.jit import cold_kernel, inline_kernel, kernel
from tercel.model.commands import GTC, GTX, IOC, LIMIT, MARKET
from tercel.model.reasons import (
    DAILY_LOSS,
    DRAWDOWN,
    KILL_SWITCH,
    NOT_REDUCING,
    PARENT_ENDED,
    SCHEDULE_DONE,
    SCHEDULE_OVER,
)
from tercel.orders.money import MONEY_MAX

__all__ = [
    "PA_CANCEL", "PA_CANCEL_ENTRY", "PA_END", "PA_NONE", "PA_SEND", "parent_begin", "parent_child_ended",
    "parent_entry", "parent_fill", "parent_find", "parent_next", "parent_notice", "parent_price_seen", "parent_refused",
    "parent_slot", "parent_trade", "parents_earliest",
]  # fmt: skip

# What `parent_next` wants done.
PA_NONE, PA_SEND, PA_CANCEL, PA_END, PA_CANCEL_ENTRY = 0, 1, 2, 3, 4


# --- the table ------------------------------------------------------------------------------------------------------


@kernel
def parent_find(parents: Any, n: int, id: int) -> int:
    """The slot of parent `id`, working or ended, -1 when it is not there (any more). O(n)."""
    if id <= 0:
        return -1
    for i in range(n):
        if parents[i].id == id:
            return i
    return -1


@kernel
def parent_slot(parents: Any, n: int) -> int:
    """A slot for a new parent: a free one, else that of the oldest of those ended; -1 when all work."""
    best, oldest = -1, NEVER
    for i in range(n):
        if parents[i].state == PS_FREE:
            return i
        if parents[i].state == PS_ENDED and parents[i].id < oldest:
            best, oldest = i, parents[i].id
    return best


@kernel
def parents_earliest(parents: Any, n: int) -> int:
    """The earliest time a parent acts, NEVER when none will."""
    best = NEVER
    for i in range(n):
        if (parents[i].state == PS_WORKING or parents[i].state == PS_PAUSED) and parents[i].due_ns < best:
            best = parents[i].due_ns
    return best


@cold_kernel
def parent_begin(
    parent: Any, id: int, kind: int, style: int, instrument: int, strategy: int, side: int, qty: int, px: int,
    now_ns: int, duration_ns: int,
) -> int:  # fmt: skip
    """Fill a slot with a parent that begins now; the caller sets what is special to its kind. Returns 0."""
    parent.id = id
    parent.kind = kind
    parent.style = style
    parent.state = PS_WORKING
    parent.instrument = instrument
    parent.strategy = strategy
    parent.side = side
    parent.qty = qty
    parent.px = px
    parent.show = 0
    parent.start_ns = now_ns
    parent.end_ns = now_ns + duration_ns if duration_ns > 0 else NEVER
    parent.n_slices = 1
    parent.slice = 0
    parent.due_ns = now_ns
    parent.every_ns = 0
    parent.rate_1e6 = 0
    parent.observed = 0
    parent.filled = 0
    parent.notional = 0
    parent.child = 0
    parent.child_filled = 0
    parent.sent_ns = 0
    parent.asked_ns = 0
    parent.retry_ns = 0
    parent.wish = 0
    parent.is_final = 0
    parent.reason = 0
    parent.n_children = 0
    parent.n_refused = 0
    parent.last_reason = 0
    parent.next_px = 0
    parent.next_lots = 0
    parent.next_type = 0
    parent.next_tif = 0
    parent.n_parts = 0
    parent.i_recent = 0
    parent.entry = 0
    parent.stop_px = 0
    parent.is_entry_over = 0
    parent.entry_asked_ns = 0
    for i in range(RECENT):
        parent.recent[i] = 0
    for i in range(PROFILE_MAX + 1):
        parent.profile[i] = 0.0
    return 0


# --- what happens ---------------------------------------------------------------------------------------------------


@kernel
def parent_fill(parent: Any, px: int, lots: int) -> None:
    """A fill of a child, `lots` at `px` ticks."""
    parent.filled += lots
    parent.child_filled += lots
    notional = float(px) * float(lots)
    if notional > 4.6e18 or parent.notional > MONEY_MAX - px * lots:
        # Only the average price is made from this sum; the account's own sums are checked where they are kept.
        parent.notional = MONEY_MAX
    else:
        parent.notional += px * lots


@kernel
def parent_child_ended(parent: Any, kind_reason: int, is_setback: bool, now_ns: int) -> None:
    """The living child has ended. is_setback: the venue rejected it, or ended it unasked; then wait a little."""
    parent.child = 0
    parent.asked_ns = 0
    if is_setback:
        _setback(parent, kind_reason, now_ns)
    parent.due_ns = now_ns


@kernel
def _setback(parent: Any, reason: int, now_ns: int) -> None:
    """What was sent did not stand: wait a little, then begin the same slice again."""
    parent.n_refused += 1
    parent.last_reason = reason
    parent.retry_ns = now_ns + RETRY_NS
    if parent.slice > 0:
        parent.slice -= 1


@kernel
def parent_refused(parent: Any, reason: int, now_ns: int) -> None:
    """The gate refused the child: wait, and end where trading is halted."""
    parent.child = 0
    _setback(parent, reason, now_ns)
    if reason == KILL_SWITCH or reason == DAILY_LOSS or reason == DRAWDOWN:
        parent.wish = reason
    if parent.kind == PROTECT and reason == NOT_REDUCING:
        # Somebody else has closed what it protects.
        parent.wish = reason
    parent.due_ns = now_ns


@kernel
def parent_entry(parent: Any, lots: int, is_over: bool, now_ns: int) -> bool:
    """The order that a PROTECT belongs to has filled `lots`, or is over. Whether it begins anew, for a late fill."""
    parent.qty += lots
    if is_over:
        parent.is_entry_over = 1
    if parent.state == PS_ENDED:
        if lots <= 0 or (parent.reason != SCHEDULE_DONE and parent.reason != PARENT_ENDED):
            return False
        parent.state = PS_WORKING
        parent.reason = 0
        parent.due_ns = now_ns
        return True
    parent.due_ns = now_ns
    return False


@kernel
def parent_price_seen(parent: Any, px: int, now_ns: int) -> bool:
    """A price, in ticks, at which the market traded or would take what a PROTECT holds. Whether it now stops out."""
    if parent.state != PS_WORKING or parent.is_final != 0 or parent.stop_px == 0 or px <= 0:
        return False
    if parent.qty <= parent.filled or (px - parent.stop_px) * parent.side < 0:
        return False
    parent.is_final = 1
    parent.retry_ns = 0
    parent.due_ns = now_ns
    return True


@kernel
def parent_notice(parent: Any, now_ns: int) -> None:
    """Something changed: look at it at once."""
    parent.due_ns = now_ns


@kernel
def parent_trade(parent: Any, lots: int, lot_min: int, now_ns: int) -> bool:
    """The market traded: a POV parent counts it. Whether it acts earlier for that."""
    if parent.kind != POV or parent.state != PS_WORKING:
        return False
    parent.observed += lots
    if parent.child != 0 and parent.style == TAKE:
        return False
    if parent_target(parent, 0) - parent.filled < lot_min:
        return False
    due = max(now_ns, parent.retry_ns)
    if parent.n_children > 0:
        due = max(due, parent.sent_ns + parent.every_ns)
    if due >= parent.due_ns:
        return False
    parent.due_ns = due
    return True


# --- the decision ---------------------------------------------------------------------------------------------------


@cold_kernel
def parent_next(parent: Any, now_ns: int, lot_min: int, leaves: int, is_asked: bool, same_px: int) -> int:
    """What a parent does now: PA_NONE, PA_SEND (the child lies in next_*), PA_CANCEL its child, or PA_END.

    parent: PARENT, mutated; due_ns is when to ask again. leaves: lots of the living child not filled, 0 when none
    lives. is_asked: a request on the child is in flight. same_px: best price of the own side in ticks, 0 none.
    """
    if parent.kind == PROTECT:
        return _protect(parent, now_ns, lot_min, leaves, is_asked)
    if parent.child != 0:
        return _with_child(parent, now_ns, leaves, is_asked)
    left = parent.qty - parent.filled
    if left <= 0:
        return _end(parent, SCHEDULE_DONE)
    if parent.wish != 0:
        return _end(parent, parent.wish)
    if left < lot_min:
        return _end(parent, SCHEDULE_OVER)
    is_over = now_ns >= parent.end_ns
    if is_over and (parent.is_final != 0 or parent.state == PS_PAUSED or parent.kind >= POV):
        return _end(parent, SCHEDULE_OVER)
    if parent.state == PS_PAUSED:
        parent.due_ns = parent.end_ns
        return PA_NONE
    if parent.retry_ns > now_ns and not is_over:
        parent.due_ns = min(parent.retry_ns, parent.end_ns)
        return PA_NONE
    if is_over:
        # One last attempt of a schedule, whatever its style: take what is left.
        parent.is_final = 1
        return _send(parent, now_ns, left, left, lot_min, TAKE, same_px)
    if parent.kind == ENGINE_ICEBERG:
        parent.due_ns = parent.end_ns
        return _send(parent, now_ns, min(parent.show, left), left, lot_min, POST, same_px)
    if parent.kind == POV:
        return _pov(parent, now_ns, left, lot_min, same_px)
    n_begun = slice_now(parent, now_ns)
    parent.due_ns = slice_ns(parent, n_begun)
    if n_begun <= parent.slice:
        return PA_NONE
    parent.slice = n_begun
    return _send(parent, now_ns, parent_target(parent, n_begun) - parent.filled, left, lot_min, parent.style, same_px)


@kernel
def _pov(parent: Any, now_ns: int, left: int, lot_min: int, same_px: int) -> int:
    parent.due_ns = parent.end_ns
    want = parent_target(parent, 0) - parent.filled
    if want < lot_min:
        return PA_NONE
    if parent.n_children > 0 and now_ns < parent.sent_ns + parent.every_ns:
        parent.due_ns = min(parent.end_ns, parent.sent_ns + parent.every_ns)
        return PA_NONE
    return _send(parent, now_ns, want, left, lot_min, parent.style, same_px)


@inline_kernel
def _end(parent: Any, reason: int) -> int:
    parent.state = PS_ENDED
    parent.reason = reason
    parent.due_ns = NEVER
    return PA_END


@kernel
def _with_child(parent: Any, now_ns: int, leaves: int, is_asked: bool) -> int:
    """A child lives: whether it has to go. An immediate one ends by itself and is waited for."""
    parent.due_ns = NEVER
    is_resting = parent.next_tif != IOC
    if not is_resting:
        return PA_NONE
    is_turn = False
    wake = parent.end_ns
    if parent.kind == POV:
        is_turn = parent_target(parent, 0) - parent.filled > leaves and now_ns >= parent.sent_ns + parent.every_ns
    elif parent.kind != ENGINE_ICEBERG:
        n_begun = slice_now(parent, now_ns)
        is_turn = n_begun > parent.slice
        wake = slice_ns(parent, n_begun)
    if not (is_turn or parent.wish != 0 or parent.state == PS_PAUSED or now_ns >= parent.end_ns):
        parent.due_ns = max(wake, now_ns + 1)
        return PA_NONE
    return _ask_away(parent, now_ns, is_asked)


@kernel
def _ask_away(parent: Any, now_ns: int, is_asked: bool) -> int:
    """Cancel the child, unless that was asked for lately."""
    if is_asked or (parent.asked_ns > 0 and now_ns < parent.asked_ns + RETRY_NS):
        # What was asked may be refused, or never be answered: look again.
        parent.due_ns = max(now_ns, parent.asked_ns) + RETRY_NS
        return PA_NONE
    parent.asked_ns = now_ns
    parent.due_ns = now_ns + RETRY_NS
    return PA_CANCEL


@cold_kernel
def _protect(parent: Any, now_ns: int, lot_min: int, leaves: int, is_asked: bool) -> int:
    """A PROTECT: rests what the entry has filled and is still held at its price; once stopped out sells it at once.

    Stopped out it cancels the entry first, which must not buy any more and must not meet what is sold; then its own
    resting order, and when that has ended the rest goes at market, again and again until nothing is held.
    """
    left = parent.qty - parent.filled
    parent.due_ns = NEVER
    is_working = parent.wish == 0 and parent.state != PS_PAUSED
    if is_working and parent.is_final != 0 and parent.is_entry_over == 0:
        if parent.entry_asked_ns == 0 or now_ns >= parent.entry_asked_ns + RETRY_NS:
            parent.entry_asked_ns = now_ns
            parent.due_ns = now_ns
            return PA_CANCEL_ENTRY
        parent.due_ns = parent.entry_asked_ns + RETRY_NS
    if parent.child != 0:
        if parent.next_tif == IOC:
            return PA_NONE
        if is_working and parent.is_final == 0:
            if left <= leaves:
                return PA_NONE
            # It grows with what the entry fills, in steps: each costs its place in the queue.
            if now_ns < parent.sent_ns + RETRY_NS:
                parent.due_ns = parent.sent_ns + RETRY_NS
                return PA_NONE
        return _ask_away(parent, now_ns, is_asked)
    if parent.wish != 0:
        return _end(parent, parent.wish)
    if parent.is_entry_over != 0 and left < max(1, lot_min):
        reason = PARENT_ENDED if parent.qty == 0 else SCHEDULE_DONE
        return _end(parent, SCHEDULE_OVER if left > 0 else reason)
    if not is_working or left < max(1, lot_min) or (parent.is_final == 0 and parent.px == 0):
        return PA_NONE
    if parent.retry_ns > now_ns:
        parent.due_ns = min(parent.due_ns, parent.retry_ns)
        return PA_NONE
    parent.next_px = 0 if parent.is_final != 0 else parent.px
    parent.next_lots = left
    parent.next_type = MARKET if parent.is_final != 0 else LIMIT
    parent.next_tif = IOC if parent.is_final != 0 else GTC
    parent.sent_ns = now_ns
    parent.child_filled = 0
    parent.asked_ns = 0
    parent.n_children += 1
    return PA_SEND


@kernel
def _send(parent: Any, now_ns: int, want: int, left: int, lot_min: int, style: int, same_px: int) -> int:
    """Leave a child of `want` lots in next_*, at most `left`. What would leave a rest too small to send takes it along.

    PA_NONE when nothing can be sent: too little, or no price to rest at.
    """
    lots = min(want, left)
    if lots >= lot_min and left - lots > 0 and left - lots < lot_min:
        lots = left
    if lots < lot_min or lots <= 0:
        if parent.is_final != 0:
            return _end(parent, SCHEDULE_OVER)
        return PA_NONE
    px, kind, tif = parent.px, LIMIT, IOC
    if parent.kind == ENGINE_ICEBERG:
        tif = GTC
    elif style == POST:
        tif = GTX
        if same_px > 0:
            px = same_px if px == 0 or (px - same_px) * parent.side >= 0 else px
        if px == 0:
            return PA_NONE
    elif px == 0:
        kind = MARKET
    parent.next_px = px
    parent.next_lots = lots
    parent.next_type = kind
    parent.next_tif = tif
    parent.sent_ns = now_ns
    parent.child_filled = 0
    parent.asked_ns = 0
    parent.n_children += 1
    return PA_SEND
