"""Keys and certificates of a cluster: one CA, serving and client certificates, the token key.

Elliptic keys, because making them costs a millisecond. Made once and kept: a second start must
find the same CA in every kubeconfig that was handed out. Who calls as whom is a token file
(`write_tokens`), which is enough where one user owns the machine.
"""

from __future__ import annotations

import datetime
import ipaddress
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

VALIDITY = datetime.timedelta(days=3650)
CLOCK_SKEW = datetime.timedelta(hours=1)
API_SERVER_NAMES = (
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Whom a token stands for: a Kubernetes user and its groups."""

    user: str
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Pki:
    """The files of one cluster's keys."""

    folder: Path

    @property
    def ca(self) -> Path:
        """The CA's certificate."""
        return self.folder / "ca.crt"

    @property
    def ca_key(self) -> Path:
        """The CA's key (the controller-manager signs with it)."""
        return self.folder / "ca.key"

    @property
    def tokens(self) -> Path:
        """The API server's token file."""
        return self.folder / "tokens.csv"

    @property
    def account_key(self) -> Path:
        """The key that signs service-account tokens."""
        return self.folder / "service-account.key"

    @property
    def account_public_key(self) -> Path:
        """The key that verifies service-account tokens."""
        return self.folder / "service-account.pub"

    def certificate(self, name: str) -> Path:
        """Return the certificate file of `name`."""
        return self.folder / f"{name}.crt"

    def key(self, name: str) -> Path:
        """Return the key file of `name`."""
        return self.folder / f"{name}.key"

    def token(self, user: str) -> str:
        """Return a user's token; ValueError when the keys were made without that user."""
        for line in self.tokens.read_text().splitlines():
            token, name, _ = line.split(",", 2)
            if name == user:
                return token
        raise ValueError(f"these keys know no {user}: `make down` first")


def create(
    folder: Path,
    *,
    addresses: Sequence[str],
    identities: Sequence[Identity],
    now: datetime.datetime,
) -> Pki:
    """Make everything that is not there yet; `addresses` are the API server's IPs."""
    pki = Pki(folder=folder)
    if pki.tokens.exists():  # written last
        return pki
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca = _sign(subject=_name("klambda-ca"), key=ca_key, issuer=None, issuer_key=ca_key, now=now)
    write_key(pki.ca_key, ca_key)
    pki.ca.write_bytes(ca.public_bytes(serialization.Encoding.PEM))

    def issue(name: str, subject: x509.Name, alternatives: list[x509.GeneralName]) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        signed = _sign(
            subject=subject, key=key, issuer=ca, issuer_key=ca_key, now=now, names=alternatives
        )
        write_key(pki.key(name), key)
        pki.certificate(name).write_bytes(signed.public_bytes(serialization.Encoding.PEM))

    issue("apiserver", _name("kube-apiserver"), alternative_names(addresses))
    # The API server shows this one to the kubelet (logs, exec), which trusts our CA.
    issue("apiserver-kubelet", _name("kube-apiserver-kubelet-client", "system:masters"), [])
    account = ec.generate_private_key(ec.SECP256R1())
    write_key(pki.account_key, account)
    pki.account_public_key.write_bytes(
        account.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    write_private(pki.tokens, token_file(identities))
    return pki


def alternative_names(addresses: Sequence[str]) -> list[x509.GeneralName]:
    """Return the names under which the API server may be called."""
    names: list[x509.GeneralName] = [x509.DNSName(name) for name in API_SERVER_NAMES]
    return names + [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]


def token_file(identities: Sequence[Identity]) -> str:
    """Return the text of a token file with a fresh token for each identity."""
    return "".join(
        f'{secrets.token_hex(16)},{identity.user},{identity.user},"{",".join(identity.groups)}"\n'
        for identity in identities
    )


def write_private(path: Path, text: str | bytes) -> None:
    """Write a file that only its owner may read."""
    path.touch(mode=0o600)
    path.write_bytes(text.encode() if isinstance(text, str) else text)


def write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    """Write a private key as PEM."""
    write_private(
        path,
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        ),
    )


def _name(common: str, organization: str | None = None) -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, common)]
    if organization:
        attributes.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization))
    return x509.Name(attributes)


def _sign(
    *,
    subject: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    issuer: x509.Certificate | None,
    issuer_key: ec.EllipticCurvePrivateKey,
    now: datetime.datetime,
    names: Sequence[x509.GeneralName] = (),
) -> x509.Certificate:
    authority = issuer is None
    usage = ExtendedKeyUsageOID.SERVER_AUTH if names else ExtendedKeyUsageOID.CLIENT_AUTH
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + VALIDITY)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()),
            critical=False,
        )
        .add_extension(_key_usage(authority=authority), critical=True)
    )
    if not authority:
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )
