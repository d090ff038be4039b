"""Processes that train together in tests: started once, since importing torch is what takes long."""

from __future__ import annotations

import os
import socket
import traceback
from collections.abc import Callable
from multiprocessing import get_context
from typing import Any

import torch
import torch.distributed as dist

PATIENCE = 120  # seconds


class Processes:
    """Runs functions in the first few of its processes, which form a group for as long."""

    def __init__(self) -> None:
        self._context = get_context("spawn")
        self._workers: list[tuple[Any, Any]] = []

    def run(self, count: int, function: Callable[..., Any], *given: Any) -> list[Any]:
        """What `function(*given)` returns in each of `count` processes; it must be importable by name."""
        os.environ["TORCH_CPP_LOG_LEVEL"] = "ERROR"  # DistributedDataParallel warns where no parameter is unused
        while len(self._workers) < count:
            ours, theirs = self._context.Pipe()
            process = self._context.Process(target=_work, args=(theirs,), daemon=True)
            process.start()
            self._workers.append((process, ours))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        for rank, (_, pipe) in enumerate(self._workers[:count]):
            where = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
            pipe.send(({name: str(value) for name, value in where.items()}, function, given))
        answers = []
        for _, pipe in self._workers[:count]:
            assert pipe.poll(PATIENCE), "a process does not answer"
            answers.append(pipe.recv())
        failed = [said for well, said in answers if not well]
        if failed:
            self.end()  # whoever is left may wait for ever
        assert not failed, "\n".join(failed)
        return [said for _, said in answers]

    def end(self) -> None:
        """Ends all processes; `run` starts new ones."""
        for process, pipe in self._workers:
            process.kill()
            process.join()
            pipe.close()
        self._workers.clear()


def _work(pipe: Any) -> None:
    torch.set_num_threads(1)
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    while True:
        try:
            environment, function, given = pipe.recv()
        except EOFError:
            return
        os.environ.update(environment)
        try:
            if int(environment["WORLD_SIZE"]) == 1:
                pipe.send((True, function(*given)))
                continue
            dist.init_process_group("gloo")
            said = function(*given)
            dist.barrier()
            dist.destroy_process_group()
            pipe.send((True, said))
        except BaseException:
            pipe.send((False, f"process {environment['RANK']}:\n{traceback.format_exc()}"))
