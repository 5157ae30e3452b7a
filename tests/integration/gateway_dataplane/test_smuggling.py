"""Request smuggling: what ends where, for every way to be unclear about it (RFC 9112).

Each case is a message with a request behind it, by name, by URL and as an event, in both
lanes, with a small and a large body, in one piece and cut at every place that matters. Told are
exactly the answers, and exactly the bodies that the function saw: either the message and its
follower, each as itself; or neither, and nothing is read after the refusal.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import pytest

from klambda_gateway.bulk import JOINED
from tests.integration.gateway_dataplane.raw import (
    CHUNKED,
    FOLLOWER,
    HIDDEN,
    PROBE,
    WAYS,
    Front,
    Opened,
)

SMALL: Final = b'"small"'
LARGE: Final = {
    "invoke": b'"' + b"x" * 200_000 + b'"',
    "url": b'"' + b"x" * 60_000 + b'"',
    "event": b'"' + b"x" * 200_000 + b'"',
}
"""Most of it goes past the parser; what the fast lane of URLs takes is smaller."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message and what becomes of it: ``statuses`` of its answers."""

    make: Callable[[Front, bytes], bytes]
    statuses: tuple[int, ...] = (400,)
    stays: bool = False
    """Whether the connection serves on."""
    runs: bool = False


def framed(*lines: bytes, line: bytes = b"", host: bytes | None = None) -> Callable[..., bytes]:
    """A message with these lines, in which %d stands for the body's length."""

    def make(its: Front, body: bytes) -> bytes:
        said = [each.replace(b"%d", b"%d" % len(body)) for each in lines]
        return its.head(*said, line=line, host=host) + body

    return make


def chunked(
    *lines: bytes, first: bytes = b"%x\r\n", end: bytes = b"0\r\n\r\n", after: bytes = b"\r\n",
    version: bytes = b"1.1",
) -> Callable[..., bytes]:  # fmt: skip
    """A message in two chunks."""

    def make(its: Front, body: bytes) -> bytes:
        half = len(body) // 2
        size = first.replace(b"%x", b"%x" % half)
        rest = b"%x\r\n%b\r\n" % (len(body) - half, body[half:])
        said = lines or (CHUNKED,)
        line = its.line.replace(b"1.1", version)
        return its.head(*said, line=line) + size + body[:half] + after + rest + end

    return make


def lined(change: Callable[[bytes], bytes], *lines: bytes) -> Callable[..., bytes]:
    """A message with another first line."""

    def make(its: Front, body: bytes) -> bytes:
        said = lines or (b"Content-Length: %d" % len(body),)
        return its.head(*said, line=change(its.line)) + body

    return make


def target(form: bytes, host: bytes | None = None) -> Callable[..., bytes]:
    """A message to this target: %h stands for the host, %p for the path."""

    def make(its: Front, body: bytes) -> bytes:
        method, path, version = its.line.split(b" ")
        where = form.replace(b"%h", its.host).replace(b"%p", path)
        line = b" ".join((method, where, version))
        return its.head(b"Content-Length: %d" % len(body), line=line, host=host) + body

    return make


def odd_head(change: Callable[[bytes], bytes]) -> Callable[..., bytes]:
    """A good message whose head was changed."""

    def make(its: Front, body: bytes) -> bytes:
        return change(its.head(b"Content-Length: %d" % len(body))) + body

    return make


def hidden(its: Front, body: bytes) -> bytes:
    """A body that is read as a request where its length is not believed."""
    return its.head(b"Content-Length: %d" % len(body), CHUNKED) + b"0\r\n\r\n" + its.good(HIDDEN)


def good(make: Callable[..., bytes], *statuses: int) -> Message:
    return Message(make, statuses or (200,), stays=True, runs=True)


def last(make: Callable[..., bytes], *statuses: int) -> Message:
    return Message(make, statuses or (200,), stays=False, runs=True)


LENGTH = b"Content-Length: %d"
REFUSED: dict[str, Callable[..., bytes]] = {
    # lengths: RFC 9112, 6.3
    "length and chunked": hidden,
    "chunked and length": chunked(CHUNKED, b"Content-Length: 4"),
    "two lengths, same": framed(LENGTH, LENGTH),
    "two lengths": framed(LENGTH, b"Content-Length: 1"),
    "two lengths, the other first": framed(b"Content-Length: 1", LENGTH),
    "list of lengths": framed(b"Content-Length: %d, %d"),
    "length with a plus": framed(b"Content-Length: +%d"),
    "negative length": framed(b"Content-Length: -%d"),
    "hexadecimal length": framed(b"Content-Length: 0x%d"),
    "length with a letter behind": framed(b"Content-Length: %dx"),
    "length with a point": framed(b"Content-Length: %d.0"),
    "length in quotes": framed(b'Content-Length: "%d"'),
    "huge length": framed(b"Content-Length: 99999999999999999999999"),
    "length past 64 bits": framed(b"Content-Length: 18446744073709551623"),
    "length with a space inside": framed(b"Content-Length: %d 0"),
    "no length's value": framed(b"Content-Length:"),
    "length and a vertical tab": framed(b"Content-Length: \x0b%d"),
    "space before the colon": framed(b"Content-Length : %d"),
    "tab before the colon": framed(b"Content-Length\t: %d"),
    "no colon": framed(b"Content-Length %d"),
    # codings: RFC 9112, 6.1
    "chunked, space before the colon": chunked(b"Transfer-Encoding : chunked"),
    "chunked, then identity": chunked(b"Transfer-Encoding: chunked, identity"),
    "chunked twice": chunked(b"Transfer-Encoding: chunked, chunked"),
    "chunked in two lines": chunked(CHUNKED, CHUNKED),
    "chunked, and identity in a line": chunked(CHUNKED, b"Transfer-Encoding: identity"),
    "identity alone": framed(b"Transfer-Encoding: identity", LENGTH),
    "chunked with a comma behind": chunked(b"Transfer-Encoding: chunked,"),
    "chunked and a vertical tab": chunked(b"Transfer-Encoding: \x0bchunked"),
    "chunked and a NUL": chunked(b"Transfer-Encoding: chunked\0"),
    "chunked, folded": chunked(b"Transfer-Encoding:", b" chunked"),
    "empty coding": chunked(b"Transfer-Encoding:"),
    "chunked in HTTP/1.0": chunked(version=b"1.0"),
    # chunks: RFC 9112, 7.1
    "no chunk's size": chunked(first=b"\r\n"),
    "chunk's size is no number": chunked(first=b"zz\r\n"),
    "chunk's size with 0x": chunked(first=b"0x%x\r\n"),
    "chunk's size with a plus": chunked(first=b"+%x\r\n"),
    "chunk's size negative": chunked(first=b"-%x\r\n"),
    "chunk's size with a space": chunked(first=b"%x \r\n"),
    "chunk's size past 64 bits": chunked(first=b"ffffffffffffffffff\r\n"),
    "chunk's size ends in LF": chunked(first=b"%x\n"),
    "chunk's size ends in CR": chunked(first=b"%x\r"),
    "chunk's extension with LF": chunked(first=b"%x;a\nb\r\n"),
    "chunk longer than said": chunked(after=b"more\r\n"),
    "chunk ends in LF": chunked(after=b"\n"),
    "chunk without an end": chunked(after=b""),
    "last chunk ends in LF": chunked(end=b"0\n\r\n"),
    "trailer without a colon": chunked(end=b"0\r\nno colon\r\n\r\n"),
    "trailer with a length": chunked(end=b"0\r\nContent-Length: 5\r\n\r\n"),
    "trailer with a coding": chunked(end=b"0\r\nTransfer-Encoding: x\r\n\r\n"),
    "trailer with a space before the colon": chunked(end=b"0\r\nLate : 5\r\n\r\n"),
    # lines and fields: RFC 9112, 2.2, 5
    "bare LF": odd_head(lambda head: head.replace(b"\r\n", b"\n")),
    "bare LF behind a field": odd_head(lambda head: head.replace(b"\r\nHost", b"\nHost")),
    "bare CR in a value": framed(b"X-B: a\rContent-Length: 1", LENGTH),
    "bare CR at a line's end": framed(b"X-B: a\rX-C: b", LENGTH),
    "NUL in a value": framed(b"X-B: a\0b", LENGTH),
    "NUL in a name": framed(b"X\0B: a", LENGTH),
    "folded": framed(b"X-B: a", b" Content-Length: 1", LENGTH),
    "folded length": framed(b"Content-Length:", b" %d"),
    "folded first field": framed(LENGTH, host=b"x\r\n y"),
    "name with a space": framed(b"X B: a", LENGTH),
    "name with a bracket": framed(b"X(B: a", LENGTH),
    "name with a high byte": framed(b"X\xe4: a", LENGTH),
    "no name": framed(b": a", LENGTH),
    "space before the first field": odd_head(lambda head: head.replace(b"\r\n", b"\r\n ", 1)),
    # hosts: RFC 9112, 3.2
    "no host": framed(LENGTH, host=b"-"),
    "two hosts": framed(b"Host: b", LENGTH),
    "two hosts, same": framed(b"Host: 127.0.0.1", LENGTH),
    "host with a path": framed(LENGTH, host=b"a/b"),
    "host with a user": framed(LENGTH, host=b"a@b"),
    "host with a space": framed(LENGTH, host=b"a b"),
    "host with two ports": framed(LENGTH, host=b"a:1:2"),
    "host with a high byte": framed(LENGTH, host=b"\xe4"),
    # targets: RFC 9112, 3.2
    "authority form": target(b"%h:80"),
    "absolute form with a user": target(b"http://a@%h%p"),
    "absolute form without a host": target(b"http://%p"),
    "other scheme": target(b"ftp://%h%p"),
    "no slash": target(b"a"),
    "star": target(b"*"),
    "fragment": target(b"%p#a"),
    "high bytes": target(b"%p\xe4"),
    "no target": lined(lambda _: b"POST  HTTP/1.1"),
    "CONNECT": lined(lambda _: b"CONNECT a:80 HTTP/1.1"),
    "CONNECT to a path": lined(lambda line: line.replace(b"POST", b"CONNECT")),
    "lower-case method": lined(lambda line: line.lower()),
    "unknown method": lined(lambda line: line.replace(b"POST", b"SMUGGLE")),
    "lower-case version": lined(lambda line: line.replace(b"HTTP", b"http")),
    "HTTP/1.2": lined(lambda line: line.replace(b"1.1", b"1.2")),
    "HTTP/1": lined(lambda line: line.replace(b"1.1", b"1")),
    "other protocol": lined(lambda line: line.replace(b"HTTP", b"ICE")),
    "TLS": lambda *_: b"\x16\x03\x01\x02\x00\x01\x00",
}  # fmt: skip
OTHERS: dict[str, Message] = {
    "two codings": Message(chunked(b"Transfer-Encoding: gzip, chunked"), (501,)),
    "identity, then chunked": Message(chunked(b"Transfer-Encoding: identity, chunked"), (501,)),
    "xchunked": Message(chunked(b"Transfer-Encoding: xchunked"), (501,)),
    "chunked in quotes": Message(chunked(b'Transfer-Encoding: "chunked"'), (501,)),
    "chunked with a parameter": Message(chunked(b"Transfer-Encoding: chunked;q=1"), (501,)),
    "HTTP/2": Message(lined(lambda line: line.replace(b"1.1", b"2.0")), (505,)),
    "HTTP/0.9": Message(lined(lambda line: line.replace(b"1.1", b"0.9")), (505,)),
    "huge field": Message(framed(b"X-B: " + b"a" * 66_000, LENGTH), (431,)),
    "many fields": Message(framed(*(b"X-%04d: a" % n for n in range(8000)), LENGTH), (431,)),
    "huge target": Message(
        lined(lambda line: line.replace(b" H", b"?" + b"a" * 66_000 + b" H")), (431,)
    ),
    "plain": good(framed(LENGTH)),
    "length with zeros": good(framed(b"Content-Length: 000%d")),
    "length with many zeros": good(framed(b"Content-Length: 00000000000000000000000%d")),
    "length behind a tab": good(framed(b"Content-Length:\t%d")),
    "length without a space": good(framed(b"Content-Length:%d")),
    "length before spaces": good(framed(b"Content-Length: %d  \t")),
    "other case": good(framed(b"cOnTeNt-LeNgTh: %d")),
    "chunked": good(chunked()),
    "Chunked": good(chunked(b"Transfer-Encoding: Chunked")),
    "chunked behind a tab": good(chunked(b"Transfer-Encoding:\tchunked")),
    "size with zeros": good(chunked(first=b"000000000000000000000%x\r\n")),
    "chunk extension": good(chunked(first=b'%x;a=b;c="d"\r\n')),
    "trailers": good(chunked(end=b"0\r\nLate: 1\r\nHost: b\r\n\r\n")),
    "trailer announced": good(chunked(CHUNKED, b"Trailer: Late", end=b"0\r\nLate: 1\r\n\r\n")),
    "high byte in a value": good(framed(b"X-B: \xe4", LENGTH)),
    "absolute form": good(target(b"http://%h%p")),
    "absolute form wins": good(target(b"http://%h%p", host=b"elsewhere")),
    "absolute form, upper case": good(target(b"HTTP://%h%p")),
    "two spaces": good(lined(lambda line: line.replace(b" HTTP", b"  HTTP"))),
    "empty lines before": good(odd_head(lambda head: b"\r\n\r\n" + head)),
    "expecting": good(framed(b"Expect: 100-continue", LENGTH), 100, 200),
    "expecting, chunked": good(chunked(CHUNKED, b"Expect: 100-continue"), 100, 200),
    "expecting something": good(framed(b"Expect: x", LENGTH)),
    "h2c": good(framed(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", LENGTH)),
    "h2c, chunked": good(chunked(CHUNKED, b"Connection: Upgrade", b"Upgrade: h2c")),
    "websocket": good(framed(b"Connection: upgrade", b"Upgrade: websocket", LENGTH)),
    "upgrade, unasked": good(framed(b"Upgrade: h2c", LENGTH)),
    "keep-alive": good(framed(b"Connection: keep-alive", LENGTH)),
    "close": last(framed(b"Connection: close", LENGTH)),
    "close among others": last(framed(b"Connection: x, Close", LENGTH)),
    "close, chunked": last(chunked(CHUNKED, b"Connection: close")),
    "HTTP/1.0": last(lined(lambda line: line.replace(b"1.1", b"1.0"))),
    "HTTP/1.0, keep-alive": last(
        lambda its, body: its.head(
            b"Content-Length: %d" % len(body), b"Connection: keep-alive",
            line=its.line.replace(b"1.1", b"1.0"),
        ) + body
    ),
    "HTTP/1.0, expecting": last(
        lambda its, body: its.head(
            b"Content-Length: %d" % len(body), b"Expect: 100-continue",
            line=its.line.replace(b"1.1", b"1.0"),
        ) + body
    ),
}  # fmt: skip
MESSAGES = {name: Message(make) for name, make in REFUSED.items()} | OTHERS


@pytest.mark.parametrize("name", MESSAGES)
def test_each_is_itself_or_is_refused(opened: Opened, name: str) -> None:
    message = MESSAGES[name]
    for (front, lane), large in itertools.product(WAYS, (False, True)):
        its, body = opened.fronts[front], LARGE[front] if large else SMALL
        raw = message.make(its, body)
        for cuts in ((), around(raw, len(body))):
            check(opened, front, lane, message, (raw, body), cuts)


BYTEWISE = (
    "plain", "chunked", "trailers", "h2c", "expecting", "close", "length and chunked",
    "two lengths", "chunk without an end", "bare LF", "two codings",
)  # fmt: skip


@pytest.mark.parametrize("name", BYTEWISE)
def test_byte_by_byte(opened: Opened, name: str) -> None:
    message = MESSAGES[name]
    for front, lane in WAYS:
        raw = message.make(opened.fronts[front], SMALL)
        check(opened, front, lane, message, (raw, SMALL), range(len(raw) + 40))


FRAMINGS = ("plain", "chunked", "h2c", "h2c, chunked", "trailers", "close")


@pytest.mark.parametrize("name", FRAMINGS)
def test_one_cut_anywhere_that_matters(opened: Opened, name: str) -> None:
    message = MESSAGES[name]
    for front, lane in WAYS:
        its, body = opened.fronts[front], LARGE[front]
        raw = message.make(its, body)
        for cut in around(raw, len(body)):
            check(opened, front, lane, message, (raw, body), (cut,))
        in_the_next = (len(raw) + 5, len(raw) + 40, len(raw) + 50)
        check(opened, front, lane, message, (raw, body), in_the_next)


def around(raw: bytes, length: int) -> tuple[int, ...]:
    """Places at the edges of the head, of the body, and of what goes past the parser."""
    head = raw.find(b"\r\n\r\n") + 4
    edges = (head, head + JOINED, head + length // 2, head + length - JOINED, len(raw))
    return tuple(sorted({edge + by for edge in edges for by in (-2, -1, 0, 1) if edge + by > 0}))


def check(
    opened: Opened, front: str, lane: str, message: Message, said: tuple[bytes, bytes],
    cuts: Sequence[int],
) -> None:  # fmt: skip
    """Send a message, a follower, one that closes, and one that comes too late."""
    raw, body = said
    its = opened.fronts[front]
    every = raw + its.good(FOLLOWER) + its.good(PROBE, b"Connection: close") + its.good(HIDDEN)
    answers, seen = opened.told(front, lane, cut_at(every, cuts), direct=True)
    where = front, lane, len(body), cuts
    assert [each.status for each in answers] == statuses(its, message), where
    expected = [body] if message.runs else []
    if message.stays:
        expected += [FOLLOWER, PROBE]
    assert seen == expected, where
    assert [each.closes for each in answers] == [False] * (len(answers) - 1) + [True], where
    if its.echoes and message.runs:
        assert [each.body for each in answers if each.status == 200] == expected


def statuses(its: Front, message: Message) -> list[int]:
    """Those of a message and, where it does not end the connection, two good ones."""
    every = [*message.statuses, *((200, 200) if message.stays else ())]
    return [its.well if status == 200 else status for status in every]


def cut_at(raw: bytes, cuts: Sequence[int]) -> list[bytes]:
    places = [0, *sorted({cut for cut in cuts if 0 < cut < len(raw)}), len(raw)]
    return [raw[a:b] for a, b in itertools.pairwise(places)]


@pytest.mark.parametrize("name", [name for name in MESSAGES if not MESSAGES[name].runs])
def test_a_refusal_waits_for_its_turn(opened: Opened, name: str) -> None:
    message = MESSAGES[name]
    for front, lane in WAYS:
        its = opened.fronts[front]
        for before in (1, 3):
            goods = its.good(SMALL) * before
            raw = goods + message.make(its, SMALL) + its.good(HIDDEN)
            end = len(raw) - len(its.good(HIDDEN))
            for cuts in ((), (len(goods) + 20, end), (end - len(SMALL) - 2,)):
                answers, seen = opened.told(front, lane, cut_at(raw, cuts), direct=True)
                told = [each.status for each in answers]
                assert told == [its.well] * before + [*message.statuses], (front, lane, cuts)
                assert seen == [SMALL] * before


@pytest.mark.parametrize(
    "end", [b"0\r\n" + b"Late: 1\r\n" * 60_000, b"0\r\nLate: " + b"a" * 600_000,
            b"1;" + b"a" * 600_000]
)  # fmt: skip
def test_what_comes_with_chunks_has_a_limit_too(opened: Opened, end: bytes) -> None:
    for front, lane in WAYS:
        raw = chunked(end=end)(opened.fronts[front], SMALL)
        pieces = cut_at(raw, range(0, len(raw), 60_000))
        answers, seen = opened.told(front, lane, pieces, direct=True)
        assert [each.status for each in answers] == [431]
        assert seen == []


def test_over_the_socket(opened: Opened) -> None:
    for (front, lane), name in itertools.product(WAYS, FRAMINGS):
        its, body, message = opened.fronts[front], LARGE[front], MESSAGES[name]
        raw = message.make(its, body)
        behind = its.good(FOLLOWER) + its.good(PROBE, b"Connection: close")
        answers, seen = opened.told(front, lane, [raw + behind * message.stays], direct=False)
        assert [each.status for each in answers] == statuses(its, message)
        assert seen == [body, FOLLOWER, PROBE][: 3 if message.stays else 1]
