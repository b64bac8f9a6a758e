"""The sans-IO contract: what a venue connection is given, what it asks for, and how order ids are spelled.

A `VenueConnection` is a state machine over one account at one venue. Whoever drives it (the asyncio shell of `live`,
or a simulated network in one thread) calls its inputs with bytes and the time, then carries out `effects` in order and
takes `rows` for the engine and `reports` for reconciliation. The same inputs give the same outputs, always.

Channels are named by the connection ("market", "user", "orders", ...). A request is answered exactly once, by
`on_response` or `on_failure`. An order whose request failed after its bytes may have left is not rejected: nothing is
said of it until a report knows.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence

import msgspec
import numpy as np

from tercel.model.account import AccountReport
from tercel.model.instrument import Instrument
from tercel.model.rowbuffer import RowBuffer

__all__ = [
    "NEVER",
    "Connect",
    "Disconnect",
    "Effect",
    "EngineWords",
    "FastPath",
    "Request",
    "Send",
    "VenueConnection",
    "client_id",
    "order_id",
]

NEVER = (1 << 63) - 1


class Connect(msgspec.Struct, frozen=True, gc=False):
    """Open a WebSocket. Answered by `on_connected`, or by `on_disconnected` when it cannot be opened.

    The shell reconnects nothing by itself: the connection asks again, after a wait it chooses (`next_wake_ns`). A url
    may hold a key of the user stream: it is not to be logged.
    """

    channel: str
    url: str


class Disconnect(msgspec.Struct, frozen=True, gc=False):
    """Close a WebSocket. Answered by `on_disconnected`."""

    channel: str
    why: str


class Send(msgspec.Struct, frozen=True, gc=False):
    """Send one text frame. Nothing answers; a frame on a channel that is not open is dropped by the shell."""

    channel: str
    data: bytes


class Request(msgspec.Struct, frozen=True):
    """One HTTP request, signed and complete.

    id: the connection's own number for the answer. endpoint: a stable name for limits, logs and metrics, never with
    secrets. url: whole, with the query. weight: of the venue's request limit. is_repeatable: asking twice changes
    nothing. A shell must not log `url` or `headers`: they hold keys and signatures.
    """

    id: int
    endpoint: str
    method: str
    url: str
    headers: Mapping[str, str] = {}
    body: bytes = b""
    weight: int = 1
    is_repeatable: bool = True


Effect = Connect | Disconnect | Send | Request


class EngineWords(msgspec.Struct, frozen=True):
    """Where a compiled path finds the engine: its entry, its block and wiring, and words and rows in the block.

    step: address of `engine_step`. base, wiring: its first arguments. n_emitted, n_commands, n_refused, error:
    addresses of the int64 words of these names. commands: address of the COMMAND rows that wait.
    """

    step: int
    base: int
    wiring: int
    n_emitted: int
    n_commands: int
    n_refused: int
    error: int
    commands: int


class FastPath(ABC):
    """From a market message to the requests that answer it, in one call; given out by `VenueConnection.fast_path`.

    The driver copies a message of at most `n_max` bytes to `window` and calls `call(at, n, now_ns)`. The result:

    - above 0: so many requests lie in `out`, one behind the other, their commands journaled; they still wait in the
      engine. The driver writes each to `channel`, then calls `sent` with the commands, then takes them from the engine;
    - 0: every row is journaled and stepped, and nothing follows;
    - SCANNED: the connection's buffer holds rows that are neither counted by it nor journaled nor stepped;
    - STEPPED: they are journaled, and stepped up to one; commands, refusals or an error wait in the engine;
    - anything else: nothing has happened; the message is for `on_message`.

    answer: int64 words that tell more. At N_ROWS: the rows of the message; at I_ROW: the first that was not stepped; at
    ENDS and after: where each request ends in `out`. Only while the connection's `rows` and `effects` are empty.
    """

    SCANNED, STEPPED = -3, -4
    N_ROWS, I_ROW, ENDS = 0, 1, 2

    window: memoryview
    n_max: int
    call: Callable[[int, int, int], int]
    at: int
    answer: memoryview
    out: memoryview
    channel: str

    def requests(self, n: int) -> list[memoryview]:
        """The `n` requests that are ready, in order; good until the next call."""
        ends = [0, *self.answer[self.ENDS : self.ENDS + n]]
        return [self.out[ends[k] : ends[k + 1]] for k in range(n)]

    @abstractmethod
    def sent(self, commands: np.ndarray, now_ns: int) -> None:
        """Book (n,) COMMAND whose requests were just written."""

    @abstractmethod
    def sync(self, engine: EngineWords) -> None:
        """Take up where things lie now: after every message that went another way, and before the first."""


class VenueConnection(ABC):
    """One account at one venue, as a state machine without input or output.

    name: of the venue, for logs. instruments: this connection's instruments by the engine's index. rows: what the
    inputs decoded, for the engine, in order; the driver clears it. effects: what is to be done, in order; the driver
    clears it. reports: answers to `ask_report`; the driver clears it. next_wake_ns: when `on_wake` wants to be called,
    NEVER when nothing is due. is_live: market data in step, orders can be sent. in_doubt: our order ids whose last
    request may or may not have reached the venue; ask a report about them, they leave the set when it has told. notes:
    what is worth a line in a log, without secrets; the driver clears it. refused: why the venue does not let the
    account in (an unknown key, a wrong secret), for people, without secrets; empty while it does, or was not asked.

    Rows carry ts_recv = the `now_ns` of the input and flags LOCAL (and LAST at a message's end). When the order
    channel is lost or regained the connection writes DISCONNECT and CONNECT rows, one per instrument. Rows that are no
    market data are written with `rows.add`, or `rows.has_other` is set: the driver looks closer at those alone. Rows
    are valid as `engine.rows` checks it; the driver looks none through.
    """

    #: The channel that orders leave by, where it is a channel.
    order_channel = "orders"

    def __init__(self, name: str, instruments: Mapping[int, Instrument]) -> None:
        self.name = name
        self.instruments = dict(instruments)
        self.rows = RowBuffer()
        self.effects: list[Effect] = []
        #: Channel -> writes one frame at once and returns True, or does nothing and returns False. Put there by a shell
        #: that can; a connection may use it for what must leave soonest, while `effects` is empty.
        self.writers: dict[str, Callable[[bytes | memoryview], bool]] = {}
        self.reports: list[AccountReport] = []
        self.next_wake_ns = NEVER
        self.is_live = False
        self.in_doubt: set[int] = set()
        self.notes: list[str] = []
        self.refused = ""

    @abstractmethod
    def open(self, now_ns: int) -> None:
        """Begin: ask for what must be known first, connect the channels."""

    @abstractmethod
    def close(self, now_ns: int) -> None:
        """End: disconnect every channel, ask for nothing more. Cancelling orders is the driver's business, before."""

    @abstractmethod
    def on_connected(self, channel: str, now_ns: int) -> None:
        """A channel is open."""

    @abstractmethod
    def on_disconnected(self, channel: str, now_ns: int, why: str) -> None:
        """A channel is closed, or could not be opened."""

    @abstractmethod
    def on_message(self, channel: str, data: bytes | bytearray | memoryview, now_ns: int) -> None:
        """One whole message; `data` is good only during the call. Raises DataError for what the venue cannot have
        meant; the driver then closes the channel and goes on.
        """

    @abstractmethod
    def on_response(self, request_id: int, status: int, headers: Mapping[str, str], body: bytes, now_ns: int) -> None:
        """The answer to a `Request`; headers with lower-case names."""

    @abstractmethod
    def on_failure(self, request_id: int, why: str, was_sent: bool, now_ns: int) -> None:
        """No answer will come. was_sent: bytes may have reached the venue, so what it did is unknown."""

    @abstractmethod
    def on_wake(self, now_ns: int) -> None:
        """The time `next_wake_ns` has come."""

    @abstractmethod
    def send_commands(self, commands: np.ndarray, now_ns: int) -> None:
        """Encode (n,) COMMAND rows. What cannot be sent now (channel down, venue's rate limit) is answered with a
        REJECT, CANCEL_REJECT or AMEND_REJECT row and its reason; it never reached the venue.
        """

    def fast_path(self, channel: str, cursor_at: int) -> FastPath | None:
        """A compiled path for the messages of `channel`, None where there is none.

        cursor_at: address of the journal's CURSOR record, 0 where nothing is kept.
        """
        return None

    @abstractmethod
    def ask_report(self, instruments: Sequence[int], order_ids: Sequence[int], since_ns: int, now_ns: int) -> None:
        """Ask for open orders, executions since `since_ns`, positions, and the state of each order in `order_ids`.

        Ends with one entry in `reports`, or with none and another attempt by itself when the venue does not answer. A
        fill that a report has told is not told again as a row when its own message comes late.
        """


_PREFIX = "tc"
_HEX = frozenset("0123456789abcdef")


def client_id(order_id: int) -> str:
    """An order id as the venue sees it: `tc` and sixteen hex digits; a pure function, so a restart sends none twice."""
    return f"{_PREFIX}{order_id:016x}"


def order_id(client_id: str) -> int:
    """The order id in a client id, 0 when it is not one of ours."""
    digits = client_id.removeprefix(_PREFIX)
    if len(client_id) != len(_PREFIX) + 16 or len(digits) != 16 or not _HEX.issuperset(digits):
        return 0
    number = int(digits, 16)
    # Ids are int64: a larger one is somebody else's.
    return number if number < 1 << 63 else 0
