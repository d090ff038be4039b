"""Named exceptions. Each message says what was given, what is allowed and what to do next."""

from __future__ import annotations

import difflib
import math
import numbers
import operator
import os
import signal
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager


class WorldsimError(ValueError):
    """Base of every error a user can cause."""


class ControlError(WorldsimError):
    """Controls that a world or game cannot take: unknown key, wrong shape, non-finite mouse."""


class FileError(WorldsimError):
    """A file or folder that cannot be read, written or locked: full disk, missing permission, not what its
    name says.
    """


class ConfigError(WorldsimError):
    """A field of a configuration that is of the wrong type or out of range."""


class DataError(WorldsimError):
    """A dataset that is missing, truncated or does not fit what was asked of it."""


class WorldError(WorldsimError):
    """A world folder that is missing, damaged, or newer than this code."""


class GameError(WorldsimError):
    """A real game that is unknown or not installed."""


class EnvError(WorldsimError):
    """An environment made with an option it does not have, or used out of order."""


class TrainingError(WorldsimError):
    """Training that cannot start, resume or go on (for example a NaN loss)."""


class ServeError(WorldsimError):
    """A place in a shared world that cannot be had, is lost, or cannot be changed as asked."""


class FullError(ServeError):
    """A shared world that has no place for one more player now."""


class ScaleError(WorldsimError):
    """A cluster that cannot be used as asked, or that lost the same work too often."""


class StudioError(WorldsimError):
    """A task of the studio that cannot be done as asked."""


class DisplayError(WorldsimError):
    """No screen to open a window on."""


def suggest(given: str, allowed: Iterable[str]) -> str:
    """' Did you mean X?' for the allowed name nearest to `given`, or an empty string."""
    near = difflib.get_close_matches(given[:100], list(allowed), n=1, cutoff=0.4)
    return f" Did you mean {near[0]!r}?" if near else ""


def printable(text: str, longest: int = 2000) -> str:
    """Text that is safe to print: control characters are escaped, and what is too long is cut in the middle."""
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    if len(shown) <= longest:
        return shown
    return f"{shown[: longest // 2]} ... {shown[-longest // 2 :]}"


class Terminated(KeyboardInterrupt):
    """SIGTERM came: everything that Ctrl-C cleans up is cleaned up."""


def shown(value: object, limit: int = 80) -> str:
    """A value someone gave, as an error message shows it: control characters escaped, and cut to `limit`
    characters.
    """
    text = ascii(value) if not isinstance(value, str) or not value.isprintable() else repr(value)
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def check_int(name: str, value: object, least: int, most: int | None = None, error: type[WorldsimError] = ConfigError) -> int:
    """A whole number in [least, most], of Python's or NumPy's types; no bool and no float.

    Raises:
        WorldsimError: of the type `error`, if it is not.
    """
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        number = None
    if number is None or isinstance(value, bool) or number < least or (most is not None and number > most):
        bounds = f"of at least {least:,}" if most is None else f"from {least:,} to {most:,}"
        raise error(f"{name} was {shown(value)}; give a whole number {bounds}.")
    return number


def check_number(
    name: str, value: object, least: float, most: float, *, below: bool = False, error: type[WorldsimError] = ConfigError
) -> float:
    """A finite number in [least, most], or with `below` in [least, most), of Python's or NumPy's types; no
    bool.

    Raises:
        WorldsimError: of the type `error`, if it is not.
    """
    real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not real or not least <= value <= most or (below and value == most) or value == math.inf:  # type: ignore[operator]
        end = "" if math.isinf(most) else f" and {'below' if below else 'at most'} {most:g}"
        raise error(f"{name} was {shown(value)}; give a number of at least {least:g}{end}.")
    return float(value)  # type: ignore[arg-type]


def check_flag(name: str, value: object, error: type[WorldsimError] = ConfigError) -> bool:
    """Checks that a value is True or False.

    Raises:
        ConfigError: or `error`, if it is not.
    """
    if not isinstance(value, bool):
        raise error(f"{name} was {shown(value)}; allowed: true, false.")
    return value


def check_choice(name: str, value: object, allowed: Sequence[str], error: type[WorldsimError] = ConfigError) -> str:
    """One of the strings allowed.

    Raises:
        WorldsimError: of the type `error`, if it is not.
    """
    if not isinstance(value, str) or value not in allowed:
        hint = suggest(value, allowed) if isinstance(value, str) else ""
        raise error(f"{name} was {shown(value)}; allowed: {', '.join(map(repr, allowed))}.{hint}")
    return value


@contextmanager
def one_line_errors() -> Iterator[None]:
    """For commands: a `WorldsimError` becomes one line on stderr and exit status 2; Ctrl-C ends with 130, SIGTERM,
    after the same clean-up, with 143, and output that nobody reads any more with 141.
    """
    main_thread = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, _terminate) if main_thread else None
    try:
        yield
    except WorldsimError as error:
        print(f"worldsim: {printable(str(error))}", file=sys.stderr)
        raise SystemExit(2) from None
    except BrokenPipeError:  # whoever read the output has what it wanted, as in `worldsim eval --help | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or Python complains when it flushes at exit
        raise SystemExit(141) from None
    except Terminated:
        raise SystemExit(128 + signal.SIGTERM) from None
    except KeyboardInterrupt:
        raise SystemExit(128 + signal.SIGINT) from None
    finally:
        if main_thread:
            signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def _terminate(number: int, frame: object) -> None:
    raise Terminated
