"""What AWS's parser says of an event that is not JSON.

Theory. Lambda reads events with Jackson, and its answer quotes Jackson's complaint with the place;
some clients show it, recorded requests compare it. So a body that was found wrong is read once
more the way Jackson's byte parser reads: token by token, a value being looked at when it is
reached, and the first thing it trips over is told in its words. Place: ``payload`` asks, after the
fast parsers refused; nothing of the good case comes here. Invariants: pure; every body gets an
answer; nothing nests in Python's stack. Sources: messages recorded in
alexcasalboni/aws-lambda-power-tuning#148, ballerina-platform/module-ballerina-c2c#15 and
szymonmaszke/torchlambda#13; the public texts of Jackson 2 (UTF8StreamJsonParser).
Not here: whether a body is JSON (``payload``).
"""

from __future__ import annotations

import re
import string
from typing import Final

SOURCE_MAX: Final = 500
"""Bytes of the source that a location quotes."""
TOKEN_MAX: Final = 256
VALUES: Final = "(JSON String, Number, Array, Object or token 'null', 'true' or 'false')"
_SPACE: Final = re.compile(rb"[ \t\n\r]*")
_LETTER: Final = re.compile(r"[^\W\d]|[$\u00a2-\u00a5]")
_TAIL: Final = re.compile(r"[\w$]*")
_NUMBER: Final = re.compile(rb"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_PLAIN: Final = re.compile(rb'[^"\\\x00-\x1f]*')
_ESCAPED: Final = re.compile(rb'\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})')
_WORDS: Final = ("true", "false", "null")
_NUMBERS: Final = ("NaN", "Infinity", "INF")


class _Stumbled(Exception):
    """The parser stops: with these words, having taken in so many bytes."""

    def __init__(self, words: str, taken: int) -> None:
        super().__init__(words)
        self.words = words
        self.taken = taken


def complaint(body: bytes) -> str:
    """Jackson's sentence about a body, and where."""
    words, taken = "Trailing token found after value", len(body)
    try:
        _Parser(body).run()
    except _Stumbled as stumbled:
        words, taken = stumbled.words, stumbled.taken
    return f"{words}\n at {_place(body, taken)}"


def _place(body: bytes, taken: int) -> str:
    """A location: the column after so many bytes."""
    before = body[:taken]
    line = before.count(b"\n") + 1
    column = taken - before.rfind(b"\n")
    shown = body[:SOURCE_MAX].decode("utf-8", "replace")
    left = len(body) - SOURCE_MAX
    cut = f"[truncated {left} bytes]" if left > 0 else ""
    return f'[Source: (byte[])"{shown}"{cut}; line: {line}, column: {column}]'


class _Parser:
    """One pass; raises where Jackson would."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.at = 0
        self.open: list[tuple[str, int]] = []
        """Enclosing ``Object`` and ``Array``, and where each began."""
        self.entries = False
        """Whether the innermost has an entry already."""

    def run(self) -> None:
        while True:
            self.at = self._space()
            if self.at == len(self.body):
                if self.open:
                    self._unclosed()
                return
            self._token(self.body[self.at : self.at + 1])

    def _token(self, first: bytes) -> None:
        if first in (b"]", b"}"):
            self._close(first.decode())
            return
        if self.entries and self.open:
            if first != b",":
                kind = self.open[-1][0]
                self._unexpected(f"was expecting comma to separate {kind} entries")
            self.at += 1
            self._more()
        if self.open and self.open[-1][0] == "Object":
            self._name()
        self._value(self.body[self.at : self.at + 1])

    def _name(self) -> None:
        if self.body[self.at : self.at + 1] != b'"':
            self._unexpected("was expecting double-quote to start field name")
        self._string("field name", "name")
        self._more()
        if self.body[self.at : self.at + 1] != b":":
            self._unexpected("was expecting a colon to separate field name and value")
        self.at += 1
        self._more()

    def _value(self, first: bytes) -> None:
        if first in (b"{", b"["):
            self.open.append(("Object" if first == b"{" else "Array", self.at))
            self.at += 1
            self.entries = False
            return
        if first == b'"':
            self._string("VALUE_STRING", "string value")
        elif first == b"-" or first.isdigit():
            self._number()
        else:
            self._word(first)
        self.entries = True

    def _close(self, mark: str) -> None:
        kind, began = self.open[-1] if self.open else ("root", 0)
        wanted = "}" if mark == "]" else "]"
        if kind != ("Array" if mark == "]" else "Object"):
            where = _place(self.body, began)
            words = f"Unexpected close marker '{mark}': expected '{wanted}'"
            raise _Stumbled(f"{words} (for {kind} starting at {where})", self.at + 1)
        self.open.pop()
        self.at += 1
        self.entries = True

    def _string(self, token: str, inside: str) -> None:
        self.at += 1
        while True:
            self._plain()
            mark = self.body[self.at : self.at + 1]
            if not mark:
                raise _Stumbled(f"Unexpected end-of-input in {token}", self.at)
            if mark == b'"':
                self.at += 1
                return
            if mark == b"\\":
                self._escape(token)
            else:
                what = f"Illegal unquoted character ({_described(ord(mark))})"
                how = f"has to be escaped using backslash to be included in {inside}"
                raise _Stumbled(f"{what}: {how}", self.at + 1)

    def _plain(self) -> None:
        began, self.at = self.at, self._end(_PLAIN)
        try:
            self.body[began : self.at].decode()
        except UnicodeDecodeError as error:
            if error.reason != "unexpected end of data":
                middle = error.reason == "invalid continuation byte"
                at = began + (error.end if middle else error.start)
                kind = "middle" if middle else "start"
                words = f"Invalid UTF-8 {kind} byte 0x{self.body[at]:x}"
                raise _Stumbled(words, at + 1) from None
            if self.at < len(self.body):
                words = f"Invalid UTF-8 middle byte 0x{self.body[self.at]:x}"
                raise _Stumbled(words, self.at + 1) from None

    def _escape(self, token: str) -> None:
        found = _ESCAPED.match(self.body, self.at)
        if found:
            self.at = found.end()
            return
        rest = self.body[self.at + 1 : self.at + 6].decode("utf-8", "replace")
        if not rest:
            raise _Stumbled(f"Unexpected end-of-input in {token}", len(self.body))
        if rest[0] != "u":
            words = f"Unrecognized character escape {_described(ord(rest[0]))}"
            raise _Stumbled(words, self.at + 2)
        for n, digit in enumerate(rest[1:], start=2):
            if digit not in string.hexdigits:
                self.at += n
                self._unexpected("expected a hex-digit for character escape sequence")
        raise _Stumbled(f"Unexpected end-of-input in {token}", len(self.body))

    def _number(self) -> None:
        found = _NUMBER.match(self.body, self.at)
        if found is None:
            self.at += 1
            self._in_number("expected digit (0-9) to follow minus sign, for valid numeric value")
            return
        self.at = found.end()
        following = self.body[self.at : self.at + 1]
        if found[0] in (b"0", b"-0") and following.isdigit():
            raise _Stumbled("Invalid numeric value: Leading zeroes not allowed", self.at)
        if following == b"." and b"." not in found[0]:
            self.at += 1
            self._in_number("Decimal point not followed by a digit")
        elif following in (b"e", b"E") and b"e" not in found[0].lower():
            self.at += 1
            self._in_number("Exponent indicator not followed by a digit")
        elif not self.open and following not in (b"", b" ", b"\t", b"\n", b"\r"):
            self._unexpected("Expected space separating root-level values")

    def _in_number(self, why: str) -> None:
        if self.at == len(self.body):
            raise _Stumbled("Unexpected end-of-input in a Number value", self.at)
        described = _described(self.body[self.at])
        words = f"Unexpected character ({described}) in numeric value: {why}"
        raise _Stumbled(words, self.at + 1)

    def _word(self, first: bytes) -> None:
        if first in (b",", b"]", b"}"):
            self._unexpected("expected a value")
        if not _LETTER.match(first.decode("latin-1")):
            self._unexpected(f"expected a valid value {VALUES}")
        token, end = self._letters()
        if token in _WORDS:
            self.at = end
            return
        if token in _NUMBERS:
            words = (
                f"Non-standard token '{token}': enable JsonParser.Feature."
                "ALLOW_NON_NUMERIC_NUMBERS to allow"
            )
            raise _Stumbled(words, end)
        cut = token if len(token) < TOKEN_MAX else token[:TOKEN_MAX] + "..."
        words = f"Unrecognized token '{cut}': was expecting {VALUES}"
        raise _Stumbled(words, min(end + 1, len(self.body)))

    def _letters(self) -> tuple[str, int]:
        """A word, and where it ends; of its first letter the parser knows the first byte only."""
        rest = self.body[self.at + 1 : self.at + 1 + 4 * TOKEN_MAX]
        if rest and 0x80 <= rest[0] < 0xC0:
            raise _Stumbled(f"Invalid UTF-8 start byte 0x{rest[0]:x}", self.at + 2)
        tail = _TAIL.match(rest.decode("utf-8", "replace"))
        more = tail[0] if tail else ""
        token = self.body[self.at : self.at + 1].decode("latin-1") + more
        return token, self.at + 1 + len(more.encode())

    def _more(self) -> None:
        """Go to what must follow within the innermost."""
        self.at = self._space()
        if self.at == len(self.body):
            kind = self.open[-1][0]
            raise _Stumbled(f"Unexpected end-of-input within/between {kind} entries", self.at)

    def _unclosed(self) -> None:
        kind, began = self.open[-1]
        words = f"Unexpected end-of-input: expected close marker for {kind}"
        start = _place(self.body, began)
        raise _Stumbled(f"{words} (start marker at {start})", len(self.body))

    def _unexpected(self, why: str) -> None:
        described = _described(self.body[self.at])
        raise _Stumbled(f"Unexpected character ({described}): {why}", self.at + 1)

    def _space(self) -> int:
        return self._end(_SPACE)

    def _end(self, pattern: re.Pattern[bytes]) -> int:
        found = pattern.match(self.body, self.at)
        return found.end() if found else self.at


def _described(code: int) -> str:
    if code < 32 or 127 <= code < 160:
        return f"(CTRL-CHAR, code {code})"
    if code > 255:
        return f"'{chr(code)}' (code {code} / 0x{code:x})"
    return f"'{chr(code)}' (code {code})"
