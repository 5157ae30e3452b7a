"""Signatures in all spellings that clients send, and each way in which one is wrong, as a table.

Sources: AWS's Signature Version 4 test suite (its keys, requests and signatures); IAM user guide,
"Create a signed AWS API request" and "Troubleshoot Signature Version 4 signing"; sentences: S,
published by those who met them.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest

from klambda_core.errors import LambdaError
from klambda_core.signer import signing_key
from klambda_gateway.auth.claim import Signable, read_claim
from klambda_gateway.auth.gate import Gate
from klambda_gateway.auth.keys import AccessKey
from klambda_gateway.auth.sigv4 import Verifier
from tests.support.chunks import EMPTY, signed_chunks
from tests.unit.gateway_api.fakes import ACCOUNT

REGION = "us-east-1"
KEY_ID = "AKIDEXAMPLE"
SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
STAMP = "20150830T123600Z"
NOW = datetime(2015, 8, 30, 12, 36, tzinfo=UTC)
HOST = (b"host", b"example.amazonaws.com")
DATE = (b"x-amz-date", STAMP.encode())
FORM = (b"content-type", b"application/x-www-form-urlencoded")
UNRESERVED = b"-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
SUITE_TOKEN = (
    b"AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSP"
    b"fIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT"
    b"7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlz"
    b"m8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA=="
)
TOKEN = (b"x-amz-security-token", SUITE_TOKEN)


@dataclass(frozen=True, kw_only=True)
class Case:
    """A request of AWS's test suite, and the signature that AWS gives it."""

    signature: str
    method: str = "GET"
    path: bytes = b"/"
    query: bytes = b""
    headers: Sequence[tuple[bytes, bytes]] = ()
    signed: str = "host;x-amz-date"
    body: bytes = b""


VANILLA = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
MINE = "host;my-header1;x-amz-date"
SUITE = {
    "get-vanilla": Case(signature=VANILLA),
    "get-slash": Case(path=b"//", signature=VANILLA),
    "get-slash-dot-slash": Case(path=b"/./", signature=VANILLA),
    "get-relative": Case(path=b"/example/..", signature=VANILLA),
    "get-relative-relative": Case(path=b"/example1/example2/../..", signature=VANILLA),
    "get-slashes": Case(
        path=b"//example//",
        signature="9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84",
    ),
    "get-slash-pointless-dot": Case(
        path=b"/./example",
        signature="ef75d96142cf21edca26f06005da7988e4f8dc83a165a80865db7089db637ec5",
    ),
    "get-space": Case(
        path=b"/example space/",
        signature="652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741",
    ),
    "get-utf8": Case(
        path="/ሴ".encode(),
        signature="8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85",
    ),
    "get-unreserved": Case(
        path=b"/" + UNRESERVED,
        signature="07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f",
    ),
    "get-vanilla-query-order-key-case": Case(
        query=b"Param2=value2&Param1=value1",
        signature="b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
    ),
    "get-vanilla-query-order-value": Case(
        query=b"Param1=value2&Param1=Value1",
        signature="eedbc4e291e521cf13422ffca22be7d2eb8146eecf653089df300a15b2382bd1",
    ),
    "get-vanilla-query-unreserved": Case(
        query=UNRESERVED + b"=" + UNRESERVED,
        signature="9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197",
    ),
    "get-vanilla-utf8-query": Case(
        query="ሴ=bar".encode(),
        signature="2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04",
    ),
    "get-header-key-duplicate": Case(
        headers=[(b"my-header1", value) for value in (b"value2", b"value2", b"value1")],
        signed=MINE,
        signature="c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea",
    ),
    "get-header-value-multiline": Case(
        headers=[(b"my-header1", b"value1\n  value2\n     value3")],
        signed=MINE,
        signature="cfd34249e4b1c8d6b91ef74165d41a32e5fab3306300901bb65a51a73575eefd",
    ),
    "get-header-value-trim": Case(
        headers=[(b"my-header1", b"  value1"), (b"my-header2", b' "a   b   c"')],
        signed="host;my-header1;my-header2;x-amz-date",
        signature="acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
    ),
    "post-vanilla": Case(
        method="POST",
        signature="5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
    ),
    "post-x-www-form-urlencoded": Case(
        method="POST",
        headers=[FORM],
        signed="content-type;host;x-amz-date",
        body=b"Param1=value1",
        signature="ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
    ),
    "post-sts-header-before": Case(
        method="POST",
        headers=[TOKEN],
        signed="host;x-amz-date;x-amz-security-token",
        signature="85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead",
    ),
    "post-sts-header-after": Case(
        method="POST",
        headers=[TOKEN],
        signature="5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
    ),
}


def check(request: Signable, body: bytes = b"", *, now: datetime = NOW) -> None:
    Verifier(REGION).check(
        request,
        read_claim(request),
        secret=SECRET,
        body_sha256=hashlib.sha256(body).hexdigest(),
        now=now,
    )


@pytest.mark.parametrize("case", SUITE.values(), ids=SUITE)
def test_awss_test_suite(case: Case) -> None:
    scope = f"{KEY_ID}/20150830/{REGION}/service/aws4_request"
    text = (
        f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders={case.signed}, "
        f"Signature={case.signature}"
    )
    headers = [HOST, DATE, *case.headers, (b"authorization", text.encode())]
    check(Signable(case.method, case.path, case.query, headers), case.body)


# --- a client of our own, that signs by the book and otherwise as it is told ----------------------


@dataclass(frozen=True, kw_only=True)
class Client:
    """Signs ``GET /``, or writes what is to be told from it."""

    stamp: str = STAMP
    date: str = "20150830"
    region: str = REGION
    names: str = "host;x-amz-date"
    """SignedHeaders as sent."""
    canonical_names: str = ""
    """As signed, when that is another spelling."""
    more: Sequence[tuple[bytes, bytes]] = ()
    """Headers besides Host and the date."""
    payload: str = EMPTY
    algorithm: str = "AWS4-HMAC-SHA256"
    terminator: str = "aws4_request"
    without: Sequence[str] = ()
    """Members of the query, or of Authorization, that are left out."""
    given: dict[str, str] = field(default_factory=dict)
    """Members of the query that are put in place of others."""

    @property
    def scope(self) -> str:
        return f"{self.date}/{self.region}/lambda/{self.terminator}"

    def signature(self, query: str, headers: Sequence[tuple[bytes, bytes]]) -> str:
        names = self.canonical_names or self.names
        lines = ""
        for name in names.split(";"):
            values = [value.decode() for key, value in headers if key.decode() == name.lower()]
            lines += f"{name}:{','.join(' '.join(value.split()) for value in values)}\n"
        canonical = f"GET\n/\n{query}\n{lines}\n{names}\n{self.payload}"
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        text = f"AWS4-HMAC-SHA256\n{self.stamp}\n{self.scope}\n{digest}"
        key = signing_key(SECRET, self.date, self.region, "lambda")
        return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()

    def in_headers(self) -> Signable:
        headers = [HOST, (b"x-amz-date", self.stamp.encode()), *self.more]
        parts = {
            "Credential": f"{KEY_ID}/{self.scope}",
            "SignedHeaders": self.names,
            "Signature": self.signature("", headers),
        }
        told = ", ".join(f"{k}={v}" for k, v in parts.items() if k not in self.without)
        headers.append((b"authorization", f"{self.algorithm} {told}".encode()))
        if "Date" in self.without:
            headers = [each for each in headers if each[0] != b"x-amz-date"]
        return Signable("GET", b"/", b"", headers)

    def in_query(self, seconds: int = 60) -> Signable:
        members = {
            "X-Amz-Algorithm": self.algorithm,
            "X-Amz-Credential": f"{KEY_ID}/{self.scope}",
            "X-Amz-Date": self.stamp,
            "X-Amz-Expires": str(seconds),
            "X-Amz-SignedHeaders": "host",
        } | self.given
        pairs = [(k, v) for k, v in sorted(members.items()) if k not in self.without]
        query = "&".join(f"{k}={quote(v, safe='-_.~')}" for k, v in pairs)
        headers = [HOST, *self.more]
        host_only = Client(date=self.date, region=self.region, stamp=self.stamp, names="host")
        signature = host_only.signature(query, headers)
        if "X-Amz-Signature" not in self.without:
            query += f"&X-Amz-Signature={signature}"
        return Signable("GET", b"/", query.encode(), headers)


def refusal(request: Signable, *, now: datetime = NOW) -> str:
    with pytest.raises(LambdaError) as caught:
        check(request, now=now)
    assert caught.value.status == 403
    return f"{caught.value.error.name}: {caught.value.message}"


MISMATCH = (
    "InvalidSignatureException: The request signature we calculated does not match the signature "
    "you provided. Check your AWS Secret Access Key and signing method. Consult the service "
    "documentation for details."
)
FIVE = timedelta(minutes=5)
MOMENT = timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("now", "error"),
    [
        (NOW, None),
        (NOW + FIVE, None),
        (NOW - FIVE, None),
        (
            NOW + FIVE + MOMENT,
            (
                "Signature expired: 20150830T123600Z is now earlier than 20150830T123600Z "
                "(20150830T124100Z - 5 min.)"
            ),
        ),
        (
            NOW + FIVE + timedelta(seconds=1),
            (
                "Signature expired: 20150830T123600Z is now earlier than 20150830T123601Z "
                "(20150830T124101Z - 5 min.)"
            ),
        ),
        (
            NOW - FIVE - timedelta(seconds=1),
            (
                "Signature not yet current: 20150830T123600Z is still later than 20150830T123559Z "
                "(20150830T123059Z + 5 min.)"
            ),
        ),
    ],
)
def test_a_clock_may_be_exactly_five_minutes_off(now: datetime, error: str | None) -> None:
    request = Client().in_headers()
    if error is None:
        check(request, now=now)
    else:
        assert refusal(request, now=now) == f"InvalidSignatureException: {error}"


@pytest.mark.parametrize(
    ("seconds", "now", "error"),
    [
        (60, NOW + timedelta(seconds=60), None),
        (
            60,
            NOW + timedelta(seconds=61),
            "Signature expired: 20150830T123700Z is now earlier than 20150830T123701Z",
        ),
        (0, NOW, None),
        (
            0,
            NOW + timedelta(seconds=1),
            "Signature expired: 20150830T123600Z is now earlier than 20150830T123601Z",
        ),
        (604_800, NOW + timedelta(days=7), None),
        (
            604_800,
            NOW + timedelta(days=7, seconds=1),
            "Signature expired: 20150906T123600Z is now earlier than 20150906T123601Z",
        ),
        (60, NOW - FIVE, None),
        (
            60,
            NOW - FIVE - timedelta(seconds=1),
            (
                "Signature not yet current: 20150830T123600Z is still later than 20150830T123559Z "
                "(20150830T123059Z + 5 min.)"
            ),
        ),
    ],
)
def test_how_long_a_presigned_url_lasts(seconds: int, now: datetime, error: str | None) -> None:
    request = Client().in_query(seconds)
    if error is None:
        check(request, now=now)
    else:
        assert refusal(request, now=now) == f"InvalidSignatureException: {error}"


def test_a_presigned_url_that_does_not_say_how_long_lasts_five_minutes() -> None:
    request = Client(without=["X-Amz-Expires"]).in_query()
    check(request, now=NOW + FIVE)
    assert "Signature expired" in refusal(request, now=NOW + FIVE + timedelta(seconds=1))


TYPE = (b"content-type", b"application/json")


@pytest.mark.parametrize(
    "client",
    [
        Client(names="x-amz-date;host"),
        Client(names="X-Amz-Date;Host", canonical_names="x-amz-date;host"),
        Client(names="content-type;host;x-amz-date", more=[TYPE]),
        Client(more=[TYPE, (b"x-not-signed", b"1")]),
        Client(names="host;x-absent;x-amz-date"),
        Client(names="host;x-a;x-amz-date", more=[(b"x-a", b"1"), (b"x-a", b" 2  3 ")]),
        Client(names="host;x-a;x-amz-date", more=[(b"x-a", b"1"), TYPE, (b"x-a", b"")]),
        Client(names="host;x-a;x-amz-date", more=[(b"x-a", b"a\r\n \tb")]),
    ],
    ids=["unsorted", "upper case", "more", "unsigned", "absent", "twice", "apart", "folded"],
)
def test_spellings_that_pass(client: Client) -> None:
    check(client.in_headers())


@pytest.mark.parametrize(
    "more",
    [[HOST], [(b"host", b"evil.example")], [DATE], [(b"x-amz-date", b"20150830T123601Z")]],
)
def test_a_signed_header_that_comes_again_is_under_the_signature(
    more: list[tuple[bytes, bytes]],
) -> None:
    signed = Client().in_headers()
    check(signed)
    for headers in ([*signed.headers, *more], [*more, *signed.headers]):
        assert refusal(signed._replace(headers=headers)).startswith("InvalidSignatureException")


def test_the_first_of_two_authorizations_counts() -> None:
    signed = Client().in_headers()
    bad = (b"authorization", b"AWS4-HMAC-SHA256 Credential=x")
    check(signed._replace(headers=[*signed.headers, bad]))
    assert "Authorization header requires" in refusal(
        signed._replace(headers=[bad, *signed.headers])
    )


def query_must(*names: str) -> str:
    told = " ".join(f"AWS query-string parameters must include 'X-Amz-{name}'." for name in names)
    return f"IncompleteSignatureException: {told} Re-examine the query-string parameters."


def requires(*names: str) -> str:
    told = " ".join(f"Authorization header requires '{name}' parameter." for name in names)
    return f"IncompleteSignatureException: {told} (Hashed with SHA-256 and encoded with Base64) "


SHORT = "AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host, Signature=c"
WRONG: list[tuple[Signable, str]] = [
    (Client(without=["Signature"]).in_headers(), requires("Signature")),
    (
        Client(without=["Credential", "SignedHeaders"]).in_headers(),
        requires("Credential", "SignedHeaders"),
    ),
    (
        Client(without=["Date"]).in_headers(),
        (
            "IncompleteSignatureException: Authorization header requires existence of either a "
            "'X-Amz-Date' or a 'Date' header. (Hashed with SHA-256 and encoded with Base64) "
        ),
    ),
    (
        Client(stamp="2015-08-30").in_headers(),
        (
            "IncompleteSignatureException: Date must be in ISO-8601 'basic format'. Got "
            "'2015-08-30'. See http://en.wikipedia.org/wiki/ISO_8601"
        ),
    ),
    (
        Client(date="20150829").in_headers(),
        (
            "InvalidSignatureException: Date in Credential scope does not match YYYYMMDD from "
            "ISO-8601 version of date from HTTP: '20150829' != '20150830', from '20150830T123600Z'."
        ),
    ),
    (
        Client(region="eu-west-1").in_headers(),
        "InvalidSignatureException: Credential should be scoped to a valid region. ",
    ),
    (
        Client(terminator="aws5_request").in_headers(),
        (
            "InvalidSignatureException: Credential should be scoped with a valid terminator: "
            "'aws4_request', not 'aws5_request'."
        ),
    ),
    (
        Signable("GET", b"/", b"", [DATE, (b"authorization", SHORT.encode())]),
        (
            "IncompleteSignatureException: Credential must have exactly 5 slash-delimited "
            "elements, e.g. keyid/date/region/service/term, got 'a/b'"
        ),
    ),
    (
        Client(names="x-amz-date").in_headers(),
        (
            "InvalidSignatureException: 'Host' or ':authority' must be a 'SignedHeader' in the AWS "
            "Authorization."
        ),
    ),
    (
        Client(given={"X-Amz-SignedHeaders": "x-amz-date"}).in_query(),
        (
            "InvalidSignatureException: 'Host' or ':authority' must be a 'SignedHeader' in the AWS "
            "Authorization."
        ),
    ),
    (
        Client(algorithm="AWS4-ECDSA-P256-SHA256").in_headers(),
        "IncompleteSignatureException: Unsupported AWS 'algorithm': 'AWS4-ECDSA-P256-SHA256'.",
    ),
    (
        Client(algorithm="AWS4-ECDSA-P256-SHA256").in_query(),
        "IncompleteSignatureException: Unsupported AWS 'algorithm': 'AWS4-ECDSA-P256-SHA256'.",
    ),
    (
        Client(without=["X-Amz-Credential", "X-Amz-Signature", "X-Amz-Date"]).in_query(),
        query_must("Credential", "Signature", "Date"),
    ),
    (
        Signable("GET", b"/", b"X-Amz-Algorithm=", [HOST]),
        query_must("Algorithm", "Credential", "Signature", "SignedHeaders", "Date"),
    ),
    (Client(given={"X-Amz-SignedHeaders": ""}).in_query(), query_must("SignedHeaders")),
    (
        Client(given={"X-Amz-Expires": "soon"}).in_query(),
        "IncompleteSignatureException: X-Amz-Expires should be a number",
    ),
    (
        Client(given={"X-Amz-Expires": "1.5"}).in_query(),
        "IncompleteSignatureException: X-Amz-Expires should be a number",
    ),
    (
        Client(given={"X-Amz-Expires": "9" * 400}).in_query(),
        "IncompleteSignatureException: X-Amz-Expires should be a number",
    ),
    (
        Client(given={"X-Amz-Expires": "-1"}).in_query(),
        "IncompleteSignatureException: X-Amz-Expires must be non-negative",
    ),
    (
        Client(given={"X-Amz-Expires": "604801"}).in_query(),
        (
            "IncompleteSignatureException: X-Amz-Expires must be less than a week (in seconds); "
            "that is, the given X-Amz-Expires must be less than 604800 seconds"
        ),
    ),
    (
        Client().in_headers()._replace(query=Client().in_query().query),
        (
            "InvalidSignatureException: Found both 'X-Amz-Algorithm' as a query-string param and "
            "'Authorization' as HTTP header."
        ),
    ),
    (
        Signable("GET", b"/", b"X-Amz-Signature=x&X-Amz-Date=y", [HOST]),
        "MissingAuthenticationTokenException: Missing Authentication Token",
    ),
    (Client().in_headers()._replace(query=b"x=1"), MISMATCH),
    (Client().in_query()._replace(method="POST"), MISMATCH),
    (Client().in_query()._replace(headers=[(b"host", b"evil.example")]), MISMATCH),
]


@pytest.mark.parametrize(("request_", "error"), WRONG)
def test_what_is_wrong_is_said_in_awss_words(request_: Signable, error: str) -> None:
    told = refusal(request_)
    assert told.startswith(error) if error.endswith(" ") else told == error


# --- payloads and tokens, at both doors -----------------------------------------------------------


class Keys:
    """One key, with a session token or without."""

    def __init__(self, token: str = "") -> None:
        self._key = AccessKey(
            access_key_id=KEY_ID, secret=SECRET, token=token, namespace="default", user="u"
        )

    def find(self, access_key_id: str) -> AccessKey | None:
        return self._key if access_key_id == KEY_ID else None


def gate(token: str = "") -> Gate:
    return Gate(Keys(token), region=REGION, account_of=lambda _: ACCOUNT, now=lambda: NOW)


def declared(payload: str) -> Client:
    return Client(
        payload=payload,
        names="host;x-amz-content-sha256;x-amz-date",
        more=[(b"x-amz-content-sha256", payload.encode())],
    )


SIGNED_CHUNKS = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
PLAIN_CHUNKS = b"2\r\n{}\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    ("payload", "wire", "at_urls"),
    [
        (hashlib.sha256(b"{}").hexdigest(), lambda _: b"{}", True),
        ("UNSIGNED-PAYLOAD", lambda _: b"{}", False),
        ("STREAMING-UNSIGNED-PAYLOAD-TRAILER", lambda _: PLAIN_CHUNKS, False),
        (SIGNED_CHUNKS, lambda request: signed_chunks(request, SECRET, b"{", b"}"), True),
        (
            f"{SIGNED_CHUNKS}-TRAILER",
            lambda request: signed_chunks(request, SECRET, b"{}", trailer="x-amz-meta:1"),
            True,
        ),
    ],
)
def test_payloads_and_where_they_are_taken(payload: str, wire: Any, at_urls: bool) -> None:
    """At function URLs none without a signature: "Lambda doesn't support unsigned payloads"."""
    request = declared(payload).in_headers()
    body = wire(request)
    assert gate().authenticate(request, body)[1] == b"{}"
    if at_urls:
        assert gate().admit(request, body)[1] == b"{}"
    else:
        with pytest.raises(LambdaError, match="does not match the signature you provided"):
            gate().admit(request, body)
    if "UNSIGNED" not in payload:
        with pytest.raises(LambdaError, match="does not match the signature you provided"):
            gate().authenticate(request, body.replace(b"}", b"]"))


@pytest.mark.parametrize("name", ["X-Amz-Content-Sha256", "header"])
def test_a_presigned_url_with_an_open_body_is_not_for_function_urls(name: str) -> None:
    given = {} if name == "header" else {name: "UNSIGNED-PAYLOAD"}
    more = [(b"x-amz-content-sha256", b"UNSIGNED-PAYLOAD")] if name == "header" else []
    request = Client(given=given, more=more)
    with pytest.raises(LambdaError, match="does not match the signature you provided"):
        gate().admit(request.in_query(), b"{}")


@pytest.mark.parametrize(
    ("wanted", "given", "passes"),
    [
        ("", "", True),
        ("secret", "secret", True),
        ("secret", "", False),
        ("secret", "other", False),
        ("", "secret", False),
    ],
)
@pytest.mark.parametrize("place", ["header", "unsigned header", "query"])
def test_session_tokens(wanted: str, given: str, passes: bool, place: str) -> None:
    """A token may be signed or added after signing; it must be the key's either way."""
    more = [(b"x-amz-security-token", given.encode())] if given else []
    names = "host;x-amz-date" + (";x-amz-security-token" if given and place == "header" else "")
    if place == "query":
        members = {"X-Amz-Security-Token": given} if given else {}
        request = Client(given=members).in_query()
    else:
        request = Client(more=more, names=names).in_headers()
    if passes:
        assert gate(wanted).authenticate(request, b"")[0].account == ACCOUNT
    else:
        with pytest.raises(LambdaError) as caught:
            gate(wanted).authenticate(request, b"")
        assert caught.value.error.name == "UnrecognizedClientException"
        assert caught.value.message == "The security token included in the request is invalid."
