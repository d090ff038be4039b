from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("vizdoom")

from worldsim.controls import Controls
from worldsim.envs.games import make
from worldsim.envs.games.studio import KINDS, MONSTERS, OBJECTS, PLACES, STATES, StudioConfig, StudioEnv, averaging
from worldsim.errors import GameError


@pytest.fixture(scope="module")
def env():
    with StudioEnv(StudioConfig()) as env:
        yield env


@pytest.mark.parametrize("place", [place.name for place in PLACES])
def test_every_place_is_seen_and_the_keys_do_the_same_there(env: StudioEnv, place: str) -> None:
    frame, info = env.reset(seed=1, options={"place": place})
    assert frame.shape == (64, 96, 3) and frame.dtype == np.uint8 and frame.std() > 5
    assert info["place_name"] == place and PLACES[int(info["place"])].name == place
    assert all(isinstance(info[name], float) for name in STATES)
    before = info["angle"]
    for _ in range(3):
        frame, _, terminated, _, info = env.step(Controls(mouse=(8, 0)))
        assert not terminated
    assert (before - info["angle"]) % 360 == pytest.approx(24, abs=1)


def test_equal_seeds_give_equal_episodes(env: StudioEnv) -> None:
    for place in ("defend-the-line", "freedoom2-map01"):
        plays = []
        for _ in range(2):
            frame, info = env.reset(seed=5, options={"place": place})
            frames = [frame]
            for _ in range(12):
                frame, *_, info = env.step(Controls(keys={"d", "space"}, mouse=(3, 0)))
                frames.append(frame)
            plays.append((np.stack(frames), {name: info[name] for name in STATES}))
            env.reset(seed=6, options={"place": "basic"})
        assert np.array_equal(plays[0][0], plays[1][0]) and plays[0][1] == plays[1][1]


def test_a_seed_draws_the_place(env: StudioEnv) -> None:
    assert len({env.reset(seed=seed)[1]["place_name"] for seed in range(12)}) > 4


def test_things_are_boxes_in_the_frame_and_numbers_in_the_state(env: StudioEnv) -> None:
    _, info = env.reset(seed=3, options={"place": "take-cover"})
    seen = info["objects"]
    assert seen and seen == sorted(seen, key=lambda box: -box[4]) and info["targets"] == [b for b in seen if b[0] in MONSTERS]
    for slot, (kind, x, y, w, h) in enumerate(seen[:6]):
        assert 0 <= x < x + w <= 96 and 0 <= y < y + h <= 64
        state = [info[f"object{slot}.{name}"] for name in ("kind", "x", "y", "height")]
        assert state == pytest.approx([KINDS.index(kind), (x + w / 2) / 96, (y + h / 2) / 64, h / 64])
    assert all(info[f"object{slot}.kind"] == -1 for slot in range(len(seen), 6))


@pytest.mark.parametrize(("width", "height"), [(64, 96), (80, 80), (112, 80)])
def test_other_shapes_show_the_middle_of_the_same_picture(width: int, height: int) -> None:
    with make("doom/studio", width=width, height=height) as env, StudioEnv(StudioConfig(width=400, height=300)) as whole:
        frame, _ = env.reset(seed=2, options={"place": "basic"})
        rendered, _ = whole.reset(seed=2, options={"place": "basic"})
    top, left, high, wide = StudioConfig(width=width, height=height).crop
    assert high / wide == pytest.approx(height / width) and (top == 0 or left == 0)
    part = rendered[round(top) : round(top + high), round(left) : round(left + wide)]
    assert np.abs(part.mean(axis=(0, 1)) - frame.mean(axis=(0, 1))).max() < 1.5
    ours, theirs = ([float(part.mean()) for part in np.array_split(image.mean(axis=(0, 2)), 6)] for image in (frame, part))
    assert np.corrcoef(ours, theirs)[0, 1] > 0.98


def test_episodes_are_truncated() -> None:
    with StudioEnv(StudioConfig(max_tics=20)) as env:
        env.reset(seed=0, options={"place": "my-way-home"})
        assert [env.step(Controls())[3] for _ in range(5)] == [False] * 4 + [True]


def test_what_it_cannot_do_is_named(env: StudioEnv) -> None:
    with pytest.raises(GameError, match=r"unknown place 'basix'; choose from: .* Did you mean 'basic'"):
        env.reset(options={"place": "basix"})
    with pytest.raises(GameError, match="height was 400; give a whole number from 16 to 300"):
        StudioConfig(height=400)
    with pytest.raises(GameError, match="places was empty"):
        StudioConfig(places=())
    with pytest.raises(GameError, match="call reset"):
        StudioEnv(StudioConfig()).step(Controls())


def test_averages_keep_the_mean_of_what_they_cover() -> None:
    weights = averaging(10, 1, 8, 3)
    assert weights.shape == (3, 10) and np.allclose(weights.sum(1), 1) and not weights[:, [0, 9]].any()
    assert np.allclose(weights @ np.arange(10), [1.875, 4.5, 7.125])


def test_no_name_is_of_two_kinds() -> None:
    names = [name for names in OBJECTS.values() for name in names]
    assert len(names) == len(set(names))
