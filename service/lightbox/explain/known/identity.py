"""What an audit depends on, as one digest: two audits with the same one have the same outcome."""

from __future__ import annotations

import hashlib
import json

import numpy as np

from lightbox.explain.quality.stability import DRAWS
from lightbox.explain.subject import Subject
from lightbox.ports import Runtime
from lightbox.settings import AuditSettings
from lightbox.version import __version__

_POLICY = ("below_confidence", "modalities", "sample", "min_share", "window")
"""Of ``[audit]``: which predictions are audited and when, which changes no value."""


def audit_identity(
    subject: Subject, runtime: Runtime, settings: AuditSettings, method: str, chunk: int
) -> str:
    """Return the SHA-256 of everything that an audit's attribution is made from.

    That is: the pixels as the network sees them, where they lie in the source, the weights and the
    manifest, what was predicted, method and budget, what decides the last bits of the arithmetic,
    and the version of this program. It is not: whose image it is, and when it came.
    """
    frame, said = subject.frame, subject.prediction
    stated = {
        "version": __version__,
        "package": subject.package.model_dump(mode="json"),
        "geometry": repr(frame.geometry),
        "target": said.target,
        "confidence": repr(said.confidence),
        "scores": {name: repr(score) for name, score in said.scores.items()},
        "method": method,
        # Of a larger chunk no figure depends: v is asked for in batches of fixed size, and all
        # copies of an image that its map is tried on fit into one pass.
        "chunk": min(chunk, DRAWS),
        "audit": settings.model_dump(mode="json", exclude=set(_POLICY)),
        "arithmetic": dict(runtime.arithmetic),
    }
    digest = hashlib.sha256(json.dumps(stated, sort_keys=True).encode())
    digest.update(f"{frame.tensor.dtype}{frame.tensor.shape}".encode())
    digest.update(np.ascontiguousarray(frame.tensor).tobytes())
    return digest.hexdigest()
