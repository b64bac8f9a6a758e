"""The way into a running session from another terminal: a Unix socket that only its owner can use, and a halt file.

A request is one line of JSON, `{"ask": "status"}`, and so is its answer. The socket lies in the session's directory,
mode 0600. A file named HALT there halts the session within a second, and no session starts beside it: that works even
where nobody answers. Served by `live.session`; asked by `tercel status` and `tercel kill`.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec

from tercel.errors import ConfigError, NetworkError, StorageError

__all__ = ["ControlServer", "ask_session", "check_halt", "halt_file"]

#: The longest request, in bytes, and the longest path a Unix socket may have.
_LINE_MAX = 4096
_PATH_MAX = 100
_ANSWER_MAX = 1 << 20

Answerer = Callable[[str, dict[str, Any]], Any]


def halt_file(run_directory: Path) -> Path:
    """The file whose existence halts the session of a run directory."""
    return run_directory / "HALT"


def check_halt(run_directory: Path) -> None:
    """ConfigError where a halt file keeps a session from starting."""
    path = halt_file(run_directory)
    if path.exists():
        raise ConfigError(
            f"trading was halted here: {path} is there; when the reason is gone: tercel kill --lift {run_directory}"
        )


def _socket_path(run_directory: Path) -> Path:
    """Where the socket of a run directory lies: in it, or where that path is too long, in the directory for short-lived
    files under a name made from it.
    """
    path = run_directory.resolve() / "control.sock"
    if len(os.fsencode(path)) <= _PATH_MAX:
        return path
    digest = hashlib.blake2b(os.fsencode(path), digest_size=8).hexdigest()
    return Path(tempfile.gettempdir()) / f"tercel-{os.getuid()}-{digest}.sock"


class ControlServer:
    """Answers requests while it is open: `async with ControlServer(directory, answer):`.

    answer(what, request): called in the loop; what it returns is sent back as JSON. What it raises is told by its text.
    """

    def __init__(self, run_directory: Path, answer: Answerer) -> None:
        self.path = _socket_path(run_directory)
        self._directory = run_directory
        self._answer = answer
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> ControlServer:
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            # What a killed session left. Two sessions cannot meet here: the journal's lock is taken before.
            self.path.unlink(missing_ok=True)
            listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            before = os.umask(0o177)
            try:
                listener.bind(os.fspath(self.path))
            finally:
                os.umask(before)
        except OSError as error:
            raise StorageError(f"cannot open the control socket {self.path}: {error.strerror}") from None
        self._server = await asyncio.start_unix_server(self._serve, sock=listener, limit=_LINE_MAX)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            line = await reader.readline()
            writer.write(msgspec.json.encode(await self._reply(line)) + b"\n")
            await writer.drain()
        except (OSError, ValueError):
            # Who asked hung up, or sent a line without end: nothing to tell anybody.
            pass
        finally:
            writer.close()

    async def _reply(self, line: bytes) -> dict[str, Any]:
        try:
            request = msgspec.json.decode(line, type=dict[str, Any])
            result = self._answer(str(request.get("ask", "")), request)
            if isinstance(result, Awaitable):
                result = await result
        except Exception as error:
            return {"error": f"{type(error).__name__}: {error}"}
        return {"answer": result}


def ask_session(run_directory: Path, what: str, *, timeout_s: float = 5.0, **more: Any) -> Any:
    """Ask the session of a run directory; what it answers, decoded from JSON.

    NetworkError when no session answers there, or it answers with an error.
    """
    path = _socket_path(run_directory)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(timeout_s)
            connection.connect(os.fspath(path))
            connection.sendall(msgspec.json.encode({"ask": what, **more}) + b"\n")
            received = bytearray()
            while not received.endswith(b"\n") and len(received) < _ANSWER_MAX:
                part = connection.recv(65_536)
                if not part:
                    break
                received += part
    except FileNotFoundError:
        raise NetworkError(f"no session runs in {run_directory}: there is no control socket") from None
    except OSError as error:
        raise NetworkError(f"the session in {run_directory} does not answer: {error}") from None
    try:
        reply = msgspec.json.decode(received, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise NetworkError(f"the session in {run_directory} gave no whole answer") from None
    if "error" in reply:
        raise NetworkError(f"the session in {run_directory} refused {what!r}: {reply['error']}")
    return reply["answer"]
