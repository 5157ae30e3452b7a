"""Minimums of instances follow the routing table."""

from __future__ import annotations

from typing import Any

from klambda_core.scaling import Scaling
from klambda_gateway.instances.pods import DeploymentKey
from klambda_gateway.routing.facts import FunctionFacts, Serving
from klambda_gateway.routing.table import Entry
from klambda_gateway.scale.minimum import Minimums

ONE, TWO = (DeploymentKey("default", f"area-latest-{number}") for number in (1, 2))


def entry(deployment: str | None = ONE.name, *, minimum: int = 2, **more: Any) -> Entry:
    return Entry(
        function=FunctionFacts(
            namespace="default",
            name="area",
            uid="u",
            aws_name="area",
            created="",
            timeout=3,
            serving=Serving(deployment=deployment, revision="r") if deployment else None,
            **{"scaling": Scaling(minimum=minimum)} | more,
        )
    )


def test_it_moves_with_the_deployment_and_goes_with_the_function() -> None:
    index = Minimums()
    first, second = entry(), entry(TWO.name)
    index.changed(None, entry(None))
    assert not index.deployments()
    index.changed(entry(None), first)
    assert (index.of(ONE), set(index.deployments())) == (2, {ONE})
    index.changed(first, second)
    assert (index.of(ONE), index.of(TWO)) == (0, 2)
    index.changed(second, entry(TWO.name, minimum=0))
    assert not index.deployments()
    index.changed(None, second)
    index.changed(second, None)
    assert not index.deployments()
    index.changed(None, None)


def test_never_more_than_may_run() -> None:
    index = Minimums()
    index.changed(None, entry(reserved=1))
    assert index.of(ONE) == 1
    index.changed(entry(reserved=1), entry(reserved=0))
    assert not index.deployments(), "stopped"
