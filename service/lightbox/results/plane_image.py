"""A bare source image for highdicom: one frame, its plane, and nothing that could be wrong."""

from __future__ import annotations

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from lightbox.results import codes
from lightbox.results.plane import Plane
from lightbox.results.source import Source


def plane_image(source: Source, shape: tuple[int, ...], plane: Plane | None = None) -> Dataset:
    """Return a single-frame data set with the plane of the key frame (or another ``plane``).

    Parameters
    ----------
    shape : tuple of ints
        Rows and columns of the source frame.
    """
    plane = plane or source.plane
    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.PatientID = image.PatientName = image.PatientBirthDate = image.PatientSex = ""
    image.AccessionNumber = image.StudyID = image.StudyDate = image.StudyTime = ""
    image.ReferringPhysicianName = ""
    image.StudyInstanceUID = source.patient_study.StudyInstanceUID
    image.SeriesInstanceUID = source.series_instance_uid
    image.SOPInstanceUID = source.sop_instance_uid
    image.SOPClassUID = (
        codes.SECONDARY_CAPTURE
    )  # any single-frame class: the true one is put on later
    image.Modality = "OT"
    image.Rows, image.Columns = shape[0], shape[1]
    image.FrameOfReferenceUID = plane.frame_of_reference_uid
    image.ImagePositionPatient = [_ds(v) for v in plane.position]
    image.ImageOrientationPatient = [_ds(v) for v in plane.orientation]
    image.PixelSpacing = [_ds(v) for v in plane.spacing]
    image.SliceThickness = _ds(plane.thickness)
    image.ImageType = ["ORIGINAL", "PRIMARY"]
    return image


def _ds(value: float) -> float:
    """Round so that the value fits a DS of 16 characters (PS3.5 6.2)."""
    return float(f"{value:.10g}")
