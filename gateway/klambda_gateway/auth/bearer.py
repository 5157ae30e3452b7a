"""Bearer tokens: service accounts and whatever else the API server authenticates (OIDC).

Theory. The API server itself is asked whose token it is (TokenReview); a token made for audience
``klambda`` cannot be used against the API server in turn, one for the API server's own audience
works too. The account is the one that header ``X-Klambda-Namespace`` names, else the service
account's own namespace. What the user may do there is RBAC's business, as with any caller.

Place: ``api.dispatch`` comes here with ``Authorization: Bearer``. Invariants: tokens are kept as
digests only; a review counts for seconds and never beyond the token's own end; while the API server
does not answer, what was confirmed within the last minutes still counts; bounded.
Not here: signatures (``gate``).
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from klambda_core import errors
from klambda_core.errors import LambdaError
from klambda_core.kinds import TOKEN_REVIEW, Kind
from klambda_core.labels import MANAGER_GATEWAY
from klambda_gateway.auth.caller import SERVICE_ACCOUNT, Caller, Extra
from klambda_gateway.auth.claim import Signable
from klambda_kube.errors import KubeError
from klambda_obs import logs

SCHEME: Final = "bearer "
AUDIENCE: Final = "klambda"
HEADER: Final = b"x-klambda-namespace"
COUNTS_S: Final = 10.0
REFUSED_S: Final = 3.0
GRACE_S: Final = 300.0
ASK_LIMIT_S: Final = 3.0
KEPT: Final = 4096
TOKEN_MAX: Final = 16 * 1024
AT_ONCE: Final = 16
"""Reviews at a time: whoever sends made-up tokens keeps us busy, not the API server."""

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_log = logs.get("klambda.gateway.bearer")


class ReviewApi(Protocol):
    """What is needed of the Kubernetes API."""

    async def create(
        self, kind: Kind, namespace: str | None, body: Mapping[str, Any], *, field_manager: str
    ) -> dict[str, Any]:
        """Create an object; a review comes back answered."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Whose token it is."""

    user: str
    groups: tuple[str, ...]
    extra: Extra

    @property
    def home(self) -> str | None:
        """A service account's namespace."""
        if not self.user.startswith(SERVICE_ACCOUNT):
            return None
        return self.user.removeprefix(SERVICE_ACCOUNT).partition(":")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Review:
    holder: Holder | None
    """None: nobody's."""
    given: float
    ends: float
    """The token's own end."""


class Bearer:
    """Turns tokens into callers."""

    def __init__(
        self,
        api: ReviewApi,
        *,
        account_of: Callable[[str], str],
        accounts: Collection[str] | None = None,
        now: Callable[[], float] = time.time,
        elapsed: Callable[[], float] = time.monotonic,
    ) -> None:
        """``accounts``: the namespaces that this installation serves; None: all.

        ``now``: the time of day, for tokens' own ends; ``elapsed``: what reviews grow old by.
        """
        self._api = api
        self._account_of = account_of
        self._accounts = accounts
        self._now = now
        self._elapsed = elapsed
        self._reviews: dict[bytes, _Review] = {}
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._asking: dict[bytes, asyncio.Task[_Review | None]] = {}

    async def identify(self, request: Signable) -> Caller:
        """Who sent a request. Raises 403, 400 without an account, 503 when nobody can tell."""
        token = (request.header(b"authorization") or "")[len(SCHEME) :].strip()
        if not token or len(token) > TOKEN_MAX:
            raise _refused()
        holder = await self._holder(token)
        if holder is None:
            raise _refused()
        namespace = request.header(HEADER) or holder.home
        if namespace is None or not _LABEL.fullmatch(namespace):
            raise errors.invalid_parameter(
                "Name the account in header X-Klambda-Namespace: only a service account's token "
                "has a namespace of its own."
            )
        if self._accounts is not None and namespace not in self._accounts:
            raise LambdaError(
                errors.ACCESS_DENIED, f"This installation does not serve namespace {namespace}."
            )
        return Caller(
            access_key_id="",
            namespace=namespace,
            account=self._account_of(namespace),
            user=holder.user,
            groups=holder.groups,
            extra=holder.extra,
        )

    async def _holder(self, token: str) -> Holder | None:
        digest = hashlib.sha256(token.encode()).digest()
        now = self._now()
        known = self._reviews.get(digest)
        if known is not None and now < known.ends:
            age = self._elapsed() - known.given
            if age < (COUNTS_S if known.holder is not None else REFUSED_S):
                return known.holder
        task = self._asking.get(digest)
        if task is None or task.done():
            task = asyncio.get_running_loop().create_task(self._review(digest, token))
            self._asking[digest] = task
            task.add_done_callback(lambda _: self._asking.pop(digest, None))
        review = await asyncio.shield(task)
        if review is None and known is not None and self._lasts(known, now):
            review = known
        if review is None or (review is known and known.holder is None):
            raise errors.unavailable(
                "Authentication is not available now: the Kubernetes API does not answer. "
                "Please try again."
            )
        return review.holder

    def _lasts(self, known: _Review, now: float) -> bool:
        """Tell whether a review may stand in for one that cannot be had."""
        return now < known.ends and self._elapsed() < known.given + GRACE_S

    async def _review(self, digest: bytes, token: str) -> _Review | None:
        """Ask; None: there was no answer."""
        claims = _claims(token)
        audience = claims.get("aud")
        ours = AUDIENCE in (audience if isinstance(audience, list) else [audience])
        spec: dict[str, Any] = {"token": token} | ({"audiences": [AUDIENCE]} if ours else {})
        try:
            async with asyncio.timeout(ASK_LIMIT_S), self._turns:
                answer = await self._api.create(
                    TOKEN_REVIEW, None, {"spec": spec}, field_manager=MANAGER_GATEWAY
                )
        except (KubeError, TimeoutError) as error:
            _log.warning("token-not-reviewed", error=repr(error))
            return None
        ends = claims.get("exp")
        review = _Review(
            holder=read_review(answer.get("status") or {}, ours=ours),
            given=self._elapsed(),
            ends=float(ends) if isinstance(ends, int | float) else float("inf"),
        )
        self._reviews.pop(digest, None)
        if len(self._reviews) >= KEPT:
            del self._reviews[next(iter(self._reviews))]
        self._reviews[digest] = review
        return review


def is_bearer(request: Signable) -> bool:
    """Whether a request comes with a token instead of a signature."""
    return (request.header(b"authorization") or "")[: len(SCHEME)].lower() == SCHEME


def read_review(status: Mapping[str, Any], *, ours: bool) -> Holder | None:
    """Whom a TokenReview's status names. ``ours``: it was asked for our audience."""
    if status.get("authenticated") is not True:
        return None
    if ours and AUDIENCE not in (status.get("audiences") or ()):
        return None  # an authenticator that knows no audiences looked at the wrong one
    user = status.get("user") or {}
    name = user.get("username")
    if not name:
        return None
    extra = user.get("extra") or {}
    return Holder(
        user=name,
        groups=tuple(user.get("groups") or ()),
        extra=tuple((key, tuple(values)) for key, values in sorted(extra.items())),
    )


def _claims(token: str) -> Mapping[str, Any]:
    """What a JWT says of itself, unproven: which audience to ask for, and when it ends."""
    parts = token.split(".")
    if len(parts) != 3:
        return {}
    try:
        padded = parts[1] + "=" * (-len(parts[1]) % 4)
        claims = json.loads(base64.urlsafe_b64decode(padded))
    except (ValueError, RecursionError):
        return {}
    return claims if isinstance(claims, dict) else {}


def _refused() -> LambdaError:
    return LambdaError(
        errors.UNRECOGNIZED_CLIENT, "The security token included in the request is invalid."
    )
