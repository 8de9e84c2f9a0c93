"""An audit of the same image bytes, model and parameters is taken, never computed twice."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from explained_builders import a_package
from fakes.arithmetic_runtime import ArithmeticRuntime
from fakes.clock import FakeClock
from lightbox.domain.attribution import Attribution, Contrast, Estimate, PairValues
from lightbox.domain.frame import Frame
from lightbox.domain.geometry import FrameGeometry
from lightbox.domain.model_package import Preprocessing
from lightbox.domain.prediction import FrameRef, Prediction
from lightbox.explain.known.attribution_file import attribution_bytes, attribution_from
from lightbox.explain.known.audits import KnownAudits
from lightbox.explain.known.identity import audit_identity
from lightbox.explain.subject import Subject
from lightbox.settings import AuditSettings
from lightbox.storage.files import Files
from lightbox.storage.folder import FolderStorage

SIZE = (12, 12)
RANDOM = np.random.default_rng(0)
VALUES = RANDOM.normal(size=4)
FOUND = Attribution(
    method="shapley",
    target=1,
    source_map=RANDOM.normal(size=(6, 7)).astype(np.float32),
    cell_pixels=(3.0, 3.5),
    estimate=Estimate(values=VALUES, standard_errors=VALUES**2, evaluations=16, exact=True),
    parameters={"regions": "grid 2x2"},
    players=np.zeros((6, 7), np.int16),
    occlusion=VALUES + 1,
    v_full=np.nextafter(0.1, 1.0),
    quality={"agreement": 0.1 + 0.2},
    warnings=("one", "two"),
    seconds=12.5,
    contrast=Contrast(0, VALUES, VALUES, 0.1, 0.2),
    interactions=PairValues(RANDOM.normal(size=(4, 4)), np.zeros((4, 4))),
    arithmetic={"engine": "numpy"},
)


def assert_same(one: object, other: object) -> None:
    """Compare to the last bit, arrays with their types."""
    if isinstance(one, np.ndarray):
        assert isinstance(other, np.ndarray)
        assert (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes())
    elif is_dataclass(one) and not isinstance(one, type):
        assert type(one) is type(other)
        for each in fields(one):
            assert_same(getattr(one, each.name), getattr(other, each.name))
    else:
        assert one == other


class Bench:
    """Known audits in a folder, with a clock."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = FakeClock(1e9)
        self.known = KnownAudits(FolderStorage(folder, Files()), folder, self.clock)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_an_attribution_comes_back_to_the_last_bit() -> None:
    found, origin = attribution_from(attribution_bytes(FOUND, "first"))
    assert origin == "first"
    assert_same(found, FOUND)


@pytest.mark.parametrize("change", [b"", b"PK", b"x" * 50])
def test_what_is_no_attribution_is_refused(change: bytes) -> None:
    with pytest.raises(ValueError, match="no attribution"):
        attribution_from(change)


def test_a_damaged_file_is_refused() -> None:
    data = bytearray(attribution_bytes(FOUND, "first"))
    data[len(data) // 2] ^= 1
    with pytest.raises(ValueError, match="no attribution"):
        attribution_from(bytes(data))


def test_the_next_audit_of_the_same_takes_it_and_says_from_whom(bench: Bench) -> None:
    assert bench.known.take("ab", "first") is None
    (bench.folder / "first.values").write_bytes(b"v(S)")
    bench.known.keep("ab", "first", FOUND)
    taken = bench.known.take("ab", "second")
    assert taken is not None
    assert_same(taken, replace(FOUND, taken_from="first", seconds=0.0))
    assert (bench.folder / "second.values").read_bytes() == b"v(S)"
    assert bench.known.take("cd", "third") is None


def test_who_computed_it_took_it_from_nobody_also_after_a_crash(bench: Bench) -> None:
    bench.known.keep("ab", "first", FOUND)
    again = bench.known.take("ab", "first")
    assert again is not None
    assert_same(again, FOUND)


def test_a_job_that_took_one_takes_the_same_again_when_the_entry_is_gone(bench: Bench) -> None:
    bench.known.keep("ab", "first", FOUND)
    taken = bench.known.take("ab", "second")
    (bench.folder / "ab.known").unlink()
    assert taken is not None
    assert_same(bench.known.take("ab", "second"), taken)
    assert bench.known.take("ab", "third") is None


def test_a_damaged_entry_is_computed_again(bench: Bench) -> None:
    (bench.folder / "ab.known").write_bytes(b"PK torn")
    assert bench.known.take("ab", "first") is None
    bench.known.keep("ab", "first", FOUND)
    assert bench.known.take("ab", "second") is not None


def test_what_was_taken_is_never_the_origin_of_another(bench: Bench) -> None:
    bench.known.keep("ab", "second", replace(FOUND, taken_from="first"))
    assert bench.known.take("ab", "third") is None


def test_entries_are_forgotten_when_they_are_old(bench: Bench) -> None:
    for name, age in (("old", 100.0), ("new", 10.0)):
        bench.known.keep(name, "first", FOUND)
        moment = bench.clock.now() - age
        os.utime(bench.folder / f"{name}.known", (moment, moment))
    assert bench.known.forget(older_than=50.0) == 1
    assert bench.known.take("old", "second") is None
    assert bench.known.take("new", "second") is not None


def a_subject() -> Subject:
    package = a_package(preprocessing=Preprocessing(size=SIZE))
    ref = FrameRef("1.2.3")
    tensor = np.ones((1, 1, *SIZE), np.float32)
    geometry = FrameGeometry.pad((24, 20), SIZE)
    said = Prediction(
        model=package.name,
        version=package.version,
        model_sha256=package.sha256,
        finding="meningioma",
        confidence=0.9,
        scores={"meningioma": 0.9, "other": 0.1},
        target=1,
        key_frame=ref,
    )
    return Subject(package, Frame(ref, tensor, np.zeros((24, 20), np.uint8), geometry), said)


def identity(
    change: Callable[[Subject], Subject] = lambda subject: subject,
    *,
    settings: Mapping[str, Any] | None = None,
    method: str = "shapley",
    chunk: int = 16,
) -> str:
    runtime = ArithmeticRuntime(np.ones(SIZE))
    asked = AuditSettings(**(settings or {}))
    return audit_identity(change(a_subject()), runtime, asked, method, chunk)


def of_another_study(subject: Subject) -> Subject:
    ref = replace(subject.frame.ref, sop_instance_uid="1.2.3.4")
    return replace(subject, frame=replace(subject.frame, ref=ref))


def test_whose_image_it_is_and_which_are_audited_changes_nothing() -> None:
    policy = {"sample": 0.5, "modalities": ("CT",), "window": "22:00-06:00", "min_share": 0.3}
    assert identity(of_another_study) == identity(settings=policy) == identity()


def one_pixel_more(subject: Subject) -> Subject:
    tensor = subject.frame.tensor.copy()
    tensor.flat[0] = np.nextafter(tensor.flat[0], np.float32(2.0))
    return replace(subject, frame=replace(subject.frame, tensor=tensor))


def other_weights(subject: Subject) -> Subject:
    return replace(subject, package=subject.package.model_copy(update={"sha256": "f" * 64}))


def other_geometry(subject: Subject) -> Subject:
    geometry = FrameGeometry.stretch((99, 98), SIZE)
    return replace(subject, frame=replace(subject.frame, geometry=geometry))


def other_target(subject: Subject) -> Subject:
    other = replace(subject.prediction, target=1 - subject.prediction.target)
    return replace(subject, prediction=other)


@pytest.mark.parametrize("change", [one_pixel_more, other_weights, other_geometry, other_target])
def test_whatever_the_values_depend_on_makes_another_audit(
    change: Callable[[Subject], Subject],
) -> None:
    assert identity(change) != identity()


def test_how_long_a_chunk_is_on_this_device_makes_no_other_audit() -> None:
    assert identity(chunk=8) == identity(chunk=16) == identity(chunk=64)


@pytest.mark.parametrize(
    "asked",
    [
        {"method": "occlusion"},
        {"chunk": 4},
        {"settings": {"tolerance": 0.02}},
        {"settings": {"max_evaluations": 5000}},
    ],
)
def test_other_parameters_make_another_audit(asked: Mapping[str, Any]) -> None:
    assert identity(**asked) != identity()
