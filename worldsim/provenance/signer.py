"""A certificate of this computer's own, with which manifests are signed. It is made at first use.

C2PA wants a leaf certificate for e-mail protection whose issuer is another one. So a root is made, which signs the leaf and whose
private key is then forgotten. Nobody vouches for it: it shows that a file was not changed since it was signed, and on this
computer that it was signed here.
"""

from __future__ import annotations

import datetime
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from worldsim.files import cache_folder, named_errors, replacing

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.x509 import Certificate

FILE = "c2pa/signer.pem"  # in the cache folder: private key, leaf, root
DAYS = 3650
OWN = "worldsim"


@dataclass(frozen=True)
class Signer:
    """A private key with its certificates, each as PEM.

    Attributes:
        key: of the leaf.
        leaf: signs manifests.
        root: signed the leaf.
    """

    key: str
    leaf: str
    root: str


def signer_path() -> Path:
    """Where this computer's signer is kept.

    Raises:
        FileError: if there is no home folder.
    """
    return cache_folder() / FILE


def find_signer() -> Signer | None:
    """This computer's signer, if it was made; None also where it is damaged or has expired.

    Raises:
        FileError: if it cannot be read.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    path = signer_path()
    if not path.is_file():
        return None
    with named_errors("read", path):
        content = path.read_bytes()
    end = b"-----END "
    try:
        parts = [f"-----BEGIN {part}" for part in content.decode("ascii").split("-----BEGIN ")[1:]]
        key, leaf, root = parts
        load_pem_private_key(key.encode(), None)
        until = x509.load_pem_x509_certificate(leaf.encode()).not_valid_after_utc
        x509.load_pem_x509_certificate(root.encode())
    except ValueError:
        return None
    expired = until < datetime.datetime.now(datetime.timezone.utc)
    return None if expired or content.count(end) != 3 else Signer(key, leaf, root)


def make_signer() -> Signer:
    """A new signer, kept for later; only this user can read its file.

    Raises:
        FileError: if it cannot be written.
    """
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    name = secrets.token_hex(4)
    root_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    root = _certificate(f"local root {name}", f"local root {name}", root_key, root_key)
    leaf = _certificate(f"local signer {name}", f"local root {name}", key, root_key)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    made = Signer(*(part.decode("ascii") for part in (private, leaf.public_bytes(Encoding.PEM), root.public_bytes(Encoding.PEM))))
    with replacing(signer_path()) as temporary:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(made.key + made.leaf + made.root)
    return made


def _certificate(name: str, issuer: str, key: EllipticCurvePrivateKey, issuer_key: EllipticCurvePrivateKey) -> Certificate:
    """A root where it issues itself, and otherwise a leaf."""
    from cryptography import x509
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    def named(common: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, OWN), x509.NameAttribute(NameOID.COMMON_NAME, common)])

    is_root, now = key is issuer_key, datetime.datetime.now(datetime.timezone.utc)
    uses: dict[str, Any] = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only", "decipher_only"), False
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(named(name))
        .issuer_name(named(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))  # clocks differ
        .not_valid_after(now + datetime.timedelta(days=DAYS))
        .add_extension(x509.BasicConstraints(ca=is_root, path_length=0 if is_root else None), critical=True)
        .add_extension(
            x509.KeyUsage(digital_signature=not is_root, key_cert_sign=is_root, crl_sign=is_root, **uses), critical=True
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )
    if not is_root:
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
    return builder.sign(issuer_key, SHA256())
