"""What a look may delete afterwards: nothing that was promised since, nothing of another era."""

from __future__ import annotations

import pytest

from klambda_store.blobs.promised import Promises

A, B, C = (("ns", digit * 64) for digit in "abc")


def test_a_promise_stands_against_the_looks_before_it() -> None:
    promises = Promises()
    first = promises.look()
    promises.make(A)
    second = promises.look()
    assert promises.made_since(A, first)
    assert not promises.made_since(A, second)
    assert not promises.made_since(B, first)
    promises.make(A)
    assert promises.made_since(A, second)


@pytest.mark.parametrize("look", ["", "x", "x.1", ".1", "{era}.", "{era}.x", "{era}.-1"])
def test_a_look_that_is_not_ours_is_good_for_nothing(look: str) -> None:
    promises = Promises()
    era = promises.look().partition(".")[0]
    assert promises.made_since(A, look.format(era=era))
    assert Promises().made_since(A, promises.look())


def test_what_is_remembered_is_bounded() -> None:
    promises = Promises(most=2)
    look = promises.look()
    promises.make(A)
    promises.make(B)
    promises.make(A)
    assert not promises.made_since(C, look)
    promises.make(C)
    assert promises.made_since(("ns", "d" * 64), look), "nobody remembers"
    assert not promises.made_since(A, promises.look())
