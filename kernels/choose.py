"""Chooses which implementation of an op runs: by device, or exactly the one requested."""

from __future__ import annotations

import os
from importlib.util import find_spec

import torch

IMPLS = ("auto", "reference", "triton")
HAS_TRITON = find_spec("triton") is not None


def choose(impl: str, device: torch.device) -> str:
    """Returns "reference" or "triton".

    Args:
        impl: "auto" (Triton on CUDA devices where it is installed), "reference" or "triton".
        device: device of the op's arguments.

    Raises:
        ValueError: if `impl` is none of these, or if it is "triton" where Triton cannot run.
    """
    if impl not in IMPLS:
        raise ValueError(f"impl was {impl!r}; allowed: {', '.join(map(repr, IMPLS))}.")
    if impl == "auto":
        return "triton" if device.type == "cuda" and HAS_TRITON else "reference"
    if impl == "triton" and not HAS_TRITON:
        raise ValueError("impl was 'triton', which is not installed; pip install triton (Linux), or pass impl='reference'.")
    if impl == "triton" and device.type != "cuda" and not interpreting():
        raise ValueError(
            f"impl was 'triton' on {device}; it needs a CUDA device, or TRITON_INTERPRET=1 in the environment before Triton is "
            "imported (slow, for tests). Pass impl='reference' or 'auto' here."
        )
    return impl


def interpreting() -> bool:
    """Whether kernels run in Triton's interpreter, on any device."""
    return os.environ.get("TRITON_INTERPRET") == "1"
