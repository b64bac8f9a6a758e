"""Whether EVENT rows given as an array may be run through: scheduled by both clocks, of instruments there are, sound.

Tapes need no such look: importers check what they write, and the mapped cache schedules it. Called by `sim.backtest`.
"""

from __future__ import annotations

import numpy as np

from tercel.engine.rows import check_clock, check_values, in_pieces
from tercel.errors import DataError
from tercel.model.events import EXCH, FUNDING, LEVEL, LOCAL

__all__ = ["check_rows"]

_HINT = "put the rows through tercel.store.schedule.schedule first"


def check_rows(rows: np.ndarray, n_instruments: int) -> None:
    """Raise DataError naming the first row that is out of order, of no instrument, or no sound price and size.

    rows: (n,) EVENT. The venue sees them by ts_exch, the strategy by ts_recv.
    """
    last_ns = {EXCH: int(np.iinfo(np.int64).min), LOCAL: int(np.iinfo(np.int64).min)}
    for start, part in in_pieces(rows):
        for flag, clock, who in ((EXCH, "ts_exch", "the venue"), (LOCAL, "ts_recv", "the strategy")):
            last_ns[flag] = check_clock(part, start, flag, clock, last_ns[flag], f"{who} sees it so: {_HINT}")
        check_values(part, start)
        kind, instrument = part["kind"], part["instrument"]
        nowhere = (kind >= LEVEL) & (kind <= FUNDING) & ((instrument < 0) | (instrument >= n_instruments))
        if nowhere.any():
            i = int(np.argmax(nowhere))
            raise DataError(
                f"row {start + i}: is of no instrument, instrument is {int(instrument[i])} of {n_instruments}; name "
                f"all instruments of the rows"
            )
