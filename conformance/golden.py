"""Golden pictures: one of each thing that a reader may meet, drawn from synthetic heads and X-rays.

``make pictures`` draws them anew; whoever does looks at every one before committing.
``test_pictures.py`` compares by how different two pictures look, tile by tile, not byte by byte.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from builders import NOON
from explained_builders import (
    a_header,
    a_lesion,
    a_package,
    a_picture,
    a_stack,
    an_explained,
)
from lightbox.domain.arrays import Picture
from lightbox.domain.explained import Explained
from lightbox.domain.model_package import Accepts, Code, Explanation, Finding
from lightbox.domain.replaced import Replaced
from lightbox.results.header.source import key_source
from lightbox.results.picture.card import card
from lightbox.results.picture.mosaic import mosaic
from lightbox.results.picture.render import render
from lightbox.results.slices.mosaic import tiles_of

GOLDEN = Path(__file__).parent / "pictures" / "golden"
_SCALE = 2
"""Golden pictures are half as large as what they stand for, in both directions."""
_TILE = 16
_WHITE = np.array([0.9505, 1.0, 1.089])
"""D65 (IEC 61966-2-1)."""
_TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
_PLACELESS = {"ImagePositionPatient": None, "ImageOrientationPatient": None}
_LIMITS = {
    "grad_cam": ("What speaks against the finding is not drawn.",),
    "shapley": ("A lesion that touches two regions is shared between them.",),
}


def _limited() -> Explanation:
    return Explanation(failure_modes=_LIMITS)


def _chest(rows: int, columns: int, **changes: object) -> Explained:
    """Return a projection without a plane, as a radiograph has it."""
    finding = Finding(
        name="pneumothorax",
        label="Pneumothorax",
        code=Code(scheme="SCT", value="36118008", meaning="Pneumothorax"),
    )
    package = a_package(
        name="chest_x_ray",
        accepts=Accepts(modality=("DX",), body_part=("CHEST",)),
        findings=(finding, *a_package().findings[1:]),
        explanation=_limited(),
    )
    header = a_header(
        rows,
        columns,
        Modality="DX",
        BodyPartExamined="CHEST",
        PixelSpacing=[0.14, 0.14],
        PatientOrientation=["L", "F"],
        **_PLACELESS,
        **changes,
    )
    return an_explained(header, method="shapley", package=package, exact=False)


def _warned(explained: Explained, *sentences: str) -> Explained:
    return replace(explained, attribution=replace(explained.attribution, warnings=sentences))


def _fast() -> Explained:
    return an_explained(a_header(512, 512), package=a_package(explanation=_limited()))


def _audit() -> Explained:
    package = a_package(explanation=_limited())
    return an_explained(a_header(512, 512), method="shapley", package=package)


def _disagrees() -> Explained:
    explained = an_explained(a_header(512, 512), method="shapley", exact=False, confidence=0.63)
    low = replace(explained.attribution, quality={"agreement": -0.4})
    return _warned(
        replace(explained, attribution=low),
        "This audit contradicts the fast map: agreement -0.40. Trust neither without looking.",
        "Not converged after 4096 evaluations: values are uncertain by 0.04.",
    )


def _replaces() -> Explained:
    now = an_explained(a_header(512, 512), confidence=0.55)
    then = replace(now.prediction, finding="meningioma", confidence=0.91)
    return replace(now, replaces=Replaced(now.job, then, (), NOON - 60))


def _lesion() -> Explained:
    explained = an_explained(a_header(512, 512))
    return replace(explained, lesions=(a_lesion(explained),))


def _colour() -> Explained:
    grey = a_picture(64, 64)
    tinted = np.stack([grey, grey // 2, grey // 3], axis=2)
    header = a_header(64, 64, Modality="US", PixelSpacing=None, **_PLACELESS)
    return an_explained(header, picture=tinted)


def _long_names() -> Explained:
    label = "Intraparenchymal haemorrhage with mass effect and midline shift of more than 5 mm"
    finding = a_package().findings[0].model_copy(update={"label": label})
    package = a_package(findings=(finding, *a_package().findings[1:]))
    explained = an_explained(a_header(512, 512), method="shapley", package=package)
    rule = "emergency department: Köpfe, Łódź, São João, Ærø, ñandú; sent at night " * 2
    return replace(explained, job=replace(explained.job, rule=rule.strip()))


def _stack_of_lesions() -> Explained:
    explained = a_stack(20, key=9, further={7: 0.86, 11: 0.9}, shape=(256, 256))
    planes = [
        replace(a_lesion(one).planes[0], ref=one.prediction.key_frame)
        for one in (explained, *(explained.of_slice(each) for each in explained.slices))
    ]
    return replace(explained, lesions=(replace(a_lesion(explained), planes=tuple(planes)),))


def _many_slices() -> Explained:
    warned = "48 % of the map lies at the border of the picture."
    further = {4: 0.71, 8: 0.83, 10: 0.9, 15: 0.91, 18: 0.62}
    package = a_package(explanation=_limited())
    explained = a_stack(22, key=12, further=further, shape=(384, 384), package=package)
    first = explained.slices[0]
    first = replace(first, attribution=replace(first.attribution, warnings=(warned,)))
    return replace(explained, slices=(first, *explained.slices[1:]))


def _sagittal() -> Explained:
    turned = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
    further = {2: 0.7, 5: 0.8, 9: 0.77}
    return a_stack(11, key=7, further=further, shape=(320, 210), orientation=turned)


def _tiny_slices() -> Explained:
    further = {2: 0.66}
    return a_stack(9, key=4, further=further, shape=(64, 80), orientation=None, PixelSpacing=None)


def _long_names_of_slices() -> Explained:
    named = _long_names()
    explained = a_stack(9, key=4, further={1: 0.66, 7: 0.71}, package=named.package)
    return replace(explained, job=replace(explained.job, rule=named.job.rule))


def _further_slice() -> Explained:
    explained = _many_slices()
    return explained.of_slice(explained.slices[1])


CASES: dict[str, Callable[[], Explained]] = {
    "fast": _fast,
    "audit": _audit,
    "audit_that_disagrees": _disagrees,
    "nothing_found": lambda: an_explained(a_header(512, 512), target=2),
    "under_the_threshold": lambda: an_explained(a_header(512, 512), confidence=0.42),
    "replaces": _replaces,
    "lesion": _lesion,
    "tiny_in_colour": _colour,
    "portrait": lambda: _chest(2500, 1700),
    "landscape": lambda: _chest(1900, 2500),
    "long_names": _long_names,
    "further_slice": _further_slice,
}

MOSAICS: dict[str, Callable[[], Explained]] = {
    "mosaic": _many_slices,
    "mosaic_of_lesions": _stack_of_lesions,
    "mosaic_sagittal": _sagittal,
    "mosaic_tiny": _tiny_slices,
    "mosaic_long_names": _long_names_of_slices,
}


def drawn(name: str) -> Picture:
    """Return a picture as it is sent, shape (rows, columns, 3)."""
    if name == "not_analysed":
        rows = (
            ("Reason", "The image shows nothing: all its pixels are equal"),
            ("What helps", "check the image at the sender"),
            ("Model", "brain_tumour_mri 1.0.0"),
        )
        return card("NOT ANALYSED", "No result does not mean that nothing is there.", rows)
    if name in MOSAICS:
        explained = MOSAICS[name]()
        return mosaic(explained, tiles_of(explained))
    explained = CASES[name]()
    return render(explained, key_source(explained))


NAMES = (*CASES, *MOSAICS, "not_analysed")


def reduced(picture: Picture) -> Picture:
    """Return a picture as it is kept: half as large."""
    return np.asarray(Image.fromarray(picture).reduce(_SCALE))


def distance(one: Picture, other: Picture) -> float:
    """Return how different two pictures look where they differ most: CIE 1976 colour difference.

    Of the means of tiles of 16 x 16 pixels the largest; about 2 can just be seen. Pictures of two
    sizes are infinitely different.
    """
    if one.shape != other.shape:
        return float("inf")
    apart = np.linalg.norm(_lab(one) - _lab(other), axis=2)
    rows, columns = (-(-n // _TILE) * _TILE for n in apart.shape)
    padded = np.zeros((rows, columns))
    padded[: apart.shape[0], : apart.shape[1]] = apart
    tiles = padded.reshape(rows // _TILE, _TILE, columns // _TILE, _TILE)
    return float(tiles.mean(axis=(1, 3)).max())


def _lab(picture: Picture) -> npt.NDArray[np.float64]:
    """Convert sRGB to CIELAB (CIE 15:2004)."""
    encoded = picture / 255.0
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    share = linear @ _TO_XYZ.T / _WHITE
    bent = np.where(share > (6 / 29) ** 3, np.cbrt(share), share / (3 * (6 / 29) ** 2) + 4 / 29)
    x, y, z = bent[..., 0], bent[..., 1], bent[..., 2]
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=2)


if __name__ == "__main__":
    GOLDEN.mkdir(parents=True, exist_ok=True)
    for golden in NAMES:
        Image.fromarray(reduced(drawn(golden))).save(GOLDEN / f"{golden}.png", optimize=True)
