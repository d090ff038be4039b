"""`worldsim inspect`: where files come from."""

from __future__ import annotations

from typing import Annotated

from worldsim.cli.options import FLAT, NO_OUTPUT, Output
from worldsim.studio.origin_config import InspectConfig


def inspect(config: Annotated[InspectConfig, FLAT], output: Annotated[Output, FLAT] = NO_OUTPUT) -> None:
    """Tells where a file comes from; the exit status is 1 if its manifest shows that it was changed."""
    from worldsim.studio.inspection import format_dataset, format_inspection, inspect_dataset, inspect_file

    if config.path.is_dir():
        figures = inspect_dataset(config.path)
        print(format_dataset(str(config.path), figures))
        output.write(figures)
        return
    figures = inspect_file(config.path)
    print(format_inspection(str(config.path), figures))
    output.write(figures)
    if isinstance(figures["manifest"], dict) and not figures["manifest"]["valid"]:
        raise SystemExit(1)
