"""Keys: who may be called by which name, who is whom, and that a second start keeps them."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
import stat
from pathlib import Path

import pytest
from cryptography import x509

from tools.cluster import pki
from tools.cluster.control_plane import ADMIN
from tools.cluster.native import components

NOW = datetime.datetime(2026, 11, 21, tzinfo=datetime.UTC)
ADDRESSES = ["127.0.0.1", "10.89.0.2"]


@pytest.fixture
def keys(tmp_path: Path) -> pki.Pki:
    return pki.create(
        tmp_path / "pki", addresses=ADDRESSES, identities=components.IDENTITIES, now=NOW
    )


def certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_the_api_server_may_be_called_by_every_name_and_address_it_has(keys: pki.Pki) -> None:
    names = certificate(keys.certificate("apiserver")).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    assert set(names.value.get_values_for_type(x509.IPAddress)) == {
        ipaddress.ip_address(address) for address in ADDRESSES
    }
    assert "kubernetes.default.svc.cluster.local" in names.value.get_values_for_type(x509.DNSName)


def test_certificates_are_signed_by_the_ca_and_only_it_may_sign(keys: pki.Pki) -> None:
    ca = certificate(keys.ca)
    for name in ("apiserver", "apiserver-kubelet"):
        leaf = certificate(keys.certificate(name))
        leaf.verify_directly_issued_by(ca)
        limits = leaf.extensions.get_extension_for_class(x509.BasicConstraints)
        assert not limits.value.ca
    assert ca.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_python_accepts_the_ca(keys: pki.Pki) -> None:
    context = ssl.create_default_context(cafile=str(keys.ca))
    assert context.cert_store_stats()["x509_ca"] == 1


def test_every_identity_has_a_token_of_its_own(keys: pki.Pki) -> None:
    tokens = {keys.token(identity.user) for identity in components.IDENTITIES}
    assert len(tokens) == len(components.IDENTITIES)
    with pytest.raises(ValueError, match="make down"):
        keys.token("nobody")


def test_a_second_start_keeps_everything(keys: pki.Pki) -> None:
    before = {path.name: path.read_bytes() for path in keys.folder.iterdir()}
    pki.create(keys.folder, addresses=[], identities=[ADMIN], now=NOW)
    assert {path.name: path.read_bytes() for path in keys.folder.iterdir()} == before


def test_secrets_are_readable_by_their_owner_only(keys: pki.Pki) -> None:
    for path in (keys.ca_key, keys.account_key, keys.tokens, keys.key("apiserver")):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_groups_with_commas_cannot_break_the_token_file() -> None:
    line = pki.token_file([pki.Identity(user="u", groups=("a", "b"))])
    assert line.endswith(',u,u,"a,b"\n')
