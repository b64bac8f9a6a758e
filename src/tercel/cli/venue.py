"""`tercel venue`: the local venue in the foreground, until SIGINT or SIGTERM."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tercel.live.places import LOCAL_PORT, LOCAL_REST_PORT

if TYPE_CHECKING:
    from tercel.cli.terminal import Terminal
    from tercel.localvenue.server import VenueServer
    from tercel.localvenue.venue import LocalVenue

__all__ = ["DESCRIPTION", "add_arguments", "make_venue", "run"]

DESCRIPTION = """Run a venue on this machine that speaks Binance's public protocol, spot or USD-M futures: market data
streams, user data, signed orders by REST and WebSocket API. Its market is simulated, or a tape. Money and keys are made
for it and worth nothing anywhere else. docs/local-venue.md says what it implements and how to point a client at it."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--port", type=int, default=LOCAL_PORT,
                        help=f"of the WebSockets, 0 for any (default: {LOCAL_PORT})")  # fmt: skip
    parser.add_argument("--rest-port", type=int, default=LOCAL_REST_PORT,
                        help=f"of REST, 0 for any (default: {LOCAL_REST_PORT})")  # fmt: skip
    parser.add_argument("--futures", action="store_true", help="USD-M futures instead of spot")
    parser.add_argument("--seed", type=int, default=1, help="which market and which keys (default: 1)")
    parser.add_argument("--tape", type=Path, metavar="FILE.tape", help="play this tape instead of simulating a market")
    parser.add_argument("--speed", type=float, default=1.0, help="market seconds in a second (default: 1)")
    parser.add_argument("--symbols", metavar="A,B", help="what is listed (default: BTCUSDT,ETHUSDT, or the tape's)")
    parser.add_argument("--accounts", type=int, default=3, help="accounts, each with keys and money (default: 3)")
    parser.add_argument("--ed25519", action="store_true", help="make Ed25519 keys too, for session.logon")
    parser.add_argument("--no-limits", action="store_true", help="no rate limits, for load tests")


def make_venue(options: argparse.Namespace) -> LocalVenue:
    """The venue that the arguments ask for, not started; ConfigError or DataError says what is wrong with them."""
    from tercel.localvenue.limits import LimitRules
    from tercel.localvenue.symbols import default_symbols, tape_symbols
    from tercel.localvenue.venue import LocalVenue, VenueSetup
    from tercel.store.tape import Tape

    names = [name.strip() for name in options.symbols.split(",")] if options.symbols else None
    tape = Tape.open(options.tape) if options.tape else None
    symbols = tape_symbols(tape.instruments, names) if tape else default_symbols(names)
    setup = VenueSetup(
        product="usdm" if options.futures else "spot",
        seed=options.seed,
        symbols=symbols,
        speed=options.speed,
        n_accounts=options.accounts,
        with_ed25519=options.ed25519,
        limits=LimitRules.none() if options.no_limits else LimitRules(),
    )
    return LocalVenue(setup, tape)


def _facts(server: VenueServer, options: argparse.Namespace) -> dict[str, Any]:
    """Addresses and keys, as values."""
    from tercel.localvenue.accounts import ed25519_private_pem

    keys = []
    for key in server.venue.keys:
        facts: dict[str, Any] = {"account": key.account, "may_trade": key.can_trade, "key": key.key}
        if key.public:
            facts.update(kind="ed25519", private_key_pem=ed25519_private_pem(options.seed, key.account))
        else:
            facts.update(kind="hmac", secret=key.secret.decode())
        keys.append(facts)
    return {
        "rest": server.rest_url,
        "api": "/api/v3" if server.venue.is_spot else "/fapi",
        "streams": server.stream_url,
        "ws_api": server.ws_api_url,
        "symbols": list(server.venue.markets),
        "seed": options.seed,
        "test_keys": keys,
    }


def _show(terminal: Terminal, facts: dict[str, Any]) -> None:
    terminal.emit(facts)
    rows = [
        ("REST", facts["rest"] + facts["api"]),
        ("streams", f"{facts['streams']}/ws and /stream"),
        ("WebSocket API", facts["ws_api"]),
        ("symbols", ", ".join(facts["symbols"])),
    ]
    for key in facts["test_keys"]:
        may = "" if key["may_trade"] else ", may only look"
        secret = key.get("secret") or key["private_key_pem"]
        rows.append((f"test key of account {key['account']}", f"{key['key']} ({key['kind']}{may})\n{secret.strip()}"))
    terminal.panel("local venue (money and keys made for it, worth nothing elsewhere)", rows)
    # Whoever started this waits for the addresses.
    sys.stdout.flush()


def run(options: argparse.Namespace) -> int:
    """Serve until a signal comes."""
    from tercel.cli.terminal import Terminal
    from tercel.cli.warm import TAPE_VENUE_ENTRIES, VENUE_ENTRIES, warm
    from tercel.localvenue.server import VenueServer
    from tercel.runtime.loop import run as run_loop
    from tercel.runtime.shutdown import Shutdown

    terminal = Terminal(json=options.json)
    warm(terminal, TAPE_VENUE_ENTRIES if options.tape else VENUE_ENTRIES)
    venue = make_venue(options)

    async def serve() -> None:
        with Shutdown() as shutdown:
            async with VenueServer(venue, port=options.port, rest_port=options.rest_port) as server:
                _show(terminal, _facts(server, options))
                terminal.say("serving; end it with Ctrl-C")
                why = await shutdown.wait()
            off = venue.bank.imbalance()
            money = "every unit of money accounted for" if not off else f"MONEY IS OFF: {off}"
            terminal.say(f"ended by {why}: {venue.desk.n_placed:,} orders, {venue.desk.n_executions:,} fills; {money}")

    run_loop(serve())
    return 0
