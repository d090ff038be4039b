"""What a dreamed episode needs to be dreamed again, bit for bit: labels of recordings, and their way back into a world.

Frames depend on the world's files, on settings (number format, calls per frame, batch, threads), on the seed and the start, and
on the controls since the start. The versions of PyTorch and OpenVINO and the processor matter too: they are noted, so that a
difference can be explained.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from worldsim.errors import WorldError, check_int
from worldsim.provenance import Claim
from worldsim.provenance.claim import SETTINGS as CLAIMED
from worldsim.world.folder import files_of, world_hash
from worldsim.world.runtimes.cache import processor_name
from worldsim.world.world import World

SETTINGS = ("num_steps", "context_level", "temperature")  # attributes of a world that may be changed while it runs
MOST_THREADS = MOST_STARTS = 1024
MOST_BEFORE = 20_000  # frames before a recording whose controls are kept


def dream_labels(
    world: World,
    row: int = 0,
    before: Sequence[NDArray[np.float32]] = (),
    replayable: bool = True,
    moment: Mapping[str, Any] | None = None,
    decoded: tuple[int, int] | None = None,
) -> dict[str, Any]:
    """Labels of an episode that a world dreams, for `Recorder.begin`.

    Args:
        world: as it is when the recording begins.
        row: of its batch.
        before: control vectors `(A,)` of the frames since the start that are not recorded.
        replayable: whether these, with the settings of now, lead to the first frame that is recorded.
        moment: of a real game that the dream started from, for people to read.
        decoded: how many rows were decoded together for the first frame, and which of them this one was; by default the whole
            batch, and its row.

    Returns:
        `world_hash`, `sampler`, `seed`, `start` and `begun_at`; nothing of the origin for a row that was put into a state.
    """
    labels: dict[str, Any] = {"sampler": json.dumps(describe_sampler(world, row, decoded)), "begun_at": len(before)}
    if world.folder is not None:
        labels["world_hash"] = world_hash(world.folder)
    origin = world.origins[row]
    if origin is None:
        return labels
    start: dict[str, Any] = dict(moment or {})
    if not world.has_own_starts:
        start |= {"latents": pack(world.starts[origin.start]), "controls": pack(world.start_controls[origin.start])}
    if origin.chosen or not world.has_own_starts:
        start["index"] = origin.start
    if replayable and 0 < len(before) <= MOST_BEFORE:
        start["before"] = pack(torch.from_numpy(np.stack(before)))
    return {**labels, "seed": origin.seed, **({"start": json.dumps(start)} if start else {})}


def claim_of(world: World, seed: int | None = None, prompt: str | None = None, composite: bool = False, **sampler: Any) -> Claim:
    """What files that a world generates say of themselves.

    Args:
        world: as it generates them.
        seed: of the noise.
        prompt: by default that of the world.
        composite: whether some frames were given.
        sampler: settings that are not the world's own.
    """
    settings = {name: value for name, value in describe_sampler(world).items() if name in CLAIMED} | sampler
    digest = "" if world.folder is None else world_hash(world.folder)
    return Claim(world.config.name, digest, seed, settings, world.prompt if prompt is None else prompt, composite)


def describe_sampler(world: World, row: int = 0, decoded: Sequence[int] | None = None) -> dict[str, Any]:
    """Everything that frames depend on besides controls, seed and start, ready for JSON."""
    runtime = world.runtime.name
    files = {} if world.folder is None else {name: world_hash(world.folder, (name,)) for name in files_of(world.folder)}
    return {
        "world": world.config.name,
        "files": files,
        **{name: getattr(world, name) for name in SETTINGS},
        **({"prompt": world.prompt} if world.prompt else {}),
        "runtime": runtime,
        "dtype": str(world.dtype).removeprefix("torch."),
        "device": world.device.type,
        "compiled": world.compiled,
        "batch": world.batch,
        "row": row,
        "decoded": list(decoded or (world.batch, row)),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        **({} if runtime == "torch" else {"openvino": version("openvino")}),
        "processor": torch.cuda.get_device_name() if world.device.type == "cuda" else processor_name(),
    }


def load_as_recorded(folder: Path, sampler: Mapping[str, Any]) -> World:
    """Loads a world with the settings of `describe_sampler`.

    Raises:
        WorldError: if it cannot run with them here.
    """
    try:
        torch.set_num_threads(check_int("threads", sampler["threads"], 1, MOST_THREADS, WorldError))
        world = World.load(
            folder,
            batch=sampler["batch"],
            device=sampler["device"],
            dtype=getattr(torch, sampler["dtype"]) if sampler["runtime"] == "torch" else None,
            compiled=sampler["compiled"],
            runtime=sampler["runtime"],
            **{name: sampler[name] for name in SETTINGS},
        )
        world.prompt = sampler.get("prompt", "")
        return world
    except (KeyError, TypeError, AttributeError) as error:
        raise WorldError(f"the episode's sampler settings are incomplete ({error!r}); it cannot be dreamed again.") from error


def restart_as_recorded(world: World, row: int, seed: int, start: str | None) -> NDArray[np.float32]:
    """Starts a world as an episode was started; every row gets its seed.

    Returns:
        Control vectors `(N, A)` to step through before the first recorded frame.

    Raises:
        WorldError: if the start is not one of this world.
    """
    try:
        given = json.loads(start) if start else {}
        index = given.get("index")
        before = unpack(given["before"]) if "before" in given else np.zeros((0, world.control_spec.size), np.float32)
        if index is not None:
            index = check_int("start", index, 0, MOST_STARTS, WorldError)
        if "latents" in given:
            assert index is not None
            latents, controls = (unpack(given[name])[None].repeat(index + 1, 0) for name in ("latents", "controls"))
            world.set_starts(torch.from_numpy(latents), torch.from_numpy(controls))
    except (ValueError, KeyError, TypeError, AttributeError, AssertionError) as error:
        raise WorldError(f"the episode's start cannot be read ({error!r}); it cannot be dreamed again.") from error
    world.restart(seed=[seed] * world.batch, start=index)
    return before


def pack(tensor: torch.Tensor) -> dict[str, Any]:
    """Numbers as JSON that gives back every bit: shape, and float32 little-endian as base64."""
    array = tensor.detach().cpu().numpy().astype("<f4")
    return {"shape": list(array.shape), "float32": base64.b64encode(array.tobytes()).decode()}


def unpack(packed: Mapping[str, Any]) -> NDArray[np.float32]:
    """What `pack` packed."""
    return np.frombuffer(base64.b64decode(packed["float32"]), "<f4").reshape(packed["shape"]).astype(np.float32)


def differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs between two descriptions of samplers, one line each; what only one of them has is left out."""
    lines = []
    for name in then.keys() & now.keys():
        if name == "files":
            changed = [file for file in then["files"] if then["files"][file] != now["files"].get(file)]
            lines += [f"{file} of the world is another" for file in changed]
        elif then[name] != now[name]:
            lines.append(f"{name} was {then[name]}, and is {now[name]}")
    return sorted(lines)
