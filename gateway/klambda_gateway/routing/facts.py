"""Functions, versions and aliases in the few words that routing needs.

Place: ``watch`` projects each object on arrival (10,000 functions must fit into little memory);
``table`` joins them, ``resolve`` reads them. Invariants: pure; an object with a deletionTimestamp
counts as absent; reading never fails on what ``kubectl`` may have made.
Not here: which object wins a name (``table``), weights drawn (``resolve``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from klambda_core.scaling import Scaling, ScalingDefaults
from klambda_gateway.auth.policy import Statement, read_statements
from klambda_gateway.urls.config import UrlConfig, read_url

LATEST: Final = "$LATEST"
SCALING: Final = Scaling()
"""Of functions that say nothing, with a chart that says nothing."""
_TIMEOUT_DEFAULT: Final = 3
"""Lambda's default, in seconds."""


Shares = tuple[tuple[str, float], ...]
"""Versions, with what part of the requests each takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """``status.active``: where instances of it are."""

    deployment: str
    revision: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Warm:
    """``status.warm``: where requests of a provisioned version go."""

    deployment: str
    revision: str
    since: str | None = None
    """Since when another revision is the active one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFacts:
    """How the asynchronous events of a qualifier are treated; None: as Lambda does by default."""

    retries: int | None = None
    max_age: int | None = None
    """Seconds."""
    on_success: str | None = None
    on_failure: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """``status.provisionedConcurrency``: what is kept initialised."""

    requested: int
    allocated: int = 0
    available: int = 0
    reason: str | None = None
    route: Shares = ()
    """Of an alias: where its requests go."""
    since: str | None = None
    """Of an alias: since when it has pointed elsewhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionFacts:
    """A Function: what is called, and its ``$LATEST``."""

    namespace: str
    name: str
    uid: str
    aws_name: str
    created: str
    timeout: int
    serving: Serving | None
    failed: bool = False
    """``status.failed`` is set: with nothing serving, its State is Failed."""
    reserved: int | None = None
    scaling: Scaling = SCALING
    policy: tuple[Statement, ...] = ()
    url: UrlConfig | None = None
    events: EventFacts | None = None
    dead_letter: str | None = None
    loops_allowed: bool = False
    events_paused: bool = False

    @property
    def limit(self) -> int | None:
        """How many of it may run at once, when it has a limit of its own."""
        own = [each for each in (self.reserved, self.scaling.maximum) if each is not None]
        return min(own, default=None)

    @property
    def at_once(self) -> int:
        """How many of it can run at once."""
        limit = self.limit
        return self.scaling.account if limit is None else limit


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionFacts:
    """A published version."""

    namespace: str
    name: str
    function: str
    owner_uid: str | None
    number: str
    timeout: int
    serving: Serving | None
    failed: bool = False
    policy: tuple[Statement, ...] = ()
    events: EventFacts | None = None
    dead_letter: str | None = None
    provisioned: int | None = None
    kept: Kept | None = None
    warm: Warm | None = None

    @property
    def place(self) -> Serving | None:
        """Where its requests go: where instances are provisioned, else what is active."""
        if self.serving is None or self.warm is None:
            return self.serving
        return Serving(deployment=self.warm.deployment, revision=self.warm.revision)


@dataclass(frozen=True, slots=True, kw_only=True)
class AliasFacts:
    """An alias: versions with shares that add up to 1."""

    namespace: str
    name: str
    function: str
    owner_uid: str | None
    alias: str
    targets: Shares
    policy: tuple[Statement, ...] = ()
    url: UrlConfig | None = None
    events: EventFacts | None = None
    provisioned: int | None = None
    kept: Kept | None = None


def function_facts(
    obj: Mapping[str, Any], defaults: ScalingDefaults | None = None
) -> FunctionFacts | None:
    """Project a Function; ``defaults`` are the chart's."""
    meta, spec, status = obj["metadata"], obj.get("spec") or {}, obj.get("status") or {}
    if "deletionTimestamp" in meta:
        return None
    policy = read_statements(spec.get("policy"))
    return FunctionFacts(
        namespace=meta["namespace"],
        name=meta["name"],
        uid=meta["uid"],
        aws_name=spec.get("functionName") or meta["name"],
        created=meta.get("creationTimestamp", ""),
        timeout=spec.get("timeout") or _TIMEOUT_DEFAULT,
        serving=_serving(status),
        failed="failed" in status,
        reserved=spec.get("reservedConcurrentExecutions"),
        scaling=(SCALING if defaults is None else defaults.of(meta["namespace"])).under(
            spec.get("scaling") or {}
        ),
        policy=policy,
        url=read_url(spec.get("url"), policy),
        events=_events(spec),
        dead_letter=_dead_letter(spec),
        loops_allowed=spec.get("recursiveLoop") == "Allow",
        events_paused=spec.get("asyncPaused") is True,
    )


def version_facts(obj: Mapping[str, Any]) -> VersionFacts | None:
    """Project a Version."""
    meta, spec, status = obj["metadata"], obj.get("spec") or {}, obj.get("status") or {}
    if "deletionTimestamp" in meta:
        return None
    snapshot = spec.get("snapshot") or {}
    return VersionFacts(
        namespace=meta["namespace"],
        name=meta["name"],
        function=spec["functionRef"],
        owner_uid=_owner(meta),
        number=str(spec["version"]),
        timeout=snapshot.get("timeout") or _TIMEOUT_DEFAULT,
        serving=_serving(status),
        failed="failed" in status,
        policy=read_statements(spec.get("policy")),
        events=_events(spec),
        dead_letter=_dead_letter(snapshot),
        provisioned=spec.get("provisionedConcurrentExecutions"),
        kept=_kept(status),
        warm=_warm(status),
    )


def alias_facts(obj: Mapping[str, Any]) -> AliasFacts | None:
    """Project an Alias.

    The spec says where it points, so that a write is in force at once; only ``track`` needs the
    operator's ``status.versions``.
    """
    meta, spec, status = obj["metadata"], obj.get("spec") or {}, obj.get("status") or {}
    if "deletionTimestamp" in meta:
        return None
    main = spec.get("functionVersion")
    if main is None:
        versions = status.get("versions") or ()
        targets = tuple((str(each["version"]), float(each["weight"])) for each in versions)
    else:
        extra = (spec.get("routingConfig") or {}).get("additionalVersionWeights") or {}
        rest = 1.0 - sum(extra.values())
        targets = ((str(main), rest), *((str(v), float(w)) for v, w in extra.items()))
    policy = read_statements(spec.get("policy"))
    return AliasFacts(
        namespace=meta["namespace"],
        name=meta["name"],
        function=spec["functionRef"],
        owner_uid=_owner(meta),
        alias=spec["name"],
        targets=targets,
        policy=policy,
        url=read_url(spec.get("url"), policy),
        events=_events(spec),
        provisioned=spec.get("provisionedConcurrentExecutions"),
        kept=_kept(status),
    )


def _serving(status: Mapping[str, Any]) -> Serving | None:
    active = status.get("active") or {}
    if not active.get("deployment"):
        return None
    return Serving(deployment=active["deployment"], revision=active.get("revision", ""))


def _warm(status: Mapping[str, Any]) -> Warm | None:
    told = status.get("warm")
    if not told:
        return None
    return Warm(
        deployment=told["deployment"],
        revision=told.get("revision", ""),
        since=told.get("waitingSince"),
    )


def _kept(status: Mapping[str, Any]) -> Kept | None:
    told = status.get("provisionedConcurrency")
    if not told:
        return None
    return Kept(
        requested=told.get("requested", 0),
        allocated=told.get("allocated", 0),
        available=told.get("available", 0),
        reason=told.get("reason"),
        route=tuple(
            (str(each["version"]), float(each["weight"])) for each in told.get("versions") or ()
        ),
        since=told.get("waitingSince"),
    )


def _events(spec: Mapping[str, Any]) -> EventFacts | None:
    config = spec.get("eventInvokeConfig")
    if not config:
        return None
    destinations = config.get("destinationConfig") or {}
    return EventFacts(
        retries=config.get("maximumRetryAttempts"),
        max_age=config.get("maximumEventAgeInSeconds"),
        on_success=(destinations.get("onSuccess") or {}).get("destination") or None,
        on_failure=(destinations.get("onFailure") or {}).get("destination") or None,
    )


def _dead_letter(configuration: Mapping[str, Any]) -> str | None:
    return (configuration.get("deadLetterConfig") or {}).get("targetArn") or None


def _owner(meta: Mapping[str, Any]) -> str | None:
    references = meta.get("ownerReferences") or ()
    return next((each["uid"] for each in references if each.get("kind") == "Function"), None)
