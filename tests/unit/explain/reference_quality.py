"""Print what Quantus measures of given maps, as JSON.

    pip install quantus==0.6.0
    python tests/unit/explain/reference_quality.py > tests/unit/explain/reference_quality.json

Masks are never empty and nothing is normalised: there Quantus is right (an empty mask counts as a
hit there, and most metrics scale their input by default).
"""

from __future__ import annotations

import json
import sys
import warnings
from importlib import import_module, metadata

import numpy as np


def inputs(number: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a map and a mask, shape (12, 9); the first maps have values of both signs."""
    rng = np.random.default_rng(number)
    values = rng.standard_normal((12, 9)) if number < 3 else rng.random((12, 9)) ** 4
    mask = np.zeros((12, 9), dtype=bool)
    row, column = rng.integers(0, 8, 2)
    mask[row : row + 4, min(column, 5) : min(column, 5) + 3] = True
    if number == 4:
        values[row, min(column, 5)] = 2.0  # a hit
    return values, mask


def main() -> None:
    """Print everything."""
    warnings.simplefilter("ignore")
    quantus = import_module("quantus")
    plain = {"normalise": False, "display_progressbar": False, "disable_warnings": True}
    found: dict[str, object] = {"version": f"quantus {metadata.version('quantus')}"}
    for number in range(5):
        values, mask = inputs(number)
        positive = np.clip(values, 0.0, None)
        image = np.zeros((1, 1, 12, 9))

        def ask(
            metric: str,
            maps: np.ndarray,
            image: np.ndarray = image,
            mask: np.ndarray = mask,
            **more: object,
        ) -> float:
            given = {"abs": False, **plain, **more}
            answer = getattr(quantus, metric)(**given)(
                model=None, x_batch=image, y_batch=np.zeros(1, int), a_batch=maps[None, None],
                s_batch=mask[None, None], channel_first=True,
            )  # fmt: skip
            return float(answer[0])

        found[str(number)] = {
            "entropy": ask("Complexity", values, abs=True),
            "sparseness": ask("Sparseness", values, abs=True),
            "mass": ask("RelevanceMassAccuracy", positive),
            "rank": ask("RelevanceRankAccuracy", values),
            "pointing_game": ask("PointingGame", values),
            "spearman": float(
                import_module("quantus.functions.similarity_func").correlation_spearman(
                    values.ravel(), inputs(number + 10)[0].ravel()
                )
            ),
        }
    json.dump(found, sys.stdout, separators=(",", ":"))


if __name__ == "__main__":
    main()
