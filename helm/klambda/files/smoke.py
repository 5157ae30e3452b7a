"""What `helm test` runs: is the gateway there, does it refuse strangers, does a function answer?

Standard library only, with a signature of its own, so that nothing of the gateway judges itself.
"""

import datetime
import hashlib
import hmac
import json
import os
import sys
import urllib.error
import urllib.parse
import urllib.request

ENDPOINT = os.environ["ENDPOINT"]
REGION = os.environ["REGION"]
FUNCTION = os.environ.get("FUNCTION", "")


def keyed(key: bytes, text: str) -> bytes:
    """HMAC-SHA256, the step of which signature keys are made."""
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def signature(method: str, path: str, host: str, body: bytes) -> dict[str, str]:
    """The headers of AWS Signature Version 4."""
    stamp = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%SZ")
    scope = f"{stamp[:8]}/{REGION}/lambda/aws4_request"
    digest = hashlib.sha256(body).hexdigest()
    names = "host;x-amz-date"
    canonical = "\n".join(
        [method, urllib.parse.quote(path), "", f"host:{host}", f"x-amz-date:{stamp}", "", names]
    )
    text = hashlib.sha256(f"{canonical}\n{digest}".encode()).hexdigest()
    key = ("AWS4" + os.environ["AWS_SECRET_ACCESS_KEY"]).encode()
    for part in scope.split("/"):
        key = keyed(key, part)
    signed = keyed(key, f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{text}").hex()
    credential = f"{os.environ['AWS_ACCESS_KEY_ID']}/{scope}"
    return {
        "X-Amz-Date": stamp,
        "Authorization": f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, "
        f"Signature={signed}",
    }


def call(method: str, path: str, body: bytes = b"", *, sign: bool = True) -> tuple[int, bytes]:
    """Send one request; returns status and body."""
    host = urllib.parse.urlsplit(ENDPOINT).netloc
    headers = {"Host": host} | (signature(method, path, host, body) if sign else {})
    request = urllib.request.Request(ENDPOINT + path, body or None, headers, method=method)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=120) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def expect(what: str, status: int, answer: tuple[int, bytes]) -> bytes:
    """Print and judge one answer."""
    print(f"{what}: {answer[0]} {answer[1][:200]!r}", flush=True)
    if answer[0] != status:
        sys.exit(f"{what}: expected {status}")
    return answer[1]


def main() -> None:
    """Three calls, two without a function to invoke."""
    expect("unsigned request", 403, call("GET", "/2015-03-31/functions", sign=False))
    listed = expect("ListFunctions", 200, call("GET", "/2015-03-31/functions"))
    print(f"{len(json.loads(listed)['Functions'])} functions on the first page")
    if FUNCTION:
        payload = os.environ.get("PAYLOAD", "{}").encode()
        path = f"/2015-03-31/functions/{FUNCTION}/invocations"
        expect(f"Invoke {FUNCTION}", 200, call("POST", path, payload))


if __name__ == "__main__":
    main()
