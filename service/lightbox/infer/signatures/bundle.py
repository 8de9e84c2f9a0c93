"""A signature as the OpenSSF Model Signing project writes it, by key or by certificate.

A Sigstore bundle around a DSSE envelope around an in-toto statement that lists the SHA-256 of each
file (``model_signing sign key``, ``model_signing sign certificate``).
"""

from __future__ import annotations

from typing import Literal

from pydantic import Base64Bytes, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel


class _Part(BaseModel):
    """Of a bundle; what verifiers of this version need not know may stand beside it."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel)


class _Key(_Part):
    hint: str | None = None


class _Certificate(_Part):
    raw_bytes: Base64Bytes


class _Chain(_Part):
    certificates: tuple[_Certificate, ...] = Field(min_length=1)


class Material(_Part):
    """Whose signature it says it is."""

    public_key: _Key | None = None
    x509_certificate_chain: _Chain | None = None


class _Signature(_Part):
    sig: Base64Bytes


class Envelope(_Part):
    """What was signed, and the signature (DSSE)."""

    payload: Base64Bytes
    payload_type: Literal["application/vnd.in-toto+json"]
    signatures: tuple[_Signature, ...] = Field(min_length=1, max_length=1)

    @property
    def signed_bytes(self) -> bytes:
        """What the signature is over (DSSE, pre-authentication encoding)."""
        kind = self.payload_type.encode()
        return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(self.payload), self.payload)


class Bundle(_Part):
    """``model.sig``."""

    media_type: Literal["application/vnd.dev.sigstore.bundle.v0.3+json"]
    verification_material: Material
    dsse_envelope: Envelope


class _File(BaseModel):
    name: str
    algorithm: Literal["sha256"]
    digest: str


class _Serialization(BaseModel):
    method: Literal["files"]


class _Predicate(BaseModel):
    serialization: _Serialization
    resources: tuple[_File, ...] = Field(min_length=1)


class Statement(_Part):
    """What is signed: the files, each with its digest (in-toto)."""

    kind: Literal["https://in-toto.io/Statement/v1"] = Field(alias="_type")
    predicate_type: Literal["https://model_signing/signature/v1.0"]
    predicate: _Predicate


class WrongSignerError(Exception):
    """A signature is not by anybody whose signature counts; its text says why."""
