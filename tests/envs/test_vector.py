"""Many dreams in one call: the same as Gymnasium's own vector environments of single dreams, only faster."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import data_equivalence
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers.vector import NormalizeObservation, NormalizeReward, NumpyToTorch, RecordEpisodeStatistics

from worldsim.envs.dream import DreamEnv
from worldsim.envs.vector import DreamVectorEnv
from worldsim.errors import ControlError, EnvError, WorldError
from worldsim.model.dit import DiT
from worldsim.world import World, export_world

OPTIONS: dict[str, Any] = {"device": "cpu", "dtype": "float32"}
MODES = list(AutoresetMode)


def dreams(path: Path, num_envs: int = 4, **options: Any) -> DreamVectorEnv:
    return DreamVectorEnv(path, num_envs, **{"actions": "flat", **OPTIONS, **options})


def singles(path: Path, count: int, mode: AutoresetMode, **options: Any) -> SyncVectorEnv:
    make = [lambda: DreamEnv(path, actions="flat", **OPTIONS, **options)] * count
    return SyncVectorEnv(make, autoreset_mode=mode)


@pytest.mark.parametrize("view", [{"obs": "latent"}, {"obs": "latent", "stack": 2}])
@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.value)
def test_rows_are_what_single_dreams_are(short_world_path: Path, mode: AutoresetMode, view: dict[str, Any]) -> None:
    ours, theirs = (
        dreams(short_world_path, autoreset_mode=mode, horizon=6, **view),
        singles(short_world_path, 4, mode, horizon=6, **view),
    )
    assert ours.metadata["autoreset_mode"] is mode
    assert (ours.action_space, ours.observation_space) == (theirs.action_space, theirs.observation_space)
    assert data_equivalence(ours.reset(seed=3), theirs.reset(seed=3))
    ours.action_space.seed(0)
    ends = {"terminated": 0, "truncated": 0}
    for _ in range(25):
        action = ours.action_space.sample()
        obs, reward, *rest = ours.step(action)
        their_obs, their_reward, *their_rest = theirs.step(action)
        assert (
            np.allclose(obs, their_obs, atol=1e-3)
            and obs.dtype == their_obs.dtype
            and np.allclose(reward, their_reward, atol=1e-3)
        )
        rounded = [_round(part) for part in (rest, their_rest)]
        assert data_equivalence(*rounded), rounded
        terminated, truncated, _ = rest
        ends["terminated"] += int(terminated.sum())
        ends["truncated"] += int(truncated.sum())
        over = terminated | truncated
        if mode == AutoresetMode.DISABLED and over.any():
            pair = [env.reset(options={"reset_mask": over.copy()}) for env in (ours, theirs)]
            assert data_equivalence(_round(pair[0]), _round(pair[1]))
    assert min(ends.values()) >= 3


def _round(data: Any) -> Any:
    """Without the last digits, in which batches of different sizes differ."""
    if isinstance(data, dict):
        return {key: _round(value) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [_round(value) for value in data]
    if isinstance(data, np.ndarray) and data.dtype == object:
        out = np.empty_like(data)
        out[:] = [_round(value) for value in data]
        return out
    return np.round(data.astype(float), 2) + 0.0 if isinstance(data, np.ndarray) and data.dtype.kind == "f" else data


def test_pixels_of_rows_differ_from_single_dreams_by_rounding_at_most(tiny_world_path: Path) -> None:
    batch, action = dreams(tiny_world_path, 8), np.array([1, 0, 0])
    first, _ = batch.reset(seed=20)
    frames = [first] + [batch.step(np.tile(action, (8, 1)))[0] for _ in range(4)]
    for row in (0, 5):
        single = DreamEnv(tiny_world_path, actions="flat", **OPTIONS)
        alone = [single.reset(seed=20 + row)[0]] + [single.step(action)[0] for _ in range(4)]
        assert max(int(np.abs(a.astype(int) - f[row]).max()) for a, f in zip(alone, frames, strict=True)) <= 1


def test_a_row_does_not_notice_the_others(short_world_path: Path) -> None:
    actions = np.random.default_rng(0).integers(0, 2, (15, 4, 3))
    rows = []
    for seeds, others in (([5, 6, 7, 8], 0), ([5, 1, 2, 9], 1)):
        env = dreams(short_world_path, autoreset_mode="SameStep")
        seen = [env.reset(seed=seeds)[0][0]]
        for action in actions:
            action[1:] = others
            obs, reward, terminated, *_ = env.step(action)
            seen.append((obs[0], reward[0], terminated[0]))
        rows.append(seen)
    assert all(np.array_equal(one, two) for one, two in zip(rows[0][0], rows[1][0], strict=True))
    for one, two in zip(rows[0][1:], rows[1][1:], strict=True):
        assert np.array_equal(one[0], two[0]) and one[1:] == two[1:]


def test_numpy_and_torch_say_the_same(short_world_path: Path) -> None:
    views: list[dict[str, Any]] = [{"obs": "latent"}, {}]
    for view in views:
        arrays = dreams(short_world_path, autoreset_mode="SameStep", **view)
        tensors = dreams(short_world_path, autoreset_mode="SameStep", output="torch", **view)
        assert np.array_equal(arrays.reset(seed=0)[0], tensors.reset(seed=0)[0])
        for _ in range(12):
            action = arrays.action_space.sample()
            *results, infos = arrays.step(action)
            *tensors_out, more = tensors.step(torch.from_numpy(action))
            for one, two in zip(results, tensors_out, strict=True):
                assert isinstance(two, torch.Tensor) and not two.is_inference() and np.array_equal(one, two)
            assert tensors_out[0] is tensors._dreams.obs, "nothing was copied"
            for row in np.flatnonzero(infos.get("_final_obs", np.zeros(4))):
                assert np.array_equal(infos["final_obs"][row], more["final_obs"][row])
        assert arrays.reset()[0].dtype == arrays.single_observation_space.dtype


def test_what_was_handed_out_stays(short_world_path: Path) -> None:
    env = dreams(short_world_path, output="torch", autoreset_mode="SameStep", stack=2)
    kept = [env.reset(seed=0)[0]]
    copies = [kept[0].clone()]
    for _ in range(12):
        kept.append(env.step(env.action_space.sample())[0])
        copies.append(kept[-1].clone())
    assert all(torch.equal(one, two) for one, two in zip(kept, copies, strict=True))


def test_latents_train_a_policy(tiny_world_path: Path) -> None:
    env = dreams(tiny_world_path, obs="latent", output="torch")
    obs, _ = env.reset(seed=0)
    policy = torch.nn.Linear(obs.shape[1], 1)
    loss = (policy(obs) * env.step(env.action_space.sample())[1][:, None]).mean()
    loss.backward()
    assert policy.weight.grad is not None and policy.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.value)
def test_states_have_one_future(short_world_path: Path, mode: AutoresetMode) -> None:
    env = dreams(short_world_path, autoreset_mode=mode, horizon=9)
    env.reset(seed=1)
    actions = [env.action_space.sample() for _ in range(14)]

    def play(steps: list[Any]) -> list[Any]:
        results = []
        for action in steps:
            results.append(env.step(action))
            over = results[-1][2] | results[-1][3]
            if mode == AutoresetMode.DISABLED and over.any():
                env.reset(options={"reset_mask": over})
        return results

    play(actions[:8])
    state = env.get_state()
    first = play(actions)
    assert any((step[2] | step[3]).any() for step in first)
    assert np.array_equal(env.set_state(state), state.obs.numpy())
    for one, two in zip(first, play(actions), strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one[:4], two[:4], strict=True))


def test_one_state_branches_into_many_futures(tiny_world_path: Path) -> None:
    single, env = DreamEnv(tiny_world_path, actions="flat", **OPTIONS), dreams(tiny_world_path, 6, output="torch")
    single.reset(seed=1)
    single.step(np.array([1, 0, 0]))
    state = single.get_state()
    left, either = np.tile([1, 0, 0], (6, 1)), np.array([[i % 3, 0, 0] for i in range(6)])

    assert torch.equal(env.set_state(state), state.obs.expand(6, -1, -1, -1))
    same = env.step(left)[0]
    assert all(torch.equal(same[0], row) for row in same), "equal actions and noise"
    env.set_state(state)
    acted = env.step(either)[0]
    assert torch.equal(acted[1], acted[4]) and not torch.equal(acted[1], acted[2])
    env.set_state(state, seed=0)
    imagined = env.step(left)[0]
    assert not any(torch.equal(imagined[0], row) for row in imagined[1:])
    env.set_state(state, seed=0)
    assert torch.equal(env.step(left)[0], imagined)


def test_states_move_between_rows(tiny_world_path: Path) -> None:
    env = dreams(tiny_world_path, 4)
    env.reset(seed=0)
    env.set_state(env.get_state([0, 1]), [2, 3])
    obs = env.step(np.tile([1, 0, 0], (4, 1)))[0]
    assert np.array_equal(obs[:2], obs[2:]) and not np.array_equal(obs[0], obs[1])
    with pytest.raises(WorldError, match=r"2 states of shape .* for 3 worlds"):
        env.set_state(env.get_state([0, 1]), [1, 2, 3])


def test_every_row_has_a_start_of_its_own(tiny_world_path: Path) -> None:
    env = dreams(tiny_world_path, obs="latent", autoreset_mode="Disabled")
    by_start = [env.reset(seed=0, options={"start": start})[0][0] for start in range(3)]
    own, _ = env.reset(seed=0, options={"start": [2, 0, None, np.int64(1)]})
    assert all(np.array_equal(own[row], by_start[start]) for row, start in ((0, 2), (1, 0), (3, 1)))
    assert np.array_equal(own[2], env.reset(seed=0)[0][2]), "drawn from its seed"
    mask = np.array([True, False, False, True])
    again, _ = env.reset(seed=5, options={"start": [1, 2, 2, 0], "reset_mask": mask})
    assert np.array_equal(again[0], by_start[1]) and np.array_equal(again[3], by_start[0])


def test_max_episode_steps_goes_before_the_horizon(tiny_world_path: Path) -> None:
    for steps, ends in ((2, True), (-1, False)):
        env = dreams(tiny_world_path, obs="latent", horizon=2 if steps == -1 else 9, max_episode_steps=steps)
        env.reset(seed=0)
        env.step(np.zeros((4, 3), int))
        assert env.step(np.zeros((4, 3), int))[3].tolist() == [ends] * 4


def test_partial_resets_take_the_seeds_of_their_rows(tiny_world_path: Path) -> None:
    env, mask = dreams(tiny_world_path, autoreset_mode="Disabled"), np.array([False, True, False, True])
    whole, _ = env.reset(seed=7)
    moved = env.step(np.zeros((4, 3), int))[0]
    again, infos = env.reset(seed=7, options={"reset_mask": mask})
    assert np.array_equal(again[mask], whole[mask]) and np.array_equal(again[~mask], moved[~mask])
    assert np.array_equal(infos["_has_frame"], mask)
    listed, _ = env.reset(seed=[7, 8, 9, 10], options={"reset_mask": mask})
    assert np.array_equal(listed, again)


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.value)
def test_modes_come_as_members_or_values(tiny_world_path: Path, mode: AutoresetMode) -> None:
    for given in (mode, mode.value):
        assert dreams(tiny_world_path, autoreset_mode=given).metadata["autoreset_mode"] == mode
    assert DreamVectorEnv.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP


def test_a_finished_row_is_refilled_as_its_mode_says(tiny_world_path: Path) -> None:
    """Row 1 starts a step later than the others, and so is cut a step later."""
    still = np.zeros((3, 3), int)

    def play(mode: str) -> tuple[DreamVectorEnv, list[Any]]:
        env = dreams(tiny_world_path, 3, horizon=2, autoreset_mode=mode)
        env.reset(seed=0)
        state = env.get_state([1])
        env.step(still)
        env.set_state(state, [1])
        return env, [env.step(still) for _ in range(1)]

    env, [(first, _, _, cut, _)] = play("NextStep")
    assert cut.tolist() == [True, False, True]
    obs, reward, _, cut, _ = env.step(still + 1)
    assert cut.tolist() == [False, True, False] and (reward[[0, 2]] == 0).all() and reward[1] != 0
    assert not np.array_equal(obs[0], first[0])

    env, [(obs, reward, _, cut, infos)] = play("SameStep")
    assert cut.tolist() == infos["_final_obs"].tolist() == infos["_final_info"].tolist() == [True, False, True]
    assert np.array_equal(infos["final_obs"][0], first[0]) and infos["final_obs"][1] is None and reward.all()
    assert not np.array_equal(obs[0], first[0]) and np.array_equal(obs[1], first[1])
    assert set(infos["final_info"]) == {"has_frame", "_has_frame", "end_probability", "_end_probability"}
    assert "final_obs" in env.step(still)[4]

    env, [(obs, _, _, cut, _)] = play("Disabled")
    again, _ = env.reset(options={"reset_mask": cut})
    assert np.array_equal(again[1], obs[1]) and not np.array_equal(again[0], obs[0])
    assert env.step(still)[3].tolist() == [False, True, False]


def test_refills_call_no_network(short_world_path: Path) -> None:
    env = dreams(short_world_path, 8, obs="latent", autoreset_mode="SameStep")
    for start in range(len(env.world.starts)):
        env.reset(seed=0, options={"start": start})
    calls: list[int] = []
    env.world.dynamics.register_forward_hook(lambda *_: calls.append(1))
    ended = 0
    for step in range(1, 13):
        ended += int(env.step(env.action_space.sample())[2].sum())
        assert len(calls) == step * env.world.calls, "as many calls as without any end"
    assert ended > 3


def test_make_vec(tiny_world_path: Path) -> None:
    options = {"world": str(tiny_world_path), **OPTIONS}
    env = gymnasium.make_vec("WorldSim/Dream-v0", num_envs=3, max_episode_steps=2, render_mode="rgb_array", **options)
    assert isinstance(env, DreamVectorEnv) and env.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    env.reset(seed=0)
    steps = [env.step(env.action_space.sample()) for _ in range(3)]
    assert [bool(step[3].all()) for step in steps] == [False, True, False] and not steps[2][1].any()
    frames = env.render()
    assert frames is not None and len(frames) == 3 and frames[0].shape == (32, 48, 3)
    sync = gymnasium.make_vec("WorldSim/Dream-v0", num_envs=2, vectorization_mode="sync", **options)
    assert isinstance(sync, SyncVectorEnv)


ASYNC = """
import sys
import gymnasium, torch, worldsim
torch.set_num_threads(2)
options = {"world": sys.argv[1], "device": "cpu", "dtype": "float32", "actions": "flat", "obs": "latent"}
env = gymnasium.make_vec("WorldSim/Dream-v0", num_envs=2, vectorization_mode="async", **options)
env.reset(seed=0)
print(*env.step(env.action_space.sample() * 0)[1])
env.close()
"""


@pytest.mark.filterwarnings("ignore:.*fork")
def test_worlds_in_forked_processes_step(tiny_world_path: Path) -> None:
    """In a process of its own, whose torch has threads, as the children of the fork do not."""
    command = [sys.executable, "-c", ASYNC, str(tiny_world_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        printed, _ = process.communicate(timeout=120)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    batch = dreams(tiny_world_path, 2, obs="latent")
    batch.reset(seed=0)
    expected = batch.step(np.zeros((2, 3), int))[1]
    assert np.allclose([float(reward) for reward in printed.split()], expected, atol=1e-3)


def test_gymnasium_wrappers(tiny_world_path: Path) -> None:
    env = RecordEpisodeStatistics(dreams(tiny_world_path, horizon=5, autoreset_mode="SameStep"))
    env.reset(seed=0)
    infos = [env.step(env.action_space.sample())[4] for _ in range(5)][-1]
    assert np.array_equal(infos["episode"]["l"], [5] * 4) and infos["_episode"].all()

    tensors = NumpyToTorch(NormalizeObservation(NormalizeReward(dreams(tiny_world_path, obs="latent"))))
    assert isinstance(tensors.reset(seed=0)[0], torch.Tensor)
    assert isinstance(tensors.step(torch.zeros((4, 3), dtype=torch.int64))[1], torch.Tensor)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"output": "jax"}, r"output was 'jax'; allowed: 'numpy', 'torch'"),
        ({"autoreset_mode": "NextSteps"}, r"autoreset_mode was 'NextSteps'.*Did you mean 'NextStep'"),
        ({"render_mode": "human"}, r"render_mode was 'human'; allowed: 'rgb_array'"),
        ({"num_envs": 0}, r"num_envs was 0; give a whole number of at least 1"),
        ({"num_envs": 10**9}, r"1000000000 worlds need about .* GiB, and cpu has .* GiB free; at most \d+ fit"),
    ],
)
def test_wrong_options(tiny_world_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises((EnvError, WorldError), match=message):
        dreams(tiny_world_path, **options)


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
def test_a_world_without_rewards_teaches_nothing(tiny_world: World, tmp_path: Path) -> None:
    sizes = replace(tiny_world.config.dynamics, reward_bins=0)
    config = replace(tiny_world.config, dynamics=sizes)
    folder = export_world(tmp_path / "w", config, tiny_world.tokenizer, DiT(sizes), tiny_world.starts, tiny_world.start_controls)
    with pytest.raises(EnvError, match=r"'test/tiny' has no reward head"):
        dreams(folder)


def test_wrong_calls(tiny_world_path: Path) -> None:
    env, still = dreams(tiny_world_path, horizon=1, autoreset_mode="Disabled"), np.zeros((4, 3), int)
    with pytest.raises(EnvError, match=r"call reset\(seed="):
        env.step(still)
    with pytest.raises(EnvError, match="3 seeds for 4 dreams"):
        env.reset(seed=[1, 2, 3])
    with pytest.raises(EnvError, match="2 starts for 4 dreams"):
        env.reset(options={"start": [0, 1]})
    with pytest.raises(EnvError, match="seed was -1; give a whole number"):
        env.reset(seed=[1, -1, 3, 4])
    with pytest.raises(EnvError, match=r"reset\(\) has no option 'mask'; it has: start, reset_mask"):
        env.reset(options={"mask": np.ones(4, bool)})
    env.reset(seed=0)
    for wrong, message in (
        (still[:3], "for .3,. worlds; give one for each of 4"),
        (still + 0.0, "float64"),
        (still + 9, "each must be one of"),
    ):
        with pytest.raises(ControlError, match=message):
            env.step(wrong)
    with pytest.raises(ControlError, match="give a dict with keys, mouse, buttons"):
        dreams(tiny_world_path, actions="native").view.vectors(still, 4)
    env.step(still)
    with pytest.raises(EnvError, match=r"dreams \[0, 1, 2, 3\] are over; call reset"):
        env.step(still)
    for mask in (np.zeros(4, bool), np.ones(3, bool), [True] * 4, np.ones(4)):
        with pytest.raises(EnvError, match=r"reset_mask was .*give a bool array of shape \(4,\)"):
            env.reset(options={"reset_mask": mask})
    with pytest.raises(EnvError, match="the world has a batch of 1, and 4 are needed"):
        dreams(World.load(tiny_world_path, device="cpu"))  # type: ignore[arg-type]
