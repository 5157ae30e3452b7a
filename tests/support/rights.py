"""The chart's rights on a real API server: its roles, and who has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.support.apiserver import ApiServer
from tests.support.chart import objects, template

CLUSTER_WIDE = {
    "ClusterRole",
    "ClusterRoleBinding",
    "CustomResourceDefinition",
    "PriorityClass",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
}
COMPONENT = "app.kubernetes.io/component"
RBAC = "rbac.authorization.k8s.io"


def path_of(obj: dict[str, Any]) -> str:
    """The object's place in the API."""
    group, _, version = obj["apiVersion"].rpartition("/")
    root = f"/apis/{group}/{version}" if group else f"/api/{version}"
    kind = obj["kind"].lower()
    if kind.endswith("cy"):
        plural = kind[:-1] + "ies"
    else:
        plural = kind + ("es" if kind.endswith("s") else "s")
    scope = "" if obj["kind"] in CLUSTER_WIDE else f"/namespaces/{obj['metadata']['namespace']}"
    return f"{root}{scope}/{plural}/{obj['metadata']['name']}"


def apply(server: ApiServer, obj: dict[str, Any], *, dry: bool = False) -> tuple[int, Any]:
    """Apply one object, every field of which must be known."""
    query = "fieldManager=test&force=true&fieldValidation=Strict" + ("&dryRun=All" if dry else "")
    kind = "application/apply-patch+yaml"
    return server.request("PATCH", f"{path_of(obj)}?{query}", obj, content_type=kind)


def install_roles(server: ApiServer) -> None:
    """What the chart ships for people, the first key and the kubectl door."""
    for obj in objects(template()):
        if obj["metadata"].get("labels", {}).get(COMPONENT) == "roles":
            status, answer = apply(server, obj)
            assert status in (200, 201), answer


def grant(
    server: ApiServer,
    namespace: str,
    role: str,
    *,
    user: str,
    only: Mapping[str, str] | None = None,
) -> None:
    """Bind a user to a ClusterRole, or to a Role of rules: "verbs resource" → names."""
    binding = f"{user}-{role}".replace(":", "-")
    reference = {"apiGroup": RBAC, "kind": "ClusterRole", "name": role}
    if only:
        rules = [
            {
                "apiGroups": ["klambda.io"],
                "resources": [right.split()[-1]],
                "verbs": right.split()[:-1],
                "resourceNames": names.split(),
            }
            for right, names in only.items()
        ]
        narrow = {
            "apiVersion": f"{RBAC}/v1",
            "kind": "Role",
            "metadata": {"name": binding, "namespace": namespace},
            "rules": rules,
        }
        assert apply(server, narrow)[0] in (200, 201)
        reference |= {"kind": "Role", "name": binding}
    bound = {
        "apiVersion": f"{RBAC}/v1",
        "kind": "RoleBinding",
        "metadata": {"name": binding, "namespace": namespace},
        "roleRef": reference,
        "subjects": [{"apiGroup": RBAC, "kind": "User", "name": user}],
    }
    status, answer = apply(server, bound)
    assert status in (200, 201), answer
