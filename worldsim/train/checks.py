"""What all configurations of training are checked for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from worldsim.errors import check_int, check_number


def check_fields(
    config: Any, counts: Mapping[str, int] | None = None, numbers: Mapping[str, float] | None = None, shares: tuple[str, ...] = ()
) -> None:
    """Checks fields of a configuration.

    Args:
        config: a dataclass.
        counts: names of whole numbers, and the least that each may be.
        numbers: names of other numbers, and the least that each may be.
        shares: names of numbers from 0 to 1.

    Raises:
        ConfigError: naming the first field that is of another type or out of range.
    """
    for name, least in (counts or {}).items():
        check_int(name, getattr(config, name), least)
    for name, bound in (numbers or {}).items():
        check_number(name, getattr(config, name), bound, math.inf)
    for name in shares:
        check_number(name, getattr(config, name), 0, 1)
