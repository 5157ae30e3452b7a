"""Addresses of function URLs."""

from __future__ import annotations

import re

import pytest

from klambda_core.urls import UrlPlace, read_place, url_id

KEY = "k" * 64
ID = "a" * 32


@pytest.mark.parametrize(
    ("place", "address"),
    [
        (
            UrlPlace(region="us-east-1", port=8080),
            f"http://{ID}.lambda-url.us-east-1.localhost:8080/",
        ),
        (UrlPlace(region="us-east-1"), f"http://{ID}.lambda-url.us-east-1.localhost/"),
        (UrlPlace(region="us-east-1", port=80), f"http://{ID}.lambda-url.us-east-1.localhost/"),
        (
            UrlPlace(region="eu-west-1", scheme="https", domain="example.com", port=443),
            f"https://{ID}.lambda-url.eu-west-1.example.com/",
        ),
        (
            UrlPlace(region="eu-west-1", scheme="https", domain="example.com", port=80),
            f"https://{ID}.lambda-url.eu-west-1.example.com:80/",
        ),
    ],
)
def test_an_address_names_the_port_unless_it_is_the_schemes_own(
    place: UrlPlace, address: str
) -> None:
    assert place.address(ID) == address


def test_an_id_is_32_of_awss_alphabet_and_of_one_function_and_qualifier_only() -> None:
    ids = {
        url_id(KEY, "default", "area"),
        url_id(KEY, "default", "area", "live"),
        url_id(KEY, "default", "area2"),
        url_id(KEY, "other", "area"),
        url_id("j" * 64, "default", "area"),
    }
    assert len(ids) == 5
    assert all(re.fullmatch("[a-z0-9]{32}", each) for each in ids)
    assert url_id(KEY, "default", "area") == url_id(KEY, "default", "area", None)


def test_places_are_read_from_the_environment() -> None:
    assert read_place({}, "us-east-1") == UrlPlace(region="us-east-1")
    given = {
        "KLAMBDA_URL_DOMAIN": "Example.COM",
        "KLAMBDA_URL_SCHEME": "https",
        "KLAMBDA_URL_PORT": "8443",
    }
    assert read_place(given, "eu-west-1") == UrlPlace(
        region="eu-west-1", domain="example.com", scheme="https", port=8443
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("KLAMBDA_URL_DOMAIN", "exa mple"),
        ("KLAMBDA_URL_DOMAIN", ".com"),
        ("KLAMBDA_URL_DOMAIN", "a..b"),
        ("KLAMBDA_URL_DOMAIN", "localhost:8080"),
        ("KLAMBDA_URL_SCHEME", "ftp"),
        ("KLAMBDA_URL_PORT", "0"),
        ("KLAMBDA_URL_PORT", "65536"),
        ("KLAMBDA_URL_PORT", "http"),
    ],
)
def test_a_bad_place_names_its_variable(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=name):
        read_place({name: value}, "us-east-1")
