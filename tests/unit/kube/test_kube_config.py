"""Where the configuration comes from: pod, kubeconfig, neither."""

from __future__ import annotations

import base64
import datetime
import ssl
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from klambda_kube.config import ConfigError, TokenSource, from_kubeconfig, load


@pytest.fixture(scope="module")
def pair() -> tuple[bytes, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=3650))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return (
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )


def encoded(text: bytes) -> str:
    return base64.b64encode(text).decode()


def write(path: Path, cluster: dict[str, Any], user: dict[str, Any], **context: str) -> Path:
    path.write_text(
        yaml.safe_dump(
            {
                "current-context": "here",
                "contexts": [
                    {"name": "other", "context": {}},
                    {"name": "here", "context": {"cluster": "c", "user": "u", **context}},
                ],
                "clusters": [{"name": "c", "cluster": cluster}],
                "users": [{"name": "u", "user": user}],
            }
        )
    )
    return path


def service_account(folder: Path, certificate: bytes) -> Path:
    (folder / "token").write_text("first\n")
    (folder / "ca.crt").write_bytes(certificate)
    (folder / "namespace").write_text("klambda\n")
    return folder


def test_in_a_pod(tmp_path: Path, pair: tuple[bytes, bytes]) -> None:
    environ = {"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443"}
    config = load(environ, service_account(tmp_path, pair[0]))
    assert config.server == "https://10.96.0.1:443"
    assert config.namespace == "klambda"
    assert config.token.current() == "first"
    assert config.tls is not None
    assert config.tls.verify_mode is ssl.CERT_REQUIRED
    assert len(config.tls.get_ca_certs()) == 1, "only the cluster's own CA is trusted"


def test_in_a_pod_with_ipv6(tmp_path: Path, pair: tuple[bytes, bytes]) -> None:
    environ = {"KUBERNETES_SERVICE_HOST": "fd00::1"}
    assert load(environ, service_account(tmp_path, pair[0])).server == "https://[fd00::1]:443"


def test_a_pod_without_a_token_is_told_what_to_change(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="automountServiceAccountToken"):
        load({"KUBERNETES_SERVICE_HOST": "10.96.0.1"}, tmp_path)


def test_neither(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="set KUBECONFIG"):
        load({"HOME": str(tmp_path)})


def test_kubeconfig_with_embedded_material(tmp_path: Path, pair: tuple[bytes, bytes]) -> None:
    certificate, key = pair
    path = write(
        tmp_path / "config",
        {"server": "https://localhost:6443/", "certificate-authority-data": encoded(certificate)},
        {"client-certificate-data": encoded(certificate), "client-key-data": encoded(key)},
        namespace="team",
    )
    config = load({"KUBECONFIG": f"/does/not/exist:{path}", "KUBERNETES_SERVICE_HOST": "x"})
    assert config.server == "https://localhost:6443"
    assert config.namespace == "team"
    assert config.token.current() == ""
    assert config.tls is not None
    assert config.tls.check_hostname


def test_kubeconfig_with_files_beside_it(tmp_path: Path, pair: tuple[bytes, bytes]) -> None:
    (tmp_path / "ca.pem").write_bytes(pair[0])
    (tmp_path / "tls.pem").write_bytes(pair[0])
    (tmp_path / "key.pem").write_bytes(pair[1])
    (tmp_path / "token").write_text("from-file")
    home = tmp_path / ".kube"
    home.mkdir()
    write(
        home / "config",
        {"server": "https://localhost", "certificate-authority": str(tmp_path / "ca.pem")},
        {"tokenFile": "../token", "client-certificate": "../tls.pem", "client-key": "../key.pem"},
    )
    config = load({"HOME": str(tmp_path)})
    assert config.token.current() == "from-file"
    assert config.tls is not None
    assert len(config.tls.get_ca_certs()) == 1
    assert config.namespace == "default"


def test_plain_http_and_a_constant_token(tmp_path: Path) -> None:
    path = write(tmp_path / "c", {"server": "http://127.0.0.1:8001"}, {"token": "t"})
    config = from_kubeconfig(path)
    assert config.tls is None
    assert config.token.current() == "t"


def test_unverified_when_asked_for(tmp_path: Path) -> None:
    path = write(tmp_path / "c", {"server": "https://x", "insecure-skip-tls-verify": True}, {})
    config = from_kubeconfig(path)
    assert config.tls is not None
    assert config.tls.verify_mode is ssl.CERT_NONE


@pytest.mark.parametrize("method", ["exec", "auth-provider", "username"])
def test_plugins_are_refused_by_name(tmp_path: Path, method: str) -> None:
    path = write(tmp_path / "c", {"server": "https://x"}, {method: "x"})
    with pytest.raises(ConfigError, match=method):
        from_kubeconfig(path)


def test_broken_files(tmp_path: Path) -> None:
    path = write(tmp_path / "c", {"server": ""}, {})
    with pytest.raises(ConfigError, match="no server"):
        from_kubeconfig(path)
    with pytest.raises(ConfigError, match="'nowhere' in contexts"):
        from_kubeconfig(path, "nowhere")
    path = write(tmp_path / "c", {"server": "https://x", "certificate-authority-data": "%"}, {})
    with pytest.raises(ConfigError, match="not base64"):
        from_kubeconfig(path)


def test_a_token_is_read_again_each_minute_or_when_refused(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("one")
    now = 100.0
    source = TokenSource(path=file, now=lambda: now)
    assert source.current() == "one"
    file.write_text("two")
    now = 159.0
    assert source.current() == "one"
    now = 160.0
    assert source.current() == "two"
    file.write_text("three")
    source.expire()
    assert source.current() == "three"
    file.unlink()
    source.expire()
    assert source.current() == "three"
    with pytest.raises(OSError, match="token"):
        TokenSource(path=file).current()
