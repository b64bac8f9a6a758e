"""Requests that stand ready but for their numbers: plain limit orders and cancels, what most requests are.

Everything that does not change from order to order is worked out when the venue's rules are known: the rules as ranges
of ticks and lots, the text for each side and time in force. What is not plain, or breaks a rule, goes the long way
through `sending`, which knows the reason. The records are written here and read by the kernels of `writing`.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_CEILING, ROUND_FLOOR
from types import SimpleNamespace

import msgspec
import numpy as np

from tercel.jit import address_of
from tercel.model.commands import FOK, GTC, GTX, IOC, LIMIT
from tercel.model.events import BUY, SELL
from tercel.model.instrument import Instrument
from tercel.venues.binance import encoding
from tercel.venues.binance.encoding import Grid, Params, scale
from tercel.venues.binance.exchange_info import SymbolRules
from tercel.venues.binance.writing import FORM, ID, N_TIFS, NUMBER, PX, QTY, TEXT, TIME
from tercel.venues.contract import client_id

__all__ = ["PreparedRequests"]

_TIFS = (GTC, IOC, FOK, GTX)
_NO_LIMIT = (1 << 62) - 1
_TEXTS_EACH = 2 * len(_TIFS) + 1
#: Marks in the long way's own request, where a number is to stand.
_NUMBER, _TIME, _QTY, _PX, _ID = -909_090_909, -707_070_707, "<qty>", "<px>", "<id>"
_PLACES = {f'"id":{_NUMBER}': NUMBER, _QTY: QTY, _PX: PX, _ID: ID, str(_TIME): TIME}


class PreparedRequests:
    """Requests on the WebSocket API, for a session that is logged on. forms: (n,) FORM, by the engine's instrument
    number; texts: (m,) TEXT. `learn` fills both in place, so their addresses last.
    """

    def __init__(self, instruments: Mapping[int, Instrument]) -> None:
        self.forms = np.zeros(max(instruments, default=-1) + 1, FORM)
        self.texts = np.zeros(max(1, _TEXTS_EACH * len(instruments)), TEXT)
        self._instruments = dict(instruments)
        self._memory: list[np.ndarray] = []

    def learn(self, rules: Mapping[int, SymbolRules], is_spot: bool, recv_window_ms: int) -> None:
        """Take the venue's rules of the instruments that may be traded; what is not among them goes the long way."""
        self.forms["is_known"] = 0
        self._memory.clear()
        for k, (i, instrument) in enumerate(self._instruments.items()):
            if i not in rules:
                continue
            form = self.forms[i]
            _write_rules(form, instrument, rules[i])
            first = k * _TEXTS_EACH
            grid = Grid(instrument)
            window: Params = {"recvWindow": recv_window_ms, "timestamp": _TIME}
            for side, n_before in ((BUY, 0), (SELL, N_TIFS)):
                for at, tif in enumerate(_TIFS):
                    i_text = first + at + (len(_TIFS) if n_before else 0)
                    self._write_text(i_text, "order.place", _new_order(instrument, grid, side, tif, is_spot) | window)
                    form["texts"][n_before + tif] = i_text if rules[i].is_trading else -1
            cancel = encoding.cancel(0, instrument.symbol)
            cancel["origClientOrderId"] = f"{client_id(0)[:-16]}{_ID}"
            form["cancel"] = first + _TEXTS_EACH - 1
            self._write_text(int(form["cancel"]), "order.cancel", cancel | window)
            form["is_known"] = 1

    def _write_text(self, i_text: int, method: str, params: Params) -> None:
        """The request as msgspec writes it, cut at its marks."""
        rest = msgspec.json.encode({"id": _NUMBER, "method": method, "params": params}).decode()
        found = sorted((rest.index(mark), mark) for mark in _PLACES if mark in rest)
        parts: list[bytes] = []
        text, places = self.texts[i_text], [_PLACES[mark] for _, mark in found]
        for _, mark in found:
            before, rest = rest.split(mark, 1)
            parts.append((before + '"id":' if mark.startswith('"id"') else before).encode())
        parts.append(rest.encode())
        memory = np.frombuffer(b"".join(parts), np.uint8).copy()
        self._memory.append(memory)
        text["at"], text["n_parts"] = address_of(memory), len(parts)
        text["n"] = text["place"] = 0
        text["n"][: len(parts)] = [len(part) for part in parts]
        text["place"][: len(places)] = places


def _write_rules(form: np.ndarray, instrument: Instrument, rules: SymbolRules) -> None:
    px_num, px_places = scale(instrument.tick_size)
    qty_num, qty_places = scale(instrument.lot_size)
    form["px_num"], form["px_places"], form["qty_num"], form["qty_places"] = px_num, px_places, qty_num, qty_places
    # Beyond the greatest number that fits after scaling, Python's integers take over.
    form["px_min"], form["px_max"] = max(1, rules.px_min), min(rules.px_max or _NO_LIMIT, _NO_LIMIT // px_num)
    form["qty_min"], form["qty_max"] = max(1, rules.qty_min), min(rules.qty_max or _NO_LIMIT, _NO_LIMIT // qty_num)
    unit = instrument.tick_size * instrument.lot_size * instrument.contract_value
    least = (rules.notional_min / unit).to_integral_value(ROUND_CEILING)
    most = (rules.notional_max / unit).to_integral_value(ROUND_FLOOR) if rules.notional_max else _NO_LIMIT
    form["notional_min"], form["notional_max"] = min(int(least), _NO_LIMIT), min(int(most), _NO_LIMIT)
    form["orders_max"] = rules.orders_max or _NO_LIMIT
    form["texts"] = -1


def _new_order(instrument: Instrument, grid: Grid, side: int, tif: int, is_spot: bool) -> Params:
    """The long way's own parameters of an order, its numbers replaced by marks."""
    plain = SimpleNamespace(type=LIMIT, tif=tif, side=side, px=1, qty=1, flags=0, id=0, arg=0, expire_ns=0)
    params = encoding.new_order(plain, instrument.symbol, grid, is_spot, 0)
    assert isinstance(params, dict)
    return params | {"quantity": _QTY, "price": _PX, "newClientOrderId": f"{client_id(0)[:-16]}{_ID}"}
