"""Training in tests."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from worldsim.train import loop


@contextmanager
def processor_budgets() -> Iterator[None]:
    """Budgets count this process's own seconds, so that a busy machine trains as much as an idle one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "time", SimpleNamespace(monotonic=time.process_time))
        yield
