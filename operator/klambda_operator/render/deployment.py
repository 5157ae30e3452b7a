"""The Deployment of one revision, as docs/runtime-contract.md section 3 and the design say. Pure.

Invariants: no volumes, no init containers, no service-account token (each costs 0.3 to 0.75 s of
cold start), but for images of users that do not carry init (`guests`); restricted Pod Security;
`replicas` appears only at birth, because the gateway owns it afterwards, and so does what the
Deployment controller keeps there itself. Quantities are written in Kubernetes' canonical spelling,
so that what comes back compares equal.
"""

from typing import Any

from klambda_core import labels
from klambda_core.canonical import digest_of
from klambda_core.crd.configuration import Configuration
from klambda_core.crd.pod import PodSettings
from klambda_core.kinds import DEPLOYMENT
from klambda_core.limits import (
    GRACE_BEYOND_TIMEOUT_S,
    INSTANCE_UID,
    MEMORY_HEADROOM_MIB,
    MEMORY_PER_VCPU_MB,
)
from klambda_core.names import LATEST
from klambda_core.token import instance_token
from klambda_operator.assess import Subject, Target
from klambda_operator.model import Json, World
from klambda_operator.render import guests
from klambda_operator.render.quantities import cpu, mebibytes, milli

CONTAINER = "function"
COMMAND = "/klambda/init"
BOOT_CPU_MILLI = 1000
"""Least CPU limit: Lambda too gives init a full CPU, and 250m triples the runtime's start."""

CODE_ROOM_MIB = 768
"""Room of /var/task, /opt and the log beside /tmp: 250 MB unzipped code, its zip, and slack."""

EPHEMERAL_REQUEST = "64Mi"
"""What the scheduler counts; without it the limit would count, and idle nodes would look full."""

NO_DEADLINE_S = 2**31 - 1
"""Kubernetes' spelling of none. Nobody reads the condition Progressing of a function's Deployment,
and the Deployment controller writes a status for each step of it."""

FIRST_REVISION = {"deployment.kubernetes.io/revision": "1"}
"""What the Deployment controller would note at once, by a status write that makes its next one fail
as a conflict."""

LOST_NODE_S = 20
SANDBOX_HOSTS = ("sandbox.localdomain", "sandbox")


def render(subject: Subject, target: Target, world: World) -> Json:
    """The manifest without `replicas`; its hash is in the template-hash annotation."""
    name = target.deployment
    own = {
        labels.MANAGED_BY: labels.MANAGED_BY_VALUE,
        labels.FUNCTION: subject.function_object,
        labels.VERSION: labels.VERSION_LATEST if subject.version == LATEST else subject.version,
        labels.REVISION: target.revision[:16],
        labels.DEPLOYMENT: name,
    }
    pod = subject.pod or PodSettings()
    manifest: Json = {
        "apiVersion": DEPLOYMENT.api_version,
        "kind": DEPLOYMENT.kind,
        "metadata": {
            "name": name,
            "namespace": subject.namespace,
            "labels": own,
            "annotations": {labels.ASSIGNMENT: target.assignment.to_text()},
            "ownerReferences": [_owner(subject)],
        },
        "spec": {
            "progressDeadlineSeconds": NO_DEADLINE_S,
            "revisionHistoryLimit": 0,
            "selector": {"matchLabels": {labels.DEPLOYMENT: name}},
            "template": {
                "metadata": _without_empty(
                    {"labels": {**(pod.labels or {}), **own}, "annotations": pod.annotations}
                ),
                "spec": _pod_spec(subject, target, world, pod),
            },
        },
    }
    manifest["metadata"]["annotations"][labels.TEMPLATE_HASH] = digest_of(manifest)
    return manifest


def birth(manifest: Json) -> Json:
    """The manifest for POST: nobody runs before the gateway asks for it."""
    metadata = manifest["metadata"]
    annotations = metadata["annotations"] | FIRST_REVISION
    return manifest | {
        "metadata": metadata | {"annotations": annotations},
        "spec": {"replicas": 0, **manifest["spec"]},
    }


def _owner(subject: Subject) -> Json:
    return {
        **subject.kind.reference(subject.name),
        "uid": subject.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def _pod_spec(subject: Subject, target: Target, world: World, pod: PodSettings) -> Json:
    configuration = subject.configuration
    settings = pod.to_json()
    guest = target.init_image is not None
    return _without_empty(
        {
            "initContainers": [guests.installer(target.init_image)] if target.init_image else None,
            "containers": [_container(subject, target, world)],
            "volumes": guests.volumes(configuration.ephemeral_storage.size) if guest else None,
            "restartPolicy": "Always",
            "terminationGracePeriodSeconds": configuration.timeout + GRACE_BEYOND_TIMEOUT_S,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "dnsPolicy": "ClusterFirst",
            "hostAliases": [{"ip": "127.0.0.1", "hostnames": list(SANDBOX_HOSTS)}],
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": INSTANCE_UID,
                "runAsGroup": INSTANCE_UID,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "tolerations": [*_lost_node(), *settings.get("tolerations", [])],
            "nodeSelector": _node_selector(configuration, pod),
            "affinity": settings.get("affinity"),
            "serviceAccountName": pod.service_account_name,
            "imagePullSecrets": _pull_secrets(subject, world, settings),
            "runtimeClassName": pod.runtime_class_name,
        }
    )


def _pull_secrets(subject: Subject, world: World, settings: Json) -> list[Json]:
    """The function's own; for images of users those of the installation, too."""
    own: list[Json] = settings.get("imagePullSecrets") or []
    if subject.configuration.package_type != "Image":
        return own
    known = {each["name"] for each in own}
    return own + [{"name": name} for name in world.images.pull_secrets if name not in known]


def _container(subject: Subject, target: Target, world: World) -> Json:
    container = {
        "name": CONTAINER,
        "image": target.image,
        "imagePullPolicy": "IfNotPresent",
        "command": [COMMAND],
        "env": _environment(subject, target, world),
        "resources": _resources(subject.configuration, subject.pod),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            # /tmp, /var/task and /opt lie in the container's own layer: a volume would be slower.
            "readOnlyRootFilesystem": False,
        },
    }
    return container | {"volumeMounts": guests.mounts()} if target.init_image else container


def _environment(subject: Subject, target: Target, world: World) -> list[Json]:
    token = instance_token(world.installation_key, subject.namespace, target.deployment)
    fixed = {
        "KLAMBDA_GATEWAYS": world.gateways,
        "KLAMBDA_TOKEN": token,
        "KLAMBDA_BOOTSTRAP": target.bootstrap,
        "KLAMBDA_FREEZE": world.freeze,
    }
    fields = {
        "KLAMBDA_POD_UID": "metadata.uid",
        "KLAMBDA_POD_NAME": "metadata.name",
        "KLAMBDA_NAMESPACE": "metadata.namespace",
    }
    environment = subject.configuration.environment
    sources = environment.to_json().get("valueFrom", {}) if environment else {}
    return [
        *({"name": name, "value": value} for name, value in fixed.items() if value),
        *(
            {"name": name, "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": path}}}
            for name, path in fields.items()
        ),
        *(
            {"name": f"KLAMBDA_ENV_{name}", "valueFrom": source}
            for name, source in sorted(sources.items())
        ),
    ]


def _resources(configuration: Configuration, pod: PodSettings | None) -> Json:
    share = max(1, configuration.memory_size * 1000 // MEMORY_PER_VCPU_MB)
    request = milli(pod.cpu) if pod and pod.cpu else share
    memory = mebibytes(configuration.memory_size + MEMORY_HEADROOM_MIB)
    return {
        "requests": {
            "cpu": cpu(request),
            "memory": memory,
            "ephemeral-storage": EPHEMERAL_REQUEST,
        },
        "limits": {
            "cpu": cpu(max(BOOT_CPU_MILLI, request)),
            "memory": memory,
            "ephemeral-storage": mebibytes(configuration.ephemeral_storage.size + CODE_ROOM_MIB),
        },
    }


def _lost_node() -> list[Json]:
    return [
        {
            "key": f"node.kubernetes.io/{state}",
            "operator": "Exists",
            "effect": "NoExecute",
            "tolerationSeconds": LOST_NODE_S,
        }
        for state in ("not-ready", "unreachable")
    ]


def _node_selector(configuration: Configuration, pod: PodSettings) -> dict[str, str]:
    selector = dict(pod.node_selector or {})
    if configuration.architectures == ["arm64"]:
        selector.setdefault("kubernetes.io/arch", "arm64")
    return selector


def _without_empty(members: dict[str, Any]) -> Json:
    return {key: value for key, value in members.items() if value not in (None, {}, [])}
