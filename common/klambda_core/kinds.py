"""The Kubernetes kinds that Klambda reads or writes, and where their objects live in the API.

Everybody who names a resource (client, operator, gateway, CRD generator) takes it from here, so
that a group or plural is spelt once. Not here: what the objects contain (`crd`) and how requests
are made (`klambda_kube`).
"""

from dataclasses import dataclass

GROUP = "klambda.io"
API_VERSION = "v1alpha1"


@dataclass(frozen=True, slots=True)
class Kind:
    """One resource type: API group (empty for the core group), version, plural, kind."""

    group: str
    version: str
    plural: str
    kind: str

    @property
    def api_version(self) -> str:
        """`group/version` as objects carry it; only the version in the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str | None = None, name: str | None = None) -> str:
        """The URL path of one object, of a namespace's collection, or of the whole collection."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        scope = f"/namespaces/{namespace}" if namespace else ""
        item = f"/{name}" if name else ""
        return f"{root}{scope}/{self.plural}{item}"

    def reference(self, name: str) -> dict[str, str]:
        """`apiVersion`, `kind`, `name`: the start of every reference to an object."""
        return {"apiVersion": self.api_version, "kind": self.kind, "name": name}


FUNCTION = Kind(GROUP, API_VERSION, "functions", "Function")
VERSION = Kind(GROUP, API_VERSION, "versions", "Version")
ALIAS = Kind(GROUP, API_VERSION, "aliases", "Alias")
LAYER_VERSION = Kind(GROUP, API_VERSION, "layerversions", "LayerVersion")
EVENT_SOURCE_MAPPING = Kind(GROUP, API_VERSION, "eventsourcemappings", "EventSourceMapping")
CODE_SIGNING_CONFIG = Kind(GROUP, API_VERSION, "codesigningconfigs", "CodeSigningConfig")
DEPLOYMENT = Kind("apps", "v1", "deployments", "Deployment")
POD = Kind("", "v1", "pods", "Pod")
SECRET = Kind("", "v1", "secrets", "Secret")
NAMESPACE = Kind("", "v1", "namespaces", "Namespace")
LEASE = Kind("coordination.k8s.io", "v1", "leases", "Lease")
EVENT = Kind("", "v1", "events", "Event")
LOCAL_ACCESS_REVIEW = Kind(
    "authorization.k8s.io", "v1", "localsubjectaccessreviews", "LocalSubjectAccessReview"
)
TOKEN_REVIEW = Kind("authentication.k8s.io", "v1", "tokenreviews", "TokenReview")
