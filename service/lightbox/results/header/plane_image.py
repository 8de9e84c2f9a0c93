"""A bare source image for highdicom: one frame, its plane, and nothing that could be wrong."""

from __future__ import annotations

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from lightbox.domain.identity import derived_uid
from lightbox.results import codes
from lightbox.results.header.plane import Plane

STAND_IN = derived_uid("stand-in")
"""In place of every UID of the source, which may have faults that highdicom would not take."""


def plane_image(plane: Plane, shape: tuple[int, ...]) -> Dataset:
    """Return a single-frame data set that lies in ``plane``.

    Parameters
    ----------
    shape : tuple of ints
        Rows and columns of the source frame.
    """
    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.PatientID = image.PatientName = image.PatientBirthDate = image.PatientSex = ""
    image.AccessionNumber = image.StudyID = image.StudyDate = image.StudyTime = ""
    image.ReferringPhysicianName = ""
    image.StudyInstanceUID = image.SeriesInstanceUID = image.SOPInstanceUID = UID(STAND_IN)
    image.SOPClassUID = (
        codes.SECONDARY_CAPTURE
    )  # any single-frame class: the true one is put on later
    image.Modality = "OT"
    image.Rows, image.Columns = shape[0], shape[1]
    image.FrameOfReferenceUID = UID(STAND_IN)
    image.ImagePositionPatient = [decimal(v) for v in plane.position]
    image.ImageOrientationPatient = [decimal(v) for v in plane.orientation]
    image.PixelSpacing = [decimal(v) for v in plane.spacing]
    image.SliceThickness = decimal(plane.thickness)
    image.ImageType = ["ORIGINAL", "PRIMARY"]
    return image


def decimal(value: float) -> float:
    """Round so that the value fits a DS of 16 characters (PS3.5 6.2)."""
    return float(f"{value:.10g}")
