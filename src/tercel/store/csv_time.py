"""Times as CSV files write them, turned into nanoseconds since the epoch.

Numbers since the epoch in seconds to nanoseconds, milliseconds of a day whose date stands elsewhere, ISO 8601,
`YYYYMMDD HH:MM`, and any strptime pattern. Nothing ambiguous is guessed: day/month order has to be said. Called by
`csv` only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from tercel.errors import ConfigError

__all__ = ["TIME_FORMATS", "date_in", "detect_time_format", "period_ns", "time_parser"]

#: What `time_format` may be, next to "auto" and strptime patterns.
TIME_FORMATS = ("s", "ms", "us", "ns", "ms_of_day", "iso", "ymd_hm")

_UNITS_NS = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}
_PERIODS_NS = {"s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9, "d": 86400 * 10**9}
_DATE = re.compile(r"(?<!\d)(\d{8})(?!\d)")
_ISO = re.compile(r"\d{4}-\d\d-\d\d([T ]|$)")


def date_in(name: str) -> date | None:
    """The first valid YYYYMMDD in a file name."""
    for digits in _DATE.findall(name):
        try:
            return datetime.strptime(digits, "%Y%m%d").date()
        except ValueError:
            continue
    return None


def period_ns(period: str | int | None) -> int | None:
    """A bar's length in ns: an int is ns already; "30s", "1m", "4h", "1d" are read. ConfigError otherwise."""
    if period is None or isinstance(period, int):
        length = period
    else:
        number, unit = period[:-1], period[-1:]
        if not number.isdigit() or unit not in _PERIODS_NS:
            raise ConfigError(f'period must be like "30s", "1m", "4h" or "1d", found {period!r}')
        length = int(number) * _PERIODS_NS[unit]
    if length is not None and length <= 0:
        raise ConfigError(f"period must be positive, found {period!r}")
    return length


def detect_time_format(text: str, day: date | None) -> str | None:
    """Which format a time is in, from one example; None when it cannot be told. day: the date the file name states."""
    text = text.strip()
    if text.replace(".", "", 1).isdigit():
        whole = text.partition(".")[0]
        if len(whole) <= 8:
            return "ms_of_day" if day is not None else ("%Y%m%d" if len(whole) == 8 and "." not in text else None)
        return {10: "s", 13: "ms", 16: "us", 19: "ns"}.get(len(whole))
    if re.fullmatch(r"\d{8} \d\d:\d\d", text):
        return "ymd_hm"
    return "iso" if _ISO.match(text) else None


def _epoch_ns(moment: datetime, zone: ZoneInfo) -> int:
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone)
    passed = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (passed.days * 86_400 + passed.seconds) * 1_000_000_000 + passed.microseconds * 1_000


def _from_iso(text: str, zone: ZoneInfo) -> int:
    """ISO 8601 to ns; digits below a microsecond are kept."""
    head, dot, rest = text.strip().partition(".")
    if not dot:
        return _epoch_ns(datetime.fromisoformat(head), zone)
    digits = re.match(r"\d+", rest)
    fraction = digits.group(0) if digits else ""
    if not fraction or len(fraction) > 9:
        raise ValueError(f"a fraction of 1 to 9 digits, found {rest!r}")
    return _epoch_ns(datetime.fromisoformat(head + rest[len(fraction) :]), zone) + int(fraction.ljust(9, "0"))


def time_parser(time_format: str, zone_name: str, day: date | None) -> Callable[[Sequence[str]], list[int]]:
    """A function that turns a column of texts into ns since the epoch; it raises ValueError for a bad one.

    zone_name: IANA name, for times that carry no offset. day: the date of "ms_of_day" times. ConfigError when the
    format is unknown or lacks its date.
    """
    try:
        zone = ZoneInfo(zone_name)
    except (KeyError, ValueError, OSError):
        raise ConfigError(f"unknown timezone {zone_name!r}: expected an IANA name such as America/New_York") from None
    if time_format in _UNITS_NS:
        unit = _UNITS_NS[time_format]
        return lambda column: [_scaled(text, unit) for text in column]
    if time_format == "ms_of_day":
        if day is None:
            raise ConfigError("times are milliseconds of a day: state the day with date=YYYYMMDD")
        start = _epoch_ns(datetime(day.year, day.month, day.day), zone)
        return lambda column: [start + _scaled(text, 1_000_000) for text in column]
    if time_format == "iso":
        return lambda column: [_from_iso(text, zone) for text in column]
    pattern = "%Y%m%d %H:%M" if time_format == "ymd_hm" else time_format
    if "%" not in pattern:
        known = ", ".join(TIME_FORMATS)
        raise ConfigError(f"unknown time format {time_format!r}: expected auto, {known} or a strptime pattern")
    return lambda column: [_epoch_ns(datetime.strptime(text.strip(), pattern), zone) for text in column]


def _scaled(text: str, unit_ns: int) -> int:
    """A count of units, possibly with a fraction, as whole ns."""
    if text.isdigit():
        return int(text) * unit_ns
    try:
        exact = Decimal(text.strip()) * unit_ns
        whole = int(exact)
    except (ArithmeticError, ValueError):
        raise ValueError(f"a number, found {text!r}") from None
    if whole != exact or whole < 0:
        raise ValueError(f"a whole number of nanoseconds, found {text!r}")
    return whole
