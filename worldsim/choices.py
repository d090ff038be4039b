"""Values of options that several parts of the package share. Importing this loads no PyTorch."""

from __future__ import annotations

from typing import Literal, get_args

Device = Literal["auto", "cpu", "cuda"]
Runtime = Literal["auto", "torch", "openvino", "openvino-int8"]
LARGEST_SEED = 2**63 - 1  # that PyTorch's generators take everywhere
RUNTIMES: tuple[str, ...] = get_args(Runtime)
