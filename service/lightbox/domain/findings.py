"""What a model may tell apart: rules of the findings of one manifest."""

from __future__ import annotations

from collections.abc import Sequence


def complaint_of(task: str, names: Sequence[str], negative: Sequence[bool]) -> str:
    """Say what is wrong with a manifest's findings; "" where nothing is.

    Parameters
    ----------
    task : str
        "classification" or "segmentation".
    names : sequence of str
        In the order of the network's outputs.
    negative : sequence of bool
        Which of them say that nothing was found.
    """
    if len(set(names)) != len(names):
        return f"findings: names must differ, found {[*names]}"
    if task == "segmentation" and [*negative] != [False, True]:
        return (
            "findings: expected two of a segmentation model, what it outlines and then a "
            f"negative one, found {[*names]}"
        )
    if all(negative):  # then every study would come back as one in which nothing was found
        return f"findings: expected one that is not negative, found {[*names]}, all negative"
    return ""
