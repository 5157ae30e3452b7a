"""What a log line looks like, whoever wrote it."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from klambda_obs import logs


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    logs.setup("INFO", stream)
    yield stream
    root.handlers[:], root.level = handlers, level


def read(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_event_with_fields(lines: io.StringIO) -> None:
    logs.get("klambda.test").info("instance-lost", pod="p", seconds=1.5, gone=True, none=None)
    (line,) = read(lines)
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "level": "info",
        "logger": "klambda.test",
        "event": "instance-lost",
        "pod": "p",
        "seconds": 1.5,
        "gone": True,
        "none": None,
    }


def test_levels(lines: io.StringIO) -> None:
    log = logs.get("klambda.test")
    log.debug("no")
    log.warning("a")
    log.error("b")
    assert [(line["level"], line["event"]) for line in read(lines)] == [
        ("warning", "a"),
        ("error", "b"),
    ]


def test_an_exception_stands_on_the_same_line(lines: io.StringIO) -> None:
    try:
        raise ValueError("broken\nin two")
    except ValueError:
        logs.get("klambda.test").exception("bug", key="k")
    (line,) = read(lines)
    assert "ValueError: broken" in line["exception"]
    assert line["key"] == "k"


def test_records_of_libraries(lines: io.StringIO) -> None:
    logging.getLogger("uvicorn").warning("%s of %s", 1, 2)
    logging.getLogger("klambda.reflector").warning("watch", extra={"fields": {"kind": "pods"}})
    assert [(line["event"], line.get("kind")) for line in read(lines)] == [
        ("1 of 2", None),
        ("watch", "pods"),
    ]


def test_a_percent_sign_in_an_event_is_text(lines: io.StringIO) -> None:
    logs.get("klambda.test").info("100%s")
    assert read(lines)[0]["event"] == "100%s"


def test_fields_cannot_pose_as_the_frame_and_are_plain(lines: io.StringIO) -> None:
    logs.get("klambda.test").info(
        "e", level="forged", payload=b"secret", names={"b"}, nested={"a": (1, object)}
    )
    (line,) = read(lines)
    assert line["level"] == "info"
    assert line["level_"] == "forged"
    assert line["payload"] == "<6 bytes>"
    assert line["names"] == ["b"]
    assert line["nested"] == {"a": [1, "<class 'object'>"]}


def test_a_line_is_one_line(lines: io.StringIO) -> None:
    logs.get("klambda.test").info("a\nb", c="d\ne", emoji="λ")
    assert lines.getvalue().count("\n") == 1
    assert "λ" in lines.getvalue()


def test_setup_twice_writes_once(lines: io.StringIO) -> None:
    logs.setup("warning", lines)
    logs.get("klambda.test").warning("once")
    logs.get("klambda.test").info("not at all")
    assert len(read(lines)) == 1
