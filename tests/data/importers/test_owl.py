from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from worldsim.data import Dataset
from worldsim.data.importers.config import OwlConfig
from worldsim.data.importers.owl import BUTTONS, KEYS, import_owl
from worldsim.errors import DataError

from ..shift import FPS, SPEC, check_shift, controls, frames_after, save_video

EPOCH = 1_760_000_000.0
CODES = {name: code for code, name in reversed(list(KEYS.items()))}
NUMBERS = {f"mouse.{name}": number for number, name in BUTTONS.items()}

Events = list[tuple[float, str, str]]


def events_of(vectors: np.ndarray, degrees: float) -> Events:
    """What OWL Control writes while these controls are held, each from shortly after its frame until the next."""
    events: Events = []
    down: set[str] = set()
    for t, vector in enumerate(vectors):
        time = (t + 0.3) / FPS
        held = {name for name, value in zip(SPEC.names, vector, strict=True) if value and "mouse.d" not in name}
        for name in sorted(down - held):  # just before the frame, so that it does not count for it
            events.append(event(t / FPS - 0.002, name, False))
        events.extend(event(time, name, True) for name in sorted(held - down))
        dx, dy = (vector[2:4] / degrees).round().astype(int).tolist()
        events.extend([(time, "MOUSE_MOVE", f"[{dx},{0}]"), (time + 0.01, "MOUSE_MOVE", f"[0,{dy}]")])
        down = held
    return events


def event(time: float, name: str, pressed: bool) -> tuple[float, str, str]:
    kind, code = ("MOUSE_BUTTON", NUMBERS[name]) if name in NUMBERS else ("KEYBOARD", CODES[name])
    return time, kind, f"[{code},{str(pressed).lower()}]"


def save(folder: Path, vectors: np.ndarray, events: Events, begin: str = "VIDEO_START", quoted: bool = False) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    save_video(folder / "recording.mp4", frames_after(vectors))
    before = [(-0.5, "START", "[]"), (-0.2, "MOUSE_MOVE", "[500,500]"), (0.0, "VIDEO_START", "[]")]
    lines = [*(before if begin == "VIDEO_START" else [(0.0, "START", "[]")]), *events, (len(vectors) / FPS - 1e-3, "END", "[]")]
    with (folder / "inputs.csv").open("w", newline="") as file:
        file.write("timestamp,event_type,event_args\n")
        if quoted:
            csv.writer(file).writerows((EPOCH + time, kind, args) for time, kind, args in lines)
        else:
            file.writelines(f'{EPOCH + time},{kind},"{args}"\n' for time, kind, args in lines)


@pytest.mark.parametrize(("begin", "quoted"), [("VIDEO_START", False), ("START", True)])
def test_inputs_stand_at_the_frame_before_their_effect(tmp_path: Path, begin: str, quoted: bool) -> None:
    for seed in range(2):
        vectors = controls(40, seed)
        save(tmp_path / f"in/{seed}", vectors, events_of(vectors, 0.5), begin, quoted)
    done = import_owl(OwlConfig(tmp_path / "in", tmp_path / "out", degrees=0.5, mouse_limit=10.0), progress=False)
    dataset = check_shift(tmp_path / "out")
    assert done.episodes == 2 and set(dataset.spec.names) == set(SPEC.names)
    np.testing.assert_array_equal(dataset.rows.actions, np.concatenate([controls(40, seed) for seed in range(2)]))


def test_taps_between_frames_count_and_lost_focus_releases(tmp_path: Path) -> None:
    taps = [event(0.26, "d", True), event(0.27, "d", False), event(0.41, "a", True), (0.61, "UNFOCUS", "[]")]
    save(tmp_path / "in", controls(20), [*taps, event(0.9, "mouse.left", True)])
    import_owl(OwlConfig(tmp_path / "in", tmp_path / "out", keys=("d", "a")), progress=False)
    dataset = Dataset(tmp_path / "out")
    held = {name: np.flatnonzero(dataset.rows.actions[:, i]).tolist() for i, name in enumerate(dataset.spec.names)}
    assert held == {"d": [5], "a": [8, 9, 10, 11, 12], "mouse.dx": [], "mouse.dy": [], "mouse.left": [18, 19]}


def test_a_lag_of_the_picture_is_shifted_out(tmp_path: Path) -> None:
    vectors = controls(40)
    late = np.concatenate([np.zeros((2, SPEC.size), np.float32), vectors[:-2]])
    save(tmp_path / "in", late, events_of(vectors, 0.5))  # the picture is two frames behind
    config = OwlConfig(tmp_path / "in", tmp_path / "out", degrees=0.5, mouse_limit=10.0, delay=2 / FPS)
    import_owl(config, progress=False)
    check_shift(tmp_path / "out")


def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no inputs\.csv"):
        import_owl(OwlConfig(tmp_path, tmp_path / "out"), progress=False)
    save(tmp_path / "in", controls(4), [])
    config = OwlConfig(tmp_path / "in", tmp_path / "out")
    table = tmp_path / "in/inputs.csv"
    good = table.read_text()
    for line in ("1,KEYBOARD", "x,END,[]", "1,KEYBOARD,[65]", '1,MOUSE_MOVE,"[a,b]"', "1,MOUSE_MOVE,3"):
        table.write_text(f"{good}{line}\n")
        with pytest.raises(DataError, match=r"inputs\.csv, line 6: "):
            import_owl(config, progress=False)
    table.write_text("timestamp,event_type,event_args\n1,END,[]\n")
    with pytest.raises(DataError, match="has no VIDEO_START or START"):
        import_owl(config, progress=False)
    table.write_text(good)
    with pytest.raises(DataError, match=r"keys has 'spase'.*Did you mean 'space'"):
        import_owl(OwlConfig(tmp_path / "in", tmp_path / "out", keys=("spase",)), progress=False)
    (tmp_path / "in/recording.mp4").rename(tmp_path / "in/recording.txt")
    with pytest.raises(DataError, match="holds 0 videos"):
        import_owl(config, progress=False)
