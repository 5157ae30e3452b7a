"""The chart's values under a namespace's under a function's own."""

from __future__ import annotations

from typing import Any

import pytest

from klambda_core.scaling import Scaling, ScalingDefaults, read_defaults


def test_the_nearest_word_holds() -> None:
    defaults = read_defaults(
        {
            "minReplicas": 0,
            "maxReplicas": None,
            "burstLimit": 100,
            "namespaces": {"a": {"idleSeconds": 5, "concurrentExecutions": 50}},
        },
        idle_seconds=30,
    )
    assert defaults.of("b") == Scaling(idle_seconds=30, burst=100)
    assert defaults.of("a") == Scaling(idle_seconds=5, burst=100, account=50)
    own = {"idleSeconds": 7, "minReplicas": 1, "maxReplicas": 2, "burstLimit": None}
    assert defaults.of("a").under(own) == Scaling(
        idle_seconds=7, minimum=1, maximum=2, burst=100, account=50
    )
    assert defaults.of("a").under({}) is defaults.of("a")
    assert defaults.of("a").under({"concurrentExecutions": 9}).account == 50, "not its to say"


def test_lambdas_quotas_are_the_defaults() -> None:
    assert read_defaults({}) == ScalingDefaults()
    assert (Scaling().burst, Scaling().account) == (1000, 1000)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"burst": 1}, "burst is unknown"),
        ({"burstLimit": 0}, "burstLimit=0"),
        ({"burstLimit": True}, "burstLimit=True"),
        ({"burstLimit": 1.5}, "burstLimit=1.5"),
        ({"maxReplicas": "9"}, "maxReplicas='9'"),
        ({"concurrentExecutions": -1}, "concurrentExecutions=-1"),
        ({"minReplicas": 2, "maxReplicas": 1}, "minReplicas cannot be above maxReplicas"),
        ({"namespaces": [1]}, "namespaces must map"),
        ({"namespaces": {"a": 1}}, r"namespaces\.a must be an object"),
        ({"namespaces": {"a": {"namespaces": {}}}}, r"namespaces\.a\.namespaces is unknown"),
        ({"namespaces": {"a": {"idleSeconds": 0}}}, r"namespaces\.a\.idleSeconds=0"),
        (
            {"maxReplicas": 1, "namespaces": {"a": {"minReplicas": 2}}},
            r"namespaces\.a\.minReplicas cannot be above",
        ),
    ],
)
def test_nonsense_is_refused_by_name(document: Any, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        read_defaults(document)
