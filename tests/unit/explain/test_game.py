from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes.arithmetic_runtime import ArithmeticRuntime
from lightbox.domain.arrays import FloatMap
from lightbox.domain.errors import ExplanationError
from lightbox.explain.game import ImageGame, Link, Masking, Question, identity
from lightbox.explain.values_file import ValuesFile, packed_rows, unpacked_rows

MASKING = Masking(
    image=np.arange(9, dtype=np.float32).reshape(1, 3, 3),
    baseline=np.zeros((1, 3, 3), np.float32),
    regions=np.arange(9, dtype=np.int16).reshape(3, 3),
)
QUESTION = Question(target=1, link="probability", temperature=1.0, model_sha256="ab")
ROWS = np.array([[i >> b & 1 for b in range(9)] for i in range(32)], bool)


def a_game(
    path: Path | None = None, question: Question = QUESTION
) -> tuple[ImageGame, ArithmeticRuntime]:
    runtime = ArithmeticRuntime(np.ones((3, 3)))
    return ImageGame(runtime, MASKING, question, path), runtime


def test_what_is_known_is_not_computed_again() -> None:
    game, runtime = a_game()
    first = game.value(ROWS[:4])
    again = game.value(ROWS[[3, 1, 5, 5]])
    assert runtime.batches == [4, 1]
    assert again[:2].tolist() == [first[3], first[1]]
    assert again[2] == again[3]
    assert game.evaluations == game.computed == 5


def test_the_table_lists_what_was_asked_in_order() -> None:
    game, _ = a_game()
    values = game.value(ROWS[[7, 2, 7, 9]])
    coalitions, found = game.table()
    assert np.array_equal(coalitions, ROWS[[7, 2, 9]])
    assert found.tolist() == values[[0, 1, 3]].tolist()


def test_values_survive_in_the_file_bit_by_bit(tmp_path: Path) -> None:
    path = tmp_path / "audits" / "v"
    game, _ = a_game(path)
    values = game.value(ROWS)
    again, runtime = a_game(path)
    assert again.value(ROWS).tobytes() == values.tobytes()
    assert runtime.batches == []
    assert again.evaluations == 32


@given(cut=st.integers(0, 400), flip=st.booleans())
@settings(max_examples=60, deadline=None)
def test_a_torn_or_damaged_tail_costs_evaluations_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, cut: int, flip: bool
) -> None:
    path = tmp_path_factory.mktemp("values") / "v"
    game, _ = a_game(path)
    for start in range(0, 32, 8):
        game.value(ROWS[start : start + 8])
    data = path.read_bytes()
    at = max(len(data) - cut, 0)
    damaged = bytearray(data)
    if flip and at < len(data):
        damaged[at] ^= 0x40
    path.write_bytes(bytes(damaged) if flip else data[:at])
    resumed, _ = a_game(path)
    truth = game.value(ROWS)
    assert resumed.value(ROWS).tobytes() == truth.tobytes()
    last, runtime = a_game(path)
    assert last.value(ROWS).tobytes() == truth.tobytes()
    assert runtime.batches == []


def test_the_file_of_another_game_is_not_believed(tmp_path: Path) -> None:
    game, _ = a_game(tmp_path / "v")
    game.value(ROWS)
    other = Question(target=1, link="log_odds", temperature=1.0, model_sha256="ab")
    again, runtime = a_game(tmp_path / "v", question=other)
    again.value(ROWS)
    assert runtime.batches == [32]


def test_everything_that_v_depends_on_is_part_of_a_games_identity() -> None:
    digests = {identity(MASKING, QUESTION)}
    for question in (
        Question(0, "probability", 1.0, "ab"),
        Question(1, "log_odds", 1.0, "ab"),
        Question(1, "probability", 2.0, "ab"),
        Question(1, "probability", 1.0, "cd"),
        Question(1, "probability", 1.0, "ab", rival=0),
    ):
        digests.add(identity(MASKING, question))
    for masking in (
        Masking(MASKING.image + 1, MASKING.baseline, MASKING.regions),
        Masking(MASKING.image, MASKING.baseline + 1, MASKING.regions),
        Masking(MASKING.image, MASKING.baseline, MASKING.regions.T),
    ):
        digests.add(identity(masking, QUESTION))
    assert len(digests) == 9


def test_a_block_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    file = ValuesFile(tmp_path / "v", b"\1" * 32, 9)
    assert list(file.load()) == []
    values = np.linspace(0, 1, 32)
    file.append(packed_rows(ROWS), values)
    packed, found = zip(*file.load(), strict=True)
    assert np.array_equal(unpacked_rows(b"".join(packed), 9), ROWS)
    assert found == tuple((value,) for value in values)


def test_several_numbers_of_a_coalition_stay_together_and_are_not_read_as_one(
    tmp_path: Path,
) -> None:
    file = ValuesFile(tmp_path / "v", b"\1" * 32, 9, columns=2)
    assert list(file.load()) == []
    numbers = np.random.default_rng(0).random((32, 2))
    file.append(packed_rows(ROWS), numbers)
    assert [found for _, found in file.load()] == [tuple(row) for row in numbers.tolist()]
    assert list(ValuesFile(tmp_path / "v", b"\1" * 32, 9, columns=1).load()) == []


def test_the_contrast_to_a_rival_comes_with_the_same_evaluations(tmp_path: Path) -> None:
    question = replace(QUESTION, rival=0)
    game, runtime = a_game(tmp_path / "v", question)
    values = game.value(ROWS)
    rows, contrast = game.contrast_table()
    assert np.array_equal(rows, ROWS)
    assert contrast == pytest.approx(2 * values - 1, abs=1e-12)  # of two classes
    assert runtime.batches == [32]
    resumed, again = a_game(tmp_path / "v", question)
    resumed.value(ROWS)
    assert resumed.contrast_table()[1].tobytes() == contrast.tobytes()
    assert again.batches == []


def test_the_contrast_is_a_difference_of_calibrated_probabilities() -> None:
    logits = np.array([[1.0, -2.0, 900.5], [0.0, 3.0, 0.5]])
    scaled = np.exp((logits - logits.max(axis=1, keepdims=True)) / 0.7)
    softmax = scaled / scaled.sum(axis=1, keepdims=True)
    found = Question(2, "log_odds", 0.7, "", rival=1).contrast(logits)
    assert found == pytest.approx(softmax[:, 2] - softmax[:, 1], abs=1e-15)


def test_what_was_asked_in_which_order_has_a_digest() -> None:
    one, two, three = (a_game()[0] for _ in range(3))
    one.value(ROWS)
    two.value(ROWS[:9])
    two.value(ROWS[9:])
    three.value(ROWS[::-1])
    assert one.asked_digest() == two.asked_digest() != three.asked_digest()


@pytest.mark.parametrize("link", ["probability", "log_odds"])
def test_the_link_holds_where_a_plain_softmax_overflows(link: Link) -> None:
    question = Question(1, link, 1.0, "")
    values = question.value(np.array([[0.0, 900.0, 3.0], [900.0, 0.0, 3.0]]))
    expected = [1.0, 0.0] if link == "probability" else [897.0, -900.0]
    assert values == pytest.approx(expected, abs=0.1)


def test_probability_is_the_calibrated_softmax() -> None:
    logits = np.array([[1.0, -2.0, 0.5], [0.0, 0.0, 0.0]])
    scaled = np.exp(logits / 0.7)
    softmax = scaled / scaled.sum(axis=1, keepdims=True)
    found = Question(2, "probability", 0.7, "").value(logits)
    assert found == pytest.approx(softmax[:, 2], abs=1e-15)


@pytest.mark.parametrize(
    ("logits", "reason"),
    [(np.array([[0.0, np.nan]]), "finite"), (np.zeros((1, 1)), "1 outputs")],
)
def test_outputs_that_mean_nothing_are_refused(logits: FloatMap, reason: str) -> None:
    with pytest.raises(ExplanationError, match=reason):
        Question(min(1, logits.shape[1] - 1), "probability", 1.0, "").value(logits)
