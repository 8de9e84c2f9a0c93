"""What a webhook is told, and the signature by which it knows that we said it, and when.

The header ``Lightbox-Signature: t=SECONDS,v1=HEX`` holds the HMAC-SHA256 of ``SECONDS.BODY``. A
receiver computes it with its copy of the secret and refuses times that are minutes off: so nobody
can invent a notification, change one, or send an old one again.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from lightbox.domain.result import NOT_FOR_DIAGNOSIS
from lightbox.domain.webhooks import Notification
from lightbox.version import __version__

SIGNATURE = "Lightbox-Signature"
NAME = "Lightbox-Notification"
"""The same at each repetition: a receiver does a thing once by looking at it."""


def body_of(notification: Notification, name_of: Callable[[str], str], *, patient: bool) -> bytes:
    """Return what is sent: JSON, the same at each repetition.

    Parameters
    ----------
    name_of : callable (str) → str
        Gives the keyed hash of a UID, as it stands in the logs.
    patient : bool
        Say who and what: UIDs as they are, finding, confidence, sentences.
    """

    def named(uid: str) -> str:
        return uid if patient else name_of(uid)

    said: dict[str, Any] = {
        "notification": notification.name,
        "event": notification.about.value,
        "at": _moment(notification.at),
        "study": named(notification.study),
        "version": __version__,
        "remark": NOT_FOR_DIAGNOSIS,
    }
    if notification.reason:
        said["reason"] = str(notification.reason)
    if notification.destination:
        said["destination"] = notification.destination
    if notification.standing is not None:
        said |= _job(notification, named)
    if patient:
        said |= _patient(notification)
    return json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode()


def signature(secret: str, at: int, body: bytes) -> str:
    """Return the value of the header; ``at`` is when it is sent, whole seconds since 1970."""
    digest = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={digest}"


def _job(notification: Notification, named: Callable[[str], str]) -> dict[str, Any]:
    assert notification.standing is not None
    standing = notification.standing
    job, turnaround = standing.job, standing.turnaround
    return {
        "job": named(job.job_id),
        "path": job.path.value,
        "urgency": job.urgency.value,
        "modality": job.modality,
        "model": job.model,
        "deadline": _moment(job.deadline),
        "turnaround_seconds": None if turnaround is None else round(turnaround, 3),
        "results": [
            {"kind": result.kind.value, "sop_instance_uid": named(result.sop_instance_uid)}
            for result in standing.results
        ],
    }


def _patient(notification: Notification) -> dict[str, Any]:
    said: dict[str, Any] = {"detail": notification.detail} if notification.detail else {}
    prediction = notification.prediction
    if prediction is not None:
        said |= {"finding": prediction.finding, "confidence": round(prediction.confidence, 4)}
    return said


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
