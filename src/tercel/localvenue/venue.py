"""The local venue as a value: bytes and times in, bytes out. No socket, no clock, no thread.

Whoever drives it (the asyncio shell in `server`, or a simulated network in one thread) names its connections with any
hashable value and calls

    venue = LocalVenue(VenueSetup(seed=7))
    venue.start(now_ns)                                         # the markets open
    status = venue.connect(conn, "/stream?streams=btcusdt@trade", now_ns)   # 101 accepted, else an HTTP status
    venue.receive(conn, data, now_ns)                           # one whole text message
    venue.disconnect(conn)                                      # the connection is gone, whoever ended it
    status, headers, body = venue.http("POST", "/api/v3/order", query, headers, body, now_ns)
    venue.advance(now_ns)                                       # time passes: call it at `next_wake_ns` or more often
    for conn, data in venue.take():                             # in order; None: close this connection
        ...

Times are int64 ns of one clock that never goes back, UTC for clients with clocks of their own. The same calls give the
same bytes, always; only `seed` decides what the simulated participants do. Paths: `/ws`, `/ws/<stream>`, `/stream`
(market data, listen keys) and `/ws-api/v3`; `http` takes `/api/v3/...`. Header names come in lower case. `faults` are
switches for tests; `restart` drops every connection, session and listen key, as a venue's restart does. `bank` has
accounts, keys and the sum of all money (`imbalance`); `desk` the orders. `keys` are the API keys made at the start.
"""

from __future__ import annotations

import heapq
from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

import msgspec
import numpy as np

from tercel.errors import ConfigError
from tercel.localvenue.accounts import Account, ApiKey, Bank, demo_key, listen_key
from tercel.localvenue.depth import DepthBook, PublicTrade
from tercel.localvenue.faults import Faults
from tercel.localvenue.limits import LimitRules, RateLimits
from tercel.localvenue.markets import AccountTrade, Market
from tercel.localvenue.matching import SimulatedMarket, TapeMarket
from tercel.localvenue.orders import Order
from tercel.localvenue.products import PRODUCTS
from tercel.localvenue.rest import Answer, answer_http
from tercel.localvenue.streams import PublicStreams
from tercel.localvenue.symbols import Listed, SymbolRules, default_symbols, tape_symbols
from tercel.localvenue.usdm_desk import UsdmDesk
from tercel.localvenue.users import UserStreams
from tercel.localvenue.wsapi import Session, answer_message, answer_subscription
from tercel.sim.market_foreign import STP_MAKER

if TYPE_CHECKING:
    from tercel.store.tape import Tape

__all__ = ["LocalVenue", "VenueSetup"]

#: How often the markets run and streams look whether they are due.
TICK_NS = 10_000_000
#: An order finds the market at most this much behind the time.
_STALE_NS = 1_000_000
_BALANCES = {"USDT": "1000000", "BTC": "20", "ETH": "200"}


class VenueSetup(msgspec.Struct, frozen=True, kw_only=True):
    """What a venue is made of.

    product: "spot" or "usdm" (USD-M futures). seed: of the simulated participants and of the keys. symbols: what is
    listed; by default BTCUSDT and ETHUSDT, or the tape's instruments. speed: market seconds in a second. n_accounts:
    accounts 1 .. n, each with an HMAC key and `balances` (asset -> amount as text); with_ed25519: and an Ed25519 key.
    limits: rate limits. default_stp: self-trade prevention of orders that state none (`market_foreign.STP_*`).
    """

    product: str = "spot"
    seed: int = 1
    symbols: list[SymbolRules] = []
    speed: float = 1.0
    n_accounts: int = 3
    balances: dict[str, str] = msgspec.field(default_factory=lambda: dict(_BALANCES))
    with_ed25519: bool = False
    limits: LimitRules = LimitRules()
    default_stp: int = STP_MAKER

    def __post_init__(self) -> None:
        """Refuse what makes no venue."""
        if self.product not in PRODUCTS:
            raise ConfigError(f'product must be "spot" or "usdm", found {self.product!r}')
        if not 0 < self.speed <= 10_000:
            raise ConfigError(f"speed must be above 0 and at most 10,000, found {self.speed}")
        if not 1 <= self.n_accounts <= 1000:
            raise ConfigError(f"a local venue has 1 to 1,000 accounts, found {self.n_accounts}")


class LocalVenue:
    """The venue. tape: play this tape instead of simulating a market."""

    def __init__(self, setup: VenueSetup | None = None, tape: Tape | None = None) -> None:
        self.rules = setup or VenueSetup()
        self.faults = Faults()
        self.bank = Bank()
        self.is_spot = self.rules.product == "spot"
        self.product = PRODUCTS[self.rules.product]
        self.desk = self.product.desk(self.bank, self)
        self.ws_api_path = self.product.ws_api_path
        self.limits = RateLimits(self.rules.limits)
        self.outbox: list[tuple[Hashable, bytes | None]] = []
        self.markets: dict[str, Market] = {}
        self.now_ns = 0
        self.is_started = False
        self._ran_ns = 0
        self._n_sent = 0
        self._n_reports = 0
        self._n_listen_keys = 0
        #: What a fault holds back: (due, number, connection, data).
        self._held: list[tuple[int, int, Hashable, bytes | None]] = []
        self._sessions: dict[Hashable, Session] = {}
        self._stream_conns: dict[Hashable, None] = {}
        self._list(tape)
        if isinstance(self.desk, UsdmDesk):
            self.desk.markets = self.markets
        self.streams = PublicStreams(self.markets, self.send, is_spot=self.is_spot)
        self.users = UserStreams(self._send_private, self._new_listen_key)
        self.keys = self._open_accounts()

    def _list(self, tape: Tape | None) -> None:
        rules = list(self.rules.symbols)
        if tape is not None:
            rules = rules or tape_symbols(tape.instruments)
            all_rows = tape.rows()
        for i, each in enumerate(rules or default_symbols()):
            listed = Listed(i, each, self.product.refuse_filter)
            if listed.name in self.markets:
                raise ConfigError(f"symbol {listed.name} is listed twice")
            book = DepthBook()
            place: SimulatedMarket | TapeMarket
            if tape is None:
                place = SimulatedMarket(each.market, self.rules.seed + 7919 * i, self.rules.speed)
            else:
                names = [instrument.symbol for instrument in tape.instruments]
                if listed.name not in names:
                    raise ConfigError(f"the tape has no {listed.name}; it has {', '.join(names)}")
                i_tape = names.index(listed.name)
                mine = all_rows[all_rows["instrument"] == i_tape].copy()
                mine["instrument"] = 0
                # Sizes in the lots that are listed; what is smaller than one counts as one.
                factor = int(each.instrument.lot_size / tape.instruments[i_tape].lot_size)
                mine["qty"] = np.where(mine["qty"] > 0, np.maximum(1, mine["qty"] // factor), 0)
                place = TapeMarket(each.instrument, mine, book, self.rules.speed)
            self.markets[listed.name] = Market(listed, place, book)

    def _open_accounts(self) -> list[ApiKey]:
        from decimal import Decimal

        assets = {a for market in self.markets.values() for a in (market.listed.base, market.listed.quote)}
        amounts = {asset: int(Decimal(text) * 10**8) for asset, text in self.rules.balances.items()}
        for asset in sorted(assets):
            amounts.setdefault(asset, 1_000 * 10**8)
        keys = []
        for number in range(1, self.rules.n_accounts + 1):
            self.bank.open_account(number, amounts)
            keys.append(demo_key(self.rules.seed, number))
            if self.rules.with_ed25519:
                keys.append(demo_key(self.rules.seed, number, "ed25519"))
        keys.append(demo_key(self.rules.seed, 1, can_trade=False))
        for key in keys:
            self.bank.add_key(key)
        return keys

    def _new_listen_key(self, account: int) -> str:
        self._n_listen_keys += 1
        return listen_key(self.rules.seed, account, self._n_listen_keys)

    # --- time -----------------------------------------------------------------------------------------------------

    def start(self, now_ns: int) -> None:
        """The markets open. Once, before anything else."""
        if self.is_started:
            raise ConfigError("the venue has been started already")
        self.is_started = True
        self.now_ns = self._ran_ns = now_ns
        for market in self.markets.values():
            place = market.place
            place.start(now_ns)
            self.desk.happen(market, place.opening())

    def _time(self, now_ns: int) -> int:
        """The venue's own time at `now_ns`; never behind what it has said."""
        if not self.is_started:
            raise ConfigError("the venue has not been started: call start(now_ns) first")
        self.now_ns = max(self.now_ns, now_ns)
        return self.now_ns + self.faults.clock_offset_ns

    def advance(self, now_ns: int) -> None:
        """Time passes: the markets run, streams publish, what was held back leaves."""
        at_ns = self._time(now_ns)
        self._run_markets()
        now_ms = at_ns // 1_000_000
        self.streams.tick(now_ms)
        for conn in self.users.expire(now_ms):
            self.close(conn)
        self._let_go()

    def _run_markets(self) -> None:
        self._ran_ns = self.now_ns
        for market in self.markets.values():
            happenings = market.place.run(self.now_ns)
            if happenings:
                self.desk.happen(market, happenings)

    def _catch_up(self, now_ns: int) -> int:
        at_ns = self._time(now_ns)
        if self.now_ns - self._ran_ns >= _STALE_NS:
            self._run_markets()
        return at_ns

    @property
    def next_wake_ns(self) -> int:
        """When `advance` is next due."""
        due = self.now_ns - self.now_ns % TICK_NS + TICK_NS
        return min(due, self._held[0][0]) if self._held else due

    # --- connections ----------------------------------------------------------------------------------------------

    def answer_to_upgrade(self, target: str) -> int:
        """What `connect` would say to this path and query: 101, 404 or 503. Changes nothing."""
        if self.faults.maintenance:
            return 503
        path = target.partition("?")[0].rstrip("/")
        return 101 if path in (self.ws_api_path, "/stream", "/ws") or path.startswith("/ws/") else 404

    def connect(self, conn: Hashable, target: str, now_ns: int, caller: str = "127.0.0.1") -> int:
        """A WebSocket wants to open at `target` (path and query). 101 accepted, else the HTTP status of the refusal."""
        now_ms = self._time(now_ns) // 1_000_000
        status = self.answer_to_upgrade(target)
        if status != 101:
            return status
        if conn in self._sessions or conn in self._stream_conns:
            raise ConfigError("this connection is open already: connections are named by values of their own")
        path, _, query = target.partition("?")
        options = dict(parse_qsl(query))
        path = path.rstrip("/")
        if path == self.ws_api_path:
            says_limits = options.get("returnRateLimits", "true").lower() != "false"
            self._sessions[conn] = Session(caller, now_ms, says_limits)
            return 101
        if path == "/stream":
            names, is_combined = options.get("streams", "").split("/"), True
        else:
            names, is_combined = path[4:].split("/"), False
        names = [name for name in names if name]
        self._stream_conns[conn] = None
        public = [name for name in names if not self.users.attach(conn, name, now_ms, is_combined=is_combined)]
        self.streams.open(conn, public, is_combined=is_combined, now_ms=now_ms)
        return 101

    def receive(self, conn: Hashable, data: bytes | memoryview, now_ns: int) -> None:
        """One whole text message of a connection; answers go to the outbox."""
        at_ns = self._catch_up(now_ns)
        session = self._sessions.get(conn)
        if session is not None:
            answer_message(self, conn, session, data, at_ns)
        elif conn in self._stream_conns:
            answer_subscription(self, conn, data, at_ns)

    def disconnect(self, conn: Hashable) -> None:
        """A connection is gone."""
        self._sessions.pop(conn, None)
        self.users.close(conn)
        if conn in self._stream_conns:
            del self._stream_conns[conn]
            self.streams.close(conn)

    def close(self, conn: Hashable) -> None:
        """End a connection from the venue's side."""
        self.disconnect(conn)
        self._send_at(conn, None, 0)

    def restart(self, now_ns: int) -> None:
        """What a restart loses: connections, sessions, listen keys, subscriptions. Orders and money stay."""
        self._time(now_ns)
        self.users.forget()
        for conn in [*self._sessions, *self._stream_conns]:
            self.close(conn)

    def http(
        self, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes, now_ns: int,
        caller: str = "127.0.0.1",
    ) -> Answer:  # fmt: skip
        """One HTTP request: (status, headers, body). query: without its question mark, as it came."""
        return answer_http(self, method, path, query, headers, body, self._catch_up(now_ns), caller)

    # --- what leaves ----------------------------------------------------------------------------------------------

    def take(self) -> list[tuple[Hashable, bytes | None]]:
        """What is to be sent now, in order; the outbox is empty after it."""
        taken, self.outbox = self.outbox, []
        return taken

    def send(self, conn: Hashable, data: bytes) -> None:
        """Send a message, as late as the faults say."""
        if self.faults.delay_ns or self._held:
            self._send_at(conn, data, 0)
        else:
            self.outbox.append((conn, data))

    def _send_private(self, conn: Hashable, data: bytes) -> None:
        if self.faults.late_reports_ns:
            self._send_at(conn, data, self.faults.late_reports_ns)
        else:
            self.send(conn, data)

    def _send_at(self, conn: Hashable, data: bytes | None, later_ns: int) -> None:
        due_ns = self.now_ns + self.faults.delay_ns + later_ns
        if due_ns <= self.now_ns:
            self.outbox.append((conn, data))
            return
        self._n_sent += 1
        heapq.heappush(self._held, (due_ns, self._n_sent, conn, data))

    def _let_go(self) -> None:
        while self._held and self._held[0][0] <= self.now_ns:
            _, _, conn, data = heapq.heappop(self._held)
            if data is None or conn in self._sessions or conn in self._stream_conns:
                self.outbox.append((conn, data))

    # --- what the desk tells --------------------------------------------------------------------------------------

    def report(self, order: Order, what: str, now_ms: int, trade: AccountTrade | None = None) -> None:
        """An order changed: its executionReport, or ORDER_TRADE_UPDATE."""
        self._n_reports += 1
        number = order.account.number
        if trade is not None and self.is_spot and order.filled == trade.lots:
            self.limits.uncount_order(number, now_ms)
        if self.users.has(number):
            event = self.product.order_event(order, what, now_ms, self._n_reports, trade)
            self.users.publish(number, event, 2 if self.faults.duplicate_reports else 1)

    def balances(self, account: Account, assets: Sequence[str], now_ms: int) -> None:
        """Balances moved: outboundAccountPosition, or ACCOUNT_UPDATE."""
        if self.users.has(account.number):
            self.users.publish(account.number, self.product.balance_event(account, self.desk, assets, now_ms))

    def traded(self, market: Market, trade: PublicTrade) -> None:
        """A public trade."""
        self.streams.traded(market, trade)

    def moved(self, market: Market, is_last: bool) -> None:
        """The book moved."""
        self.streams.moved(market, is_last)
