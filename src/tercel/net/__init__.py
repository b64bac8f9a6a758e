"""Sockets: WebSocket and REST clients and servers, limits, retries, sessions. Knows no venue and no engine.

Called by `live` and `localvenue`.
"""
