"""Reason codes: why an order was refused, rejected, ended or filled. One number space, each code with its sentence.

A code is data on a row (`reason`), never an exception. Codes 1 to 49 are refusals of our own risk gate, 50 to 79 are
the venue's rejections, 80 to 99 say why an order ended, 100 and up why a fill happened.
"""

from __future__ import annotations

__all__ = ["REASONS", "reason_name", "reason_text"]

OK = 0
# Our own gate.
QTY_CAP, NOTIONAL_CAP, POSITION_LIMIT, GROSS_LIMIT, PRICE_COLLAR, ORDER_RATE, MESSAGE_RATE = 1, 2, 3, 4, 5, 6, 7
TOO_MANY_OPEN_ORDERS, SELF_TRADE, DAILY_LOSS, DRAWDOWN, KILL_SWITCH, NO_REFERENCE_PRICE = 8, 9, 10, 11, 12, 13
BAD_QTY, BAD_PRICE, UNKNOWN_INSTRUMENT, UNKNOWN_ORDER, ORDER_NOT_OPEN, COMMAND_RING_FULL = 14, 15, 16, 17, 18, 19
OFF_LOT_GRID, OFF_TICK_GRID, MIN_NOTIONAL, BAD_ORDER_TYPE, BOOK_NOT_READY, NOT_REDUCING = 20, 21, 22, 23, 24, 25
# The live driver: orders it did not let out, and why it halted.
NOT_ARMED, NOT_RECONCILED, ENDLESS_ANSWERS = 40, 41, 42
DEADLINE, LOW_CONFIDENCE, NO_SUITABLE_VENUE, TOO_MANY_PARENTS, BAD_SCHEDULE = range(26, 31)
# Why reconciliation halted.
POSITION_UNEXPLAINED, FILLS_UNEXPLAINED = 43, 44
# The venue.
WOULD_TAKE, FOK_UNFILLABLE, VENUE_RATE_LIMIT, VENUE_UNKNOWN_ORDER, VENUE_REDUCE_ONLY, VENUE_SELF_TRADE = range(50, 56)
WOULD_TRIGGER, NO_LIQUIDITY, VENUE_FULL, VENUE_DUPLICATE = 56, 57, 58, 59
VENUE_PRICE, VENUE_SIZE, VENUE_NOTIONAL, VENUE_PRICE_BAND, VENUE_TOO_MANY_ORDERS = 60, 61, 62, 63, 64
VENUE_BALANCE, VENUE_POSITION, VENUE_CLOSED, VENUE_UNSUPPORTED, VENUE_MALFORMED = 65, 66, 67, 68, 69
VENUE_UNAUTHORIZED, VENUE_TIMESTAMP, VENUE_BUSY, VENUE_DOWN, VENUE_BANNED = 70, 71, 72, 73, 74
VENUE_RULES_DIFFER, VENUE_REJECTED, FILLED_MEANWHILE = 75, 76, 77
# Ends.
BY_REQUEST, IOC_REMAINDER, GTD_EXPIRED, OCO_SIBLING, PARENT_ENDED, STP_CANCELED, RUN_ENDED = range(80, 87)
VENUE_ENDED, LIQUIDATED = 87, 88
SCHEDULE_DONE, SCHEDULE_OVER = 95, 96
NEVER_ARRIVED, NEVER_SENT, VENUE_FORGOT, REQUEST_LOST, ENDED_UNHEARD = 89, 90, 91, 92, 93
# Fills.
TOOK, QUEUE_REACHED, TRADED_THROUGH, BOOK_CROSSED, FIFO_MATCHED, OWN_MATCH = range(100, 106)
FILLED_UNHEARD, FOREIGN_FILL, POSITION_ADOPTED = 106, 107, 108

REASONS: dict[int, tuple[str, str]] = {
    OK: ("ok", "nothing to say"),
    QTY_CAP: ("qty_cap", "order quantity above the limit order_qty_max"),
    NOTIONAL_CAP: ("notional_cap", "order notional above the limit order_notional_max"),
    POSITION_LIMIT: ("position_limit", "position could exceed position_max if every open order filled"),
    GROSS_LIMIT: ("gross_limit", "gross notional over all instruments could exceed gross_notional_max"),
    PRICE_COLLAR: ("price_collar", "price further from the reference than price_collar allows"),
    ORDER_RATE: ("order_rate", "more new orders than order_rate allows"),
    MESSAGE_RATE: ("message_rate", "more messages to the venue than message_rate allows"),
    TOO_MANY_OPEN_ORDERS: ("too_many_open_orders", "open and in-flight orders at the maximum"),
    SELF_TRADE: ("self_trade", "would trade against an own resting order"),
    DAILY_LOSS: ("daily_loss", "loss of the day beyond daily_loss_max"),
    DRAWDOWN: ("drawdown", "fall from the equity peak beyond drawdown_max"),
    KILL_SWITCH: ("kill_switch", "trading is halted"),
    NO_REFERENCE_PRICE: ("no_reference_price", "no price seen yet to judge the order by"),
    BAD_QTY: ("bad_qty", "quantity is zero, negative or not a number"),
    BAD_PRICE: ("bad_price", "price is zero, negative or not a number"),
    UNKNOWN_INSTRUMENT: ("unknown_instrument", "the run has no instrument of that number"),
    UNKNOWN_ORDER: ("unknown_order", "no open order of that id"),
    ORDER_NOT_OPEN: ("order_not_open", "the order has ended, or a request on it is still in flight"),
    COMMAND_RING_FULL: ("command_ring_full", "more commands in one step than the capacity"),
    OFF_LOT_GRID: ("off_lot_grid", "quantity is not a whole number of lots"),
    OFF_TICK_GRID: ("off_tick_grid", "price is not a whole number of ticks"),
    MIN_NOTIONAL: ("min_notional", "notional below the venue's minimum"),
    BAD_ORDER_TYPE: ("bad_order_type", "this combination of type, time in force and arguments does not exist"),
    BOOK_NOT_READY: ("book_not_ready", "the book has no price on the side the order needs"),
    NOT_REDUCING: ("not_reducing", "a reduce-only order would open or grow the position"),
    NOT_ARMED: ("not_armed", "the session is not trading yet, or no longer"),
    NOT_RECONCILED: ("not_reconciled", "the connection was lost and the venue has not yet said how our orders stand"),
    ENDLESS_ANSWERS: ("endless_answers", "each answer made the strategy send another order, at one instant"),
    DEADLINE: ("deadline", "its deadline was over before it could leave"),
    LOW_CONFIDENCE: ("low_confidence", "the signal's confidence is below the least that is acted upon"),
    NO_SUITABLE_VENUE: ("no_suitable_venue", "no venue has size at the price asked for and may be traded on"),
    TOO_MANY_PARENTS: ("too_many_parents", "more execution algorithms at work than the capacity parents"),
    BAD_SCHEDULE: ("bad_schedule", "duration, slices, rate, profile or style of an execution algorithm cannot be"),
    POSITION_UNEXPLAINED: ("position_unexplained", "the venue's position is not what the fills make"),
    FILLS_UNEXPLAINED: ("fills_unexplained", "the venue counts more fills of an order than it tells of"),
    WOULD_TAKE: ("would_take", "a post-only order would have traded at once"),
    FOK_UNFILLABLE: ("fok_unfillable", "a fill-or-kill order could not fill whole"),
    VENUE_RATE_LIMIT: ("venue_rate_limit", "the venue's own message limit was reached"),
    VENUE_UNKNOWN_ORDER: ("venue_unknown_order", "the venue knows no open order of that id"),
    VENUE_REDUCE_ONLY: ("venue_reduce_only", "the venue refused: a reduce-only order would grow the position"),
    VENUE_SELF_TRADE: ("venue_self_trade", "the venue's self-trade prevention ended the order"),
    WOULD_TRIGGER: ("would_trigger", "a stop order would have triggered at once"),
    NO_LIQUIDITY: ("no_liquidity", "nothing to trade against"),
    VENUE_FULL: ("venue_full", "the simulated venue is at its maximum of resting orders"),
    VENUE_DUPLICATE: ("venue_duplicate", "the venue has already seen that order id"),
    VENUE_PRICE: ("venue_price", "price outside what the venue's price filter allows"),
    VENUE_SIZE: ("venue_size", "quantity outside what the venue's size filters allow"),
    VENUE_NOTIONAL: ("venue_notional", "notional outside what the venue allows"),
    VENUE_PRICE_BAND: ("venue_price_band", "price further from the market than the venue allows"),
    VENUE_TOO_MANY_ORDERS: ("venue_too_many_orders", "the venue allows no more open orders"),
    VENUE_BALANCE: ("venue_balance", "balance or margin at the venue does not suffice"),
    VENUE_POSITION: ("venue_position", "the venue allows no larger position"),
    VENUE_CLOSED: ("venue_closed", "the venue does not trade this instrument now"),
    VENUE_UNSUPPORTED: ("venue_unsupported", "the venue has no such order, or none that this connection can send"),
    VENUE_MALFORMED: ("venue_malformed", "the venue could not read the request"),
    VENUE_UNAUTHORIZED: ("venue_unauthorized", "the venue refused key, signature or permission"),
    VENUE_TIMESTAMP: ("venue_timestamp", "the venue took the request for too old or too early"),
    VENUE_BUSY: ("venue_busy", "the venue is overloaded or under maintenance"),
    VENUE_DOWN: ("venue_down", "no connection that the request could leave by"),
    VENUE_BANNED: ("venue_banned", "the venue has banned this address for too many requests"),
    VENUE_RULES_DIFFER: ("venue_rules_differ", "the venue's rules for the instrument are not those of the run"),
    VENUE_REJECTED: ("venue_rejected", "the venue refused for a reason that has no code of its own here"),
    FILLED_MEANWHILE: ("filled_meanwhile", "it filled, in whole or in part, while the request was on its way"),
    BY_REQUEST: ("by_request", "canceled as asked"),
    IOC_REMAINDER: ("ioc_remainder", "what an immediate order could not fill was canceled"),
    GTD_EXPIRED: ("gtd_expired", "its time was over"),
    OCO_SIBLING: ("oco_sibling", "the other order of the pair filled"),
    PARENT_ENDED: ("parent_ended", "the order it hung on ended unfilled"),
    STP_CANCELED: ("stp_canceled", "canceled so as not to trade with itself"),
    RUN_ENDED: ("run_ended", "the run was over"),
    VENUE_ENDED: ("venue_ended", "the venue ended the order by a rule of its own"),
    LIQUIDATED: ("liquidated", "the venue closed the position by force"),
    SCHEDULE_DONE: ("schedule_done", "the whole size of the execution algorithm has filled"),
    SCHEDULE_OVER: ("schedule_over", "its time was over with size left, or what was left was too small to send"),
    NEVER_ARRIVED: ("never_arrived", "the venue knows nothing of it, and by now it can no longer arrive"),
    NEVER_SENT: ("never_sent", "the process ended before it could leave"),
    VENUE_FORGOT: ("venue_forgot", "the venue no longer knows the order; every fill it reported is counted"),
    REQUEST_LOST: ("request_lost", "the request had no effect at the venue, and by now can have none"),
    ENDED_UNHEARD: ("ended_unheard", "it ended while nobody listened; the venue's report says how"),
    TOOK: ("took", "crossed the spread and took resting size"),
    QUEUE_REACHED: ("queue_reached", "trades at its price used up the queue ahead of it"),
    TRADED_THROUGH: ("traded_through", "a trade happened beyond its price"),
    BOOK_CROSSED: ("book_crossed", "the opposite best moved to or through its price"),
    FIFO_MATCHED: ("fifo_matched", "matched in strict time priority against a known order"),
    OWN_MATCH: ("own_match", "matched against another participant of the local market"),
    FILLED_UNHEARD: ("filled_unheard", "it filled while nobody listened; the venue's report says how"),
    FOREIGN_FILL: ("foreign_fill", "a fill on our account of an order that is not ours"),
    POSITION_ADOPTED: ("position_adopted", "a position held before the first run, taken over at a price given"),
}


def reason_name(code: int) -> str:
    """The short name of a reason code, or its number in words when unknown."""
    return REASONS[code][0] if code in REASONS else f"reason_{code}"


def reason_text(code: int) -> str:
    """The sentence of a reason code."""
    return REASONS[code][1] if code in REASONS else f"reason code {code} has no text"
