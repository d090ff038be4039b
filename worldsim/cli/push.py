"""`worldsim push`: worlds and datasets for others."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from worldsim.cli.options import FLAT
from worldsim.errors import ConfigError, WorldsimError, shown
from worldsim.files import read_json


@dataclass(frozen=True)
class PushConfig:
    """What is shared, and where.

    Attributes:
        source: a world, by name or folder, or the folder of a dataset.
        repo: user and name on the Hugging Face Hub, such as me/my-world.
        private: make a new repository for you alone.
        license: such as mit or cc-by-4.0; by default none is named.
        figures: of a world: JSON file that `worldsim eval --json` wrote, whose tables go onto its page.
    """

    source: Positional[Annotated[str, arg(metavar="SOURCE")]]
    repo: Positional[Annotated[str, arg(metavar="USER/NAME")]]
    private: bool = False
    license: str = ""
    figures: Path | None = None

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z0-9][a-z0-9.-]{0,40}|", self.license):
            raise ConfigError(f"license was {shown(self.license)}; give the Hub's name of one, such as mit or cc-by-4.0.")


def push(config: Annotated[PushConfig, FLAT]) -> None:
    """Uploads a world or a dataset, with a page that says what it is."""
    from worldsim.data.format import INFO_PATH

    kind = "dataset" if (Path(config.source) / INFO_PATH).is_file() else "world"
    print((_push_dataset if kind == "dataset" else _push_world)(config))


def _push_world(config: PushConfig) -> str:
    from worldsim.eval.tables import format_figures
    from worldsim.hub import check_inside, upload
    from worldsim.world import find_world, read_config
    from worldsim.world.card import CARD, world_card
    from worldsim.world.folder import files_of, load_world

    folder = find_world(config.source)
    load_world(folder)  # a damaged one is not shared
    check_inside(folder / CARD, folder)
    report = "" if config.figures is None else format_figures(read_json(config.figures, "psnr", "world"))
    card = world_card(folder, read_config(folder), config.repo, report=report, license=config.license)
    files = {name: folder / name for name in reversed(files_of(folder))} | {CARD: card.encode()}
    return upload(files, config.repo, "model", private=config.private, message="A world made with worldsim")


def _push_dataset(config: PushConfig) -> str:
    from worldsim.data.card import dataset_card
    from worldsim.data.check import check
    from worldsim.data.dataset import Dataset
    from worldsim.hub import upload

    if config.figures is not None:
        raise WorldsimError("figures are of a world; a dataset's are counted.")
    dataset = Dataset(Path(config.source))
    problems = check(dataset.root)["problems"]
    if problems:
        raise WorldsimError(f"{dataset.root} is not whole: {problems[0]} See worldsim data check {dataset.root}.")
    card = dataset_card(dataset, config.repo, license=config.license)
    files: dict[str, Path | bytes] = {path.relative_to(dataset.root).as_posix(): path for path in _files(dataset.root)}
    files["README.md"] = card.encode()
    return upload(files, config.repo, "dataset", private=config.private, message="A dataset made with worldsim")


def _files(root: Path) -> Iterator[Path]:
    """The files of a dataset, and nothing else that lies beside them; what an episode exists by comes last."""
    from worldsim.data.format import INFO_PATH, data_path, episode_files, video_path
    from worldsim.data.recorder import STATS_PATH
    from worldsim.data.tables import TASKS_PATH
    from worldsim.hub import check_inside

    episodes = sorted(episode_files(root).items())
    parts = [path for index, _ in episodes for path in (video_path(root, index), data_path(root, index))]
    for path in (*parts, root / TASKS_PATH, root / STATS_PATH, *(path for _, path in episodes), root / INFO_PATH):
        if path.is_file():
            check_inside(path, root)
            yield path
