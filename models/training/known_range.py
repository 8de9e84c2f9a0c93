"""Teach a package which images its network knows: ``[range]`` of its manifest, ``range.npz``.

    python models/training/known_range.py DATA ../brain_tumour_mri [--layer TENSOR]

DATA has ``labels.csv`` (file, split, …) and the images that the network was trained on; they are
brought to its input by the product's own preprocessing. The weights stay as they are. The limit is
set so that 99.5 % of the validation images lie inside.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np
from PIL import Image

from lightbox.domain.arrays import ImageTensor
from lightbox.domain.model_package import Preprocessing
from lightbox.infer.packages import load
from lightbox.infer.preprocess import model_input
from lightbox.tools.model_range import learned, write_range


def inputs(data: Path, split: str, spec: Preprocessing) -> ImageTensor:
    """Return the network's inputs of one split, shape (n, C, H, W)."""
    with (data / "labels.csv").open(newline="") as table:
        files = [row["file"] for row in csv.DictReader(table) if row["split"] == split]
    pictures = (np.asarray(Image.open(data / file).convert("L")) for file in files)
    return np.concatenate([model_input(spec, picture) for picture in pictures])


def main() -> None:
    """Learn and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("package", type=Path)
    parser.add_argument("--layer", default="", help="tensor whose features are taken")
    given = parser.parse_args()
    loaded = load(given.package)
    spec = loaded.package.preprocessing
    train, val = (inputs(given.data, split, spec) for split in ("train", "val"))
    found = learned(loaded, train, val, layer=given.layer)
    write_range(
        given.package, found, f"{given.data.name}, validation patients; 99.5 % of them are inside"
    )
    print(f"{given.package.name}: images farther than {found.threshold:g} get no answer")


if __name__ == "__main__":
    main()
