"""What Binance's error codes mean here: each becomes a reason code, or "nobody knows what happened".

From the pages "Error Codes" of spot and of USD-M futures on developers.binance.com (November 2026). Called by `orders`
and by docs/generate.py, which draws the table of docs/venues.md from `CODES` and `TEXTS`.
"""

from __future__ import annotations

from tercel.model import reasons as r

__all__ = [
    "CLOCK_CODE",
    "CODES",
    "KEY_CODES",
    "NO_SUCH_ORDER",
    "REFUSES_KEYS",
    "TEXTS",
    "UNKNOWN_OUTCOME",
    "reason_of",
    "words_of",
]

#: Codes that mean the venue cannot say whether the request was carried out.
UNKNOWN_OUTCOME = frozenset({-1000, -1001, -1006, -1007})
#: The request's time was outside its window: the clock offset is measured again.
CLOCK_CODE = -1021
NO_SUCH_ORDER = -2013
#: The key, its secret or its permissions are refused: no repetition helps.
KEY_CODES = frozenset({-1002, -1022, -1099, -2014, -2015})
REFUSES_KEYS = "refuses the API key, its secret or its permissions"

#: Error code -> reason.
CODES: dict[int, int] = {
    -1002: r.VENUE_UNAUTHORIZED, -1003: r.VENUE_RATE_LIMIT, -1008: r.VENUE_BUSY, -1010: r.VENUE_REJECTED,
    -1013: r.VENUE_REJECTED, -1014: r.VENUE_UNSUPPORTED, -1015: r.VENUE_RATE_LIMIT, -1016: r.VENUE_BUSY,
    -1020: r.VENUE_UNSUPPORTED, -1021: r.VENUE_TIMESTAMP, -1022: r.VENUE_UNAUTHORIZED, -1099: r.VENUE_UNAUTHORIZED,
    -1100: r.VENUE_MALFORMED, -1101: r.VENUE_MALFORMED, -1102: r.VENUE_MALFORMED, -1103: r.VENUE_MALFORMED,
    -1104: r.VENUE_MALFORMED, -1105: r.VENUE_MALFORMED, -1106: r.VENUE_MALFORMED, -1108: r.VENUE_MALFORMED,
    -1111: r.VENUE_SIZE, -1112: r.NO_LIQUIDITY, -1114: r.VENUE_MALFORMED, -1115: r.VENUE_UNSUPPORTED,
    -1116: r.VENUE_UNSUPPORTED, -1117: r.VENUE_MALFORMED, -1121: r.VENUE_CLOSED, -1128: r.VENUE_MALFORMED,
    -1130: r.VENUE_MALFORMED, -1135: r.VENUE_MALFORMED, -2010: r.VENUE_REJECTED, -2011: r.VENUE_UNKNOWN_ORDER,
    -2013: r.VENUE_UNKNOWN_ORDER, -2014: r.VENUE_UNAUTHORIZED, -2015: r.VENUE_UNAUTHORIZED, -2018: r.VENUE_BALANCE,
    -2019: r.VENUE_BALANCE, -2020: r.NO_LIQUIDITY, -2021: r.WOULD_TRIGGER, -2022: r.VENUE_REDUCE_ONLY,
    -2024: r.VENUE_POSITION, -2025: r.VENUE_TOO_MANY_ORDERS, -2026: r.VENUE_UNKNOWN_ORDER, -2027: r.VENUE_POSITION,
    -2028: r.VENUE_BALANCE, -4001: r.VENUE_PRICE, -4002: r.VENUE_PRICE, -4003: r.VENUE_SIZE, -4004: r.VENUE_SIZE,
    -4005: r.VENUE_SIZE, -4013: r.VENUE_PRICE, -4014: r.VENUE_PRICE, -4015: r.VENUE_MALFORMED,
    -4016: r.VENUE_PRICE_BAND,
    -4023: r.VENUE_SIZE, -4024: r.VENUE_PRICE_BAND, -4061: r.VENUE_UNSUPPORTED, -4116: r.VENUE_DUPLICATE,
    -4118: r.VENUE_BALANCE, -4120: r.VENUE_UNSUPPORTED, -4131: r.VENUE_PRICE_BAND, -4140: r.VENUE_CLOSED,
    -4164: r.VENUE_NOTIONAL, -4192: r.VENUE_CLOSED, -5021: r.FOK_UNFILLABLE, -5022: r.WOULD_TAKE,
    -5024: r.VENUE_RATE_LIMIT, -5025: r.VENUE_UNSUPPORTED, -5026: r.VENUE_RATE_LIMIT, -5027: r.VENUE_REJECTED,
    -5028: r.VENUE_TIMESTAMP,
}  # fmt: skip

#: Words in the message that say more than its code, in order of trial.
TEXTS: tuple[tuple[str, int], ...] = (
    ("Unknown order", r.VENUE_UNKNOWN_ORDER),
    ("cancel restrictions", r.FILLED_MEANWHILE),
    ("Duplicate order", r.VENUE_DUPLICATE),
    ("insufficient balance", r.VENUE_BALANCE),
    ("Market is closed", r.VENUE_CLOSED),
    ("immediately match and take", r.WOULD_TAKE),
    ("trigger immediately", r.WOULD_TRIGGER),
    ("not supported for this symbol", r.VENUE_UNSUPPORTED),
    ("Unsupported order combination", r.VENUE_UNSUPPORTED),
    ("zero or less", r.VENUE_NOTIONAL),
    ("not permitted for this account", r.VENUE_UNAUTHORIZED),
    ("restricted for this account", r.VENUE_UNAUTHORIZED),
    ("disabled on this account", r.VENUE_UNAUTHORIZED),
    ("may not place or cancel orders", r.VENUE_UNAUTHORIZED),
    ("trading is not enabled", r.VENUE_UNAUTHORIZED),
    ("liquidity", r.NO_LIQUIDITY),
    ("PERCENT_PRICE", r.VENUE_PRICE_BAND),
    ("PRICE_FILTER", r.VENUE_PRICE),
    ("LOT_SIZE", r.VENUE_SIZE),
    ("NOTIONAL", r.VENUE_NOTIONAL),
    ("MAX_POSITION", r.VENUE_POSITION),
    ("NUM_", r.VENUE_TOO_MANY_ORDERS),
    ("MAX_ORDERS", r.VENUE_TOO_MANY_ORDERS),
    ("ICEBERG_PARTS", r.VENUE_SIZE),
    ("TRAILING_DELTA", r.VENUE_UNSUPPORTED),
)
#: Codes whose message is looked at.
_TALKATIVE = frozenset({-1010, -1013, -2010, -2011})


def reason_of(code: int, text: str, is_spot: bool) -> int:
    """The reason code of a refusal with the venue's code and message. Never OK."""
    if code in _TALKATIVE:
        for words, reason in TEXTS:
            if words in text:
                return reason
    if is_spot and code in (-2021, -2022):
        # On spot these two are cancelReplace's, which says the reason further inside.
        return r.VENUE_REJECTED
    return CODES.get(code, r.VENUE_REJECTED)


def words_of(status: int, code: int) -> str:
    """What a refused question says to people: status, code, and what the code means."""
    if code in CODES:
        return f"status {status}, code {code}: {r.REASONS[CODES[code]][1]}"
    if status == 503:
        return "status 503: the venue is in maintenance or cannot keep up"
    return f"status {status}" + (f", code {code}" if code else "")
