"""Authorisation by Kubernetes RBAC: an access review per subject and right, remembered for seconds.

Place: the gateways' ``Authorizer``. One LocalSubjectAccessReview answers one question (a qualifier
may take a second); however many requests wait for one answer, it is asked once. Reviews are of one
namespace, so that an installation of chosen namespaces needs no right outside them. Invariants:
without an answer and
without a verdict that still counts the request is refused with a 503 (fail closed); a warm request
waits for nothing. Not here: how long verdicts count (``verdicts``), what to ask (``rights``).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from klambda_core import errors
from klambda_core.kinds import LOCAL_ACCESS_REVIEW, Kind
from klambda_core.labels import MANAGER_GATEWAY
from klambda_gateway.auth.authorizer import denied, in_own_account
from klambda_gateway.auth.caller import AUTHENTICATED, Caller, Extra
from klambda_gateway.auth.rights import NameOf, Question, questions
from klambda_gateway.auth.verdicts import Standing, Verdicts
from klambda_kube.errors import KubeError, NotFound
from klambda_obs import logs

ASK_LIMIT_S: Final = 3.0
"""A request waits no longer for an answer."""
AT_ONCE: Final = 32
"""Reviews at a time, whatever is asked for."""

_log = logs.get("klambda.gateway.rbac")

Subject = tuple[str, tuple[str, ...], Extra]
Key = tuple[Subject, str, str, str]
"""Subject, namespace, action, resource."""


class ReviewApi(Protocol):
    """What is needed of the Kubernetes API."""

    async def create(
        self, kind: Kind, namespace: str | None, body: Mapping[str, Any], *, field_manager: str
    ) -> dict[str, Any]:
        """Create an object; a review comes back answered."""
        ...


class Rbac:
    """Asks Kubernetes, and remembers."""

    def __init__(
        self, api: ReviewApi, *, name_of: NameOf, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._api = api
        self._name_of = name_of
        self._now = now
        self._verdicts: Verdicts[Key] = Verdicts()
        self._asking: dict[Key, asyncio.Task[None]] = {}
        self._turns = asyncio.Semaphore(AT_ONCE)

    def known(self, caller: Caller, action: str, resource: str) -> bool | None:
        """As the port says; asks again in the background what is about to expire."""
        key = _key(caller, action, resource)
        standing = self._verdicts.look(key, self._now())
        if standing is Standing.UNKNOWN:
            return None
        if standing is Standing.DUE:
            self._ask(key)
        return standing is not Standing.DENIED

    async def check(self, caller: Caller, action: str, resource: str) -> None:
        """As the port says."""
        if not in_own_account(caller, resource):
            raise denied(caller, action, resource)
        allowed = self.known(caller, action, resource)
        if allowed is None:
            key = _key(caller, action, resource)
            # Shielded: who waits may go away, others wait for the same answer.
            await asyncio.shield(self._ask(key))
            standing = self._verdicts.look(key, self._now())
            if standing is Standing.UNKNOWN:
                raise errors.unavailable(
                    "Authorization is not available now: the Kubernetes API does not answer. "
                    "Please try again."
                )
            allowed = standing is not Standing.DENIED
        if not allowed:
            raise denied(caller, action, resource)

    def _ask(self, key: Key) -> asyncio.Task[None]:
        task = self._asking.get(key)
        if task is None or task.done():
            self._verdicts.asked(key, self._now())
            task = asyncio.get_running_loop().create_task(self._review(key))
            self._asking[key] = task
            task.add_done_callback(lambda done: self._answered(key, done))
        return task

    def _answered(self, key: Key, done: asyncio.Task[None]) -> None:
        if self._asking.get(key) is done:
            del self._asking[key]

    async def _review(self, key: Key) -> None:
        subject, namespace, action, resource = key
        allowed = False
        try:
            async with asyncio.timeout(ASK_LIMIT_S), self._turns:
                for asked in questions(action, resource, namespace, self._name_of):
                    allowed = allowed or await self._asked(subject, asked)
        except NotFound:  # no such namespace: nobody may do anything there
            self._verdicts.said(key, False, self._now())
        except (KubeError, TimeoutError) as error:
            _log.warning("right-not-reviewed", namespace=namespace, error=repr(error))
            self._verdicts.silent()
        else:
            self._verdicts.said(key, allowed, self._now())

    async def _asked(self, subject: Subject, asked: Question) -> bool:
        answer = await self._api.create(
            LOCAL_ACCESS_REVIEW,
            asked.namespace,
            review(subject, asked),
            field_manager=MANAGER_GATEWAY,
        )
        return (answer.get("status") or {}).get("allowed") is True


def review(subject: Subject, asked: Question) -> dict[str, Any]:
    """The review to create."""
    user, groups, extra = subject
    spec: dict[str, Any] = {
        "user": user,
        "groups": [*groups] if AUTHENTICATED in groups else [*groups, AUTHENTICATED],
        "resourceAttributes": asked.attributes(),
    }
    if extra:
        spec["extra"] = {name: list(values) for name, values in extra}
    return {"metadata": {"namespace": asked.namespace}, "spec": spec}


def _key(caller: Caller, action: str, resource: str) -> Key:
    return (caller.user, caller.groups, caller.extra), caller.namespace, action, resource
