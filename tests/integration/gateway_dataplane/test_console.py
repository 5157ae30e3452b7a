"""A console in a browser calls the API of real gateways: preflight, then AWS's signed request.

Source: Fetch standard, "CORS protocol". Pages of origins that were not named, and function URLs,
which have CORS settings of their own, see none of it.
"""

from __future__ import annotations

import http.client
from collections.abc import Iterator, Mapping

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import pytest

from tests.integration.gateway_dataplane.conftest import CONSOLE, GATEWAYS, ControlPlane
from tests.integration.gateway_dataplane.test_gateway_process import answers, create

NAME = "for-the-console"
INVOKE = f"/2015-03-31/functions/{NAME}/invocations"
ASKED = "amz-sdk-invocation-id,amz-sdk-request,authorization,content-type,x-amz-date"


@pytest.fixture(scope="module")
def function(control_plane: ControlPlane) -> Iterator[None]:
    client = create(control_plane, NAME, answers("seen"))
    yield
    client.delete_function(FunctionName=NAME)


def sent(
    port: int, method: str, headers: Mapping[str, str], body: bytes = b""
) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=90)
    try:
        connection.request(method, INVOKE, body, dict(headers))
        answer = connection.getresponse()
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def signed(plane: ControlPlane, port: int, body: bytes) -> dict[str, str]:
    keys = plane.keys()
    request = botocore.awsrequest.AWSRequest(
        method="POST", url=f"http://127.0.0.1:{port}{INVOKE}", data=body
    )
    credentials = botocore.credentials.Credentials(keys["accessKeyId"], keys["secretAccessKey"])
    botocore.auth.SigV4Auth(credentials, "lambda", "us-east-1").add_auth(request)
    return dict(request.headers.items())


@pytest.mark.parametrize("gateway", range(GATEWAYS))
def test_a_page_of_a_named_origin_invokes(
    control_plane: ControlPlane, function: None, gateway: int
) -> None:
    port = control_plane.gateways[gateway].http
    asking = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": ASKED}
    status, headers, _ = sent(port, "OPTIONS", asking | {"Origin": CONSOLE})
    assert status == 200
    assert headers["access-control-allow-origin"] == CONSOLE
    assert headers["access-control-allow-headers"] == ASKED
    own = signed(control_plane, port, b"{}")
    status, headers, body = sent(port, "POST", own | {"Origin": CONSOLE}, b"{}")
    assert (status, body) == (200, b'"seen"')
    assert headers["access-control-allow-origin"] == CONSOLE
    assert "x-amz-function-error" in headers["access-control-expose-headers"].lower()
    for origin in ("https://evil.example", "null"):
        status, headers, _ = sent(port, "OPTIONS", asking | {"Origin": origin})
        assert (status, "access-control-allow-origin" in headers) == (400, False)
        status, headers, _ = sent(port, "POST", own | {"Origin": origin}, b"{}")
        assert (status, "access-control-allow-origin" in headers) == (200, False)


def test_function_urls_keep_their_own_settings(control_plane: ControlPlane, function: None) -> None:
    client = control_plane.client()
    made = client.create_function_url_config(FunctionName=NAME, AuthType="NONE")
    host = made["FunctionUrl"].split("/")[2]
    for action, condition in (
        ("InvokeFunctionUrl", {"FunctionUrlAuthType": "NONE"}),
        ("InvokeFunction", {"InvokedViaFunctionUrl": True}),
    ):
        client.add_permission(
            FunctionName=NAME, StatementId=action, Action=f"lambda:{action}", Principal="*",
            **condition,
        )  # fmt: skip
    port = control_plane.gateways[0].http
    asking = {"Host": host, "Origin": CONSOLE, "Access-Control-Request-Method": "POST"}
    status, headers, _ = sent(port, "OPTIONS", asking)
    assert (status, "access-control-allow-origin" in headers) == (200, False)
