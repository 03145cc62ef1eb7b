"""A worker of ``sb3-ext tune`` on a Ray cluster: the same work as in a process of this machine, by an actor of one CPU.

An actor that is lost with its node is replaced by the crew like any worker that died, and its trial runs again.
"""

import multiprocessing
import threading
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sb3_ext.zoo.tune.worker import Work, serve


class RayMember:
    """One actor, as the command sees it; the interface of ``crew.Member``."""

    def __init__(self) -> None:
        import ray

        self.name = f"ray-{uuid.uuid4().hex[:12]}"
        self.idle = True
        self.connection, theirs = multiprocessing.Pipe()
        self._models: Path | None = None
        self._actor: Any = ray.remote(num_cpus=1)(_Worker).remote(self.name)
        threading.Thread(target=_pass_on, args=(self._actor, theirs), daemon=True).start()

    @property
    def handles(self) -> list[Connection | int]:
        """What becomes ready when there is something to hear."""
        return [self.connection]

    def assign(self, work: Work) -> None:
        """Give it something to do; if it has died, that shows elsewhere."""
        self.idle, self._models = False, work.models
        with suppress(OSError):
            self.connection.send(work)

    def messages(self) -> Iterator[tuple[Any, ...]]:
        """What it has said; last, ("died", None), if it has. Models that it sends are written."""
        try:
            while self.connection.poll():
                message = self.connection.recv()
                if message[0] == "file":
                    self._keep(*message[1:])
                else:
                    yield message
        except (EOFError, OSError):
            yield ("died", None)

    def _keep(self, name: str, content: bytes) -> None:
        assert self._models is not None
        (self._models / name).parent.mkdir(parents=True, exist_ok=True)
        (self._models / name).write_bytes(content)

    def end(self) -> None:
        """Kill it."""
        import ray

        ray.kill(self._actor)
        self.connection.close()


def _pass_on(actor: Any, connection: Connection) -> None:
    """Give the actor the work that comes through the connection, and send back what it says, until either is gone."""
    import ray

    with connection, suppress(EOFError, OSError, ray.exceptions.RayError):
        for work in iter(connection.recv, None):
            for reference in actor.run.options(num_returns="streaming").remote(work):
                connection.send(ray.get(reference))


class _Worker:
    """The actor's side."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._studies: dict[str, Any] = {}

    def run(self, work: Work) -> Iterator[tuple[Any, ...]]:
        """What :func:`serve` tells, and the models as ("file", name, content)."""
        with TemporaryDirectory() as folder:
            here = replace(work, models=Path(folder)) if work.models else work
            for message in serve(here, self._name, self._studies):
                for file in [file for file in Path(folder).rglob("*") if file.is_file()]:
                    yield ("file", str(file.relative_to(folder)), file.read_bytes())
                    file.unlink()
                yield message
