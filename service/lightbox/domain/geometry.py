"""The one place that turns one frame's coordinates into another's (the safety kernel).

Pixel centres are at integers plus one half, in every frame. The source frame is the stored
frame of an instance (``source_rows`` x ``source_columns``); the model frame is the square or
rectangle that the network sees. The source is placed on a canvas (padded or cropped), and the
canvas is scaled to the model frame, so one affine map per axis describes the whole way:
``model = (source + offset) * scale``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lightbox.domain.arrays import FloatMap, LabelMap, Mask


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis of the way from the source frame to the model frame.

    Attributes
    ----------
    source, model : int
        Number of pixels along this axis in either frame.
    offset : float
        Pixels of canvas before the first source pixel (negative: cropped away).
    canvas : float
        Length of the canvas in source pixels; it becomes ``model`` pixels.
    """

    source: int
    model: int
    offset: float
    canvas: float

    def to_model(self, position: FloatMap) -> FloatMap:
        """Map positions (source pixels, edges at 0 and ``source``) into the model frame."""
        return (position + self.offset) * (self.model / self.canvas)

    def to_source(self, position: FloatMap) -> FloatMap:
        """Map positions (model pixels, edges at 0 and ``model``) into the source frame."""
        return position * (self.canvas / self.model) - self.offset

    def source_centres(self) -> FloatMap:
        """Centres of the source pixels, in model pixels; shape ``(source,)``."""
        return self.to_model(np.arange(self.source, dtype=np.float64) + 0.5)

    def source_seen(self) -> Mask:
        """Say which source pixels lie in the model frame; shape ``(source,)``."""
        centres = self.source_centres()
        seen: Mask = (centres >= 0) & (centres < self.model)
        return seen


@dataclass(frozen=True, slots=True)
class FrameGeometry:
    """The way between a source frame and the model frame, and back."""

    rows: Axis
    columns: Axis

    @classmethod
    def pad(cls, source: tuple[int, int], model: tuple[int, int]) -> FrameGeometry:
        """Keep the aspect ratio: centre the source on a canvas of the model's proportions."""
        scale = max(source[0] / model[0], source[1] / model[1])
        return cls._centred(source, model, (scale, scale))

    @classmethod
    def crop(cls, source: tuple[int, int], model: tuple[int, int]) -> FrameGeometry:
        """Keep the aspect ratio: cut the longer side so that the model frame is filled."""
        scale = min(source[0] / model[0], source[1] / model[1])
        return cls._centred(source, model, (scale, scale))

    @classmethod
    def stretch(cls, source: tuple[int, int], model: tuple[int, int]) -> FrameGeometry:
        """Scale both axes on their own; the aspect ratio is lost."""
        return cls(
            Axis(source[0], model[0], 0.0, float(source[0])),
            Axis(source[1], model[1], 0.0, float(source[1])),
        )

    @classmethod
    def spaced(
        cls,
        source: tuple[int, int],
        model: tuple[int, int],
        source_mm: tuple[float, float],
        model_mm: tuple[float, float],
    ) -> FrameGeometry:
        """Keep millimetres: pixels of the model lie as far apart as stated, the centre stays."""
        scales = model_mm[0] / source_mm[0], model_mm[1] / source_mm[1]
        return cls._centred(source, model, scales)

    @classmethod
    def _centred(
        cls, source: tuple[int, int], model: tuple[int, int], per_model_pixel: tuple[float, float]
    ) -> FrameGeometry:
        axes = []
        for length, target, scale in zip(source, model, per_model_pixel, strict=True):
            canvas = scale * target
            axes.append(Axis(length, target, (canvas - length) / 2, canvas))
        return cls(axes[0], axes[1])

    @property
    def source_shape(self) -> tuple[int, int]:
        """Rows and columns of the source frame."""
        return self.rows.source, self.columns.source

    @property
    def model_shape(self) -> tuple[int, int]:
        """Rows and columns of the model frame."""
        return self.rows.model, self.columns.model

    def attribution_to_source(self, cells: FloatMap) -> FloatMap:
        """Bring a map over the model frame into source pixels, bilinearly.

        Parameters
        ----------
        cells : array, shape (h, w)
            Values on an even grid over the model frame (a CAM has fewer cells than pixels).

        Returns
        -------
        array, shape (source_rows, source_columns), float32
            Each source pixel's value, sampled at its centre; cells reach to the edge. Source
            pixels that were cropped away are 0: the model did not see them.
        """
        across = _bilinear(self.rows, cells.shape[0])
        down = _bilinear(self.columns, cells.shape[1])
        out: FloatMap = (across @ cells.astype(np.float64) @ down.T).astype(np.float32)
        out[~self.rows.source_seen(), :] = 0.0
        out[:, ~self.columns.source_seen()] = 0.0
        return out

    def labels_to_source(self, labels: LabelMap) -> LabelMap:
        """Bring a label map (shape of the model frame) into source pixels, nearest neighbour.

        Source pixels that were cropped away get the label -1.
        """
        row, inside_row = _nearest(self.rows, labels.shape[0])
        column, inside_column = _nearest(self.columns, labels.shape[1])
        out: LabelMap = labels[row[:, None], column[None, :]].astype(np.int16)
        out[~inside_row, :] = -1
        out[:, ~inside_column] = -1
        return out

    def cell_size(self, cells: tuple[int, int]) -> tuple[float, float]:
        """Rows and columns of source pixels that one cell of a map covers."""
        return self.rows.canvas / cells[0], self.columns.canvas / cells[1]


def _bilinear(axis: Axis, cells: int) -> FloatMap:
    """Weights, shape ``(axis.source, cells)``, of linear interpolation at source pixel centres."""
    at = axis.source_centres() * (cells / axis.model) - 0.5
    at = np.clip(at, 0.0, cells - 1.0)
    low = np.minimum(np.floor(at).astype(np.int64), max(cells - 2, 0))
    high = np.minimum(low + 1, cells - 1)
    fraction = at - low
    weights = np.zeros((axis.source, cells))
    rows = np.arange(axis.source)
    np.add.at(weights, (rows, low), 1.0 - fraction)
    np.add.at(weights, (rows, high), fraction)
    return weights


def _nearest(axis: Axis, cells: int) -> tuple[np.ndarray, np.ndarray]:
    at = np.floor(axis.source_centres() * (cells / axis.model)).astype(np.int64)
    inside = (at >= 0) & (at < cells)
    return np.clip(at, 0, cells - 1), inside
