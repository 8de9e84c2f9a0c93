"""Times, sizes and shares as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from lightbox.domain.quantities import Bytes, Seconds, as_percent, as_size, as_time

SECONDS: TypeAdapter[float] = TypeAdapter(Seconds)
BYTES: TypeAdapter[int] = TypeAdapter(Bytes)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("2s", 2.0), ("5m", 300.0), ("24h", 86400.0), ("3d", 259200.0), ("0.3s", 0.3), ("20ms", 0.02)],
)
def test_a_time_is_read(text: str, seconds: float) -> None:
    assert SECONDS.validate_python(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["2 weeks", "s", "1.2.3s", ".s", "-1s", ""])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValidationError, match="expected a time such as"):
        SECONDS.validate_python(text)


@pytest.mark.parametrize("text", ["5 gigabytes", "GB", "..GB", "1.2.3GB", ""])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValidationError, match="expected a size such as"):
        BYTES.validate_python(text)


@given(st.integers(0, 10**9))
def test_a_time_that_is_written_reads_the_same(seconds: int) -> None:
    assert SECONDS.validate_python(as_time(float(seconds))) == seconds


@given(st.integers(0, 10**15))
def test_a_size_that_is_written_reads_the_same(size: int) -> None:
    assert BYTES.validate_python(as_size(size)) == size


@given(st.floats(0.0001, 0.9999))
def test_what_is_not_certain_is_never_written_as_certain(share: float) -> None:
    assert as_percent(share) not in {"0 %", "100 %"}
