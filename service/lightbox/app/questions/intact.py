"""What is analysed is what was acknowledged: the file's hash is compared before every use."""

from __future__ import annotations

from pathlib import Path

from lightbox.domain.errors import UnreadableError
from lightbox.domain.jobs import Job
from lightbox.receive.stored_file import holds


def check_intact(root: Path, job: Job) -> None:
    """Refuse a job whose images are not, byte for byte, what their sender was told we keep.

    Raises
    ------
    UnreadableError
        For the first file that is gone or changed: no result may be made of it.
    """
    for instance in job.instances:
        if not holds(root / instance.path, instance):
            raise UnreadableError(
                f"instance {instance.sop_instance_uid}",
                "its file is gone or changed on disk since it was acknowledged",
                "check the disk, send the instance again",
            )
