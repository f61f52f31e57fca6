"""A certificate authority for development, and what it signs."""

from __future__ import annotations

import datetime as dt
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_DAY = dt.timedelta(days=1)


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _sign(
    common: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: tuple[x509.Name, ec.EllipticCurvePrivateKey],
    *,
    days: int,
    authority: bool,
) -> x509.Certificate:
    # An hour back, for clocks that are behind ours.
    now = dt.datetime.now(dt.UTC) - dt.timedelta(hours=1)
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(common))
        .issuer_name(issuer[0])
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + days * _DAY)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), True)  # noqa: FBT003
    )
    if not authority:
        names: list[x509.GeneralName] = [
            x509.DNSName("localhost"),
            x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
        ]
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        builder = builder.add_extension(
            x509.SubjectAlternativeName(names),
            False,  # noqa: FBT003
        ).add_extension(x509.ExtendedKeyUsage(usages), False)  # noqa: FBT003
    return builder.sign(issuer[1], hashes.SHA256())


def _write(folder: Path, name: str, data: bytes, *, secret: bool) -> str:
    path = folder / name
    path.unlink(missing_ok=True)
    path.touch(mode=0o600 if secret else 0o644)
    path.write_bytes(data)
    return name


def make(folder: Path, *, days: int) -> list[str]:
    """Write ca, server and client certificates with their keys; return file names.

    Raises OSError when the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    root = ec.generate_private_key(ec.SECP256R1())
    issuer = (_name("Seawall development authority"), root)
    written = []
    for name, common, authority in (
        ("ca", "Seawall development authority", True),
        ("server", "seawall-server", False),
        ("client", "seawall-client", False),
    ):
        key = root if authority else ec.generate_private_key(ec.SECP256R1())
        certificate = _sign(common, key, issuer, days=days, authority=authority)
        private = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        public = certificate.public_bytes(serialization.Encoding.PEM)
        written.append(_write(folder, f"{name}.crt", public, secret=False))
        written.append(_write(folder, f"{name}.key", private, secret=True))
    return written
