"""A bare source image for highdicom: one frame, its plane, and nothing that could be wrong."""

from __future__ import annotations

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from lightbox.domain.identity import derived_uid
from lightbox.results import codes
from lightbox.results.header.decimal import decimal
from lightbox.results.header.plane import Plane


def plane_image(plane: Plane, shape: tuple[int, ...], number: int = 0) -> Dataset:
    """Return a single-frame data set that lies in ``plane``, the ``number``-th of its series.

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
    image.StudyInstanceUID = image.SeriesInstanceUID = UID(derived_uid("stand-in"))
    image.SOPInstanceUID = UID(derived_uid("stand-in", str(number)))
    image.SOPClassUID = codes.SECONDARY_CAPTURE  # any single-frame class
    image.Modality = "OT"
    image.Rows, image.Columns = shape[0], shape[1]
    image.FrameOfReferenceUID = image.StudyInstanceUID
    image.ImagePositionPatient = [decimal(v) for v in plane.position]
    image.ImageOrientationPatient = [decimal(v) for v in plane.orientation]
    image.PixelSpacing = [decimal(v) for v in plane.spacing]
    image.SliceThickness = decimal(plane.thickness)
    image.ImageType = ["ORIGINAL", "PRIMARY"]
    return image
