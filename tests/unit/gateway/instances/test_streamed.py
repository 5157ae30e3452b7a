"""The streamed attempt: opening, pieces, ending, and how far an instance may be ahead."""

from __future__ import annotations

from typing import Any

import pytest

from klambda_gateway.instances.attempt import ANSWER_LIMIT, Phase
from klambda_gateway.instances.frames import PIECE, Frame, FrameType, ProtocolError
from klambda_gateway.instances.streamed import WINDOW, Ending, Opening, StreamedAttempt


def frame(kind: FrameType, body: bytes = b"", **header: Any) -> Frame:
    return Frame(type=kind, header={"attempt": "a", **header}, body=body)


ACCEPTED = frame(FrameType.ACCEPTED, cold=True)
END = frame(FrameType.END, b"tail", status="success", durationMs=1.5, billedMs=2)
STREAMING: dict[str, Any] = {"mode": "streaming", "contentType": "text/plain"}


def begun(*, log_tail: bool = False, **head: Any) -> StreamedAttempt:
    attempt = StreamedAttempt("a", log_tail=log_tail)
    attempt.receive(ACCEPTED)
    assert attempt.opening is None
    attempt.receive(frame(FrameType.HEAD, head.pop("body", b""), **head))
    return attempt


def test_pieces_are_taken_as_they_come() -> None:
    attempt = begun(**STREAMING, credit=True, body=b"1")
    assert attempt.opening == Opening(content_type="text/plain", function_error=None)
    assert attempt.take() == [b"1"]
    attempt.receive(frame(FrameType.DATA, b"2"))
    attempt.receive(frame(FrameType.DATA, b"3"))
    assert attempt.take() == [b"2", b"3"]
    assert attempt.take() == []
    assert attempt.ending is None
    attempt.receive(frame(FrameType.DATA, last=True))
    assert attempt.ending == Ending()
    assert attempt.phase is Phase.ANSWERED
    attempt.receive(END)
    assert attempt.over
    assert attempt.answer is None


def test_how_a_stream_failed_comes_with_its_last_piece() -> None:
    attempt = begun(**STREAMING)
    attempt.receive(
        frame(FrameType.DATA, last=True, functionError="Unhandled", errorDetails='{"a":1}')
    )
    assert attempt.ending == Ending(function_error="Unhandled", details='{"a":1}')


def test_a_log_tail_is_waited_for() -> None:
    attempt = begun(**STREAMING, log_tail=True)
    attempt.receive(frame(FrameType.DATA, b"x", last=True))
    assert attempt.ending is None
    attempt.receive(END)
    assert attempt.ending == Ending(log_tail=b"tail")


def test_a_buffered_answer_is_one_with_a_known_length() -> None:
    attempt = begun(mode="buffered", size=4, body=b"ab")
    assert attempt.take() == [b"ab"]
    attempt.receive(frame(FrameType.DATA, b"cd"))
    assert attempt.take() == [b"cd"]
    assert attempt.ending == Ending()


def test_an_error_before_the_first_byte_is_no_piece() -> None:
    attempt = begun(mode="buffered", size=4, functionError="Unhandled", body=b'{"')
    assert attempt.opening == Opening(content_type=None, function_error="Unhandled")
    assert attempt.take() == []
    attempt.receive(frame(FrameType.DATA, b'"}'))
    assert attempt.take() == []
    assert attempt.ending == Ending(function_error="Unhandled", details='{""}')


def test_an_end_in_the_middle_leaves_no_ending() -> None:
    attempt = begun(**STREAMING, log_tail=True)
    attempt.receive(END)
    assert attempt.over
    assert attempt.ending is None


def pour(attempt: StreamedAttempt, count: int) -> None:
    for _ in range(count // PIECE):
        attempt.receive(frame(FrameType.DATA, bytes(PIECE)))


def test_credit_bounds_how_far_an_instance_is_ahead() -> None:
    attempt = begun(**STREAMING, credit=True)
    pour(attempt, WINDOW + PIECE)
    with pytest.raises(ProtocolError, match="ahead of its credit"):
        pour(attempt, PIECE)
    attempt = begun(**STREAMING, credit=True)
    for _ in range(100):
        pour(attempt, WINDOW)
        attempt.grant(WINDOW)
        attempt.take()


def test_an_instance_without_credit_streams_no_more_than_it_could_buffer() -> None:
    attempt = begun(**STREAMING)
    assert not attempt.controlled
    pour(attempt, ANSWER_LIMIT)
    with pytest.raises(ProtocolError):
        pour(attempt, PIECE)
