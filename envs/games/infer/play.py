"""Plays an environment at random, to learn how long episodes last, what they are worth, and what moves."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from worldsim.controls import Controls
from worldsim.envs.games.any import Adapted, Picture, to_rgb
from worldsim.envs.games.policies import StickyRandom

Clip = NDArray[np.uint8]  # (T, H, W, 3), consecutive frames
SEEN = 120_000_000  # bytes of frames kept
CLIP = 60  # frames of a clip, at most
MIRRORED = 200  # frames that are compared with their mirror images


@dataclass(frozen=True)
class Played:
    """What came of random play.

    Attributes:
        lengths: of the episodes in steps, `(E,)`.
        finished: whether each came to an end of its own, `(E,)`.
        cut: steps after which the environment truncated an episode, at most; None if it did not.
        rewards: of every step.
        still: share of steps after which the frame is the one before.
        steps_per_second: of the environment and its picture.
        clips: what was shown, in pixels of the environment.
    """

    lengths: NDArray[np.int64]
    finished: NDArray[np.bool_]
    cut: int | None
    rewards: NDArray[np.float64]
    still: float
    steps_per_second: float
    clips: tuple[Clip, ...]

    @property
    def longest(self) -> int:
        return int(self.lengths.max())

    def shortest(self, share: float = 0.1) -> int:
        """Length that all but `share` of the episodes reach."""
        return int(np.quantile(self.lengths, share, method="lower"))


def play_at_random(env: Adapted, *, episodes: int = 20, longest: int = 1000, seconds: float = 20.0, seed: int = 0) -> Played:
    """Sticky random play.

    Args:
        env: as it is going to be recorded, but with a picture of the environment's own size.
        episodes: to play, at least 1.
        longest: steps of an episode, at most.
        seconds: after which no further episode begins.
        seed: of the first episode.
    """
    policy = StickyRandom(env.control_spec)
    lengths, finished, cut, rewards, clips = [], [], [], [], []
    still, stepping, size, begun_at = 0, 0.0, 0, time.perf_counter()
    for episode in range(episodes):
        policy.reset(np.random.default_rng((seed, episode)))
        frame, info = env.reset(seed=seed + episode)
        clip, over, steps, ended = [frame], False, 0, False
        while not over and steps < longest:
            action = env.control_spec.to_action(policy.act(info))
            stepped_at = time.perf_counter()
            after, reward, terminated, truncated, info = env.step(action)
            stepping += time.perf_counter() - stepped_at
            still += bool((after == frame).all())
            frame, steps, over, ended = after, steps + 1, terminated or truncated, terminated
            rewards.append(reward)
            if steps % (2 * CLIP) == 0 and size < SEEN:  # clips lie apart, so that late parts are seen too
                clips.append(np.stack(clip))
                size += clips[-1].nbytes
                clip = [frame]
            elif len(clip) < CLIP:
                clip.append(frame)
        if len(clip) > 1 and size < SEEN:
            clips.append(np.stack(clip))
            size += clips[-1].nbytes
        lengths.append(steps)
        finished.append(ended)
        cut += [steps] if over and not ended else []
        if time.perf_counter() - begun_at > seconds:
            break
    return Played(
        lengths=np.array(lengths),
        finished=np.array(finished),
        cut=max(cut, default=None),
        rewards=np.array(rewards),
        still=still / len(rewards),
        steps_per_second=len(rewards) / stepping,
        clips=tuple(clips),
    )


def still_actions(env: gymnasium.Env[Any, Any], source: str, count: int, *, trials: int = 3, steps: int = 4) -> list[int]:
    """Actions of a Discrete space, counted from 0, that change nothing and cost nothing, whenever they were tried."""
    picture, first = Picture(1, 1, source=source), int(getattr(env.action_space, "start", 0))
    rng, still = np.random.default_rng(0), list(range(count))
    for trial in range(trials):
        prelude = rng.integers(0, count, trial * 3).tolist()
        for number in list(still):
            observation, _ = env.reset(seed=trial)
            for action in prelude:
                observation, _, terminated, truncated, _ = env.step(first + action)
                if terminated or truncated:
                    observation, _ = env.reset(seed=trial + 1000)
            before = np.array(to_rgb(picture.read(env, observation)))
            for _ in range(steps):
                observation, reward, terminated, truncated, _ = env.step(first + number)
                changed = not np.array_equal(to_rgb(picture.read(env, observation)), before)
                if changed or reward or terminated or truncated:
                    still.remove(number)
                    break
    return still


def hold(env: Adapted, options: Sequence[Controls], *, frames: int = 10, lead: int = 20, seed: int = 0) -> list[Clip]:
    """Each of some controls held for `frames` steps from the same moment, `lead` steps of rest after the start.

    Returns:
        Clips `(frames + 1, H, W, 3)`, shorter where the episode ended, of which the first frame is the common moment.
    """
    clips = []
    for controls in options:
        frame, _ = env.reset(seed=seed)
        over = False
        for _ in range(lead):
            frame, _, terminated, truncated, _ = env.step(Controls())
            if terminated or truncated:  # resting does not last so long there
                frame, _ = env.reset(seed=seed)
                break
        clip = [frame]
        while len(clip) <= frames and not over:
            frame, _, terminated, truncated, _ = env.step(controls)
            over = terminated or truncated
            clip.append(frame)
        clips.append(np.stack(clip))
    return clips


def mirrors(env: Adapted, clips: Sequence[Clip], *, tolerance: float = 0.02) -> bool:
    """Whether the game looks the same with left and right swapped: on the whole, and with mirrored controls held.

    Args:
        env: the game.
        clips: of random play.
        tolerance: mean difference of pixels that counts as none, as a share of the largest.
    """
    spec = env.control_spec
    if not spec.mirrored_pairs and not spec.has_mouse:
        return False
    frames = np.concatenate([clip[::4] for clip in clips])[:MIRRORED].astype(np.float32) / 255
    for image in (frames.mean(0), frames.std(0), np.abs(np.diff(frames, axis=0)).mean(0)):
        scale = max(float(image.std()), 1e-3)
        if np.abs(image - image[:, ::-1]).mean() > max(tolerance, 0.25 * scale):
            return False
    sides = [Controls(keys={key}) for pair in spec.mirrored_pairs for key in pair]
    if spec.mouse_limit[0]:
        sides += [Controls(mouse=(spec.mouse_limit[0], 0)), Controls(mouse=(-spec.mouse_limit[0], 0))]
    held = hold(env, sides)
    for one, other in zip(held[::2], held[1::2], strict=True):
        length = min(len(one), len(other))
        moved = [np.abs(clip[:length].astype(np.float32) - clip[0]).mean((0, 3)) for clip in (one, other)]
        if np.abs(moved[0] - moved[1][:, ::-1]).mean() > 0.5 * max(float(moved[0].mean() + moved[1].mean()) / 2, 1e-3):
            return False
    return True
