"""Ray on this machine, with no more than it needs: a machine of one CPU, to which tests may add others."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from cli.conftest import failure  # noqa: F401 (a fixture)
from eval.conftest import recorded_path  # noqa: F401 (a fixture)
from transfer.conftest import dodge  # noqa: F401 (a fixture)

from worldsim.scale.cluster import Cluster, opened
from worldsim.scale.config import RayOptions

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
SMALL: dict[str, Any] = {"num_cpus": 1, "object_store_memory": 100_000_000, "include_dashboard": False}
QUICK = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 300, "health_check_failure_threshold": 3}


class Machines:
    """A Ray cluster whose machines are processes here."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster as Simulated

        self._simulated = Simulated(initialize_head=True, head_node_args={**SMALL, "_system_config": QUICK})
        self.address: str = self._simulated.address

    def add(self) -> Any:
        """Adds a machine."""
        return self._simulated.add_node(**{name: SMALL[name] for name in ("num_cpus", "object_store_memory")})

    def kill(self, machine: Any) -> None:
        """Kills a machine, as if it lost its power."""
        self._simulated.remove_node(machine, allow_graceful=False)

    def shutdown(self) -> None:
        self._simulated.shutdown()


@pytest.fixture(scope="package")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    pytest.importorskip("ray", reason="needs Ray; install: pip install 'worldsim-dit[scale]'")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("TMPDIR", str(tmp_path_factory.mktemp("machines")))  # where what is killed leaves files
        environment.setenv("RAY_TMPDIR", "/tmp")  # names of sockets must be short
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Ray's own
            running = Machines()
        yield running
        running.shutdown()


@pytest.fixture
def cluster(machines: Machines) -> Iterator[Cluster]:
    """The cluster, connected to."""
    with opened(RayOptions(ray=(machines.address,))) as cluster:
        assert cluster is not None
        yield cluster
