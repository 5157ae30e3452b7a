"""Least privilege: every right of the chart has its user in the code, and every call its right.

``USERS`` is that list: for each part, resource and verb the module that needs it. A right that goes
unused must leave the chart, a new call must bring its right; the module must make such calls.
"""

from __future__ import annotations

import pytest

from tests.support.chart import objects, template
from tools.cluster.layout import REPOSITORY

Right = tuple[str, str]
"""``group/resource[/subresource]`` and verb."""

CALLS = {
    "get": (".get(",),
    "list": ("Reflector(", ".list(", ".pages(", "kopf.on.event("),
    "watch": ("Reflector(", "kopf.on.event("),
    "create": (".create(",),
    "patch": (".merge_patch(", ".apply(", ".change("),
    "delete": (".delete(",),
    "update": ("blockOwnerDeletion",),
}
"""Verbs, and how the code says them (``Api``, kopf; a Reflector lists and watches)."""

OBJECTS, WATCH, LEASE = "api/objects.py", "watch.py", "klambda_kube/lease.py"
KEY = "klambda_kube/installation.py"


def rights(resource: str, **users: str) -> dict[Right, str]:
    return {(resource, verb): user for verb, user in users.items()}


def every(resource: str, user: str, *verbs: str) -> dict[Right, str]:
    return {(resource, verb): user for verb in verbs}


USERS: dict[str, dict[Right, str]] = {
    "gateway": {
        **{
            right: user
            for kind in ("functions", "versions", "aliases")
            for right, user in {
                **every(f"klambda.io/{kind}", OBJECTS, "get", "create", "patch", "delete"),
                **every(f"klambda.io/{kind}", WATCH, "list", "watch"),
            }.items()
        },
        **every("klambda.io/layerversions", OBJECTS, "get", "create", "patch", "delete"),
        **every("klambda.io/layerversions", "code/worklist.py", "list", "watch"),
        **{
            right: OBJECTS
            for kind in ("eventsourcemappings", "codesigningconfigs")
            for right in every(
                f"klambda.io/{kind}", OBJECTS, "get", "list", "create", "patch", "delete"
            )
        },
        **rights("klambda.io/functions/status", patch="code/resolver.py"),
        **rights("klambda.io/versions/status", patch="scale/keeper.py"),
        **rights("klambda.io/aliases/status", patch="scale/keeper.py"),
        **rights("klambda.io/layerversions/status", patch="code/resolver.py"),
        **rights("klambda.io/functions/finalizers", update="klambda_core/snapshot.py"),
        **every("/pods", WATCH, "get", "list", "watch"),
        **every("/pods", "scale/scaler.py", "patch", "delete"),
        **every("apps/deployments", WATCH, "get", "list", "watch"),
        **rights("apps/deployments/scale", patch="scale/starter.py"),
        **rights("authorization.k8s.io/localsubjectaccessreviews", create="auth/rbac.py"),
        **rights("authentication.k8s.io/tokenreviews", create="auth/bearer.py"),
        **every("/namespaces", "auth/accounts.py", "list", "watch"),
    },
    "own gateway": {
        **every("/secrets", "auth/keys.py", "list", "watch", "create"),
        **rights("/secrets", get=KEY),
        **every("coordination.k8s.io/leases", LEASE, "get", "create", "patch"),
        **every("/pods", WATCH, "get", "list", "watch"),
    },
    "operator": {
        **{
            right: user
            for kind in ("klambda.io/functions", "klambda.io/versions", "klambda.io/aliases")
            for right, user in {
                **rights(kind, get="gather.py"),
                **every(kind, "handlers.py", "list", "watch"),
            }.items()
        },
        **every("klambda.io/versions", "execute.py", "create", "patch", "delete"),
        **every("klambda.io/aliases", "execute.py", "patch", "delete"),
        **rights("klambda.io/functions/status", patch="execute.py"),
        **rights("klambda.io/versions/status", patch="execute.py"),
        **rights("klambda.io/aliases/status", patch="execute.py"),
        **rights("klambda.io/functions/finalizers", update="render/deployment.py"),
        **rights("klambda.io/versions/finalizers", update="render/deployment.py"),
        **rights("apps/deployments", get="gather.py"),
        **every("apps/deployments", "handlers.py", "list", "watch"),
        **every("apps/deployments", "execute.py", "create", "patch", "delete"),
        **rights("/events", create="events.py"),
        **rights("/namespaces", get="gather.py"),
    },
    "own operator": {
        **every("/secrets", KEY, "get", "create"),
        **every("coordination.k8s.io/leases", LEASE, "get", "create", "patch"),
    },
    "own store": {**rights("/secrets", get=KEY)},
}


def granted() -> dict[str, set[Right]]:
    """What the chart grants, by part, in Klambda's own namespace and beyond it."""
    found: dict[str, set[Right]] = {}
    for role in objects(template()):
        component = role["metadata"].get("labels", {}).get("app.kubernetes.io/component")
        if role["kind"] not in {"Role", "ClusterRole"} or component not in {
            "gateway", "operator", "store",
        }:  # fmt: skip
            continue
        part = component if role["kind"] == "ClusterRole" else f"own {component}"
        found.setdefault(part, set()).update(
            (f"{group}/{resource}", verb)
            for rule in role["rules"]
            for group in rule["apiGroups"]
            for resource in rule["resources"]
            for verb in rule["verbs"]
        )
    return found


def test_the_chart_grants_exactly_what_has_a_user() -> None:
    assert granted() == {part: set(users) for part, users in USERS.items()}


MODULES = sorted({
    (part.split()[-1], verb, user)
    for part, users in USERS.items()
    for (_, verb), user in users.items()
})  # fmt: skip


@pytest.mark.parametrize(("part", "verb", "user"), MODULES)
def test_the_user_makes_such_calls(part: str, verb: str, user: str) -> None:
    common = user.startswith("klambda_")
    place = "common" if common else f"{part}/klambda_{part}"
    text = (REPOSITORY / place / user).read_text()
    assert any(call in text for call in CALLS[verb])
