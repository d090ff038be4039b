"""Manifests of C2PA in files: signed statements that a clip is generated, and whether it was changed since.

See https://c2pa.org/specifications. Everything happens on this computer: no time stamps, and nothing is fetched.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from worldsim.errors import FileError, WorldsimError, printable
from worldsim.files import named_errors
from worldsim.provenance.claim import MAKER, Claim
from worldsim.provenance.signer import find_signer, make_signer

ASSERTION = "worldsim.generated"  # our own, with the claim
ACTIONS = ("c2pa.actions", "c2pa.actions.v2")
VOCABULARY = "http://cv.iptc.org/newscodes/digitalsourcetype/"
TYPES = {".mp4": "video/mp4", ".png": "image/png", ".gif": "image/gif"}
UNKNOWN_SIGNER = "signingCredential.untrusted"
HINT = "pip install 'worldsim-dit[provenance]'"
OFFLINE = {"remote_manifest_fetch": False, "ocsp_fetch": False, "verify_after_sign": False}


@dataclass(frozen=True)
class Manifest:
    """What a file's manifest says.

    Attributes:
        valid: whether the file is as it was signed.
        here: whether this computer signed it.
        problems: C2PA's names of what is wrong, other than that the signer is unknown.
        signer: names in the certificate.
        maker: program that made the manifest.
        source: the kind of source that it states, such as "trainedAlgorithmicMedia"; "" where it states none.
        claim: of ours, where it holds one.
    """

    valid: bool
    here: bool
    problems: tuple[str, ...]
    signer: str
    maker: str
    source: str
    claim: Claim | None


def available() -> bool:
    """Whether the packages of the extra `provenance` are installed."""
    try:
        import c2pa  # noqa: F401
        import cryptography  # noqa: F401
    except (ImportError, OSError):  # a library for another system
        return False
    return True


def sign(path: Path, ending: str, claim: Claim) -> None:
    """Puts a manifest into a whole file, in place. Where that cannot be done, it says why on stderr, once, and leaves the file.

    Args:
        path: of the file.
        ending: ".mp4", ".png" or ".gif".
        claim: that the manifest states.
    """
    if not available():
        _say(f"no C2PA manifest is written: {HINT}, or say --no-c2pa")
        return
    from c2pa import Builder, C2paError, C2paSignerInfo, Context
    from c2pa import Signer as NativeSigner

    try:
        own = find_signer() or make_signer()
    except WorldsimError as error:
        _say(f"no C2PA manifest is written: {error}")
        return
    signed = path.with_name(f"{path.name}-signed")
    try:
        signer = NativeSigner.from_info(C2paSignerInfo("es256", (own.leaf + own.root).encode(), own.key.encode(), None))
        context = Context.from_dict({"verify": OFFLINE, "builder": {"thumbnail": {"enabled": False}}})
        builder = Builder.from_json(json.dumps(_stated(claim)), context=context)
        with named_errors("write", path), signer, builder:
            with path.open("rb") as source, signed.open("w+b") as out:
                builder.sign(signer, TYPES[ending], source, out)
            os.replace(signed, path)
    except C2paError as error:
        _say(f"no C2PA manifest is written: {error}")
    finally:
        signed.unlink(missing_ok=True)


def read(path: Path, ending: str) -> Manifest | None:
    """A file's manifest; None where there is none.

    Raises:
        FileError: if the packages are missing, or the file or its manifest is damaged.
    """
    if not available():
        raise FileError(f"to read C2PA manifests: {HINT}")
    from c2pa import C2paError, Context, Reader

    own = find_signer()
    settings: dict[str, Any] = {"verify": {**OFFLINE, "verify_trust": True}}
    if own is not None:
        settings["trust"] = {"trust_anchors": own.root}
    with named_errors("read", path), path.open("rb") as file:
        try:
            with Reader(TYPES[ending], file, context=Context.from_dict(settings)) as reader:
                if not reader.is_embedded():
                    return None
                store, state = json.loads(reader.json()), reader.get_validation_state()
        except C2paError.ManifestNotFound:
            return None
        except (C2paError, ValueError, RecursionError) as error:
            raise FileError(f"its C2PA manifest cannot be read ({printable(str(error), 200)})") from error
    return _parsed(store, state)


def _stated(claim: Claim) -> dict[str, Any]:
    """A manifest's definition."""
    name, _, version = claim.maker.partition(" ")
    action = {"action": "c2pa.created", "digitalSourceType": f"{VOCABULARY}{claim.source}"}
    return {
        "claim_generator_info": [{"name": name, "version": version}],
        "assertions": [
            {"label": "c2pa.actions.v2", "data": {"actions": [action]}},
            {"label": ASSERTION, "data": claim.to_dict()},
        ],
    }


def _parsed(store: Any, state: str | None) -> Manifest:
    """What the library's JSON says; strangers' manifests may hold anything, and what is not as expected counts as missing."""
    active = _at(_at(store, "manifests", {}), _at(store, "active_manifest", ""), {})
    failures = _at(_at(_at(store, "validation_results", {}), "activeManifest", {}), "failure", [])
    problems = [code for failure in failures if (code := _at(failure, "code", "")) != UNKNOWN_SIGNER]
    source, claim = "", None
    for assertion in _at(active, "assertions", []):
        label, data = _at(assertion, "label", ""), _at(assertion, "data", {})
        if label in ACTIONS and not source:
            actions = _at(data, "actions", [])
            stated = [_at(action, "digitalSourceType", "") for action in actions if _at(action, "action", "") == "c2pa.created"]
            source = stated[0].rpartition("/")[2] if stated else ""
        elif label == ASSERTION:
            claim = Claim.from_dict(data)
    signature, makers = _at(active, "signature_info", {}), _at(active, "claim_generator_info", [])
    names = [_at(signature, name, "") for name in ("issuer", "common_name")]
    maker = " ".join(filter(None, (_at(makers[0], name, "") for name in ("name", "version")))) if makers else ""
    valid = state in ("Valid", "Trusted")
    return Manifest(valid, state == "Trusted", tuple(problems), ", ".join(filter(None, names)), maker, source, claim)


def _at(value: Any, name: str, missing: Any) -> Any:
    """`value[name]` where that is of the type of `missing`, and otherwise `missing`."""
    found = value.get(name, missing) if isinstance(value, dict) else missing
    return found if isinstance(found, type(missing)) else missing


@lru_cache(maxsize=8)
def _say(line: str) -> None:
    print(f"{MAKER}: {printable(line)}", file=sys.stderr)
