r"""Takes the packages out of a large JSON body while it arrives, so that nobody holds it whole.

Theory. What makes a request large is one base64 string (``Code.ZipFile`` and its like); everything
else of a legal request is small. JSON says where strings begin and end without being parsed: at
quotes that no backslash escapes. So the body is copied into ``document``, but a string that grows
beyond ``STRING_MAX`` is decoded into an Upload on the way and a mark stands for it; ``json.loads``
of the small rest finds the marks again. In base64 the only escape that makes sense is ``\/`` (some
languages write it); any other makes the string bad, as does whatever else is not base64.

Place: ``intake`` feeds it, ``reading`` resolves the marks. Invariants: no I/O but the Upload's own
file; memory is ``DOCUMENT_MAX`` and one piece; a mark cannot be guessed, so no client can write
one. Not here: JSON's grammar (``json``), what the strings are for.
"""

from __future__ import annotations

import binascii
import re
from typing import Any, Final

from klambda_core.limits import KIB, MIB
from klambda_gateway.code.upload import Upload

STRING_MAX: Final = 256 * KIB
DOCUMENT_MAX: Final = 4 * MIB
_SPECIAL: Final = re.compile(rb'["\\]')


class TooMuchText(Exception):
    """The body is large without being a package."""


class LargeString:
    """A string that was taken out; ``upload`` is None when it was not base64."""

    def __init__(self) -> None:
        self.upload: Upload | None = Upload()
        self._rest = b""
        self._padded = False

    def feed(self, text: bytes) -> None:
        """Decode a piece."""
        if self.upload is None:
            return
        text = self._rest + text
        held = text[-1:] if text.endswith(b"\\") else b""
        text = text[: len(text) - len(held)].replace(b"\\/", b"/")
        whole = len(text) // 4 * 4
        self._rest = text[whole:] + held
        self._decode(self.upload, text[:whole])

    def finish(self) -> None:
        """The string has ended."""
        if self._rest:
            self._spoil()

    def close(self) -> None:
        """Give the file back."""
        if self.upload is not None:
            self.upload.close()

    def _decode(self, upload: Upload, text: bytes) -> None:
        if not text:
            return
        try:
            data = binascii.a2b_base64(text, strict_mode=True)
        except (binascii.Error, ValueError):
            self._spoil()
            return
        if self._padded:
            self._spoil()
            return
        self._padded = text.endswith(b"=")
        upload.write(data)

    def _spoil(self) -> None:
        self.close()
        self.upload = None


class Extraction:
    """One body. Feed it, finish it, then take ``document`` and ``strings``."""

    def __init__(self, mark: str) -> None:
        """``mark``: text that nobody else knows."""
        self._mark = mark
        self._text = bytearray()
        self._begin: int | None = None
        """Where in the document the present string's content begins."""
        self._escaped = False
        self._large: LargeString | None = None
        self.strings: dict[str, LargeString] = {}

    @property
    def document(self) -> bytes:
        """The body with marks in the place of large strings."""
        return bytes(self._text)

    def feed(self, piece: bytes) -> None:
        """Take a piece of the body. Raises TooMuchText."""
        at = 0
        while at < len(piece):
            if self._large is not None:
                at = self._in_large(self._large, piece, at)
            elif self._begin is not None:
                at = self._in_string(self._begin, piece, at)
            else:
                at = self._outside(piece, at)
            if len(self._text) > DOCUMENT_MAX:
                raise TooMuchText

    def close(self) -> None:
        """Give all files back."""
        for string in self.strings.values():
            string.close()

    def _outside(self, piece: bytes, at: int) -> int:
        quote = piece.find(b'"', at)
        end = len(piece) if quote < 0 else quote + 1
        self._text += piece[at:end]
        if quote >= 0:
            self._begin = len(self._text)
        return end

    def _in_string(self, begin: int, piece: bytes, at: int) -> int:
        if self._escaped:
            self._text += piece[at : at + 1]
            self._escaped = False
            return at + 1
        found = _SPECIAL.search(piece, at)
        end = len(piece) if found is None else found.start()
        self._text += piece[at:end]
        if len(self._text) - begin > STRING_MAX:
            self._divert(begin)
            return end
        if found is None:
            return end
        self._text += found[0]
        self._escaped = found[0] == b"\\"
        if not self._escaped:
            self._begin = None
        return end + 1

    def _divert(self, begin: int) -> None:
        """The string is a large one."""
        key = f"{self._mark}{len(self.strings)}"
        self._large = self.strings[key] = LargeString()
        self._large.feed(bytes(self._text[begin:]))
        self._text[begin:] = key.encode()

    def _in_large(self, large: LargeString, piece: bytes, at: int) -> int:
        quote = piece.find(b'"', at)
        end = len(piece) if quote < 0 else quote
        large.feed(piece[at:end])
        if quote < 0:
            return end
        large.finish()
        self._large = None
        self._begin = None
        self._text += b'"'
        return end + 1


def resolved(value: Any, strings: dict[str, LargeString]) -> Any:
    """A parsed document with the large strings in the place of their marks."""
    if isinstance(value, str):
        return strings.get(value, value)
    if isinstance(value, list):
        return [resolved(item, strings) for item in value]
    if isinstance(value, dict):
        # A key is no place for a package: it stays a mark, which is no legal key of anything.
        return {key: resolved(item, strings) for key, item in value.items()}
    return value
