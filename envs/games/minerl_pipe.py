"""The process that runs MineRL, and the pipe to it."""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldsim.envs.games import minerl_worker as protocol
from worldsim.errors import GameError, printable, shown

PATIENCE = 900.0  # seconds: the first reset builds and starts Minecraft
GRACE = 30.0  # seconds for Minecraft to end by itself
TAIL = 2000  # bytes of what the process wrote that an error shows
LARGEST_FRAME = 2**26  # bytes


class Worker:
    """A Python that runs one MineRL environment.

    Args:
        env_id: of the environment.
        python: interpreter that has MineRL.
        package: module whose import registers the environment.

    Attributes:
        described: what its spaces are: `actions` by name, the shape `pov` of a frame, `max_steps` of an
            episode.

    Raises:
        GameError: if the interpreter is missing, or fails to make the environment.
    """

    def __init__(self, env_id: str, python: str, package: str = "minerl") -> None:
        if os.name != "posix":
            raise GameError("MineRL is played on Linux and macOS only: the pipe to it needs their signals.")
        found = shutil.which(os.path.expanduser(python))
        if found is None:
            raise GameError(f"python was {shown(python)}, where no interpreter is; give that of an environment with MineRL.")
        self._env_id, self._process = env_id, None
        self._folder = tempfile.mkdtemp(prefix="worldsim-minerl-")  # MineRL writes logs into the working directory
        self._log = Path(self._folder, "worker.log").open("w+b")  # noqa: SIM115 (closed in `close`)
        command = [os.path.abspath(found), protocol.__file__, "--env", env_id, "--package", package]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            cwd=self._folder,
            start_new_session=True,  # Minecraft is a child of it, and ends with it
        )
        try:
            self.described: Mapping[str, Any] = self._answer()[0]
        except BaseException:
            self.close()
            raise

    def call(self, message: Mapping[str, Any]) -> tuple[dict[str, Any], NDArray[np.uint8]]:
        """Sends a message and waits for the answer.

        Returns:
            The answer, and the frame in it, uint8 `(H, W, 3)`.

        Raises:
            GameError: if MineRL fails, or does not answer.
        """
        if self._process is None or self._process.stdin is None:
            raise GameError(f"{self._env_id} is closed; make it again.")
        try:
            protocol.send(self._process.stdin, message)
        except OSError:
            self._fail("its process ended")
        answer, frame = self._answer()
        shape = answer.get("shape")
        if not isinstance(shape, list) or len(shape) != 3 or shape[2] != 3 or int(np.prod(shape)) != len(frame):
            self._fail(f"it gave a frame of shape {shape}")
        return answer, np.frombuffer(frame, np.uint8).reshape(shape).copy()

    def close(self) -> None:
        """Ends the process and Minecraft, at first kindly; closing twice does nothing."""
        process, self._process = self._process, None
        if process is not None:
            assert process.stdin is not None and process.stdout is not None
            with suppress(OSError, ValueError):
                protocol.send(process.stdin, {"call": "close"})
            with suppress(OSError):
                process.stdin.close()
            with suppress(subprocess.TimeoutExpired):
                process.wait(GRACE)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # what is left of Minecraft
            process.wait()
            process.stdout.close()
        self._log.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __del__(self) -> None:
        if getattr(self, "_process", None) is not None:
            self.close()

    def _answer(self) -> tuple[dict[str, Any], bytes]:
        """The next message, within `PATIENCE`."""
        until, parts = time.monotonic() + PATIENCE, []
        for most in (LARGEST_FRAME, LARGEST_FRAME):
            (size,) = protocol.LENGTH.unpack(self._read(protocol.LENGTH.size, until))
            if size > most:
                self._fail(f"it sent {size} bytes")
            parts.append(self._read(size, until))
        try:
            content = protocol.json.loads(parts[0])
        except ValueError:
            content = None
        if not isinstance(content, dict):
            self._fail("its answer is not JSON")
        if "error" in content:
            self._fail(str(content["error"]))
        return content, parts[1]

    def _read(self, count: int, until: float) -> bytes:
        assert self._process is not None and self._process.stdout is not None
        handle, parts = self._process.stdout.fileno(), b""
        while len(parts) < count:
            ready, _, _ = select.select([handle], [], [], max(0.0, until - time.monotonic()))
            if not ready:
                self._fail(f"it did not answer within {PATIENCE:.0f} seconds")
            part = os.read(handle, count - len(parts))
            if not part:
                self._fail("its process ended")
            parts += part
        return parts

    def _fail(self, reason: str) -> Any:
        """Ends the process, and raises with the end of what it wrote."""
        self._log.flush()
        self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, self._log.tell() - TAIL))
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        last = f" The last that it wrote: {printable(' / '.join(lines[-3:]), 600)}" if lines else ""
        self.close()
        raise GameError(f"{self._env_id} failed: {printable(reason, 500)}.{last}")
