"""The installation key: one for all, whoever comes first."""

# ruff: noqa: ARG002 - fakes keep the signatures of what they stand for

from __future__ import annotations

import asyncio
import base64
from typing import Any, cast

import pytest

from klambda_core.kinds import Kind
from klambda_kube.api import Api
from klambda_kube.errors import AlreadyExists, NotFound, Unreachable
from klambda_kube.installation import InstallationKeyError, get_or_create_key, wait_for_key
from tests.support.virtualtime import run_virtual

KEY = "ab" * 32


class Secrets:
    """One Secret; `rival` appears between our GET and our POST."""

    def __init__(self, key: str | None = None, *, rival: str = "", cut: bool = False) -> None:
        self.secret = secret(key) if key is not None else None
        self.rival = rival
        self.cut = cut

    async def get(self, kind: Kind, namespace: str | None, name: str) -> dict[str, Any]:
        await asyncio.sleep(0)
        assert (kind.plural, namespace, name) == ("secrets", "ns", "klambda-installation")
        if self.secret is None:
            raise NotFound(404, "NotFound", name)
        return self.secret

    async def create(
        self, kind: Kind, namespace: str | None, body: dict[str, Any], *, field_manager: str
    ) -> dict[str, Any]:
        await asyncio.sleep(0)
        if self.rival:
            self.secret = secret(self.rival)
        if self.secret is not None:
            raise AlreadyExists(409, "AlreadyExists", "")
        self.secret = body
        if self.cut:
            raise Unreachable("reset", maybe_applied=True)
        return body


def secret(key: str) -> dict[str, Any]:
    return {"data": {"key": base64.b64encode(key.encode()).decode()}}


def api(server: Secrets) -> Api:
    return cast("Api", server)


async def test_an_existing_key_is_used() -> None:
    assert await get_or_create_key(api(Secrets(KEY)), namespace="ns") == KEY


async def test_a_missing_key_is_made_once_and_looks_as_agreed() -> None:
    server = Secrets()
    made = await get_or_create_key(api(server), namespace="ns")
    assert len(bytes.fromhex(made)) == 32
    assert await get_or_create_key(api(server), namespace="ns") == made


async def test_who_comes_second_takes_the_firsts() -> None:
    assert await get_or_create_key(api(Secrets(rival=KEY)), namespace="ns") == KEY


async def test_a_lost_answer_is_looked_up() -> None:
    server = Secrets(cut=True)
    made = await get_or_create_key(api(server), namespace="ns")
    assert server.secret == {**cast("dict[str, Any]", server.secret), **secret(made)}


@pytest.mark.parametrize("key", ["", "short", KEY + "\n", KEY.upper(), "ü"])
async def test_a_useless_key_is_never_replaced(key: str) -> None:
    with pytest.raises(InstallationKeyError, match="ns/klambda-installation"):
        await get_or_create_key(api(Secrets(key)), namespace="ns")


def test_a_reader_waits_until_somebody_made_it() -> None:
    async def scenario() -> None:
        server = Secrets()
        waiting = asyncio.create_task(wait_for_key(api(server), namespace="ns"))
        await asyncio.sleep(30)
        assert not waiting.done()
        server.secret = secret(KEY)
        assert await waiting == KEY

    run_virtual(scenario())
