"""A folder that appears once everything in it is written."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from worldsim.errors import DataError
from worldsim.files import check_writable_folder, named_errors


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Gives a temporary folder to write to, which becomes `path` if the block succeeds, and is removed if it
    fails.

    Raises:
        DataError: if there is something at `path` already.
        FileError: if it cannot be written.
    """
    check_writable_folder(path)
    if path.is_symlink() or (path.exists() and any(path.iterdir())):
        raise DataError(f"{path} holds something already; give a new or empty folder.")
    with named_errors("write", path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name[:100]}.", suffix=".worldsim-tmp", dir=path.parent))
        try:
            temporary.chmod(0o755)
            yield temporary
            temporary.replace(path)  # over an empty folder, too
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
