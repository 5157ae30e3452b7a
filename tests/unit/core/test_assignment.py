"""The assignment: docs/runtime-contract.md section 2."""

import json
from typing import Any

import pytest

from klambda_core.assignment import Assignment, build
from klambda_core.code import CodeRef
from klambda_core.crd import ResolvedLayer
from tests.unit.core.objects import function


def made(version: str = "$LATEST", **spec: Any) -> Assignment:
    return build(
        function(**spec).spec,
        revision="rev",
        function_name="area",
        version=version,
        account="123456789012",
        region="us-east-1",
        runtime="python3.13",
        code=CodeRef(sha256="ab", size=1234),
        layers=[ResolvedLayer(arn="a", sha256="cd", size=1)],
    )


def test_the_members_of_the_contract() -> None:
    found = made(environment={"variables": {"KEY": "v"}}, role="arn:aws:iam::123456789012:role/r")
    assert found.to_json() == {
        "digest": "rev",
        "functionName": "area",
        "functionArn": "arn:aws:lambda:us-east-1:123456789012:function:area",
        "version": "$LATEST",
        "accountId": "123456789012",
        "region": "us-east-1",
        "runtime": "python3.13",
        "handler": "lambda_function.lambda_handler",
        "memorySize": 128,
        "timeout": 3,
        "ephemeralStorage": 512,
        "environment": {"KEY": "v"},
        "code": {"sha256": "ab", "size": 1234},
        "layers": [{"sha256": "cd", "size": 1}],
        "logGroup": "/aws/lambda/area",
        "logFormat": "Text",
        "tracingMode": "PassThrough",
        "role": "arn:aws:iam::123456789012:role/r",
    }


def test_a_versions_arn_is_qualified() -> None:
    assert made("3").function_arn.endswith(":function:area:3")


def test_without_a_role_the_accounts_default() -> None:
    assert made().role == "arn:aws:iam::123456789012:role/klambda-default"


@pytest.mark.parametrize(
    ("logging", "application", "system"),
    [
        ({"logFormat": "Text"}, None, None),
        ({"logFormat": "JSON"}, "INFO", "INFO"),
        ({"logFormat": "JSON", "applicationLogLevel": "DEBUG"}, "DEBUG", "INFO"),
        ({"logFormat": "JSON", "systemLogLevel": "WARN"}, "INFO", "WARN"),
    ],
)
def test_levels_come_with_json(
    logging: dict[str, Any], application: str | None, system: str | None
) -> None:
    found = made(loggingConfig=logging)
    assert (found.application_log_level, found.system_log_level) == (application, system)


def test_a_log_group_of_ones_own() -> None:
    assert made(loggingConfig={"logGroup": "/mine"}).log_group == "/mine"


def test_the_text_is_canonical_and_reads_back() -> None:
    text = made().to_text()
    assert Assignment.from_text(text) == made()
    assert text == json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"))
