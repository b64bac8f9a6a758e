"""The maxima of the runtime in one place: channels, mailboxes, threads. Constants only; `docs/runtime.md` lists them.

What happens at each maximum is said where the structure lives.
"""

from __future__ import annotations

__all__ = [
    "BLOCKING_CALLS_MAX", "BLOCKING_THREADS_MAX", "EVENT_BUS_MAX", "MAILBOX_CONTROL_MAX", "MAILBOX_MAX",
    "MARKET_DATA_MAX", "ORDERS_MAX", "SIGNALS_MAX", "TICKS_MAX",
]  # fmt: skip

#: Rows kept by the market data broadcast. A reader further behind has lagged and is told how many it missed.
MARKET_DATA_MAX = 10_000
#: Signals on their way to the engine. At the maximum a signal goes back to who sent it.
SIGNALS_MAX = 1_000
#: Orders waiting for an executor. At the maximum an order goes back to who pushed it.
ORDERS_MAX = 100
#: Events kept by the event bus. A reader further behind has lagged and is told.
EVENT_BUS_MAX = 1_000
#: Market messages waiting for one actor. At the maximum the oldest is dropped and counted.
MAILBOX_MAX = 1_000
#: Control messages (configuration, stop) waiting for one actor. At the maximum the sender gets a ChannelFullError.
MAILBOX_CONTROL_MAX = 100
#: Ticks kept by a `TickRing`. At the maximum the oldest is dropped.
TICKS_MAX = 10_000
#: Threads for blocking calls. At the maximum a call waits for a thread.
BLOCKING_THREADS_MAX = 512
#: Blocking calls waiting for a thread. At the maximum a call is refused with a CapacityError.
BLOCKING_CALLS_MAX = 10_000

assert MAILBOX_MAX <= MARKET_DATA_MAX, "a mailbox larger than what feeds it never fills"
