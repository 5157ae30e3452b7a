"""The environment: read, checked, and refused with the variable's name."""

from pathlib import Path

import pytest

from klambda_core.urls import UrlPlace
from klambda_operator.settings import Runtime, SettingsError, from_environment

RUNTIMES = '{"python3.13": {"image": "p"}, "x": {"image": "i", "bootstrap": "/b"}}'


def test_all_of_it() -> None:
    found = from_environment(
        {
            "KLAMBDA_NAMESPACE": "klambda",
            "KLAMBDA_POD_NAME": "op-1",
            "KLAMBDA_RUNTIMES": RUNTIMES,
            "KLAMBDA_RUNTIME_SUBSTITUTIONS": '{"python3.12": "python3.13"}',
            "KLAMBDA_ACCOUNTS": '{"default": "123456789012"}',
            "KLAMBDA_WATCH_NAMESPACES": "a, b,",
            "KLAMBDA_ADMIN_PORT": "9",
            "KLAMBDA_SCALING": '{"concurrentExecutions": 500}',
            "KLAMBDA_URL_DOMAIN": "example.com",
            "KLAMBDA_URL_PORT": "8443",
        }
    )
    assert found.runtimes.find("python3.12") == ("python3.13", Runtime(image="p"))
    assert found.runtimes.find("x") == ("x", Runtime(image="i", bootstrap="/b"))
    assert found.runtimes.find("y") is None
    assert found.watch_namespaces == ("a", "b")
    assert found.admin_port == 9
    assert found.urls == UrlPlace(region="us-east-1", domain="example.com", port=8443)
    assert found.scaling.of("a").account == 500
    assert found.accounts == {"default": "123456789012"}


def test_defaults() -> None:
    found = from_environment({"KLAMBDA_NAMESPACE": "klambda", "HOSTNAME": "h"})
    assert (found.region, found.admin_port, found.pod_name) == ("us-east-1", 8081, "h")
    assert found.watch_namespaces == ()


def test_a_table_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "runtimes.json"
    file.write_text(RUNTIMES)
    found = from_environment({"KLAMBDA_NAMESPACE": "k", "KLAMBDA_RUNTIMES": str(file)})
    assert set(found.runtimes.images) == {"python3.13", "x"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("KLAMBDA_NAMESPACE", ""),
        ("KLAMBDA_RUNTIMES", "{"),
        ("KLAMBDA_RUNTIMES", "[]"),
        ("KLAMBDA_RUNTIMES", '{"a": {}}'),
        ("KLAMBDA_RUNTIME_SUBSTITUTIONS", '{"a": "b"}'),
        ("KLAMBDA_ACCOUNTS", '{"a": 1}'),
        ("KLAMBDA_ADMIN_PORT", "x"),
        ("KLAMBDA_CONCURRENCY", "0"),
        ("KLAMBDA_SCALING", '{"concurrentExecutions": 0}'),
        ("KLAMBDA_SCALING", '{"namespaces": {"a": 1}}'),
        ("KLAMBDA_URL_SCHEME", "ftp"),
    ],
)
def test_nonsense_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        from_environment({"KLAMBDA_NAMESPACE": "k"} | {name: value})
