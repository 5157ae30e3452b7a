"""The attempt machine: every frame in every phase, and how an answer is put together."""

from __future__ import annotations

from typing import Any

import pytest

from klambda_gateway.instances.attempt import ANSWER_LIMIT, Attempt, Phase
from klambda_gateway.instances.frames import Frame, FrameType, ProtocolError


def frame(kind: FrameType, body: bytes = b"", **header: Any) -> Frame:
    return Frame(type=kind, header={"attempt": "a", **header}, body=body)


ACCEPTED = frame(FrameType.ACCEPTED, cold=True)
REFUSED = frame(FrameType.REFUSED, reason="busy")
HEAD = frame(FrameType.HEAD, b"ab", mode="buffered", size=4)
DATA = frame(FrameType.DATA, b"cd")
END = frame(FrameType.END, b"tail", status="success", durationMs=1.5, billedMs=2, initMs=90)

STEPS = {
    Phase.SENT: [],
    Phase.ACCEPTED: [ACCEPTED],
    Phase.ANSWERING: [ACCEPTED, HEAD],
    Phase.ANSWERED: [ACCEPTED, HEAD, DATA],
    Phase.OVER: [ACCEPTED, HEAD, DATA, END],
    Phase.REFUSED: [REFUSED],
}
NEXT = {
    (Phase.SENT, FrameType.ACCEPTED): Phase.ACCEPTED,
    (Phase.SENT, FrameType.REFUSED): Phase.REFUSED,
    (Phase.ACCEPTED, FrameType.HEAD): Phase.ANSWERING,
    (Phase.ACCEPTED, FrameType.END): Phase.OVER,
    (Phase.ANSWERING, FrameType.DATA): Phase.ANSWERED,
    (Phase.ANSWERING, FrameType.END): Phase.OVER,
    (Phase.ANSWERED, FrameType.END): Phase.OVER,
}


@pytest.mark.parametrize("event", [ACCEPTED, REFUSED, HEAD, DATA, END], ids=lambda e: e.type.name)
@pytest.mark.parametrize("phase", list(Phase), ids=lambda p: p.name)
def test_every_frame_in_every_phase(phase: Phase, event: Frame) -> None:
    attempt = Attempt("a", log_tail=False)
    for step in STEPS[phase]:
        attempt.receive(step)
    assert attempt.phase is phase
    following = NEXT.get((phase, event.type))
    if following is None:
        with pytest.raises(ProtocolError):
            attempt.receive(event)
        assert attempt.phase is phase
    else:
        attempt.receive(event)
        assert attempt.phase is following


def test_the_answer_is_there_when_its_bytes_are() -> None:
    attempt = Attempt("a", log_tail=False)
    for step in (ACCEPTED, HEAD):
        attempt.receive(step)
        assert attempt.answer is None
    attempt.receive(DATA)
    assert attempt.answer is not None
    assert attempt.answer.payload == b"abcd"
    assert attempt.cold
    assert not attempt.over
    attempt.receive(END)
    assert attempt.over
    assert attempt.report is not None
    assert attempt.report.init_ms == 90


def test_with_a_log_tail_the_answer_waits_for_the_end() -> None:
    attempt = Attempt("a", log_tail=True)
    for step in (ACCEPTED, HEAD, DATA):
        attempt.receive(step)
        assert attempt.answer is None
    attempt.receive(END)
    assert attempt.answer is not None
    assert attempt.answer.log_tail == b"tail"


def test_an_empty_answer_is_complete_at_once() -> None:
    attempt = Attempt("a", log_tail=False)
    attempt.receive(ACCEPTED)
    attempt.receive(frame(FrameType.HEAD, mode="buffered", size=0, functionError="Unhandled"))
    assert attempt.answer is not None
    assert (attempt.answer.payload, attempt.answer.function_error) == (b"", "Unhandled")


def test_a_streamed_answer_ends_with_its_last_piece() -> None:
    attempt = Attempt("a", log_tail=False)
    attempt.receive(ACCEPTED)
    attempt.receive(frame(FrameType.HEAD, b"1", mode="streaming"))
    attempt.receive(frame(FrameType.DATA, b"2"))
    assert attempt.answer is None
    attempt.receive(frame(FrameType.DATA, b"3", last=True))
    assert attempt.answer is not None
    assert attempt.answer.payload == b"123"


def test_an_end_without_a_whole_answer_leaves_none() -> None:
    attempt = Attempt("a", log_tail=True)
    for step in (ACCEPTED, HEAD, END):
        attempt.receive(step)
    assert attempt.over
    assert attempt.answer is None


@pytest.mark.parametrize(
    "head",
    [
        frame(FrameType.HEAD, mode="buffered"),
        frame(FrameType.HEAD, mode="buffered", size=-1),
        frame(FrameType.HEAD, mode="buffered", size=ANSWER_LIMIT + 1),
        frame(FrameType.HEAD, b"abc", mode="buffered", size=2),
        frame(FrameType.HEAD, mode="other", size=2),
    ],
)
def test_a_head_that_cannot_be_is_refused(head: Frame) -> None:
    attempt = Attempt("a", log_tail=False)
    attempt.receive(ACCEPTED)
    with pytest.raises(ProtocolError):
        attempt.receive(head)
