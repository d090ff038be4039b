"""Who may move a world."""

from __future__ import annotations

import gc
import weakref

from worldsim.errors import WorldError, shown


class Ownership:
    """At most one owner at a time; one that is no longer referenced has let go."""

    def __init__(self) -> None:
        self._owner: weakref.ref[object] | None = None

    def claim(self, owner: object, world: str) -> None:
        """Takes a world, by its name; see `World.claim`."""
        if self._owner is not None and self._owner() is not owner:
            gc.collect()  # the other may be garbage
        current = None if self._owner is None else self._owner()
        if current is not None and current is not owner:
            raise WorldError(
                f"world {shown(world)} is in use by another {type(current).__name__}, and two would move each other's "
                "frames; close that one first, or load the world once for each: World.load(...)."
            )
        self._owner = weakref.ref(owner)

    def release(self, owner: object) -> None:
        """Lets go, if `owner` has it."""
        if self._owner is not None and self._owner() is owner:
            self._owner = None
