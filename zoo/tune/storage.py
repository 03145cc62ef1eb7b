"""Where a study lives: an SQLite file, or any of Optuna's storages by its URL, patient while a server restarts."""

import random
import re
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

import grpc
import optuna
import sqlalchemy
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, GrpcStorageProxy, RDBStorage
from sqlalchemy import exc

PATIENCE = 300.0  # seconds that a call is repeated for, while the storage does not answer
ANSWER = 10  # seconds in which a storage must answer a first call
GIVEN_UP = ("readonly", "read-only", "is full", "unable to open", "no space left", "disk i/o", "no such table")
"""said by a database that repeating does not help"""


class StorageError(Exception):
    """A storage that cannot be used; the message says why, without the password."""


def open_storage(url: str, patience: float = 0.0) -> BaseStorage:
    """Connect, and make the tables if there are none.

    Once it is open, every call is repeated for :data:`PATIENCE` seconds while the storage does not answer.

    Args:
        url: "sqlite:///file", "postgresql+psycopg://...", "mysql+...://...", or "grpc://host:port" for Optuna's proxy.
        patience: seconds to wait for the first answer.

    Raises:
        StorageError: if it cannot be reached, or not be written.
    """
    deadline = time.monotonic() + patience
    for attempt in range(100_000):
        try:
            return _open(url)
        except (
            exc.SQLAlchemyError,
            StorageInternalError,
            grpc.RpcError,
            OSError,
            ImportError,
            RuntimeError,
            ValueError,
        ) as error:
            raced = attempt < 5 and re.search("already exists|duplicate|UNIQUE", str(_cause(error)))
            if not raced and (time.monotonic() > deadline or not _passes(error)):
                raise StorageError(explain(error, url)) from error
            time.sleep(random.uniform(0.1, 1.0))  # another process makes the tables, or a server starts
    raise AssertionError("unreachable")


def _open(url: str) -> BaseStorage:
    if url.startswith("grpc://"):
        host, _, port = url.removeprefix("grpc://").rstrip("/").rpartition(":")
        if not host or not port.isdigit():
            raise ValueError("write grpc://host:port")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            proxy = _PatientProxy(host=host, port=int(port))
        proxy.wait_server_ready(timeout=ANSWER)
        return proxy
    parsed = sqlalchemy.make_url(url)
    if parsed.drivername == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    backend = parsed.get_backend_name()
    connect = {
        "sqlite": {"timeout": 60},
        "postgresql": {"connect_timeout": ANSWER},
        "mysql": {"connect_timeout": ANSWER},
    }
    engine_kwargs = {"pool_pre_ping": True, "connect_args": connect.get(backend, {})}
    storage = _PatientStorage(
        parsed.render_as_string(hide_password=False).replace("{", "{{").replace("}", "}}"), engine_kwargs
    )
    if backend == "sqlite":
        _serialise(storage.engine)
    _check_writable(storage)
    return optuna.storages.get_storage(storage)


def _serialise(engine: sqlalchemy.Engine) -> None:
    """Let SQLite begin each transaction by asking for the right to write.

    Otherwise two workers that have read the same rows both ask for it later, and one of them is told "database is
    locked", or both take the same trial.
    """

    def connected(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # leave BEGIN to us
        connection.execute("PRAGMA synchronous = NORMAL")

    engine.dispose()
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA journal_mode = WAL")
    engine.dispose()
    sqlalchemy.event.listen(engine, "connect", connected)
    sqlalchemy.event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))


def _check_writable(storage: RDBStorage) -> None:
    """Write a row and take it back."""
    with storage.engine.connect() as connection, connection.begin() as transaction:
        connection.execute(sqlalchemy.text("INSERT INTO studies (study_name) VALUES ('sb3-ext: may it be written?')"))
        transaction.rollback()


# ---- Patience -------------------------------------------------------------------------------------------------------


def storage_errors() -> tuple[type[Exception], ...]:
    """What a storage that does not answer, or refuses, raises."""
    return (exc.SQLAlchemyError, StorageInternalError, grpc.RpcError)


def _cause(error: BaseException) -> BaseException:
    return error.__cause__ if isinstance(error, StorageInternalError) and error.__cause__ else error


def _passes(error: BaseException) -> bool:
    """Whether an error is of the kind that a restarted server, or a busy one, gets over."""
    cause = _cause(error)
    if isinstance(cause, grpc.RpcError):
        return cause.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNKNOWN)
    if any(words in str(cause).lower() for words in GIVEN_UP):
        return False
    broken = isinstance(cause, exc.DBAPIError) and cause.connection_invalidated
    return broken or isinstance(cause, exc.OperationalError | exc.InterfaceError | exc.PendingRollbackError)


def _patient(method: Callable[..., Any]) -> Callable[..., Any]:
    """Repeat a call while the storage does not answer, at growing intervals.

    Every call is one transaction. If the connection broke just after it was committed, it is made twice; slots.py says
    why that does no harm.
    """

    @wraps(method)
    def call(*args: Any, **kwargs: Any) -> Any:
        deadline, pause = time.monotonic() + PATIENCE, 0.1
        while True:
            try:
                return method(*args, **kwargs)
            except storage_errors() as error:
                if not _passes(error) or time.monotonic() > deadline:
                    raise
            time.sleep(random.uniform(0.5, 1.0) * pause)
            pause = min(2 * pause, 5.0)

    return call


@contextmanager
def hurried(seconds: float = 3.0) -> Iterator[None]:
    """Let calls be repeated for a few seconds only, for what is done on the way out."""
    global PATIENCE
    before, PATIENCE = PATIENCE, seconds
    try:
        yield
    finally:
        PATIENCE = before


def _patient_class(storage_class: Any) -> Any:
    """A storage class whose calls are patient."""
    calls = sorted({*BaseStorage.__abstractmethods__, "_create_new_trial", "_get_trials", "_set_trial_param"})
    methods = {name: _patient(getattr(storage_class, name)) for name in calls if hasattr(storage_class, name)}
    return type(f"Patient{storage_class.__name__}", (storage_class,), methods)


_PatientStorage = _patient_class(RDBStorage)
_PatientProxy = _patient_class(GrpcStorageProxy)


def explain(error: BaseException, url: str) -> str:
    """An error of a storage in one line, without the password."""
    cause = _cause(error)
    lines = str(getattr(cause, "orig", None) or cause).strip().splitlines() or [type(cause).__name__]
    return f"storage {hidden(url)}: {lines[0]}"


def hidden(url: str) -> str:
    """A storage's URL without its password."""
    try:
        if url.startswith("grpc://"):
            return url
        parsed = sqlalchemy.make_url(url)
        return parsed.update_query_dict({key: "***" for key in parsed.query if "pass" in key}).render_as_string()
    except exc.ArgumentError:
        return repr(url)
