"""Whether what is written to a TCP socket now would get out, or lie behind bytes that the peer does not take.

A write succeeds as soon as the kernel has room for it, so only the kernel knows. Asked by `net.connection` for bytes
that are worth nothing later.
"""

from __future__ import annotations

import socket
import sys
from typing import Any

__all__ = ["is_backed_up"]

# struct tcp_info of Linux (linux/tcp.h; the layout is part of its interface): retransmits and probes are its third and
# fourth byte, notsent_bytes (since 4.6) a 32-bit number at byte 144.
_INFO_BYTES = 148
_RETRANSMITS, _PROBES, _NOT_SENT = 2, 3, 144
_TCP_INFO = getattr(socket, "TCP_INFO", -1) if sys.platform == "linux" else -1


def is_backed_up(sock: Any) -> bool:
    """Whether bytes wait in the kernel: not sent as the peer has no room or the path is full, or sent and not answered.

    sock: of a TCP connection, as its transport knows it. One system call, about a microsecond. Bytes that were sent and
    may still be answered in time do not count: a peer that vanished is noticed when the kernel repeats itself, some
    0.2 s after the first byte it did not answer. False where the system cannot say.
    """
    if _TCP_INFO < 0:
        return False
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, _INFO_BYTES)
    except OSError:
        return True
    if len(info) < 4:
        return False
    return bool(info[_RETRANSMITS] or info[_PROBES] or any(info[_NOT_SENT:_INFO_BYTES]))
