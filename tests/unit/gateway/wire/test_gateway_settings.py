"""The gateway's environment."""

from __future__ import annotations

import pytest

from klambda_core.urls import UrlPlace
from klambda_gateway.settings import Settings, SettingsError, from_environment

CHART = {
    "KLAMBDA_NAMESPACE": "klambda",
    "KLAMBDA_POD_NAME": "gateway-0",
    "KLAMBDA_POD_IP": "10.0.0.7",
    "KLAMBDA_REGION": "eu-central-1",
    "KLAMBDA_CLUSTER_DOMAIN": "example.internal",
    "KLAMBDA_ACCOUNTS": '{"default": "123456789012"}',
    "KLAMBDA_STORE_URL": "http://store:8090",
    "KLAMBDA_PUBLIC_URL": "https://lambda.example.com/",
    "KLAMBDA_URL_DOMAIN": "example.com",
    "KLAMBDA_URL_SCHEME": "https",
    "KLAMBDA_URL_PORT": "8443",
    "KLAMBDA_TRUSTED_PROXIES": "10.0.0.0/8, fd00::1,",
    "KLAMBDA_IDLE_SECONDS": "30",
    "KLAMBDA_SCALING": '{"namespaces": {"a": {"concurrentExecutions": 50}}}',
    "KLAMBDA_SERVICE_PORT": "80",
    "KLAMBDA_WATCH_NAMESPACES": "a, b,",
    "KLAMBDA_RUNTIMES": '{"python3.13": {"image": "x"}}',
    "KLAMBDA_RUNTIME_SUBSTITUTIONS": '{"python3.12": "python3.13"}',
}


def test_what_the_chart_says_is_read() -> None:
    settings = from_environment(CHART)
    assert settings.accounts == {"default": "123456789012"}
    assert settings.watch_namespaces == ("a", "b")
    assert settings.default_account == "a"
    assert settings.runtimes == ("python3.12", "python3.13")
    assert settings.scaling.of("b").idle_seconds == 30
    assert settings.scaling.of("a").account == 50
    assert settings.scaling.of("b").account == 1000
    assert settings.public_url == "https://lambda.example.com"
    assert settings.urls == UrlPlace(
        region="eu-central-1", domain="example.com", scheme="https", port=8443
    )
    assert [str(each) for each in settings.trusted_proxies] == ["10.0.0.0/8", "fd00::1/128"]
    assert settings.endpoints == {
        "AWS_ENDPOINT_URL_LAMBDA": "http://klambda-gateway.klambda.svc.example.internal:80",
        "AWS_ENDPOINT_URL_STS": "http://klambda-gateway.klambda.svc.example.internal:80",
    }


def test_the_fast_lane_can_be_switched_off() -> None:
    assert from_environment(CHART).fast_lane
    assert not from_environment(CHART | {"KLAMBDA_FAST_LANE": "off"}).fast_lane


def test_the_access_log_can_be_switched_on() -> None:
    assert not from_environment(CHART).access_log
    assert from_environment(CHART | {"KLAMBDA_ACCESS_LOG": "on"}).access_log


def test_where_code_may_come_from() -> None:
    sources = from_environment(
        CHART
        | {
            "KLAMBDA_S3_ENDPOINT": "http://minio:9000/",
            "KLAMBDA_S3_REGION": "",
            "KLAMBDA_S3_ACCESS_KEY_ID": "AKIA",
            "KLAMBDA_S3_SECRET_ACCESS_KEY": "secret",
            "KLAMBDA_S3_BUCKETS": "one,two",
            "KLAMBDA_URL_HOSTS": "*.example.org",
        }
    ).sources
    assert (sources.endpoint, sources.region) == ("http://minio:9000", "eu-central-1")
    assert (sources.buckets, sources.hosts) == (("one", "two"), ("*.example.org",))
    assert "secret" not in repr(sources)


def test_only_the_namespace_is_needed() -> None:
    settings = from_environment({"KLAMBDA_NAMESPACE": "klambda"})
    assert settings.store_url == "http://klambda-store.klambda.svc.cluster.local.:8090"
    assert settings.default_account == "default"
    assert settings == Settings(namespace="klambda", store_url=settings.store_url)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("KLAMBDA_NAMESPACE", ""),
        ("KLAMBDA_HTTP_PORT", "http"),
        ("KLAMBDA_HTTP_PORT", "70000"),
        ("KLAMBDA_IDLE_SECONDS", "soon"),
        ("KLAMBDA_IDLE_SECONDS", "-1"),
        ("KLAMBDA_IDLE_SECONDS", "nan"),
        ("KLAMBDA_SCALING", '{"burstLimit": 0}'),
        ("KLAMBDA_SCALING", '{"namespaces": []}'),
        ("KLAMBDA_PROVISIONED_PATIENCE_SECONDS", "soon"),
        ("KLAMBDA_URL_DOMAIN", "a b"),
        ("KLAMBDA_TRUSTED_PROXIES", "10.0.0.0/8, proxy"),
        ("KLAMBDA_ACCOUNTS", "{"),
        ("KLAMBDA_RUNTIMES", "[]"),
        ("KLAMBDA_FAST_LANE", "maybe"),
        ("KLAMBDA_S3_ENDPOINT", "minio:9000"),
        ("KLAMBDA_S3_ACCESS_KEY_ID", "without its secret"),
    ],
)
def test_a_bad_value_names_its_variable(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        from_environment(CHART | {name: value})
