"""`worldsim capture`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from worldsim.capture.config import CaptureConfig
from worldsim.cli.options import FLAT, NO_OUTPUT, Output


def capture(config: Annotated[CaptureConfig, FLAT], output: Annotated[Output, FLAT] = NO_OUTPUT) -> None:
    """Records a window with its keys and mouse, or measures the delay between them."""
    if config.calibrate:
        from worldsim.capture.calibrate import calibrate, format_delay

        figures = calibrate(config)
        print(f"{format_delay(figures)}: kept in {config.folder}")
    else:
        from worldsim.capture.session import capture as run
        from worldsim.capture.session import report

        counts = run(config)
        print(report(counts, config.folder))
        figures = asdict(counts)
    output.write(figures)
