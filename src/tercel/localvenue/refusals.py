"""Why the local venue refuses a request: the documented error codes, their texts and HTTP statuses.

Source: Binance spot API, "Error codes" and "Limits" (developers.binance.com/docs/binance-spot-api-docs/errors), and
USD-M futures, "Error code", both read November 2026. Called by everything that can say no.
"""

from __future__ import annotations

from typing import Any

__all__ = ["RefusedError", "filter_failure", "missing", "order_rejected", "usdm_filter_failure"]

UNKNOWN, DISCONNECTED, TOO_MANY_REQUESTS, TIMEOUT, OVERLOADED = -1000, -1001, -1003, -1007, -1008
FILTER_FAILURE, TOO_MANY_ORDERS, UNSUPPORTED, BAD_TIMESTAMP, BAD_SIGNATURE = -1013, -1015, -1020, -1021, -1022
BAD_CHARACTERS, MANDATORY_PARAM, UNREAD_PARAM, TOO_PRECISE = -1100, -1102, -1104, -1111
NOT_REQUIRED, BAD_TIF, BAD_TYPE, BAD_SIDE, BAD_INTERVAL, BAD_SYMBOL, BAD_LISTEN_KEY = (
    -1106, -1115, -1116, -1117, -1120, -1121, -1125,
)  # fmt: skip
BAD_PARAM, BAD_STP = -1130, -1130
NEW_ORDER_REJECTED, CANCEL_REJECTED, NO_SUCH_ORDER, BAD_KEY_FORMAT, REJECTED_KEY = -2010, -2011, -2013, -2014, -2015
REPLACE_PARTIAL, REPLACE_FAILED, AMEND_REJECTED = -2021, -2022, -2038
MARGIN_NOT_ENOUGH, REDUCE_ONLY_REJECTED, FUTURES_WOULD_TAKE = -2019, -2022, -5022

_STATUS = {
    TOO_MANY_REQUESTS: 429, TOO_MANY_ORDERS: 429, TIMEOUT: 504, OVERLOADED: 503, BAD_KEY_FORMAT: 401,
    REJECTED_KEY: 401, REPLACE_PARTIAL: 409,
}  # fmt: skip

_USDM_FILTERS = {
    ("PRICE_FILTER", "step"): (-4014, "Price not increased by tick size."),
    ("PRICE_FILTER", "low"): (-4013, "Price less than min price."),
    ("PRICE_FILTER", "high"): (-4002, "Price greater than max price."),
    ("LOT_SIZE", "step"): (-4023, "Quantity not increased by step size."),
    ("LOT_SIZE", "low"): (-4003, "Quantity less than or equal to zero."),
    ("LOT_SIZE", "high"): (-4005, "Quantity greater than max quantity."),
    ("MARKET_LOT_SIZE", "high"): (-4005, "Quantity greater than max quantity."),
    ("PERCENT_PRICE_BY_SIDE", "high"): (-4016, "Limit price is too high: above the mark price's multiple."),
    ("PERCENT_PRICE_BY_SIDE", "low"): (-4024, "Limit price is too low: below the mark price's share."),
    ("NOTIONAL", "low"): (
        -4164,
        "Order's notional must be no smaller than the minimum (unless you choose reduce only).",
    ),
    ("MAX_NUM_ORDERS", ""): (-2025, "Reach max open order limit."),
}


class RefusedError(Exception):
    """One request's refusal, on its way to the answer: code, message, HTTP status, data of the answer, seconds to wait.

    Never leaves the room: the request handlers turn it into bytes.
    """

    def __init__(
        self, code: int, message: str, *, status: int | None = None, data: Any = None, retry_after_s: int = 0
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status if status is not None else _STATUS.get(code, 400)
        self.data = data
        self.retry_after_s = retry_after_s

    def body(self) -> dict[str, Any]:
        """The answer's body."""
        body: dict[str, Any] = {"code": self.code, "msg": self.message}
        if self.data is not None:
            body["data"] = self.data
        return body


def missing(name: str) -> RefusedError:
    """A mandatory parameter is not there."""
    return RefusedError(MANDATORY_PARAM, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")


def filter_failure(name: str, cause: str = "") -> RefusedError:
    """An order of spot fails a filter of its symbol. cause: "step", "low" or "high", which spot does not tell."""
    return RefusedError(FILTER_FAILURE, f"Filter failure: {name}")


def usdm_filter_failure(name: str, cause: str = "") -> RefusedError:
    """An order of USD-M fails a filter of its symbol: each cause has a code of its own."""
    return RefusedError(*_USDM_FILTERS[name, cause])


def order_rejected(message: str) -> RefusedError:
    """The matching side refuses a new order."""
    return RefusedError(NEW_ORDER_REJECTED, message)
