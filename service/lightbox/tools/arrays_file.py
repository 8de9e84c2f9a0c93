"""The NPZ of ``lightbox explain``: everything that it takes to compute the values again."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lightbox.domain.attribution import Attribution
from lightbox.domain.frame import Frame


def write_arrays(path: Path, frame: Frame, attribution: Attribution) -> Path:
    """Write the arrays of one explanation.

    ``attribution`` (float32, rows x columns of the source), ``input`` (1 x C x H x W) and
    ``target``; over players also ``players`` (int16, rows x columns), ``regions`` (int16, H x W),
    ``baseline`` (C x H x W), ``link``, ``temperature``, ``values``, ``standard_errors`` (float64,
    n_players), ``v_empty``, ``v_full``: v(S) is the link of the model at ``input`` where the region
    is in S and at ``baseline`` elsewhere. Beside them stand ``occlusion``; ``contrast_target``,
    ``contrast_values`` and ``contrast_standard_errors`` of p(target) - p(contrast_target); and,
    where they were asked for, ``interactions`` and ``interaction_standard_errors`` (n x n).
    """
    arrays: dict[str, object] = {
        "attribution": attribution.source_map.astype(np.float32),
        "input": frame.tensor,
        "target": attribution.target,
    }
    estimate = attribution.estimate
    if estimate.values is not None and attribution.players is not None:
        arrays |= {
            "players": attribution.players.astype(np.int16),
            "regions": attribution.regions,
            "baseline": attribution.baseline,
            "link": attribution.link,
            "temperature": attribution.temperature,
            "values": estimate.values,
            "standard_errors": estimate.standard_errors,
            "v_empty": attribution.v_empty,
            "v_full": attribution.v_full,
        }
        if attribution.occlusion is not None:
            arrays["occlusion"] = attribution.occlusion
        if (contrast := attribution.contrast) is not None:
            arrays |= {
                "contrast_target": contrast.rival,
                "contrast_values": contrast.values,
                "contrast_standard_errors": contrast.standard_errors,
            }
        if (pairs := attribution.interactions) is not None:
            arrays |= {
                "interactions": pairs.values,
                "interaction_standard_errors": pairs.standard_errors,
            }
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]  # its stubs want arrays only
    path.chmod(0o600)  # as everything else that holds pixels
    return path
