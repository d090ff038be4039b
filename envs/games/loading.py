"""Loads what people name by an import path or a file. What is loaded is run: nothing out of a stranger's folder comes here."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import re
import sys
from functools import reduce
from pathlib import Path
from types import ModuleType
from typing import Any

from worldsim.errors import GameError, WorldsimError, suggest

FILES = "worldsim_game_"  # beginning of the names of modules that were loaded from files


def load_attribute(path: str) -> Any:
    """What "module:attribute" or "file.py:attribute" names; the working directory is searched too.

    Raises:
        GameError: if there is no such module, file or attribute.
    """
    module, _, attribute = path.rpartition(":")
    if not module or not attribute:
        raise GameError(f"{path!r} is no import path; give 'module:attribute', such as 'mygame:SPEC'.")
    loaded = load_module(module, path)
    try:
        return reduce(getattr, attribute.split("."), loaded)
    except AttributeError as error:
        near = suggest(attribute, [name for name in vars(loaded) if not name.startswith("_")])
        raise GameError(f"{path} cannot be loaded: {module} has no attribute {attribute!r}.{near}") from error


def load_module(name: str, path: str = "") -> ModuleType:
    """A module by its name, or by its file if the name ends in ".py", which is run once a process.

    Args:
        name: of the module, or of its file.
        path: what was given, for messages; by default the name.

    Raises:
        GameError: if it is missing, or fails to import.
    """
    try:
        return _file_module(Path(name)) if name.endswith(".py") else _named_module(name)
    except WorldsimError:
        raise
    except ModuleNotFoundError as error:
        raise GameError(
            f"{path or name} cannot be loaded: {error}; run the command in the folder of the module, or install it."
        ) from error
    except (ImportError, AttributeError, SyntaxError) as error:
        raise GameError(f"{path or name} cannot be loaded: {type(error).__name__}: {error}.") from error


def _named_module(name: str) -> ModuleType:
    _search(Path.cwd())
    return importlib.import_module(name)


def _file_module(path: Path) -> ModuleType:
    file = path.expanduser().resolve()
    if not file.is_file():
        raise GameError(f"there is no file {path}; give that of a game, such as pong/game.py, or module:attribute.")
    name = f"{FILES}{hashlib.sha256(str(file).encode()).hexdigest()[:16]}"
    if name not in sys.modules:
        for folder in (Path.cwd(), file.parent):  # for what the file imports from here, or from beside it
            _search(folder)
        spec = importlib.util.spec_from_file_location(name, file)
        assert spec is not None and spec.loader is not None, "a name that ends in .py has a loader"
        sys.modules[name] = module = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
    return sys.modules[name]


def _search(folder: Path) -> None:
    """Adds a folder to those that modules are looked for in, as `python -m` does; child processes get the same ones."""
    if str(folder) not in sys.path and not (folder == Path.cwd() and "" in sys.path):
        sys.path.append(str(folder))


def path_of(make: Any, module: ModuleType) -> Any:
    """A function of a file as the path to it, since child processes cannot import the file by a name."""
    name = getattr(make, "__qualname__", "")
    own = getattr(make, "__module__", "") == module.__name__ and module.__name__.startswith(FILES)
    if not own:
        return make
    if getattr(module, name, None) is not make:
        raise GameError(f"make in {module.__file__} is {name or make!r}; define it at the top of the file, with def or class.")
    return f"{module.__file__}:{name}"


def content_hash(module: ModuleType) -> str:
    """Short hash of the file of a module; "" if it has none."""
    file = getattr(module, "__file__", None)
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()[:16] if file else ""


def source_hash(source: str) -> str:
    """The hash in what `GameSpec.source` says; "" if there is none."""
    found = re.search(r"sha256 ([0-9a-f]{16})", source)
    return found[1] if found else ""
