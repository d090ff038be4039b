"""Wrappers that record what is played in a Gymnasium environment, single or batched, as a dataset.

>>> env = RecordDataset(gymnasium.make("WorldSim/DoomTakeCover-v0"), "data/mine")
>>> obs, info = env.reset(seed=0)
>>> obs, reward, terminated, truncated, info = env.step(env.action_space.sample())
>>> env.close()
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np
from gymnasium.utils import RecordConstructorArgs
from gymnasium.vector import AutoresetMode, VectorEnv, VectorWrapper
from numpy.typing import NDArray

from worldsim.controls import Controls, ControlSpec
from worldsim.data.collect import state_values
from worldsim.data.folder import PARTIAL
from worldsim.data.format import DatasetInfo, EpisodeInfo
from worldsim.data.recorder import Recorder
from worldsim.data.writer import EpisodeWriter
from worldsim.envs.codec import Codec, codec_of
from worldsim.errors import EnvError, shown
from worldsim.provenance import Claim

if TYPE_CHECKING:
    from worldsim.world import World

ToVector = Callable[[Any], NDArray[Any] | Controls]


class RecordDataset(gymnasium.Wrapper, RecordConstructorArgs):  # type: ignore[type-arg]
    """Records every episode of an environment; given a vector environment, it makes a `RecordVectorDataset`.

    Frames are the observations where these are uint8 `(H, W, 3)`, the frames of the world or game for environments of
    ours, and otherwise what `render()` gives with `render_mode="rgb_array"`. They are encoded in a thread.

    Episodes that were not finished when the environment is reset or closed are kept as far as they went. A dream's episodes hold
    what `worldsim replay` needs to dream them again.

    Args:
        env: to record.
        path: folder of the dataset: new, empty, or a dataset of the same kind, to which episodes are added.
        controls: what the actions stand for, and how an action becomes a control vector `(A,)`. By default that of the
            environment, or what `worldsim new` would find for it; see `worldsim.envs.codec`.
        game: name in the dataset; by default that of the environment.
        policy: name of who plays.
        split: "train" or "eval".
        state: names of numbers in `info` that are recorded with each frame.
        fps: frames per second; by default what the environment says.
        lossless: store frames bit for bit.

    Attributes:
        recorder: the dataset's.

    Raises:
        DataError: if `path` holds anything but a dataset of the same kind.
        EnvError: if the environment shows no frames, or its actions cannot be controls.
        FileError: if `path` cannot be written; also in every step, and then the running episode is dropped.
    """

    def __new__(cls, env: Any, path: str | Path, **options: Any) -> Any:
        if isinstance(env, VectorEnv):
            return RecordVectorDataset(env, path, **options)
        return super().__new__(cls)

    def __init__(
        self,
        env: gymnasium.Env[Any, Any] | VectorEnv[Any, Any, Any],
        path: str | Path,
        *,
        controls: tuple[ControlSpec, ToVector] | None = None,
        game: str | None = None,
        policy: str = "agent",
        split: str = "train",
        state: Sequence[str] = (),
        fps: float | None = None,
        lossless: bool = False,
    ) -> None:
        options: dict[str, Any] = {
            "game": game,
            "policy": policy,
            "split": split,
            "state": tuple(state),
            "fps": fps,
            "lossless": lossless,
        }
        RecordConstructorArgs.__init__(self, path=str(path), controls=controls, **options)
        if not isinstance(env, gymnasium.Env):  # `__new__` made something else of a vector environment
            raise EnvError(f"env was {shown(env)}; give an environment of Gymnasium, such as gymnasium.make(...).")
        gymnasium.Wrapper.__init__(self, env)
        self._codec = Codec(*controls) if controls else codec_of(env)
        self._path, self._options = Path(path), options
        self.recorder: Recorder | None = None
        self._labels: dict[str, Any] = {"policy": policy, "split": split}
        self._state, self._frame, self._info = tuple(state), np.zeros((0, 0, 3), np.uint8), dict[str, Any]()
        self._recording = False

    @property
    def episodes(self) -> list[EpisodeInfo]:
        """Finished episodes of the dataset, those recorded earlier among them."""
        return [] if self.recorder is None else [episode for _, episode in sorted(self.recorder.episodes.items())]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Ends the episode being recorded, and begins the next."""
        self._end()
        obs, info = self.env.reset(seed=seed, options=options)
        self._frame, self._info = frame_of(self.env, obs), info
        if self.recorder is None:
            about = describe(self.env, self._codec.spec, self._frame.shape, self._options)
            self.recorder = Recorder(self._path, about)
        self.recorder.begin(**{**self._labels, "seed": seed, **_dream_labels(self.env)})
        self._recording = True
        return obs, info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Steps, and records the frame before it together with the action, the reward and the end."""
        vector, state = self._codec.vector(action), state_values(self._info, self._state)
        obs, reward, terminated, truncated, info = self.env.step(action)
        if self._recording:
            assert self.recorder is not None
            try:
                self.recorder.append(self._frame, vector, float(reward), terminated, truncated, state)
            except BaseException:
                self._recording = False
                raise
            if terminated or truncated:
                self._end()
            else:
                self._frame, self._info = frame_of(self.env, obs), info
        return obs, reward, terminated, truncated, info

    def close(self) -> None:
        """Saves the episode being recorded, completes the dataset and closes the environment."""
        try:
            self._end()
        finally:
            if self.recorder is not None:
                self.recorder.close()
            self.env.close()

    def _end(self) -> None:
        if self._recording:
            assert self.recorder is not None
            self._recording = False
            self.recorder.end()


class RecordVectorDataset(VectorWrapper, RecordConstructorArgs):  # type: ignore[type-arg]
    """Records every episode of a vector environment; see `RecordDataset`. Episodes join the dataset as they end.

    Args:
        env: to record, in any autoreset mode.
        path, controls, game, policy, split, state, fps, lossless: as for `RecordDataset`; `state` takes names of arrays in the
            infos.
    """

    def __init__(
        self,
        env: VectorEnv[Any, Any, Any],
        path: str | Path,
        *,
        controls: tuple[ControlSpec, ToVector] | None = None,
        game: str | None = None,
        policy: str = "agent",
        split: str = "train",
        state: Sequence[str] = (),
        fps: float | None = None,
        lossless: bool = False,
    ) -> None:
        options: dict[str, Any] = {
            "game": game,
            "policy": policy,
            "split": split,
            "state": tuple(state),
            "fps": fps,
            "lossless": lossless,
        }
        RecordConstructorArgs.__init__(self, path=str(path), controls=controls, **options)
        VectorWrapper.__init__(self, env)
        self._codec = Codec(*controls) if controls else codec_of(env)
        self._path, self._options, self._state = Path(path), options, tuple(state)
        self._mode = env.metadata.get("autoreset_mode", AutoresetMode.NEXT_STEP)
        self.recorder: Recorder | None = None
        self._writers: list[EpisodeWriter | None] = [None] * env.num_envs
        self._labels: list[dict[str, Any]] = [{} for _ in range(env.num_envs)]
        self._over = np.zeros(env.num_envs, bool)
        self._known: list[dict[str, Any]] = [{} for _ in range(env.num_envs)]
        self._names = count()

    @property
    def episodes(self) -> list[EpisodeInfo]:
        """Finished episodes of the dataset, those recorded earlier among them."""
        return [] if self.recorder is None else [episode for _, episode in sorted(self.recorder.episodes.items())]

    def reset(  # type: ignore[override]
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Ends the episodes of the rows that are reset, and begins the next ones."""
        mask = (options or {}).get("reset_mask")
        rows = range(self.num_envs) if mask is None else np.flatnonzero(_numpy(mask)).tolist()
        for row in rows:
            self._end(row)
        obs, infos = self.env.reset(seed=seed, options=options)  # type: ignore[arg-type]
        self._frames = frames_of(self.env, obs)
        self._note(infos)
        if self.recorder is None:
            self.recorder = Recorder(self._path, describe(self.env, self._codec.spec, self._frames.shape[1:], self._options))
        seeds = [None if seed is None else seed + i if isinstance(seed, int) else seed[i] for i in range(self.num_envs)]
        self._begin(list(rows), seeds)
        return obs, infos

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Steps, and records the frames before it; a row whose episode ended begins the next as the autoreset mode says."""
        vectors, before = self._codec.vectors(actions, self.num_envs), self._frames
        states = [state_values(known, self._state) for known in self._known]
        obs, rewards, terminated, truncated, infos = self.env.step(actions)
        ends = _numpy(terminated), _numpy(truncated)
        earned, was_over = _numpy(rewards), self._over
        for row in np.flatnonzero(~was_over).tolist():
            writer = self._writers[row]
            if writer is not None:
                writer.append(before[row], vectors[row], float(earned[row]), ends[0][row], ends[1][row], states[row])
        self._frames, self._over = frames_of(self.env, obs), ends[0] | ends[1]
        self._note(infos)
        for row in np.flatnonzero(self._over).tolist():
            self._end(row)
        if self._mode == AutoresetMode.SAME_STEP:
            again, self._over = self._over, np.zeros(self.num_envs, bool)
        else:
            again = was_over & ~self._over if self._mode == AutoresetMode.NEXT_STEP else np.zeros(self.num_envs, bool)
        self._begin(np.flatnonzero(again).tolist(), [None] * self.num_envs)
        return obs, rewards, terminated, truncated, infos

    def close(self, **options: Any) -> None:
        """Saves the episodes being recorded, completes the dataset and closes the environments."""
        try:
            for row in range(self.num_envs):
                self._end(row)
        finally:
            for writer in filter(None, self._writers):
                writer.discard()
            if self.recorder is not None:
                self.recorder.close()
            self.env.close(**options)

    def _begin(self, rows: Sequence[int], seeds: Sequence[int | None]) -> None:
        """Begins an episode in each of `rows`, which were reset together."""
        assert self.recorder is not None
        who = {name: self._options[name] for name in ("policy", "split")}
        for i, row in enumerate(rows):
            self._labels[row] = {**who, "seed": seeds[row], **_dream_labels(self.env, row, (len(rows), i))}
            path = self.recorder.root / PARTIAL / f"episode-{next(self._names)}.mp4"
            claim = Claim.of_labels(self._labels[row])
            self._writers[row], self._over[row] = EpisodeWriter(path, self.recorder.info, claim), False

    def _end(self, row: int) -> None:
        """Takes the episode of a row into the dataset; one without frames is dropped."""
        writer, self._writers[row] = self._writers[row], None
        if writer is None:
            return
        assert self.recorder is not None
        take = writer.close()
        if take is not None:
            self.recorder.commit(take, **self._labels[row])

    def _note(self, infos: Mapping[str, Any]) -> None:
        """Takes the states of the rows that the infos are about."""
        for name in self._state:
            if name in infos:
                values = _numpy(infos[name])
                for row in np.flatnonzero(_numpy(infos.get(f"_{name}", np.ones(self.num_envs, bool)))):
                    self._known[row][name] = values[row]


def frame_of(env: gymnasium.Env[Any, Any], obs: Any) -> NDArray[np.uint8]:
    """The current frame of an environment, uint8 `(H, W, 3)`.

    Raises:
        EnvError: if it shows none.
    """
    own = getattr(env.unwrapped, "frame", None)
    if callable(own):  # dreams and twins, whose observations may be scaled, stacked or latent
        return own()
    if _is_frame(obs):
        return obs
    frame = env.render() if env.render_mode == "rgb_array" else None
    if not _is_frame(frame):
        raise EnvError(
            f"the environment's observations are {shown(env.observation_space)} and render_mode is {env.render_mode!r}; "
            "to be recorded it must show uint8 RGB frames (H, W, 3): make it with render_mode='rgb_array'."
        )
    return frame  # type: ignore[return-value]


def frames_of(env: VectorEnv[Any, Any, Any], obs: Any) -> NDArray[np.uint8]:
    """The current frames of a vector environment, uint8 `(N, H, W, 3)`.

    Raises:
        EnvError: if it shows none.
    """
    own = getattr(env.unwrapped, "frames", None)
    if callable(own):
        return own()
    seen = _numpy(obs) if not isinstance(obs, Mapping | tuple) else None
    if seen is not None and seen.ndim == 4 and _is_frame(seen[0]):
        return seen
    frames = env.render() if env.render_mode == "rgb_array" else None
    if not frames or not all(map(_is_frame, frames)):
        raise EnvError(
            f"the observations are {shown(env.single_observation_space)} and render_mode is {env.render_mode!r}; to be recorded, "
            "environments must show uint8 RGB frames (H, W, 3): make them with render_mode='rgb_array'."
        )
    return np.stack(list(frames))


def describe(env: Any, spec: ControlSpec, shape: Sequence[int], options: Mapping[str, Any]) -> DatasetInfo:
    """What a dataset of an environment says of it."""
    config = getattr(getattr(env.unwrapped, "world", None), "config", None)
    spec_of_env = getattr(env, "spec", None) or getattr(env.unwrapped, "spec", None)
    name = options["game"] or (config.game if config else None) or (spec_of_env.id if spec_of_env else None)
    fps = options["fps"] or _attribute(env, "fps") or (config.fps if config else None) or env.metadata.get("render_fps") or 30
    skip = _attribute(env, "frame_skip") or (config.frame_skip if config else 1)
    return DatasetInfo(
        game=name or type(env.unwrapped).__name__,
        control_spec=spec,
        height=shape[0],
        width=shape[1],
        fps=float(fps),
        frame_skip=int(skip),
        lossless=options["lossless"],
        state=options["state"],
    )


def _attribute(env: Any, name: str) -> Any:
    try:
        return env.get_wrapper_attr(name) if isinstance(env, gymnasium.Env) else getattr(env.unwrapped, name)
    except AttributeError:
        return None


def dreaming_world(env: Any) -> World | None:
    """The world that an environment, single or batched, shows; None for a real game, even one that sees with a tokenizer."""
    from worldsim.envs.dream import DreamEnv
    from worldsim.envs.vector import DreamVectorEnv

    unwrapped = env.unwrapped
    return unwrapped.world if isinstance(unwrapped, DreamEnv | DreamVectorEnv) else None


def _dream_labels(env: Any, row: int = 0, together: tuple[int, int] = (1, 0)) -> dict[str, Any]:
    """Of an episode that a world dreams; nothing for a real game, even one that sees with a world's tokenizer.

    Args:
        env: the environment.
        row: of its batch.
        together: how many rows were reset together, and which of them this one was.
    """
    world = dreaming_world(env)
    if world is None:
        return {}
    from worldsim.world.provenance import dream_labels

    shows_frames = not env.unwrapped.view.latent and env.unwrapped.view.obs_size is None  # otherwise all rows are decoded
    return dream_labels(world, row, decoded=together if shows_frames else None)


def _is_frame(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype == np.uint8 and value.ndim == 3 and value.shape[2] == 3


def _numpy(value: Any) -> NDArray[Any]:
    return value.detach().cpu().numpy() if hasattr(value, "detach") else np.asarray(value)
