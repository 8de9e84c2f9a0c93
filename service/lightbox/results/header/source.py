"""The source's header, cleaned: whose object it is, and where its key frame lies in space.

Real headers are full of small sins (NUL padding, sex "0000", spacing zero). None of them fails a
study: what cannot be kept is left empty, and nothing invalid is copied into our results.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import pydicom
from pydicom.dataset import Dataset

from lightbox.domain.errors import ResultError
from lightbox.domain.explained import Explained
from lightbox.domain.prediction import FrameRef
from lightbox.domain.study import Instance
from lightbox.results import codes
from lightbox.results.header.cleaning import copy_clean, put_uid
from lightbox.results.header.plane import Plane, plane_of

_PATIENT = [
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "IssuerOfPatientIDQualifiersSequence",
    "TypeOfPatientID",
    "PatientBirthDate",
    "PatientBirthTime",
    "PatientSex",
    "OtherPatientIDsSequence",
    "OtherPatientNames",
    "EthnicGroup",
    "PatientComments",
    "PatientIdentityRemoved",
    "DeidentificationMethod",
    "DeidentificationMethodCodeSequence",
    "QualityControlSubject",
    "PatientSpeciesDescription",
    "PatientSpeciesCodeSequence",
    "PatientBreedDescription",
    "PatientBreedCodeSequence",
    "BreedRegistrationSequence",
    "ResponsiblePerson",
    "ResponsiblePersonRole",
    "ResponsibleOrganization",
    "ReferencedPatientSequence",
    "ClinicalTrialSponsorName",
    "ClinicalTrialProtocolID",
    "ClinicalTrialProtocolName",
    "ClinicalTrialSiteID",
    "ClinicalTrialSiteName",
    "ClinicalTrialSubjectID",
    "ClinicalTrialSubjectReadingID",
    "LongitudinalTemporalInformationModified",
]
_STUDY = [
    "StudyInstanceUID",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "IssuerOfAccessionNumberSequence",
    "ProcedureCodeSequence",
    "ReferringPhysicianName",
    "ReferringPhysicianIdentificationSequence",
    "ConsultingPhysicianName",
    "StudyDescription",
    "PhysiciansOfRecord",
    "NameOfPhysiciansReadingStudy",
    "ReferencedStudySequence",
    "AdmittingDiagnosesDescription",
    "PatientAge",
    "PatientSize",
    "PatientWeight",
    "PatientState",
    "PregnancyStatus",
    "SmokingStatus",
    "AdditionalPatientHistory",
    "Occupation",
    "MedicalAlerts",
    "Allergies",
    "LastMenstrualDate",
    "PatientSexNeutered",
    "AdmissionID",
    "IssuerOfAdmissionIDSequence",
    "ServiceEpisodeID",
    "ServiceEpisodeDescription",
    "ClinicalTrialTimePointID",
    "ClinicalTrialTimePointDescription",
]
_EMPTY_IF_MISSING = [
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
]
_IMAGE = [
    "SOPClassUID",
    "SOPInstanceUID",
    "SeriesInstanceUID",
    "SeriesNumber",
    "InstanceNumber",
    "Modality",
    "BodyPartExamined",
    "Laterality",
    "ImageLaterality",
    "PatientOrientation",
    "AnatomicalOrientationType",
    "SpecificCharacterSet",
    "TimezoneOffsetFromUTC",
    "BurnedInAnnotation",
    "RecognizableVisualFeatures",
    "LossyImageCompression",
    "LossyImageCompressionRatio",
    "LossyImageCompressionMethod",
    "PatientPosition",
    "PositionReferenceIndicator",
]


@dataclass(frozen=True, slots=True)
class Source:
    """The instance that holds the key frame.

    Attributes
    ----------
    patient_study : Dataset
        Cleaned attributes of the patient and study modules, every type 2 one present.
    image : Dataset
        Cleaned attributes of series and image that results copy or refer to.
    frame, frames : int
        Key frame number, from 1, and how many frames the instance has.
    shape : tuple of two ints
        Rows and columns.
    plane : Plane
        Where the key frame lies.
    """

    patient_study: Dataset
    image: Dataset
    frame: int
    frames: int
    shape: tuple[int, int]
    plane: Plane

    @property
    def sop_instance_uid(self) -> str:
        """SOP Instance UID of the source."""
        return str(self.image.SOPInstanceUID)

    @property
    def sop_class_uid(self) -> str:
        """SOP Class UID of the source."""
        return str(self.image.SOPClassUID)

    @property
    def series_instance_uid(self) -> str:
        """Series Instance UID of the source."""
        return str(self.image.SeriesInstanceUID)

    @property
    def has_frames(self) -> bool:
        """Say whether references to the source must name a frame."""
        return self.frames > 1 and self.sop_class_uid not in codes.SINGLE_FRAME

    def text(self, keyword: str) -> str:
        """Return an image attribute as text, "" where it is missing."""
        value = self.image.get(keyword)
        return "" if value is None else str(value).strip()


def read_header(data: bytes) -> Dataset:
    """Read a DICOM file without pixel data, patient with small sins.

    Raises
    ------
    ResultError
        If it is no DICOM at all: it was readable when it was predicted.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return pydicom.dcmread(io.BytesIO(data), force=True, stop_before_pixels=True)
    except Exception as error:
        raise ResultError("source header", str(error), "see the ledger for the instance") from error


def key_source(explained: Explained) -> Source:
    """Return the source of the key frame.

    Raises
    ------
    ResultError
        If the key frame's instance is not among the job's: a result must belong to an image.
    """
    return source_of(explained, explained.prediction.key_frame)


def source_of(explained: Explained, ref: FrameRef) -> Source:
    """Return the source of any frame of the unit.

    Raises
    ------
    ResultError
        As :func:`key_source`.
    """
    instance, data = _instance(explained, ref)
    return _source_of(data, instance, ref.frame, explained.frame.pixel_spacing)


@lru_cache(maxsize=2)
def _source_of(
    data: bytes, instance: Instance, frame: int, spacing: tuple[float, float] | None
) -> Source:
    """Read a source once for all objects that are made of it, one after the other."""
    return read_source(read_header(data), instance, frame, spacing)


def key_header(explained: Explained) -> Dataset:
    """Return the header of the key frame's instance as it came.

    Raises
    ------
    ResultError
        As :func:`key_source`.
    """
    return read_header(_instance(explained, explained.prediction.key_frame)[1])


def _instance(explained: Explained, ref: FrameRef) -> tuple[Instance, bytes]:
    wanted = ref.sop_instance_uid
    for instance, data in zip(explained.job.instances, explained.sources, strict=True):
        if instance.sop_instance_uid == wanted:
            return instance, data
    raise ResultError(f"key frame {wanted}", "is not an instance of its job", "report this fault")


def all_sources(explained: Explained) -> Iterator[Source]:
    """Yield every frame of every source, in the order of the job."""
    for instance, data in zip(explained.job.instances, explained.sources, strict=True):
        header = read_header(data)
        for frame in range(1, frames_of(header) + 1):
            yield read_source(header, instance, frame)


def _without_empty(dataset: Dataset) -> Dataset:
    for element in list(dataset):
        if element.is_empty:
            del dataset[element.tag]
    return dataset


def read_source(
    header: Dataset,
    instance: Instance,
    frame: int,
    pixel_spacing: tuple[float, float] | None = None,
) -> Source:
    """Clean a header and find the plane of one frame.

    Parameters
    ----------
    instance : Instance
        As received: its UIDs are what results refer to.
    pixel_spacing : tuple of two floats, or None
        What the decoder found, for a nominal plane.
    """
    patient_study = copy_clean(header, _PATIENT + _STUDY)
    for keyword in _EMPTY_IF_MISSING:
        if keyword not in patient_study:
            setattr(patient_study, keyword, "")
    if patient_study.get("PatientIdentityRemoved") == "YES" and not any(
        patient_study.get(keyword)
        for keyword in ("DeidentificationMethod", "DeidentificationMethodCodeSequence")
    ):
        patient_study.DeidentificationMethod = "Not stated by the source"
    image = _without_empty(copy_clean(header, _IMAGE))
    put_uid(image, "SOPInstanceUID", instance.sop_instance_uid)
    put_uid(image, "SOPClassUID", instance.sop_class_uid)
    put_uid(image, "SeriesInstanceUID", instance.series_instance_uid)
    put_uid(patient_study, "StudyInstanceUID", instance.study_instance_uid)
    shape = (int(header.get("Rows") or 0), int(header.get("Columns") or 0))
    plane = plane_of(header, frame, shape, pixel_spacing)
    return Source(patient_study, image, frame, frames_of(header), shape, plane)


def frames_of(header: Dataset) -> int:
    """Return Number of Frames, 1 where it is missing or no number."""
    try:
        return max(1, int(header.get("NumberOfFrames") or 1))
    except (TypeError, ValueError):
        return 1
