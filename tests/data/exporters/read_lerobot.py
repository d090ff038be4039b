"""Run by a Python that has lerobot (0.4 or newer): reads a dataset with its own class and saves what it gave.

PyAV decodes in place of its video decoder, which needs packages that fit no torch without a GPU. Tables, episodes, tasks,
statistics and timestamps are read by lerobot itself.
"""

import sys
import types
from typing import Any

import datasets  # before torchvision may be replaced, for it looks for that
import numpy as np

try:
    import torchvision  # noqa: F401
except (ImportError, RuntimeError, OSError):  # it fits no torch without a GPU
    for name in [name for name in sys.modules if name.startswith("torchvision")]:
        del sys.modules[name]
    datasets.config.TORCHVISION_AVAILABLE = False
    for name in ("torchvision", "torchvision.transforms", "torchvision.transforms.v2"):
        module: Any = types.ModuleType(name)
        sys.modules[name] = module
        for attribute in ("Transform", "functional", "Compose"):
            setattr(module, attribute, type(attribute, (), {}))
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], child, module)

from lerobot.datasets import lerobot_dataset


def decode(path, timestamps, tolerance, backend=None):
    import av
    import torch

    with av.open(str(path)) as container:
        images = [(image.time, image.to_ndarray(format="rgb24")) for image in container.decode(video=0)]
    times = np.array([time for time, _ in images])
    nearest = [int(np.abs(times - wanted).argmin()) for wanted in timestamps]
    assert np.abs(times[nearest] - timestamps).max() < tolerance
    return torch.from_numpy(np.stack([images[i][1] for i in nearest])).permute(0, 3, 1, 2).float() / 255


if __name__ == "__main__":
    lerobot_dataset.decode_video_frames = decode
    dataset = lerobot_dataset.LeRobotDataset("local/test", root=sys.argv[1])
    assert dataset.meta.stats["action"]["mean"].shape == dataset[0]["action"].shape
    rows = [dataset[i] for i in range(len(dataset))]
    np.savez(
        sys.argv[2],
        action=np.stack([row["action"].numpy() for row in rows]),
        reward=np.stack([row["next.reward"].numpy() for row in rows]),
        episode=np.array([int(row["episode_index"]) for row in rows]),
        frames=np.stack([row["observation.images.main"].numpy() for row in rows]),
    )
