"""The states of a live session and the ways between them, as one table; docs/live.md draws its diagram from it.

Nothing here does anything. Called by the driver, the session and tests.
"""

from __future__ import annotations

from typing import Final

__all__ = [
    "ARM", "CANCEL_ALL", "COMPILE", "CONNECT", "DISARM", "FLUSH", "LOAD", "RECONCILE", "RECOVER", "STATES", "STOPPED",
    "TRADING", "TRANSITIONS", "mermaid",
]  # fmt: skip

COMPILE, LOAD, RECOVER, CONNECT, RECONCILE, ARM, TRADING, DISARM, CANCEL_ALL, FLUSH, STOPPED = (
    "compile", "load", "recover", "connect", "reconcile", "arm", "trading", "disarm", "cancel_all", "flush", "stopped",
)  # fmt: skip

#: State -> what it means. A session runs through them from top to bottom.
STATES: Final = {
    COMPILE: "kernels and strategies are compiled, or loaded from the cache",
    LOAD: "instruments, limits and keys are read; the engine's memory is laid out",
    RECOVER: "the journal of the session before is replayed",
    CONNECT: "channels are opened; market data fills the books; no command leaves",
    RECONCILE: "the venue is asked how our orders and positions stand; no command leaves",
    ARM: "everything is known: garbage is frozen, nothing compiles from here on",
    TRADING: "commands leave; a connection that is lost is reconciled before its commands leave again",
    DISARM: "on_stop is called; new orders and amends no longer leave, cancels do",
    CANCEL_ALL: "every open order is canceled until the venue has confirmed it, or the time for it is over",
    FLUSH: "channels are closed, the journal is forced to the disk",
    STOPPED: "nothing moves",
}

#: State -> where it may go. Whatever fails before RECONCILE has begun ends the session at once.
TRANSITIONS: Final = {
    COMPILE: (LOAD, STOPPED),
    LOAD: (RECOVER, STOPPED),
    RECOVER: (CONNECT, STOPPED),
    CONNECT: (RECONCILE, DISARM),
    RECONCILE: (ARM, DISARM),
    ARM: (TRADING, DISARM),
    TRADING: (DISARM,),
    DISARM: (CANCEL_ALL,),
    CANCEL_ALL: (FLUSH,),
    FLUSH: (STOPPED,),
    STOPPED: (),
}


def mermaid() -> str:
    """The table as a Mermaid state diagram."""
    lines = ["stateDiagram-v2", f"    [*] --> {COMPILE}"]
    lines.extend(f"    {state} --> {after}" for state, afters in TRANSITIONS.items() for after in afters)
    lines.append(f"    {STOPPED} --> [*]")
    return "\n".join(lines)
