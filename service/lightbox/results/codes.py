"""Every SOP class UID and every coded concept that our results use, in one place (PS3.4, PS3.16)."""

from __future__ import annotations

from pydicom.dataset import Dataset
from pydicom.sr.coding import Code
from pydicom.uid import UID

from lightbox.domain.result import ResultKind

SECONDARY_CAPTURE = UID("1.2.840.10008.5.1.4.1.1.7")
SEGMENTATION = UID("1.2.840.10008.5.1.4.1.1.66.4")
PARAMETRIC_MAP = UID("1.2.840.10008.5.1.4.1.1.30")
ENHANCED_SR = UID("1.2.840.10008.5.1.4.1.1.88.22")
COMPREHENSIVE_3D_SR = UID("1.2.840.10008.5.1.4.1.1.88.34")
KEY_OBJECT_SELECTION = UID("1.2.840.10008.5.1.4.1.1.88.59")
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
    ResultKind.SEGMENTATION: 9010,
    ResultKind.PARAMETRIC_MAP: 9020,
    ResultKind.STRUCTURED_REPORT: 9030,
    ResultKind.KEY_OBJECT: 9040,
}
"""Series Number of the fast path's results; the audit's are one higher."""

# CID 217 "Visual Explanation"
VISUAL_EXPLANATION = Code("130401", "DCM", "Visual explanation")
CLASS_ACTIVATION = Code("130402", "DCM", "Class activation")
GRADIENT_CLASS_ACTIVATION = Code("130403", "DCM", "Gradient-weighted class activation")
SALIENCY = Code("130404", "DCM", "Saliency")

SPATIAL_CONCEPT = Code("309825002", "SCT", "Spatial and Relational Concept")
"""Segmented property category (CID 7150): it is where the model looked, not the lesion."""

ARTIFICIAL_INTELLIGENCE = Code("123110", "DCM", "Artificial Intelligence")
PROCESSING_EQUIPMENT = Code("109102", "DCM", "Processing Equipment")
SOURCE_IMAGE = Code("121322", "DCM", "Source image for image processing operation")
SEGMENTATION_DERIVATION = Code("113076", "DCM", "Segmentation")
REPLACED_REPORT = Code("121360", "DCM", "Replaced report")
"""Purpose of reference to a predecessor report (CID 7009)."""
REJECTED_FOR_QUALITY = Code("113001", "DCM", "Rejected for Quality Reasons")
"""Title of a rejection note (CID 7010)."""
KEY_OBJECT_DESCRIPTION = Code("113012", "DCM", "Key Object Description")
OBSERVER_TYPE = Code("121005", "DCM", "Observer Type")
DEVICE = Code("121007", "DCM", "Device")
DEVICE_UID = Code("121012", "DCM", "Device Observer UID")
DEVICE_NAME = Code("121013", "DCM", "Device Observer Name")
PROBABILITY = Code("122157", "DCM", "Probability")
PERCENT = Code("%", "UCUM", "Percent")
NO_UNITS = Code("1", "UCUM", "no units")
PRESENT = Code("52101004", "SCT", "Present")
UNDETERMINED = Code("373068000", "SCT", "Undetermined")
IMAGING_REPORT = Code("126000", "DCM", "Imaging Measurement Report")
ENGLISH = Code("en-GB", "RFC5646", "English (United Kingdom)")
ABSENT = Code("2667000", "SCT", "Absent")
IMAGING_PROCEDURE = Code("363679005", "SCT", "Imaging procedure")

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
    item = Dataset()
    item.CodeValue = code.value
    item.CodingSchemeDesignator = code.scheme_designator
    item.CodeMeaning = code.meaning
    return item
