"""Which result is replaced and what changed, in one sentence made from the values."""

from __future__ import annotations

from lightbox.domain.explained import Explained
from lightbox.domain.replaced import Replaced
from lightbox.results.wording import moment, percent


def replaces_sentence(explained: Explained) -> str:
    """Say which result this one replaces and what changed, "" where it replaces none."""
    replaced = explained.replaces
    if replaced is None:
        return ""
    labels = {finding.name: finding.words for finding in explained.package.findings}
    then, now = replaced.prediction, explained.unit or explained.prediction
    before = f"{labels.get(then.finding, then.finding)} {percent(then.confidence)}"
    after = f"{labels.get(now.finding, now.finding)} {percent(now.confidence)}"
    said = (
        f"the result of {moment(replaced.written_at)}, which said {before} "
        f"({_images(len(replaced.job.instances))}); now {after} "
        f"({_images(len(explained.job.instances))}{_other_content(explained, replaced)})"
    )
    if then.model_sha256 != now.model_sha256:
        said += f"; by version {now.version} of the model instead of {then.version}"
    if then.key_frame != now.key_frame:
        said += "; another image is shown"
    return said


def _images(number: int) -> str:
    return f"{number} image" if number == 1 else f"{number} images"


def _other_content(explained: Explained, replaced: Replaced) -> str:
    """Say so where images came again with other bytes."""
    then = {i.sop_instance_uid: i.sha256 for i in replaced.job.instances}
    changed = sum(
        then.get(i.sop_instance_uid, i.sha256) != i.sha256 for i in explained.job.instances
    )
    return f", {changed} of them changed" if changed else ""
