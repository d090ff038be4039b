"""One dream as an environment: checkers, options, ends, snapshots, and what a user can get wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from gymnasium.wrappers import FrameStackObservation, NumpyToTorch, RecordEpisodeStatistics, RecordVideo, TimeLimit

from worldsim.controls import Controls
from worldsim.envs.dream import DreamEnv, warn_of_processes
from worldsim.errors import ControlError, EnvError, WorldError, WorldsimError
from worldsim.world import World, WorldConfig, export_world

LEFT = Controls(keys={"a"})
VIEWS: list[dict[str, Any]] = [{}, {"actions": "flat"}, {"obs": "latent"}, {"obs": "latent", "actions": "flat", "stack": 3}]


def dream(path: Path, **options: Any) -> DreamEnv:
    return DreamEnv(path, device="cpu", dtype="float32", **options)


@pytest.fixture
def env(tiny_world_path: Path) -> DreamEnv:
    return dream(tiny_world_path, render_mode="rgb_array")


@pytest.mark.parametrize("view", VIEWS)
def test_gymnasium_checker(tiny_world_path: Path, view: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    env = gymnasium.make("WorldSim/Dream-v0", world=str(tiny_world_path), device="cpu", dtype="float32", **view)
    check_env(env.unwrapped)
    assert isinstance(env.metadata["render_fps"], int)


@pytest.mark.parametrize("obs", ["pixels", "latent"])
def test_stable_baselines_checker(obs: str) -> None:
    checker = pytest.importorskip("stable_baselines3.common.env_checker")
    checker.check_env(DreamEnv("doom/take-cover", device="cpu", obs=obs, actions="flat", stack=2))


def test_equal_seeds_give_equal_episodes(env: DreamEnv) -> None:
    episodes = []
    for _ in range(2):
        frames = [env.reset(seed=7)[0]]
        frames += [env.step(LEFT)[0] for _ in range(5)]
        frames += [env.reset()[0], env.step(LEFT)[0]]
        episodes.append(np.stack(frames))
    assert np.array_equal(episodes[0], episodes[1])
    starts = [env.reset()[0] for _ in range(10)]
    assert any(not np.array_equal(starts[0], frame) for frame in starts), "without a seed every episode is another one"
    env.reset(seed=2**64 - 1)


def test_actions_come_in_three_forms_and_flat(env: DreamEnv, tiny_world_path: Path) -> None:
    controls = Controls(keys={"d"}, mouse=(2.5, 0))
    vector = env.control_spec.to_vector(controls)
    flat = dream(tiny_world_path, actions="flat")
    assert isinstance(flat.action_space, gymnasium.spaces.MultiDiscrete) and list(flat.action_space.nvec) == [3, 5, 2]
    frames = []
    for player, action in (
        (env, controls),
        (env, vector),
        (env, env.control_spec.to_action(vector)),
        (flat, np.array([2, 2, 0])),
    ):
        player.reset(seed=1)
        frames.append(player.step(action)[0])
    assert all(np.array_equal(frames[0], frame) for frame in frames)


def test_an_action_decides_the_frame_reward_and_end_of_its_own_step(env: DreamEnv) -> None:
    torch.nn.init.normal_(env.world.dynamics.end_head.weight, std=0.1, generator=torch.Generator().manual_seed(0))
    env.reset(seed=0)
    env.step(LEFT)
    state = env.get_state()
    said = []
    for actions in ((LEFT, LEFT), (Controls(keys={"d"}), LEFT), (LEFT, Controls(keys={"d"}))):
        env.set_state(state)
        said.append([env.step(action) for action in actions])
    for changed, step in ((1, 0), (2, 1)):
        for before in range(step):
            assert said[0][before][1] == said[changed][before][1]
        one, other = said[0][step], said[changed][step]
        assert not np.array_equal(one[0], other[0]) and one[1] != other[1] and one[4] != other[4]


def test_the_horizon_truncates_and_nothing_else(tiny_world_path: Path, short_world_path: Path) -> None:
    env = dream(tiny_world_path, horizon=3)
    env.reset(seed=0)
    steps = [env.step(LEFT) for _ in range(3)]
    assert [step[3] for step in steps] == [False, False, True] and not any(step[2] for step in steps)
    assert all(type(step[1]) is float and type(step[2]) is bool and type(step[3]) is bool for step in steps)

    env, lengths = dream(short_world_path), []
    for seed in range(24):
        env.reset(seed=seed)
        chances, terminated = [], False
        while not terminated:
            _, _, terminated, truncated, info = env.step(LEFT)
            chances.append(info["end_probability"])
            assert not truncated
        lengths.append(len(chances))
    expected = 1 / (1 + np.exp(2.2))
    assert np.allclose(chances, expected, atol=1e-3) and 5 < np.mean(lengths) < 18


def test_frames_are_stacked_along_the_last_axis(tiny_world_path: Path) -> None:
    plain, stacked = dream(tiny_world_path), dream(tiny_world_path, stack=3)
    frames = [plain.reset(seed=4)[0]]
    seen = [stacked.reset(seed=4)[0]]
    for _ in range(3):
        frames.append(plain.step(LEFT)[0])
        seen.append(stacked.step(LEFT)[0])
    assert stacked.observation_space.shape == (32, 48, 9)
    assert np.array_equal(seen[0], np.concatenate([frames[0]] * 3, -1))
    assert np.array_equal(seen[1], np.concatenate([frames[0], frames[0], frames[1]], -1))
    assert np.array_equal(seen[3], np.concatenate(frames[1:], -1))


def test_latents_decode_to_the_frames_of_the_same_dream(tiny_world_path: Path) -> None:
    pixels, latents = dream(tiny_world_path), dream(tiny_world_path, obs="latent", render_mode="rgb_array")
    pixels.reset(seed=3)
    latents.reset(seed=3)
    frame, latent = pixels.step(LEFT)[0], latents.step(LEFT)[0]
    assert latent.dtype == np.float32 and latent.shape == (2 * 3 * 6,)
    grid = torch.from_numpy(latent).unflatten(0, (1, 2, 3, 6))
    assert np.array_equal(latents.world.decode(grid)[0].numpy(), frame)
    assert np.array_equal(latents.frame(), frame)


def test_a_state_has_one_future(short_world_path: Path) -> None:
    env, other = (dream(short_world_path, horizon=30, stack=2) for _ in range(2))
    rng = np.random.default_rng(0)
    env.reset(seed=9)
    env.step(LEFT)
    state = env.get_state()
    actions = [env.control_spec.to_vector(Controls(keys={str(rng.choice(["a", "d"]))})) for _ in range(60)]

    def future(player: DreamEnv) -> list[Any]:
        said: list[Any] = []
        for action in actions:
            said.append(player.step(action))
            if said[-1][2] or said[-1][3]:
                said.append((player.reset()[0],))
        return said

    first = future(env)
    assert sum(len(part) == 1 for part in first) >= 2, "episodes end and begin in between"
    for player in (env, other):
        assert np.array_equal(player.set_state(state), state.obs[0].numpy())
        for one, two in zip(first, future(player), strict=True):
            assert np.array_equal(one[0], two[0]) and one[1:] == two[1:]


def test_temperature_and_context_level_change_the_dream(tiny_world_path: Path) -> None:
    def last(seed: int, **options: Any) -> np.ndarray:
        env = dream(tiny_world_path, obs="latent", **options)
        env.reset(seed=seed, options={"start": 1})
        return [env.step(LEFT)[0] for _ in range(3)][-1]

    assert not np.array_equal(last(1), last(2)) and not np.array_equal(last(1), last(1, context_level=0.4))

    def spread(temperature: float) -> float:
        return float(np.std([last(seed, temperature=temperature) for seed in range(6)], axis=0).mean())

    assert spread(0.3) < spread(1.0) < spread(3.0)


def test_gymnasium_wrappers(env: DreamEnv) -> None:
    wrapped = RecordEpisodeStatistics(TimeLimit(FrameStackObservation(env, 4), 5))
    assert wrapped.reset(seed=0)[0].shape == (4, 32, 48, 3)
    *_, truncated, info = [wrapped.step(wrapped.action_space.sample()) for _ in range(5)][-1]
    assert truncated and info["episode"]["l"] == 5

    tensors = NumpyToTorch(env)
    tensors.reset(seed=0)
    action = {name: torch.from_numpy(part) for name, part in env.action_space.sample().items()}
    assert isinstance(tensors.step(action)[0], torch.Tensor)


def test_videos_are_recorded(env: DreamEnv, tmp_path: Path) -> None:
    video = RecordVideo(TimeLimit(env, 4), str(tmp_path / "videos"), disable_logger=True)
    video.reset(seed=0)
    while not video.step(LEFT)[3]:
        pass
    video.close()
    assert [path.suffix for path in (tmp_path / "videos").iterdir()] == [".mp4"]


def test_a_window_shows_the_frames(tiny_world_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pygame = pytest.importorskip("pygame")
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    env = dream(tiny_world_path, render_mode="human")
    frame = env.reset(seed=0)[0]
    shown = pygame.surfarray.array3d(pygame.display.get_surface()).swapaxes(0, 1)
    assert np.array_equal(shown, frame.repeat(6, 0).repeat(6, 1)) and env.render() is None
    env.close()
    env.close()
    assert pygame.display.get_surface() is None


@pytest.mark.filterwarnings("ignore:.*matplotlib is not installed")
def test_keys_to_actions(tiny_world_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from gymnasium.utils.play import PlayableGame

    pygame = pytest.importorskip("pygame")
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    for actions in ("native", "flat"):
        env = dream(tiny_world_path, actions=actions, render_mode="rgb_array")
        keyed = env.get_keys_to_action()
        assert all(action in env.action_space for action in keyed.values())
        held = env.view.vector(keyed[tuple(sorted((pygame.K_a, pygame.K_SPACE, pygame.K_RIGHT)))])
        assert env.control_spec.from_vector(held) == Controls(keys={"a"}, mouse=(2.5, 0), buttons={"left"})
        env.reset(seed=0)
        assert PlayableGame(env).relevant_keys == {pygame.K_a, pygame.K_d, pygame.K_LEFT, pygame.K_RIGHT, pygame.K_SPACE}
        pygame.quit()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"obs": "latents"}, r"obs was 'latents'; allowed: pixels, latent\. Did you mean 'latent'"),
        ({"actions": "discrete"}, r"actions was 'discrete'; allowed: native, flat"),
        ({"stack": 0}, r"stack was 0"),
        ({"horizon": 0}, r"horizon was 0; give a number of steps"),
        ({"render_mode": "ansi"}, r"render_mode was 'ansi'; allowed: human, rgb_array"),
        ({"temprature": 1.0}, r"an option was 'temprature'.*Did you mean 'temperature'"),
        ({"dtype": "float16"}, r"dtype was 'float16'; allowed: auto, float32, bfloat16"),
        ({"temperature": -1.0}, r"temperature was -1.0; give a number of at least 0"),
        ({"context_level": 1.0}, r"context_level was 1.0; give a number of at least 0 and below 1"),
        ({"num_steps": 0}, r"num_steps was 0; give a whole number of at least 1"),
    ],
)
def test_wrong_options(tiny_world_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(WorldsimError, match=message):
        DreamEnv(tiny_world_path, **{"device": "cpu", **options})


@pytest.mark.parametrize(
    ("actions", "action", "message"),
    [
        ("native", {"keys": np.zeros(3), "mouse": np.zeros(2), "buttons": np.zeros(1)}, r"action\['keys'\] has shape \(1, 3\)"),
        ("native", {"keys": np.zeros(2)}, r"action was \['keys'\]; give a dict with keys, mouse, buttons"),
        ("native", {"keys": "ad", "mouse": np.zeros(2), "buttons": np.zeros(1)}, r"an action was 'ad'; give numbers"),
        ("native", np.zeros(2), r"last axis must be 5"),
        ("flat", np.zeros(3), r"actions were float64 of shape \(1, 3\); give whole numbers.*MultiDiscrete"),
        ("flat", np.zeros(2, int), r"actions were int64 of shape \(1, 2\)"),
        ("flat", np.array([0, 5, 0]), r"actions were \[\[0, 5, 0\]\]; each must be one of MultiDiscrete\(\[3 5 2\]\)"),
    ],
)
def test_wrong_actions(tiny_world_path: Path, actions: str, action: Any, message: str) -> None:
    env = dream(tiny_world_path, actions=actions)
    env.reset(seed=0)
    with pytest.raises(ControlError, match=message):
        env.step(action)


def test_calls_out_of_order(tiny_world_path: Path) -> None:
    env = dream(tiny_world_path, horizon=1)
    with pytest.raises(EnvError, match=r"call reset\(\) before the next step"):
        env.step(LEFT)
    with pytest.raises(WorldError, match="get_state\\(\\) before reset"):
        env.get_state()
    env.reset(seed=0)
    env.step(LEFT)
    with pytest.raises(EnvError, match=r"the episode is over.*call reset"):
        env.step(LEFT)
    with pytest.raises(
        WorldError, match="seed was 18446744073709551616; give a whole number from 0 to 18,446,744,073,709,551,615"
    ):
        env.reset(seed=2**64)
    with pytest.raises(WorldError, match=r"start was 3; give a whole number from 0 to 2"):
        env.reset(options={"start": 3})


def test_states_of_other_environments_are_refused(tiny_world_path: Path) -> None:
    env, other = dream(tiny_world_path), dream(tiny_world_path, stack=2)
    env.reset(seed=0)
    with pytest.raises(EnvError, match=r"observations are \(32, 48, 3\), those here \(32, 48, 6\)"):
        other.set_state(env.get_state())


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
def test_a_world_without_rewards_teaches_nothing(tiny_world: World, tmp_path: Path) -> None:
    from dataclasses import replace

    from worldsim.model.dit import DiT

    sizes = replace(tiny_world.config.dynamics, reward_bins=0)
    config: WorldConfig = replace(tiny_world.config, dynamics=sizes)
    folder = export_world(tmp_path / "w", config, tiny_world.tokenizer, DiT(sizes), tiny_world.starts, tiny_world.start_controls)
    with pytest.raises(EnvError, match=r"'test/tiny' has no reward head.*rewards=False"):
        DreamEnv(folder, device="cpu")
    env = DreamEnv(folder, device="cpu", rewards=False)
    env.reset(seed=0)
    assert env.step(LEFT)[1] == 0.0


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_an_absent_gpu_is_named(tiny_world_path: Path) -> None:
    with pytest.raises(WorldsimError, match="torch sees 0 GPUs"):
        DreamEnv(tiny_world_path, device="cuda")


def test_gpu_worlds_in_processes_are_warned_of() -> None:
    with pytest.warns(UserWarning, match="without vectorization_mode runs all N in one batched call"):
        warn_of_processes(torch.device("cuda"))
    warn_of_processes(torch.device("cpu"))
