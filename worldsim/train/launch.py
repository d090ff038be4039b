"""Starts the processes that train together on one machine, and starts them again when one of them is killed.

The processes are started and watched by torch's elastic agent, the one of torchrun: it ends all of them when one fails.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from worldsim.errors import Terminated, TrainingError, WorldsimError
from worldsim.train import distributed

USER_ERROR, LOST = 2, 75  # exit statuses of a process: as of `one_line_errors`; another process is gone
PATIENCE = 5.0  # seconds in which the one that is gone is to be seen first
LAUNCHED = "WORLDSIM_LAUNCHED"  # set in the environment of processes that are started here


def launch(processes: int, arguments: Sequence[str], restarts: int = 3) -> None:
    """Runs `python ARGUMENTS` in several processes that can find each other, until all have ended well.

    Args:
        processes: how many.
        arguments: for Python, such as `["-m", "worldsim", "train", ...]`; what they run wraps its work in `reported`.
        restarts: how often all are started again after one was killed or crashed. They go on from their last checkpoint.

    Raises:
        WorldsimError: with the message of the process that failed, if it says what the user can mend; such an error would come
            again, so nothing is started anew. Otherwise with what happened to which process.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import elastic_launch

    for started in range(restarts + 1):
        with _environment(processes):
            config = _config(processes)
            try:
                elastic_launch(config, sys.executable)(*arguments)
                return
            except ChildFailedError as error:
                said = _explain(error.failures)
            except SignalException as error:
                raise (KeyboardInterrupt if error.sigval == signal.SIGINT else Terminated) from None
        if started < restarts:
            # On a line of its own: the progress bar of a process that was ended may have left its own line open.
            print(f"\nworldsim: {said}; going on from the last checkpoint (restart {started + 1} of {restarts})", file=sys.stderr)
    raise TrainingError(f"{said}, and {restarts} restarts did not help; run again to go on from the last checkpoint.")


@contextmanager
def reported() -> Iterator[None]:
    """Around the work of one of several processes: its error ends all of them with one message.

    Of `launch`, the starting process prints the message; under torchrun the process itself does. A process that only
    notices that another is gone ends in silence. Processes end here, whatever the reason: while Python takes everything down,
    threads of gloo now and then abort one (SIGABRT), which would look like a crash.
    """
    if distributed.expected() == 1:
        yield
        return
    try:
        yield
    except WorldsimError as error:
        _note(str(error))
        if LAUNCHED in os.environ:
            _leave(USER_ERROR)
        raise
    except Exception as error:
        if not distributed.is_lost(error):
            raise
        time.sleep(PATIENCE)
        _leave(LOST)
    _leave(0)


def _leave(status: int) -> NoReturn:
    """Ends this process at once."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _note(message: str) -> None:
    """Writes an error where the elastic agent looks for it."""
    path = os.environ.get("TORCHELASTIC_ERROR_FILE")
    if path:
        Path(path).write_text(json.dumps({"message": message, "timestamp": int(time.time())}))


def _explain(failures: Mapping[int, Any]) -> str:
    """What happened, in one clause.

    Raises:
        WorldsimError: if a process reported one.
    """
    for _, failure in sorted(failures.items()):
        if failure.exitcode == USER_ERROR and failure.error_file_data.get("message"):
            raise WorldsimError(failure.message)
    causes = {rank: failure for rank, failure in failures.items() if failure.exitcode not in (LOST, -signal.SIGTERM)}
    rank, first = min((causes or failures).items(), key=lambda pair: (pair[1].timestamp, pair[0]))
    how = f"was killed by {first.signal_name()}" if first.exitcode < 0 else f"ended with status {first.exitcode}"
    return f"process {rank} of those that train together {how}"


def _config(processes: int) -> Any:
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
    from torch.distributed.launcher.api import LaunchConfig

    for name in [*logging.root.manager.loggerDict, "torch.distributed.elastic"]:
        if name.startswith("torch.distributed"):
            logging.getLogger(name).setLevel(logging.CRITICAL)  # it announces what is said here in one line
    return LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="127.0.0.1:0",
        local_addr="127.0.0.1",
        max_restarts=0,  # of this agent: whether to start again depends on the error
        logs_specs=DefaultLogsSpecs(),
    )


@contextmanager
def _environment(processes: int) -> Iterator[None]:
    """What the processes find in their environment: that they are launched here, and their share of the cores. They talk to each
    other on this machine alone."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    loopback = "lo0" if sys.platform == "darwin" else "lo"
    wanted = {"OMP_NUM_THREADS": str(max(1, cores // processes)), "GLOO_SOCKET_IFNAME": loopback, "TORCH_CPP_LOG_LEVEL": "ERROR"}
    wanted = {name: value for name, value in wanted.items() if name not in os.environ} | {LAUNCHED: "1"}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name in wanted:
            os.environ.pop(name, None)
