"""Which column of a CSV file means what: from the caller, from the header's names, or from the number of columns.

Called by `csv` only; reads no file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tercel.errors import ConfigError, DataError
from tercel.store.lines import shortened

__all__ = ["FIELDS", "detect_kind", "is_header", "resolve_columns"]

#: Fields of each kind of file; those in the second tuple may be missing.
FIELDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "bars": (("time", "open", "high", "low", "close"), ("volume",)),
    "trades": (("time", "price", "size"), ("side", "is_buyer_maker", "id", "recv")),
    "quotes": (("time", "bid", "ask"), ("bid_size", "ask_size", "recv")),
}

_SYNONYMS = {
    "time": ("time", "date", "datetime", "timestamp", "ts", "open_time", "opentime", "transact_time"),
    "volume": ("volume", "vol", "v"),
    "open": ("open", "o"), "high": ("high", "h"), "low": ("low", "l"), "close": ("close", "c"),
    "price": ("price", "px", "p"),
    "size": ("size", "qty", "quantity", "amount", "volume", "q"),
    "side": ("side", "aggressor"),
    "is_buyer_maker": ("is_buyer_maker", "isbuyermaker", "m"),
    "id": ("id", "trade_id", "tradeid", "agg_trade_id"),
    "recv": ("recv", "local_timestamp", "ts_recv", "receive_time"),
    "bid": ("bid", "bid_price", "best_bid_price", "bidprice", "bid_px"),
    "ask": ("ask", "ask_price", "best_ask_price", "askprice", "ask_px"),
    "bid_size": ("bid_size", "bid_qty", "best_bid_qty", "bidsize", "bid_amount"),
    "ask_size": ("ask_size", "ask_qty", "best_ask_qty", "asksize", "ask_amount"),
}  # fmt: skip

#: Files without a header: (number of columns, kind) to the position of each field. Quote bars of eleven columns hold
#: open, high, low, close and size of the bid, then of the ask; the quote is the one at the close.
_POSITIONS: dict[tuple[int, str], dict[str, int]] = {
    (6, "bars"): {"time": 0, "open": 1, "high": 2, "low": 3, "close": 4, "volume": 5},
    (5, "bars"): {"time": 0, "open": 1, "high": 2, "low": 3, "close": 4},
    (3, "quotes"): {"time": 0, "bid": 1, "ask": 2},
    (5, "quotes"): {"time": 0, "bid": 1, "bid_size": 2, "ask": 3, "ask_size": 4},
    (11, "quotes"): {"time": 0, "bid": 4, "bid_size": 5, "ask": 9, "ask_size": 10},
    (3, "trades"): {"time": 0, "price": 1, "size": 2},
    (4, "trades"): {"time": 0, "price": 1, "size": 2, "side": 3},
}

_KIND_BY_WIDTH = {6: "bars", 11: "quotes", 3: "quotes"}


def is_header(fields: Sequence[str]) -> bool:
    """Whether a first line names columns: none of its fields but perhaps the first begins like a number or date."""
    return not any(field.strip().lstrip("+-.")[:1].isdigit() for field in fields)


def _named(header: Sequence[str]) -> dict[str, int]:
    """Field to position, for every header name that is known."""
    names = [name.strip().strip('"').lower().replace(" ", "_") for name in header]
    found = {}
    for field, synonyms in _SYNONYMS.items():
        for synonym in synonyms:
            if synonym in names:
                found[field] = names.index(synonym)
                break
    return found


def detect_kind(header: Sequence[str] | None, n_columns: int, where: str) -> str:
    """bars, trades or quotes. DataError, naming `where`, when the file does not show it."""
    if header is not None:
        found = set(_named(header))
        for kind, marks in (
            ("bars", {"open", "high", "low", "close"}),
            ("quotes", {"bid", "ask"}),
            ("trades", {"price"}),
        ):
            if marks <= found:
                return kind
    elif n_columns in _KIND_BY_WIDTH:
        return _KIND_BY_WIDTH[n_columns]
    raise DataError(f"{where}: cannot tell bars, trades and quotes apart by {n_columns} columns: say which with kind=")


def resolve_columns(
    kind: str, columns: Mapping[str, str | int] | None, header: Sequence[str] | None, n_columns: int, where: str
) -> dict[str, int]:
    """Field to 0-based position. columns: the caller's own, by header name or position, over what is found here."""
    required, optional = FIELDS[kind]
    found = _named(header) if header is not None else dict(_POSITIONS.get((n_columns, kind), {}))
    for field, place in (columns or {}).items():
        if field not in required + optional:
            raise ConfigError(f"unknown column {field!r} for {kind}: expected {', '.join(required + optional)}")
        if isinstance(place, int):
            found[field] = place
        elif header is None:
            raise ConfigError(f"column {field!r} is given by name, but {where} has no header: give its position")
        elif place not in header:
            raise DataError(f"{where}: no column {place!r}; the header has {shortened(', '.join(header))}")
        else:
            found[field] = list(header).index(place)
    missing = [field for field in required if field not in found]
    if missing:
        raise DataError(
            f"{where}: no column for {', '.join(missing)} among {n_columns} columns: name them with columns="
        )
    beyond = [field for field, place in found.items() if not 0 <= place < n_columns]
    if beyond:
        raise DataError(f"{where}: column {beyond[0]} is position {found[beyond[0]]}, the file has {n_columns} columns")
    return {field: place for field, place in found.items() if field in required + optional}
