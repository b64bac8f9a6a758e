"""What a journal looks like on disk: its header, its files, its blocks, and how a command is spelled as a row.

A journal is a directory of runs; each start of a driver is one run with a number of its own. A run holds a header, a
row of segments and its last snapshots. A segment is a row of 4 KiB blocks: one head of 64 bytes and 63 rows. Every head
has the shape of an EVENT row without the flag LOCAL, and so has every command, so that a mapped segment is one array of
EVENT that the engine can step through: it steps over both. Nothing here opens a file. Read by writer and reader.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from tercel.config import Capacity
from tercel.errors import ConfigError
from tercel.model.commands import COMMAND, COMMAND_VERSION
from tercel.model.cursor import COMMAND_BASE, FLAG_SHIFT
from tercel.model.events import EVENT, EVENT_VERSION, LOCAL, TIMER
from tercel.model.instrument import Instrument
from tercel.model.rowcopy import picked

__all__ = [
    "BLOCK",
    "BLOCK_BYTES",
    "BLOCK_ROWS",
    "CHECKED_FROM",
    "COMMAND_BASE",
    "JOURNAL_VERSION",
    "MAGIC",
    "Closed",
    "JournalHeader",
    "StrategyRecord",
    "Sync",
    "block_constants",
    "command_bytes",
    "commands_of",
    "is_command",
    "is_note",
    "last_run",
    "next_run",
    "run_directory",
    "run_number",
    "segment_name",
    "segment_number",
]

JOURNAL_VERSION = 1
BLOCK_BYTES = 4096
BLOCK_ROWS = BLOCK_BYTES // EVENT.itemsize - 1

#: Kind of the row at the head of a block: three checksums, then MAGIC, run, position of the block's first row in the
#: run, and how far the run was synced when the block was begun. The first is the CRC32 of everything from CHECKED_FROM
#: to the end of the block, 0 until it is full. The second is the Adler-32 from there to the last row appended: it says
#: how many rows an open block holds, at a third of the price of a CRC32 over 64 bytes. The third is what the second was
#: at the last sync.
BLOCK = 120
MAGIC = int.from_bytes(b"TCJOURN1", "little")
CHECKED_FROM = 16
_KIND_AT, _FLAGS_AT = EVENT.fields["kind"][1], EVENT.fields["flags"][1]  # type: ignore[index]
assert (COMMAND.fields["kind"][1], COMMAND.fields["flags"][1]) == (_KIND_AT, _FLAGS_AT)  # type: ignore[index]

_CONSTANTS = struct.Struct("<QqqqqbB6x")  # magic, run, position, synced, spare, kind
_RUN_BITS = 30
#: 2024-01-01, from which the numbers of runs count seconds.
_RUN_EPOCH_S = 1_704_067_200


class StrategyRecord(msgspec.Struct, frozen=True):
    """A strategy as a run had it: name of its class, digest of its code and record, values of its parameters."""

    name: str
    digest: str
    parameters: dict[str, Any] = {}


class JournalHeader(msgspec.Struct, frozen=True, kw_only=True):
    """What a run was, enough to refuse a wrong recovery by name. Made by `engine.recovery.header_of`.

    run: number, shared by no other run of the account; order ids are made from it. created_ns: wall clock. instruments,
    strategies, limits: by index, limits one an instrument, as plain values. capacity: the engine's maxima. layout,
    block_version: digest and version of the state block. state: digest of the state that the run began with. meta:
    anything else worth keeping, never secrets. boot: the machine's boot, which the writer fills in: while it is the
    same, nothing that was appended can have been lost.
    """

    run: int
    created_ns: int
    instruments: tuple[Instrument, ...]
    strategies: tuple[StrategyRecord, ...]
    limits: tuple[dict[str, Any], ...]
    capacity: Capacity
    layout: int
    block_version: int
    state: str
    format_version: int = JOURNAL_VERSION
    event_version: int = EVENT_VERSION
    command_version: int = COMMAND_VERSION
    meta: dict[str, str] = {}
    boot: str = ""


class Sync(msgspec.Struct, frozen=True, kw_only=True):
    """When rows are forced to the disk, which is what survives a loss of power; a killed process loses nothing.

    every_ms: a thread syncs that often, off the hot path; 0: nobody does but `sync` and `close`. on_order: commands are
    on the disk before `append_commands` returns, and so before they can leave.
    """

    every_ms: float = 100.0
    on_order: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        if not 0 <= self.every_ms <= 60_000:
            raise ConfigError(f"sync every_ms must be 0 to 60,000, found {self.every_ms}")


class Closed(msgspec.Struct, frozen=True):
    """What a clean end leaves: how many rows the run holds."""

    position: int


def run_directory(path: Path, run: int) -> Path:
    """Where a run of the journal `path` lies."""
    return path / f"run-{run:010d}"


def run_number(directory: Path) -> int:
    """The run a directory holds, 0 when it is not one of a run."""
    digits = directory.name.removeprefix("run-")
    return int(digits) if directory.name == f"run-{digits}" and len(digits) == 10 and digits.isdecimal() else 0


def last_run(path: Path) -> int:
    """The highest run number that the journal `path` has ever given out and still knows of; 0 for none."""
    return max((run_number(entry) for entry in path.iterdir()), default=0) if path.is_dir() else 0


def next_run(path: Path, now_ns: int = 0) -> int:
    """A run number that no run of this journal has: one more than the last, and not below the seconds since 2024.

    now_ns: wall clock. With it, a journal that was deleted does not begin again with numbers, and so with order ids,
    that the venue has seen.
    """
    run = max(last_run(path) + 1, now_ns // 1_000_000_000 - _RUN_EPOCH_S, 1)
    if run >= 1 << _RUN_BITS:
        raise ConfigError(f"journal {path}: the next run would be {run}, but runs end at {(1 << _RUN_BITS) - 1}")
    return run


def segment_name(i_segment: int) -> str:
    """The file name of a run's segment."""
    return f"segment-{i_segment:08d}.rows"


def segment_number(path: Path) -> int:
    """The number of a segment file, -1 when it is none."""
    digits = path.name.removeprefix("segment-").removesuffix(".rows")
    return int(digits) if path.name == f"segment-{digits}.rows" and len(digits) == 8 and digits.isdecimal() else -1


def block_constants(run: int, position: int, synced: int) -> bytes:
    """The 48 bytes of a block's head that never change once the block is begun."""
    return _CONSTANTS.pack(MAGIC, run, position, synced, 0, BLOCK, 0)


def command_bytes(commands: np.ndarray) -> bytearray:
    """(n,) COMMAND as rows of a journal."""
    raw = bytearray(commands.tobytes())
    for at in range(0, len(raw), EVENT.itemsize):
        raw[at + _KIND_AT] += COMMAND_BASE
        raw[at + _FLAGS_AT + 1] = raw[at + _FLAGS_AT]
        raw[at + _FLAGS_AT] = 0
    return raw


def is_command(rows: np.ndarray) -> np.ndarray:
    """(n,) bool: which rows of a journal are commands."""
    found: np.ndarray = (rows["kind"] > COMMAND_BASE) & (rows["kind"] < BLOCK)
    return found


def is_note(rows: np.ndarray) -> np.ndarray:
    """(n,) bool: which rows of a journal are notes of the driver (see engine.replay)."""
    found: np.ndarray = (rows["kind"] == TIMER) & (rows["flags"] & LOCAL == 0)
    return found


def commands_of(rows: np.ndarray) -> np.ndarray:
    """The commands among rows of a journal, as they were: (m,) COMMAND, copied."""
    commands: np.ndarray = picked(rows, is_command(rows)).view(COMMAND)
    commands["kind"] -= COMMAND_BASE
    commands["flags"] >>= FLAG_SHIFT
    return commands
