"""What a pod gets besides when its image is the user's and does not carry init. Pure.

An init container copies init into a volume, from where it starts instead of the image's own entry
point; /tmp is a volume, too, because an image may have none (FROM scratch). It costs about 0.75 s
of cold start: images that are to start as fast as ours carry init (runtimes/README.md).
"""

from klambda_operator.model import Json
from klambda_operator.render.quantities import mebibytes

INIT_FOLDER = "/klambda"
INIT_PROGRAM = f"{INIT_FOLDER}/init"
_TARGET = "/target"


def installer(image: str) -> Json:
    """The init container."""
    return {
        "name": "init",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": [INIT_PROGRAM, "install", f"{_TARGET}/init"],
        "resources": {
            "requests": {"cpu": "10m", "memory": "32Mi"},
            "limits": {"cpu": "1", "memory": "64Mi"},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        "volumeMounts": [{"name": "klambda", "mountPath": _TARGET}],
    }


def volumes(ephemeral_storage: int) -> list[Json]:
    """Init's program, and /tmp of that many MB."""
    return [
        {"name": "klambda", "emptyDir": {"sizeLimit": "32Mi"}},
        {"name": "tmp", "emptyDir": {"sizeLimit": mebibytes(ephemeral_storage)}},
    ]


def mounts() -> list[Json]:
    """The same in the function's container."""
    return [
        {"name": "klambda", "mountPath": INIT_FOLDER, "readOnly": True},
        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - Lambda's, inside the pod
    ]
