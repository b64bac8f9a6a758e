"""The order desk: what happens to orders and to the money behind them. One desk for all symbols and accounts of spot.

`place`, `cancel`, `reduce` act for a client; `happen` takes what a market did. Each change of an order goes to the
`listener` as a report, in order; balances that moved are told after. Refusals are `RefusedError` with the venue's code.
Knows no JSON and no connection. Called by `venue` and by the operations.
"""

from __future__ import annotations

from collections import deque

from tercel.localvenue.accounts import Account, Bank
from tercel.localvenue.depth import PublicTrade
from tercel.localvenue.markets import AccountTrade, Listener, Market
from tercel.localvenue.matching import FIRST_ORDER_ID, Happening
from tercel.localvenue.orders import NewOrder, Order, is_triggered
from tercel.localvenue.refusals import (
    AMEND_REJECTED,
    CANCEL_REJECTED,
    NO_SUCH_ORDER,
    RefusedError,
    filter_failure,
    order_rejected,
)
from tercel.model.events import CANCELED, CLEAR, FILL, LEVEL, TRADE
from tercel.sim.market_foreign import (
    OUTCOME_FULL,
    OUTCOME_SELF_TRADE,
    OUTCOME_UNFILLABLE,
    OUTCOME_WOULD_TAKE,
    RULE_FOK,
    RULE_IOC,
    RULE_POST,
    RULE_REST,
)

__all__ = ["Desk"]

#: Finished orders and trades the venue remembers, each of them for all accounts together.
ORDERS_KEPT = 500_000
TRADES_KEPT = 500_000
_RULES = {"GTC": RULE_REST, "IOC": RULE_IOC, "FOK": RULE_FOK}


class Desk:
    """Orders of all accounts of a spot venue; `usdm_desk` changes what they do to money."""

    would_take = "Order would immediately match and take."

    def __init__(self, bank: Bank, listener: Listener) -> None:
        self.bank = bank
        self.listener = listener
        self.orders: dict[int, Order] = {}
        self.open: dict[int, Order] = {}
        self.by_client_id: dict[tuple[int, str, str], Order] = {}
        self.trades: deque[AccountTrade] = deque(maxlen=TRADES_KEPT)
        self.n_placed = 0
        self.n_executions = 0
        self._finished: deque[Order] = deque()
        self._next_id = FIRST_ORDER_ID + 1
        self._taker: Order | None = None
        #: Accounts whose balances moved in the act that is going on, each with the assets.
        self._touched: dict[Account, list[str]] = {}

    # --- a client acts --------------------------------------------------------------------------------------------

    def check(self, account: Account, market: Market, new: NewOrder, now_ms: int) -> None:
        """Refuse what the symbol's filters or the account's other orders forbid."""
        listed = new.listed
        mean = market.tape.mean_px(now_ms)
        if new.px:
            listed.check_price_band(new.side, new.px, mean)
        elif new.lots and (mean or market.book.ask):
            listed.check_notional(mean or market.book.ask, new.lots)
        if account.n_open.get(listed.name, 0) >= listed.rules.orders_max:
            raise listed.refuse("MAX_NUM_ORDERS", "")
        if new.stop_px:
            if account.n_stops.get(listed.name, 0) >= listed.rules.stops_max:
                raise filter_failure("MAX_NUM_ALGO_ORDERS")
            last = market.tape.last_px or market.book.ask or market.book.bid
            if last and is_triggered(new.type, new.side, new.stop_px, last):
                raise order_rejected("Stop price would trigger immediately.")
        if new.client_id:
            same = self.by_client_id.get((account.number, listed.name, new.client_id))
            if same is not None and same.is_open:
                raise order_rejected("Duplicate order sent.")

    def place(self, account: Account, market: Market, new: NewOrder, now_ns: int) -> Order:
        """A new order: checked, paid for, and let into the market or set to wait."""
        now_ms = now_ns // 1_000_000
        self.check(account, market, new, now_ms)
        if new.quote_e8:
            new.lots = self._lots_for(market, new)
        order = Order(self._next_id, account, new, now_ms)
        if not self.reserve(order, market):
            raise order_rejected("Account has insufficient balance for requested action.")
        self._next_id += 1
        self.n_placed += 1
        if not order.client_id:
            order.client_id = f"local{order.number:017d}"
        if order.stop_px:
            self._enter_books(order)
            market.stops[order.id] = order
            account.n_stops[order.listed.name] = account.n_stops.get(order.listed.name, 0) + 1
            self.listener.report(order, "NEW", now_ms)
        else:
            self.into_market(order, market, now_ns, is_new=True)
        self.tell_balances(now_ms)
        return order

    def _enter_books(self, order: Order) -> None:
        account, name = order.account, order.listed.name
        self.orders[order.id] = self.open[order.id] = order
        self.by_client_id[(account.number, name, order.client_id)] = order
        account.n_open[name] = account.n_open.get(name, 0) + 1

    def into_market(self, order: Order, market: Market, now_ns: int, *, is_new: bool) -> None:
        """Submit an order, report on it, and do what the market answered."""
        is_market = order.px == 0
        rule = RULE_POST if order.is_post_only else (RULE_IOC if is_market else _RULES[order.tif])
        px = None if is_market else order.px
        asked = order.left
        done = market.place.submit(order.id, order.account.number, order.side, px, asked, rule, order.stp, now_ns)
        now_ms = now_ns // 1_000_000
        refusal = ""
        if done.outcome == OUTCOME_WOULD_TAKE:
            refusal = self.would_take
        elif done.outcome == OUTCOME_FULL and done.left == asked:
            refusal = "The venue is at its maximum of resting orders."
        if is_new and refusal:
            self._release(order)
            self._touched.clear()
            raise self.rejected(refusal)
        if is_new:
            self._enter_books(order)
            self.listener.report(order, "NEW", now_ms)
        self._taker = order
        self.happen(market, done.happenings, is_own_act=True)
        self._taker = None
        if order.left == 0:
            return
        if done.outcome == OUTCOME_SELF_TRADE:
            self.finish(order, "EXPIRED_IN_MATCH", "TRADE_PREVENTION", now_ms)
        elif refusal or rule in (RULE_IOC, RULE_FOK) or done.outcome in (OUTCOME_UNFILLABLE, OUTCOME_FULL):
            self.finish(order, "EXPIRED", "EXPIRED", now_ms)

    def rejected(self, text: str) -> RefusedError:
        """The refusal of a new order by the matching side."""
        return order_rejected(text)

    def find(self, account: Account, symbol: str, order_id: int | None, client_id: str | None, code: int) -> Order:
        """The account's order by its id or by the client's, else RefusedError with `code`."""
        order = None
        if order_id is not None:
            order = self.orders.get(order_id + FIRST_ORDER_ID)
        elif client_id is not None:
            order = self.by_client_id.get((account.number, symbol, client_id))
        if order is None or order.account is not account or order.listed.name != symbol:
            text = "Unknown order sent." if code == CANCEL_REJECTED else "Order does not exist."
            raise RefusedError(code, text)
        if order_id is not None and client_id is not None and client_id not in (order.client_id, order.replaces):
            raise RefusedError(code, "Unknown order sent." if code == CANCEL_REJECTED else "Order does not exist.")
        return order

    def cancel(
        self, order: Order, market: Market, now_ns: int, new_client_id: str = "", why: str = "CANCELED"
    ) -> Order:
        """End an open order, else RefusedError. why: what the report calls it."""
        if not order.is_open:
            raise RefusedError(CANCEL_REJECTED, "Unknown order sent.")
        if not order.is_waiting:
            happenings = market.place.cancel(order.id, now_ns)
            if happenings is None:
                raise RefusedError(CANCEL_REJECTED, "Unknown order sent.")
            self.happen(market, happenings, is_own_act=True)
        self._leave_stops(order, market)
        now_ms = now_ns // 1_000_000
        order.cancel_id = new_client_id or f"localcancel{order.number:012d}"
        self.finish(order, why, why, now_ms)
        self.tell_balances(now_ms)
        return order

    def reduce(self, order: Order, market: Market, lots: int, now_ns: int, new_client_id: str) -> Order:
        """Make an open order's whole quantity smaller, in its place in the queue."""
        if not order.is_open:
            raise RefusedError(NO_SUCH_ORDER, "Order does not exist.")
        if order.is_waiting or lots >= order.lots or lots <= order.filled:
            text = (
                "The requested order amendment was rejected: newQty must be above what is filled and below the order's."
            )
            raise RefusedError(AMEND_REJECTED, text)
        happenings = market.place.reduce(order.id, order.px, lots - order.filled, now_ns)
        if happenings is None:
            raise RefusedError(AMEND_REJECTED, "The requested order amendment was rejected.")
        now_ms = now_ns // 1_000_000
        less = order.lots - lots
        order.lots = lots
        order.updated_ms = now_ms
        unit = order.px * order.listed.value_e8 if order.side > 0 else order.listed.lot_e8
        if order.locked:
            self._unlock(order, less * unit)
        order.replaces = order.client_id
        order.client_id = new_client_id or order.client_id
        self.by_client_id[(order.account.number, order.listed.name, order.client_id)] = order
        self.listener.report(order, "REPLACED", now_ms)
        self.happen(market, happenings, is_own_act=True)
        self.tell_balances(now_ms)
        return order

    def open_orders(self, account: Account, symbol: str | None) -> list[Order]:
        """An account's open orders, oldest first."""
        return [o for o in self.open.values() if o.account is account and symbol in (None, o.listed.name)]

    # --- the market acts ------------------------------------------------------------------------------------------

    def happen(self, market: Market, happenings: list[Happening], *, is_own_act: bool = False) -> None:
        """Take what a market did, in order. is_own_act: within `place` and the like, which tell balances themselves."""
        book, tape, listener, taker = market.book, market.tape, self.listener, self._taker
        now_ms = 0
        for what in happenings:
            kind = what.kind
            now_ms = what.ns // 1_000_000
            if kind == LEVEL:
                tape.now_ms = now_ms
                book.set(what.side, what.px, what.lots)
                listener.moved(market, what.is_last)
            elif kind == TRADE:
                trade = PublicTrade(what.id, what.px, what.lots, now_ms, what.side < 0)
                tape.add(trade)
                listener.traded(market, trade)
                if taker is not None:
                    self._fill(taker, what, what.id, False, now_ms)
            elif kind == FILL:
                maker = self.open.get(what.id)
                if maker is not None:
                    self._fill(maker, what, what.trade_id, True, now_ms)
            elif kind == CANCELED:
                ended = self.open.get(what.id)
                if ended is not None:
                    self.finish(ended, "EXPIRED_IN_MATCH", "TRADE_PREVENTION", now_ms)
            elif kind == CLEAR:
                book.clear(what.side, what.px)
        if market.stops and happenings:
            self._wake_stops(market, happenings)
        if not is_own_act:
            self.tell_balances(now_ms)

    def _wake_stops(self, market: Market, happenings: list[Happening]) -> None:
        """Let the stops into the market that these trades trigger; what they trade may trigger more."""
        prices = [what.px for what in happenings if what.kind == TRADE]
        if not prices:
            return
        now_ns = happenings[-1].ns
        for order in list(market.stops.values()):
            hit = any(is_triggered(order.type, order.side, order.stop_px, px) for px in prices)
            if not hit or order.id not in market.stops:
                continue
            self._leave_stops(order, market)
            order.working_ms = now_ns // 1_000_000
            if order.px == 0 and not self.reserve(order, market):
                self.finish(order, "EXPIRED", "EXPIRED", order.working_ms)
                continue
            # The trade that triggered it may itself have been a client's: its own fills come first.
            outer, self._taker = self._taker, None
            self.into_market(order, market, now_ns, is_new=False)
            self._taker = outer

    def _leave_stops(self, order: Order, market: Market) -> None:
        if market.stops.pop(order.id, None) is not None:
            order.account.n_stops[order.listed.name] -= 1

    def _fill(self, order: Order, what: Happening, trade_id: int, is_maker: bool, now_ms: int) -> None:
        """One fill: the money moves, the order's sums grow, its report goes out."""
        listed, lots = order.listed, what.lots
        fee, asset, profit = self.settle(order, what, is_maker)
        order.filled += lots
        order.quote += what.px * lots * listed.value_e8
        order.updated_ms = now_ms
        order.status = "FILLED" if order.filled == order.lots else "PARTIALLY_FILLED"
        self.n_executions += 1
        trade = AccountTrade(order, trade_id, what.px, lots, fee, asset, is_maker, now_ms)
        trade.realized = profit
        self.trades.append(trade)
        order.fills.append((what.px, lots, fee, asset, trade_id))
        self.touch(order.account, listed.base)
        self.touch(order.account, listed.quote)
        self.listener.report(order, "TRADE", now_ms, trade)
        if order.left == 0:
            self._close(order)

    def settle(self, order: Order, what: Happening, is_maker: bool) -> tuple[int, str, int]:
        """Move the money of one fill; the commission, its asset, and the profit realised (0 on spot)."""
        listed, account, lots = order.listed, order.account, what.lots
        quote, base = what.px * lots * listed.value_e8, lots * listed.lot_e8
        rate = account.maker if is_maker else account.taker
        if order.side > 0:
            unlock = order.px * lots * listed.value_e8 if order.px else min(order.locked, quote)
            fee = self.bank.settle(account, listed.quote, quote, listed.base, base, rate, unlock)
            asset = listed.base
        else:
            unlock = base
            fee = self.bank.settle(account, listed.base, base, listed.quote, quote, rate, unlock)
            asset = listed.quote
        order.locked -= unlock
        return fee, asset, 0

    # --- ends and money -------------------------------------------------------------------------------------------

    def finish(self, order: Order, status: str, what: str, now_ms: int) -> None:
        """End an order that has something left."""
        order.status = status
        order.updated_ms = now_ms
        self._close(order)
        self.listener.report(order, what, now_ms)

    def _close(self, order: Order) -> None:
        """An order is over: what it still holds is free again, and old finished orders are forgotten."""
        self._release(order)
        account, name = order.account, order.listed.name
        if self.open.pop(order.id, None) is None:
            return
        account.n_open[name] -= 1
        self._finished.append(order)
        if len(self._finished) > ORDERS_KEPT:
            old = self._finished.popleft()
            self.orders.pop(old.id, None)
            for client_id in (old.client_id, old.replaces):
                key = (old.account.number, old.listed.name, client_id)
                if self.by_client_id.get(key) is old:
                    del self.by_client_id[key]

    def reserve(self, order: Order, market: Market) -> bool:
        """Lock what the order may need; False when the account has too little."""
        if order.locked:
            return True
        listed = order.listed
        if order.side < 0:
            asset, amount = listed.base, order.lots * listed.lot_e8
        else:
            asset = listed.quote
            amount = (order.lots * order.px if order.px else market.book.cost(order.lots)) * listed.value_e8
            if order.stop_px and not order.px and order.is_waiting:
                amount = 0
        if amount and not self.bank.reserve(order.account, asset, amount):
            return False
        order.locked = amount
        if amount:
            self.touch(order.account, asset)
        return True

    def _unlock(self, order: Order, amount: int) -> None:
        asset = order.listed.quote if order.side > 0 else order.listed.base
        self.bank.release(order.account, asset, amount)
        order.locked -= amount
        self.touch(order.account, asset)

    def _release(self, order: Order) -> None:
        if order.locked:
            self._unlock(order, order.locked)

    @staticmethod
    def _lots_for(market: Market, new: NewOrder) -> int:
        """Lots that a market order can trade for `quote_e8`, at least one lot's worth."""
        listed, book = market.listed, market.book
        lots = book.lots_for(new.side, new.quote_e8 // listed.value_e8)
        if lots == 0:
            raise filter_failure("NOTIONAL" if (book.asks if new.side > 0 else book.bids) else "MARKET_LOT_SIZE")
        listed.check_market_lots(listed.lots(lots * listed.lot_e8))
        return lots

    def touch(self, account: Account, asset: str) -> None:
        """A balance moves in the act that is going on."""
        assets = self._touched.get(account)
        if assets is None:
            self._touched[account] = [asset]
        elif asset not in assets:
            assets.append(asset)

    def tell_balances(self, now_ms: int) -> None:
        """An act is over: tell the balances that moved in it."""
        if not self._touched:
            return
        touched, self._touched = self._touched, {}
        for account, assets in touched.items():
            account.updated_ms = now_ms
            self.listener.balances(account, assets, now_ms)
