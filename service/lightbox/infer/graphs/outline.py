"""What a segmentation network answers: an outline, whose score makes it a network of two classes.

With z the logit of each cell, the score is the mean of z over the predicted mask, where z is not
negative; where there is no such cell, it is the highest z. The logits are (s / 2, -s / 2): what is outlined, and its
absence, so that their softmax is the sigmoid of s. Everything that explains a classifier then
explains the segmentation score: the mask is held fixed while it is differentiated, as in
Seg-Grad-CAM (Vinogradova et al. 2020, arXiv 2002.11434), whose sum over the mask is a mean here.
The nodes are added where the network is read (``network.py``).
"""

from __future__ import annotations

from lightbox.domain.errors import ModelPackageError
from lightbox.infer.graphs.onnx_file import Shape, words

OUTLINE = "lightbox_outline"
"""Name of the output, shape (B, h, w): the logit of each cell."""

CLASSES = 2
"""What is outlined, and its absence."""


def check_outline(shape: Shape, thing: str) -> None:
    """Refuse an outline of another shape than (batch, 1, h, w).

    Raises
    ------
    ModelPackageError
        Naming the shape that was found.
    """
    if shape[1] != 1:
        raise ModelPackageError(
            thing,
            f"its output has shape {words(shape)}, expected (batch, classes) of a classifier or "
            "(batch, 1, h, w) of a segmentation network",
            "export logits only; of two channels the lesion's logit minus the background's",
        )
    if None in shape[2:]:
        raise ModelPackageError(
            thing,
            f"its outline has shape {words(shape)}: height and width must be fixed",
            "export it with only the batch axis dynamic",
        )
