from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from worldsim.data import Dataset
from worldsim.envs.games import Game, ObjectClass
from worldsim.errors import DataError
from worldsim.eval import objects, rates
from worldsim.eval.clips import Place, encode
from worldsim.eval.config import EvalConfig
from worldsim.eval.probe import Probe
from worldsim.eval.rates import Sightings, draw_moments, dream_sightings, measure_rates, real_sightings
from worldsim.world import World

from .test_objects import doom_recording


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return doom_recording(tmp_path_factory.mktemp("doom"))


@pytest.fixture
def game(played: Dataset) -> Iterator[Game]:
    env = objects.open_game(played.info)
    yield env
    env.close()


def sightings(*rows: tuple[int, float, int], ended: tuple[bool, ...]) -> Sightings:
    """Of one class: per frame the objects found, the sum of confidence, and the episode."""
    found, confidence, episode = (np.array(column) for column in zip(*rows, strict=True))
    return Sightings(found[:, None], confidence[:, None], found[:, None], episode, np.array(ended))


def test_means_are_over_frames_and_objects_of_all_episodes() -> None:
    seen = sightings((1, 0.5, 0), (2, 1.5, 0), (0, 0.0, 1), (1, 1.0, 1), ended=(True, False))
    mean = seen.per_frame(seen.found[:, 0])
    assert (mean.value, mean.count) == (1.0, 4) and mean.ci95 > 0
    sure = seen.confidence_in(0)
    assert (sure.value, sure.count) == (0.75, 4)
    assert (seen.ends_per_frame().value, seen.ends_per_frame().count) == (0.25, 4)
    assert [part.per_frame(part.found[:, 0]).value for part in seen.quarters()] == [1, 2, 0, 1]


def test_an_episode_that_never_began_adds_nothing() -> None:
    seen = sightings((1, 0.5, 0), (1, 0.5, 2), ended=(True, True, False))
    assert seen.ends_per_frame().value == 0.5 and seen.per_frame(seen.found[:, 0]).count == 2


def test_moments_are_whole_contexts_of_different_episodes(recorded: Dataset) -> None:
    for seed in range(20):
        places = draw_moments(recorded, 9, 5, seed)
        assert sorted(place.episode for place in places) == [0, 1, 2]  # 20, 9 and 14 frames long
        assert all(0 <= p.start <= recorded.episodes[p.episode].length - 9 for p in places)
    assert len(draw_moments(recorded, 10, 5, 0)) == 2 and len(draw_moments(recorded, 4, 1, 0)) == 1
    assert draw_moments(recorded, 4, 3, 1) == draw_moments(recorded, 4, 3, 1) != draw_moments(recorded, 4, 3, 2)
    with pytest.raises(DataError, match=r"no held-out episode .* is 21 frames long; collect longer ones"):
        draw_moments(recorded, 21, 5, 0)


def test_real_play_goes_on_from_the_recorded_moments(game: Game, played: Dataset) -> None:
    length = played.episodes[0].length
    places = [Place(0, length - 5, 0), Place(0, 10, 0)]

    def play(seed: int, places: list[Place] = places, frames: int = 250) -> Sightings:
        return real_sightings(game, played, Probe((0, 0)).eval(), places, context=4, frames=frames, seed=seed)

    seen, again, other = play(0), play(0), play(1)
    assert seen.listed is not None and again.listed is not None and other.listed is not None
    assert len(seen.found) == len(seen.confidence) == len(seen.listed) == len(seen.episode) == 250
    assert seen.listed[:, 1].sum() > 2 * 250  # there are always some monsters in view
    assert np.array_equal(seen.listed, again.listed) and not np.array_equal(seen.listed, other.listed)
    assert seen.ended[:-1].all() and len(seen.ended) > 1 and not seen.ended[-1]
    assert seen.episode.max() == len(seen.ended) - 1 and (np.diff(seen.episode) >= 0).all()
    for start in (0, 60):  # the frame after the context is about the recorded one, whatever the controls
        first = play(0, [Place(0, start, 0)], frames=1).listed
        (recorded,) = objects.clip_boxes(game, played, Place(0, start, 1), context=4)
        assert first is not None and abs(int(first[0, 1]) - int((recorded[:, 0] == 1).sum())) <= 1


def test_an_ended_dream_goes_on_from_another_start(short_world_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "object_classes", lambda game: {"thing": ObjectClass(("thing",))})
    world = World.load(short_world_path, device="cpu", dtype=torch.float32, batch=2)
    restart, restarted = world.restart, []

    def spy(rows: list[int], *, seed: list[int]) -> torch.Tensor:
        restarted.append((rows, seed))
        return restart(rows, seed=seed)

    world.reset(seed=0)
    monkeypatch.setattr(world, "restart", spy)
    monkeypatch.setattr(world, "reset", lambda seed: restart(seed=seed))
    seen = dream_sightings(world, Probe((0,)).eval(), frames=40, seed=5)
    assert restarted, "about every tenth frame ends a dream"
    ends = sum(len(rows) for rows, _ in restarted)
    assert [seed for _, seeds in restarted for seed in seeds] == list(range(7, 7 + ends))
    assert len(seen.found) == 2 * 40 - ends  # the game shows no frame with which an episode ends
    assert len(seen.ended) == 2 + ends and seen.ended.sum() == ends and seen.listed is None
    assert set(seen.episode) <= set(range(2 + ends))


def test_dreams_and_real_play_begin_at_the_same_moments(
    game: Game, played: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from .test_report import random_world

    world = World.load(random_world(tmp_path / "world", played), device="cpu", dtype=torch.float32, batch=2)
    begun: list[Place] = []
    replay = rates.replay

    def spy(env: Game, dataset: Dataset, episode: int, last: int) -> Iterator:
        begun.append(Place(episode, last - 3, 0))
        return replay(env, dataset, episode, last)

    monkeypatch.setattr(rates, "replay", spy)
    figures = measure_rates(world, game, played, Probe((0, 0)).eval(), EvalConfig(dreams=2, dream_frames=6))
    assert begun == draw_moments(played, 4, rates.MOMENTS, 0)
    context = played.frames(0, begun[0].start, begun[0].start + 4)
    assert len(world.starts) == 1 and torch.allclose(world.starts, encode(world, context[None]), atol=1e-4)
    assert list(figures["per_frame"]) == ["fireball", "monster"]
    monsters = figures["per_frame"]["monster"]
    assert monsters["real"].count == monsters["real_listed"].count == figures["ends"]["real"].count == 12
    assert monsters["dreams"].count == figures["ends"]["dreams"].count <= 12
    assert set(monsters["confidence"]) == {"dreams", "real"}
