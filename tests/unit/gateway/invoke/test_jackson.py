"""What is wrong with an event, in Jackson's words."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from klambda_gateway.invoke.jackson import complaint

VALUES = "(JSON String, Number, Array, Object or token 'null', 'true' or 'false')"
NO_CLOSE = "Unexpected end-of-input: expected close marker for Object (start marker at {})"


def place(source: str, column: int, line: int = 1) -> str:
    return f'[Source: (byte[])"{source}"; line: {line}, column: {column}]'


@pytest.mark.parametrize(
    ("body", "words", "column"),
    [
        # recorded in alexcasalboni/aws-lambda-power-tuning#148
        (b"test data", f"Unrecognized token 'test': was expecting {VALUES}", 6),
        # recorded in ballerina-platform/module-ballerina-c2c#15
        (b"0D\xa1a\x89\x90",
         "Unexpected character ('D' (code 68)): Expected space separating root-level values", 3),
        # recorded in szymonmaszke/torchlambda#13
        (b"\xc2'm\x90", f"Unrecognized token '\u00c2': was expecting {VALUES}", 3),
        # what follows: Jackson 2, UTF8StreamJsonParser
        (b"nope", f"Unrecognized token 'nope': was expecting {VALUES}", 5),
        (b"truex", f"Unrecognized token 'truex': was expecting {VALUES}", 6),
        (b"{} x", f"Unrecognized token 'x': was expecting {VALUES}", 5),
        (b"<html>", f"Unexpected character ('<' (code 60)): expected a valid value {VALUES}", 2),
        (b"'a'", f"Unexpected character (''' (code 39)): expected a valid value {VALUES}", 2),
        (b"\x89", f"Unexpected character ((CTRL-CHAR, code 137)): expected a valid value {VALUES}",
         2),
        (b"[,", "Unexpected character (',' (code 44)): expected a value", 3),
        (b'{"a":}', "Unexpected character ('}' (code 125)): expected a value", 7),
        (b"{a:1}", ("Unexpected character ('a' (code 97)): was expecting double-quote to start "
                    "field name"), 3),
        (b'{"a":1,}', ("Unexpected character ('}' (code 125)): was expecting double-quote to "
                       "start field name"), 9),
        (b'{"a" 1}', ("Unexpected character ('1' (code 49)): was expecting a colon to separate "
                      "field name and value"), 7),
        (b'{"a":1 2}', ("Unexpected character ('2' (code 50)): was expecting comma to separate "
                        "Object entries"), 9),
        (b"[1 2]", ("Unexpected character ('2' (code 50)): was expecting comma to separate Array "
                    "entries"), 5),
        (b"[1,", "Unexpected end-of-input within/between Array entries", 4),
        (b"[1,]", "Unexpected character (']' (code 93)): expected a value", 5),
        (b'{"a":', "Unexpected end-of-input within/between Object entries", 6),
        (b'["x', "Unexpected end-of-input in VALUE_STRING", 4),
        (b'{"x', "Unexpected end-of-input in field name", 4),
        (b'"\\', "Unexpected end-of-input in VALUE_STRING", 3),
        (b'"\\u1', "Unexpected end-of-input in VALUE_STRING", 5),
        (b'"\xc3', "Unexpected end-of-input in VALUE_STRING", 3),
        (b'"\x01"', ("Illegal unquoted character ((CTRL-CHAR, code 1)): has to be escaped using "
                     "backslash to be included in string value"), 3),
        (b'"\\x"', "Unrecognized character escape 'x' (code 120)", 4),
        (b'"\\\xe2\x82\xac"', "Unrecognized character escape '\u20ac' (code 8364 / 0x20ac)", 4),
        (b'"\\u12g4"', ("Unexpected character ('g' (code 103)): expected a hex-digit for "
                        "character escape sequence"), 7),
        (b'"\xff"', "Invalid UTF-8 start byte 0xff", 3),
        (b'"\xc3("', "Invalid UTF-8 middle byte 0x28", 4),
        (b'"\xc3"', "Invalid UTF-8 middle byte 0x22", 4),
        (b"\xc3\xa9", "Invalid UTF-8 start byte 0xa9", 3),
        (b"01", "Invalid numeric value: Leading zeroes not allowed", 2),
        (b"-", "Unexpected end-of-input in a Number value", 2),
        (b"-x", ("Unexpected character ('x' (code 120)) in numeric value: expected digit (0-9) to "
                 "follow minus sign, for valid numeric value"), 3),
        (b"1.x", ("Unexpected character ('x' (code 120)) in numeric value: Decimal point not "
                  "followed by a digit"), 4),
        (b"1ex", ("Unexpected character ('x' (code 120)) in numeric value: Exponent indicator not "
                  "followed by a digit"), 4),
        (b"NaN", ("Non-standard token 'NaN': enable JsonParser.Feature."
                  "ALLOW_NON_NUMERIC_NUMBERS to allow"), 4),
        (b"{}{}", "Trailing token found after value", 5),
    ],
)  # fmt: skip
def test_words(body: bytes, words: str, column: int) -> None:
    source = body.decode("utf-8", "replace")
    assert complaint(body) == f"{words}\n at {place(source, column)}"


@pytest.mark.parametrize(
    ("body", "words", "began", "column"),
    [
        ("{", NO_CLOSE, 1, 2),
        ('[{"a":1', NO_CLOSE, 2, 8),
        ('{"a":1]', "Unexpected close marker ']': expected '}}' (for Object starting at {})", 1, 8),
        ("[1}", "Unexpected close marker '}}': expected ']' (for Array starting at {})", 1, 4),
        ("]", "Unexpected close marker ']': expected '}}' (for root starting at {})", 1, 2),
    ],
)
def test_words_that_tell_of_a_beginning(body: str, words: str, began: int, column: int) -> None:
    told = words.format(place(body, began))
    assert complaint(body.encode()) == f"{told}\n at {place(body, column)}"


def test_lines_are_counted() -> None:
    body = '{\n "a": b}'
    assert complaint(body.encode()).endswith(place(body, 9, line=2))


def test_the_source_is_cut() -> None:
    told = complaint(b"[" + b"1," * 300 + b"x]")
    assert '"[truncated 103 bytes]; line: 1, column: 604]' in told
    assert complaint(b"x" * 600).startswith("Unrecognized token '" + "x" * 256 + "...'")


def test_nothing_nests() -> None:
    found = complaint(b"[" * 100_000)
    assert found.startswith("Unexpected end-of-input: expected close marker for Array")


@given(st.binary(max_size=40) | st.text(alphabet='{}[]",:01.e-tn\\u \n', max_size=40))
def test_every_body_gets_an_answer(body: bytes | str) -> None:
    assert complaint(body if isinstance(body, bytes) else body.encode())


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=10,
    ),
    st.booleans(),
)  # fmt: skip
def test_it_does_not_stumble_over_json(value: object, ascii_only: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "replace")
    assert complaint(text).startswith("Trailing token found after value")
