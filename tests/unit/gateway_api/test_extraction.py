"""Packages are taken out of JSON as it arrives, in whatever pieces; nothing else changes."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import random
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from klambda_core import limits
from klambda_core.errors import LambdaError
from klambda_gateway.api import extraction, intake
from klambda_gateway.api.extraction import Extraction, LargeString, TooMuchText, resolved
from klambda_gateway.api.intake import Body, Intake
from klambda_gateway.api.model import MODEL
from klambda_gateway.api.reading import Parts, read
from klambda_gateway.auth.claim import Signable
from klambda_gateway.code.upload import Upload

MARK = "mark-"
PACKAGE = random.Random(1).randbytes(900_000)
TEXT = base64.b64encode(PACKAGE).decode()


def pieces_of(body: bytes, sizes: Iterator[int]) -> Iterator[bytes]:
    while body:
        size = next(sizes)
        yield body[:size]
        body = body[size:]


def extracted(body: bytes, size: int = 65_536) -> Any:
    """The parsed document with the packages' bytes (None for what is not base64)."""
    work = Extraction(MARK)
    for piece in pieces_of(body, iter(lambda: size, 0)):
        work.feed(piece)
    found = resolved(json.loads(work.document), work.strings)
    work_strings = work.strings

    def shown(value: Any) -> Any:
        if isinstance(value, LargeString):
            return None if value.upload is None else value.upload.file().read()
        if isinstance(value, dict):
            return {key: shown(item) for key, item in value.items()}
        return [shown(item) for item in value] if isinstance(value, list) else value

    answer = shown(found)
    assert len(work.document) < 2 * extraction.STRING_MAX + len(body) - len(TEXT) * len(
        work_strings
    )
    work.close()
    return answer


@pytest.mark.parametrize("size", [1 << 20, 65_536, 1021])
def test_a_package_is_taken_out(size: int) -> None:
    document = {"FunctionName": 'a "quoted\\" name', "Code": {"ZipFile": TEXT}, "Timeout": 3}
    found = extracted(json.dumps(document).encode(), size)
    assert found == document | {"Code": {"ZipFile": PACKAGE}}


def test_two_packages_and_escaped_slashes() -> None:
    """PHP writes slashes so."""
    escaped = json.dumps({"a": TEXT, "b": [TEXT]}).replace("/", "\\/").encode()
    assert escaped.count(b"\\/") > 10_000
    for size in (65_536, 4093):
        assert extracted(escaped, size) == {"a": PACKAGE, "b": [PACKAGE]}


@pytest.mark.parametrize(
    "text",
    [
        TEXT[:400_000] + "!" + TEXT[400_001:],
        TEXT[:-1],
        TEXT[:400_000] + "==" + TEXT[400_002:],
        TEXT + "=",
        TEXT[:400_000] + "\\u002b" + TEXT[400_001:],
        TEXT[:400_000] + "\\n" + TEXT[400_001:],
        TEXT[:400_000] + "\n" + TEXT[400_001:],
    ],
)
def test_what_is_not_base64(text: str) -> None:
    assert extracted(f'{{"a": "{text}", "b": 1}}'.encode(), 7919) == {"a": None, "b": 1}


def test_text_without_end() -> None:
    work = Extraction(MARK)
    text = b"[0,0,0,0]" * 100_000
    for _ in range(4):
        work.feed(text)
    with pytest.raises(TooMuchText):
        work.feed(text)


@settings(max_examples=60, deadline=None)
@given(
    document=st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=40),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
        max_leaves=12,
    ),
    ascii_only=st.booleans(),
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=9),
    limit=st.integers(0, 60),
)
def test_any_document_in_any_pieces(
    document: Any, ascii_only: bool, sizes: list[int], limit: int
) -> None:
    """Strings that are not taken out are what they were, however the body is cut."""
    body = json.dumps(document, ensure_ascii=ascii_only).encode()
    work = Extraction(MARK)
    before, extraction.STRING_MAX = extraction.STRING_MAX, limit  # type: ignore[misc]
    try:
        turn = 0
        rest = body
        while rest:
            size = sizes[turn % len(sizes)]
            work.feed(rest[:size])
            rest, turn = rest[size:], turn + 1
    finally:
        extraction.STRING_MAX = before  # type: ignore[misc]
    if not work.strings:
        assert work.document == body
    elif not any(b"\\" in part for part in body.split(b'"')):
        json.loads(work.document)
    work.close()


# --- bodies ---------------------------------------------------------------------------------------


def request(path: bytes, headers: list[tuple[bytes, bytes]] | None = None) -> Signable:
    return Signable(method="POST", path=path, query=b"", headers=headers or [])


async def stream(body: bytes, times: int = 1) -> AsyncIterator[bytes]:
    for _ in range(times):
        for piece in pieces_of(body, iter(lambda: 65_536, 0)):
            yield piece


FUNCTIONS = b"/2015-03-31/functions"


async def opened(pieces: AsyncIterator[bytes], asked: Signable) -> None:
    async with Intake().body(pieces, asked):
        raise AssertionError("it was taken")


async def test_small_bodies_are_bytes() -> None:
    async with Intake().body(stream(b'{"a": 1}'), request(FUNCTIONS)) as body:
        assert body == Body(data=b'{"a": 1}')


@pytest.mark.parametrize(
    "path", [FUNCTIONS, FUNCTIONS + b"/", FUNCTIONS + b"/f/code", b"/2018-10-31/layers/l/versions"]
)
async def test_a_large_one_is_hashed_and_its_package_is_a_file(path: bytes) -> None:
    text = json.dumps({"Code": {"ZipFile": TEXT}, "FunctionName": "f"}).encode()
    async with Intake().body(stream(text), request(path)) as body:
        assert body.sha256 == hashlib.sha256(text).hexdigest()
        assert len(body.data) < 200
        parts = Parts(uri={}, query=b"", headers={}, body=body.data, strings=body.strings)
        members = read(MODEL.operations["CreateFunction"], parts)
        upload = members["Code"]["ZipFile"]
        assert isinstance(upload, Upload)
        assert (len(upload), upload.ref.sha256) == (
            len(PACKAGE), hashlib.sha256(PACKAGE).hexdigest(),
        )  # fmt: skip
        assert b"".join([piece async for piece in upload.pieces()]) == PACKAGE


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"Code": {"ZipFile": TEXT + "!"}}, "Failed to decode base64"),
        ({"Description": TEXT}, "STRING_VALUE is too long"),
    ],
)
async def test_large_strings_elsewhere(document: dict[str, Any], message: str) -> None:
    async with Intake().body(stream(json.dumps(document).encode()), request(FUNCTIONS)) as body:
        parts = Parts(uri={}, query=b"", headers={}, body=body.data, strings=body.strings)
        with pytest.raises(LambdaError) as caught:
            read(MODEL.operations["CreateFunction"], parts)
        assert caught.value.error.name == "SerializationException"
        assert caught.value.message == message


@pytest.mark.parametrize(
    ("path", "times", "error", "message"),
    [
        (FUNCTIONS, 80, "RequestEntityTooLargeException",
         "Request must be smaller than 70167211 bytes for the CreateFunction operation"),
        (FUNCTIONS + b"/f/code", 80, "RequestEntityTooLargeException",
         "Request must be smaller than 70167211 bytes for the UpdateFunctionCode operation"),
        (b"/2018-10-31/layers/l/versions", 80, "RequestEntityTooLargeException",
         "Request must be smaller than 70167211 bytes for the PublishLayerVersion operation"),
        (FUNCTIONS + b"/f/invocations", 7, "RequestEntityTooLargeException",
         "Request must be smaller than 6291456 bytes for the InvokeFunction operation"),
    ],
)  # fmt: skip
async def test_what_is_too_large(path: bytes, times: int, error: str, message: str) -> None:
    with pytest.raises(LambdaError) as caught:
        await opened(stream(b"A" * 1_000_000, times), request(path))
    assert (caught.value.error.name, caught.value.status) == (error, 413)
    assert caught.value.message == message


async def test_an_event_of_the_largest_size_is_whole() -> None:
    data = b"A" * limits.PAYLOAD_SYNC_MAX
    async with Intake().body(stream(data), request(FUNCTIONS + b"/f/invocations")) as body:
        assert body == Body(data=data)


async def test_a_client_that_falls_silent_loses_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "SILENCE_S", 0.0)

    async def silent() -> AsyncIterator[bytes]:
        yield b'{"a": "' + b"A" * 2_000_000
        await asyncio.Event().wait()

    with pytest.raises(LambdaError) as caught:
        await opened(silent(), request(FUNCTIONS))
    assert caught.value.message == "The request's body stopped arriving."


async def test_large_bodies_take_turns() -> None:
    one = Intake(large=1)
    text = json.dumps({"Code": {"ZipFile": TEXT}}).encode()
    order = []

    async def upload(number: int) -> None:
        async with one.body(stream(text), request(FUNCTIONS)):
            order.append(number)
            await asyncio.sleep(0)
            order.append(number)

    await asyncio.gather(*(upload(number) for number in range(3)))
    assert order == [0, 0, 1, 1, 2, 2]


async def test_a_large_framed_body_is_held_and_bounded() -> None:
    """Only the check of its signature can take the frame off."""
    framed = request(FUNCTIONS, [(b"x-amz-content-sha256", b"STREAMING-UNSIGNED-PAYLOAD-TRAILER")])
    data = b"A" * 3_000_000
    async with Intake().body(stream(data), framed) as body:
        assert body == Body(data=data)
    with pytest.raises(LambdaError) as caught:
        await opened(stream(data, 30), framed)
    assert caught.value.status == 413


def test_nothing_follows_padding() -> None:
    string = LargeString()
    string.feed(b"QQ==")
    string.feed(b"QUJD")
    assert string.upload is None
    string.feed(b"QUJD")
    string.finish()
    assert string.upload is None
