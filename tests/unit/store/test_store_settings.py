"""The store's environment."""

from __future__ import annotations

from pathlib import Path

from klambda_store.settings import from_environment


def test_the_defaults_suit_the_chart() -> None:
    settings = from_environment({})
    assert (settings.data, settings.port) == (Path("/data"), 8090)
    assert settings.installation_secret == "klambda-installation"
    assert settings.installation_key == ""


def test_everything_can_be_said() -> None:
    settings = from_environment(
        {
            "KLAMBDA_DATA": "/x",
            "KLAMBDA_STORE_PORT": "1",
            "KLAMBDA_NAMESPACE": "n",
            "KLAMBDA_INSTALLATION_SECRET": "s",
            "KLAMBDA_INSTALLATION_KEY": "k",
            "KLAMBDA_LOG_LEVEL": "DEBUG",
        }
    )
    assert (settings.data, settings.port, settings.namespace) == (Path("/x"), 1, "n")
    assert (settings.installation_secret, settings.installation_key) == ("s", "k")
    assert settings.log_level == "DEBUG"
