"""Is an upload a deployment package that can be unpacked?

Place: before an upload is stored, and before an explicit source counts as resolved. Invariants:
pure; nothing is unpacked onto a disk; sizes are taken from the directory and then counted while
inflating, because directories lie; memory is the zip's directory, which is bounded before it is
read, and one piece, whatever the entries claim; names and links that lead out are refused here
already, init does so again when it unpacks. Limits: developer guide, "Lambda quotas".
"""

from __future__ import annotations

import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Sequence
from typing import IO

from klambda_core import errors, limits

DIRECTORY_MAX = 16 * limits.MIB
"""Bytes of a zip's directory: some 200,000 entries (ours)."""
_ENCRYPTED = 0x1
_NAME_MAX = 255
"""Bytes of one segment of a path (Linux, NAME_MAX)."""
_LINK_MAX = 4096
_PIECE = 256 * limits.KIB
_END = struct.Struct("<4s4H2LH")
_COMMENT_MAX = 65_535
_LOCATOR = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")


def check_upload(file: IO[bytes]) -> int:
    """Size of the files of a direct upload. Raises the LambdaError that it deserves."""
    size = file.seek(0, os.SEEK_END)
    if size == 0:
        raise errors.empty_zip()
    if size > limits.ZIP_DIRECT_MAX:
        raise errors.zipped_too_big(limits.ZIP_DIRECT_MAX)
    return check_zip(file)


def check_zip(file: IO[bytes]) -> int:
    """Size of a zip's files. Raises InvalidParameterValue unless it is a readable one."""
    if _directory_size(file) > DIRECTORY_MAX:
        raise errors.bad_zip()
    file.seek(0)
    try:
        with zipfile.ZipFile(file) as archive:
            return _size_of_entries(archive)
    except (zipfile.BadZipFile, zlib.error, ValueError, EOFError, OSError):
        raise errors.bad_zip() from None
    except (NotImplementedError, RuntimeError, OverflowError):
        raise errors.bad_zip() from None


def _directory_size(file: IO[bytes]) -> int:
    """What the zip says of its directory's size (a lie makes it unreadable); 0 when nothing."""
    size = file.seek(0, os.SEEK_END)
    start = max(0, size - _END.size - _COMMENT_MAX)
    file.seek(start)
    tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < _END.size:
        return 0
    found = int(_END.unpack_from(tail, at)[5])
    locator = start + at - _LOCATOR.size
    if locator >= 0:
        file.seek(locator)
        mark, _, where, _ = _LOCATOR.unpack(file.read(_LOCATOR.size))
        if mark == b"PK\x06\x07" and where + _END64.size <= size:
            file.seek(where)
            found = max(found, int(_END64.unpack(file.read(_END64.size))[8]))
    return found


def _size_of_entries(archive: zipfile.ZipFile) -> int:
    entries = archive.infolist()
    if not entries:
        raise errors.empty_zip()
    if any(entry.flag_bits & _ENCRYPTED or not _is_inside(entry) for entry in entries):
        raise errors.bad_zip()
    if sum(entry.file_size for entry in entries) >= limits.UNZIPPED_MAX:
        raise errors.unzipped_too_big(limits.UNZIPPED_MAX)
    total = 0
    for entry in entries:
        if _is_link(entry):
            _check_link(archive, entry)
        with archive.open(entry) as stream:
            while piece := stream.read(_PIECE):
                total += len(piece)
                if total >= limits.UNZIPPED_MAX:
                    raise errors.unzipped_too_big(limits.UNZIPPED_MAX)
    return total


def _is_inside(entry: zipfile.ZipInfo) -> bool:
    """Whether its name stays below the directory it is unpacked into, and can be a file's."""
    name = entry.orig_filename  # ``filename`` ends at the first NUL
    parts = name.rstrip("/").split("/")
    return (
        "\0" not in name
        and not name.startswith("/")
        and _stays(parts)
        and all(len(part.encode("utf-8", "replace")) <= _NAME_MAX for part in parts)
    )


def _stays(parts: Sequence[str]) -> bool:
    """Whether a relative path never leaves where it begins."""
    depth = 0
    for part in parts:
        depth += {"..": -1, ".": 0, "": 0}.get(part, 1)
        if depth < 0:
            return False
    return True


def _is_link(entry: zipfile.ZipInfo) -> bool:
    return stat.S_ISLNK(entry.external_attr >> 16)


def _check_link(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> None:
    """Raise unless a symbolic link leads to somewhere inside, as init demands too."""
    with archive.open(entry) as stream:
        target = stream.read(_LINK_MAX + 1).decode("utf-8", "replace")
    above = entry.orig_filename.rstrip("/").split("/")[:-1]
    if not target or len(target) > _LINK_MAX or target.startswith("/"):
        raise errors.bad_zip()
    if not _stays([*above, *target.split("/")]):
        raise errors.bad_zip()
