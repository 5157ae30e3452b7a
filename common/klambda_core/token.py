"""The instance token: by it init and gateway trust one another (docs/runtime-contract.md §3).

Bound to the Deployment's name, so that one function's pod cannot speak for another's.
"""

import hashlib
import hmac


def instance_token(installation_key: str, namespace: str, deployment: str) -> str:
    """Hex HMAC-SHA256 that the pod carries as `KLAMBDA_TOKEN` and the gateway recomputes."""
    text = f"instance\n{namespace}\n{deployment}"
    return hmac.new(installation_key.encode(), text.encode(), hashlib.sha256).hexdigest()
