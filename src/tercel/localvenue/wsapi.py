"""The WebSocket API: requests and sessions, and the subscription requests of stream connections.

Called by `venue.LocalVenue.receive`, one message at a time; answers go to the venue's outbox.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from tercel.localvenue.accounts import ApiKey
from tercel.localvenue.calls import Call, LostAnswerError
from tercel.localvenue.refusals import BAD_PARAM, BAD_SIGNATURE, REJECTED_KEY, UNKNOWN, RefusedError, missing
from tercel.localvenue.routes import KEY, PUBLIC, TRADE
from tercel.localvenue.signing import check_signature, check_time, known_key, sorted_payload
from tercel.localvenue.streams import STREAMS_MAX

if TYPE_CHECKING:
    from tercel.localvenue.venue import LocalVenue

__all__ = ["Session", "answer_message", "answer_subscription"]

_encode = msgspec.json.Encoder().encode
_INVALID_JSON = -1135


class _Exact(str):
    """A number with a point as it was written, for signatures are over the text."""


class _Request(msgspec.Struct):
    method: str
    id: int | str | None = None
    params: dict[str, Any] | None = None


class _Subscription(msgspec.Struct):
    method: str
    id: int | str | None = None
    params: list[Any] | None = None


_requests = msgspec.json.Decoder(_Request, float_hook=_Exact)
_subscriptions = msgspec.json.Decoder(_Subscription)


class Session:
    """A connection of the WebSocket API. key: who logged on, None for nobody."""

    __slots__ = ("authorized_ms", "caller", "connected_ms", "key", "says_limits")

    def __init__(self, caller: str, connected_ms: int, says_limits: bool) -> None:
        self.caller = caller
        self.connected_ms = connected_ms
        self.says_limits = says_limits
        self.key: ApiKey | None = None
        self.authorized_ms = 0


def answer_message(
    venue: LocalVenue, conn: Hashable, session: Session, message: bytes | memoryview, now_ns: int
) -> None:
    """Answer one request."""
    now_ms = now_ns // 1_000_000
    request_id: Any = None
    key: ApiKey | None = None
    try:
        try:
            request = _requests.decode(message)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise RefusedError(_INVALID_JSON, "JSON Request is invalid.") from None
        request_id = request.id
        params: Mapping[str, Any] = request.params or {}
        if venue.faults.maintenance:
            raise RefusedError(UNKNOWN, "Service unavailable: maintenance.", status=503)
        route = venue.product.methods.get(request.method)
        own = _OWN.get(request.method)
        if route is not None:
            venue.limits.use_weight(session.caller, route.weigh(params), now_ms)
            if route.security != PUBLIC:
                key = _who(venue, session, route.security, params, now_ms)
            result = route.run(Call(venue, params, key, now_ns, conn))
        elif own is not None:
            venue.limits.use_weight(session.caller, 2, now_ms)
            result = own(venue, conn, session, params, now_ms)
        else:
            raise RefusedError(-1100, f"Unknown method '{request.method}'.")
        answer: dict[str, Any] = {"id": request_id, "status": 200, "result": result}
    except LostAnswerError:
        return
    except RefusedError as refused:
        if refused.retry_after_s:
            refused.data = {"serverTime": now_ms, "retryAfter": now_ms + 1000 * refused.retry_after_s}
        answer = {"id": request_id, "status": refused.status, "error": refused.body()}
    if session.says_limits:
        used = venue.limits.usage_json(session.caller, key.account if key else None, now_ms)
        answer["rateLimits"] = msgspec.Raw(used)
    venue.send(conn, _encode(answer))


def _who(venue: LocalVenue, session: Session, security: int, params: Mapping[str, Any], now_ms: int) -> ApiKey:
    """Who asks: by the request's own key and signature, else by the session's."""
    stated = params.get("apiKey")
    if stated is None and session.key is not None:
        key = session.key
        if security != KEY:
            check_time(params, now_ms)
    else:
        key = known_key(venue.bank, None if stated is None else str(stated))
        if security != KEY:
            _check_signed(key, params, now_ms)
    if security == TRADE and not key.can_trade:
        raise RefusedError(REJECTED_KEY, "Invalid API-key, IP, or permissions for action.")
    return key


def _check_signed(key: ApiKey, params: Mapping[str, Any], now_ms: int) -> None:
    """Refuse a request that is not in time, or not signed by the key."""
    check_time(params, now_ms)
    signature = params.get("signature")
    check_signature(key, sorted_payload(params), None if signature is None else str(signature))


def _status(venue: LocalVenue, session: Session, now_ms: int) -> dict[str, Any]:
    return {
        "apiKey": session.key.key if session.key else None,
        "authorizedSince": session.authorized_ms if session.key else None, "connectedSince": session.connected_ms,
        "returnRateLimits": session.says_limits, "serverTime": now_ms, "userDataStream": False,
    }  # fmt: skip


def _logon(venue: LocalVenue, conn: Hashable, session: Session, params: Mapping[str, Any], now_ms: int) -> Any:
    key = known_key(venue.bank, None if params.get("apiKey") is None else str(params["apiKey"]))
    if not key.public:
        check_time(params, now_ms)
        raise RefusedError(BAD_SIGNATURE, "session.logon is only possible with Ed25519 keys.")
    _check_signed(key, params, now_ms)
    session.key, session.authorized_ms = key, now_ms
    return _status(venue, session, now_ms)


def _session_status(venue: LocalVenue, conn: Hashable, session: Session, params: Mapping[str, Any], now_ms: int) -> Any:
    return _status(venue, session, now_ms)


def _logout(venue: LocalVenue, conn: Hashable, session: Session, params: Mapping[str, Any], now_ms: int) -> Any:
    session.key = None
    return _status(venue, session, now_ms)


def _subscribe(venue: LocalVenue, conn: Hashable, session: Session, params: Mapping[str, Any], now_ms: int) -> Any:
    if session.key is None:
        raise RefusedError(REJECTED_KEY, "The connection is not authenticated: session.logon first.")
    return {"subscriptionId": venue.users.subscribe(conn, session.key.account)}


def _subscribe_signed(
    venue: LocalVenue, conn: Hashable, session: Session, params: Mapping[str, Any], now_ms: int
) -> Any:
    if params.get("apiKey") is None:
        raise missing("apiKey")
    key = known_key(venue.bank, str(params["apiKey"]))
    _check_signed(key, params, now_ms)
    return {"subscriptionId": venue.users.subscribe(conn, key.account)}


def _unsubscribe(venue: LocalVenue, conn: Hashable, session: Session, params: Mapping[str, Any], now_ms: int) -> Any:
    number = params.get("subscriptionId")
    if number is not None and not isinstance(number, int):
        raise RefusedError(BAD_PARAM, "Data sent for parameter 'subscriptionId' is not valid.")
    venue.users.unsubscribe(conn, number)
    return {}


def _subscriptions_of(
    venue: LocalVenue, conn: Hashable, session: Session, params: Mapping[str, Any], now_ms: int
) -> Any:
    return [{"subscriptionId": number} for number in venue.users.subscriptions(conn)]


#: Methods that speak of the connection itself.
_OWN: dict[str, Callable[[LocalVenue, Hashable, Session, Mapping[str, Any], int], Any]] = {
    "session.logon": _logon,
    "session.status": _session_status,
    "session.logout": _logout,
    "session.subscriptions": _subscriptions_of,
    "userDataStream.subscribe": _subscribe,
    "userDataStream.subscribe.signature": _subscribe_signed,
    "userDataStream.unsubscribe": _unsubscribe,
}


def answer_subscription(venue: LocalVenue, conn: Hashable, data: bytes | memoryview, now_ns: int) -> None:
    """Answer a request on a stream connection: (UN)SUBSCRIBE, LIST_SUBSCRIPTIONS, SET_PROPERTY, GET_PROPERTY."""
    streams = venue.streams
    try:
        request = _subscriptions.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        venue.send(conn, _encode({"error": {"code": 3, "msg": f"Invalid JSON: {error}"}}))
        return
    names = request.params or []
    result: Any = None
    error_text = ""
    if request.method in ("SUBSCRIBE", "UNSUBSCRIBE"):
        if not all(isinstance(name, str) for name in names):
            error_text = "Invalid request: params must be an array of stream names"
        elif request.method == "UNSUBSCRIBE":
            streams.unsubscribe(conn, names)
        elif streams.count(conn, names) > STREAMS_MAX:
            error_text = f"Invalid request: at most {STREAMS_MAX} streams per connection"
        else:
            streams.subscribe(conn, names, now_ns // 1_000_000)
    elif request.method == "LIST_SUBSCRIPTIONS":
        result = streams.names(conn)
    elif request.method == "SET_PROPERTY" and len(names) == 2 and names[0] == "combined" and isinstance(names[1], bool):
        streams.set_combined(conn, names[1])
    elif request.method == "GET_PROPERTY" and names == ["combined"]:
        result = streams.is_combined(conn)
    else:
        error_text = f"Invalid request: unknown method or parameters of {request.method}"
    if error_text:
        venue.send(conn, _encode({"error": {"code": 2, "msg": error_text}, "id": request.id}))
    else:
        venue.send(conn, _encode({"result": result, "id": request.id}))
