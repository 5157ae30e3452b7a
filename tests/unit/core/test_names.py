"""Names are legal, deterministic, and never shared by different parents."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from klambda_core import names
from klambda_core.limits import LABEL_MAX, OBJECT_NAME_MAX

LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?\Z")
AWS_NAMES = st.from_regex(r"[a-zA-Z0-9-_]{1,64}", fullmatch=True)


@pytest.mark.parametrize("name", ["area", "a", "0", "my-function-2", "x" * 46])
def test_a_legal_name_is_the_object_name(name: str) -> None:
    assert names.object_name(name) == name


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("myLambdaFunction", "mylambdafunction-"),
        ("my_function", "my-function-"),
        ("-x-", "x-"),
        ("x" * 47, "x" * 37 + "-"),
        ("a" * 36 + "_b", "a" * 36 + "-"),
    ],
)
def test_other_names_become_slug_and_hash(name: str, slug: str) -> None:
    found = names.object_name(name)
    assert found.startswith(slug)
    assert len(found) == len(slug) + 8


def test_a_name_without_letters_is_its_hash() -> None:
    assert re.fullmatch("[0-9a-f]{8}", names.object_name("___"))


@given(AWS_NAMES)
def test_every_aws_name_gives_a_legal_object_name(name: str) -> None:
    found = names.object_name(name)
    assert LABEL.match(found)
    assert len(found) <= OBJECT_NAME_MAX


@given(AWS_NAMES, AWS_NAMES)
def test_names_that_differ_by_spelling_only_stay_apart(one: str, other: str) -> None:
    if one != other and not (LABEL.match(one) and LABEL.match(other)):
        assert names.object_name(one) != names.object_name(other)


@given(AWS_NAMES, st.from_regex(r"[a-zA-Z0-9-_]{1,128}", fullmatch=True))
def test_alias_names_fit_a_label(function: str, alias: str) -> None:
    found = names.alias_name(names.object_name(function), alias)
    assert LABEL.match(found)
    assert len(found) <= LABEL_MAX


@given(AWS_NAMES, st.sampled_from(["$LATEST", "1", "999999"]), st.text(), st.uuids())
def test_deployment_names_fit_a_label(function: str, version: str, rev: str, uid: object) -> None:
    found = names.deployment_name(names.object_name(function), version, rev, str(uid))
    assert LABEL.match(found)
    assert len(found) <= LABEL_MAX


def test_a_deployment_belongs_to_its_owners_uid() -> None:
    first = names.deployment_name("area", "$LATEST", "rev", "uid-1")
    assert first.startswith("area-latest-")
    assert first != names.deployment_name("area", "$LATEST", "rev", "uid-2")
    assert first != names.deployment_name("area", "$LATEST", "other", "uid-1")
    assert names.deployment_name("area", "3", "rev", "u").startswith("area-v3-")


def test_version_names_are_those_of_the_crd_rule() -> None:
    assert names.version_name("area", 7) == "area-v7"
