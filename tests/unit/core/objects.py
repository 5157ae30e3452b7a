"""Functions and versions for the tests, as the API server would hand them out."""

from typing import Any

from klambda_core.code import source_digest
from klambda_core.crd import Function

SHA = "a" * 64
BLOB = {"blob": {"sha256": SHA, "size": 12}}


IMAGE = {
    "uri": "registry.example.com/team/app:1",
    "resolved": f"registry.example.com/team/app@sha256:{SHA}",
    "entryPoint": ["/entry"],
    "command": ["app.handler"],
    "workingDirectory": "/work",
}


def image_function(
    *, status: bool = True, image: dict[str, Any] | None = None, **members: Any
) -> Function:
    """A Function of packageType Image; with ``status`` its image has been looked up."""
    code = {"imageUri": IMAGE["uri"]}
    spec = {"packageType": "Image", "runtime": None, "handler": None, "code": code} | members
    source = source_digest(function(**spec).spec.code)
    return function(
        **spec, status={"image": {**IMAGE, **(image or {}), "source": source}} if status else {}
    )


def function_body(
    name: str = "area",
    *,
    uid: str = "uid-1",
    generation: int = 1,
    status: dict[str, Any] | None = None,
    annotations: dict[str, str] | None = None,
    **spec: Any,
) -> dict[str, Any]:
    """A Function's JSON; spec members override a minimal Python function with a blob."""
    base = {"runtime": "python3.13", "handler": "lambda_function.lambda_handler", "code": BLOB}
    merged = {key: value for key, value in (base | spec).items() if value is not None}
    return {
        "metadata": {
            "name": name,
            "namespace": "default",
            "uid": uid,
            "generation": generation,
            "resourceVersion": "10",
            "creationTimestamp": "2026-11-21T12:00:00Z",
            "annotations": annotations or {},
        },
        "spec": merged,
        "status": status or {},
    }


def function(name: str = "area", **members: Any) -> Function:
    """A Function as a model."""
    return Function.read(function_body(name, **members))


def resolved(code: dict[str, Any], **members: Any) -> Function:
    """A Function whose explicit source the gateway has resolved."""
    source = source_digest(function(code=code).spec.code)
    status = {"code": {"sha256": SHA, "size": 12, "source": source}}
    return function(code=code, status=status, **members)
