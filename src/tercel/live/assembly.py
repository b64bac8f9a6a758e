"""From a configuration to a session's plan: instruments as the venues state them, limits, connections.

Instruments are asked for once, before the engine is made, because its memory is laid out for them; a connection asks
again when it opens and trades nothing whose rules have changed. Called by the command line and from Python. Secrets
pass through here on their way to what signs, and stay nowhere else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tercel.errors import ConfigError, NetworkError, UnitError, UnknownInstrumentError
from tercel.live.control import check_halt
from tercel.live.driver import LiveOptions
from tercel.live.paper import PaperConnection
from tercel.live.plan import ActorPlan, SessionPlan, SessionReport
from tercel.live.recording import RecordingConnection, Sink
from tercel.live.secrets import Secret
from tercel.live.session import LiveSession
from tercel.live.settings import PaperSettings, Settings, VenueSettings
from tercel.model.instrument import Instrument
from tercel.net.rest import Answer, RequestError, RestClient
from tercel.risk.limits import Limits
from tercel.runtime.loop import run
from tercel.sim.fees import Fees
from tercel.sim.latency import Latency, Lognormal
from tercel.sim.venue import VenueRules
from tercel.store.journal import Sync
from tercel.store.tape import Tape
from tercel.strategy.contract import Strategy
from tercel.venues.binance.connection import BinanceConnection
from tercel.venues.binance.exchange_info import exchange_info_url, read_exchange_info
from tercel.venues.binance.settings import BinanceSettings, Credentials, local, mainnet, testnet
from tercel.venues.contract import VenueConnection

__all__ = [
    "adoption_prices", "ask_instruments", "binance_settings", "engine_limits", "make_connections", "paper_rules",
    "plan_session", "read_warm_up", "run_session",
]  # fmt: skip

_LEGS = ("new", "amend", "cancel", "response", "fill")


def binance_settings(venue: VenueSettings) -> BinanceSettings:
    """Where a venue of the configuration is."""
    if venue.network == "main":
        return mainnet(venue.market)
    if venue.network == "test":
        return testnet(venue.market)
    return local(venue.market, venue.host, venue.port, venue.rest_port)


async def ask_instruments(settings: Settings) -> list[Instrument]:
    """Every instrument of the configuration, in its order, as its venue states it now.

    NetworkError: a venue does not answer. UnknownInstrumentError: it has no such symbol.
    """
    async with RestClient() as rest:
        names = list(settings.venues)
        answers = await asyncio.gather(*(_ask_venue(rest, settings, name) for name in names))
    known = dict(zip(names, answers))
    found = []
    for i, one in enumerate(settings.instruments):
        if one.symbol not in known[one.venue]:
            raise UnknownInstrumentError(
                f"{settings.path}: instruments[{i}].symbol: venue {one.venue} has no {one.symbol!r}; write it as the "
                f"venue does"
            )
        found.append(known[one.venue][one.symbol])
    return found


async def _ask_venue(rest: RestClient, settings: Settings, name: str) -> dict[str, Instrument]:
    place = binance_settings(settings.venues[name])
    symbols = [one.symbol for one in settings.instruments if one.venue == name]
    try:
        answer = await rest.request("GET", exchange_info_url(place))
    except RequestError as error:
        raise NetworkError(
            f"venue {name} does not tell its instruments: {error}{_hint(settings.venues[name])}"
        ) from None
    if answer.status != 200:
        raise NetworkError(f"venue {name} does not tell its instruments: {_why(answer)}{_hint(settings.venues[name])}")
    info = read_exchange_info(place, answer.body, symbols, name)
    return {symbol: rules.instrument for symbol, rules in info.rules.items()}


def _hint(venue: VenueSettings) -> str:
    """Where a local venue is looked for, for who has started it elsewhere."""
    if venue.network != "local":
        return ""
    http = venue.rest_port or venue.port
    return (
        f"; its HTTP is looked for at port {http} (rest_port), its WebSockets at {venue.port} (port): `tercel venue` "
        f"tells both when it starts"
    )


def _why(answer: Answer) -> str:
    """What a status other than 200 says to people."""
    after = answer.headers.get("retry-after", "")
    wait = f"wait {after} s before the next start" if after.isdigit() else "wait before the next start"
    if answer.status == 429:
        return f"it asks to slow down (429): {wait}"
    if answer.status == 418:
        return f"it has banned this address for asking too much (418): {wait}"
    if answer.status == 503:
        return "it is in maintenance or cannot keep up (503): try later"
    return f"it answers with status {answer.status}"


def paper_rules(paper: PaperSettings) -> VenueRules:
    """The rules of the simulated venue that a configuration states."""
    latency = Latency.both(paper.latency_ms)
    if paper.latency_sigma is not None:
        legs = {
            leg: Lognormal(median_ms=paper.latency_ms, sigma=paper.latency_sigma, seed=seed)
            for seed, leg in enumerate(_LEGS, start=1)
        }
        latency = Latency(**legs)
    return VenueRules(
        latency=latency,
        fees=Fees(maker=paper.maker_bp, taker=paper.taker_bp),
        queue=paper.queue,
        queue_n=paper.queue_n,
        partial_fills=paper.partial_fills,
        consume=paper.consume,
    )


def engine_limits(settings: Settings, instruments: list[Instrument]) -> list[Limits]:
    """One Limits per instrument; ConfigError, with the key, where one does not fit its instrument."""
    found = []
    for i, instrument in enumerate(instruments):
        limits = settings.limits_of(i) or Limits()
        try:
            limits.row(instrument)
        except ConfigError as error:
            raise ConfigError(f"{settings.path}: instruments[{i}] ({instrument.symbol}): {error}") from None
        found.append(limits)
    return found


def adoption_prices(settings: Settings, instruments: list[Instrument]) -> dict[int, int]:
    """Instrument -> ticks at which a position from before is taken over; ConfigError where a price is not on a tick."""
    found: dict[int, int] = {}
    for i, one in enumerate(settings.instruments):
        if one.adopt_at is not None:
            try:
                found[i] = instruments[i].ticks(str(one.adopt_at))
            except UnitError as error:
                raise ConfigError(f"{settings.path}: instruments[{i}].adopt_at: {error}") from None
            if found[i] <= 0:
                raise ConfigError(f"{settings.path}: instruments[{i}].adopt_at: expected a price, found {one.adopt_at}")
    return found


def make_connections(
    settings: Settings,
    instruments: list[Instrument],
    *,
    keys: dict[str, tuple[Secret, Secret]] | None = None,
    on_paper: bool,
    sink: Sink | None = None,
) -> list[VenueConnection]:
    """One connection a venue, instruments by the engine's index.

    keys: of the accounts, by venue; on paper none are used. sink: takes every market message as it came. ConfigError:
    a live venue without keys.
    """
    made: list[VenueConnection] = []
    for name, venue in settings.venues.items():
        mine = {i: instruments[i] for i, one in enumerate(settings.instruments) if one.venue == name}
        place = binance_settings(venue)
        credentials = None
        if not on_paper:
            pair = (keys or {}).get(name)
            if pair is None:
                raise ConfigError(
                    f"{settings.path}: venues.{name}: live trading needs api_key and api_secret, each "
                    f'{{ env = "NAME" }} or {{ file = "path" }}'
                )
            credentials = Credentials(pair[0].reveal(), pair[1].reveal())
        connection: VenueConnection = BinanceConnection(place, mine, credentials, name)
        if sink is not None:
            connection = RecordingConnection(connection, sink)
        if on_paper:
            connection = PaperConnection(connection, paper_rules(settings.paper))
        made.append(connection)
    return made


def read_warm_up(path: Path, instruments: Sequence[Instrument]) -> np.ndarray:
    """The rows of a tape with the session's instrument numbers; what it has of others is left out.

    ConfigError: it lacks an instrument of the session, or has it on another grid. StorageError: it cannot be read.
    """
    tape = Tape.open(path)
    numbers = np.full(len(tape.instruments), -1, np.int64)
    for is_same_venue in (True, False):
        for i, one in enumerate(instruments):
            if i in numbers:
                continue
            for j, theirs in enumerate(tape.instruments):
                is_it = (theirs.symbol, theirs.tick_size, theirs.lot_size) == (one.symbol, one.tick_size, one.lot_size)
                if is_it and numbers[j] < 0 and (theirs.venue == one.venue or not is_same_venue):
                    numbers[j] = i
                    break
    missing = [one.symbol for i, one in enumerate(instruments) if i not in numbers]
    if missing:
        known = ", ".join(f"{x.symbol} (tick {x.tick_size}, lot {x.lot_size})" for x in tape.instruments)
        raise ConfigError(
            f"the warm-up {path} lacks {', '.join(missing)} with the tick and lot sizes of the venue; it has: {known}"
        )
    rows = np.array(tape.rows())
    placed = numbers[rows["instrument"]]
    rows["instrument"] = np.maximum(placed, 0)
    kept: np.ndarray = rows[placed >= 0]
    return kept


async def plan_session(
    settings: Settings,
    strategies: Sequence[Strategy],
    *,
    on_paper: bool = True,
    keys: dict[str, tuple[Secret, Secret]] | None = None,
    actors: Sequence[ActorPlan] = (),
    duration_s: float = 0.0,
    is_anew: bool = False,
    is_resuming: bool = False,
    is_forced: bool = False,
    meta: dict[str, str] | None = None,
    sink: Sink | None = None,
    taps: Sequence[Callable[[np.ndarray, int], None]] = (),
) -> SessionPlan:
    """Ask the venues of a configuration for their instruments, and say what the session is made of.

    strategies, actors: in place of those that the configuration names. on_paper: fills are simulated, no key is needed.
    keys, sink: see `make_connections`. The rest: of `SessionPlan`. Raises what is wrong with the configuration, and
    NetworkError where a venue does not answer.
    """
    directory = settings.place(settings.session.directory)
    check_halt(directory)
    instruments = await ask_instruments(settings)
    adoption_prices(settings, instruments)
    adopt_at = {i: str(one.adopt_at) for i, one in enumerate(settings.instruments) if one.adopt_at is not None}
    warm_up = None
    if settings.session.warm_up:
        warm_up = read_warm_up(settings.place(settings.session.warm_up), instruments)
    return SessionPlan(
        strategies=strategies,
        instruments=instruments,
        connections=make_connections(settings, instruments, keys=keys, on_paper=on_paper, sink=sink),
        directory=directory,
        limits=engine_limits(settings, instruments),
        actors=actors,
        actors_in=settings.session.actors_in,
        taps=taps,
        sync=Sync(every_ms=settings.session.sync_ms, on_order=settings.session.sync_on_order),
        snapshot_every_s=settings.session.snapshot_every_s,
        options=LiveOptions(answer_ns=round(settings.session.answer_s * 1e9)),
        warm_up=warm_up,
        is_anew=is_anew,
        is_resuming=is_resuming,
        adopt_at=adopt_at,
        is_forced=is_forced,
        start_s=settings.session.start_s,
        duration_s=duration_s,
        stop_s=settings.session.stop_s,
        core=settings.session.core,
        is_busy_polling=settings.session.busy_poll,
        meta={"name": settings.session.name, "kind": "paper" if on_paper else "live", **(meta or {})},
    )


def run_session(settings: Settings, strategies: Sequence[Strategy], **wishes: Any) -> SessionReport:
    """Trade through one whole session, in an event loop of its own, and say how it ended. wishes: of `plan_session`.

    Raises what keeps the session from starting; what breaks it later stands in the report.
    """

    async def live() -> SessionReport:
        return await LiveSession(await plan_session(settings, strategies, **wishes)).run()

    return run(live())
