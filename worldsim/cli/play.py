"""`worldsim play`, `record` and `generate`: worlds to look at."""

from __future__ import annotations

from pathlib import Path

from tyro.conf import Positional

from worldsim.cli.options import Device, check_least
from worldsim.errors import WorldsimError


def play(
    world: Positional[str] = "",
    *,
    num_steps: int | None = None,
    speed: float = 1.0,
    seed: int = 0,
    device: Device = "auto",
    zoom: int = 6,
    recordings: Path = Path("recordings"),
) -> None:
    """Opens a window.

    Args:
        world: Name, folder or Hub id; by default the one that ships first.
        num_steps: Network calls per frame; by default the world's own.
        speed: 2 plays twice as fast as the world's own rate.
        seed: Of the first start.
        device: Where the world runs.
        zoom: Window pixels per frame pixel at the start.
        recordings: Folder of recordings and screenshots.
    """
    from worldsim.player import PlayConfig
    from worldsim.player import play as open_window
    from worldsim.worlds import DEFAULT_WORLD

    name = world or DEFAULT_WORLD
    open_window(PlayConfig(name, num_steps=num_steps, speed=speed, seed=seed, device=device, zoom=zoom, recordings=recordings))


def record(
    world: Positional[str],
    *,
    out: Path = Path("dream.mp4"),
    frames: int = 300,
    seed: int = 0,
    num_steps: int | None = None,
    scale: int = 4,
    device: Device = "auto",
) -> None:
    """Saves a video of random play.

    Args:
        world: Name, folder or Hub id.
        out: The video.
        frames: How many.
        seed: Of the start, the controls and the noise; where an episode ends, another begins, of the next seed.
        num_steps: Network calls per frame; by default the world's own.
        scale: Video pixels per frame pixel.
        device: Where the world runs.
    """
    check_least(1, frames=frames, scale=scale)
    check_least(0, seed=seed)
    from worldsim.studio.record import record_clip
    from worldsim.world import World

    print(record_clip(World.load(world, device=device, num_steps=num_steps), out, frames, seed, scale=scale))


def generate(
    world: Positional[str],
    *,
    out: Path = Path("generated.png"),
    frames: int = 1,
    num_steps: int = 8,
    seed: int = 0,
    scale: int = 4,
    device: Device = "auto",
) -> None:
    """Saves a picture or a clip.

    Args:
        world: Name, folder or Hub id.
        out: A .png shows the frames side by side, an .mp4 one after another.
        frames: How many, denoised all together.
        num_steps: Network calls.
        seed: Of the controls and the noise.
        scale: Pixels per frame pixel.
        device: Where the world runs.
    """
    check_least(1, frames=frames, num_steps=num_steps, scale=scale)
    check_least(0, seed=seed)
    import numpy as np

    from worldsim.data.images import save_mp4, save_png
    from worldsim.studio.generate import generate as imagine
    from worldsim.studio.record import wander
    from worldsim.world import World

    if out.suffix not in (".png", ".mp4"):
        raise WorldsimError(f"out was {str(out)!r}; give a name that ends in .png or .mp4.")
    loaded = World.load(world, device=device)
    controls = wander(loaded.control_spec, seed)
    clip = imagine(loaded, [controls(t) for t in range(frames)], num_steps=num_steps, seed=seed)
    clip = clip.repeat(scale, axis=1).repeat(scale, axis=2)
    if out.suffix == ".png":
        save_png(out, np.concatenate(list(clip), axis=1))
    else:
        save_mp4(out, clip, loaded.config.fps)
    print(out)
