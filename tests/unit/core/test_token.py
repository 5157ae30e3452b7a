"""The instance token: docs/runtime-contract.md section 3."""

import hashlib
import hmac

from klambda_core.token import instance_token


def test_the_contracts_text_is_signed() -> None:
    expected = hmac.new(b"key", b"instance\nns\narea-latest-1", hashlib.sha256).hexdigest()
    assert instance_token("key", "ns", "area-latest-1") == expected


def test_it_is_bound_to_key_namespace_and_deployment() -> None:
    found = {instance_token(*each) for each in ("knd", "Knd", "kNd", "knD")}
    assert len(found) == 4
