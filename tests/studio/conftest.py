from __future__ import annotations

from pathlib import Path

import pytest

from worldsim.studio.pipeline import Studio


@pytest.fixture
def studio(tiny_studio_path: Path) -> Studio:
    """With random weights."""
    return Studio.from_pretrained(tiny_studio_path, device="cpu")
