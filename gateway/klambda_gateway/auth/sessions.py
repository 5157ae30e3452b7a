"""Session credentials: what an instance is given to call Klambda with, and whom they prove.

Theory. A session's token is a signed statement: this pod runs this function of this account under
this role. Access key id and secret are derived from it, so every gateway can check a signature and
none has to store a session. The statement names, it does not grant: whom the session acts as is
looked up anew for each request. That is the identity of the role's Secret when the Secret names the
function, else the function's own, ``klambda:function:<namespace>:<function>``, which may do nothing
until somebody binds it. So keys of a Secret rotate, rights change and roles end without any
instance's restart; a session ends with its pod.

Place: ``instances.credentials`` mints when an instance is assigned, ``gate`` opens. Invariants:
pure; statements are compared in constant time; nothing secret can be told from a token.
Not here: Secrets (``keys``), pods (``watch``).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections import OrderedDict
from dataclasses import asdict, dataclass, field
from typing import Final, Protocol

from klambda_core import errors
from klambda_core.errors import LambdaError
from klambda_gateway.auth.access_key import AccessKey

PREFIX: Final = "ASIA"
"""What ids of temporary keys begin with (IAM user guide, "Unique identifiers")."""
LATE_S: Final = 60.0
"""A new pod may take so long to be known to every gateway."""
OPENED: Final = 4096
"""Statements kept open."""
TOKEN_MAX: Final = 4096
_ID_LENGTH: Final = 16
_SECRET_LENGTH: Final = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """Which pod runs what, under which role, since when (seconds)."""

    namespace: str
    function: str
    role: str
    pod: str
    uid: str
    since: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Credentials as AWS spells temporary ones."""

    statement: Statement
    access_key_id: str
    secret: str = field(repr=False)
    token: str = field(repr=False)

    def credentials(self) -> dict[str, str]:
        """As the ``assign`` frame spells them (docs/runtime-contract.md §2)."""
        return {
            "accessKeyId": self.access_key_id,
            "secretAccessKey": self.secret,
            "sessionToken": self.token,
        }


class Roles(Protocol):
    """Which roles there are."""

    def role(self, namespace: str, name: str) -> AccessKey | None:
        """The role of this name in an account."""
        ...


class Pods(Protocol):
    """Which pods live."""

    def lives(self, namespace: str, pod: str, uid: str) -> bool:
        """Whether this very pod is there."""
        ...


class Mint:
    """Makes sessions, and knows its own again."""

    def __init__(self, installation_key: str) -> None:
        self._sign = _derive(installation_key, "klambda session token")
        self._secret = _derive(installation_key, "klambda session secret")
        self._opened: OrderedDict[str, Session] = OrderedDict()

    def make(self, statement: Statement) -> Session:
        """The session of a statement: the same for the same one."""
        text = json.dumps(asdict(statement), separators=(",", ":")).encode()
        return self._session(statement, text)

    def open(self, token: str) -> Session | None:
        """The session of a token; None when we did not make it."""
        known = self._opened.get(token)
        if known is not None:
            return known
        text = self._proven(token)
        if text is None:
            return None
        session = self._session(Statement(**json.loads(text)), text)
        self._opened[token] = session
        if len(self._opened) > OPENED:
            self._opened.popitem(last=False)
        return session

    def _proven(self, token: str) -> bytes | None:
        body, dot, mac = token.partition(".")
        if not dot or len(token) > TOKEN_MAX:
            return None
        try:
            text = base64.urlsafe_b64decode(body)
            given = base64.urlsafe_b64decode(mac)
        except (binascii.Error, ValueError):
            return None
        return text if hmac.compare_digest(_mac(self._sign, text), given) else None

    def _session(self, statement: Statement, text: bytes) -> Session:
        mac = _mac(self._sign, text)
        body, end = base64.urlsafe_b64encode(text), base64.urlsafe_b64encode(mac)
        secret = base64.b64encode(_mac(self._secret, text)).decode()
        identifier = base64.b32encode(hashlib.sha256(mac).digest()).decode()
        return Session(
            statement=statement,
            access_key_id=PREFIX + identifier[:_ID_LENGTH],
            secret=secret[:_SECRET_LENGTH],
            token=f"{body.decode()}.{end.decode()}",
        )


class Sessions:
    """Turns the credentials of sessions into keys, as ``auth.keys`` turns ids."""

    def __init__(self, mint: Mint, *, roles: Roles, pods: Pods) -> None:
        self._mint = mint
        self._roles = roles
        self._pods = pods
        self._acting: OrderedDict[str, tuple[AccessKey | None, AccessKey]] = OrderedDict()
        """By token: the role when it was looked up last, and what followed."""

    def find(self, access_key_id: str, token: str, now: float) -> AccessKey | None:
        """The key of a session; None when it is not ours. Raises ExpiredTokenException."""
        session = self._mint.open(token)
        if session is None or session.access_key_id != access_key_id:
            return None
        told = session.statement
        young = abs(now - told.since) < LATE_S  # a clock that was put back makes nobody young
        if not young and not self._pods.lives(told.namespace, told.pod, told.uid):
            raise LambdaError(
                errors.EXPIRED_TOKEN, "The security token included in the request is expired"
            )
        return self._key(session, self._roles.role(told.namespace, told.role))

    def _key(self, session: Session, role: AccessKey | None) -> AccessKey:
        """The very same key as long as the role is the same: others remember what follows."""
        known = self._acting.get(session.token)
        if known is not None and known[0] is role:
            return known[1]
        key = acting(session, role)
        self._acting[session.token] = role, key
        if len(self._acting) > OPENED:
            self._acting.popitem(last=False)
        return key


def acting(session: Session, role: AccessKey | None) -> AccessKey:
    """Whom a session acts as: the role's identity when the role is for its function, else its own.

    A role never leads into another account: it was looked up in the function's.
    """
    told = session.statement
    granted = role is not None and role.serves(told.function)
    if granted and role is not None:
        user, groups = role.user, role.groups
    else:
        user, groups = own_identity(told.namespace, told.function)
    return AccessKey(
        access_key_id=session.access_key_id,
        secret=session.secret,
        token=session.token,
        namespace=told.namespace,
        user=user,
        groups=groups,
        role=told.role,
        granted=granted,
        session=session_name(told.function),
    )


def own_identity(namespace: str, function: str) -> tuple[str, tuple[str, ...]]:
    """User and groups of a function that has no role of its account's."""
    return (
        f"klambda:function:{namespace}:{function}",
        ("klambda:functions", f"klambda:functions:{namespace}"),
    )


def session_name(function: str) -> str:
    """The session's name in ARNs: the function's; it must have two characters (aws-contract g)."""
    return function if len(function) > 1 else f"{function}@lambda_function"


def role_name(arn: str) -> str:
    """The role in a role's ARN: its last segment, whatever path it has."""
    return arn.rpartition("/")[2]


def assumable(roles: Roles, namespace: str, arn: str, function: str) -> bool:
    """Whether a function may have a role: any that no Secret stands for, or one that lists it."""
    role = roles.role(namespace, role_name(arn))
    return role is None or role.serves(function)


def _derive(key: str, purpose: str) -> bytes:
    return hmac.new(key.encode(), purpose.encode(), hashlib.sha256).digest()


def _mac(key: bytes, text: bytes) -> bytes:
    return hmac.new(key, text, hashlib.sha256).digest()
