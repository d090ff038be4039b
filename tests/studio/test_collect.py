from __future__ import annotations

from pathlib import Path

import pytest

from worldsim.cli.app import main
from worldsim.data import Dataset
from worldsim.envs.games import find_game
from worldsim.envs.games.studio import PLACES
from worldsim.errors import DataError
from worldsim.studio.captioning import Captions
from worldsim.studio.collect import SIZES, record_studio


def test_one_command_records_and_captions_every_size(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("vizdoom")
    out = tmp_path / "studio"
    command = ["studio", "collect", "--out", str(out), "--frames", "40", "--eval-frames", "40", "--processes", "1"]
    main(command)
    seeds = set()
    for folder, split in ((out, "train"), (tmp_path / "studio-eval", "eval")):
        assert sorted(path.name for path in folder.iterdir()) == sorted(f"{w}x{h}" for w, h in SIZES)
        for width, height in SIZES:
            dataset = Dataset(folder / f"{width}x{height}", split)
            assert dataset.frame_shape == (height, width, 3) and len(Captions(dataset.root))
            for i, episode in enumerate(dataset.episodes):
                place = dataset.episode_rows(i).states[0, dataset.info.state.index("place")]
                assert PLACES[int(place)].name == episode.place
                assert dataset.frames(i)[-1].any(), "no black frame after the end"
                seeds.add(episode.seed)
    assert len(seeds) >= 2 * len(SIZES), "each size and split has episodes of its own"
    assert f"{out / '96x64'}: " in capsys.readouterr().out
    before = [Dataset(out / f"{w}x{h}").fingerprint for w, h in SIZES]
    main(command)
    assert [Dataset(out / f"{w}x{h}").fingerprint for w, h in SIZES] == before


def test_a_game_without_the_state_is_refused_before_it_is_recorded(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the game toy/dodge has no state 'place'"):
        record_studio(find_game("toy/dodge"), tmp_path / "dodge", frames=10, eval_frames=0)
    assert not list(tmp_path.iterdir())
