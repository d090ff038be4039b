"""What is being played: a dream, its real twin, or both side by side from the same moment."""

from __future__ import annotations

import sys
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from worldsim.controls import Controls
from worldsim.envs.dream import DreamEnv
from worldsim.envs.games import known_game
from worldsim.envs.twin import TwinEnv
from worldsim.errors import GameError
from worldsim.player.config import PlayConfig
from worldsim.player.recording import Recordings
from worldsim.player.scene import Pane
from worldsim.provenance import Claim
from worldsim.studio.pictures import read_picture
from worldsim.studio.pipeline import Studio
from worldsim.world import find_world
from worldsim.world.provenance import claim_of, dream_labels
from worldsim.world.runtimes.prepare import prepare_in_background

MODES = ("dream", "real", "side by side")
ENDED = {"dream": "the dream", "real": "the real game"}
TRIES = 10  # seeds of the real game, of which some may end it before there is a context


@dataclass
class History:
    """The last frames of the real game, each with the controls that produced it: a context to start a dream.

    Attributes:
        frames: uint8 `(H, W, 3)` each.
        vectors: float32 `(A,)` each.
        age: frames since the episode began, which may be more than are kept.
        seed: of the episode.
        info: the game's `info` for the last frame.
    """

    frames: deque[NDArray[np.uint8]]
    vectors: deque[NDArray[np.float32]]
    age: int = 0
    seed: int = 0
    info: dict[str, Any] = field(default_factory=dict)

    def begin(self, seed: int, frame: NDArray[np.uint8], vector: NDArray[np.float32], info: dict[str, Any]) -> None:
        """An episode starts, with a frame that no controls produced; `vector` holds nothing."""
        self.frames.clear()
        self.vectors.clear()
        self.add(frame, vector, info)
        self.age, self.seed = 0, seed

    def add(self, frame: NDArray[np.uint8], vector: NDArray[np.float32], info: dict[str, Any]) -> None:
        """The next frame, with the controls that produced it."""
        self.frames.append(frame)
        self.vectors.append(vector)
        self.age += 1
        self.info = info


@dataclass
class DreamOrigin:
    """Where the dream began, and all that led to the current frame.

    Attributes:
        moment: of the real game that it began from; empty where it began from a start of the world.
        vectors: control vectors `(A,)` since then.
        replayable: whether these, with the settings of now, lead to the current frame.
    """

    moment: dict[str, Any] = field(default_factory=dict)
    vectors: list[NDArray[np.float32]] = field(default_factory=list)
    replayable: bool = True


class Session:
    """A world being played, and its real game where that is installed.

    Args:
        config: what to play and how; `config.world` must name a world.

    Raises:
        WorldError: if there is no such world.
    """

    def __init__(self, config: PlayConfig) -> None:
        self.config = config
        self.folder = find_world(config.world)
        self.dream = DreamEnv(
            self.folder, device=config.device, num_steps=config.num_steps, runtime=config.runtime, rewards=False
        )
        world = self.dream.world
        self.spec, self.fps, self.title = world.control_spec, world.config.fps, world.config.name
        game = known_game(world.config.game)
        self.meanings = dict(game.meanings) if game else {}
        self.real: TwinEnv | None = None
        self.mode, self.seed, self.position, self.held = "dream", config.seed, 0, Controls()
        self.panes: dict[str, Pane] = {}
        self.notices: list[str] = []
        self.done = False
        self.recordings = Recordings(
            config.recordings,
            world.config,
            states=game.states if game else (),
            eval_share=config.eval_share,
            notices=self.notices,
        )
        self._starts = world.starts, world.start_controls
        window = world.config.dynamics.window
        self._history = History(deque(maxlen=window), deque(maxlen=window))
        self._picture: NDArray[np.uint8] | None = None
        self._imagined = bool(config.prompt and config.image is None)  # whether starts are made from the prompt, too
        world.prompt = config.prompt
        if config.image is not None:
            self._picture = self._read(config.image)
        self._origin = DreamOrigin()

    @property
    def ended(self) -> bool:
        """Whether everything shown is over; the last frames stay."""
        return all(pane.over for pane in self.panes.values())

    @property
    def recording(self) -> bool:
        return self.recordings.on

    @property
    def figures(self) -> str:
        """Settings in a line."""
        count = self.dream.world.calls
        return f"{count} network call{'s' if count > 1 else ''} per frame, {self.dream.world.runtime.name}"

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of what is shown: "dream", "real" or both."""
        return ("dream", "real") if self.mode == "side by side" else (self.mode,)

    def restart(self) -> None:
        """Another start in everything shown."""
        for name in self.sources:
            self.recordings.end_episode(name)
        try:
            if self.mode != "dream":
                self._start_real()
            if self.mode == "side by side":
                self._follow_real()
        except GameError as error:
            self._leave_real(error)
        if self.mode == "dream":
            self._start_dream()
        self.panes = {name: self.panes[name] for name in self.sources}
        self.position = 0

    def next_mode(self) -> None:
        """Dream, real, side by side. A recording ends here: every dataset holds frames of one source.

        Raises:
            GameError: if the real game is not installed.
        """
        if self.real is None:
            self.real = TwinEnv(world=self.dream.world)
        self.recordings.stop()
        self.mode = MODES[(MODES.index(self.mode) + 1) % len(MODES)]
        self.notices.append(self.mode)
        if self.mode == "side by side" and not self.ended:
            try:
                self._follow_real()
            except GameError as error:
                self._leave_real(error)
                self.restart()
        elif self.mode == "dream" and not self.panes["dream"].over:
            del self.panes["real"]
        else:
            self.restart()

    def after_end(self) -> None:
        """Another start, once everything is over."""
        self.restart()

    def advance(self, controls: Controls) -> None:
        """One step of everything shown that is not over."""
        self.held, vector = controls, self.spec.to_vector(controls)
        try:
            for name in self.sources:
                if not self.panes[name].over:
                    self._step(name, vector)
        except GameError as error:  # its process died
            self._leave_real(error)
            self.restart()
        self.position += 1

    def settle(self) -> None:
        """Work that can be done while the frame is being looked at."""
        if "dream" in self.sources:
            self.dream.settle()

    def change_num_steps(self, change: int) -> None:
        """More or fewer network calls per frame, at least 1. An episode is recorded with one setting: the next begins."""
        world = self.dream.world
        self.recordings.end_episode("dream")
        world.num_steps = max(1, world.num_steps + change)
        self._origin.replayable = not self._origin.vectors
        self.notices.append(self.figures)

    def say(self, prompt: str) -> None:
        """What the dream shows from the next frame on.

        Raises:
            WorldError: if the world reads no prompts.
        """
        self.dream.world.prompt = prompt
        self.recordings.end_episode("dream")
        self._origin.replayable = not self._origin.vectors
        self.notices.append(f"prompt: {prompt}" if prompt else "no prompt")

    def begin_with(self, picture: Path) -> None:
        """Starts the dream from a picture of the player's own, now and after every end.

        Raises:
            FileError: if it cannot be read.
        """
        self._picture, self._imagined = self._read(picture), False
        self.recordings.stop()
        self.mode = "dream"
        self.restart()

    def toggle_recording(self) -> None:
        """Starts or stops recording what is shown, each source to a dataset of its own."""
        if self.recordings.on:
            self.recordings.stop()
        else:
            self.recordings.start(self.sources)

    def claim(self) -> Claim | None:
        """That the dream is generated, and how; None while only the real game is shown, or a picture of the player's own."""
        world, origin, pane = self.dream.world, self.dream.world.origins[0], self.panes.get("dream")
        if pane is None or (self._picture is not None and not self._imagined and not pane.survived):
            return None
        return claim_of(world, origin.seed if origin else None)

    def close(self) -> None:
        """Saves a recording, and ends the game. Only now are graphs compiled: beside play that would halt the picture."""
        self.recordings.stop()
        if self.config.runtime == "auto" and (hint := prepare_in_background(self.dream.world, self.folder)):
            print(hint, file=sys.stderr)
        for env in (self.dream, self.real):
            if env is not None:
                env.close()

    def _step(self, name: str, vector: NDArray[np.float32]) -> None:
        pane, env = self.panes[name], self.dream if name == "dream" else self.real
        assert env is not None
        before, known = pane.frame, self._history.info
        labels = self._labels(name) if self.recordings.begins(name) else {}
        frame, reward, terminated, truncated, info = env.step(vector)
        if not terminated:  # of an end there is no picture
            pane.frame = frame
        pane.over = terminated or truncated
        pane.score = None if pane.score is None else pane.score + reward
        pane.survived += 1
        if name == "dream":
            self._origin.vectors.append(vector)
        else:
            self._history.add(frame, vector, info)
        self.recordings.append(name, before, vector, reward, terminated, truncated, known, **labels)
        if pane.over:
            self.notices.append(f"{ENDED[name]} ended after {pane.survived} frames")

    def _labels(self, name: str) -> dict[str, Any]:
        """Of an episode whose recording begins with the current frame."""
        if name == "real":
            return {"seed": self._history.seed, "begun_at": self._history.age}
        return dream_labels(self.dream.world, 0, self._origin.vectors, self._origin.replayable, self._origin.moment)

    def _start_dream(self) -> None:
        world = self.dream.world
        if world.starts is not self._starts[0]:
            world.set_starts(*self._starts)
        picture = self._imagine_picture() if self._imagined else self._picture
        frame, _ = self.dream.reset(seed=self.seed, options=None if picture is None else {"frames": picture[None]})
        self._origin = DreamOrigin(replayable=picture is None)
        self.panes["dream"] = self._pane(frame)
        self.seed += 1

    def _read(self, path: Path) -> NDArray[np.uint8]:
        """A picture in the size of the world's frames."""
        config = self.dream.world.config
        size = config.width, config.height
        return read_picture(path, size, size, config.tokenizer.factor)

    def _imagine_picture(self) -> NDArray[np.uint8]:
        """A picture of what the prompt says, another one for every start."""
        world = self.dream.world
        return Studio(world)(world.prompt, frames=1, seed=self.seed).frames[0]

    def _start_real(self) -> None:
        assert self.real is not None
        frame, info = self.real.reset(seed=self.seed)
        self._history.begin(self.seed, frame, self.spec.to_vector(Controls()), info)
        self.panes["real"] = Pane(frame)
        self.seed += 1

    def _follow_real(self) -> None:
        """Starts the dream from the real game's last frames, so that both go on from the same moment.

        The model needs a whole window of frames: the real game runs with nothing held until there are enough.
        """
        world = self.dream.world
        self._fill_history()
        frames, vectors = np.stack(self._history.frames), np.stack(self._history.vectors)
        world.set_starts(world.encode(frames)[None], torch.from_numpy(vectors / self.spec.scale())[None])
        frame, _ = self.dream.reset(seed=self.seed, options={"start": 0})
        self._origin = DreamOrigin({"game": world.config.game, "seed": self._history.seed, "frame": self._history.age})
        self.panes = {"dream": self._pane(frame), "real": Pane(self._history.frames[-1])}
        self.seed, self.position = self.seed + 1, 0

    def _fill_history(self) -> None:
        assert self.real is not None
        for _ in range(TRIES):
            still = self.spec.to_vector(Controls())
            while len(self._history.frames) < self._history.frames.maxlen:  # type: ignore[operator]
                frame, _, terminated, truncated, info = self.real.step(still)
                if terminated or truncated:
                    break
                self._history.add(frame, still, info)
            else:
                return
            self._start_real()
        raise GameError(f"{self.title} ended {TRIES} times before the dream had the frames to start from; play it on its own.")

    def _leave_real(self, error: GameError) -> None:
        """Only the dream is left to play; the next switch to the real game starts it anew."""
        assert self.real is not None
        self.recordings.stop()
        self.real.close()
        self.real, self.mode = None, "dream"
        self.notices.append(str(error))

    def _pane(self, frame: NDArray[np.uint8]) -> Pane:
        return Pane(frame, score=0.0 if self.dream.world.config.dynamics.reward_bins else None)
