"""The page of a dataset where it is shared: what was recorded, how much, and what it covers."""

from __future__ import annotations

from worldsim.data.coverage import coverage, format_coverage
from worldsim.data.dataset import Dataset
from worldsim.errors import printable
from worldsim.tables import markdown_table

HEAD = """\
tags:
- worldsim
- LeRobot
task_categories:
- reinforcement-learning
configs:
- config_name: default
  data_files: data/*/*.parquet
"""


def dataset_card(dataset: Dataset, name: str, *, license: str = "") -> str:
    """Markdown for the Hub, with figures counted now.

    Args:
        dataset: to describe; it is read whole, but for most pictures.
        name: on the Hub, "user/name".
        license: as the Hub names it; left out where empty.
    """
    info, figures = dataset.info, coverage(dataset)
    height, width, _ = info.frame_shape
    rows = [
        ("game", printable(info.game, 100)),
        ("controls", ", ".join(info.control_spec.names) or "none"),
        ("frames", f"{width}x{height}, {info.fps:g}/s, {'lossless' if info.lossless else 'h264'}"),
        ("episodes", ", ".join(f"{split} {count:,}" for split, count in figures["episodes"].items())),
        ("frames in them", ", ".join(f"{split} {count:,}" for split, count in figures["frames"].items())),
        ("fingerprint", f"`{dataset.fingerprint}`"),
    ]
    head = f"license: {license}\n{HEAD}" if license else HEAD
    covered = "\n".join(printable(line) for line in format_coverage(figures).splitlines())
    return f"""\
---
{head}---

# {printable(info.game, 100)}

A game recorded by worldsim, in LeRobot's v3 layout: frames, controls, rewards and ends. The controls in a row were held at
its frame; the next frame shows what they did.

{markdown_table(("", ""), rows)}

## What it covers

```text
{covered}
```

## Use it

`pip install "worldsim-dit[hub]"`, then

```python
from worldsim import Dataset

dataset = Dataset({name!r})
```
"""
