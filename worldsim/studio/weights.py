"""Weights of the small networks that come with the package: bf16 safetensors."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save
from torch import nn

from worldsim.errors import WorldError
from worldsim.files import write_bytes
from worldsim.world.folder import readable

PLAIN: dict[str, Any] = {"dtype": torch.float32, "device": "cpu"}  # how layers are made, whatever defaults a user has set


def load_weights(net: nn.Module, path: str | Path | None, shipped: str, kind: str) -> None:
    """Reads what `save_weights` wrote into a network.

    Args:
        net: to fill.
        path: of the file; None for the one that ships.
        shipped: name of the file that ships.
        kind: of network, for the error, which is also the command that trains one.

    Raises:
        WorldError: if the file is missing, damaged, or of another network.
    """
    path = Path(str(files("worldsim.studio") / shipped)) if path is None else Path(path)
    with readable(path):
        state = {name: value.float() for name, value in load_file(path).items()}
    wanted = {name: value.shape for name, value in net.state_dict().items() if value.is_floating_point()}
    given = {name: value.shape for name, value in state.items()}
    if given != wanted or not all(value.isfinite().all() for value in state.values()):
        raise WorldError(f"{path} holds no {kind} of this version; train one with worldsim studio {kind}.")
    net.load_state_dict(state, strict=False)


def save_weights(net: nn.Module, path: str | Path) -> None:
    """Writes the floating-point weights of a network."""
    floats = {name: value for name, value in net.state_dict().items() if value.is_floating_point()}
    write_bytes(path, save({name: value.bfloat16().contiguous() for name, value in floats.items()}))
