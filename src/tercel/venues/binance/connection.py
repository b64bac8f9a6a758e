"""One account at Binance, spot or USD-M futures, as the state machine that `venues.contract` describes.

Channels: "market" (books, quotes and, where one address serves all, trades), "trades" (futures), "orders" (the
WebSocket API; on spot it also carries the user stream), "user" (futures, by listen key). HTTP asks for the time, the
rules, snapshots, the listen key and reports. What is due later stands in one table of times; nothing waits.

Without credentials only market data is connected, and `is_live` then means that every book is in step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import msgspec
import numpy as np

from tercel.errors import DataError, UnitError
from tercel.model import reasons
from tercel.model.events import CONNECT, DISCONNECT, LAST, LOCAL
from tercel.model.instrument import Instrument
from tercel.venues.binance import asking
from tercel.venues.binance.asking import Asked, Backoff
from tercel.venues.binance.desk import Desk, UserDecoder
from tercel.venues.binance.encoding import linked_orders
from tercel.venues.binance.exchange_info import SymbolRules, read_exchange_info
from tercel.venues.binance.limits import Limits
from tercel.venues.binance.market import MarketFeed
from tercel.venues.binance.messages import ErrorBody, WsAnswer, error_of
from tercel.venues.binance.refusals import CLOCK_CODE, KEY_CODES, NO_SUCH_ORDER, REFUSES_KEYS, words_of
from tercel.venues.binance.reports import Question, Reports
from tercel.venues.binance.sending import Sender
from tercel.venues.binance.settings import BinanceSettings, Credentials
from tercel.venues.binance.signing import Signer
from tercel.venues.contract import NEVER, Connect, Disconnect, FastPath, Request, VenueConnection

__all__ = ["BinanceConnection"]

_MS = 1_000_000
_S = 1_000_000_000
#: A connection that lived this long is opened again at once when it ends: the venue ends each after 24 hours.
_LIVED_NS = 60 * _S
#: After this an order that the venue does not know cannot be on its way any more, beyond the receive window.
_TRAVEL_NS = 1 * _S
#: How often the venue's rules are read again.
_RULES_NS = 3600 * _S


class BinanceConnection(VenueConnection):
    """See the module. settings: which market, where. credentials: of the account, None for market data alone.

    clock_offset_ns: the venue's clock minus ours. n_messages: market messages taken.
    """

    def __init__(
        self,
        settings: BinanceSettings,
        instruments: Mapping[int, Instrument],
        credentials: Credentials | None = None,
        name: str = "",
    ) -> None:
        super().__init__(name or f"binance-{settings.market}", instruments)
        self.settings = settings
        self.feed = MarketFeed(self.instruments, self.rows, settings.is_spot)
        self.limits = Limits(6000 if settings.is_spot else 2400)
        doubt, notes = self.in_doubt, self.notes
        self.desk = Desk(self.instruments, self.rows, settings.is_spot, settings.fee_prices, doubt, notes)
        self.rules: dict[int, SymbolRules] = {}
        self.differing: set[int] = set()
        self.clock_offset_ns: int | None = None
        self._signer = None if credentials is None else Signer(credentials)
        self._sender = Sender(self)
        self._state = dict.fromkeys(asking.channels_of(settings, self._signer is not None), "down")
        self._since = dict.fromkeys(self._state, 0)
        self._attempts = dict.fromkeys(self._state, 0)
        self._asked: dict[int, Asked] = {}
        self._due: dict[tuple[str, object], int] = {}
        self._listen_key = ""
        self._is_heard = False  #: the user stream is known to tell of our orders
        self._is_subscribed = self._is_ready = False
        self._is_closing = True
        ask = partial(self._ask, "report")
        self._reports = Reports(self.instruments, self.desk, settings.is_spot, ask, self.reports)
        self._backoff = Backoff(settings)
        self._answer = msgspec.json.Decoder(WsAnswer)
        self._user = UserDecoder()

    def __repr__(self) -> str:
        return f"BinanceConnection({self.name})"

    @property
    def signer(self) -> Signer | None:
        """Signs requests; None for market data alone."""
        return self._signer

    @property
    def is_ready(self) -> bool:
        """Orders can leave and their user stream is heard."""
        return self._is_ready

    def is_up(self, channel: str) -> bool:
        """Whether a channel is open."""
        return self._state.get(channel) == "up"

    def take_id(self) -> int:
        """A number for a request, used once."""
        return self._sender.fast.take_number()

    def venue_ns(self, now_ns: int) -> int:
        """The venue's clock at our time `now_ns`."""
        return now_ns + (self.clock_offset_ns or 0)

    # --- inputs ------------------------------------------------------------------------------------------------------

    def open(self, now_ns: int) -> None:
        self._is_closing = False
        self._ask("time", None, now_ns)
        self._ask("info", None, now_ns)
        for channel in self._state:
            if channel in ("market", "trades"):
                self._connect(channel, now_ns)
        self._plan()

    def close(self, now_ns: int) -> None:
        self._is_closing = True
        for channel, state in self._state.items():
            if state != "down":
                self.effects.append(Disconnect(channel, "closing"))
        self._due.clear()
        self._asked.clear()
        self._reports.clear()
        self._plan()

    def on_connected(self, channel: str, now_ns: int) -> None:
        self._state[channel], self._since[channel] = "up", now_ns
        if channel == "orders":
            self._sender.opened(now_ns)
            if not self.settings.is_spot and not self._sender.must_log_on:
                self.subscribed(now_ns)
        elif channel == "user":
            # The key is asked for once more: only if it still is this one does the stream tell of our orders.
            self._ask("listen", None, now_ns)
        self._judge(now_ns)
        self._plan()

    def on_disconnected(self, channel: str, now_ns: int, why: str) -> None:
        lived = self._state[channel] == "up" and now_ns - self._since[channel] > _LIVED_NS
        self._state[channel] = "down"
        if channel == "market":
            for i in self.instruments:
                self.feed.begin_again(i, now_ns)
        elif channel == "orders":
            self._is_subscribed = False
            self._sender.lost()
        elif channel == "user":
            # The venue may have forgotten the key: a stream by such a one opens all the same and says nothing.
            self._listen_key, self._is_heard = "", False
        if not self._is_closing:
            self.notes.append(f"{self.name}: channel {channel} closed: {why}")
            self._attempts[channel] = 0 if lived else self._attempts[channel] + 1
            self._due[("connect", channel)] = now_ns + self._backoff.wait_ns(self._attempts[channel])
        self._judge(now_ns)
        self._plan()

    def on_message(self, channel: str, data: bytes | bytearray | memoryview, now_ns: int) -> None:
        try:
            if channel in ("market", "trades"):
                if self.feed.message(data, now_ns):
                    self._follow_books(now_ns)
                return
            if channel == "orders":
                self._on_answer(self._answer.decode(data), now_ns)
            else:
                self._on_user(data, now_ns)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, UnitError) as error:
            raise DataError(f"{self.name}, channel {channel}: not what the venue sends: {error}") from None
        self._plan()

    def on_response(self, request_id: int, status: int, headers: Mapping[str, str], body: bytes, now_ns: int) -> None:
        self.limits.read(headers, self.venue_ns(now_ns))
        error = None if status == 200 else error_of(status, body)
        if pause_ns := asking.asked_pause_ns(status, headers):
            self.blocked(pause_ns, status == 418, now_ns)
        if self._sender.pending.on_response(request_id, status, body, error, now_ns):
            self._plan()
            return
        asked = self._asked.pop(request_id, None)
        if asked is not None:
            if error is not None:
                self._refused(asked, status, error, now_ns)
            else:
                try:
                    self._take(asked, body, now_ns)
                except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, DataError, UnitError) as problem:
                    self.notes.append(f"{self.name}: {asked.what}: {problem}")
                    self._again(asked, now_ns, self.settings.backoff_max_ns)
        self._plan()

    def on_failure(self, request_id: int, why: str, was_sent: bool, now_ns: int) -> None:
        if not self._sender.pending.on_failure(request_id, was_sent, now_ns):
            asked = self._asked.pop(request_id, None)
            if asked is not None:
                self.notes.append(f"{self.name}: {asked.what}: no answer: {why}")
                self._again(asked, now_ns, self._backoff.wait_ns(3))
        self._plan()

    def on_wake(self, now_ns: int) -> None:
        for key in [key for key, due_ns in self._due.items() if due_ns <= now_ns]:
            del self._due[key]
            what, extra = key
            if what == "connect":
                self._connect(str(extra), now_ns)
            else:
                self._ask(what, extra, now_ns)
        self._sender.pending.on_wake(now_ns)
        self._plan()

    def send_commands(self, commands: np.ndarray, now_ns: int) -> None:
        if len(commands) > 1 and (is_linked := linked_orders(commands)) is not None:
            # Unlinked, the legs of a bracket or pair would each trade by itself: then rather none.
            for c in commands[is_linked].tolist():
                self.desk.rejected(c[2], c[12], c[8], c[3], c[4], reasons.VENUE_UNSUPPORTED, now_ns)
            commands = commands[~is_linked & ~np.isin(commands["id"], commands["id"][is_linked])]
        self._sender.send(commands, now_ns)
        deadline_ns = self._sender.pending.deadline_ns
        if deadline_ns < self.next_wake_ns:
            self.next_wake_ns = deadline_ns

    def fast_path(self, channel: str, cursor_at: int) -> FastPath | None:
        if channel not in ("market", "trades") or self._signer is None:
            return None
        self._sender.fast.keep_by(cursor_at)
        return self._sender.fast

    def ask_report(self, instruments: Sequence[int], order_ids: Sequence[int], since_ns: int, now_ns: int) -> None:
        if self._signer is not None:
            self._reports.want(instruments, order_ids, since_ns)
            self._reports.go_on(now_ns, self.venue_ns(now_ns))
        self._plan()

    # --- channels ----------------------------------------------------------------------------------------------------

    def _plan(self) -> None:
        """When `on_wake` is wanted next; what an input has changed may open or close the fast path."""
        self._sender.refresh()
        self.next_wake_ns = min(min(self._due.values(), default=NEVER), self._sender.pending.deadline_ns)

    def _connect(self, channel: str, now_ns: int) -> None:
        if self._is_closing or self._state[channel] != "down":
            return
        if channel == "user" and not self._listen_key:
            self._ask("listen", None, now_ns)
            return
        self._state[channel] = "connecting"
        symbols = [x.symbol for x in self.instruments.values()]
        url = asking.stream_url(self.settings, channel, symbols, "trades" in self._state, self._listen_key)
        self.effects.append(Connect(channel, url))

    def _start_account(self, now_ns: int) -> None:
        """The venue's time is known: the signed half can begin."""
        for channel in ("orders", "user"):
            if channel in self._state:
                self._connect(channel, now_ns)

    def key_refused(self, what: str, status: int, code: int) -> None:
        """Remember a refusal that says that the account is not let in, whatever is asked."""
        if code in KEY_CODES and what not in ("time", "info", "snapshot"):
            self.refused = f"{self.name} {REFUSES_KEYS}: {what}, status {status}, code {code}"

    def subscribed(self, now_ns: int) -> None:
        """The order channel is logged on and, on spot, hears the user stream."""
        self.refused = ""
        self._is_subscribed = True
        self._attempts["orders"] = 0
        self._judge(now_ns)

    def drop(self, channel: str, why: str) -> None:
        """Close a channel, to open it again later."""
        self.effects.append(Disconnect(channel, why))

    def _judge(self, now_ns: int) -> None:
        """Work out `is_live`, and write CONNECT and DISCONNECT rows where orders can or cannot leave any more."""
        ready = self._signer is not None and all(self.is_up(c) for c in self._state if c in ("orders", "user"))
        ready = ready and (self._is_subscribed or "orders" not in self._state)
        ready = ready and (self._is_heard or "user" not in self._state)
        if ready != self._is_ready:
            self._is_ready = ready
            for i in self.instruments:
                self.rows.add(CONNECT if ready else DISCONNECT, i, now_ns, now_ns, flags=LOCAL | LAST)
        has_market = all(self.is_up(c) for c in self._state if c in ("market", "trades")) and self.feed.is_in_step
        self.is_live = has_market and (self._signer is None or (ready and bool(self.rules)))

    # --- market ------------------------------------------------------------------------------------------------------

    def _follow_books(self, now_ns: int) -> None:
        for i in self.feed.wanting():
            if not any(x.what == "snapshot" and x.extra == i for x in self._asked.values()):
                if ("snapshot", i) not in self._due:
                    self._ask("snapshot", i, now_ns)
        self._judge(now_ns)
        self._plan()

    def _take_snapshot(self, i: int, body: bytes, now_ns: int) -> None:
        if not self.feed.syncs[i].wants_snapshot:
            return
        if not self.feed.snapshot(i, body, now_ns):
            # Older than the stream's first event: the next one will be newer.
            self._due[("snapshot", i)] = now_ns + self._backoff.wait_ns(3)
        self._judge(now_ns)

    # --- requests of HTTP --------------------------------------------------------------------------------------------

    def _ask(self, what: str, extra: object, now_ns: int) -> None:
        """Ask for "time", "info", "snapshot" (extra: instrument), "listen", "keepalive", "report" (extra: Question)."""
        if self._is_closing or (what == "listen" and any(x.what == what for x in self._asked.values())):
            return
        if what == "report" and self.clock_offset_ns is None:
            # Nothing can be signed before the venue's time is known.
            self._due[(what, extra)] = now_ns + self.settings.backoff_min_ns
            return
        weight = asking.weight_of(self.settings, what, extra)
        wait_ns = max(
            self.limits.blocked_until_ns - now_ns, self.limits.free_ns("REQUEST_WEIGHT", weight, self.venue_ns(now_ns))
        )
        if wait_ns > 0:
            self._due[(what, extra)] = now_ns + wait_ns
            return
        self.limits.used("REQUEST_WEIGHT", weight, self.venue_ns(now_ns))
        number = self.take_id()
        symbol = self.instruments[int(str(extra))].symbol if what == "snapshot" else ""
        timing = self.timing(now_ns)
        method, url, headers = asking.http_request(self.settings, self._signer, what, extra, symbol, timing)
        self._asked[number] = Asked(what, extra, now_ns)
        endpoint = extra.path if isinstance(extra, Question) else what
        self.effects.append(Request(number, endpoint, method, url, headers, b"", weight, True))

    def timing(self, now_ns: int) -> dict[str, str | int]:
        """The parameters that say when a signed request was made and how long it is good."""
        return {"recvWindow": self.settings.recv_window_ms, "timestamp": self.venue_ns(now_ns) // _MS}

    def _again(self, asked: Asked, now_ns: int, wait_ns: int) -> None:
        self._due[(asked.what, asked.extra)] = max(now_ns + wait_ns, self.limits.blocked_until_ns)

    def _refused(self, asked: Asked, status: int, error: ErrorBody, now_ns: int) -> None:
        if isinstance(asked.extra, Question) and error.code == NO_SUCH_ORDER:
            over_ns = self._reports.refused(asked.extra, now_ns, self.settings.recv_window_ms * _MS + _TRAVEL_NS)
            if over_ns:
                self._due[(asked.what, asked.extra)] = over_ns
            self._reports.go_on(now_ns, self.venue_ns(now_ns))
            return
        self.notes.append(f"{self.name}: {asked.what}: {words_of(status, error.code)}")
        if error.code == CLOCK_CODE:
            self.measure_clock(now_ns)
        self.key_refused(asked.what, status, error.code)
        if asked.what == "keepalive":
            # The key is gone: take a new one.
            self._listen_key = ""
            self.drop("user", "listen key lost")
            return
        # What will not change by itself is asked for slowly: wrong keys, maintenance.
        self._again(asked, now_ns, self._backoff.wait_ns(3 if status >= 500 or status in (429, 418) else 8))

    def _take(self, asked: Asked, body: bytes, now_ns: int) -> None:
        what = asked.what
        if what == "time":
            self._take_time(asked, body, now_ns)
        elif what == "info":
            self._take_info(body, now_ns)
        elif what == "snapshot":
            self._take_snapshot(int(str(asked.extra)), body, now_ns)
        elif what == "listen":
            self._take_listen_key(self._user.listen_key(body), now_ns)
        elif what == "keepalive":
            self._due[("keepalive", None)] = now_ns + self.settings.keepalive_ns
        elif isinstance(asked.extra, Question):
            self.refused = ""
            self._reports.answer(asked.extra, body)
            self._reports.go_on(now_ns, self.venue_ns(now_ns))

    def _take_listen_key(self, key: str, now_ns: int) -> None:
        self._due[("keepalive", None)] = now_ns + self.settings.keepalive_ns
        if self._state["user"] == "down":
            self._listen_key = key
            self._connect("user", now_ns)
        elif key != self._listen_key:
            self.drop("user", "the listen key is another now")
        elif self.is_up("user"):
            self._is_heard = True
            self._judge(now_ns)

    def measure_clock(self, now_ns: int) -> None:
        """Ask for the venue's time now, unless that is being done."""
        if not any(x.what == "time" for x in self._asked.values()):
            self._due.pop(("time", None), None)
            self._ask("time", None, now_ns)

    def _take_time(self, asked: Asked, body: bytes, now_ns: int) -> None:
        first = self.clock_offset_ns is None
        # The venue's time is cut to whole milliseconds: half of one is what is missing on average.
        self.clock_offset_ns = asking.server_ms(body) * _MS + _MS // 2 - (asked.sent_ns + now_ns) // 2
        self._due[("time", None)] = now_ns + self.settings.clock_interval_ns
        if first and self._signer is not None:
            self._start_account(now_ns)

    def _take_info(self, body: bytes, now_ns: int) -> None:
        info = read_exchange_info(self.settings, body, [x.symbol for x in self.instruments.values()])
        self.limits.learn(info.rate_limits, self.venue_ns(now_ns))
        self.differing = info.differing(self.instruments)
        for i, instrument in self.instruments.items():
            if i in self.differing:
                self.notes.append(f"{self.name}: {instrument.symbol}: the venue's tick and lot are not the run's")
            if instrument.symbol in info.rules:
                self.rules[i] = info.rules[instrument.symbol]
        self._sender.learn_rules()
        self._due[("info", None)] = now_ns + _RULES_NS
        self._judge(now_ns)

    def blocked(self, for_ns: int, is_ban: bool, now_ns: int) -> None:
        """The venue asked to wait, or has banned the address."""
        self.limits.block(now_ns, for_ns, is_ban)
        self.notes.append(f"{self.name}: {'banned' if is_ban else 'asked to wait'} for {for_ns // _MS} ms")

    # --- account -----------------------------------------------------------------------------------------------------

    def _on_answer(self, answer: WsAnswer, now_ns: int) -> None:
        if len(memoryview(answer.event)):
            self._on_user(answer.event, now_ns)
            return
        if answer.rateLimits:
            self.limits.learn(answer.rateLimits, self.venue_ns(now_ns))
        self._sender.pending.on_answer(answer, now_ns)

    def _on_user(self, data: bytes | bytearray | memoryview | msgspec.Raw, now_ns: int) -> None:
        name, event = self._user.message(data)
        if event is not None:
            self.desk.event(event, now_ns)
        elif name == "listenKeyExpired":
            self._listen_key = ""
            self.drop("user", "listen key expired")
        elif name in ("eventStreamTerminated", "serverShutdown"):
            self.drop("orders", name)

    def refusal(self, i: int) -> int:
        """Why no new order of an instrument can leave, whatever it is; 0 when one can."""
        if i not in self.instruments:
            return reasons.UNKNOWN_INSTRUMENT
        if i in self.differing:
            return reasons.VENUE_RULES_DIFFER
        return 0 if self._is_ready else reasons.VENUE_DOWN
