"""Signals: an opinion about an instrument, carried as an EVENT row of kind SIGNAL.

A signal's value and confidence are float64, stored bit for bit in the integer fields of the row, so that a journal
holds exactly what the strategy saw.
"""

from __future__ import annotations

import struct
from typing import Any

import msgspec
import numpy as np

from tercel.model.events import EVENT, EXCH, LOCAL, SIGNAL

__all__ = ["Signal", "bits_to_float", "float_to_bits"]


def float_to_bits(value: float) -> int:
    """The 64 bits of a float64 as a signed integer."""
    return int(struct.unpack("<q", struct.pack("<d", value))[0])


def bits_to_float(bits: int) -> float:
    """The float64 whose bits a signed integer holds."""
    return float(struct.unpack("<d", struct.pack("<q", bits))[0])


class Signal(msgspec.Struct, frozen=True, kw_only=True):
    """An opinion: `value` in the sender's own unit, `confidence` in [0, 1], about `instrument` at `ts_ns`.

    deadline_ns: how long after `ts_ns` what it causes may still leave; 0 is 25 ms, negative is for ever.
    """

    instrument: int
    value: float
    confidence: float
    ts_ns: int
    id: int = 0
    deadline_ns: int = 0

    def row(self, ts_recv_ns: int | None = None) -> Any:
        """This signal as one EVENT record, received at `ts_recv_ns`, at once where none is given."""
        row = np.zeros((), EVENT)
        row["kind"] = SIGNAL
        row["flags"] = EXCH | LOCAL
        row["instrument"] = self.instrument
        row["ts_exch"] = self.ts_ns
        row["ts_recv"] = self.ts_ns if ts_recv_ns is None else ts_recv_ns
        row["qty"] = self.deadline_ns
        row["id"] = self.id
        row["arg0"] = float_to_bits(self.value)
        row["arg1"] = float_to_bits(self.confidence)
        return row[()]
