"""`worldsim transfer`: do policies that were trained only in dreams work in the real game? Writes the card that says so."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from worldsim.envs.games import GameSpec
from worldsim.files import check_writable, check_writable_folder, lock, write_json
from worldsim.plotting import check_plotting
from worldsim.scale.cluster import Cluster
from worldsim.transfer.card import format_card, write_card
from worldsim.transfer.config import DREAM, Run, TransferConfig
from worldsim.transfer.runs import Runs
from worldsim.transfer.servers import DreamServers, check_room
from worldsim.transfer.spread import spread
from worldsim.transfer.statistics import summarise
from worldsim.transfer.store import Result
from worldsim.world import find_world


def transfer(
    worlds: Sequence[str | Path],
    data: str | Path,
    out: str | Path,
    *,
    shuffled: Sequence[str | Path] = (),
    refitted: Sequence[tuple[Path, Path]] = (),
    card: str | Path | None = None,
    json: str | Path | None = None,
    config: TransferConfig | None = None,
    device: str = "auto",
    game: str | GameSpec | None = None,
    cluster: Cluster | None = None,
    servers: int = 0,
) -> Result:
    """Trains and plays all rows, and writes the card.

    Args:
        worlds, shuffled, data, out, card, device: as in `TransferOptions`, except that nothing has a default: no world is
            trained and no card is written that is not given. The same call again goes on from what is in `out`.
        refitted: worlds that were trained further on larger datasets, with those datasets; see `record_policies`.
        json: file that gets all figures.
        config: how much of everything.
        game: the real game, where it is not registered under the name in the dataset; see `find_game`.
        cluster: where runs are made, each as a task, if not here; see `spread`.
        servers: of dreams on the cluster, for each training in dreams, one after the other; 0 for trainings that are tasks with
            dreams of their own.

    Returns:
        The figures as in the JSON file.

    Raises:
        WorldError: if there is no such world, or they were trained on different recordings.
        DataError: if the dataset is not of their game.
        GameError: if the game is not installed.
        FileError: if a result cannot be written, or another process works in `out`.
    """
    check_outputs(out, card, json)
    found = [find_world(w) for w in worlds], [find_world(w) for w in shuffled]
    with lock(out, "training policies in"):
        config = config or TransferConfig()
        hall = partial(DreamServers, cluster, servers=servers) if cluster is not None and servers else None
        runs = Runs(*found, dict(refitted), data, Path(out), config, device, game, hall)
        if cluster is not None:
            if servers:
                check_room(cluster, servers)
            spread(runs, cluster)
        rows = runs.rows()
        levels = runs.levels(rows[DREAM])
        measured = {"rows": rows, "levels": levels, "heads": runs.heads()}
    figures = {**runs.circumstances(), **measured, **summarise(rows, levels, runs.config, runs.game.scores_to_beat())}
    if json is not None:
        write_json(json, figures)
    if card is not None:
        write_card(Path(card), figures)
    print(format_card(figures))
    return figures


def check_outputs(out: str | Path, card: str | Path | None, json: str | Path | None) -> None:
    """Raises an error that names the output if one of them cannot be written; call it before the work."""
    check_writable_folder(out)
    if json is not None:
        check_writable(json)
    if card is not None:
        check_plotting()
        check_writable(card, (".md",))
        check_writable(Path(card).with_suffix(".svg"))


def chosen_policies(figures: Result, out: Path) -> list[Path]:
    """Files of the policies that were chosen in the first world's dreams, one per policy seed."""
    runs = [run for run in figures["rows"][DREAM] if run["run"]["world"] == figures["worlds"][0]]
    return [sorted((out / "policies" / Run(**run["run"]).slug).glob("*.safetensors"))[run["chosen"]] for run in runs]
