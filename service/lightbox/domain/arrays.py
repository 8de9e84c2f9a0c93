"""Named array types: shape, dtype and range are said once, here."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

FloatMap: TypeAlias = npt.NDArray[np.floating]
"""Any real array; a map has shape (rows, columns)."""

ImageTensor: TypeAlias = npt.NDArray[np.float32]
"""Model input, shape (1, channels, H, W), normalised as the manifest says."""

Picture: TypeAlias = npt.NDArray[np.uint8]
"""A displayable frame, shape (rows, columns) or (rows, columns, 3), 0 to 255."""

LabelMap: TypeAlias = npt.NDArray[np.int16]
"""Region index of each pixel, shape (rows, columns); -1 is no region."""

CoalitionMatrix: TypeAlias = npt.NDArray[np.bool_]
"""Shape (n_coalitions, n_players); True means the player is present."""

PlayerValues: TypeAlias = npt.NDArray[np.float64]
"""One number per player, shape (n_players,)."""

Mask: TypeAlias = npt.NDArray[np.bool_]
"""Shape (rows, columns); True is inside."""
