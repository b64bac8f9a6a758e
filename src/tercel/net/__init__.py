"""Sockets: WebSocket and REST clients and servers, limits, retries, sessions. Knows no venue and no engine.

A session uses the bare parts (`websocket`, `rest`): its venue connections decide themselves when to come back and what
to send again, so that a simulation can decide it, too. `EnhancedClient`, `ReconnectingClient` and what goes with them
are for edges of a user's own: a feed that an actor reads, a service that is asked. All public names can be imported
from here; each is loaded when first used. Called by `live`, `localvenue`, `bench` and users.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

#: Public name -> the module it lives in.
_HOMES = {
    "Alarm": "latency",
    "Answer": "rest",
    "AuthSession": "session",
    "Authenticator": "enhanced",
    "Backoff": "reconnect",
    "BreakerPolicy": "breaker",
    "CircuitBreaker": "breaker",
    "Connection": "connection",
    "EndpointLimiter": "limits",
    "Endpoints": "endpoints",
    "EnhancedClient": "enhanced",
    "Handlers": "connection",
    "LatencyTracker": "latency",
    "Liveness": "heartbeat",
    "OPTIMISED": "rest",
    "Outcome": "batch",
    "PoolProfile": "rest",
    "Rate": "limits",
    "ReconnectingClient": "reconnect",
    "Region": "endpoints",
    "RequestError": "rest",
    "RestClient": "rest",
    "RetryPolicy": "retry",
    "SHARED": "rest",
    "Server": "websocket",
    "SessionManager": "session",
    "Throttle": "limits",
    "TokenBucket": "limits",
    "Tokens": "session",
    "client_tls": "tls",
    "connect": "websocket",
    "measure_all": "endpoints",
    "monitor_performance": "latency",
    "process_batch_concurrent": "batch",
    "refresh_in_background": "session",
    "retry_with_backoff": "retry",
    "serve": "websocket",
    "server_tls": "tls",
}

__all__ = [*sorted(_HOMES)]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'tercel.net' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"tercel.net.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__


if TYPE_CHECKING:
    from tercel.net.batch import Outcome as Outcome
    from tercel.net.batch import process_batch_concurrent as process_batch_concurrent
    from tercel.net.breaker import BreakerPolicy as BreakerPolicy
    from tercel.net.breaker import CircuitBreaker as CircuitBreaker
    from tercel.net.connection import Connection as Connection
    from tercel.net.connection import Handlers as Handlers
    from tercel.net.endpoints import Endpoints as Endpoints
    from tercel.net.endpoints import Region as Region
    from tercel.net.endpoints import measure_all as measure_all
    from tercel.net.enhanced import Authenticator as Authenticator
    from tercel.net.enhanced import EnhancedClient as EnhancedClient
    from tercel.net.heartbeat import Liveness as Liveness
    from tercel.net.latency import Alarm as Alarm
    from tercel.net.latency import LatencyTracker as LatencyTracker
    from tercel.net.latency import monitor_performance as monitor_performance
    from tercel.net.limits import EndpointLimiter as EndpointLimiter
    from tercel.net.limits import Rate as Rate
    from tercel.net.limits import Throttle as Throttle
    from tercel.net.limits import TokenBucket as TokenBucket
    from tercel.net.reconnect import Backoff as Backoff
    from tercel.net.reconnect import ReconnectingClient as ReconnectingClient
    from tercel.net.rest import OPTIMISED as OPTIMISED
    from tercel.net.rest import SHARED as SHARED
    from tercel.net.rest import Answer as Answer
    from tercel.net.rest import PoolProfile as PoolProfile
    from tercel.net.rest import RequestError as RequestError
    from tercel.net.rest import RestClient as RestClient
    from tercel.net.retry import RetryPolicy as RetryPolicy
    from tercel.net.retry import retry_with_backoff as retry_with_backoff
    from tercel.net.session import AuthSession as AuthSession
    from tercel.net.session import SessionManager as SessionManager
    from tercel.net.session import Tokens as Tokens
    from tercel.net.session import refresh_in_background as refresh_in_background
    from tercel.net.tls import client_tls as client_tls
    from tercel.net.tls import server_tls as server_tls
    from tercel.net.websocket import Server as Server
    from tercel.net.websocket import connect as connect
    from tercel.net.websocket import serve as serve
