"""Whom outgoing TLS believes."""

from __future__ import annotations

import datetime
import ssl
from pathlib import Path

import pytest

from klambda_kube.trust import BadBundle, trusting
from tools.cluster import pki


def test_without_a_bundle_the_usual_authorities_count() -> None:
    assert trusting("") is True


def test_a_bundles_authorities_count_besides_the_usual_ones(tmp_path: Path) -> None:
    keys = pki.create(
        tmp_path, addresses=[], identities=[], now=datetime.datetime.now(datetime.UTC)
    )
    context = trusting(str(keys.ca))
    assert isinstance(context, ssl.SSLContext)
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    names = str(context.get_ca_certs())
    usual = ssl.create_default_context().get_ca_certs()
    assert "klambda-ca" in names
    assert len(context.get_ca_certs()) == len(usual) + 1


@pytest.mark.parametrize("text", [None, "", "no certificate", "-----BEGIN CERTIFICATE-----\nx"])
def test_a_bundle_that_cannot_be_used_is_named(tmp_path: Path, text: str | None) -> None:
    bundle = tmp_path / "ca.crt"
    if text is not None:
        bundle.write_text(text)
    with pytest.raises(BadBundle, match=r"KLAMBDA_CA_BUNDLE: .*ca\.crt cannot be used"):
        trusting(str(bundle))
