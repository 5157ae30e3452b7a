"""What the installation says of events, through the gateway's own reading of its environment."""

from __future__ import annotations

import json
from typing import Any

import pytest

from klambda_core.signer import Credentials
from klambda_gateway.events.policy import Waits
from klambda_gateway.events.settings import EventSettings
from klambda_gateway.settings import SettingsError, from_environment


def read(document: Any = None, **environ: str) -> EventSettings:
    variables = {"KLAMBDA_NAMESPACE": "klambda", **environ}
    if document is not None:
        variables["KLAMBDA_EVENTS"] = json.dumps(document)
    return from_environment(variables).events


def test_without_a_word_it_is_as_on_lambda() -> None:
    assert read() == EventSettings()
    assert read().waits == Waits(retries=(60.0, 120.0), backoff_first=1.0, backoff_longest=300.0)


def test_everything_can_be_said() -> None:
    said = read(
        {
            "retryWaits": [1, 2.5],
            "backoffFirst": 0.1,
            "backoffLongest": 5,
            "deliveryAttempts": 3,
            "sqsEndpoint": "http://q",
            "snsEndpoint": "",
            "httpPrefixes": ["http://sink/"],
        },
        KLAMBDA_DESTINATIONS_ACCESS_KEY_ID="AKIA",
        KLAMBDA_DESTINATIONS_SECRET_ACCESS_KEY="s",
    )
    assert said == EventSettings(
        waits=Waits(retries=(1.0, 2.5), backoff_first=0.1, backoff_longest=5.0, deliveries=3),
        endpoints={"sqs": "http://q"},
        http_prefixes=("http://sink/",),
        keys=Credentials(access_key_id="AKIA", secret_access_key="s"),
    )


@pytest.mark.parametrize(
    "document",
    [
        {"retryWait": []},
        {"retryWaits": []},
        {"retryWaits": ["soon"]},
        {"retryWaits": [-1]},
        {"backoffFirst": 1e9},
        {"backoffLongest": None},
        {"deliveryAttempts": 0},
    ],
)
def test_what_cannot_be_is_named(document: Any) -> None:
    with pytest.raises(SettingsError, match="KLAMBDA_EVENTS"):
        read(document)
