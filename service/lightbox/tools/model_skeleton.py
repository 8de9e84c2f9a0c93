"""``lightbox models new``: a package begun from an ONNX file, as far as the file can tell.

What the graph says (size, channels, classes, target layer) is written down; what only people know
says ``FILL IN``, and ``models check`` fails until it does not.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from lightbox.domain.errors import ModelPackageError, UsageError
from lightbox.infer.graphs.cam_graph import CamGraph, cam_graph
from lightbox.infer.graphs.network import Network
from lightbox.infer.graphs.preceding import preceded
from lightbox.infer.graphs.target_layer import SHAPES, Layout
from lightbox.infer.packages import (
    CARD,
    EXPECTED,
    FILL_IN,
    MANIFEST,
    PREPROCESS,
    SAMPLES,
    WEIGHTS,
    digest,
)

_NAME = re.compile(r"[a-z][a-z0-9_]{1,31}")
_LAYOUTS: tuple[Layout, ...] = ("map", "tokens", "volume")
_LEVELS = {1: ("[0.0]", "[1.0]"), 3: ("[0.485, 0.456, 0.406]", "[0.229, 0.224, 0.225]")}
"""Channels → mean and std: none, and those of ImageNet, which torchvision's weights expect."""

_CHANNELS = "channels = "

_TO_FILL_IN = (
    (MANIFEST, "intended_use, licence, citation: what for, under which terms, whose work"),
    (f"{MANIFEST} [accepts]", "modality and body part: no other image reaches the network"),
    (
        f"{MANIFEST} [preprocessing]",
        "percentiles, fit, mean and std as in training: a guess stands there",
    ),
    (f"{MANIFEST} [[findings]]", "name, label and code of each output, in the network's order"),
    (f"{MANIFEST} [calibration]", "temperature, fitted on validation data: 1.0 is uncalibrated"),
    (f"{SAMPLES}/", "a few DICOM files that may be shared, NAME.mask.png beside NAME.dcm"),
    (EXPECTED, f"lightbox models check DIR --write-expected, once {SAMPLES}/ has files"),
    (CARD, "data, split, figures, limits"),
)


@dataclass(frozen=True, slots=True)
class Read:
    """What an ONNX file says about itself.

    Attributes
    ----------
    shape : tuple of int
        Channels, height and width of the input.
    cam : CamGraph
        The fast map: its layer, cells and way.
    outline : tuple of int
        Rows and columns of a segmentation network's answer; () of a classifier.
    """

    shape: tuple[int, int, int]
    classes: int
    layout: Layout
    cam: CamGraph
    outline: tuple[int, ...] = ()

    @property
    def answer(self) -> str:
        """What the network gives, in words."""
        if self.outline:
            return " x ".join(map(str, self.outline)) + " (an outline: segmentation)"
        return f"{self.classes} classes"

    @property
    def lines(self) -> tuple[tuple[str, str], ...]:
        """What was read, as question and answer."""
        cells = f"{self.cam.cells[0]} x {self.cam.cells[1]} cells"
        return (
            ("input", " x ".join(map(str, self.shape)) + " (channels, height, width)"),
            ("outputs", self.answer),
            ("target layer", f"{self.cam.target_layer}, {self.layout}, {cells}, {self.cam.way}"),
        )


@dataclass(frozen=True, slots=True)
class Begun:
    """A package folder that waits for a person.

    Attributes
    ----------
    to_fill_in : tuple
        Where, and what.
    """

    folder: Path
    read: Read
    to_fill_in: tuple[tuple[str, str], ...] = _TO_FILL_IN


def begin(folder: Path, onnx: Path, preprocess: Path | None = None) -> Begun:
    """Write a package folder from an ONNX file, perhaps with a graph that is to run before it.

    Raises
    ------
    UsageError
        If the folder is there already or its name cannot be a model's, or there is no such file.
    ModelPackageError
        If the network cannot work: several inputs or outputs, free or fixed axes that must not
        be, weights elsewhere, another operator set, no layer to make a map of.
    """
    name = folder.resolve().name
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"folder {folder}",
            "its name is to be the model's, which has 2 to 32 of a-z, 0-9 and _",
            "such as chest_xray",
        )
    if folder.exists():
        raise UsageError(f"folder {folder}", "is there already", "name a new one")
    weights, first = _bytes_of(onnx), b"" if preprocess is None else _bytes_of(preprocess)
    whole = preceded(first, weights, str(preprocess), str(onnx)) if first else weights
    found = read(whole, str(onnx))
    try:
        (folder / SAMPLES).mkdir(parents=True)
        (folder / WEIGHTS).write_bytes(weights)
        text = _manifest(name, weights, found)
        if first:
            (folder / PREPROCESS).write_bytes(first)
            text = text.replace(_CHANNELS, f'graph_sha256 = "{digest(first)}"\n{_CHANNELS}', 1)
        (folder / MANIFEST).write_text(text, encoding="utf-8")
        (folder / CARD).write_text(_card(name, found), encoding="utf-8")
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise UsageError(
            f"folder {folder}", f"cannot be written: {error}", "name another"
        ) from error
    return Begun(folder, found)


def _bytes_of(onnx: Path) -> bytes:
    try:
        return onnx.read_bytes()
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise UsageError(
            f"file {onnx}", f"cannot be read: {reason}", "name an ONNX file"
        ) from error


def read(weights: bytes, thing: str) -> Read:
    """Read a network, and prove that it can be explained.

    Raises
    ------
    ModelPackageError
        In one line: why it cannot work, and what to do.
    """
    network = Network.read(weights, thing)
    if network.input_shape[0] not in _LEVELS:
        raise ModelPackageError(
            thing,
            f"its input has {network.input_shape[0]} channels, expected 1 (grey) or 3 (grey, thrice)",
            "export it for one image",
        )
    if network.classes < 2:
        raise ModelPackageError(
            thing,
            "has one output, whose share of all outputs is always 1",
            "export it with two: the finding and its absence, logits 0 and z",
        )
    last = network.producers.get(network.model.graph.output[0].name)
    if last is not None and last.op_type == "Sigmoid" and not network.outline:
        raise ModelPackageError(
            thing,
            "ends in a Sigmoid, so that several findings may hold at once; here one of them does",
            "serve one package per finding, each with two outputs",
        )
    layout, cam = _explained(weights, thing)
    outline = network.shapes[network.outline][2:] if network.outline else ()
    return Read(network.input_shape, network.classes, layout, cam, tuple(n or 0 for n in outline))


def _explained(weights: bytes, thing: str) -> tuple[Layout, CamGraph]:
    """Return the first layout in which a target layer is found, and its map."""
    reasons = []
    for layout in _LAYOUTS:
        try:
            return layout, cam_graph(weights, thing, layout=layout)
        except ModelPackageError as error:
            reasons.append(f"as {SHAPES[layout]}: {error.reason}")
    raise ModelPackageError(
        thing,
        f"no layer to make a map of ({'; '.join(reasons)})",
        "export it by torch's other exporter (dynamo = True or False), or without flattening "
        "before its last convolution or attention",
    )


def _manifest(name: str, weights: bytes, found: Read) -> str:
    channels, height, width = found.shape
    mean, std = _LEVELS[channels]
    layout = "" if found.layout == "map" else f'layer_layout = "{found.layout}"\n'
    head = f"""\
# Begun by lightbox models new. Every key is explained in service/lightbox/domain/model_package.py;
# what says {FILL_IN} is for a person to say.
name = "{name}"
version = "0.1.0"
sha256 = "{digest(weights)}"
task = "{"segmentation" if found.outline else "classification"}"
unit = "instance"  # or "series": the most suspicious slice speaks for it
intended_use = "{FILL_IN}: what it is for, and that it is not for diagnosis"
licence = "{FILL_IN}: of the weights, and of the data that they were trained on"
citation = "{FILL_IN}: whose work it is"

[accepts]
modality = ["{FILL_IN}"]  # Modality (0008,0060), such as "DX", "CR"
body_part = []  # BodyPartExamined (0018,0015), such as "CHEST"; empty: any
body_part_missing = "refuse"
age_years = []  # youngest and oldest patient, such as [1, 5]; empty: any
age_missing = "refuse"
description_refuses = []  # words in a description that rule the model out

[preprocessing]
size = [{height}, {width}]  # as the graph says
{_CHANNELS}{channels}  # as the graph says; 3 is grey, thrice
percentiles = [0.5, 99.5]  # of the frame, become 0 and 1; [0, 100]: its minimum and maximum
fit = "pad"  # all with borders, "crop": its middle, "stretch": all, out of shape; as in training
mean = {mean}  # of levels 0 to 1, as in training{"; these are ImageNet's" if channels == 3 else ""}
std = {std}

[calibration]
temperature = 1.0  # fit it on validation data; 1.0 is uncalibrated
audit_below = 0.85

[explanation]
target_layer = "{found.cam.target_layer}"  # found; {found.cam.cells[0]} x {found.cam.cells[1]} cells, {found.cam.way}
{layout}baseline = "blur"
grid = [4, 3]
"""
    if found.outline:
        return head + _OUTLINED
    return head + "".join(_finding(number) for number in range(found.classes))


_OUTLINED = f"""
[[findings]]  # what is outlined
name = "lesion"
label = "{FILL_IN}"
code = {{ scheme = "SCT", value = "{FILL_IN}", meaning = "{FILL_IN}" }}
threshold = 0.5  # of the score: the mean logit over the outline, made a probability
critical = false  # true raises the urgency of a study in which it is found

[[findings]]  # nothing is outlined
name = "no_lesion"
label = "{FILL_IN}"
code = {{ scheme = "SCT", value = "{FILL_IN}", meaning = "{FILL_IN}" }}
negative = true
"""


def _finding(number: int) -> str:
    return f"""
[[findings]]  # output {number}
name = "class_{number}"
label = "{FILL_IN}"
code = {{ scheme = "SCT", value = "{FILL_IN}", meaning = "{FILL_IN}" }}
threshold = 0.5
negative = false  # true for the class that says that nothing was found
critical = false  # true raises the urgency of a study in which it is found
"""


def _card(name: str, found: Read) -> str:
    return f"""\
# {name}
**Not for primary diagnosis.** {FILL_IN}: one sentence that says what it tells apart, in which images.

| | |
|---|---|
| Input | {" x ".join(map(str, found.shape))} |
| Outputs | {found.answer} |
| Intended use | {FILL_IN} |
| Not to be used for | {FILL_IN} |
| Training data, licence | {FILL_IN} |
| Split | {FILL_IN}: by patient |

## Figures
{FILL_IN}: on which data, how many patients; per class; calibration (ECE); subgroups.

## Does it look where the finding is?
{FILL_IN}: `lightbox models check DIR --measure --write --images FOLDER`, with masks.

## Limits
{FILL_IN}
"""
