"""The options of every command that writes clips or pictures."""

from __future__ import annotations

from typing import Annotated

from tyro.conf import arg

from worldsim.provenance.claim import MarkOptions

Marks = Annotated[MarkOptions, arg(name="")]  # a field of a config, whose own fields are options of the command
