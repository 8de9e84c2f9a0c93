"""De-identified headers for ``lightbox explain --deidentify``: what is not on the list is not there.

PS3.15 annex E, Basic Application Level Confidentiality Profile. Its table says what to remove; a list of
what may stay is stricter, and knows private attributes and those of next year's standard. Of the profile's
options none is claimed: pixels are not cleaned, so sources with text in their pixels are refused.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import ExplicitVRLittleEndian

from lightbox.domain.errors import NotApplicableError
from lightbox.domain.explained import Explained
from lightbox.domain.identity import derived_uid
from lightbox.domain.jobs import job_identity
from lightbox.domain.lesion import Lesion
from lightbox.domain.prediction import FrameRef
from lightbox.domain.study import Instance
from lightbox.results.header.cleaning import copy_clean
from lightbox.results.header.header_bytes import header_of
from lightbox.results.header.source import read_header

METHOD = "Lightbox: all but image attributes removed"
"""Deidentification Method (0012,0063)."""

_STAYS = (
    "SOPClassUID", "Modality", "BodyPartExamined", "Laterality", "ImageLaterality",
    "PatientOrientation", "PatientPosition", "SeriesNumber", "InstanceNumber", "NumberOfFrames",
    "Rows", "Columns", "PixelSpacing", "ImagerPixelSpacing", "PixelAspectRatio", "SliceThickness",
    "SpacingBetweenSlices", "ImagePositionPatient", "ImageOrientationPatient",
    "LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod",
    "BurnedInAnnotation", "RecognizableVisualFeatures",
)  # fmt: skip
"""What our results are made from and the profile does not ask to remove or replace."""

_UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID")
_GROUPS = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
_MACROS = ("PixelMeasuresSequence", "PlanePositionSequence", "PlaneOrientationSequence")
_GEOMETRY = (
    "PixelSpacing", "SliceThickness", "SpacingBetweenSlices", "ImagePositionPatient",
    "ImageOrientationPatient",
)  # fmt: skip
_OFTEN_WITH_TEXT = frozenset({"US", "IVUS", "ES", "XC", "GM", "OT", "SC", "DOC", "RF", "OP", ""})
"""Modalities whose images often show a name; theirs must say that they do not."""


class Deidentifier:
    """Gives every patient, study, series and image another name: the same one within one run.

    Parameters
    ----------
    secret : str
        Drawn for this run, and forgotten: without it nobody finds the way back.
    """

    def __init__(self, secret: str) -> None:
        self._secret = secret
        self._patients: dict[str, str] = {}

    def header(self, file: Path) -> bytes:
        """Return the de-identified header of a file, a valid DICOM file by itself.

        Raises
        ------
        NotApplicableError
            If its pixels show, or may show, who it is.
        """
        source = read_header(header_of(file))
        _refuse_text_in_pixels(file, source)
        made = copy_clean(source, _STAYS)
        for keyword in _UIDS:
            if source.get(keyword):
                setattr(made, keyword, self.uid(str(source[keyword].value)))
        for keyword in _GROUPS:
            if source.get(keyword):
                setattr(made, keyword, [_geometry(group) for group in source[keyword].value])
        made.PatientName = made.PatientID = self._patient(source)
        made.PatientIdentityRemoved = "YES"
        made.DeidentificationMethod = METHOD
        made.DeidentificationMethodCodeSequence = [_basic_profile()]
        made.LongitudinalTemporalInformationModified = "REMOVED"
        return _encoded(made)

    def hide(self, explained: Explained, header: bytes) -> Explained:
        """Return an explanation of one file as one of the file with this header."""
        (instance,) = explained.job.instances
        hidden = self._instance(instance)
        job = replace(
            explained.job,
            job_id=job_identity(
                explained.job.path, (hidden,), explained.job.model_sha256, explained.job.method
            ),
            study_instance_uid=hidden.study_instance_uid,
            series_instance_uid=hidden.series_instance_uid,
            instances=(hidden,),
        )
        ref = replace(explained.prediction.key_frame, sop_instance_uid=hidden.sop_instance_uid)
        return replace(
            explained,
            job=job,
            prediction=replace(explained.prediction, key_frame=ref),
            frame=replace(explained.frame, ref=ref),
            sources=(header,),
            lesions=tuple(_in_copy(lesion, ref) for lesion in explained.lesions),
        )

    def uid(self, original: str) -> str:
        """Return the UID that stands for another."""
        return derived_uid("de-identified", self._secret, original.strip(" \0"))

    def _instance(self, instance: Instance) -> Instance:
        return replace(
            instance,
            sop_instance_uid=self.uid(instance.sop_instance_uid),
            study_instance_uid=self.uid(instance.study_instance_uid),
            series_instance_uid=self.uid(instance.series_instance_uid),
            path="",
            sha256=derived_uid("de-identified", self._secret, instance.sha256),
        )

    def _patient(self, source: Dataset) -> str:
        """Give each patient of a run the next number."""
        original = f"{source.get('PatientID', '')}\0{source.get('IssuerOfPatientID', '')}"
        return self._patients.setdefault(original, f"ANON{len(self._patients) + 1:04d}")


def _in_copy(lesion: Lesion, ref: FrameRef) -> Lesion:
    """Let an outline refer to the frames of the copy."""
    planes = (
        replace(plane, ref=replace(plane.ref, sop_instance_uid=ref.sop_instance_uid))
        for plane in lesion.planes
    )
    return replace(lesion, planes=tuple(planes))


def _refuse_text_in_pixels(file: Path, source: Dataset) -> None:
    stated = str(source.get("BurnedInAnnotation") or "").strip().upper()
    if stated == "NO":
        return
    modality = str(source.get("Modality") or "").strip()
    if stated == "YES" or modality in _OFTEN_WITH_TEXT:
        said = "says that text is burned into its pixels"
        unsaid = (
            f"is of modality {modality or 'unknown'} and does not say that no text is in its pixels"
        )
        raise NotApplicableError(
            str(file),
            said if stated == "YES" else unsaid,
            "clean its pixels and set Burned In Annotation to NO, or leave out --deidentify",
        )


def _geometry(group: Dataset) -> Dataset:
    """Return a functional group with the plane of its frame, and nothing else."""
    made = Dataset()
    for macro in _MACROS:
        items: Iterable[Dataset] = group.get(macro) or ()
        kept = [copy_clean(item, _GEOMETRY) for item in items]
        if kept:
            setattr(made, macro, kept)
    return made


def _basic_profile() -> Dataset:
    item = Dataset()
    item.CodeValue = "113100"
    item.CodingSchemeDesignator = "DCM"
    item.CodeMeaning = "Basic Application Confidentiality Profile"
    return item


def _encoded(made: Dataset) -> bytes:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = made.SOPClassUID
    meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.file_meta = meta
    buffer = io.BytesIO()
    dcmwrite(buffer, made, enforce_file_format=True)
    return buffer.getvalue()
