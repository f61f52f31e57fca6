"""Mutual TLS: both sides show a certificate of the same authority."""

import grpc

from services.runtime.settings import SettingsError, Tls


def server_credentials(tls: Tls) -> grpc.ServerCredentials:
    """Credentials of a server that refuses strangers. Raises SettingsError."""
    key, cert, ca = _read(tls)
    return grpc.ssl_server_credentials(
        [(key, cert)], root_certificates=ca, require_client_auth=True
    )


def channel_credentials(tls: Tls) -> grpc.ChannelCredentials:
    """Credentials of a client that shows who it is. Raises SettingsError."""
    key, cert, ca = _read(tls)
    return grpc.ssl_channel_credentials(
        root_certificates=ca, private_key=key, certificate_chain=cert
    )


def _read(tls: Tls) -> tuple[bytes, bytes, bytes]:
    try:
        return tls.key.read_bytes(), tls.cert.read_bytes(), tls.ca.read_bytes()
    except OSError as error:
        raise SettingsError(f"{error.filename}: {error.strerror}") from error
