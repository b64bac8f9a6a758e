"""The one exception tree of tercel.

Exceptions here speak of the environment and of bad input: a file, a line, a configuration, a strategy that does not
compile. Expected outcomes of trading (a refusal, a reject, an expiry) are rows with a reason code and are never raised.
Every message says what was expected, what was found, where, and what to do. Each class carries the exit code that the
command line ends with.
"""

from __future__ import annotations

__all__ = [
    "AffinityError",
    "CapacityError",
    "ChannelClosedError",
    "ChannelFullError",
    "ConfigError",
    "CredentialsError",
    "DataError",
    "GapError",
    "InUseError",
    "JournalError",
    "LaggedError",
    "NetworkError",
    "SendTimeoutError",
    "StorageError",
    "StrategyCompileError",
    "StrategyError",
    "StrategyRuntimeError",
    "TapeVersionError",
    "TercelError",
    "UnitError",
    "UnknownInstrumentError",
]


class TercelError(Exception):
    """Root of every error tercel raises on purpose."""

    exit_code = 1


class ConfigError(TercelError):
    """A setting or command-line argument is missing, unknown or out of range."""

    exit_code = 2


class UnitError(TercelError, ValueError):
    """A price or quantity does not lie on its instrument's tick or lot grid, or is not a finite positive number."""

    exit_code = 3


class DataError(TercelError):
    """Input data is malformed: names the file, the line or row, what was found and what to do."""

    exit_code = 3


class GapError(DataError):
    """Update identifiers of a feed do not join: messages are missing."""


class UnknownInstrumentError(TercelError, LookupError):
    """A row, order or argument names an instrument that the run does not have."""

    exit_code = 3


class TapeVersionError(DataError):
    """A tape or journal was written by another format version."""


class JournalError(DataError):
    """A journal is damaged where it may not be, belongs to another run, or does not replay to what was sent."""


class InUseError(TercelError):
    """Another process has what only one may have; the message names it."""

    exit_code = 4


class StorageError(TercelError, OSError):
    """The disk refused: full, read-only or gone. Nothing half-written is left behind."""

    exit_code = 4


class NetworkError(TercelError, ConnectionError):
    """A peer could not be reached, is not who it claims to be, or a connection broke: names host, port and cause.

    Never holds a query, a header or a body: they may carry keys and signatures.
    """

    exit_code = 7


class CredentialsError(TercelError):
    """A venue does not let the account in: its key is unknown, revoked or not permitted, or the secret is another's.

    Names the venue and its code, never the key.
    """

    exit_code = 8


class CapacityError(TercelError):
    """A stated maximum was reached where the run cannot go on; the message names the maximum and how to raise it."""

    exit_code = 5


class ChannelFullError(CapacityError):
    """A channel has no room; `item` is what was not sent."""

    def __init__(self, message: str, item: object) -> None:
        super().__init__(message)
        self.item = item


class ChannelClosedError(TercelError):
    """The other end of a channel is closed; `item` is what was not sent, None when receiving."""

    def __init__(self, message: str, item: object = None) -> None:
        super().__init__(message)
        self.item = item


class SendTimeoutError(TercelError, TimeoutError):
    """A channel stayed full for the whole time allowed; `item` is what was not sent."""

    def __init__(self, message: str, item: object) -> None:
        super().__init__(message)
        self.item = item


class LaggedError(TercelError):
    """A reader of a broadcast was too slow: `n_missed` items are gone. Reading goes on at the oldest kept."""

    def __init__(self, message: str, n_missed: int) -> None:
        super().__init__(message)
        self.n_missed = n_missed


class AffinityError(TercelError, OSError):
    """A thread could not be pinned to a core: names the core, those permitted, and what the system said."""

    exit_code = 4


class StrategyError(TercelError):
    """Something is wrong in a user's strategy."""

    exit_code = 6


class StrategyCompileError(StrategyError):
    """A strategy does not compile: names the user's line, the offending name and what to do."""


class StrategyRuntimeError(StrategyError):
    """A handler raised while running: names the handler, the event row and, where it can be found, the line."""
