"""Records the window of any program together with keys and mouse, as a dataset."""

from __future__ import annotations

from worldsim.capture.config import CaptureConfig

__all__ = ["CaptureConfig"]
