"""A Ray cluster that this process drives; the only module that knows of Ray (Moritz et al. 2018, arXiv:1712.05889).

This process keeps all state that must not be lost. Whatever runs elsewhere can be done again from what it was given.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from worldsim.errors import ScaleError, WorldsimError
from worldsim.scale.config import RayOptions

S = TypeVar("S")
T = TypeVar("T")
R = TypeVar("R")

GRACE = 10.0  # seconds that workers have to close what they opened


class LostError(Exception):
    """A worker died with its process or its machine, and with it its state and its replies."""


class Reply:
    """What a worker will answer."""

    def __init__(self, cluster: Cluster, ref: Any) -> None:
        self._cluster, self.ref = cluster, ref

    def get(self) -> Any:
        """Waits for the answer.

        Raises:
            LostError: if the worker died.
            WorldsimError: that the worker raised.
        """
        return self._cluster.value(self.ref)


class Worker:
    """An object of its own in a process somewhere in the cluster, whose methods are called one at a time."""

    def __init__(self, cluster: Cluster, actor: Any, began: Any) -> None:
        self._cluster, self._actor, self.began = cluster, actor, Reply(cluster, began)

    def call(self, method: str, *args: Any) -> Reply:
        """Calls a method of the object after the calls before, without waiting for it."""
        return Reply(self._cluster, self._actor.call.remote(self.began.ref, method, *args))


class Cluster:
    """A cluster that is connected to; see `opened`.

    Args:
        options: what tasks and workers get.
        ray: the module.
    """

    def __init__(self, options: RayOptions, ray: Any) -> None:
        self.options, self._ray = options, ray
        self._resources = {"num_cpus": options.ray_cpus, "num_gpus": options.ray_gpus}
        self._host = ray.remote(_Host).options(**self._resources, max_restarts=0, max_task_retries=0)
        self.room = self._count_room()

    def map(self, function: Callable[[S, T], R], shared: S, items: Iterable[T], *, ordered: bool = True) -> Iterator[R]:
        """Results of `function(shared, item)`, run as one task for each item.

        What is lost with a process or a machine is run again, up to `ray_retries` times for each item. Items are taken a few
        ahead of those that are running.

        Args:
            function: importable on all machines.
            shared: sent to each machine once.
            items: each sent to one task.
            ordered: give results in the order of the items, rather than as they come.

        Raises:
            WorldsimError: the first that a task raises.
            ScaleError: if an item is lost more often.
        """
        remote = self._ray.remote(function).options(
            **self._resources, max_retries=self.options.ray_retries, retry_exceptions=False
        )
        given, waiting = self._ray.put(shared), list[Any]()

        def first() -> Any:
            done = waiting[:1] if ordered else self._ray.wait(waiting, num_returns=1)[0]
            waiting.remove(done[0])
            return self._result(done[0])

        try:
            for item in items:
                waiting.append(remote.remote(given, item))
                if len(waiting) > 2 * self.room:
                    yield first()
            while waiting:
                yield first()
        finally:
            for ref in waiting:
                self._ray.cancel(ref)

    def described(self) -> dict[str, Any]:
        """How much there is of it, and what each task or worker gets; ready for JSON."""
        return {"room": self.room, "cpus_each": self.options.ray_cpus, "gpus_each": self.options.ray_gpus}

    def share(self, value: Any) -> Any:
        """A value that is sent to each machine once, to be given to `start` in place of itself."""
        return self._ray.put(value)

    def start(self, make: Callable[..., Any], *args: Any) -> Worker:
        """Makes an object, `make(*args)`, in a process of its own; `Worker.began` answers True once it is there."""
        actor = self._host.remote()
        return Worker(self, actor, actor.begin.remote(make, *args))

    def ready(self, replies: Sequence[Reply], timeout: float | None = None) -> list[Reply]:
        """Those that can be answered at once, waiting until there is one; none after `timeout` seconds."""
        refs = [reply.ref for reply in replies]
        self._ray.wait(refs, num_returns=1, timeout=timeout)
        there = set(self._ray.wait(refs, num_returns=len(refs), timeout=0)[0])
        return [reply for reply in replies if reply.ref in there]

    def stop(self, workers: Iterable[Worker]) -> None:
        """Calls `close` of their objects, if they get to it in time, and ends their processes and what these started."""
        workers = list(workers)
        with contextlib.suppress(Exception):
            begun = {worker.began: worker for worker in workers}
            last = [begun[reply]._actor.end.remote() for reply in self.ready(list(begun), timeout=0)]  # others may wait for room
            if last:
                self._ray.wait(last, num_returns=len(last), timeout=GRACE)
        for worker in workers:
            with contextlib.suppress(Exception):
                self._ray.kill(worker._actor)

    def value(self, ref: Any) -> Any:
        """What a reference stands for; errors as for `Reply.get`."""
        errors = self._ray.exceptions
        lost = (
            errors.RayActorError,
            errors.WorkerCrashedError,
            errors.OutOfMemoryError,
            errors.ObjectLostError,
            errors.NodeDiedError,
        )
        try:
            return self._ray.get(ref)
        except errors.RayTaskError as error:
            cause = error.cause
            while isinstance(cause, errors.RayTaskError):  # of a call before, whose answer this one was given
                cause = cause.cause
            if isinstance(cause, WorldsimError):
                raise cause from None
            if isinstance(cause, lost):
                raise LostError(str(cause)) from error
            raise
        except lost as error:
            raise LostError(str(error)) from error

    def _result(self, ref: Any) -> Any:
        try:
            return self.value(ref)
        except LostError as error:
            raise ScaleError(
                f"a task was lost {self.options.ray_retries + 1} times with its process or its machine: "
                f"{str(error).splitlines()[0]} Give each more with --ray-cpus if memory is short, or raise --ray-retries."
            ) from error

    def _count_room(self) -> int:
        """How many tasks or workers fit into the cluster as it is now."""
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        wanted = {"CPU": self.options.ray_cpus, "GPU": self.options.ray_gpus}
        fits = [min(int(node.get(kind, 0) / amount) for kind, amount in wanted.items() if amount) for node in nodes]
        if not any(fits):
            has = "; ".join(f"{node.get('CPU', 0):g} CPUs and {node.get('GPU', 0):g} GPUs" for node in nodes)
            raise ScaleError(
                f"ray_cpus was {self.options.ray_cpus:g} and ray_gpus {self.options.ray_gpus:g}; no machine of the cluster has "
                f"as much, they have {has}. Give less, or add a machine."
            )
        return sum(fits)


@contextmanager
def opened(options: RayOptions) -> Iterator[Cluster | None]:
    """The cluster that the options ask for, or None; it is left, and ended if it is this command's own, on the way out.

    Where this process is connected already, that connection is used and kept.

    Raises:
        ScaleError: if Ray is not installed, there is no such cluster, or it has too little of what tasks are to get.
    """
    if not options.wanted:
        yield None
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported to anybody
    try:
        import ray
    except ImportError as error:
        raise ScaleError('ray was given, but Ray is not installed; pip install "worldsim-dit[scale]".') from error
    ours = not ray.is_initialized()
    if ours:
        _connect(ray, options.address)
    try:
        yield Cluster(options, ray)
    finally:
        if ours:
            ray.shutdown()


def _connect(ray: Any, given: str | None) -> None:
    named = os.environ.get("RAY_ADDRESS", "")
    address = given or named or "local"
    if address == "auto":
        address = _started_here() or address
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    # The second: what gets no GPU sees none.
    there = {"PYTHONPATH": os.pathsep.join(_own_paths()), "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1"}
    quiet["runtime_env"] = {"env_vars": there}
    own: dict[str, Any] = {"include_dashboard": False, "num_cpus": _cores()} if address == "local" else {}
    main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGTERM) if main else None
    try:
        _check_answers(address)
        ray.init(address=address, **quiet, **own)
    except (OSError, RuntimeError, ValueError) as error:
        where = f"RAY_ADDRESS was {named!r}" if named and not given else f"ray was {given or address!r}"
        why = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ScaleError(
            f"{where}; no cluster can be used there ({why}). Start one with `ray start --head`, or give --ray local."
        ) from error
    finally:
        if main and before is not None:
            signal.signal(signal.SIGTERM, before)  # Ray puts its own in place, which would not clean up


def _check_answers(address: str) -> None:
    """Raises `OSError` if nobody listens at HOST:PORT; Ray itself would try for minutes."""
    host, colon, port = address.rpartition(":")
    if colon:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()


def _started_here() -> str:
    """The address that `ray start` noted on this machine; "" if there is none."""
    with contextlib.suppress(OSError):
        return Path(os.environ.get("RAY_TMPDIR", "/tmp"), "ray", "ray_current_cluster").read_text().strip()
    return ""


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _own_paths() -> list[str]:
    """Where this process finds modules that are not installed, such as a game in a file; machines may have the same."""
    installed = (sys.prefix, sys.base_prefix)
    own = [path for path in sys.path if path and not path.startswith(installed) and "-packages" not in path]
    return [*own, *filter(None, [os.environ.get("PYTHONPATH")])]


class _Host:
    """What runs in the process of a worker."""

    object: Any = None

    def begin(self, make: Callable[..., Any], *args: Any) -> bool:
        self.object = make(*args)
        return True

    def call(self, began: bool, method: str, *args: Any) -> Any:
        """`began` is the answer of `begin`, without which this raises what that raised."""
        return getattr(self.object, method)(*args)

    def end(self) -> None:
        if hasattr(self.object, "close"):
            self.object.close()
