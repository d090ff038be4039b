"""The real game beside one player's dream: both begin at the same moment and get the same controls, frame by frame."""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from worldsim.envs.twin import TwinEnv
from worldsim.errors import GameError, ServeError, WorldsimError
from worldsim.player.pacing import Pacer
from worldsim.serve.seat import Frame, Seat
from worldsim.serve.start import Past
from worldsim.world import World
from worldsim.world.starts import Starts

TRIES = 10  # seeds of the real game, of which some may end it before there is a context
POLL = 0.2  # seconds after which the thread looks whether it has to end


class Real(NamedTuple):
    """What the real game shows.

    Attributes:
        image: uint8 `(H, W, 3)`.
        score: sum of its rewards since the moment at which the dream began.
        survived: frames since then.
        over: whether its episode is over; the last frame stays.
    """

    image: NDArray[np.uint8]
    score: float = 0.0
    survived: int = 0
    over: bool = False


class SideBySide:
    """Runs the real game in a thread that follows the frames of a seat.

    The dream is started anew from the last frames of the real game. From then on each frame of the dream moves the real game
    on by one, with the controls that led to it. Once the dream is over, the real game goes on alone.

    Args:
        folder: of the world.
        world: that the seat's engine plays; only its networks are used.
        seat: of the player.
        seed: of the first episode of the real game.
        wake: called after every change, in the thread.

    Attributes:
        failure: why the real game is gone, in a sentence; None while it runs.
    """

    def __init__(self, folder: Path, world: World, seat: Seat, seed: int, wake: Callable[[], None]) -> None:
        self.failure: str | None = None
        self._folder, self._world, self._seat, self._seed, self._wake = folder, world, seat, seed, wake
        self._frames: queue.SimpleQueue[Frame] = queue.SimpleQueue()
        self._again, self._closing = threading.Event(), threading.Event()
        self._again.set()
        self._lock = threading.Lock()
        self._newest: tuple[Frame, Real] | None = None
        self._awaited: int | None = None  # number of the episode in which the dream begins beside the real game
        self._dream: Frame | None = None
        self._real: Real | None = None
        self._thread = threading.Thread(target=self._run, name="real game", daemon=True)
        self._thread.start()

    def on_frame(self, frame: Frame) -> None:
        """Takes over a frame of the seat; every one of them must come here. Returns at once."""
        self._frames.put(frame)

    def take(self) -> tuple[Frame, Real] | None:
        """The newest pair that was not taken yet."""
        with self._lock:
            newest, self._newest = self._newest, None
            return newest

    def restart(self) -> None:
        """Another episode of the real game, and a dream that begins in it."""
        self._again.set()

    @property
    def ended(self) -> bool:
        """Whether both are over."""
        dream, real = self._dream, self._real
        return dream is not None and dream.over and real is not None and real.over

    def close(self) -> None:
        """Ends the real game; waits for it."""
        self._closing.set()
        self._thread.join()

    def _run(self) -> None:
        env = None
        try:
            env = TwinEnv(world=self._folder)
            self._follow(env)
        except ServeError:  # the place is lost; whoever sends frames says so
            pass
        except Exception as error:  # of a library, too: the player is told, and the others play on
            self.failure = str(error) if isinstance(error, WorldsimError) else f"the real game broke: {type(error).__name__}."
            self._wake()
        finally:
            if env is not None:
                env.close()

    def _follow(self, env: TwinEnv) -> None:
        pacer = Pacer(self._seat.fps, time.perf_counter())
        while not self._closing.is_set():
            if self._again.is_set():
                self._again.clear()
                self._begin(env)
            alone = self._dream is not None and self._dream.over and not self.ended and not self._seat.paused
            try:
                frame = self._frames.get(timeout=max(pacer.wait(time.perf_counter()), 1e-3) if alone else POLL)
            except queue.Empty:
                if alone:
                    pacer.start(time.perf_counter())
                    self._step(env, self._seat.latch()[0])
                    self._publish()
                continue
            self._take_over(env, frame)

    def _take_over(self, env: TwinEnv, frame: Frame) -> None:
        """The next frame of the dream, and with it that of the real game."""
        if self._awaited is not None:
            if frame.episode < self._awaited:
                return  # of the dream before
            self._awaited = None
        elif self._real is not None and not self._real.over and frame.number:
            self._step(env, frame.controls)
        self._dream = frame
        self._publish()

    def _begin(self, env: TwinEnv) -> None:
        """Plays the real game with nothing held until there is a context, and lets the dream begin from that."""
        frames, vectors = self._history(env)
        world = self._world
        latents = world.encode(frames)[None]
        controls = torch.from_numpy(vectors / world.control_spec.scale())[None].to(latents.device)
        ring = Starts(world.dynamics, latents, controls).ring_after(0, world.context_level)
        with torch.inference_mode():
            image = world.decode(latents[:, -1]).cpu().numpy()[0]
        self._real, self._dream = Real(frames[-1]), None
        newest = self._seat.newest
        self._awaited = 1 if newest is None else newest.episode + 1
        self._seat.restart(past=Past(ring, image))

    def _history(self, env: TwinEnv) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """The first frames of an episode, each with the controls that led to it."""
        window = self._world.config.dynamics.window
        still = self._seat.spec.to_vector(self._seat.spec.neutral())
        for _ in range(TRIES):
            frame, _ = env.reset(seed=self._seed)
            self._seed += 1
            frames, over = deque([frame], maxlen=window), False
            while len(frames) < window and not over:
                frame, _, terminated, truncated, _ = env.step(still)
                over = terminated or truncated
                frames.append(frame)
            if not over:
                return np.stack(frames), np.tile(still, (window, 1))
        raise GameError(f"the real game ended {TRIES} times before the dream had the frames to start from.")

    def _step(self, env: TwinEnv, vector: NDArray[np.float32]) -> None:
        real = self._real
        assert real is not None
        frame, reward, terminated, truncated, _ = env.step(vector)
        image = real.image if terminated else frame  # of an end there is no picture
        self._real = Real(image, real.score + reward, real.survived + 1, terminated or truncated)

    def _publish(self) -> None:
        if self._dream is not None and self._real is not None:
            with self._lock:
                self._newest = self._dream, self._real
            self._wake()
