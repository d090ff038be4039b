"""Which cluster a command uses, and what each part of its work gets there. Importing this loads no Ray."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from worldsim.errors import ConfigError, check_int, check_number, shown

NAMED = ("auto", "local")  # addresses without a port


@dataclass(frozen=True)
class RayOptions:
    """Where the work is done, if not in this process.

    Attributes:
        ray: spread the work over a Ray cluster: HOST:PORT, "auto" for the one that `ray start` made this machine part of, or
            "local" for one of this command's own, on this machine; without an address what RAY_ADDRESS says, or else local.
        ray_cpus: CPUs of each task or actor.
        ray_gpus: GPUs of each; a share, such as 0.25, lets several use one.
        ray_retries: how often work is done again that was lost with its process or machine.
    """

    ray: tuple[str, ...] | None = None
    ray_cpus: float = 1.0
    ray_gpus: float = 0.0
    ray_retries: int = 3

    def __post_init__(self) -> None:
        check_number("ray_cpus", self.ray_cpus, 0.01, math.inf)
        check_number("ray_gpus", self.ray_gpus, 0, math.inf)
        check_int("ray_retries", self.ray_retries, 0)
        for name in ("ray_cpus", "ray_gpus"):
            value = getattr(self, name)
            if value > 1 and value != int(value):
                raise ConfigError(f"{name} was {value:g}; above 1 give a whole number.")
        if self.ray is not None and (len(self.ray) > 1 or not all(map(_is_address, self.ray))):
            raise ConfigError(
                f"ray was {shown(' '.join(self.ray))}; give HOST:PORT, auto, local or nothing, and other arguments before --ray."
            )

    @property
    def wanted(self) -> bool:
        """Whether a cluster is to be used."""
        return self.ray is not None

    @property
    def address(self) -> str | None:
        """The address given; None for none."""
        return self.ray[0] if self.ray else None


NO_RAY = RayOptions()


def _is_address(text: str) -> bool:
    found = re.fullmatch(r"(?:\[[0-9A-Fa-f:]+\]|[A-Za-z0-9.-]+):([0-9]{1,5})", text)
    return text in NAMED or (found is not None and 0 < int(found[1]) < 2**16)
