"""The operator's words: what a key is, what was observed, what shall be done. All of it plain data.

handlers → key → gather → *Snapshot → plan → Plan → execute. A Snapshot holds everything that a plan
may look at; a Plan is a list of actions in the order in which they must happen. Both print well:
the plan of a failing reconcile goes to the debug log.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from klambda_core.conditions import Transition
from klambda_core.crd import Alias, Function, Version
from klambda_core.crd.base import KubeObject, ObjectMeta
from klambda_core.kinds import Kind
from klambda_core.limits import CONCURRENT_EXECUTIONS
from klambda_core.urls import UrlPlace, url_id
from klambda_operator.settings import Runtimes, UserImages

Json = dict[str, Any]


class Priority(IntEnum):
    """Initial lists, resyncs and upgrades yield to what just changed."""

    HIGH = 0
    LOW = 1


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """What is reconciled: an object of one of our kinds. No reason in it: levels, not edges."""

    plural: str
    namespace: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """The controlling owner reference of a child."""

    kind: str
    name: str
    uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """An observed Deployment. `empty`: 0 replicas wanted and 0 there."""

    name: str
    uid: str
    resource_version: str
    owner: Owner | None
    content: Mapping[str, Any]
    empty: bool
    created: str = ""
    deleting: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """An observed Version or Alias, as far as its function cares."""

    kind: Kind
    name: str
    uid: str
    owner: Owner | None
    deleting: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Rival:
    """Another object that claims the same AWS name."""

    name: str
    uid: str
    created: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """What another function of the account reserves."""

    uid: str
    created: str
    amount: int


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What is not in the object: the installation and the account."""

    namespace: str
    account: str
    region: str
    gateways: str
    runtimes: Runtimes
    installation_key: str = field(repr=False)
    freeze: str = ""
    concurrency: int = CONCURRENT_EXECUTIONS
    """The account's quota."""
    images: UserImages = field(default_factory=UserImages)
    urls: UrlPlace = field(default_factory=lambda: UrlPlace(region="us-east-1"))

    def url(self, function: str, qualifier: str | None = None) -> str:
        """The address of the URL of a function (by its AWS name) or of its alias."""
        return self.urls.address(url_id(self.installation_key, self.namespace, function, qualifier))


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """A stored object that this release's schema cannot read; only its metadata counts."""

    kind: Kind
    metadata: ObjectMeta
    status: Mapping[str, Any]
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionSnapshot:
    """A Function (None: gone) and everything of its."""

    key: Key
    function: Function | Broken | None
    world: World
    rivals: Sequence[Rival] = ()
    children: Sequence[Child] = ()
    versions: Sequence[Version] = ()
    """The published versions, where something is to be published."""
    reservations: Sequence[Reservation] = ()
    """Those of other functions, where this one reserves too."""
    deployments: Sequence[Deployment] = ()
    refusal: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionSnapshot:
    """A Version (None: gone), the uid of its Function (None: missing) and its Deployments."""

    key: Key
    version: Version | Broken | None
    world: World
    function_uid: str | None = None
    deployments: Sequence[Deployment] = ()
    refusal: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AliasSnapshot:
    """An Alias (None: gone), uid and AWS name of its Function, and the versions that exist."""

    key: Key
    alias: Alias | Broken | None
    world: World
    function_uid: str | None = None
    function_name: str | None = None
    versions: frozenset[int] = frozenset()
    usable: frozenset[int] = frozenset()
    """Those of the versions that have a revision to serve with."""
    provisioned: frozenset[int] = frozenset()
    """Those with provisioned concurrency of their own."""
    rivals: Sequence[Rival] = ()


Snapshot = FunctionSnapshot | VersionSnapshot | AliasSnapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateDeployment:
    """POST: never touches one that exists."""

    manifest: Json


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairDeployment:
    """Merge patch of the whole rendering but `replicas`, on exactly the observed object."""

    name: str
    patch: Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete:
    """Delete exactly the observed object; `resource_version` where a change since then matters."""

    kind: Kind
    name: str
    uid: str
    resource_version: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Adopt:
    """Merge patch of metadata.ownerReferences."""

    kind: Kind
    name: str
    patch: Json


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteStatus:
    """Server-side apply of the operator's members of status, on exactly the observed object."""

    kind: Kind
    name: str
    resource_version: str | None
    status: Json


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimVersion:
    """Merge patch of a Function's status.lastVersion, on exactly the observed object."""

    name: str
    resource_version: str | None
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateVersion:
    """POST of a published version."""

    manifest: Json


Action = (
    CreateDeployment
    | RepairDeployment
    | Delete
    | Adopt
    | WriteStatus
    | ClaimVersion
    | CreateVersion
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to do, in order; what to tell; when to look again."""

    actions: Sequence[Action] = ()
    transitions: Sequence[Transition] = ()
    subject: KubeObject | Broken | None = None
    requeue_after: float | None = None
    upgrade: bool = False
    """Only the platform's part of the revision changes: may wait its turn."""
