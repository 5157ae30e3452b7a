"""Labels, annotations and field managers: the keys by which objects are selected and owned.

From docs/runtime-contract.md section 6 and design decision 5; spelt here once, used by operator and
gateway.
"""

from typing import Final

from klambda_core.kinds import GROUP

MANAGED_BY: Final = "app.kubernetes.io/managed-by"
MANAGED_BY_VALUE: Final = "klambda"
SELECTOR: Final = f"{MANAGED_BY}={MANAGED_BY_VALUE}"
"""Selects every child (Deployment, Pod) of this project, server-side."""

FUNCTION: Final = f"{GROUP}/function"
VERSION: Final = f"{GROUP}/version"
REVISION: Final = f"{GROUP}/revision"
DEPLOYMENT: Final = f"{GROUP}/deployment"
STARTER: Final = f"{GROUP}/starter"
"""On Pods that no ReplicaSet made."""
VERSION_LATEST: Final = "latest"
"""Value of the version label for $LATEST (a label value cannot hold `$`)."""

ASSIGNMENT: Final = f"{GROUP}/assignment"
TEMPLATE_HASH: Final = f"{GROUP}/template-hash"
NONCE: Final = f"{GROUP}/nonce"
LAST_MODIFIED: Final = f"{GROUP}/last-modified"
PROVISIONED_MODIFIED: Final = f"{GROUP}/provisioned-modified"
EVENT_INVOKE_MODIFIED: Final = f"{GROUP}/event-invoke-modified"
URL_CREATED: Final = f"{GROUP}/url-created"
URL_MODIFIED: Final = f"{GROUP}/url-modified"
"""When a setting beside the configuration was last written by the API, in Lambda's spelling."""
ACCOUNT_ID: Final = f"{GROUP}/account-id"

MANAGER_OPERATOR: Final = "klambda-operator"
MANAGER_GATEWAY: Final = "klambda-gateway"
MANAGER_GATEWAY_CODE: Final = "klambda-gateway-code"
MANAGER_GATEWAY_STARTS: Final = "klambda-gateway-starts"
MANAGER_GATEWAY_PROVISIONED: Final = "klambda-gateway-provisioned"
MANAGER_GATEWAY_WARM: Final = "klambda-gateway-warm"
