"""Every error of ours, one tree. Each names the thing, the reason and the mend.

::

    LightboxError                 thing, reason, mend
    ├── ConfigurationError        a key, a value, an environment variable          exit 2
    ├── UsageError                a command was asked for something it cannot do   exit 2
    ├── ModelPackageError         a manifest, weights, a graph
    ├── RefusedError              an instance that is not stored; carries a reason
    ├── UnreadableError           stored, but header or pixel data cannot be read
    ├── NotApplicableError        the model must not be run on this instance
    ├── ExplanationError          no honest attribution can be made
    │   ├── UnsoundError          the network's output cannot be one
    │   └── OutOfServiceError     its model gave too many of those
    ├── OutOfMemoryError          a device has too little memory
    ├── ResultError               a result object would not be valid
    ├── DeliveryError             a destination did not take a result
    ├── LedgerError               the ledger is damaged, locked or not ours
    ├── OperationError            what an operator asked for cannot be done
    └── CancelledError            a person cancelled the job

Beside the tree stands ``StoppingError`` and what is made of it: the process stops or the device is
gone, nothing is wrong with the job.
"""

from __future__ import annotations

import errno
from enum import StrEnum


class LightboxError(Exception):
    """Base of all errors that are meant for people.

    Parameters
    ----------
    thing : str
        What it is about: a key, a file, a peer.
    reason : str
        What is wrong with it.
    mend : str
        What to do.
    """

    def __init__(self, thing: str, reason: str, mend: str = "") -> None:
        super().__init__(thing, reason, mend)
        self.thing = thing
        self.reason = reason
        self.mend = mend

    def __str__(self) -> str:
        tail = f" ({self.mend})" if self.mend else ""
        return f"{self.thing}: {self.reason}{tail}"


class ConfigurationError(LightboxError):
    """A key, a value or an environment variable of the configuration is wrong."""


class UsageError(LightboxError):
    """A command was asked for something that it cannot do."""


class ModelPackageError(LightboxError):
    """A manifest, its weights or its graph cannot be used."""


class RefusalReason(StrEnum):
    """Why an instance was not stored; ``receive/status.py`` turns each into a DIMSE status."""

    OUT_OF_RESOURCES = "out_of_resources"
    SOP_CLASS_NOT_SUPPORTED = "sop_class_not_supported"
    DATA_SET_DISAGREES = "data_set_disagrees"
    CANNOT_UNDERSTAND = "cannot_understand"
    TOO_LARGE = "too_large"
    SHUTTING_DOWN = "shutting_down"


class RefusedError(LightboxError):
    """An instance was not stored; the peer gets the status of ``refusal``."""

    def __init__(self, refusal: RefusalReason, thing: str, reason: str, mend: str = "") -> None:
        super().__init__(thing, reason, mend)
        self.refusal = refusal


class UnreadableError(LightboxError):
    """A stored instance whose header or pixel data cannot be read."""


class NotApplicableError(LightboxError):
    """The model must not be run on this instance."""


class ExplanationError(LightboxError):
    """No honest attribution can be made."""


class UnsoundError(ExplanationError):
    """What the network gave cannot be an answer: not finite, out of range, always the same."""


class OutOfServiceError(ExplanationError):
    """The model gave so many unsound outputs that it is not asked for now."""


class OutOfMemoryError(LightboxError):
    """A device has too little memory, whatever was tried."""


class ResultError(LightboxError):
    """A result object would not be valid."""


class DeliveryError(LightboxError):
    """A destination did not take a result."""


class LedgerError(LightboxError):
    """The ledger is damaged, locked, or was written by something else."""


class OperationError(LightboxError):
    """What an operator asked for cannot be done: nothing was changed."""


class CancelledError(LightboxError):
    """A person cancelled the job; it stops at its next step."""


class StoppingError(BaseException):
    """The process stops in the middle of a job, which the next start goes on with.

    Not an ``Exception``: whoever turns exceptions into the end of a job must let it pass.
    """


class HeldError(StoppingError):
    """A person stopped this model: the job waits, and goes on after ``lightbox resume``.

    Parameters
    ----------
    model : str
        Name of the model.
    """

    def __init__(self, model: str) -> None:
        super().__init__(f"model {model} is stopped")
        self.model = model


class DeferredError(HeldError):
    """The device has no room for audits of this model now: they wait, and are tried again later.

    Parameters
    ----------
    model : str
        Name of the model; ``model`` of the error names its audits.
    """

    def __init__(self, model: str) -> None:
        super().__init__(model)
        self.model = f"audits of {model}"


class DeviceLostError(StoppingError):
    """The device answers no more: the process is replaced, and its jobs go on in the next one."""


def cannot_listen(key: str, port: int, host: str, error: OSError) -> ConfigurationError:
    """Return what to tell of an address that cannot be listened on."""
    thing = f"{key} {port}"
    if error.errno == errno.EADDRINUSE:
        mend = "stop the program that holds it, or choose another port"
        return ConfigurationError(thing, f"is in use on {host}", mend)
    if error.errno == errno.EACCES:
        return ConfigurationError(thing, "is reserved for root", "choose a port of 1024 or more")
    reason = (error.strerror or str(error)).lower()
    mend = f"correct {key.partition('.')[0]}.host"
    return ConfigurationError(thing, f"cannot listen on {host}: {reason}", mend)
