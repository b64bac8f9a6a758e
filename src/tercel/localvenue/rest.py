"""REST: one HTTP request to one answer. Called by `venue.LocalVenue.http`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote

import msgspec

from tercel.localvenue.accounts import ApiKey
from tercel.localvenue.calls import Call
from tercel.localvenue.refusals import REJECTED_KEY, UNKNOWN, RefusedError
from tercel.localvenue.routes import KEY, PUBLIC, TRADE, Route
from tercel.localvenue.signing import check_signature, check_time, known_key

if TYPE_CHECKING:
    from tercel.localvenue.venue import LocalVenue

__all__ = ["Answer", "answer_http"]

Answer = tuple[int, dict[str, str], bytes]
_SIGNATURE = re.compile(r"(?:^|&)signature=([^&]*)")
_encode = msgspec.json.Encoder().encode


def answer_http(
    venue: LocalVenue, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes, now_ns: int,
    caller: str,
) -> Answer:  # fmt: skip
    """Answer a request. query: as it came, percent-encoded. headers: names in lower case. caller: whom weight counts
    against.
    """
    if venue.faults.maintenance:
        return 503, {"content-type": "text/html"}, b"<html><body>Service unavailable: maintenance</body></html>"
    route = venue.product.paths.get((method, path))
    now_ms = now_ns // 1_000_000
    key: ApiKey | None = None
    try:
        if route is None:
            raise RefusedError(UNKNOWN, f"No such endpoint: {method} {path}.", status=404)
        form = body.decode("utf-8", "replace")
        params = dict(parse_qsl(query, keep_blank_values=True))
        params.update(parse_qsl(form, keep_blank_values=True))
        venue.limits.use_weight(caller, route.weigh(params), now_ms)
        key = _who(venue, route, params, query, form, headers, now_ms)
        result: Any = route.run(Call(venue, params, key, now_ns, None))
        status, wait_s, raw = 200, 0, _encode(result)
    except RefusedError as refused:
        status, wait_s, raw = refused.status, refused.retry_after_s, _encode(refused.body())
    answer = {"content-type": "application/json;charset=UTF-8"}
    weight = str(venue.limits.used_weight(caller, now_ms))
    answer["x-mbx-used-weight"] = answer["x-mbx-used-weight-1m"] = weight
    if wait_s:
        answer["retry-after"] = str(wait_s)
    if key is not None and route is not None and route.security == TRADE:
        ten, day = venue.limits.order_counts(key.account, now_ms)
        answer["x-mbx-order-count-10s"], answer["x-mbx-order-count-1d"] = str(ten), str(day)
    return status, answer, raw


def _who(
    venue: LocalVenue, route: Route, params: Mapping[str, Any], query: str, form: str, headers: Mapping[str, str],
    now_ms: int,
) -> ApiKey | None:  # fmt: skip
    """Who asks; RefusedError when the key, the time or the signature is not good enough for the route."""
    if route.security == PUBLIC:
        return None
    key = known_key(venue.bank, headers.get("x-mbx-apikey"))
    if route.security == KEY:
        return key
    check_time(params, now_ms)
    found = _SIGNATURE.search(query) or _SIGNATURE.search(form)
    # What was signed is the query and the body as they came, one after the other, without the signature itself.
    payload = _SIGNATURE.sub("", query) + _SIGNATURE.sub("", form)
    check_signature(key, payload.lstrip("&").encode(), unquote(found.group(1)) if found else None)
    if route.security == TRADE and not key.can_trade:
        raise RefusedError(REJECTED_KEY, "Invalid API-key, IP, or permissions for action.")
    return key
