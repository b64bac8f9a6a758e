"""Signing of requests: HMAC-SHA256 and Ed25519, as Binance's "Request security" pages say (November 2026).

For HTTP the signed text is the query as sent; for the WebSocket API it is all parameters sorted by name. An Ed25519 key
can log a WebSocket session on, after which requests need no signature. Keys stay inside; nothing here is printable.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from tercel.errors import ConfigError
from tercel.venues.binance.settings import Credentials

__all__ = ["Signer"]


class Signer:
    """Signs with one key. api_key: goes into headers and parameters. can_log_on: an Ed25519 key, sessions log on."""

    def __init__(self, credentials: Credentials) -> None:
        self.api_key = credentials.api_key
        if not self.api_key or not credentials.secret:
            raise ConfigError("binance: an API key and its secret are needed, one is empty")
        self.can_log_on = "PRIVATE KEY" in credentials.secret
        self._sign: Callable[[bytes], str]
        if self.can_log_on:
            self._sign = _ed25519(credentials.secret)
        else:
            key = credentials.secret.encode()
            self._sign = lambda text: hmac.digest(key, text, "sha256").hex()

    def __repr__(self) -> str:
        return "Signer(...)"

    def query(self, params: dict[str, str | int]) -> str:
        """Parameters of an HTTP request as a signed query."""
        text = "&".join(f"{name}={quote(str(value), safe='')}" for name, value in params.items())
        return f"{text}&signature={quote(self._sign(text.encode()), safe='')}"

    def params(self, params: dict[str, str | int]) -> dict[str, str | int]:
        """Parameters of a WebSocket API request, with key and signature."""
        params = dict(sorted([*params.items(), ("apiKey", self.api_key)]))
        text = "&".join([f"{name}={value}" for name, value in params.items()])
        params["signature"] = self._sign(text.encode())
        return params


def _ed25519(pem: str) -> Callable[[bytes], str]:
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
    except ImportError:
        raise ConfigError("binance: an Ed25519 key needs the package cryptography: install tercel[ed25519]") from None
    try:
        key: Any = load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError):
        # What the library says might quote the key.
        raise ConfigError("binance: the private key is not a PEM text that can be read without a password") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError("binance: the private key is not an Ed25519 key; RSA keys are not supported")
    return lambda text: base64.b64encode(key.sign(text)).decode()
