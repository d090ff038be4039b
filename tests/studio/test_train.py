from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import STUDIO_DIT, TINY_SPEC, TINY_TOKENIZER, VOCABULARY

from worldsim.controls import Controls
from worldsim.data import DatasetInfo, Recorder
from worldsim.errors import DataError, TrainingError
from worldsim.studio.captioning import CAPTIONS_PATH
from worldsim.studio.pipeline import Studio
from worldsim.studio.train import StudioConfig, train_studio
from worldsim.train.config import TokenizerStage
from worldsim.train.loop import LoopConfig
from worldsim.world.words import Words

LOOP = LoopConfig(learning_rate=4e-3, warmup=5, ema=0.9)
CONFIG = StudioConfig(
    name="test/studio",
    size=(48, 32),
    tokenizer=TokenizerStage(TINY_TOKENIZER, loop=LOOP, batch=8, scale_images=16),
    model=STUDIO_DIT,
    loop=LOOP,
    tokens=200,
    frames=6,
    tokenizer_share=0.4,
    starts=2,
)


def record(root: Path, width: int, height: int, split: str) -> None:
    """Two episodes, one red and one blue, with captions that say so."""
    rows = []
    with Recorder(root, DatasetInfo("test/studio", TINY_SPEC, height, width, 8.75, 4)) as recorder:
        for e, colour in enumerate(((200, 0, 0), (0, 0, 200))):
            recorder.begin(seed=e, policy="test", split=split)
            for t in range(20):
                frame = np.full((height, width, 3), colour, np.uint8)
                frame[t % height] = 255
                recorder.append(frame, TINY_SPEC.to_vector(Controls(keys={"a"}) if t % 2 else Controls()), 0.0, False, t == 19)
            recorder.end()
            rows.append((e, 0, 20, 1, "a red room" if e == 0 else "two soldier left"))
    table = {name: [row[i] for row in rows] for i, name in enumerate(("episode", "start", "stop", "level", "text"))}
    pq.write_table(pa.table(table), root / CAPTIONS_PATH)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for width, height in ((48, 32), (32, 48)):
        record(tmp_path / "data" / f"{width}x{height}", width, height, "train")
    record(tmp_path / "data-eval" / "48x32", 48, 32, "eval")
    return tmp_path / "data"


WORDS = Words.of(VOCABULARY, np.random.default_rng(0).standard_normal((len(VOCABULARY), 4)))


def test_sizes_train_together_to_a_world_that_reads_prompts_and_goes_on(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    folder = train_studio(CONFIG, data, out, 4, words=WORDS, device="cpu", compiled=False)
    assert len(list((out / "previews").glob("studio-*.png"))) >= 1
    studio = Studio.from_pretrained(folder, device="cpu")
    assert studio("a red room", frames=8, size=(32, 48), num_steps=2).frames.shape == (8, 48, 32, 3)
    assert studio.world.reset(seed=0).frame.shape == (1, 32, 48, 3)
    again = train_studio(CONFIG, data, tmp_path / "more", 2, words=WORDS, device="cpu", compiled=False, start=folder)
    assert (again / "words.safetensors").read_bytes() == (folder / "words.safetensors").read_bytes()


def test_what_is_missing_is_named(data: Path, tmp_path: Path) -> None:
    other = replace(CONFIG, size=(64, 64))
    record(tmp_path / "data-eval" / "64x64", 64, 64, "eval")
    with pytest.raises(DataError, match="holds the sizes 32x48, 48x32, and 64x64 is played"):
        train_studio(other, data, tmp_path / "run", 2, words=WORDS, device="cpu", compiled=False)
    (data / "32x48" / CAPTIONS_PATH).unlink()
    with pytest.raises(DataError, match="worldsim studio captions"):
        train_studio(CONFIG, data, tmp_path / "run", 2, words=WORDS, device="cpu", compiled=False)
    with pytest.raises(TrainingError, match="budget was 0 seconds"):
        train_studio(CONFIG, data, tmp_path / "run", 0, words=WORDS, device="cpu", compiled=False)
