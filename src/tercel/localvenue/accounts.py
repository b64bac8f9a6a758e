"""Accounts of the local venue: balances in 1e-8 units, API keys, and the money that orders hold and fills move.

Keys are made for this venue from its seed and are worth nothing anywhere else. Money is conserved: what accounts hold,
what the venue took as fees and what the simulated participants gained sums to what was deposited, always. Called by the
order desk and the request handlers.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from tercel.errors import ConfigError
from tercel.localvenue.numbers import E8

__all__ = ["Account", "ApiKey", "Bank", "demo_key", "ed25519_private_pem", "ed25519_public", "listen_key"]

#: Commission of spot in 1e-8: a tenth of a percent.
SPOT_FEE = 100_000


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """An API key. secret: of HMAC keys. public: 32 raw bytes of Ed25519 keys. can_trade: else it may only look."""

    key: str
    account: int
    secret: bytes = b""
    public: bytes = b""
    can_trade: bool = True

    def __repr__(self) -> str:
        return f"ApiKey(key={self.key[:6]}..., account={self.account})"


class Account:
    """One account: balances by asset as [free, locked], and its rates in 1e-8."""

    def __init__(self, number: int, balances: dict[str, int], maker: int = SPOT_FEE, taker: int = SPOT_FEE) -> None:
        self.number = number
        self.balances: dict[str, list[int]] = {asset: [amount, 0] for asset, amount in balances.items()}
        self.maker, self.taker = maker, taker
        self.updated_ms = 0
        #: Positions by symbol, on a futures venue.
        self.positions: dict[str, Any] = {}
        #: Open orders and waiting stops by symbol; what the desk keeps for this account.
        self.n_open: dict[str, int] = {}
        self.n_stops: dict[str, int] = {}

    def balance(self, asset: str) -> list[int]:
        """[free, locked] of an asset, made when it is new."""
        found = self.balances.get(asset)
        if found is None:
            found = self.balances[asset] = [0, 0]
        return found


class Bank:
    """Who holds what. outside: what the simulated participants gained, by asset; fees: what the venue took."""

    def __init__(self) -> None:
        self.accounts: dict[int, Account] = {}
        self.keys: dict[str, ApiKey] = {}
        self.outside: dict[str, int] = {}
        self.fees: dict[str, int] = {}
        self.deposited: dict[str, int] = {}

    def open_account(self, number: int, balances: dict[str, int], **rates: int) -> Account:
        """A new account with these 1e-8 units."""
        if number in self.accounts or number < 1:
            raise ConfigError(f"account {number}: numbers are 1 or more, each once")
        if any(amount < 0 for amount in balances.values()):
            raise ConfigError(f"account {number}: a balance cannot be negative")
        account = self.accounts[number] = Account(number, balances, **rates)
        for asset, amount in balances.items():
            self.deposited[asset] = self.deposited.get(asset, 0) + amount
        return account

    def add_key(self, key: ApiKey) -> None:
        """Let a key in."""
        if key.account not in self.accounts:
            raise ConfigError(f"API key of account {key.account}, which does not exist")
        self.keys[key.key] = key

    def imbalance(self) -> dict[str, int]:
        """Assets whose sums do not agree with what was deposited, with the difference; empty when money is whole."""
        totals: dict[str, int] = {}
        for held in (self.outside, self.fees):
            for asset, amount in held.items():
                totals[asset] = totals.get(asset, 0) + amount
        for account in self.accounts.values():
            for asset, (free, locked) in account.balances.items():
                totals[asset] = totals.get(asset, 0) + free + locked
        assets = {*totals, *self.deposited}
        off = {asset: totals.get(asset, 0) - self.deposited.get(asset, 0) for asset in sorted(assets)}
        return {asset: amount for asset, amount in off.items() if amount}

    # --- what orders do to money ----------------------------------------------------------------------------------

    def reserve(self, account: Account, asset: str, amount: int) -> bool:
        """Move `amount` from free to locked; False when there is not so much."""
        balance = account.balance(asset)
        if balance[0] < amount:
            return False
        balance[0] -= amount
        balance[1] += amount
        return True

    def release(self, account: Account, asset: str, amount: int) -> None:
        """Move `amount` back from locked to free."""
        balance = account.balance(asset)
        balance[0] += amount
        balance[1] -= amount

    def settle(
        self, account: Account, gives: str, amount: int, gets: str, return_amount: int, rate: int, unlock: int
    ) -> int:
        """A fill: `amount` of one asset for `return_amount` of another, less commission; returns the commission.

        unlock: what the order had locked for this fill, at least `amount`; the rest of it becomes free. Commission is
        taken from what is received, rounded down.
        """
        given, got = account.balance(gives), account.balance(gets)
        given[1] -= unlock
        given[0] += unlock - amount
        fee = return_amount * rate // E8
        got[0] += return_amount - fee
        self.fees[gets] = self.fees.get(gets, 0) + fee
        self.outside[gives] = self.outside.get(gives, 0) + amount
        self.outside[gets] = self.outside.get(gets, 0) - return_amount
        return fee


def _digest(seed: int, *words: object) -> bytes:
    return hashlib.blake2b(repr(("tercel local venue", seed, *words)).encode(), digest_size=32).digest()


def demo_key(seed: int, account: int, kind: str = "hmac", *, can_trade: bool = True) -> ApiKey:
    """The key that a venue of this seed makes for an account: kind "hmac" or "ed25519". Worth nothing elsewhere."""
    name = _digest(seed, account, kind, can_trade, "key").hex()
    if kind == "hmac":
        secret = _digest(seed, account, kind, can_trade, "secret").hex().encode()
        return ApiKey(key=name, account=account, secret=secret, can_trade=can_trade)
    return ApiKey(key=name, account=account, public=_raw_public(seed, account), can_trade=can_trade)


def _private(seed: int, account: int) -> Any:
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    except ImportError as error:
        raise ConfigError("Ed25519 keys need the package cryptography: pip install 'tercel[ed25519]'") from error
    return Ed25519PrivateKey.from_private_bytes(_digest(seed, account, "ed25519", "private"))


def _raw_public(seed: int, account: int) -> bytes:
    raw: bytes = _private(seed, account).public_key().public_bytes_raw()
    return raw


def ed25519_private_pem(seed: int, account: int) -> str:
    """The private key that belongs to `demo_key(seed, account, "ed25519")`, as PEM text for a client."""
    from cryptography.hazmat.primitives import serialization as s

    plain = s.NoEncryption()
    text: bytes = _private(seed, account).private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, plain)
    return text.decode()


def ed25519_public(raw: bytes) -> Any:
    """A public key that can verify, from its 32 bytes."""
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError as error:
        raise ConfigError("Ed25519 keys need the package cryptography: pip install 'tercel[ed25519]'") from error
    return Ed25519PublicKey.from_public_bytes(raw)


def listen_key(seed: int, account: int, number: int) -> str:
    """The venue's listen key of this number."""
    return _digest(seed, account, number, "listen key").hex()
