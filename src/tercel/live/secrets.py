"""Secrets: keys of an account, named in a configuration and read where they lie, never shown.

A configuration holds a reference, `{ env = "NAME" }` or `{ file = "path" }`; what it refers to is read when a session
starts, and lives in a `Secret`, whose text, repr, format and pickle tell nothing. Only `reveal` gives it out, to what
signs requests. Nothing here writes, and no error text holds a secret or a part of one.
"""

from __future__ import annotations

import hmac
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import msgspec

from tercel.errors import ConfigError

__all__ = ["Secret", "SecretRef"]

_FILE_MAX = 1 << 16


class Secret:
    """A value that shows itself to `reveal` alone. where: the reference it came from, for messages."""

    __slots__ = ("_value", "where")

    def __init__(self, value: str, where: str = "given") -> None:
        self._value = value
        self.where = where

    def reveal(self) -> str:
        """The secret itself; to be handed on, never kept in a text."""
        return self._value

    def __repr__(self) -> str:
        return f"Secret({self.where})"

    def __format__(self, spec: str) -> str:
        return format(repr(self), spec)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return hash(Secret)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not copied, pickled or encoded")


class SecretRef(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a secret lies: in an environment variable or in a file of its own, one of the two."""

    env: str = ""
    file: str = ""

    def __post_init__(self) -> None:
        """Refuse none and both."""
        if bool(self.env) == bool(self.file):
            raise ValueError('a secret is { env = "NAME" } or { file = "path" }, one of the two')

    def __str__(self) -> str:
        return f"environment variable {self.env}" if self.env else f"file {self.file}"

    def read(self, where: str, environment: Mapping[str, str] | None = None, base: Path | None = None) -> Secret:
        """The secret. where: the configuration key, for messages. base: what a relative file lies under.

        ConfigError when there is none, or when others than its owner may read the file.
        """
        if self.env:
            value = (os.environ if environment is None else environment).get(self.env, "").strip()
            if not value:
                raise ConfigError(f"{where}: the environment variable {self.env} is not set; export it and start again")
            return Secret(value, f"env {self.env}")
        path = Path(self.file).expanduser()
        path = base / path if base is not None and not path.is_absolute() else path
        return Secret(_read_file(path, where), f"file {self.file}")


def _read_file(path: Path, where: str) -> str:
    """The text of a file that only its owner can read. It is opened once, and judged as opened."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError as error:
        raise ConfigError(f"{where}: the secret file {path} cannot be read: {error.strerror}") from None
    with os.fdopen(descriptor, "rb") as file:
        status: Any = os.fstat(descriptor)
        mode = stat.S_IMODE(status.st_mode)
        if not stat.S_ISREG(status.st_mode):
            raise ConfigError(f"{where}: {path} is no regular file; a secret lies in a file of its own")
        if mode & 0o077:
            raise ConfigError(
                f"{where}: others than its owner may use the secret file {path} (mode {mode:04o}); expected 0600: run "
                f"chmod 600 {path}"
            )
        if status.st_size > _FILE_MAX:
            raise ConfigError(f"{where}: {path} has {status.st_size} bytes; a secret file holds the secret alone")
        raw = file.read()
    try:
        text = raw.decode().strip()
    except UnicodeDecodeError:
        raise ConfigError(f"{where}: the secret file {path} is not text") from None
    if not text:
        raise ConfigError(f"{where}: the secret file {path} is empty")
    return text
