"""Whether the service would give a model the samples of its own package."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lightbox.app.instance_file import instance_of
from lightbox.domain.model_package import ModelPackage
from lightbox.domain.study import Arrival, Described
from lightbox.infer.package_check import CheckLine
from lightbox.infer.packages import MANIFEST
from lightbox.receive.header import describe
from lightbox.studies.match import match

_NO_ARRIVAL = Arrival(0.0, "", "", "", "")


def accepts_line(package: ModelPackage, files: Sequence[Path], nesting: int) -> CheckLine:
    """Ask the package's rules about its samples.

    A package whose rules refuse them would pass every other check, and never answer.

    Parameters
    ----------
    package : ModelPackage
    files : sequence of Path
        The samples.
    nesting : int
        Deepest nesting of sequences that is read.

    Raises
    ------
    UnreadableError
        If one is no DICOM file.
    """
    for file in files:
        described = Described(instance_of(file), _NO_ARRIVAL, describe(file, (), nesting))
        (found,) = match((package,), described)
        if found.refused is not None:
            mend = f"correct [accepts] in {MANIFEST}, or the sample"
            answer = f"{file.name} would get no answer: {found.reason}; {mend}"
            return CheckLine("accepts", passed=False, answer=answer)
    return CheckLine("accepts", passed=True, answer=f"takes all of its samples ({len(files)})")
