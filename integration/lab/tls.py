"""The node's own CA and server certificate, made with the openssl program as a PVE node makes its own."""

from __future__ import annotations

import hashlib
import ssl
import subprocess
from pathlib import Path

_EXTENSIONS = """\
basicConstraints=CA:FALSE
subjectAltName=DNS:localhost,DNS:{node},IP:127.0.0.1,IP:::1
extendedKeyUsage=serverAuth
"""


class Identity:
    """The files of a CA and of the certificate that it signed for this endpoint."""

    def __init__(self, directory: Path, node: str) -> None:
        self.ca_file = directory / "pve-root-ca.pem"
        self.cert_file = directory / "pve-ssl.pem"
        self.key_file = directory / "pve-ssl.key"
        self._make(directory, node)

    def _make(self, directory: Path, node: str) -> None:
        ca_key, request, extensions = (directory / n for n in ("pve-root-ca.key", "pve-ssl.csr", "pve-ssl.ext"))
        extensions.write_text(_EXTENSIONS.format(node=node))
        _openssl(
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-sha256", "-days", "30", "-keyout", ca_key,
            "-out", self.ca_file, "-subj", "/CN=Proxmox Virtual Environment/OU=lab/O=PVE Cluster Manager CA",
            "-addext", "keyUsage=critical,keyCertSign,cRLSign",
        )  # fmt: skip
        _openssl(
            "req", "-newkey", "rsa:2048", "-nodes", "-sha256", "-keyout", self.key_file, "-out", request,
            "-subj", f"/OU=PVE Cluster Node/O=Proxmox Virtual Environment/CN={node}",
        )  # fmt: skip
        _openssl(
            "x509", "-req", "-in", request, "-CA", self.ca_file, "-CAkey", ca_key, "-set_serial", "2",
            "-days", "30", "-sha256", "-extfile", extensions, "-out", self.cert_file,
        )  # fmt: skip

    def fingerprint(self) -> str:
        """The SHA-256 fingerprint of the server certificate, in the form PVE shows it."""
        der = ssl.PEM_cert_to_DER_cert(self.cert_file.read_text())
        return hashlib.sha256(der).digest().hex(":").upper()

    def server_context(self) -> ssl.SSLContext:
        """A TLS 1.2 / 1.3 server context."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self.cert_file, self.key_file)
        return context


def _openssl(*arguments: object) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)
