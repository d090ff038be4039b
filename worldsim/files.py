"""Files: whole or not at all. Atomic writing, JSON, and locks on folders.

A file is written under a temporary name beside its final one, flushed to disk, and renamed. Whoever reads it sees the
old content or the new, never a part. Everything that the operating system refuses becomes one `FileError`.
"""

from __future__ import annotations

import dataclasses
import errno
import json
import math
import os
import re
import secrets
import stat
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from worldsim.errors import FileError, WorldsimError

_TEMPORARY = re.compile(r"\.(.+)\.[0-9a-f]{8}\.worldsim-tmp")
_NAME_BYTES, _PATH_BYTES = 255, 4095  # longest file name and path of common systems
_FULL = (errno.ENOSPC, errno.EDQUOT)
_NO_LOCKS = (errno.EBADF, errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)  # what file systems without locks answer


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Gives a temporary path to write to, which replaces `path` if the block succeeds and is removed if it fails.

    >>> with replacing(path) as temporary:
    ...     save_file(tensors, temporary)

    Missing folders are made. The temporary path is absolute and lies in the same folder; a symbolic link at `path` stays,
    and what it points to is replaced.

    Raises:
        FileError: if the disk is full or read-only, permission is missing, or `path` is no plain file.
    """
    with named_errors("write", path):
        final = Path(os.path.realpath(path))
        _check_length(final)
        _refuse_special(final)
        final.parent.mkdir(parents=True, exist_ok=True)
        temporary = _temporary_beside(final)
        try:
            yield temporary
            publish(temporary, final)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def publish(temporary: Path, final: Path) -> None:
    """Moves a finished file into place, on the same file system, after its content has reached the disk.

    Raises:
        FileError: as for `replacing`.
    """
    with named_errors("write", final):
        with temporary.open("r+b") as file:
            os.fsync(file.fileno())
        final.parent.mkdir(parents=True, exist_ok=True)
        os.replace(temporary, final)


def write_bytes(path: str | Path, content: bytes) -> None:
    """Writes a file atomically. A device or pipe, such as /dev/stdout, is written to directly.

    Raises:
        FileError: as for `replacing`.
    """
    if _is_stream(path):
        with named_errors("write", path):
            Path(path).write_bytes(content)
        return
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: str | Path, text: str) -> None:
    """Writes a UTF-8 file atomically; see `write_bytes`."""
    write_bytes(path, text.encode())


def write_json(path: str | Path, content: Any) -> None:
    """Writes JSON atomically; see `write_bytes` and `plain`."""
    write_text(path, json.dumps(plain(content), indent=2, allow_nan=False) + "\n")


def read_text(path: str | Path) -> str:
    """The content of a UTF-8 file.

    Raises:
        FileError: if it is missing, no plain file, or not UTF-8.
    """
    with named_errors("read", path):
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise FileError(f"{path} is not a plain file; give the name of one.")
        try:
            return Path(path).read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise FileError(f"{path} is not UTF-8 text ({error}); it is damaged, or not what its name says.") from error


def read_json(path: str | Path, *required: str) -> dict[str, Any]:
    """The JSON object in a file.

    Args:
        path: file to read.
        required: names of fields that it must have.

    Raises:
        FileError: if it is missing, not UTF-8, not JSON, not an object, or lacks a field.
    """
    text = read_text(path)
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FileError(f"{path} is not JSON ({error}); it is damaged, or not what its name says.") from error
    if not isinstance(content, dict):
        raise FileError(f"{path} holds a JSON {type(content).__name__} instead of an object; it is not what its name says.")
    missing = [name for name in required if name not in content]
    if missing:
        raise FileError(f"{path} has no field {missing[0]!r}; it is damaged, or not what its name says.")
    return content


def plain(value: Any) -> Any:
    """`value` in JSON's own types: dataclasses and mappings become dicts, arrays lists, NaN and infinities None."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(value, "tolist"):  # NumPy's arrays and scalars
        return plain(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value


def check_writable(path: str | Path, endings: Sequence[str] = ()) -> None:
    """Finds out whether a file can be written at `path` without touching anything; call it before long work.

    Args:
        path: of a file, there or not.
        endings: how its name must end, such as `(".mp4", ".gif")`; anything if empty.

    Raises:
        FileError: if the name is wrong, a folder is in the way, or permission is missing.
    """
    if endings and not str(path).lower().endswith(tuple(endings)):
        raise FileError(f"{str(path)!r} cannot be written; give a name that ends in {' or '.join(endings)}.")
    with named_errors("write", path):
        if _is_stream(path):
            return
        final = Path(os.path.realpath(path))
        _check_length(final)
        _refuse_special(final)
        if final.exists() and not os.access(final, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        _check_folder(final.parent)


def check_writable_folder(path: str | Path) -> None:
    """Finds out whether files can be written in a folder, there or not, without touching anything.

    Raises:
        FileError: if it is a file, or permission is missing.
    """
    with named_errors("write", path):
        _check_folder(Path(os.path.realpath(path)))


def allocate(path: Path, size: int) -> None:
    """Makes a file of `size` bytes of zeros whose room on the disk is certain, so that writing to a memory map cannot fail.

    Raises:
        FileError: if the disk is full; the file is removed then.
    """
    with named_errors("write", path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with path.open("wb") as file:
                if hasattr(os, "posix_fallocate") and size:
                    os.posix_fallocate(file.fileno(), 0, size)
                else:
                    for start in range(0, size, 1 << 20):
                        file.write(bytes(min(1 << 20, size - start)))
        except BaseException:
            path.unlink(missing_ok=True)
            raise


def is_temporary(path: Path) -> bool:
    """Whether `path` has a name that only this module gives; nothing else may be deleted as a leftover."""
    return _TEMPORARY.fullmatch(path.name) is not None


def remove_temporary(folder: Path) -> None:
    """Removes temporary files that killed processes left in `folder` (not below); hold its lock while doing so."""
    with named_errors("clean", folder):
        for path in folder.iterdir() if folder.is_dir() else ():
            if is_temporary(path) and path.is_file() and not path.is_symlink():
                path.unlink(missing_ok=True)


def cache_folder() -> Path:
    """Where what can be made or fetched again is kept, such as compiled graphs: `$WORLDSIM_CACHE`, otherwise a folder `worldsim`
    in the user's cache folder.

    Raises:
        FileError: if `$WORLDSIM_CACHE` names an unknown user, or there is neither that nor a home folder.
    """
    given = os.environ.get("WORLDSIM_CACHE")
    try:
        if given:
            return Path(given).expanduser()
        home = Path.home()
    except RuntimeError as error:
        problem = f"WORLDSIM_CACHE was {given!r}, of an unknown user" if given else "there is no home folder"
        raise FileError(f"{problem}; set WORLDSIM_CACHE to a folder for files that can be made again.") from error
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "worldsim"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", home / "AppData" / "Local")) / "worldsim"
    return Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache") / "worldsim"


class Lock:
    """A folder held for this process; see `lock`. Use it in a `with` statement, or call `release`."""

    def __init__(self, handle: int | None) -> None:
        self._handle, self._process = handle, os.getpid()

    def __enter__(self) -> Lock:
        return self

    def __exit__(self, *error: object) -> None:
        self.release()

    def release(self) -> None:
        """Lets go of the folder; twice does nothing. In a forked child the parent's lock stays."""
        handle, self._handle = self._handle, None
        if handle is None:
            return
        if os.getpid() == self._process:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_UN)  # forked children may hold copies of the handle
        os.close(handle)


def lock(folder: str | Path, what: str) -> Lock:
    """Holds a folder, made where missing, against other processes; the system lets go of it when this process dies.

    A class that keeps the lock releases it when its own `__init__` fails:

    >>> with ExitStack() as undo:
    ...     self._lock = undo.enter_context(lock(folder, "training in"))
    ...     ...  # whatever may fail
    ...     undo.pop_all()

    Where the file system has no locks, as some network drives, this says so in one line on stderr and goes on.

    Args:
        folder: to hold.
        what: is done to it, such as "recording into".

    Raises:
        FileError: if another process, or another lock of this one, holds it.
    """
    folder = Path(folder)
    with named_errors("write", folder):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            import fcntl
        except ImportError:  # Windows
            return _no_lock(folder, what, "this system has no flock")
        handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            raise FileError(f"another process is {what} {folder}; wait for it to end, or give another folder.") from error
        if error.errno in _NO_LOCKS:
            return _no_lock(folder, what, error.strerror)
        raise FileError(f"cannot lock {folder}: {error.strerror}.") from error
    return Lock(handle)


@contextmanager
def named_errors(verb: str, path: str | Path) -> Iterator[None]:
    """Turns what the system refuses into a `FileError` that names the file."""
    try:
        yield
    except WorldsimError:
        raise
    except OSError as error:
        raise FileError(f"cannot {verb} {_shorten(path)}: {_reason(error)}.{_remedy(error)}") from error
    except ValueError as error:
        if "embedded null" not in str(error):
            raise
        raise FileError(f"cannot {verb} {_shorten(path)}: a file name cannot hold a null character.") from error


def _reason(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno else str(error)


def _remedy(error: OSError) -> str:
    if error.errno in _FULL:
        return " Free some space, then try again; what was there before is untouched."
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return " Give another place, or change who may write there."
    if error.errno == errno.ENOENT:
        return " Check the path."
    return ""


def _shorten(path: str | Path, most: int = 200) -> str:
    """A path as printable text of bounded length."""
    text = str(path)
    text = text if text.isprintable() else repr(text)
    return text if len(text) <= most else f"{text[: most - 3]}..."


def _refuse_special(path: Path) -> None:
    if path.is_dir():
        raise FileError(f"{path} is a folder; give the name of a file.")
    if path.exists() and not path.is_file():
        raise FileError(f"{path} is not a plain file; give another name.")


def _is_stream(path: str | Path) -> bool:
    """Whether `path` is a device, pipe or socket, which cannot be replaced by a file."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _check_folder(folder: Path) -> None:
    """Raises unless files can be made in `folder`, or it can be made."""
    _check_length(folder)
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    if not os.access(folder, os.W_OK | os.X_OK):
        read_only = hasattr(os, "statvfs") and os.statvfs(folder).f_flag & os.ST_RDONLY
        number = errno.EROFS if read_only else errno.EACCES
        raise OSError(number, os.strerror(number))


def _check_length(path: Path) -> None:
    if any(len(os.fsencode(part)) > _NAME_BYTES for part in path.parts) or len(os.fsencode(path)) > _PATH_BYTES:
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))


def _temporary_beside(path: Path) -> Path:
    ending = f".{secrets.token_hex(4)}.worldsim-tmp"
    name = path.name
    while len(os.fsencode(name)) > _NAME_BYTES - len(ending) - 1 - 16:  # with room for who needs another name beside it
        name = name[:-1]
    return path.with_name(f".{name}{ending}")


def _no_lock(folder: Path, what: str, reason: str | None) -> Lock:
    print(f"worldsim: {folder} cannot be locked ({reason}); make sure that nothing else is {what} it.", file=sys.stderr)
    return Lock(None)
