"""Images of the small sets as honest DICOM: ultrasound (US) and ophthalmic tomography (OPT) objects.

The published JPEG files are encapsulated as they are, so no pixel is changed by us; the objects say
DERIVED and lossy, and state no distance between pixels, since none is published.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    JPEGBaseline8Bit,
    OphthalmicTomographyImageStorage,
    UltrasoundImageStorage,
)

from lightbox.domain.identity import derived_uid

_RATIO = "10"
_DATES = {"breast_ultrasound": "20180101", "retinal_oct": "20170101"}

ATTRIBUTION = {
    "breast_ultrasound": """\
# Where these samples are from
Al-Dhabyani W, Gomaa M, Khaled H, Fahmy A, "Dataset of breast ultrasound images" (BUSI), Data in Brief
2020, 28:104863, doi:10.1016/j.dib.2019.104863, licence CC BY 4.0
(https://creativecommons.org/licenses/by/4.0/).

Images that the model did not learn from. Changes made: reduced to 256 pixels, stored as JPEG of 8 bits
and that as Ultrasound Image Storage objects; names, identifiers and dates are ours.
`NAME.mask.png` is the published outline of the lesion. The data set names no patients.
""",
    "retinal_oct": """\
# Where these samples are from
Kermany D, Zhang K, Goldbaum M, "Labeled Optical Coherence Tomography (OCT) and Chest X-Ray Images for
Classification", Mendeley Data, doi:10.17632/rscbjbr9sj, licence CC BY 4.0
(https://creativecommons.org/licenses/by/4.0/). Cite also Kermany et al., Cell 2018, 172:1122-1131.

**The model learned from these very images**: the set has sixteen. Changes made: the published JPEG
files, untouched, stored as Ophthalmic Tomography Image Storage objects; names, identifiers and dates
are ours. Which eye it is was not published, and the object must state one: it says R, and Image
Comments says that nobody knows. `dciodvfy` has three complaints: it forbids three attributes of
concatenations that it also demands; PS3.3 C.8.17.7 demands them.
""",
}


def as_dicom(task: str, data: Path, rows: Sequence[dict[str, str]]) -> Dataset:
    """Wrap the images of these rows, of one patient and one size, as the frames of one object.

    More than one makes sense of ``retinal_oct`` only.
    """
    ds = Dataset()
    _identify(ds, task, rows)
    files = [(data / row["file"]).read_bytes() for row in rows]
    if task == "retinal_oct":
        _ophthalmic(ds, len(files))
    else:
        _ultrasound(ds)
    with Image.open(io.BytesIO(files[0])) as picture:
        assert picture.mode == "L"
        ds.Columns, ds.Rows = picture.size
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.PixelRepresentation = 0
    ds.BitsAllocated = ds.BitsStored = 8
    ds.HighBit = 7
    ds.BurnedInAnnotation = "NO"  # PS3.3 C.7.6.1: whether it says who the patient is
    ds.LossyImageCompression = "01"
    ds.LossyImageCompressionRatio = _RATIO
    ds.LossyImageCompressionMethod = "ISO_10918_1"
    ds.PixelData = encapsulate(files)
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    return ds


def _identify(ds: Dataset, task: str, rows: Sequence[dict[str, str]]) -> None:
    """Patient, study and series: an identity of the sample's own."""
    key, group = ("sample", task, rows[0]["id"], str(len(rows))), rows[0]["group"].upper()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.SOPInstanceUID = derived_uid(*key, "instance")
    ds.StudyInstanceUID = derived_uid(*key, "study")
    ds.SeriesInstanceUID = derived_uid(*key, "series")
    ds.PatientName = f"Sample^{group}"
    ds.PatientID = f"SAMPLE-{group}"
    ds.PatientBirthDate = ds.PatientSex = ""
    ds.PatientIdentityRemoved = "YES"
    ds.DeidentificationMethod = "published without identity"
    ds.StudyID = "1"
    ds.StudyDate = ds.SeriesDate = ds.ContentDate = _DATES[task]
    ds.StudyTime = ds.SeriesTime = ds.ContentTime = "120000"
    ds.AccessionNumber = ds.ReferringPhysicianName = ""
    ds.StudyDescription = f"{task.replace('_', ' ').capitalize()} (sample)"
    ds.SeriesDescription = f"labelled {rows[0]['label']}"
    ds.Manufacturer = "Lightbox sample"
    ds.ManufacturerModelName = Path(__file__).name
    ds.DeviceSerialNumber = "none"
    ds.SoftwareVersions = "1"
    ds.SeriesNumber = ds.InstanceNumber = 1


def _ultrasound(ds: Dataset) -> None:
    """Ultrasound Image IOD (PS3.3 A.6): no region is calibrated."""
    ds.SOPClassUID = UltrasoundImageStorage
    ds.Modality = "US"
    ds.ImageType = ["DERIVED", "PRIMARY", "BREAST"]
    ds.BodyPartExamined = "BREAST"
    ds.PatientOrientation = ds.Laterality = ""  # of a breast, but which one was not published


def _ophthalmic(ds: Dataset, frames: int) -> None:
    """Ophthalmic Tomography Image IOD (PS3.3 A.52.4.3)."""
    ds.SOPClassUID = OphthalmicTomographyImageStorage
    ds.Modality = "OPT"
    ds.ImageType = ["DERIVED", "PRIMARY"]
    ds.ImageLaterality = "R"
    ds.ImageComments = "Which eye this is was not published: R stands for unknown"
    ds.NumberOfFrames = frames
    ds.AcquisitionDateTime = f"{ds.ContentDate}{ds.ContentTime}"
    ds.AcquisitionNumber = 1
    # Type 1, each with one allowed value (C.8.17.7); dciodvfy asks for them, and rejects them.
    ds.InConcatenationNumber = ds.InConcatenationTotalNumber = 1
    ds.ConcatenationFrameOffsetNumber = 0
    ds.PresentationLUTShape = "IDENTITY"
    ds.AcquisitionContextSequence = []
    ds.AcquisitionDeviceTypeCodeSequence = [
        _code("392012008", "SCT", "Optical Coherence Tomography Scanner")
    ]
    ds.DetectorType = "CCD"  # of the Spectralis that all of the set is from
    ds.AnatomicRegionSequence = [_code("5665001", "SCT", "Retina")]
    for keyword in (
        "AxialLengthOfTheEye", "HorizontalFieldOfView", "EmmetropicMagnification",
        "IntraOcularPressure", "PupilDilated",
    ):  # fmt: skip
        setattr(ds, keyword, None)
    ds.RefractiveStateSequence = []
    ds.LightPathFilterTypeStackCodeSequence = []
    _dimensions(ds, frames)


def _dimensions(ds: Dataset, frames: int) -> None:
    """Multi-frame Functional Groups and Dimension modules (PS3.3 C.7.6.16, C.7.6.17)."""
    organization = Dataset()
    organization.DimensionOrganizationUID = derived_uid(ds.SOPInstanceUID, "dimensions")
    ds.DimensionOrganizationSequence = [organization]
    index = Dataset()
    index.DimensionOrganizationUID = organization.DimensionOrganizationUID
    index.DimensionIndexPointer = 0x00209057  # In-Stack Position Number
    index.FunctionalGroupPointer = 0x00209111  # Frame Content Sequence
    ds.DimensionIndexSequence = [index]
    shared, anatomy = Dataset(), Dataset()
    anatomy.FrameLaterality = ds.ImageLaterality
    anatomy.AnatomicRegionSequence = ds.AnatomicRegionSequence
    shared.FrameAnatomySequence = [anatomy]
    # Of derived frames nothing needs to be said of where they lie, but the macros must be there.
    shared.PixelMeasuresSequence = [Dataset()]
    shared.PlanePositionSequence = [Dataset()]
    shared.PlaneOrientationSequence = [Dataset()]
    ds.SharedFunctionalGroupsSequence = [shared]
    ds.PerFrameFunctionalGroupsSequence = []
    for number in range(1, frames + 1):
        content, groups = Dataset(), Dataset()
        content.StackID = "1"
        content.InStackPositionNumber = number
        content.DimensionIndexValues = [number]
        groups.FrameContentSequence = [content]
        ds.PerFrameFunctionalGroupsSequence.append(groups)


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def write_samples(
    task: str, data: Path, chosen: Sequence[Sequence[dict[str, str]]], folder: Path
) -> None:
    """Write an object of each group of rows, with its mask where there is one."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "ATTRIBUTION.md").write_text(ATTRIBUTION[task])
    for rows in chosen:
        row = rows[0]
        stem = row["id"].lower().replace("-", "_") + ("_frames" if len(rows) > 1 else "")
        as_dicom(task, data, rows).save_as(folder / f"{stem}.dcm", enforce_file_format=True)
        if row.get("mask") and row["label"] != "normal":
            mask = Image.open(data / row["mask"]).convert("1")
            mask.save(folder / f"{stem}.mask.png", optimize=True)
