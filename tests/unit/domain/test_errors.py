"""What errors say: the thing, the reason, the mend."""

from __future__ import annotations

import errno
import os

import pytest

from lightbox.domain.errors import cannot_listen


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (errno.EADDRINUSE, "dicom.tls.port 2762: is in use on 10.0.0.9"),
        (errno.EACCES, "reserved for root (choose a port of 1024 or more)"),
        (errno.EADDRNOTAVAIL, "correct dicom.host"),
    ],
)
def test_an_address_that_cannot_be_listened_on_is_named_with_what_to_do(
    code: int, said: str
) -> None:
    error = cannot_listen("dicom.tls.port", 2762, "10.0.0.9", OSError(code, os.strerror(code)))
    assert said in str(error)
