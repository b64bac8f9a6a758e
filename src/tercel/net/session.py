"""Sessions: tokens and cookies of a login, kept in a file that only its owner can read, refreshed in the background.

No token appears in a repr, a log or an error text. Obtaining tokens is the business of whoever knows the venue; it is
handed in as `refresh`. Called by `net.enhanced` and `live`.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import msgspec

from tercel import clock
from tercel.errors import ConfigError, DataError, NetworkError, StorageError

__all__ = ["AuthSession", "Connected", "SessionManager", "Tokens", "refresh_in_background"]

REFRESH_EVERY_S = 600.0
_MARGIN_NS = 300_000_000_000
_AHEAD_NS = 900_000_000_000


class Tokens(msgspec.Struct, frozen=True):
    """expires_ns: wall time. Tokens count as expired five minutes early, and want a refresh fifteen minutes early."""

    access: str
    refresh: str
    expires_ns: int

    def __repr__(self) -> str:
        return f"Tokens(hidden, expires_ns={self.expires_ns})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [("expires_ns", self.expires_ns)]


class AuthSession(msgspec.Struct, frozen=True):
    """Tokens and cookies of one login."""

    tokens: Tokens
    cookies: dict[str, str] = {}

    def is_valid(self, now_ns: int) -> bool:
        """Whether requests can be made with it."""
        return bool(self.tokens.access) and now_ns < self.tokens.expires_ns - _MARGIN_NS

    def wants_refresh(self, now_ns: int) -> bool:
        """Whether it is time for new tokens."""
        return not self.tokens.access or now_ns >= self.tokens.expires_ns - _AHEAD_NS

    def __repr__(self) -> str:
        return f"AuthSession({self.tokens!r}, {len(self.cookies)} cookies)"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [("tokens", self.tokens), ("n_cookies", len(self.cookies))]


class SessionManager:
    """One optional session, optionally on disk (S1-14 to S1-16).

    A change is one assignment in the event loop, so readers see the whole old session or the whole new one.
    """

    def __init__(
        self,
        storage_path: Path | None = None,
        *,
        auto_save: bool = True,
        refresh: Callable[[AuthSession], Awaitable[Tokens]] | None = None,
        now: Callable[[], int] = clock.wall_ns,
    ) -> None:
        self._session: AuthSession | None = None
        self._path = storage_path
        self._auto_save = auto_save
        self._refresh = refresh
        self._now = now
        self._saving = asyncio.Lock()
        self._refreshing = asyncio.Lock()

    @property
    def session(self) -> AuthSession | None:
        """The session, if there is one."""
        return self._session

    def is_session_valid(self) -> bool:
        """No session is not valid; else as the session says."""
        return self._session is not None and self._session.is_valid(self._now())

    async def set_session(self, session: AuthSession | None) -> None:
        """After a login or a logout; saved with `auto_save` (a logout removes the file)."""
        self._session = session
        await self._save_if_wanted()

    async def update_session_data(self, tokens: Tokens | None = None, cookies: Mapping[str, str] | None = None) -> None:
        """Tokens replace, cookies merge, in one change; nothing without a session. Then saved with `auto_save`."""
        old = self._session
        if old is None:
            return
        self._session = AuthSession(tokens or old.tokens, {**old.cookies, **(cookies or {})})
        await self._save_if_wanted()

    async def ensure_valid(self, rejected: Tokens | None = None) -> None:
        """Refresh when it is time, or when the venue rejected these tokens; once, however many ask at the same time.

        A refresh that fails while the tokens are good for some minutes yet is left to the next call. Raises
        NetworkError without a session, without a way to refresh one that expired, or when the refresh fails.
        """
        async with self._refreshing:
            session = self._session
            if session is None:
                raise NetworkError("there is no session: log in first")
            is_rejected = session.tokens == rejected
            is_good = session.is_valid(self._now()) and not is_rejected
            if is_good and not session.wants_refresh(self._now()):
                return
            if self._refresh is None:
                if is_good:
                    return
                raise NetworkError("the session has expired and nothing is set up to refresh it: log in again")
            try:
                tokens = await self._refresh(session)
            except NetworkError:
                if is_good:
                    return
                raise
            await self.update_session_data(tokens)

    async def load(self) -> bool:
        """Read the file; False when there is none. Raises ConfigError when others can read it, DataError when it is
        not a session.
        """
        if self._path is None:
            return False
        text = await asyncio.to_thread(_read_private, self._path)
        if text is None:
            return False
        try:
            self._session = msgspec.json.decode(text, type=AuthSession)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):  # its text may quote the file
            raise DataError(f"{self._path} is not a session file: remove it and log in again") from None
        return True

    async def save(self) -> None:
        """Write the session as it is now, whole or not at all, mode 0600. Raises StorageError."""
        if self._path is None:
            return
        async with self._saving:  # one after the other: the newest state is what stays
            session = self._session
            data = None if session is None else msgspec.json.encode(session)
            await asyncio.to_thread(_write_private, self._path, data)

    async def _save_if_wanted(self) -> None:
        if self._auto_save:
            await self.save()


def _read_private(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                raise ConfigError(f"{path} holds tokens and can be read by others: chmod 600 it")
            return file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror}") from error


def _write_private(path: Path, data: bytes | None) -> None:
    if data is None:
        path.unlink(missing_ok=True)
        return
    fresh = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        fresh.unlink(missing_ok=True)
        # O_EXCL and the mode at creation: the file is never open to others, not for a moment, nor a link of theirs.
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        with suppress(OSError):
            fresh.unlink(missing_ok=True)
        raise StorageError(f"{path} cannot be written: {error.strerror}") from error


class Connected(Protocol):
    """What the background refresh looks at and, when it fails, sets."""

    is_connected: bool


async def refresh_in_background(
    manager: SessionManager,
    client: Connected,
    *,
    every_s: float = REFRESH_EVERY_S,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> str:
    """Every `every_s`: stop when not connected, else make sure of a valid session; when that fails, mark the client as
    not connected and stop (S1-13). Gives the reason it stopped.
    """
    while True:
        await sleep(every_s)
        if not client.is_connected:
            return "not connected"
        try:
            await manager.ensure_valid()
        except (NetworkError, StorageError) as error:
            client.is_connected = False
            return str(error)
