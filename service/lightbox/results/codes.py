"""Every SOP class UID and every coded concept that our results use, in one place (PS3.4, PS3.16)."""

from __future__ import annotations

from pydicom.dataset import Dataset
from pydicom.sr.coding import Code
from pydicom.uid import UID

from lightbox.domain.result import ResultKind
from lightbox.results.encoding.build import data_set

SECONDARY_CAPTURE = UID("1.2.840.10008.5.1.4.1.1.7")
SEGMENTATION = UID("1.2.840.10008.5.1.4.1.1.66.4")
PARAMETRIC_MAP = UID("1.2.840.10008.5.1.4.1.1.30")
ENHANCED_SR = UID("1.2.840.10008.5.1.4.1.1.88.22")
COMPREHENSIVE_3D_SR = UID("1.2.840.10008.5.1.4.1.1.88.34")
KEY_OBJECT_SELECTION = UID("1.2.840.10008.5.1.4.1.1.88.59")
GRAYSCALE_PRESENTATION_STATE = UID("1.2.840.10008.5.1.4.1.1.11.1")
REPORTS = frozenset({ENHANCED_SR, COMPREHENSIVE_3D_SR})

SINGLE_FRAME = frozenset(
    f"1.2.840.10008.5.1.4.1.1.{tail}"
    for tail in (
        "1", "1.1", "1.1.1", "1.2", "1.2.1", "1.3", "1.3.1", "2", "4", "6", "6.1", "7", "128",
        "77.1.1", "77.1.2", "77.1.3", "77.1.4",
    )
)  # fmt: skip
"""Image classes without frames (PS3.3 A): references to them name no frame."""

UNPAIRED = frozenset(
    [
        "ABDOMEN",
        "ABDOMENPELVIS",
        "AORTA",
        "BLADDER",
        "BRAIN",
        "CAROTID",
        "CEREBELLUM",
        "CHEST",
        "CHESTABDOMEN",
        "CHESTABDPELVIS",
        "COCCYX",
        "COLON",
        "CSPINE",
        "CTSPINE",
        "ESOPHAGUS",
        "FACE",
        "HEAD",
        "HEADNECK",
        "HEART",
        "LARYNX",
        "LIVER",
        "LSPINE",
        "LSSPINE",
        "MEDIASTINUM",
        "MOUTH",
        "NECK",
        "NECKCHEST",
        "NECKCHESTABDOMEN",
        "NOSE",
        "PANCREAS",
        "PELVIS",
        "PENIS",
        "PHARYNX",
        "PROSTATE",
        "RECTUM",
        "SACRUM",
        "SKULL",
        "SPINE",
        "SPLEEN",
        "SSPINE",
        "STERNUM",
        "STOMACH",
        "THYMUS",
        "THYROID",
        "TLSPINE",
        "TONGUE",
        "TRACHEA",
        "TSPINE",
        "URETHRA",
        "UTERUS",
        "VAGINA",
        "WHOLEBODY",
        "WHOLESPINE",
    ]
)
"""Body Part Examined of which there is one (PS3.16 Annex L): Laterality does not apply."""

SERIES_NUMBERS = {
    ResultKind.SECONDARY_CAPTURE: 9001,
    ResultKind.SLICE: 9001,
    ResultKind.MOSAIC: 9005,
    ResultKind.SEGMENTATION: 9010,
    ResultKind.LESION: 9015,
    ResultKind.PARAMETRIC_MAP: 9020,
    ResultKind.STRUCTURED_REPORT: 9030,
    ResultKind.KEY_OBJECT: 9040,
    ResultKind.KEY_IMAGES: 9050,
    ResultKind.PRESENTATION_STATE: 9060,
}
"""Series Number of the fast path's results; the audit's are one higher."""

# CID 217 "Visual Explanation"
VISUAL_EXPLANATION = Code("130401", "DCM", "Visual explanation")
CLASS_ACTIVATION = Code("130402", "DCM", "Class activation")
GRADIENT_CLASS_ACTIVATION = Code("130403", "DCM", "Gradient-weighted class activation")
SALIENCY = Code("130404", "DCM", "Saliency")

SPATIAL_CONCEPT = Code("309825002", "SCT", "Spatial and Relational Concept")
"""Segmented property category (CID 7150): it is where the model looked, not the lesion."""

ABNORMAL_STRUCTURE = Code("49755003", "SCT", "Morphologically Abnormal Structure")
"""Segmented property category (CID 7150) of a lesion."""

ARTIFICIAL_INTELLIGENCE = Code("123110", "DCM", "Artificial Intelligence")
PROCESSING_EQUIPMENT = Code("109102", "DCM", "Processing Equipment")
SOURCE_IMAGE = Code("121322", "DCM", "Source image for image processing operation")
SEGMENTATION_DERIVATION = Code("113076", "DCM", "Segmentation")
REPLACED_REPORT = Code("121360", "DCM", "Replaced report")
"""Purpose of reference to a predecessor report (CID 7009)."""
REJECTED_FOR_QUALITY = Code("113001", "DCM", "Rejected for Quality Reasons")
"""Title of a rejection note (CID 7010)."""
OF_INTEREST = Code("113000", "DCM", "Of Interest")
"""Title of a selection of key images (CID 7010)."""
KEY_OBJECT_DESCRIPTION = Code("113012", "DCM", "Key Object Description")
OBSERVER_TYPE = Code("121005", "DCM", "Observer Type")
DEVICE = Code("121007", "DCM", "Device")
DEVICE_UID = Code("121012", "DCM", "Device Observer UID")
DEVICE_NAME = Code("121013", "DCM", "Device Observer Name")
PROBABILITY = Code("122157", "DCM", "Probability")
VOLUME = Code("118565006", "SCT", "Volume")
AREA = Code("42798000", "SCT", "Area")
LONG_AXIS = Code("103339001", "SCT", "Long axis")
"""Longest diameter in one plane (CID 7470)."""
CUBIC_MILLIMETRE = Code("mm3", "UCUM", "cubic millimeter")
SQUARE_MILLIMETRE = Code("mm2", "UCUM", "square millimeter")
MILLIMETRE = Code("mm", "UCUM", "millimeter")
PERCENT = Code("%", "UCUM", "Percent")
NO_UNITS = Code("1", "UCUM", "no units")
PRESENT = Code("52101004", "SCT", "Present")
UNDETERMINED = Code("373068000", "SCT", "Undetermined")
LANGUAGE = Code("121049", "DCM", "Language of Content Item and Descendants")
DEVICE_MANUFACTURER = Code("121014", "DCM", "Device Observer Manufacturer")
DEVICE_MODEL = Code("121015", "DCM", "Device Observer Model Name")
DEVICE_SERIAL_NUMBER = Code("121016", "DCM", "Device Observer Serial Number")
PROCEDURE_REPORTED = Code("121058", "DCM", "Procedure reported")
IMAGING_MEASUREMENTS = Code("126010", "DCM", "Imaging Measurements")
MEASUREMENT_GROUP = Code("125007", "DCM", "Measurement Group")
TRACKING_IDENTIFIER = Code("112039", "DCM", "Tracking Identifier")
TRACKING_UID = Code("112040", "DCM", "Tracking Unique Identifier")
FINDING_CATEGORY = Code("276214006", "SCT", "Finding category")
FINDING = Code("121071", "DCM", "Finding")
MEASUREMENT_METHOD = Code("370129005", "SCT", "Measurement Method")
ALGORITHM_NAME = Code("111001", "DCM", "Algorithm Name")
ALGORITHM_VERSION = Code("111003", "DCM", "Algorithm Version")
ALGORITHM_PARAMETERS = Code("111002", "DCM", "Algorithm Parameters")
IMAGE_REGION = Code("111030", "DCM", "Image Region")
SOURCE = Code("260753009", "SCT", "Source")
SOURCE_OF_MEASUREMENT = Code("121112", "DCM", "Source of Measurement")
IMAGING_REPORT = Code("126000", "DCM", "Imaging Measurement Report")
ENGLISH = Code("en-GB", "RFC5646", "English (United Kingdom)")
ABSENT = Code("2667000", "SCT", "Absent")
IMAGING_PROCEDURE = Code("363679005", "SCT", "Imaging procedure")

_SHORT_CODE = 16
"""Longest Code Value (SH); longer ones have attributes of their own."""

_METHODS = {
    "grad_cam": GRADIENT_CLASS_ACTIVATION,
    "grad_cam_plus_plus": GRADIENT_CLASS_ACTIVATION,
    "xgrad_cam": GRADIENT_CLASS_ACTIVATION,
    "layer_cam": GRADIENT_CLASS_ACTIVATION,
    "eigen_grad_cam": GRADIENT_CLASS_ACTIVATION,
    "hires_cam": GRADIENT_CLASS_ACTIVATION,
    "eigen_cam": CLASS_ACTIVATION,
    "score_cam": CLASS_ACTIVATION,
}


def visual_explanation(method: str) -> Code:
    """Return the code of CID 217 for a method; Shapley values have none and are saliency."""
    return _METHODS.get(method, SALIENCY)


def code_item(code: Code) -> Dataset:
    """Return the item of a code sequence (PS3.3 8.1)."""
    keyword = "CodeValue"
    if len(code.value) > _SHORT_CODE:
        is_urn = code.value.startswith("urn") or "://" in code.value
        keyword = "URNCodeValue" if is_urn else "LongCodeValue"
    said = {keyword: code.value}
    return data_set(**said, CodingSchemeDesignator=code.scheme_designator, CodeMeaning=code.meaning)
