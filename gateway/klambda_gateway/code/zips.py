"""Is an upload a deployment package that can be unpacked?

Place: before an upload is stored, and before an explicit source counts as resolved. Invariants:
pure; nothing is unpacked onto a disk; sizes are taken from the directory and then counted while
inflating, because directories lie; memory stays at one piece whatever the entries claim.
Limits: developer guide, "Lambda quotas". Not here: safe paths while unpacking (init does that).
"""

from __future__ import annotations

import io
import zipfile
import zlib
from typing import BinaryIO

from klambda_core import errors, limits

_ENCRYPTED = 0x1
_PIECE = 256 * limits.KIB


def check_upload(data: bytes) -> int:
    """Size of the files of a direct upload. Raises the LambdaError that it deserves."""
    if not data:
        raise errors.empty_zip()
    if len(data) > limits.ZIP_DIRECT_MAX:
        raise errors.zipped_too_big(limits.ZIP_DIRECT_MAX)
    return check_zip(io.BytesIO(data))


def check_zip(file: BinaryIO) -> int:
    """Size of a zip's files. Raises InvalidParameterValue unless it is a readable one."""
    try:
        with zipfile.ZipFile(file) as archive:
            return _size_of_entries(archive)
    except (zipfile.BadZipFile, zlib.error, ValueError, EOFError, OSError):
        raise errors.bad_zip() from None
    except (NotImplementedError, RuntimeError, OverflowError):
        raise errors.bad_zip() from None


def _size_of_entries(archive: zipfile.ZipFile) -> int:
    entries = archive.infolist()
    if not entries:
        raise errors.empty_zip()
    if any(entry.flag_bits & _ENCRYPTED for entry in entries):
        raise errors.bad_zip()
    if sum(entry.file_size for entry in entries) >= limits.UNZIPPED_MAX:
        raise errors.unzipped_too_big(limits.UNZIPPED_MAX)
    total = 0
    for entry in entries:
        with archive.open(entry) as stream:
            while piece := stream.read(_PIECE):
                total += len(piece)
                if total >= limits.UNZIPPED_MAX:
                    raise errors.unzipped_too_big(limits.UNZIPPED_MAX)
    return total
