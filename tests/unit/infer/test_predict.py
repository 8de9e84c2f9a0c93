"""The door of infer, with real files, a real decoder and a real network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest

from builders import a_job, a_uid, an_instance
from dicom_images import a_file, a_picture, an_image
from fakes.clock import FakeClock
from lightbox.domain.arrays import ImageTensor
from lightbox.domain.errors import (
    ModelPackageError,
    NotApplicableError,
    UnreadableError,
    UnsoundError,
)
from lightbox.domain.jobs import Job
from lightbox.domain.model_package import KnownRange
from lightbox.domain.prediction import FrameRef
from lightbox.infer.confidence import probabilities
from lightbox.infer.decode import DecodePool
from lightbox.infer.packages import LoadedPackage, load
from lightbox.infer.predict import Predict
from lightbox.infer.runtimes.onnx_runtime import OnnxRuntime
from lightbox.infer.sharing import Passes
from lightbox.ports import Output, Runtime
from packages import a_loaded_package, a_segmentation_folder

LEVELS = np.rint(a_picture() * 255).astype(np.uint8)


@pytest.fixture(scope="module")
def pool() -> Iterator[DecodePool]:
    with DecodePool(processes=1) as one:
        yield one


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedPackage:
    return a_loaded_package(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def runtime(loaded: LoadedPackage) -> OnnxRuntime:
    return OnnxRuntime(loaded, device="cpu", threads=1)


class Place:
    """A data directory with images in it, and a door that looks at them."""

    def __init__(self, root: Path, loaded: LoadedPackage, pool: DecodePool) -> None:
        self.root = root
        self.loaded = loaded
        self.pool = pool

    def predict(self, runtime: Runtime, max_batch: int = 32) -> Predict:
        digest = self.loaded.package.sha256
        packages = {digest: self.loaded.package}
        clock = FakeClock()
        return Predict(
            {digest: Passes(runtime, clock)}, packages, self.pool, self.root, clock, max_batch
        )

    def a_job_on(self, *pictures: np.ndarray) -> Job:
        instances = []
        for number, stored in enumerate(pictures, 1):
            a_file(self.root / f"{number}.dcm", an_image(stored))
            instances.append(an_instance(sop=a_uid("sop", str(number)), path=f"{number}.dcm"))
        package = self.loaded.package
        return replace(a_job(*instances, model=package.name), model_sha256=package.sha256)


@pytest.fixture
def place(tmp_path: Path, loaded: LoadedPackage, pool: DecodePool) -> Place:
    return Place(tmp_path, loaded, pool)


def slices(count: int) -> list[np.ndarray]:
    draw = np.random.default_rng(5)
    return [draw.permutation(LEVELS.ravel()).reshape(LEVELS.shape) for _ in range(count)]


def test_every_prediction_states_the_sites_own_thresholds(
    place: Place, runtime: OnnxRuntime
) -> None:
    job = place.a_job_on(LEVELS)
    assert place.predict(runtime).predict(job, nullcontext).prediction.thresholds == {}
    own = place.loaded.package.at_site({"tumour": 0.9})
    place.loaded = replace(place.loaded, package=own)
    assert place.predict(runtime).predict(job, nullcontext).prediction.thresholds == {"tumour": 0.9}


def test_every_prediction_states_who_signed_the_model_where_somebody_had_to(
    place: Place, runtime: OnnxRuntime
) -> None:
    job = place.a_job_on(LEVELS)
    assert place.predict(runtime).predict(job, nullcontext).prediction.signer == ""
    signed = place.loaded.package.signed_by("key 0123").at_site({"tumour": 0.9})
    place.loaded = replace(place.loaded, package=signed)
    assert place.predict(runtime).predict(job, nullcontext).prediction.signer == "key 0123"


def test_an_instance_gets_calibrated_scores_a_map_and_its_frame(
    place: Place, runtime: OnnxRuntime
) -> None:
    looked = place.predict(runtime).predict(place.a_job_on(LEVELS), nullcontext)

    prediction, package = looked.prediction, place.loaded.package
    assert prediction.finding == max(prediction.scores, key=lambda name: prediction.scores[name])
    assert prediction.confidence == prediction.scores[prediction.finding]
    assert sum(prediction.scores.values()) == pytest.approx(1)
    assert package.findings[prediction.target].name == prediction.finding
    assert prediction.model_sha256 == package.sha256
    assert looked.output.logits.shape == (1, 3)
    assert looked.output.cam is not None
    assert looked.output.cam.shape == (1, 8, 8)
    assert looked.frame.picture.shape == LEVELS.shape


def test_scores_do_not_depend_on_bits_windows_or_photometric_interpretation(
    place: Place, runtime: OnnxRuntime
) -> None:
    door = place.predict(runtime)
    reference = door.predict(place.a_job_on(LEVELS), nullcontext).prediction
    ways = [
        an_image(LEVELS, {"WindowCenter": 40, "WindowWidth": 20}),
        an_image(16 * LEVELS.astype(np.uint16), bits=12),
        an_image(128 * LEVELS.astype(np.int16) - 16384),
        an_image(255 - LEVELS, photometric="MONOCHROME1"),
        an_image(LEVELS, {"RescaleSlope": "3.5", "RescaleIntercept": "-1000"}),
    ]
    for image in ways:
        job = place.a_job_on(LEVELS)
        a_file(place.root / job.instances[0].path, image)
        prediction = door.predict(job, nullcontext).prediction
        assert prediction.scores == pytest.approx(reference.scores, abs=1e-4)


def test_the_most_suspicious_slice_speaks_for_the_series(
    place: Place, runtime: OnnxRuntime
) -> None:
    pictures = slices(7)
    series = place.predict(runtime, max_batch=3).predict(place.a_job_on(*pictures), nullcontext)

    each = []
    for picture in pictures:
        alone = place.predict(runtime).predict(place.a_job_on(picture), nullcontext)
        each.append(max(alone.prediction.scores["pneumonia"], alone.prediction.scores["tumour"]))
    first = int(np.argmax(each))
    assert series.prediction.key_frame == FrameRef(a_uid("sop", str(first + 1)))
    assert series.prediction.frames == 7
    np.testing.assert_array_equal(series.frame.ref, series.prediction.key_frame)


def test_of_equally_suspicious_frames_the_first_is_taken(
    place: Place, runtime: OnnxRuntime
) -> None:
    stack = np.stack([LEVELS] * 5)

    looked = place.predict(runtime, max_batch=2).predict(place.a_job_on(stack), nullcontext)

    assert looked.prediction.key_frame.frame == 1
    assert looked.prediction.frames == 5


def test_an_audit_comes_back_to_the_same_bits(place: Place, runtime: OnnxRuntime) -> None:
    job = place.a_job_on(np.stack(slices(4)), *slices(2))
    door = place.predict(runtime)
    looked = door.predict(job, nullcontext)

    again = door.again(job, looked.prediction, nullcontext)

    assert again.prediction == looked.prediction
    assert again.frame.ref == looked.frame.ref
    np.testing.assert_array_equal(again.frame.tensor, looked.frame.tensor)
    np.testing.assert_array_equal(again.output.logits, looked.output.logits)
    assert again.output.cam is not None
    assert looked.output.cam is not None
    np.testing.assert_array_equal(again.output.cam, looked.output.cam)


class Saying:
    """A runtime that always says the same."""

    together = 1
    arithmetic: Mapping[str, str] = MappingProxyType({})

    def __init__(self, *logits: float) -> None:
        self._logits = np.array([logits], dtype=np.float32)

    def predict(self, images: ImageTensor) -> Output:
        cam = np.ones((len(images), 2, 2), dtype=np.float32)
        return Output(np.repeat(self._logits, len(images), 0), cam)

    def layers(self, images: ImageTensor, targets: Sequence[int] = ()) -> Output:
        raise AssertionError

    def value(self, *_: object) -> np.ndarray:
        raise AssertionError


def test_the_device_is_held_for_the_forward_pass_only(place: Place, runtime: OnnxRuntime) -> None:
    held = []

    class Watched(Saying):
        def predict(self, images: ImageTensor) -> Output:
            held.append(inside)
            return runtime.predict(images)

    inside = 0

    @contextmanager
    def turn() -> Iterator[None]:
        nonlocal inside
        inside += 1
        yield
        inside -= 1

    place.predict(Watched(1, 2, 3), max_batch=2).predict(place.a_job_on(*slices(4)), turn)

    assert held == [1, 1, 1]  # two batches, and the key frame alone
    assert inside == 0


@pytest.mark.parametrize("logits", [(np.nan, 0, 1), (np.inf, 0, 1), (2, 2, 2), (1e5, 0, 1)])
def test_logits_that_say_nothing_are_withheld(place: Place, logits: tuple[float, ...]) -> None:
    with pytest.raises(UnsoundError, match="the result is withheld"):
        place.predict(Saying(*logits)).predict(place.a_job_on(LEVELS), nullcontext)


def test_one_answer_for_two_different_images_is_withheld_and_a_repeated_image_is_not(
    place: Place,
) -> None:
    door = place.predict(Saying(3, 1, 2))
    for _ in range(2):
        door.predict(place.a_job_on(LEVELS), nullcontext)
    with pytest.raises(UnsoundError, match="two different images exactly one answer"):
        door.predict(place.a_job_on(LEVELS.T), nullcontext)


def test_scores_are_softmax_of_logits_over_temperature(place: Place) -> None:
    looked = place.predict(Saying(3, 1, 2)).predict(place.a_job_on(LEVELS), nullcontext)

    expected = probabilities(place.loaded.package, np.array([[3, 1, 2]], dtype=np.float32))[0]
    assert list(looked.prediction.scores.values()) == pytest.approx(expected)
    assert looked.prediction.finding == "normal"


def test_a_unit_with_an_unreadable_slice_is_not_judged(place: Place, runtime: OnnxRuntime) -> None:
    job = place.a_job_on(*slices(2))
    (place.root / "2.dcm").write_bytes(b"damaged")

    with pytest.raises(UnreadableError, match=r"2\.dcm"):
        place.predict(runtime).predict(job, nullcontext)


def test_a_key_frame_that_the_job_does_not_hold_is_unreadable(
    place: Place, runtime: OnnxRuntime
) -> None:
    job = place.a_job_on(LEVELS)
    door = place.predict(runtime)
    prediction = door.predict(job, nullcontext).prediction

    with pytest.raises(UnreadableError, match="is not an instance of this job"):
        door.again(job, replace(prediction, key_frame=FrameRef("9.9")), nullcontext)


def test_a_model_that_is_not_served_is_refused(place: Place, runtime: OnnxRuntime) -> None:
    job = replace(place.a_job_on(LEVELS), model="chest_xray", model_sha256="0" * 64)

    with pytest.raises(ModelPackageError, match="'chest_xray': is not served here"):
        place.predict(runtime).predict(job, nullcontext)


def test_a_blank_frame_says_nothing_and_among_others_is_passed_over(
    place: Place, runtime: OnnxRuntime
) -> None:
    blank = np.zeros_like(LEVELS)
    with pytest.raises(NotApplicableError, match="all its pixels are equal"):
        place.predict(runtime).predict(place.a_job_on(blank), nullcontext)
    job = place.a_job_on(blank, LEVELS)
    looked = place.predict(runtime).predict(job, nullcontext)
    assert looked.prediction.key_frame.sop_instance_uid == job.instances[1].sop_instance_uid


@pytest.fixture
def outlining(tmp_path: Path, pool: DecodePool) -> Place:
    """A site with a segmentation model."""
    return Place(tmp_path, load(a_segmentation_folder(tmp_path / "models")), pool)


def test_what_a_segmentation_network_outlines_is_brought_into_the_sources_pixels(
    outlining: Place,
) -> None:
    runtime = OnnxRuntime(outlining.loaded, device="cpu", threads=1)
    job = outlining.a_job_on(LEVELS, LEVELS.T)

    looked = outlining.predict(runtime).predict(job, nullcontext)

    (lesion,) = looked.lesions
    assert looked.prediction.finding == "lesion"
    assert (lesion.target, lesion.probability) == (0, looked.prediction.confidence)
    sops = [each.sop_instance_uid for each in job.instances]
    assert [plane.ref.sop_instance_uid for plane in lesion.planes] == sops
    assert [plane.mask.shape for plane in lesion.planes] == [LEVELS.shape, LEVELS.T.shape]
    assert looked.output.outline is not None
    at_key = looked.frame.geometry.attribution_to_source(looked.output.outline[0]) > 0
    key = sops.index(looked.frame.ref.sop_instance_uid)
    np.testing.assert_array_equal(lesion.planes[key].mask, at_key)
    assert 0 < at_key.mean() < 1


def test_where_nothing_is_outlined_there_is_no_lesion(tmp_path: Path, pool: DecodePool) -> None:
    loaded = load(a_segmentation_folder(tmp_path / "models", bias=-1e3))
    place = Place(tmp_path, loaded, pool)
    door = place.predict(OnnxRuntime(loaded, device="cpu", threads=1))

    looked = door.predict(place.a_job_on(LEVELS), nullcontext)

    assert looked.lesions == ()
    assert looked.prediction.finding == "nothing"


class Far(Saying):
    """Says how far each frame is from what it knows."""

    def __init__(self, *distances: float) -> None:
        super().__init__(3, 1, 2)
        self._distances = list(distances)

    def predict(self, images: ImageTensor) -> Output:
        said = super().predict(images)
        far = [self._distances.pop(0) for _ in images]
        told_apart = np.nan_to_num(np.array([far], dtype=np.float32)).T * [[0, 1e-3, 0]]
        logits = (said.logits + told_apart).astype(np.float32)
        return replace(said, logits=logits, distance=np.array(far, dtype=np.float32))


def with_a_range(place: Place) -> Place:
    known = KnownRange(sha256="0" * 64, threshold=5.0, images=1, data="tests")
    package = place.loaded.package.model_copy(update={"range": known})
    place.loaded = replace(place.loaded, package=package)
    return place


@pytest.mark.parametrize(("distance", "said"), [(7.0, "7.0"), (np.nan, "inf")])
def test_an_image_outside_of_the_models_range_gets_no_answer(
    place: Place, distance: float, said: str
) -> None:
    with_a_range(place)
    job = place.a_job_on(LEVELS)

    with pytest.raises(NotApplicableError, match=f"the model's range: its features are {said}"):
        place.predict(Far(distance)).predict(job, nullcontext)


def test_a_network_that_does_not_say_how_far_an_image_is_gives_no_answer(place: Place) -> None:
    with_a_range(place)
    with pytest.raises(AssertionError):
        place.predict(Saying(3, 1, 2)).predict(place.a_job_on(LEVELS), nullcontext)


def test_frames_outside_of_the_range_are_passed_over_among_others(place: Place) -> None:
    with_a_range(place)
    one, two, three = slices(3)
    job = place.a_job_on(one, two, three)
    looked = place.predict(Far(7.0, 4.0, np.nan, 4.0)).predict(job, nullcontext)
    assert looked.prediction.key_frame.sop_instance_uid == job.instances[1].sop_instance_uid
    assert looked.prediction.frames == 3

    again = place.predict(Far(7.0)).again(job, looked.prediction, nullcontext)
    assert again.prediction == looked.prediction  # what was said of it is explained
