"""A session's configuration: one TOML file, checked whole before anything starts.

Unknown keys are refused. What is wrong is told once, with the file, the key's path, what was found and what was
expected. Secrets are references (see `live.secrets`); a secret written into the file is refused without being shown.
Called by the command line; `docs/configuration.md` lists the keys. Nothing here connects, compiles or trades.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from tercel.errors import ConfigError
from tercel.live.places import PLACES
from tercel.live.secrets import Secret, SecretRef
from tercel.risk.limits import Limits

__all__ = [
    "ActorSettings",
    "InstrumentSettings",
    "PaperSettings",
    "SessionSettings",
    "Settings",
    "StrategySettings",
    "VenueSettings",
    "load_settings",
    "parse_settings",
    "settings_for",
]


class _Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the configuration: every key is known, none is guessed."""


class SessionSettings(_Table, frozen=True, kw_only=True):
    """What belongs to the session as a whole.

    name: of the session, in logs and views. directory: of its journal, of the socket that `tercel kill` and `tercel
    status` use, and of the file HALT; a restart with the same one goes on where the last run ended. sync_ms: how often
    the journal is forced to the disk, 0 never by itself. sync_on_order: commands are on the disk before they leave.
    snapshot_every_s: how often the engine's state is kept while it trades, from which a recovery goes on; 0 at the
    start only. start_s: how long the venues may take to be in step at the start, 0 for ever. stop_s: how long an end
    may take. answer_s: after which an unanswered order is asked about. warm_up: a
    tape that the strategies see before the session begins, "" for none. core: of the processor, where the thread runs
    that trades, apart from the others. busy_poll: that thread never sleeps while it waits for messages; only for a core
    that nothing else uses. actors_in: "loop", where an actor that computes holds up the session, or "thread", one for
    all of them.
    """

    name: str = "session"
    directory: str = "session"
    sync_ms: float = 100.0
    sync_on_order: bool = False
    snapshot_every_s: float = 60.0
    start_s: float = 60.0
    stop_s: float = 30.0
    answer_s: float = 5.0
    warm_up: str = ""
    core: int | None = None
    busy_poll: bool = False
    actors_in: Literal["loop", "thread"] = "loop"


class VenueSettings(_Table, frozen=True, kw_only=True):
    """One account at one venue.

    protocol: how it speaks. market: "spot" or "usdm". network: the venue's "main" net, where orders are real, its
    "test" net, or a "local" venue at host and port. rest_port: of a local venue's HTTP, where it is another. api_key,
    api_secret: references; market data needs none.
    """

    protocol: Literal["binance"] = "binance"
    market: Literal["spot", "usdm"] = "usdm"
    network: Literal["main", "test", "local"] = "main"
    host: str = "127.0.0.1"
    port: int = 0
    rest_port: int = 0
    api_key: SecretRef | None = None
    api_secret: SecretRef | None = None


class InstrumentSettings(_Table, frozen=True, kw_only=True):
    """One instrument. symbol: as the venue spells it. venue: a key of `venues`. limits: in place of the common ones.

    adopt_at: the price at which a position that the account holds before the first fill of the journal is taken over;
    without it such a position halts trading.
    """

    symbol: str
    venue: str
    limits: Limits | None = None
    adopt_at: float | None = None


class StrategySettings(_Table, frozen=True, kw_only=True):
    """One strategy. spec: `quoter`, `file.py:Class`, `module:Class`. set: its parameters, as `--set` takes them."""

    spec: str
    set: dict[str, bool | int | float | str] = {}

    def assignments(self) -> list[str]:
        """The parameters as `name=value` texts."""
        return [f"{name}={str(v).lower() if isinstance(v, bool) else v}" for name, v in self.set.items()]


class ActorSettings(_Table, frozen=True, kw_only=True):
    """One actor. spec: `file.py:Class`, `module:Class`. name: of its own in the session, by default its class's. set:
    arguments that it is made with.
    """

    spec: str
    name: str = ""
    set: dict[str, bool | int | float | str] = {}


class PaperSettings(_Table, frozen=True, kw_only=True):
    """The simulated venue of a paper session: latency each way, fees, queue model, as `tercel backtest` takes them."""

    latency_ms: float = 5.0
    latency_sigma: float | None = None
    maker_bp: float = 0.0
    taker_bp: float = 0.0
    queue: str = "power"
    queue_n: float = 3.0
    partial_fills: bool = True
    consume: bool = False


class Settings(_Table, frozen=True, kw_only=True):
    """A whole configuration. venues: by name. limits: for every instrument without its own. path: of its file."""

    venues: dict[str, VenueSettings]
    instruments: list[InstrumentSettings]
    strategies: list[StrategySettings]
    actors: list[ActorSettings] = []
    session: SessionSettings = SessionSettings()
    limits: Limits | None = None
    paper: PaperSettings = PaperSettings()
    path: Path = Path("session.toml")

    def place(self, given: str) -> Path:
        """A path of the configuration; a relative one lies beside its file."""
        path = Path(given).expanduser()
        return path if path.is_absolute() else self.path.parent / path

    def limits_of(self, i: int) -> Limits | None:
        """The limits of instrument `i`."""
        own = self.instruments[i].limits
        return self.limits if own is None else own

    def credentials(self, venue: str, environment: Mapping[str, str] | None = None) -> tuple[Secret, Secret] | None:
        """Key and secret of a venue, read where they lie; None where the configuration names none."""
        one = self.venues[venue]
        if one.api_key is None or one.api_secret is None:
            return None
        key = one.api_key.read(f"{self.path}: venues.{venue}.api_key", environment, self.path.parent)
        secret = one.api_secret.read(f"{self.path}: venues.{venue}.api_secret", environment, self.path.parent)
        return key, secret


def settings_for(
    place: str,
    symbols: Sequence[str],
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    rest_port: int = 0,
    directory: str | Path = "session",
    limits: Limits | None = None,
    paper: PaperSettings | None = None,
) -> Settings:
    """A configuration without a file: symbols of one venue, without keys, for paper trading and recording.

    place: of `live.places.PLACES`. host, port, rest_port: of a local venue, rest_port where its HTTP is at another than
    its WebSockets. directory: of the session, from where the process runs. ConfigError where something is missing or
    unknown.
    """
    if place not in PLACES:
        raise ConfigError(f"no venue {place!r}; expected one of {', '.join(PLACES)}")
    if not symbols:
        raise ConfigError("name at least one symbol to trade, such as BTCUSDT")
    market, network = PLACES[place]
    if network == "local" and not 1 <= port <= 65_535:
        raise ConfigError(f"the venue {place} needs a port, 1 to 65535, found {port}")
    if not 0 <= rest_port <= 65_535:
        raise ConfigError(f"the venue {place}: rest_port: expected 0 to 65535, found {rest_port}")
    return Settings(
        venues={place: VenueSettings(market=market, network=network, host=host, port=port, rest_port=rest_port)},
        instruments=[InstrumentSettings(symbol=symbol, venue=place) for symbol in symbols],
        strategies=[],
        session=SessionSettings(name=place, directory=str(directory)),
        limits=limits,
        paper=paper or PaperSettings(),
        path=Path.cwd() / "no file",
    )


#: Tables with names or numbers of the user's: the struct of each entry.
_NAMED: dict[str, type[msgspec.Struct]] = {"venues": VenueSettings}
_LISTED: dict[str, type[msgspec.Struct]] = {
    "instruments": InstrumentSettings,
    "strategies": StrategySettings,
    "actors": ActorSettings,
}
_SINGLE: dict[str, type[msgspec.Struct]] = {"session": SessionSettings, "limits": Limits, "paper": PaperSettings}
_SECRET_KEYS = ("api_key", "api_secret")
_SECRET_NAME = re.compile(r"secret|passw|token|api_?key|private", re.IGNORECASE)
_FOUND_MAX = 40


def load_settings(path: str | Path) -> Settings:
    """Read and check a configuration file; ConfigError says what is wrong and where."""
    path = Path(path)
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"no configuration at {path}: {error.strerror}") from None
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: expected UTF-8 text, found other bytes at {error.start}") from None
    return parse_settings(text, path)


def parse_settings(text: str, path: Path) -> Settings:
    """Check the text of a configuration. path: its file, for messages and relative paths."""
    try:
        data = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"{path}: not TOML: {error}") from None
    given: dict[str, Any] = {"path": path}
    for name, value in data.items():
        if name in _NAMED:
            _expect(path, name, value, dict, "tables [venues.NAME]")
            given[name] = {key: _table(path, f"{name}.{key}", _NAMED[name], one) for key, one in value.items()}
        elif name in _LISTED:
            _expect(path, name, value, list, f"tables [[{name}]]")
            given[name] = [_table(path, f"{name}[{i}]", _LISTED[name], one) for i, one in enumerate(value)]
        elif name in _SINGLE:
            given[name] = _table(path, name, _SINGLE[name], value)
        else:
            raise ConfigError(_unknown(path, name, [*_NAMED, *_LISTED, *_SINGLE]))
    for name in ("venues", "instruments", "strategies"):
        if not given.get(name):
            table = f"[{name}.NAME]" if name in _NAMED else f"[[{name}]]"
            raise ConfigError(f"{path}: {name}: expected at least one table {table}, found none")
    settings = Settings(**given)
    _check(settings)
    return settings


def _expect(path: Path, where: str, value: Any, kind: type, what: str) -> None:
    if not isinstance(value, kind):
        raise ConfigError(f"{path}: {where}: expected {what}, found {_shown(where, value)}")


def _table(path: Path, where: str, kind: type[msgspec.Struct], value: Any) -> Any:
    """One table as a struct."""
    _expect(path, where, value, dict, "a table")
    known = [field for field in kind.__struct_fields__ if field != "path"]
    for key, one in value.items():
        if key not in known:
            raise ConfigError(_unknown(path, f"{where}.{key}", known))
        if key in _SECRET_KEYS and not isinstance(one, dict):
            raise ConfigError(
                f'{path}: {where}.{key}: a secret stands in the configuration; write {{ env = "NAME" }} or '
                f'{{ file = "path" }} in its place, and take what stood there for known to others'
            )
    try:
        return msgspec.convert(value, kind)
    except ConfigError as error:
        raise ConfigError(f"{path}: {where}: {error}") from None
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: {_explained(where, value, str(error))}") from None


_AT = re.compile(r"^(?P<what>.*?)(?: - at `\$(?P<at>[^`]*)`)?$", re.DOTALL)
_KINDS = {"str": "text", "int": "a whole number", "float": "a number", "bool": "true or false", "object": "a table"}


def _explained(where: str, value: Any, message: str) -> str:
    """msgspec's words as key, expected and found. Values that may be secrets are not shown."""
    matched = _AT.match(message)
    assert matched is not None
    what, at = matched["what"], matched["at"] or ""
    found = value
    key = where
    for part in re.findall(r"\.(\w+)|\[(\d+|\.\.\.)\]", at):
        key += f".{part[0]}" if part[0] else f"[{part[1]}]"
        try:
            found = found[part[0]] if part[0] else found[int(part[1])]
        except (KeyError, IndexError, TypeError, ValueError):
            return f"{key}: {what}"
    if "unknown field" in what:
        return f"{key}: {what.replace('Object contains unknown field', 'unknown key')}"
    if "missing required field" in what:
        return f"{key}: {what.replace('Object missing required field', 'expected the key')}, found none"
    expected = re.match(r"Expected `([^`]*)`", what)
    if expected is not None:
        kinds = [_KINDS.get(kind.strip(), kind.strip()) for kind in expected[1].split("|") if kind.strip() != "null"]
        return f"{key}: expected {' or '.join(dict.fromkeys(kinds))}, found {_shown(key, found)}"
    if what.startswith("Invalid enum value"):
        return f"{key}: expected another word, found {_shown(key, found)}"
    return f"{key}: {what}, found {_shown(key, found)}" if not isinstance(found, dict) else f"{key}: {what}"


def _shown(where: str, value: Any) -> str:
    """A value for a message: short, and nothing of what may be a secret."""
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if _SECRET_NAME.search(where):
        return "a value that is not shown"
    text = repr(value)
    return text if len(text) <= _FOUND_MAX else text[: _FOUND_MAX - 3] + "..."


def _unknown(path: Path, where: str, known: list[str]) -> str:
    name = where.rpartition(".")[2]
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"expected one of {', '.join(known)}"
    return f"{path}: {where}: unknown key; {hint}"


def _check(settings: Settings) -> None:
    """What the types cannot say: references between tables and ranges."""
    path = settings.path
    seen: set[tuple[str, str]] = set()
    for i, one in enumerate(settings.instruments):
        if one.venue not in settings.venues:
            names = ", ".join(settings.venues)
            raise ConfigError(f"{path}: instruments[{i}].venue: expected one of {names}, found {one.venue!r}")
        if (one.venue, one.symbol) in seen:
            raise ConfigError(f"{path}: instruments[{i}].symbol: {one.symbol!r} of {one.venue} stands there twice")
        seen.add((one.venue, one.symbol))
    used = {one.venue for one in settings.instruments}
    for name, venue in settings.venues.items():
        where = f"{path}: venues.{name}"
        if name not in used:
            raise ConfigError(f"{where}: no instrument belongs to this venue; give it one or take it out")
        if (venue.api_key is None) != (venue.api_secret is None):
            missing = "api_key" if venue.api_key is None else "api_secret"
            raise ConfigError(f"{where}.{missing}: expected beside its other half, found none")
        if venue.network == "local" and not 1 <= venue.port <= 65_535:
            raise ConfigError(f"{where}.port: expected 1 to 65535 for a local venue, found {venue.port}")
        if not 0 <= venue.rest_port <= 65_535:
            raise ConfigError(f"{where}.rest_port: expected 0 to 65535, found {venue.rest_port}")
        if venue.network != "local" and (venue.port or venue.rest_port):
            raise ConfigError(
                f'{where}: port and rest_port are of a local venue; say network = "local", or take them out'
            )
    _check_ranges(settings)


_POSITIVE = ("stop_s", "answer_s")


def _check_ranges(settings: Settings) -> None:
    session, paper, path = settings.session, settings.paper, settings.path
    for name in _POSITIVE:
        value = getattr(session, name)
        if not 0 < value < 86_400_000:
            raise ConfigError(f"{path}: session.{name}: expected a number above 0, found {value}")
    if not 0 <= session.sync_ms <= 60_000:
        raise ConfigError(f"{path}: session.sync_ms: expected 0 to 60000, found {session.sync_ms}")
    if not (session.snapshot_every_s == 0 or 1 <= session.snapshot_every_s <= 86_400):
        found = session.snapshot_every_s
        raise ConfigError(f"{path}: session.snapshot_every_s: expected 0 or 1 to 86400, found {found}")
    if session.core is not None and session.core < 0:
        raise ConfigError(f"{path}: session.core: expected the number of a core, 0 or more, found {session.core}")
    if not 0 <= session.start_s < 86_400:
        raise ConfigError(f"{path}: session.start_s: expected 0 to 86400, found {session.start_s}")
    for name in ("name", "directory"):
        if not getattr(session, name).strip():
            raise ConfigError(f"{path}: session.{name}: expected text, found none")
    if not 0 <= paper.latency_ms < 60_000:
        raise ConfigError(f"{path}: paper.latency_ms: expected 0 to 60000, found {paper.latency_ms}")
    if paper.latency_sigma is not None and not 0 <= paper.latency_sigma < 10:
        raise ConfigError(f"{path}: paper.latency_sigma: expected 0 to 10, found {paper.latency_sigma}")
