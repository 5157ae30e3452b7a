"""Lists by a field of our own kinds, also on servers that cannot select by it.

Kubernetes before 1.31 selects custom resources by no field of theirs: there the whole list is taken
and filtered here.
"""

from http import HTTPStatus

from klambda_core.kinds import Kind
from klambda_kube.api import Api, Object
from klambda_kube.errors import ApiError


async def list_by_field(
    api: Api, kind: Kind, namespace: str | None, field: str, value: str
) -> list[Object]:
    """The objects whose `spec.<field>` is the value; namespace None: of all namespaces."""
    try:
        answer = await api.list(kind, namespace, field_selector=f"spec.{field}={value}")
    except ApiError as error:
        if error.status != HTTPStatus.BAD_REQUEST:
            raise
        answer = await api.list(kind, namespace)
    return [item for item in answer.items if (item.get("spec") or {}).get(field) == value]
