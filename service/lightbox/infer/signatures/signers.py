"""Whose signatures count at a site: public keys, or certificates that signers' must come from."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_public_key,
)
from cryptography.x509 import verification
from cryptography.x509.oid import ExtendedKeyUsageOID

from lightbox.domain.errors import ConfigurationError
from lightbox.infer.signatures.bundle import Bundle, Material, WrongSignerError

_PEM = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.DOTALL)
_SHOWN = 16  # hexadecimal digits of a fingerprint

_HASHES: dict[str, hashes.HashAlgorithm] = {
    "secp256r1": hashes.SHA256(),
    "secp384r1": hashes.SHA384(),
    "secp521r1": hashes.SHA512(),
}
"""Curve → the hash that goes with it, as in Sigstore's table of algorithms."""


class Signers:
    """Public keys and certificates that packages may be signed by.

    Parameters
    ----------
    keys : sequence of EllipticCurvePublicKey
        On P-256, P-384 or P-521.
    certificates : sequence of Certificate
        A signer's certificate is one of these, or comes from one by a chain.
    """

    def __init__(
        self, keys: Sequence[ec.EllipticCurvePublicKey], certificates: Sequence[x509.Certificate]
    ) -> None:
        self._keys = {_name(key): key for key in keys}
        self._certificates = tuple(certificates)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a PEM file.

        Raises
        ------
        ConfigurationError
            If it holds no public key and no certificate, or a private key.
        """
        thing = f"models.signed_by {path}"
        try:
            blocks = [(found[1], found[0]) for found in _PEM.finditer(path.read_bytes())]
            keys = [load_pem_public_key(pem) for kind, pem in blocks if kind == b"PUBLIC KEY"]
            certificates = [
                x509.load_pem_x509_certificate(pem)
                for kind, pem in blocks
                if kind == b"CERTIFICATE"
            ]
        except OSError as error:
            reason = f"cannot be read: {(error.strerror or str(error)).lower()}"
            raise ConfigurationError(thing, reason, "name a PEM file") from error
        except ValueError as error:
            raise ConfigurationError(thing, "is damaged", "export the key anew") from error
        if any(kind.endswith(b"PRIVATE KEY") for kind, _ in blocks):
            mend = "keep it where packages are signed: openssl pkey -in KEY -pubout makes the other"
            raise ConfigurationError(thing, "holds a private key", mend)
        usable = [key for key in keys if _is_usable(key)]
        if len(usable) != len(keys) or not (keys or certificates):
            mend = "a public key on P-256, P-384 or P-521, or certificates, in PEM"
            raise ConfigurationError(thing, "holds nothing that packages are signed by", mend)
        return cls(
            [key for key in usable if isinstance(key, ec.EllipticCurvePublicKey)], certificates
        )

    def verify(self, bundle: Bundle) -> str:
        """Return who signed, for people.

        Raises
        ------
        WrongSignerError
            If it is nobody of these, or the signature is not of what stands beside it.
        """
        envelope = bundle.dsse_envelope
        key, signer = self._signer(bundle.verification_material)
        try:
            key.verify(
                envelope.signatures[0].sig,
                envelope.signed_bytes,
                ec.ECDSA(_HASHES[key.curve.name]),
            )
        except InvalidSignature as error:
            raise WrongSignerError(f"is no signature by {signer}: it was changed") from error
        return signer

    def _signer(self, material: Material) -> tuple[ec.EllipticCurvePublicKey, str]:
        if material.x509_certificate_chain is not None:
            try:
                leaf, *others = (
                    x509.load_der_x509_certificate(each.raw_bytes)
                    for each in material.x509_certificate_chain.certificates
                )
            except ValueError as error:
                raise WrongSignerError("holds a damaged certificate") from error
            return self._certified(leaf, others)
        if material.public_key is None:
            raise WrongSignerError("is signed by neither key nor certificate (keyless?)")
        name = material.public_key.hint
        if not name:
            raise WrongSignerError(
                "does not say by which key it is: sign with a newer model_signing"
            )
        key = self._keys.get(name)
        if key is None:
            raise WrongSignerError(f"is signed by another key, {name[:_SHOWN]}")
        return key, f"key {name[:_SHOWN]}"

    def _certified(
        self, leaf: x509.Certificate, others: Sequence[x509.Certificate]
    ) -> tuple[ec.EllipticCurvePublicKey, str]:
        """Prove the way from a signer's certificate to one of the site's.

        No bundle says when it was signed: as in the signing program, the chain must have been valid
        when the signer's certificate began to be, and what it signed stays signed after its end.
        """
        subject = leaf.subject.rfc4514_string()
        key = leaf.public_key()
        if not isinstance(key, ec.EllipticCurvePublicKey) or not _is_usable(key):
            raise WrongSignerError(f"is signed with a key of {subject} that is on no known curve")
        if not _may_sign(leaf):
            raise WrongSignerError(f"is signed by {subject}, whose certificate is not for signing")
        if leaf not in self._certificates:
            if not self._certificates:
                raise WrongSignerError(
                    f"is signed by {subject}, and no certificate is trusted here"
                )
            try:
                _verifier(self._certificates, leaf).verify(leaf, list(others))
            except verification.VerificationError as error:
                raise WrongSignerError(
                    f"is signed by {subject}, whose certificate comes from nobody trusted here"
                ) from error
        fingerprint = leaf.fingerprint(hashes.SHA256()).hex()[:_SHOWN]
        return key, f"{subject} (certificate {fingerprint})"


def _verifier(
    trusted: Sequence[x509.Certificate], leaf: x509.Certificate
) -> verification.ClientVerifier:
    """Return what builds chains; a signer's certificate has no host names, unlike a server's."""
    everything = verification.ExtensionPolicy.permit_all()
    anyhow = verification.Criticality.AGNOSTIC
    authority = everything.require_present(
        x509.BasicConstraints, anyhow, _is_authority
    ).may_be_present(x509.KeyUsage, anyhow, _signs_certificates)
    return (
        verification.PolicyBuilder()
        .store(verification.Store(list(trusted)))
        .time(leaf.not_valid_before_utc)
        .extension_policies(ca_policy=authority, ee_policy=everything)
        .build_client_verifier()
    )


def _is_authority(
    _policy: verification.Policy, _certificate: x509.Certificate, found: x509.BasicConstraints
) -> None:
    if not found.ca:
        raise ValueError("is no certificate authority")


def _signs_certificates(
    _policy: verification.Policy, _certificate: x509.Certificate, found: x509.KeyUsage | None
) -> None:
    if found is not None and not found.key_cert_sign:
        raise ValueError("is not for signing certificates")


def _may_sign(leaf: x509.Certificate) -> bool:
    """Say whether a certificate is for signatures: by its key's usage, or for code."""
    try:
        if leaf.extensions.get_extension_for_class(x509.KeyUsage).value.digital_signature:
            return True
    except x509.ExtensionNotFound:
        pass
    try:
        extended = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return False
    return ExtendedKeyUsageOID.CODE_SIGNING in extended


def _is_usable(key: object) -> bool:
    return isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _HASHES


def _name(key: ec.EllipticCurvePublicKey) -> str:
    """Return the SHA-256 of the key's PEM file: what bundles name it by."""
    return hashlib.sha256(
        key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    ).hexdigest()
