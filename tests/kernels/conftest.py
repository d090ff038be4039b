from __future__ import annotations

from collections.abc import Iterator

import pytest

from .rings import poison


@pytest.fixture
def poisoned() -> Iterator[None]:
    """See `poison`."""
    with poison():
        yield
