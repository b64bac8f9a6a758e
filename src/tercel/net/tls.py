"""TLS settings of clients and servers. A client always verifies the peer's certificate and name; there is no way off.

Called by `net.websocket` and `net.rest`, and by servers that want a certificate of their own.
"""

from __future__ import annotations

import ssl
from functools import cache
from pathlib import Path

from tercel.errors import ConfigError, NetworkError

__all__ = ["check_client_tls", "client_tls", "describe_failure", "server_tls", "system_tls"]


def client_tls(ca_file: Path | str | None = None) -> ssl.SSLContext:
    """A verifying context: the system's authorities, or only those in `ca_file` (PEM). Raises ConfigError."""
    try:
        context = ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"CA file {ca_file} cannot be read as PEM certificates: {error}") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


@cache
def system_tls() -> ssl.SSLContext:
    """The context of the system's authorities, read once: reading them takes milliseconds that a reconnect has not."""
    return client_tls()


def server_tls(certificate: Path | str, key: Path | str) -> ssl.SSLContext:
    """A server's context from PEM files. Raises ConfigError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(str(certificate), str(key))
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"certificate {certificate} with key {key} cannot be used: {error}") from error
    return context


def check_client_tls(context: ssl.SSLContext) -> None:
    """Refuse a context that would accept a stranger. Raises ConfigError."""
    if context.verify_mode != ssl.CERT_REQUIRED or not context.check_hostname:
        raise ConfigError(
            "TLS of a client must verify certificate and host name: "
            "use tercel.net.client_tls(ca_file=...) to trust an authority of your own"
        )


def describe_failure(error: BaseException, host: str, port: int, timeout_s: float) -> str:
    """One sentence for a connection that could not be opened; names host and port, never a path or query."""
    where = f"{host}:{port}"
    if isinstance(error, NetworkError):
        return str(error)
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the TLS certificate of {where} is not accepted: {error.verify_message or error.reason}"
    if isinstance(error, ssl.SSLError):
        return f"no TLS session with {where}: {error.reason or 'handshake failed'}"
    if isinstance(error, TimeoutError):
        return f"{where} did not answer within {timeout_s:g} s"
    if isinstance(error, OSError):
        return f"cannot connect to {where}: {error.strerror or type(error).__name__}"
    return f"cannot connect to {where}: {type(error).__name__}"
