"""The `worldsim` command."""

from __future__ import annotations

from worldsim.cli.app import main

__all__ = ["main"]
