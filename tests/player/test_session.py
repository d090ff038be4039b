from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from worldsim.controls import Controls
from worldsim.data import Dataset
from worldsim.data.collect import PolicySource, collect
from worldsim.data.format import video_path
from worldsim.data.merge import merge
from worldsim.envs.games import find_game, make_policy
from worldsim.errors import DataError, GameError
from worldsim.eval.redream import redream
from worldsim.player import PlayConfig
from worldsim.player.session import Session
from worldsim.provenance.tags import read_claim

Make = Callable[..., Session]
STILL, LEFT, RIGHT = Controls(), Controls(keys={"a"}), Controls(keys={"d"})


@pytest.fixture
def make(dodge_world_path: Path, tmp_path: Path) -> Iterator[Make]:
    """Makes sessions in the dodge world, closed at the end."""
    made: list[Session] = []

    def make(**options: Any) -> Session:
        made.append(Session(PlayConfig(str(dodge_world_path), device="cpu", recordings=tmp_path, **options)))
        made[-1].restart()
        return made[-1]

    yield make
    for session in made:
        session.close()


def dodge(session: Session, frames: int) -> None:
    """Moves on before every brick lands, so that the real game lasts."""
    for t in range(frames):
        session.advance((STILL, STILL, RIGHT, STILL, STILL, LEFT)[t % 6])


def test_the_last_frame_stays_when_a_dream_ends(short_world_path: Path) -> None:
    session = Session(PlayConfig(str(short_world_path), device="cpu"))
    session.restart()
    for _ in range(500):
        last = session.panes["dream"].frame
        session.advance(LEFT)
        if session.ended:
            break
        assert session.panes["dream"].frame is not last
    assert session.ended and session.panes["dream"].frame is last
    assert session.notices[-1] == f"the dream ended after {session.panes['dream'].survived} frames"


def test_modes_follow_each_other(make: Make) -> None:
    session = make()
    for mode, panes in (("real", ["real"]), ("side by side", ["dream", "real"]), ("dream", ["dream"])):
        session.next_mode()
        assert session.mode == mode and list(session.panes) == panes and session.notices[-1] == mode
        session.advance(STILL)


def test_score_and_frames_count_from_the_start(make: Make) -> None:
    session = make()
    session.next_mode()
    dodge(session, 7)
    assert session.panes["real"].score == 7 and session.panes["real"].survived == 7
    session.restart()
    assert session.panes["real"].score == 0 and session.panes["real"].survived == 0 and session.position == 0


def test_side_by_side_goes_on_from_the_real_games_moment(make: Make) -> None:
    session = make()
    session.next_mode()
    dodge(session, 9)
    real = session.panes["real"].frame
    session.next_mode()
    world = session.dream.world
    assert np.array_equal(session.panes["real"].frame, real), "the real game goes on"
    assert np.array_equal(session.panes["dream"].frame, world.decode(world.encode(real[None])).numpy()[0])
    produced = np.stack([session.spec.to_vector(controls) for controls in (LEFT, STILL, STILL, RIGHT)])
    assert np.array_equal(world.start_controls[0].numpy(), produced), "each frame comes with the controls that led to it"
    session.restart()
    assert session._history.age == 3, "it runs until the dream has its four frames"
    real = session.panes["real"].frame
    assert np.array_equal(session.panes["dream"].frame, world.decode(world.encode(real[None])).numpy()[0])


def test_a_dream_of_its_own_has_the_worlds_starts_again(make: Make) -> None:
    session = make(seed=5)
    world, starts = session.dream.world, session.dream.world.starts
    first = session.panes["dream"].frame
    for _ in range(3):
        session.next_mode()
    session.restart()
    assert world.starts is starts
    session.seed = 5
    session.restart()
    assert np.array_equal(session.panes["dream"].frame, first)


def test_one_that_is_over_waits_for_the_other(make: Make) -> None:
    session = make()
    session.next_mode()
    session.next_mode()
    for _ in range(8):
        session.advance(STILL)
    assert session.panes["real"].over and not session.ended
    assert session.panes["dream"].survived == 8 and session.panes["real"].survived < 8


def test_a_missing_game_leaves_the_dream_alone(tiny_world_path: Path) -> None:
    session = Session(PlayConfig(str(tiny_world_path), device="cpu"))
    session.restart()
    with pytest.raises(GameError):
        session.next_mode()
    session.advance(STILL)
    assert session.mode == "dream" and session.panes["dream"].survived == 1


def test_a_game_that_dies_leaves_the_dream(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    session = make()
    session.next_mode()
    assert session.real is not None

    def die(action: Any) -> None:
        raise GameError("the game does not run.")

    monkeypatch.setattr(session.real, "step", die)
    session.advance(STILL)
    assert session.mode == "dream" and session.notices[-1] == "the game does not run."
    monkeypatch.undo()
    session.next_mode()
    session.advance(STILL)
    assert session.mode == "real" and session.panes["real"].survived == 1


def test_a_game_that_cannot_start_again_leaves_the_dream(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    session = make()
    for switches in (1, 2):
        for _ in range(switches):
            session.next_mode()
        assert session.real is not None

        def die(**options: Any) -> None:
            raise GameError("the game does not start.")

        monkeypatch.setattr(session.real, "reset", die)
        session.restart()
        assert session.mode == "dream" and session.notices[-1] == "the game does not start."
        session.advance(STILL)
        assert list(session.panes) == ["dream"] and session.panes["dream"].survived == 1


def test_a_game_that_ends_at_once_is_not_shown_side_by_side(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    session = make()
    session.next_mode()
    assert session.real is not None
    step = session.real.step
    monkeypatch.setattr(session.real, "step", lambda action: (*step(action)[:2], True, False, {}))
    session.next_mode()
    assert session.mode == "dream" and "ended 10 times before the dream had the frames" in session.notices[-1]
    session.advance(STILL)


def test_every_recording_holds_frames_of_one_source(make: Make, tmp_path: Path) -> None:
    session = make()
    session.toggle_recording()
    dodge(session, 5)
    session.next_mode()  # ends the recording
    assert not session.recording
    session.toggle_recording()
    seen = []
    for t in range(6):
        seen.append(session.panes["real"].frame)
        session.advance((STILL, RIGHT)[t % 2])
    session.next_mode()
    dream, real = (Dataset(next(tmp_path.glob(f"*-{name}-*"))) for name in ("dream", "real"))
    assert dream.total_frames == 5 and dream.episodes[0].world_hash is not None
    assert real.total_frames == 6 and real.episodes[0].world_hash is None
    assert dream.info.state == () and real.info.state == ("player", "brick", "height")
    assert real.rows.states[:, 2].tolist() == [0, 6, 12, 18, 0, 6], "the state is that of the frame"
    assert np.abs(real.frames(0).astype(int) - np.stack(seen)).mean() < 12


def test_a_recording_joins_those_of_policies(make: Make, tmp_path: Path) -> None:
    game = find_game("toy/dodge")
    restless = [PolicySource("restless", partial(make_policy, "restless", game.control_spec))]
    collected = tmp_path / "collected"
    collect(game.start, restless, collected, game=game.name, frames=20, state=game.states, progress=False)
    session = make()
    session.next_mode()
    session.toggle_recording()
    dodge(session, 5)
    session.toggle_recording()
    figures = merge([collected, next(tmp_path.glob("*-real-*"))], tmp_path / "both", eval_share=0.1, progress=False)
    assert figures["added"] == len(Dataset(collected)) + 1 and figures["frames"]["eval"] > 0


def test_side_by_side_records_both(make: Make, tmp_path: Path) -> None:
    session = make()
    session.next_mode()
    dodge(session, 5)
    session.next_mode()
    session.toggle_recording()
    dodge(session, 4)
    session.toggle_recording()
    both = [Dataset(next(tmp_path.glob(f"*-{name}-*"))) for name in ("dream", "real")]
    assert np.array_equal(both[0].rows.actions, both[1].rows.actions) and len(both[0].rows.actions) == 4
    assert '"frame": 5' in str(both[0].episodes[0].start), "the dream says which moment it began from"
    claims = [read_claim(video_path(data.root, 0), ".mp4") for data in both]
    assert claims[0] is not None and claims[0].world == "toy/dodge" and claims[1] is None, "only the dream is generated"


def test_a_share_of_what_is_played_is_held_out(make: Make, tmp_path: Path) -> None:
    session = make(eval_share=0.5)
    session.toggle_recording()
    for _ in range(4):
        dodge(session, 3)
        session.restart()
    session.toggle_recording()
    data = Dataset(next(tmp_path.glob("*-dream-*")))
    assert [episode.split for episode in data.episodes] == ["train", "eval", "train", "eval"]


def test_an_episode_recorded_from_its_middle_on_says_so(make: Make, tmp_path: Path) -> None:
    session = make(seed=3)
    session.next_mode()
    dodge(session, 3)
    session.toggle_recording()
    dodge(session, 2)
    session.restart()
    dodge(session, 2)
    session.toggle_recording()
    middle, whole = Dataset(next(tmp_path.glob("*-real-*"))).episodes
    assert middle.begun_at == 3 and not middle.replayable, "its seed leads to a frame before its first"
    assert whole.begun_at == 0 and whole.replayable and whole.seed != middle.seed


def test_graphs_are_prepared_when_play_ends(tiny_world_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiling beside play would take the picture's time."""
    asked: list[Path] = []
    monkeypatch.setattr("worldsim.player.session.prepare_in_background", lambda world, folder: asked.append(folder))
    session = Session(PlayConfig(str(tiny_world_path), device="cpu"))
    session.restart()
    assert not asked
    session.close()
    assert asked == [tiny_world_path]


def test_a_recording_that_began_in_the_window_in_mid_dream(dodge_world_path: Path, tmp_path: Path) -> None:
    session = Session(PlayConfig(str(dodge_world_path), device="cpu", recordings=tmp_path, seed=4))
    key = session.spec.keys[0]
    session.restart()
    for t in range(9):
        if t == 3:
            session.toggle_recording()
        if t == 7:
            session.change_num_steps(1)
        session.advance(Controls(keys={key} if t % 2 else set()))
    session.toggle_recording()
    session.next_mode()
    session.next_mode()  # side by side: the dream begins where the real game is
    session.advance(Controls())
    session.toggle_recording()
    for _ in range(4):
        session.advance(Controls(keys={key}))
    session.close()
    dreams = [Dataset(folder) for folder in sorted(tmp_path.iterdir()) if "-dream-" in folder.name]
    episodes = [(data, i) for data in dreams for i in range(len(data))]
    assert [data.episodes[i].length for data, i in episodes] == [4, 2, 4]
    assert [data.episodes[i].begun_at for data, i in episodes] == [3, 7, 1]
    assert redream(*episodes[0], str(dodge_world_path))["identical"] and redream(*episodes[2], str(dodge_world_path))["identical"]
    with pytest.raises(DataError, match="begins 7 frames after its dream, whose settings were changed"):
        redream(*episodes[1], str(dodge_world_path))
