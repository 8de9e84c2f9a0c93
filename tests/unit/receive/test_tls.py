"""Which names a peer's certificate gives, and when they are asked for."""

from __future__ import annotations

import pytest

from lightbox.receive.wire.tls import names_of
from lightbox.settings import Tls


def test_common_name_dns_names_and_the_last_part_of_uris_count() -> None:
    certificate = {
        "subject": ((("organizationName", "Hospital"),), (("commonName", "CT1"),)),
        "subjectAltName": (
            ("DNS", "CT2"),
            ("URI", "urn:dicom:ae:CT3"),
            ("URI", "https://hospital.example/ae/CT4"),
            ("IP Address", "10.0.0.1"),
            ("DNS", "CT1"),
        ),
    }
    assert names_of(certificate) == ("CT1", "CT2", "CT3", "CT4")


def test_no_certificate_names_nobody() -> None:
    assert names_of({}) == ()


def test_titles_cannot_be_bound_where_no_certificate_is_asked_for() -> None:
    with pytest.raises(ValueError, match="require_client"):
        Tls(bind_ae=True, require_client=False)
