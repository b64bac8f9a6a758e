"""A small connection that speaks JSON rows, for tests of the live driver: what a message says becomes a row, as it is.

Two channels, "market" and "orders". A test plays the venue: it reads the commands from the frames and writes answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from tercel.errors import DataError
from tercel.model.account import AccountReport
from tercel.model.commands import AMEND, CANCEL, NEW
from tercel.model.events import AMEND_REJECT, CANCEL_REJECT, CONNECT, DISCONNECT, LAST, LEVEL, LOCAL, REJECT
from tercel.model.instrument import Instrument
from tercel.model.reasons import VENUE_DOWN
from tercel.venues.contract import Connect, Disconnect, Send, VenueConnection

_REJECTS = {NEW: REJECT, AMEND: AMEND_REJECT, CANCEL: CANCEL_REJECT}


class PlainConnection(VenueConnection):
    """is_refusing: answer every command with a reject at once."""

    def __init__(self, name: str, instruments: Mapping[int, Instrument]) -> None:
        super().__init__(name, instruments)
        self.open_channels: set[str] = set()
        self.asked: list[tuple[tuple[int, ...], tuple[int, ...], int]] = []
        self.is_refusing = False

    def open(self, now_ns: int) -> None:
        self.effects += [Connect("market", "plain://market"), Connect("orders", "plain://orders")]

    def close(self, now_ns: int) -> None:
        self.is_live = False
        self.effects += [Disconnect(channel, "the session ends") for channel in sorted(self.open_channels)]

    def on_connected(self, channel: str, now_ns: int) -> None:
        self.open_channels.add(channel)
        if channel == "orders":
            for i in self.instruments:
                self.rows.add(CONNECT, i, now_ns, now_ns, flags=LOCAL)
        self.is_live = len(self.open_channels) == 2

    def on_disconnected(self, channel: str, now_ns: int, why: str) -> None:
        was_open = channel in self.open_channels
        self.open_channels.discard(channel)
        self.is_live = False
        if channel == "orders" and was_open:
            for i in self.instruments:
                self.rows.add(DISCONNECT, i, now_ns, now_ns, flags=LOCAL)

    def on_message(self, channel: str, data: bytes | bytearray | memoryview, now_ns: int) -> None:
        try:
            found = msgspec.json.decode(data, type=list[dict[str, int]])
        except msgspec.MsgspecError as error:
            raise DataError(f"{channel}: {error}") from None
        for row in found:
            kind, instrument = row.pop("kind"), row.pop("instrument", 0)
            self.rows.add(kind, instrument, row.pop("ts", now_ns), now_ns, flags=LOCAL | LAST, **row)

    def on_response(self, request_id: int, status: int, headers: Mapping[str, str], body: bytes, now_ns: int) -> None:
        raise AssertionError("nothing was asked")

    def on_failure(self, request_id: int, why: str, was_sent: bool, now_ns: int) -> None:
        raise AssertionError("nothing was asked")

    def on_wake(self, now_ns: int) -> None:
        pass

    def send_commands(self, commands: np.ndarray, now_ns: int) -> None:
        for command in commands:
            kind, id, side = int(command["kind"]), int(command["id"]), int(command["side"])
            if "orders" not in self.open_channels or self.is_refusing:
                instrument, qty = int(command["instrument"]), int(command["qty"])
                self.rows.add(
                    _REJECTS[kind], instrument, now_ns, now_ns, side=side, qty=qty, id=id, reason=VENUE_DOWN,
                    flags=LOCAL,
                )  # fmt: skip
            else:
                plain = {name: int(command[name]) for name in ("kind", "id", "side", "px", "qty", "instrument")}
                self.effects.append(Send("orders", msgspec.json.encode(plain)))

    def ask_report(self, instruments: Sequence[int], order_ids: Sequence[int], since_ns: int, now_ns: int) -> None:
        self.asked.append((tuple(instruments), tuple(order_ids), since_ns))

    def answer_report(self, report: AccountReport) -> None:
        """The venue has answered; the driver sees it at its next input."""
        self.reports.append(report)

    # --- for tests --------------------------------------------------------------------------------------------------

    def take_sent(self) -> list[dict[str, int]]:
        """The commands that left, and forget them."""
        sent = [msgspec.json.decode(e.data) for e in self.effects if isinstance(e, Send)]
        self.effects.clear()
        return sent


def message(*rows: dict[str, int]) -> bytes:
    """A message of the plain venue."""
    return msgspec.json.encode(rows)


def top_of_book(bid: int, ask: int, lots: int = 10, instrument: int = 0) -> bytes:
    """A message that puts one level on each side."""
    return message(
        {"kind": LEVEL, "side": 1, "px": bid, "qty": lots, "instrument": instrument},
        {"kind": LEVEL, "side": -1, "px": ask, "qty": lots, "instrument": instrument},
    )
