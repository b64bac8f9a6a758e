"""Who asks: API keys, timestamps and signatures of requests.

HMAC-SHA256 in hex over the request's own text, or Ed25519 in base64; the time within recvWindow (Binance spot API,
"Request security", read November 2026). Called by the REST and WebSocket API handlers.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from typing import Any

from tercel.localvenue.accounts import ApiKey, Bank, ed25519_public
from tercel.localvenue.refusals import (
    BAD_KEY_FORMAT,
    BAD_SIGNATURE,
    BAD_TIMESTAMP,
    REJECTED_KEY,
    RefusedError,
    missing,
)

__all__ = ["check_signature", "check_time", "known_key", "sorted_payload"]

RECV_WINDOW_MS, RECV_WINDOW_MAX_MS = 5000, 60_000
_verifiers: dict[bytes, Any] = {}
#: Per secret the hashes of an HMAC with the key in them.
_keyed: dict[bytes, tuple[Any, ...]] = {}


def known_key(bank: Bank, text: str | None) -> ApiKey:
    """The API key of this text, else RefusedError."""
    key = bank.keys.get(text or "")
    if key is not None:
        return key
    if not text or len(text) > 128 or not text.isascii() or not text.isalnum():
        raise RefusedError(BAD_KEY_FORMAT, "API-key format invalid.")
    raise RefusedError(REJECTED_KEY, "Invalid API-key, IP, or permissions for action.")


def check_time(params: Mapping[str, Any], now_ms: int) -> None:
    """Refuse a request whose time lies outside its window."""
    stated, window = params.get("timestamp"), params.get("recvWindow", RECV_WINDOW_MS)
    if stated is None or stated == "":
        raise missing("timestamp")
    try:
        at_ms, window_ms = int(stated), float(window)
    except (TypeError, ValueError):
        raise missing("timestamp") from None
    if at_ms > 10**15:  # stated in microseconds
        at_ms //= 1000
    if not 0 < window_ms <= RECV_WINDOW_MAX_MS:
        raise RefusedError(-1131, "recvWindow must be less than 60000.")
    if at_ms >= now_ms + 1000:
        raise RefusedError(BAD_TIMESTAMP, "Timestamp for this request was 1000ms ahead of the server's time.")
    if now_ms - at_ms > window_ms:
        raise RefusedError(BAD_TIMESTAMP, "Timestamp for this request is outside of the recvWindow.")


def sorted_payload(params: Mapping[str, Any]) -> bytes:
    """What a WebSocket API request signs: its parameters but the signature, sorted by name."""
    pairs = []
    for name in sorted(params):
        value = params[name]
        if value is True or value is False:
            value = "true" if value else "false"
        if name != "signature":
            pairs.append(f"{name}={value}")
    return "&".join(pairs).encode()


def check_signature(key: ApiKey, payload: bytes, signature: str | None) -> None:
    """Refuse a signature that the key did not make over exactly these bytes."""
    if not signature:
        raise missing("signature")
    if key.public:
        if not _is_ed25519(key.public, payload, signature):
            raise RefusedError(BAD_SIGNATURE, "Signature for this request is not valid.")
        return
    if not hmac.compare_digest(_hmac_hex(key.secret, payload), signature.lower().encode()):
        raise RefusedError(BAD_SIGNATURE, "Signature for this request is not valid.")


def _hmac_hex(secret: bytes, payload: bytes) -> bytes:
    """HMAC-SHA256 (RFC 2104) from the two hashes that have taken in the key already: half the time of `hmac.digest`."""
    keyed = _keyed.get(secret)
    if keyed is None:
        block = (secret if len(secret) <= 64 else hashlib.sha256(secret).digest()).ljust(64, b"\0")
        keyed = tuple(hashlib.sha256(bytes(byte ^ pad for byte in block)) for pad in (0x36, 0x5C))
        _keyed[secret] = keyed
    inner, outer = keyed[0].copy(), keyed[1].copy()
    inner.update(payload)
    outer.update(inner.digest())
    hex_text: str = outer.hexdigest()
    return hex_text.encode()


def _is_ed25519(public: bytes, payload: bytes, signature: str) -> bool:
    from cryptography.exceptions import InvalidSignature

    verifier = _verifiers.get(public)
    if verifier is None:
        verifier = _verifiers[public] = ed25519_public(public)
    try:
        verifier.verify(base64.b64decode(signature, validate=True), payload)
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True
