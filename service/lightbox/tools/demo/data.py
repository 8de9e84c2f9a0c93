"""Files on disk, grouped into the studies that they belong to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pydicom
from pydicom.errors import InvalidDicomError

from lightbox.tools.send import files_in

MODEL = "brain_tumour_mri"
"""What benchmarks serve, and the demo if not told otherwise: figures of two days compare."""


def sample_folders(models: Path, model: str = MODEL) -> tuple[Path, ...]:
    """Return the folder of a model's samples; none where ``models`` has no such package."""
    folder = models / model / "samples"
    return (folder,) if folder.is_dir() else ()


@dataclass(frozen=True, slots=True)
class Study:
    """One study; ``name`` is its first file's, without the suffix."""

    name: str
    study_instance_uid: str
    files: tuple[Path, ...]


def studies_in(paths: Sequence[Path]) -> list[Study]:
    """Group the DICOM files under these paths by study, in an order that mixes their names.

    Samples are named by finding: taken one by one from both ends, any half of them has several.
    """
    grouped: dict[str, list[Path]] = {}
    for file in files_in(paths):
        try:
            header = pydicom.dcmread(file, specific_tags=["StudyInstanceUID"])
        except (InvalidDicomError, OSError):
            continue
        if uid := header.get("StudyInstanceUID"):
            grouped.setdefault(str(uid), []).append(file)
    studies = [Study(files[0].stem, uid, tuple(sorted(files))) for uid, files in grouped.items()]
    studies.sort(key=lambda study: (study.name, study.study_instance_uid))
    seen: Counter[str] = Counter()
    for number, study in enumerate(studies):
        seen[study.name] += 1
        if seen[study.name] > 1:
            studies[number] = replace(study, name=f"{study.name}_{seen[study.name]}")
    return studies[::2] + studies[1::2]
