"""The shipped model on its own samples: maps lie on the lesions, audits repeat bit by bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image

from fakes.clock import FakeClock
from lightbox.domain.arrays import Mask
from lightbox.domain.frame import Frame
from lightbox.domain.prediction import FrameRef, Prediction
from lightbox.explain.attribute import Attribute
from lightbox.explain.audit import AuditPlan, finished
from lightbox.explain.methods import grad_cam, shapley
from lightbox.explain.quality.agreement import region_means
from lightbox.explain.quality.localisation import plausibility
from lightbox.explain.subject import Subject
from lightbox.infer.packages import LoadedPackage, load
from lightbox.infer.preprocess import geometry_for, model_input
from lightbox.infer.runtimes.onnx_runtime import OnnxRuntime
from lightbox.ports import Output
from lightbox.settings import AuditSettings

PACKAGE = Path(__file__).parents[2] / "models/brain_tumour_mri"
METHODS = {m.METHOD.card.name: m.METHOD for m in (grad_cam, shapley)}


@pytest.fixture(scope="module")
def loaded() -> LoadedPackage:
    return load(PACKAGE)


@pytest.fixture(scope="module")
def runtime(loaded: LoadedPackage) -> OnnxRuntime:
    return OnnxRuntime(loaded, "cpu")


def looked_at(
    path: Path, loaded: LoadedPackage, runtime: OnnxRuntime
) -> tuple[Subject, Output, Mask]:
    package = loaded.package
    pixels = pydicom.dcmread(path).pixel_array.astype(np.float32)
    tensor = model_input(package.preprocessing, pixels)
    geometry = geometry_for(package.preprocessing, (pixels.shape[0], pixels.shape[1]))
    output = runtime.predict(tensor)
    target = int(output.logits[0].argmax())
    ref = FrameRef(path.stem)
    prediction = Prediction(
        model=package.name,
        version=package.version,
        model_sha256=package.sha256,
        finding=package.finding(target).name,
        confidence=0.9,
        scores={},
        target=target,
        key_frame=ref,
    )
    frame = Frame(ref, tensor, np.zeros(pixels.shape, np.uint8), geometry)
    mask: Mask = np.asarray(Image.open(path.with_suffix(".mask.png"))) > 0
    return Subject(package, frame, prediction), output, mask


def a_door() -> Attribute:
    limits = AuditSettings(max_evaluations=400, tolerance=0.1)
    return Attribute(METHODS, limits, FakeClock())


def test_the_fast_map_points_into_the_lesion(loaded: LoadedPackage, runtime: OnnxRuntime) -> None:
    hits, times_chance = [], []
    for path in sorted((PACKAGE / "samples").glob("*.dcm")):
        subject, output, mask = looked_at(path, loaded, runtime)
        found = plausibility(a_door().fast(subject, output).source_map, mask)
        hits.append(found.pointing_game)
        times_chance.append(found.mass / mask.mean())
    assert len(hits) >= 8
    assert np.mean(hits) >= 0.75
    assert np.median(times_chance) >= 10


def test_an_audit_finds_the_lesions_region_and_repeats_bit_by_bit(
    loaded: LoadedPackage, runtime: OnnxRuntime, tmp_path: Path
) -> None:
    subject, output, mask = looked_at(PACKAGE / "samples/pituitary_axial_0948.dcm", loaded, runtime)
    door = a_door()
    fast = door.fast(subject, output)
    plan = AuditPlan(chunk=32, values_path=tmp_path / "values")
    found = finished(door.audit(subject, runtime, fast, plan))
    assert found.estimate.values is not None
    assert found.players is not None
    lesion = region_means(mask.astype(np.float32), found.players, found.estimate.values.size)
    assert found.estimate.values.argmax() == lesion.argmax()
    assert abs(found.completeness_residual) < 1e-9
    assert found.quality["deletion"] < 0 < found.quality["insertion"]
    assert found.quality["agreement_top"] == 1.0
    replayed = finished(door.audit(subject, runtime, fast, plan))
    # With another chunk, as a worker has after a start that found the device slower or faster.
    afresh = finished(door.audit(subject, runtime, fast, AuditPlan(chunk=8)))
    for other in (replayed, afresh):
        assert other.estimate.values is not None
        assert other.estimate.values.tobytes() == found.estimate.values.tobytes()
        assert other.quality == found.quality
