"""Addresses of databases and stores: their drivers, their secrets, a lock that all users share."""

from __future__ import annotations

import importlib.util
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from sqlalchemy import Connection

SQLITE = "sqlite:///"
# The module that speaks to such an address, and the extra of this package that brings it.
DRIVERS = {
    "postgresql": ("psycopg", "postgres"),
    "postgresql+psycopg": ("psycopg", "postgres"),
    "s3": ("boto3", "s3"),
}
LOCK_TIMEOUT_S = 180.0
CONNECT_TIMEOUT_S = 10
ADVISORY_KEY = 0x756E6973757267  # "unisurg": a number that other users of the database do not take


class AddressError(ValueError):
    """An address cannot be used as it stands; the message says what to change."""


def is_remote(address: str) -> bool:
    """Whether it names a scheme, as in `s3://bucket/runs`, and is no path of this machine."""
    return "://" in address


def without_secret(address: str) -> str:
    """The address itself; settings are committed, and recorded with every run.

    Raises:
        AddressError: a password stands in it.
    """
    if is_remote(address) and urlsplit(address).password:
        raise AddressError(
            "a password stands in the address; leave it out, and put it into ~/.pgpass or"
            " PGPASSWORD (PostgreSQL) or MLFLOW_TRACKING_PASSWORD (a tracking server)"
        )
    return address


def with_driver(address: str) -> str:
    """The same address with its driver named: else SQLAlchemy's version decides which is taken."""
    scheme, mark, rest = address.partition("://")
    return f"postgresql+psycopg{mark}{rest}" if scheme == "postgresql" else address


def need_driver(address: str) -> None:
    """Check that what speaks to the address is installed.

    Raises:
        AddressError: naming the extra to install.
    """
    module, extra = DRIVERS.get(address.partition("://")[0], (None, None))
    if module is not None and importlib.util.find_spec(module) is None:
        raise AddressError(f"{address} needs {module}: pip install 'unisurg[{extra}]'")


def lock_on(address: str, root: Path) -> AbstractContextManager[Any]:
    """What one process at a time may hold, as often as it likes: a file beside a SQLite database,
    a lock in PostgreSQL that holds on all machines, else a file in `.scratch` of this checkout."""
    if address.startswith("postgresql"):
        return PostgresLock(address)
    from filelock import FileLock

    if address.startswith(SQLITE):
        return FileLock(address.removeprefix(SQLITE) + ".lock", timeout=LOCK_TIMEOUT_S)
    (root / ".scratch").mkdir(exist_ok=True)
    return FileLock(root / ".scratch" / "tracking.lock", timeout=LOCK_TIMEOUT_S)


class PostgresLock:
    """An advisory lock of a database: gone with the connection, however that ends.

    Raises on entry:
        sqlalchemy.exc.OperationalError: no answer in CONNECT_TIMEOUT_S, or held by another for
            LOCK_TIMEOUT_S.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._connection: Connection | None = None
        self._depth = 0

    def __enter__(self) -> None:
        if self._depth == 0:
            self._connection = self._locked()
        self._depth += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._depth -= 1
        if self._depth == 0 and self._connection is not None:
            self._connection.close()

    def _locked(self) -> Connection:
        import sqlalchemy

        engine = sqlalchemy.create_engine(
            with_driver(self._address),
            poolclass=sqlalchemy.NullPool,  # to close a connection is to end its session
            isolation_level="AUTOCOMMIT",
            connect_args={"connect_timeout": CONNECT_TIMEOUT_S},
        )
        connection = engine.connect()
        try:
            connection.execute(
                sqlalchemy.text(f"SET lock_timeout = '{1000 * LOCK_TIMEOUT_S:.0f}ms'")
            )
            connection.execute(sqlalchemy.text(f"SELECT pg_advisory_lock({ADVISORY_KEY})"))
        except BaseException:
            connection.close()
            raise
        return connection
