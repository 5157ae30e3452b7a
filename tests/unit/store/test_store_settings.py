"""The store's environment."""

from __future__ import annotations

from pathlib import Path

from klambda_core.s3 import Place
from klambda_core.signer import Credentials
from klambda_store.settings import bucket_of, from_environment


def test_the_defaults_suit_the_chart() -> None:
    settings = from_environment({})
    assert (settings.data, settings.port) == (Path("/data"), 8090)
    assert settings.installation_secret == "klambda-installation"
    assert settings.installation_key == ""
    assert settings.bucket is None


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


def test_a_bucket() -> None:
    place = bucket_of({"KLAMBDA_BLOBS_S3_ENDPOINT": "http://m", "KLAMBDA_BLOBS_S3_BUCKET": "b"})
    assert place == Place(endpoint="http://m", bucket="b", region="us-east-1")
    settings = from_environment(
        {
            "KLAMBDA_BLOBS_S3_ENDPOINT": "http://m",
            "KLAMBDA_BLOBS_S3_BUCKET": "b",
            "KLAMBDA_BLOBS_S3_PREFIX": "p",
            "KLAMBDA_BLOBS_S3_REGION": "r",
            "KLAMBDA_BLOBS_S3_PATH_STYLE": "false",
            "KLAMBDA_BLOBS_S3_ACCESS_KEY_ID": "k",
            "KLAMBDA_BLOBS_S3_SECRET_ACCESS_KEY": "s",
        }
    )
    key = Credentials(access_key_id="k", secret_access_key="s")
    assert settings.bucket == Place(
        endpoint="http://m", bucket="b", region="r", path_style=False, credentials=key
    )
    assert settings.prefix == "p"
