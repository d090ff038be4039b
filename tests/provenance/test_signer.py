from __future__ import annotations

import stat
from pathlib import Path

import pytest

from worldsim.provenance.signer import find_signer, make_signer, signer_path

pytest.importorskip("cryptography", reason="needs cryptography; install: pip install 'worldsim-dit[provenance]'")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLDSIM_CACHE", str(tmp_path / "cache"))


def test_a_signer_is_made_once_and_only_its_user_can_read_it() -> None:
    assert find_signer() is None
    made = make_signer()
    assert find_signer() == made
    assert stat.S_IMODE(signer_path().stat().st_mode) == 0o600
    assert [path.name for path in signer_path().parent.iterdir()] == ["signer.pem"]


def test_the_root_signed_the_leaf_and_its_key_is_not_kept() -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    made = make_signer()
    leaf, root = (x509.load_pem_x509_certificate(pem.encode()) for pem in (made.leaf, made.root))
    leaf.verify_directly_issued_by(root)
    key = load_pem_private_key(made.key.encode(), None)
    assert key.public_key() == leaf.public_key() and key.public_key() != root.public_key()
    assert leaf.issuer != leaf.subject and make_signer().leaf != made.leaf


@pytest.mark.parametrize("content", [b"", b"junk", b"-----BEGIN X-----\n" * 3, b"\xff\xfe"])
def test_a_damaged_file_counts_as_missing(content: bytes) -> None:
    make_signer()
    signer_path().write_bytes(content)
    assert find_signer() is None


def test_an_expired_one_counts_as_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    from worldsim.provenance import signer

    monkeypatch.setattr(signer, "DAYS", 0)
    make_signer()
    assert find_signer() is None
