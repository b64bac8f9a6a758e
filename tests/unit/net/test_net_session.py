"""Sessions: validity, merging, refreshing once, files that only the owner reads, and no token in any text."""

import asyncio
import json
import os
import stat

import pytest

from tercel.clock import HandClock
from tercel.errors import ConfigError, DataError, NetworkError, StorageError
from tercel.net.session import AuthSession, SessionManager, Tokens, refresh_in_background

MINUTE = 60_000_000_000
HOUR = 60 * MINUTE
SECRETS = ("ACCESS-1", "REFRESH-1", "COOKIE-1")


def session(expires_ns=HOUR, access="ACCESS-1"):
    return AuthSession(Tokens(access, "REFRESH-1", expires_ns), {"a": "COOKIE-1"})


def test_valid_until_five_minutes_before_and_wants_refresh_at_fifteen():
    one = session()
    assert one.is_valid(55 * MINUTE - 1)
    assert not one.is_valid(55 * MINUTE)
    assert not one.wants_refresh(45 * MINUTE - 1)
    assert one.wants_refresh(45 * MINUTE)
    assert not session(access="").is_valid(0)


def test_no_secret_in_any_text():
    one = session()
    texts = [
        repr(one),
        str(one),
        f"{one}",
        repr(one.tokens),
        repr(one.__rich_repr__()),
        repr(one.tokens.__rich_repr__()),
    ]
    assert not [text for text in texts for secret in SECRETS if secret in text]


def test_tokens_replace_cookies_merge_and_nothing_without_a_session():
    async def main():
        manager = SessionManager(now=lambda: 0)
        await manager.update_session_data(Tokens("x", "y", HOUR), {"c": "d"})
        assert manager.session is None
        assert not manager.is_session_valid()
        await manager.set_session(session())
        assert manager.is_session_valid()
        await manager.update_session_data(Tokens("x", "y", 2 * HOUR), {"b": "2"})
        assert manager.session == AuthSession(Tokens("x", "y", 2 * HOUR), {"a": "COOKIE-1", "b": "2"})
        await manager.update_session_data(cookies={"a": "3"})
        assert manager.session.cookies == {"a": "3", "b": "2"}
        assert manager.session.tokens.access == "x"

    asyncio.run(main())


def test_the_file_is_private_whole_and_read_back(tmp_path):
    path = tmp_path / "session.json"

    async def main():
        old = os.umask(0)  # even under the most open mask
        try:
            manager = SessionManager(path)
            await manager.set_session(session())
            await manager.update_session_data(cookies={"b": "2"})
        finally:
            os.umask(old)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert [p.name for p in tmp_path.iterdir()] == ["session.json"]
        again = SessionManager(path)
        assert await again.load()
        assert again.session == manager.session
        await again.set_session(None)
        assert not path.exists()
        assert not await again.load()

    asyncio.run(main())


def test_many_saves_at_once_leave_the_newest(tmp_path):
    path = tmp_path / "session.json"

    async def main():
        manager = SessionManager(path)
        await manager.set_session(session())
        await asyncio.gather(*(manager.update_session_data(cookies={"n": str(i)}) for i in range(30)))
        assert json.loads(path.read_text())["cookies"]["n"] == "29"

    asyncio.run(main())


def test_without_auto_save_nothing_is_written(tmp_path):
    async def main():
        manager = SessionManager(tmp_path / "session.json", auto_save=False)
        await manager.set_session(session())
        assert list(tmp_path.iterdir()) == []
        await manager.save()
        assert [p.name for p in tmp_path.iterdir()] == ["session.json"]

    asyncio.run(main())


def test_files_that_cannot_be_trusted_are_refused_without_quoting_them(tmp_path):
    path = tmp_path / "session.json"
    path.write_text('{"tokens": {"access": "ACCESS-1", "refresh": 5}}')
    path.chmod(0o640)
    with pytest.raises(ConfigError, match="chmod 600"):
        asyncio.run(SessionManager(path).load())
    path.chmod(0o600)
    with pytest.raises(DataError, match="is not a session file") as caught:
        asyncio.run(SessionManager(path).load())
    assert "ACCESS-1" not in str(caught.value)
    with pytest.raises(StorageError, match="cannot be written"):
        asyncio.run(SessionManager(tmp_path / "absent" / "s.json").set_session(session()))


class Venue:
    """Hands out new tokens, or fails."""

    def __init__(self, hand):
        self.hand, self.n_refreshes, self.is_down = hand, 0, False

    async def refresh(self, old):
        await asyncio.sleep(0)
        if self.is_down:
            raise NetworkError("no answer")
        self.n_refreshes += 1
        return Tokens(f"access-{self.n_refreshes}", old.tokens.refresh, self.hand.wall_ns() + HOUR)


def test_many_who_ask_at_once_refresh_once():
    async def main():
        hand = HandClock()
        venue = Venue(hand)
        manager = SessionManager(refresh=venue.refresh, now=hand.wall_ns)
        await manager.set_session(session())
        await manager.ensure_valid()
        assert venue.n_refreshes == 0
        hand.advance(46 * MINUTE)
        await asyncio.gather(*(manager.ensure_valid() for _ in range(20)))
        assert venue.n_refreshes == 1
        rejected = manager.session.tokens
        await asyncio.gather(*(manager.ensure_valid(rejected) for _ in range(20)))
        assert venue.n_refreshes == 2

    asyncio.run(main())


def test_a_refresh_that_fails_matters_only_once_the_tokens_are_bad():
    async def main():
        hand = HandClock()
        venue = Venue(hand)
        manager = SessionManager(refresh=venue.refresh, now=hand.wall_ns)
        with pytest.raises(NetworkError, match="no session"):
            await manager.ensure_valid()
        await manager.set_session(session())
        venue.is_down = True
        hand.advance(50 * MINUTE)
        await manager.ensure_valid()
        with pytest.raises(NetworkError):
            await manager.ensure_valid(manager.session.tokens)
        hand.advance(6 * MINUTE)
        with pytest.raises(NetworkError, match="no answer"):
            await manager.ensure_valid()
        without = SessionManager(now=hand.wall_ns)
        await without.set_session(session())
        with pytest.raises(NetworkError, match="log in again"):
            await without.ensure_valid()

    asyncio.run(main())


class Flag:
    is_connected = True


def test_background_refresh_every_ten_minutes_until_it_fails_or_is_not_connected():
    async def main():
        hand = HandClock()
        venue, flag, naps = Venue(hand), Flag(), []
        manager = SessionManager(refresh=venue.refresh, now=hand.wall_ns)
        await manager.set_session(session())

        async def sleep(wait_s):
            naps.append(wait_s)
            hand.advance(round(wait_s * 1e9))
            if len(naps) == 12:
                venue.is_down = True

        why = await refresh_in_background(manager, flag, sleep=sleep)
        assert why == "no answer"
        assert not flag.is_connected
        assert set(naps) == {600.0}
        assert venue.n_refreshes == 2  # 50 and 100 minutes in; refused from 120 on, out at 160
        assert len(naps) == 16
        assert await refresh_in_background(manager, flag, sleep=sleep) == "not connected"
        assert len(naps) == 17

    asyncio.run(main())
