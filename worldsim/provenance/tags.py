"""A claim in the metadata of a file: the comment of an .mp4, a .png or a .gif."""

from __future__ import annotations

import os
import shutil
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import av

from worldsim.errors import FileError
from worldsim.files import named_errors
from worldsim.provenance.claim import LONGEST, Claim

PNG, GIFS = b"\x89PNG\r\n\x1a\n", (b"GIF87a", b"GIF89a")
COMMENT = "comment"  # the field of an .mp4
KEYWORD = b"Comment"  # of a text chunk of a .png
MOST_BLOCKS = 100_000  # of a file that is read


def kind_of(path: Path) -> str:
    """What a file is by its first bytes: ".mp4", ".png" or ".gif".

    Raises:
        FileError: if it cannot be read, or is something else.
    """
    with named_errors("read", path):
        if not path.is_file():
            raise FileError(f"{path} is not a plain file; give a clip or a picture." if path.exists() else f"no file {path}.")
        with path.open("rb") as file:
            head = file.read(12)
    if head.startswith(PNG):
        return ".png"
    if head.startswith(GIFS):
        return ".gif"
    if head[4:8] == b"ftyp":
        return ".mp4"
    raise FileError(f"{path} is no .mp4, .png or .gif by its first bytes; give one of these.")


def write_claim(path: Path, ending: str, claim: Claim) -> None:
    """Puts a claim into a .png or .gif that has none; an .mp4 gets it from whoever writes it, as `COMMENT`."""
    text = claim.to_text().encode("ascii")
    changed = path.with_name(f"{path.name}-tagged")
    try:
        with path.open("rb") as source, changed.open("wb") as out:
            if ending == ".png":
                out.write(source.read(len(PNG) + 25))  # the signature and the first chunk, which has 13 bytes
                out.write(_chunk(b"tEXt", KEYWORD + b"\0" + text))
            else:
                out.write(_gif_head(source))
                parts = (text[i : i + 255] for i in range(0, len(text), 255))
                out.write(b"\x21\xfe" + b"".join(bytes([len(part)]) + part for part in parts) + b"\0")
            shutil.copyfileobj(source, out)
        os.replace(changed, path)
    finally:
        changed.unlink(missing_ok=True)


def read_claim(path: Path, ending: str) -> Claim | None:
    """The claim in a file's metadata; None where there is none.

    Args:
        path: of the file.
        ending: what `kind_of` says of it.

    Raises:
        FileError: if it cannot be read.
    """
    with named_errors("read", path):
        if ending == ".mp4":
            texts = iter([_mp4_comment(path)])
        else:
            with path.open("rb") as file:
                texts = iter(list(_png_comments(file) if ending == ".png" else _gif_comments(file)))
    return next((claim for text in texts if (claim := Claim.from_text(text))), None)


def _mp4_comment(path: Path) -> str:
    try:
        with av.open(os.path.abspath(path), format="mp4", metadata_errors="replace") as container:
            return container.metadata.get(COMMENT, "")
    except (av.FFmpegError, OSError) as error:
        raise FileError(f"{path} cannot be read as an .mp4 ({error}); it is damaged.") from error


def _png_comments(file: BinaryIO) -> Iterator[str]:
    """Texts of the text chunks that are comments, before the end or the damage."""
    file.seek(len(PNG))
    for _ in range(MOST_BLOCKS):
        head = file.read(8)
        if len(head) < 8 or head[4:] == b"IEND":
            return
        (size,) = struct.unpack(">I", head[:4])
        if head[4:] == b"tEXt" and size <= LONGEST:
            keyword, _, text = file.read(size).partition(b"\0")
            if keyword == KEYWORD:
                yield text.decode("latin-1")
            size = 0
        file.seek(size + 4, os.SEEK_CUR)


def _gif_comments(file: BinaryIO) -> Iterator[str]:
    """Texts of the comment extensions, before the end or the damage."""
    _gif_head(file)
    for _ in range(MOST_BLOCKS):
        kind = file.read(1)
        if kind == b"\x21":  # an extension
            label = file.read(1)
            content = b"".join(_gif_blocks(file))
            if label == b"\xfe":
                yield content.decode("latin-1")
        elif kind == b"\x2c":  # an image
            head = file.read(9)
            if len(head) < 9:
                return
            file.seek(_colours(head[8]) + 1, os.SEEK_CUR)
            for _ in _gif_blocks(file):
                pass
        else:
            return


def _gif_blocks(file: BinaryIO) -> Iterator[bytes]:
    """The parts of a block, of which the first ones that a claim may have are given."""
    given = 0
    while size := file.read(1):
        if not size[0]:
            return
        part = file.read(size[0])
        given += len(part)
        if given <= LONGEST:
            yield part


def _gif_head(file: BinaryIO) -> bytes:
    head = file.read(13)
    return head + file.read(_colours(head[10]) if len(head) == 13 else 0)


def _colours(flags: int) -> int:
    """Bytes of the table of colours that follows."""
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
