"""From a configuration to the parts of a session: instruments as the venues state them, and connections.

Instruments are asked for once, before the engine is made, because its memory is laid out for them; a connection asks
again when it opens and trades nothing whose rules have changed. Called by the command line. Secrets pass through here
on their way to what signs, and stay nowhere else.
"""

from __future__ import annotations

import asyncio

from tercel.errors import ConfigError, NetworkError, UnitError, UnknownInstrumentError
from tercel.live.paper import PaperConnection
from tercel.live.recording import RecordingConnection, Sink
from tercel.live.secrets import Secret
from tercel.live.settings import PaperSettings, Settings, VenueSettings
from tercel.model.instrument import Instrument
from tercel.net.rest import RequestError, RestClient
from tercel.risk.limits import Limits
from tercel.sim.fees import Fees
from tercel.sim.latency import Latency, Lognormal
from tercel.sim.venue import VenueRules
from tercel.venues.binance.connection import BinanceConnection
from tercel.venues.binance.exchange_info import exchange_info_url, read_exchange_info
from tercel.venues.binance.settings import BinanceSettings, Credentials, local, mainnet, testnet
from tercel.venues.contract import VenueConnection

__all__ = ["adoption_prices", "ask_instruments", "binance_settings", "engine_limits", "make_connections", "paper_rules"]

_LEGS = ("new", "amend", "cancel", "response", "fill")


def binance_settings(venue: VenueSettings) -> BinanceSettings:
    """Where a venue of the configuration is."""
    if venue.network == "main":
        return mainnet(venue.market)
    if venue.network == "test":
        return testnet(venue.market)
    made = local(venue.market, venue.host, venue.port)
    if venue.rest_port:
        from msgspec.structs import replace

        made = replace(made, rest=f"http://{venue.host}:{venue.rest_port}")
    return made


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
        raise NetworkError(f"venue {name} does not tell its instruments: {error}") from None
    if answer.status != 200:
        raise NetworkError(f"venue {name} does not tell its instruments: it answers with status {answer.status}")
    info = read_exchange_info(place, answer.body, symbols, name)
    return {symbol: rules.instrument for symbol, rules in info.rules.items()}


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
    run: int,
    positions: dict[int, int] | None = None,
    sink: Sink | None = None,
) -> list[VenueConnection]:
    """One connection a venue, instruments by the engine's index.

    keys: of the accounts, by venue; on paper none are used. run, positions: of the engine, for the simulated venue.
    sink: takes every market message as it came. ConfigError: a live venue without keys.
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
            held = {i: lots for i, lots in (positions or {}).items() if i in mine}
            connection = PaperConnection(connection, paper_rules(settings.paper), run=run, positions=held)
        made.append(connection)
    return made
