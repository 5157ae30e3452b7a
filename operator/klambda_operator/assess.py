"""Judgements about one revision: can it be made, what is it, has its Deployment drifted. Pure.

A Subject is what `$LATEST` and a published version have in common; from it and the World follows
either a Target (the revision and the name of its Deployment) or Blocked with the reason. Rendering
and planning build on these.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from klambda_core import assignment, digest, names
from klambda_core.assignment import Assignment
from klambda_core.canonical import canonical_json
from klambda_core.code import CODE_PENDING, CodeRef, Unresolved, resolved_code
from klambda_core.crd import Active, Condition, Failed, Function, Version
from klambda_core.crd.code import Image
from klambda_core.crd.configuration import Configuration
from klambda_core.crd.pod import PodSettings
from klambda_core.crd.status import ResolvedLayer
from klambda_core.digest import Platform
from klambda_core.kinds import FUNCTION, VERSION, Kind
from klambda_core.layers import PENDING as LAYERS_PENDING
from klambda_core.layers import resolved_layers
from klambda_core.limits import ENVIRONMENT_BYTES_MAX
from klambda_operator import reasons
from klambda_operator.model import World


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What can have a revision: a Function's `$LATEST`, or a Version."""

    kind: Kind
    namespace: str
    name: str
    uid: str
    generation: int
    function_object: str
    function_name: str
    version: str
    configuration: Configuration
    code: CodeRef | Image | Unresolved
    layers: Sequence[ResolvedLayer] | Unresolved
    pod: PodSettings | None
    config_digest: str
    active: Active | None
    failed: Failed | None
    conditions: Sequence[Condition]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The revision that shall serve."""

    config_digest: str
    revision: str
    deployment: str
    runtime: str
    image: str
    bootstrap: str | None
    substituted: bool
    assignment: Assignment
    init_image: str | None = None
    """Where init comes from, for an image of the user's that does not carry it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocked:
    """Why there can be no such revision now.

    `condition` is the type that is False besides Ready (None: somebody else's condition says it);
    `code` is Lambda's reason code when only a change by the user can help; `passing`: somebody is
    at work on it, and nobody else need do anything.
    """

    condition: str | None
    reason: str
    message: str
    code: str | None = None
    passing: bool = False


def subject_of_function(function: Function) -> Subject:
    """`$LATEST` of a function."""
    return Subject(
        kind=FUNCTION,
        namespace=function.namespace,
        name=function.name,
        uid=function.uid,
        generation=function.metadata.generation,
        function_object=function.name,
        function_name=function.aws_name,
        version=names.LATEST,
        configuration=function.spec,
        code=resolved_code(function),
        layers=resolved_layers(function),
        pod=function.spec.pod,
        config_digest=digest.function_digest(function),
        active=function.status.active,
        failed=function.status.failed,
        conditions=function.status.conditions,
    )


def subject_of_version(version: Version) -> Subject:
    """A published version."""
    snapshot = version.spec.snapshot
    code: CodeRef | Image | Unresolved
    if snapshot.image is not None:
        code = snapshot.image
    elif snapshot.code is None:
        message = "The snapshot has no code; publish the version again."
        code = Unresolved(reason="NoCode", message=message, final=True)
    else:
        code = CodeRef(sha256=snapshot.code.sha256, size=snapshot.code.size)
    return Subject(
        kind=VERSION,
        namespace=version.namespace,
        name=version.name,
        uid=version.uid,
        generation=version.metadata.generation,
        function_object=version.spec.function_ref,
        function_name=snapshot.function_name,
        version=str(version.spec.version),
        configuration=snapshot,
        code=code,
        layers=snapshot.layers or [],
        pod=snapshot.pod,
        config_digest=digest.snapshot_digest(snapshot),
        active=version.status.active,
        failed=version.status.failed,
        conditions=version.status.conditions,
    )


def assess(subject: Subject, world: World) -> Target | Blocked:
    """The revision that the subject asks for, or what stands in its way."""
    code, layers = subject.code, subject.layers
    if isinstance(code, Unresolved):
        return _code_unresolved(subject, code)
    if isinstance(layers, Unresolved):
        return _unresolved(layers, reasons.CODE_INVALID_CONFIGURATION)
    if trouble := _configuration_trouble(subject.configuration):
        return trouble
    if isinstance(code, Image):
        return _image_target(subject, code, world)
    return _target(subject, code, layers, world)


def _code_unresolved(subject: Subject, code: Unresolved) -> Blocked:
    """Of an image ImageResolved says it too, which users of container images look for."""
    if subject.configuration.package_type != "Image":
        return _unresolved(code, reasons.CODE_INVALID_ZIP)
    blocked = _unresolved(code, reasons.CODES_OF_IMAGES.get(code.reason, "InvalidImage"))
    return replace(blocked, condition=reasons.IMAGE_RESOLVED)


def _unresolved(part: Unresolved, code: str) -> Blocked:
    """The gateway has said so in a condition of its own."""
    return Blocked(
        condition=None,
        reason=part.reason,
        message=part.message,
        code=code if part.final else None,
        passing=part.reason in (CODE_PENDING, LAYERS_PENDING),
    )


def _configuration_trouble(configuration: Configuration) -> Blocked | None:
    """What the schema cannot see."""
    variables = configuration.environment.variables if configuration.environment else None
    size = len(canonical_json(variables)) if variables else 0
    if size <= ENVIRONMENT_BYTES_MAX:
        return None
    return Blocked(
        condition=reasons.IMAGE_RESOLVED,
        reason=reasons.INVALID_CONFIGURATION,
        message=reasons.environment_too_big(size, ENVIRONMENT_BYTES_MAX),
        code=reasons.CODE_INVALID_CONFIGURATION,
    )


def _target(
    subject: Subject, code: CodeRef, layers: Sequence[ResolvedLayer], world: World
) -> Target | Blocked:
    wanted = subject.configuration.runtime or ""
    found = world.runtimes.find(wanted)
    if found is None:
        return Blocked(
            condition=reasons.IMAGE_RESOLVED,
            reason=reasons.UNKNOWN_RUNTIME,
            message=reasons.unknown_runtime(wanted, list(world.runtimes.images)),
            code=reasons.CODE_INVALID_RUNTIME,
        )
    runtime, row = found
    return _made(
        subject,
        code,
        world,
        layers=layers,
        image=row.image,
        runtime=runtime,
        bootstrap=row.bootstrap,
        substituted=runtime != wanted,
    )


def _image_target(subject: Subject, image: Image, world: World) -> Target | Blocked:
    if assignment.image_start(subject.configuration, image).command == []:
        return Blocked(
            condition=reasons.IMAGE_RESOLVED,
            reason=reasons.NO_ENTRY_POINT,
            message=reasons.no_entry_point(image.uri),
            code=reasons.CODE_INVALID_IMAGE,
        )
    init = None if image.init else world.images.init
    if init == "":
        return Blocked(
            condition=reasons.IMAGE_RESOLVED,
            reason=reasons.NO_INIT,
            message=reasons.no_init(image.uri),
        )
    return _made(subject, image, world, image=image.resolved, runtime="", init_image=init)


def _made(
    subject: Subject,
    code: CodeRef | Image,
    world: World,
    *,
    image: str,
    runtime: str,
    layers: Sequence[ResolvedLayer] = (),
    bootstrap: str | None = None,
    substituted: bool = False,
    init_image: str | None = None,
) -> Target:
    made_of = f"{image} {init_image}" if init_image else image
    platform = Platform(image=made_of, region=world.region, account=world.account)
    revision = digest.revision(subject.config_digest, platform)
    return Target(
        config_digest=subject.config_digest,
        revision=revision,
        deployment=names.deployment_name(
            subject.function_object, subject.version, revision, subject.uid
        ),
        runtime=runtime,
        image=image,
        bootstrap=bootstrap,
        substituted=substituted,
        init_image=init_image,
        assignment=assignment.build(
            subject.configuration,
            revision=revision,
            function_name=subject.function_name,
            version=subject.version,
            account=world.account,
            region=world.region,
            runtime=runtime,
            code=code,
            layers=layers,
        ),
    )


# --- drift ---------------------------------------------------------------------------------------

REPLACED_LISTS = ("initContainers", "volumes")
REPLACED_MEMBERS = (
    "nodeSelector",
    "affinity",
    "runtimeClassName",
    "imagePullSecrets",
    "hostNetwork",
    "hostPID",
    "hostIPC",
    "shareProcessNamespace",
)
"""Members of a pod's spec that must be absent unless they were rendered; Kubernetes adds none."""


def drifted(observed: Mapping[str, Any], rendered: Mapping[str, Any]) -> bool:
    """Whether an observed Deployment differs from its rendering.

    What the API server adds (defaults) is no difference, in maps; lists must have equal length.
    """
    metadata = {key: rendered["metadata"][key] for key in ("labels", "annotations")}
    wanted = {"metadata": metadata, "spec": rendered["spec"]}
    return not _contains(observed, wanted) or bool(strangers(observed, rendered))


def strangers(observed: Mapping[str, Any], rendered: Mapping[str, Any]) -> list[str]:
    """Members of the pod's spec that somebody added and that change what runs."""
    seen, wanted = _pod(observed), _pod(rendered)
    names_ = (*REPLACED_LISTS, *REPLACED_MEMBERS)
    return [name for name in names_ if seen.get(name) and name not in wanted]


def _pod(deployment: Mapping[str, Any]) -> Mapping[str, Any]:
    pod: Mapping[str, Any] = deployment["spec"]["template"]["spec"]
    return pod


def _contains(seen: Any, wanted: Any) -> bool:
    if isinstance(wanted, Mapping):
        return isinstance(seen, Mapping) and all(
            key in seen and _contains(seen[key], value) for key, value in wanted.items()
        )
    if isinstance(wanted, list):
        return (
            isinstance(seen, list)
            and len(seen) == len(wanted)
            and all(_contains(one, other) for one, other in zip(seen, wanted, strict=True))
        )
    return bool(seen == wanted)
