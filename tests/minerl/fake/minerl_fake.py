"""Registers MineRL 0.4.4's own environment without a Minecraft: its handlers and spaces, with observations it recorded once."""

# mypy: ignore-errors

import minerl  # noqa: F401 (registers the real ones)
from minerl.herobraine.env_specs.navigate_specs import Navigate

Navigate(dense=False, extreme=False).register(fake=True)
