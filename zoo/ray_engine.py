"""Jobs on a Ray cluster, for ``--engine ray``: each is a task of one CPU, run again elsewhere if its node is lost.

Files that a job writes stay on the node it ran on, so a job has to return what is worth keeping. Every node needs the
same version of this project. Ray is an extra: ``pip install 'sb3-ext[ray]'``.
"""

import logging
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any, TypeVar

from tqdm import tqdm

Job = TypeVar("Job")
Result = TypeVar("Result")

PATIENCE = 10.0  # seconds for a cluster to answer at all
SETTINGS = b"\x04"  # type of the frame that begins a conversation in HTTP/2, which Ray speaks (RFC 9113, 3.4)
GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + SETTINGS + bytes(5)
RETRIES = 3  # of a task whose process or node is lost


class ClusterError(ValueError):
    """Ray is not installed, or nothing answers at the address."""


@contextmanager
def cluster(address: str | None, n_cpus: int | None = None) -> Iterator[None]:
    """A connection to a Ray cluster, closed at the end.

    Args:
        address: "host:port" of its head, "auto" for the one that runs on this machine; None starts one here that ends
            with the connection.
        n_cpus: of the cluster that is started here.

    Raises:
        ClusterError: if Ray is not installed, or nothing answers at the address.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # tasks without a GPU leave CUDA as it is
    try:
        import ray
    except ImportError:
        raise ClusterError("--engine ray needs a package: pip install 'sb3-ext[ray]'") from None
    if address is not None and address != "auto":
        _reach(address)
    try:
        ray.init(address, num_cpus=None if address else n_cpus, include_dashboard=None if address else False,
                 logging_level=logging.ERROR, log_to_driver=False)  # fmt: skip
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ClusterError(f"--address {address}: {str(error).splitlines()[0]}") from error
    try:
        yield
    finally:
        ray.shutdown()


def _reach(address: str) -> None:
    """Ray itself takes minutes to say that nobody is there, and ends the process with it."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        raise ClusterError(f"--address must be HOST:PORT or auto, got {address!r}")
    try:
        with socket.create_connection((host, int(port)), PATIENCE) as connection:
            connection.sendall(GREETING)
            answer = connection.recv(9)
    except OSError as error:
        raise ClusterError(f"--address {address}: no Ray cluster answers there ({error.strerror or error})") from error
    if answer[3:4] != SETTINGS:
        raise ClusterError(f"--address {address}: what answers there is no Ray cluster")


def run_on_ray(
    function: Callable[[Job], Result],
    jobs: Sequence[Job],
    lost: Callable[[Job], Result],
    sizes: Sequence[int],
    unit: str = "step",
    modules: Sequence[str] = (),
) -> Iterator[Result]:
    """Call a function on every job, each in a task on the cluster that is connected; the rest as in ``parallel.py``.

    Args:
        function: at the top level of an installed module.
        jobs: its arguments; they and the results must pickle.
        lost: the result of a job whose process or node was lost once more than ``RETRIES`` times.
        sizes: of each job, for the progress bar.
        unit: of the sizes.
        modules: imported first on the node, such as register environments.

    Yields:
        Results in the order in which they finish.
    """
    import ray

    task: Any = ray.remote(num_cpus=1, max_retries=RETRIES)(_call)
    waiting = {task.remote(function, job, list(modules)): k for k, job in enumerate(jobs)}
    try:
        with tqdm(total=sum(sizes), unit=unit, unit_scale=True, smoothing=0) as progress:
            while waiting:
                progress.set_description(f"{len(jobs) - len(waiting)} of {len(jobs)} done")
                finished, _ = ray.wait(list(waiting), timeout=0.5)
                for reference in finished:
                    k = waiting.pop(reference)
                    progress.update(sizes[k])
                    yield _result(reference, lost, jobs[k])
    finally:
        for reference in waiting:
            ray.cancel(reference, force=True)


def _result(reference: Any, lost: Callable[[Job], Result], job: Job) -> Result:
    import ray

    try:
        return ray.get(reference)
    except (ray.exceptions.WorkerCrashedError, ray.exceptions.NodeDiedError, ray.exceptions.OutOfMemoryError):
        return lost(job)


def _call(function: Callable[[Job], Result], job: Job, modules: list[str]) -> Result:
    import torch

    torch.set_num_threads(1)
    for module in modules:
        import_module(module)
    return function(job)
