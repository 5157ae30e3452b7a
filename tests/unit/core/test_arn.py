"""Every accepted spelling of a FunctionName, and nothing else (botocore model)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from klambda_core import arn
from klambda_core.arn import FunctionTarget, Malformed

FULL = "arn:aws:lambda:us-east-1:123456789012:function:area"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("area", FunctionTarget(name="area")),
        ("area:live", FunctionTarget(name="area", qualifier="live")),
        ("area:$LATEST", FunctionTarget(name="area", qualifier="$LATEST")),
        ("area:3", FunctionTarget(name="area", qualifier="3")),
        ("function:area", FunctionTarget(name="area")),
        ("function:area:1", FunctionTarget(name="area", qualifier="1")),
        ("123456789012:area", FunctionTarget(name="area", account="123456789012")),
        ("123456789012:function:area", FunctionTarget(name="area", account="123456789012")),
        (
            FULL,
            FunctionTarget(
                name="area", region="us-east-1", account="123456789012", partition="aws"
            ),
        ),
        (
            FULL + ":live",
            FunctionTarget(
                name="area",
                qualifier="live",
                region="us-east-1",
                account="123456789012",
                partition="aws",
            ),
        ),
        (
            "arn:aws-us-gov:lambda:us-gov-west-1:123456789012:function:f",
            FunctionTarget(
                name="f", region="us-gov-west-1", account="123456789012", partition="aws-us-gov"
            ),
        ),
    ],
)
def test_accepted_spellings(text: str, expected: FunctionTarget) -> None:
    assert arn.parse_function(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "a b", "area:", ":area", "area:a:b", "area:$OTHER", "arn:aws:s3:::bucket", "ärea", "f\n"],
)
def test_everything_else_is_malformed(text: str) -> None:
    assert arn.parse_function(text) == Malformed(text=text)


@given(st.from_regex(r"[a-zA-Z0-9-_]{1,64}", fullmatch=True), st.sampled_from([None, "1", "a-b"]))
def test_what_is_written_can_be_read(name: str, qualifier: str | None) -> None:
    text = arn.function_arn("eu-west-1", "123456789012", name, qualifier)
    found = arn.parse_function(text)
    assert isinstance(found, FunctionTarget)
    assert (found.name, found.qualifier) == (name, qualifier)


@given(st.text())
def test_no_text_breaks_the_parser(text: str) -> None:
    assert isinstance(arn.parse_function(text), FunctionTarget | Malformed)


def test_other_arns() -> None:
    region, account = "us-east-1", "123456789012"
    assert arn.layer_arn(region, account, "l") == f"arn:aws:lambda:{region}:{account}:layer:l"
    assert arn.layer_arn(region, account, "l", 7).endswith(":layer:l:7")
    assert arn.event_source_mapping_arn(region, account, "u").endswith(":event-source-mapping:u")
    assert arn.code_signing_config_arn(region, account, "csc-1").endswith("config:csc-1")
    assert arn.runtime_arn(region, "ab") == "arn:aws:lambda:us-east-1::runtime:ab"
    assert arn.default_role(account) == "arn:aws:iam::123456789012:role/klambda-default"


def test_versions_are_numbers_without_zeros_before() -> None:
    texts = ("1", "10", "0", "0012", "$LATEST", "$LATEST.PUBLISHED", "1a", "")
    assert [text for text in texts if arn.is_version(text)] == ["1", "10", "0"]


class TestAccount:
    def test_the_annotation_wins_over_the_map(self) -> None:
        mapping = {"ns": "222222222222"}
        assert arn.account_id("ns", annotation="1" * 12, mapping=mapping) == "1" * 12
        assert arn.account_id("ns", mapping=mapping) == "222222222222"

    @pytest.mark.parametrize("broken", ["", "123", "12345678901x", "1234567890123"])
    def test_what_is_no_account_id_is_not_taken(self, broken: str) -> None:
        assert arn.account_id("ns", annotation=broken) == arn.account_id("ns")

    @given(st.text(min_size=1, max_size=63))
    def test_otherwise_twelve_stable_digits(self, namespace: str) -> None:
        found = arn.account_id(namespace)
        assert len(found) == 12
        assert found.isdigit()
        assert found == arn.account_id(namespace)

    def test_the_hash_never_changes(self) -> None:
        assert arn.account_id("default") == "984327297149"
