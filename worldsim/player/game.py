"""Any environment with our controls, played by a person in the window."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from worldsim.controls import Controls, ControlSpec
from worldsim.envs.record import dreaming_world, frame_of
from worldsim.errors import GameError
from worldsim.player.scene import Pane
from worldsim.provenance import Claim
from worldsim.world.provenance import claim_of


class GameScene:
    """An environment being played and recorded, for so many episodes or frames. Implements `Scene`.

    Args:
        env: takes `spec.action_space()`, and records itself.
        spec: its controls.
        title: of the window.
        fps: frames per second.
        meanings: what controls do.
        episodes, frames: after which it is over.
        seed: of the first episode.
    """

    mode = "recording"

    def __init__(
        self,
        env: gymnasium.Env[Any, Any],
        spec: ControlSpec | None,
        *,
        title: str,
        fps: float,
        meanings: dict[str, str],
        episodes: int,
        frames: int,
        seed: int,
    ) -> None:
        if spec is None:
            raise GameError(
                f"{title} has actions of its own, which a person cannot give; make a game of it with worldsim new, or with a "
                "GameSpec, and record that."
            )
        self.env, self.spec, self.title, self.fps, self.meanings = env, spec, title, fps, meanings
        self.episodes, self.frames, self.seed = episodes, frames, seed
        self.panes: dict[str, Pane] = {}
        self.notices: list[str] = []
        self.position, self.held, self.played, self.recorded = 0, Controls(), 0, 0
        self.done = False

    @property
    def figures(self) -> str:
        return f"episode {self.played} of {self.episodes}, {self.recorded} frames recorded"

    @property
    def ended(self) -> bool:
        return self.panes["game"].over

    @property
    def recording(self) -> bool:
        return True

    def restart(self) -> None:
        """The next episode, if there is one."""
        if self.played >= self.episodes:
            self.done = True
            return
        obs, _ = self.env.reset(seed=self.seed + self.played)
        self.panes = {"game": Pane(self._frame(obs))}
        self.played, self.position = self.played + 1, 0

    def next_mode(self) -> None:
        self.notices.append("everything you play here is recorded")

    def after_end(self) -> None:
        self.restart()

    def advance(self, controls: Controls) -> None:
        """One step, which the environment records."""
        pane = self.panes["game"]
        if pane.over:
            return
        self.held = controls
        obs, reward, terminated, truncated, _ = self.env.step(self.spec.to_action(self.spec.to_vector(controls)))
        pane.over = terminated or truncated
        if not pane.over:
            pane.frame = self._frame(obs)
        pane.score = (pane.score or 0.0) + float(reward)
        pane.survived, self.position, self.recorded = pane.survived + 1, self.position + 1, self.recorded + 1
        self.done = self.recorded >= self.frames
        if pane.over:
            self.notices.append(f"episode {self.played} of {self.episodes} ended after {pane.survived} frames")

    def settle(self) -> None:
        """Work that a dream can do while its frame is being looked at."""
        settle = getattr(self.env.unwrapped, "settle", None)
        if settle is not None:
            settle()

    def say(self, prompt: str) -> None:
        """Nothing here reads prompts."""
        self.notices.append("only a dream reads prompts")

    def begin_with(self, picture: Path) -> None:
        """Nothing here starts from a picture."""
        self.notices.append("only a dream starts from a picture")

    def change_num_steps(self, change: int) -> None:
        self.notices.append("the settings stay as they are while an episode is recorded")

    def toggle_recording(self) -> None:
        self.notices.append("everything you play here is recorded; F3 begins the next episode, Esc ends")

    def claim(self) -> Claim | None:
        """Where the environment is a dream: that it is generated, and how."""
        world = dreaming_world(self.env)
        return None if world is None else claim_of(world)

    def close(self) -> None:
        """Whoever made the environment closes it."""

    def _frame(self, obs: Any) -> NDArray[np.uint8]:
        return frame_of(self.env, obs)
