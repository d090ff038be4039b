"""Records what is played, by policies or by a person's window, as a clip or as a dataset."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gymnasium
from tqdm import tqdm, trange

from worldsim.controls import Controls
from worldsim.data.folder import check_recordable
from worldsim.envs.record import RecordDataset, dreaming_world, frame_of
from worldsim.provenance import MARKS, MarkOptions
from worldsim.studio.clip import Append, check_clip, writing_clip
from worldsim.studio.config import RecordConfig
from worldsim.studio.controls import random_controls
from worldsim.studio.players import make_player
from worldsim.studio.source import Source, find_source
from worldsim.world import World
from worldsim.world.provenance import claim_of

CLIP_FRAMES, EPISODES = 300, 10  # where nothing else is asked for
LONGEST = 10_000  # frames after which an episode is broken off
Watch = Callable[[gymnasium.Env[Any, Any], int, int], None]


def record(config: RecordConfig, watch: Watch | None = None) -> Path:
    """Plays and records; Ctrl-C keeps the frames made so far.

    Args:
        config: what, who and where.
        watch: lets a person play the environment it is given, for so many episodes and frames; for the policy "human".

    Returns:
        `config.out`.

    Raises:
        WorldsimError: if there is no such source or policy, or the file cannot be written; before anything is loaded.
    """
    source = find_source(config.source)
    if config.is_clip:
        size = (source.height, source.width) if source.height else (1, 1)
        check_clip(config.out, size, config.frames or CLIP_FRAMES, config.scale)
    else:
        check_recordable(config.out)
    if source.kind == "world" and config.is_clip and config.policy == "random" and config.episodes is None:
        assert source.folder is not None
        world = World.load(source.folder, device=config.device, num_steps=config.num_steps, runtime=config.runtime)
        return record_clip(world, config.out, config.frames or CLIP_FRAMES, config.seed, scale=config.scale, marks=config.marks)
    episodes = config.episodes or (LONGEST if config.is_clip else EPISODES)
    frames = config.frames or (CLIP_FRAMES if config.is_clip and config.episodes is None else sys.maxsize)
    player = None if config.policy == "human" else make_player(config.policy, source)
    with recording(source, config, source.open(config, **(player.view if player else {}))) as env:
        if player is not None:
            play(env, player.start(env, config.seed), episodes, frames, config.seed)
        elif watch is not None:
            watch(env, episodes, frames)
    return config.out


@contextmanager
def recording(source: Source, config: RecordConfig, env: gymnasium.Env[Any, Any]) -> Iterator[gymnasium.Env[Any, Any]]:
    """The environment, of which every frame goes where the config says; closed at the end."""
    if not config.is_clip:
        wrapped = RecordDataset(env, config.out, policy=Path(config.policy).name, game=source.game)
        try:
            yield wrapped
        finally:
            wrapped.close()
        return
    try:
        frame = frame_of(env, env.reset(seed=config.seed)[0])  # raises here what cannot be shown
        size, frames = (frame.shape[0], frame.shape[1]), config.frames or CLIP_FRAMES
        fps = source.fps or float(env.metadata.get("render_fps") or 30)
        world = dreaming_world(env)
        about: dict[str, Any] = {"fps": fps, "frames": frames, "scale": config.scale, "marks": config.marks}
        with writing_clip(config.out, size, claim=claim_of(world, config.seed) if world else None, **about) as append:
            yield RecordClip(env, append)
    finally:
        env.close()


class RecordClip(gymnasium.Wrapper):  # type: ignore[type-arg]
    """Hands every frame of an environment to a clip.

    Args:
        env: to record.
        append: takes a frame.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], append: Append) -> None:
        super().__init__(env)
        self._append = append

    def reset(self, **options: Any) -> tuple[Any, dict[str, Any]]:
        obs, info = self.env.reset(**options)
        self._append(frame_of(self.env, obs))
        return obs, info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        obs, reward, terminated, truncated, info = self.env.step(action)
        if not (terminated or truncated):  # of an end there may be no picture
            self._append(frame_of(self.env, obs))
        return obs, reward, terminated, truncated, info


def play(
    env: gymnasium.Env[Any, Any], act: Callable[[Any, dict[str, Any], int], Any], episodes: int, frames: int, seed: int
) -> None:
    """Plays episodes until there are enough, or enough frames.

    Args:
        env: to play.
        act: observation, info and the frame's position in its episode -> action.
        episodes, frames: how many at most.
        seed: of the first episode.
    """
    with tqdm(total=frames if frames < sys.maxsize else None, desc="recording", unit="frame") as bar:
        for episode in range(episodes):
            obs, info = env.reset(seed=seed + episode)
            bar.update()
            for t in range(LONGEST):
                if bar.n >= frames:
                    return
                obs, _, terminated, truncated, info = env.step(act(obs, info, t))
                if terminated or truncated:
                    break
                bar.update()


def record_clip(
    world: World,
    out: Path,
    frames: int,
    seed: int = 0,
    controls: Iterable[Controls] | None = None,
    scale: int = 4,
    marks: MarkOptions = MARKS,
) -> Path:
    """Writes a rollout to a video, a GIF or a film strip. Where an episode ends, another begins.

    Ctrl-C keeps the frames made so far.

    Args:
        world: of batch 1.
        out, frames, seed, scale, marks: as in `RecordConfig`.
        controls: one for each frame but the first; by default random ones.

    Returns:
        `out`.

    Raises:
        WorldsimError: if an argument is out of range, or the file cannot be written; see `writing_clip`.
    """
    config, made = world.config, 0
    given = iter(random_controls(world.control_spec, seed) if controls is None else controls)
    try:
        about: dict[str, Any] = {"fps": config.fps, "frames": frames, "scale": scale, "claim": claim_of(world, seed)}
        with writing_clip(out, (config.height, config.width), marks=marks, **about) as append:
            step = world.reset(seed=seed)
            for made in trange(1, frames + 1, desc="recording", unit="frame"):
                append(step.frame[0])
                if made < frames:
                    step = world.step(next(given))
                if step.terminated[0]:
                    seed += 1
                    step = world.reset(seed=seed)
    except KeyboardInterrupt:
        if made:
            print(f"stopped: {made} of {frames} frames are in {out}", file=sys.stderr)
        raise
    return out
