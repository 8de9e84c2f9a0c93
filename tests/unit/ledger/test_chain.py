"""A digest covers all of a row and all before it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightbox.ledger.chain import Row, digest, follows, genesis

TEXT = st.text(alphabet="ab:\x1f1", max_size=4)


def test_each_chain_has_its_own_beginning() -> None:
    assert genesis("receive") != genesis("control")


def test_the_digest_of_a_row_never_changes_between_versions() -> None:
    known = "4ce2b85dbdd79fcf5d610374ac9cd6723fea4ae9578121fc443795aa2be7e21c"
    made = digest(genesis("receive"), 1, 1_790_000_000.25, ("key", "1.2.3", '{"kind":"x"}'))
    assert made == known


ROW = Row(1, 2.0, "key", "study", "body", "")


@pytest.mark.parametrize(
    "edited",
    [
        ROW._replace(sequence=2),
        ROW._replace(at=2.0000000000000004),
        ROW._replace(key="key2"),
        ROW._replace(study=""),
        ROW._replace(body="bodY"),
    ],
)
def test_an_edit_of_any_column_is_seen(edited: Row) -> None:
    right = digest(genesis("a"), 1, 2.0, ("key", "study", "body"))
    assert follows(ROW._replace(digest=right), genesis("a"), 1)
    assert not follows(edited._replace(digest=right), genesis("a"), edited.sequence)


def test_a_row_of_another_chain_does_not_follow() -> None:
    right = digest(genesis("a"), 1, 2.0, ("key", "study", "body"))
    assert not follows(ROW._replace(digest=right), genesis("b"), 1)


@given(st.tuples(TEXT, TEXT, TEXT), st.tuples(TEXT, TEXT, TEXT))
def test_moving_characters_between_columns_changes_the_digest(
    one: tuple[str, str, str], other: tuple[str, str, str]
) -> None:
    start = genesis("a")
    assert (digest(start, 1, 0.0, one) == digest(start, 1, 0.0, other)) == (one == other)
