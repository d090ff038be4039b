"""One dream as an environment: checkers, options, ends, snapshots, and what a user can get wrong."""

from __future__ import annotations

import copy
import pickle
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
from worldsim.envs.twin import TwinEnv
from worldsim.envs.vector import DreamVectorEnv
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
    results = []
    for actions in ((LEFT, LEFT), (Controls(keys={"d"}), LEFT), (LEFT, Controls(keys={"d"}))):
        env.set_state(state)
        results.append([env.step(action) for action in actions])
    for changed, step in ((1, 0), (2, 1)):
        for before in range(step):
            assert results[0][before][1] == results[changed][before][1]
        one, other = results[0][step], results[changed][step]
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
        results: list[Any] = []
        for action in actions:
            results.append(player.step(action))
            if results[-1][2] or results[-1][3]:
                results.append((player.reset()[0],))
        return results

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
    screen = env._screen
    assert screen is not None and env.render() is None
    shown = pygame.surfarray.array3d(screen._window.get_surface()).swapaxes(0, 1)
    assert np.array_equal(shown, frame.repeat(6, 0).repeat(6, 1))
    env.close()
    env.close()
    assert screen._window is None and not pygame.display.get_init()


def test_rendering_waits_for_a_reset(tiny_world_path: Path) -> None:
    env = dream(tiny_world_path, render_mode="rgb_array")
    with pytest.raises(EnvError, match=r"render\(\) before reset\(\); call reset"):
        env.render()
    batch = DreamVectorEnv(tiny_world_path, 2, device="cpu", render_mode="rgb_array")
    with pytest.raises(EnvError, match=r"render\(\) before reset\(\); call reset"):
        batch.render()
    other = dream(tiny_world_path, render_mode="rgb_array")
    other.reset(seed=0)
    env.set_state(other.get_state())
    assert np.array_equal(env.render(), other.render())  # type: ignore[arg-type]


def test_numpy_numbers_are_as_good(tiny_world_path: Path) -> None:
    env, other = dream(tiny_world_path, horizon=np.int64(2), stack=np.int32(2)), dream(tiny_world_path, horizon=2, stack=2)
    one = env.reset(seed=np.int64(3), options={"start": np.int32(1)})[0]  # type: ignore[arg-type]
    assert np.array_equal(one, other.reset(seed=3, options={"start": 1})[0])
    assert [env.step(LEFT)[3] for _ in range(2)] == [False, True]
    env.reset(seed=np.uint64(2**64 - 1))  # type: ignore[arg-type]


def test_unknown_options_are_refused_as_python_does(tiny_world_path: Path) -> None:
    for kind in (DreamEnv, DreamVectorEnv, TwinEnv):
        with pytest.raises(TypeError, match=r"__init__\(\) got an unexpected keyword argument 'temprature'"):
            kind(world=tiny_world_path, temprature=1.0)  # type: ignore[call-arg]
    with pytest.raises(EnvError, match=r"device, temperature given with a loaded world; give them to World.load"):
        DreamEnv(World.load(tiny_world_path, device="cpu"), device="cpu", temperature=2.0)


def test_a_world_has_one_environment_at_a_time(tiny_world: World) -> None:
    first = DreamEnv(tiny_world)
    with pytest.raises(WorldError, match=r"in use by another DreamEnv.*World.load"):
        DreamVectorEnv(tiny_world, 1)
    with pytest.raises(WorldError, match="in use by another DreamEnv"):
        gymnasium.make_vec("WorldSim/Dream-v0", num_envs=2, vectorization_mode="sync", world=tiny_world)
    first.close()
    batch = DreamVectorEnv(tiny_world, 1)
    with pytest.raises(WorldError, match="in use by another DreamVectorEnv"):
        DreamEnv(tiny_world)
    batch.close()
    DreamEnv(tiny_world).reset(seed=0)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))], ids=["deepcopy", "pickle"])
def test_copies_go_on_as_the_original_does(tiny_world_path: Path, copied: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    env = dream(tiny_world_path, render_mode="human")
    env.reset(seed=4)
    env.step(LEFT)
    other = copied(env)
    assert other.world is not env.world
    for _ in range(3):
        one, two = env.step(LEFT), other.step(LEFT)
        assert np.array_equal(one[0], two[0]) and one[1:] == two[1:]
    with pytest.raises(WorldError, match="in use by another DreamEnv"):
        DreamEnv(other.world)
    env.close()
    other.close()


def test_pixels_come_in_another_size(tiny_world_path: Path) -> None:
    env = dream(tiny_world_path, obs_size=[64, 72], stack=2, render_mode="rgb_array")
    frame, _ = env.reset(seed=0)
    assert env.observation_space.shape == frame.shape == (64, 72, 6)
    whole = env.render()
    assert whole is not None and whole.shape == (32, 48, 3)
    assert np.abs(frame[:, :, 3:].mean((0, 1)) - whole.mean((0, 1))).max() < 1
    small = dream(tiny_world_path, obs_size=(16, 24))
    halved = small.reset(seed=0)[0].astype(float)
    blocks = whole.astype(float).reshape(16, 2, 24, 2, 3).mean((1, 3))
    assert np.corrcoef(halved.ravel(), blocks.ravel())[0, 1] > 0.9


def test_convolutions_for_atari_take_the_strip_in_another_size(short_world_path: Path) -> None:
    sb3 = pytest.importorskip("stable_baselines3")
    env = dream(short_world_path, obs_size=(64, 64), actions="flat")
    sb3.PPO("CnnPolicy", env, n_steps=8, batch_size=8, n_epochs=1, device="cpu").learn(8)


@pytest.mark.filterwarnings("ignore:.*matplotlib is not installed")
@pytest.mark.parametrize("view", [{}, {"actions": "flat"}])
def test_gymnasiums_own_player_plays(tiny_world_path: Path, view: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    from gymnasium.utils.play import play

    pygame = pytest.importorskip("pygame")
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    env = gymnasium.make("WorldSim/Dream-v0", world=str(tiny_world_path), device="cpu", render_mode="rgb_array", **view)
    actions: list[Any] = []

    def after(before: Any, obs: Any, action: Any, *rest: Any) -> None:
        actions.append(action)
        if len(actions) == 1:
            pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=pygame.K_d))
        if len(actions) == 3:
            pygame.event.post(pygame.event.Event(pygame.QUIT))

    play(env, callback=after, fps=1000, seed=0)
    held = [env.unwrapped.view.vector(action) for action in actions]  # type: ignore[attr-defined]
    assert not held[0].any() and held[-1].tolist() == [0, 1, 0, 0, 0]


def test_torchrl_makes_it_by_its_name(tiny_world_path: Path) -> None:
    libs = pytest.importorskip("torchrl.envs")
    for name in ("WorldSim/Dream-v0", "worldsim:WorldSim/Dream-v0"):
        env = libs.GymEnv(name, world=str(tiny_world_path), obs="latent", actions="flat", device="cpu")
        assert env.rollout(3)["next", "reward"].shape == (3, 1)


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
        ({"obs": "latents"}, r"obs was 'latents'; allowed: 'pixels', 'latent'\. Did you mean 'latent'"),
        ({"actions": "discrete"}, r"actions was 'discrete'; allowed: 'native', 'flat'"),
        ({"stack": 0}, r"stack was 0"),
        ({"horizon": 0}, r"horizon was 0; give a whole number of at least 1"),
        ({"render_mode": "ansi"}, r"render_mode was 'ansi'; allowed: 'human', 'rgb_array'"),
        ({"horizon": "never"}, r"horizon was 'never'; allowed: 'game'"),
        ({"stack": "2"}, r"stack was '2'; give a whole number of at least 1"),
        ({"device": "gpu"}, r"device was 'gpu'"),
        ({"obs_size": 64}, r"obs_size was 64; give \(height, width\) in pixels"),
        ({"obs_size": (64, 0)}, r"obs_size was 0; give a whole number of at least 1"),
        ({"obs": "latent", "obs_size": (64, 64)}, r"obs_size scales pixels; leave it out with obs='latent'"),
        ({"dtype": "float16"}, r"dtype was 'float16'; allowed: 'auto', 'float32', 'bfloat16'"),
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
        ("native", np.zeros(2), r"the action was array\(\[0., 0.\]\); give Dict.*, or a vector of 5 numbers: a, d, mouse.dx"),
        ("native", "a", r"an action was 'a'; give numbers"),
        ("native", 1, r"the action was 1; give Dict.*, or a vector of 5 numbers"),
        ("native", None, r"an action was None; give numbers"),
        ("flat", "a", r"an action was 'a'; give numbers"),
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
    for seed in (2**64, -1, 1.5, "1"):
        with pytest.raises(EnvError, match=r"seed was .*; give a whole number from 0 to 18,446,744,073,709,551,615"):
            env.reset(seed=seed)  # type: ignore[arg-type]
    with pytest.raises(WorldError, match="start was 3; give a whole number from 0 to 2"):
        env.reset(options={"start": 3})
    with pytest.raises(EnvError, match=r"reset\(\) has no option 'strat'; it has: start, frames. Did you mean 'start'\?"):
        env.reset(options={"strat": 1})
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


def test_an_episode_begins_with_frames_of_the_callers_own(tiny_world_path: Path) -> None:
    env = DreamEnv(tiny_world_path, device="cpu")
    frames = np.full((2, 32, 48, 3), 120, np.uint8)
    first, _ = env.reset(seed=1, options={"frames": frames})
    again, _ = env.reset(seed=2, options={"frames": frames})
    other, _ = env.reset(seed=1)
    assert (first == again).all() and (first != other).any()
    env.step(env.action_space.sample())
    with pytest.raises(WorldError, match=r"give uint8 \(T, 32, 48, 3\)"):
        env.reset(options={"frames": frames[:, :16]})
    env.close()
