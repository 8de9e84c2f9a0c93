"""What an image that was just taken changes of those before it."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from lightbox.app.changes.patients import Describe, Patients
from lightbox.app.changes.rejections import Rejections
from lightbox.domain.events import Event, InstanceListed, JobPlaced, Recorded, ResultsWritten
from lightbox.domain.rejection import ImagesRejected
from lightbox.domain.result import ListedReason
from lightbox.domain.study import Described
from lightbox.studies.assemble import Assemble


class Changes:
    """Asks what an image rejects, and whether it names another patient.

    Parameters
    ----------
    assemble : Assemble
        Lets go of rejected images.
    """

    def __init__(self, rejections: Rejections, patients: Patients, assemble: Assemble) -> None:
        self._rejections = rejections
        self._patients = patients
        self._assemble = assemble

    def with_changes(
        self, described: Described, taken: tuple[Event, ...], describe: Describe
    ) -> tuple[Event, ...]:
        """Return what an image leads to, given what the assembly of studies made of it.

        Raises
        ------
        UnreadableError
            If it is a key object that cannot be read.
        """
        if any(
            isinstance(e, InstanceListed) and e.reason is ListedReason.OWN_RESULT for e in taken
        ):
            return taken
        changed = self._patients.look(described, describe)
        return (*changed, *(self._rejections.of_note(described) or taken))

    def follow(self, recorded: Recorded) -> None:
        """End what is open of rejected images, and let the rest of their series go on.

        A job that was being placed when its image was rejected, and results that were being
        written, are known only now.
        """
        event = recorded.event
        if isinstance(event, ImagesRejected):
            self._assemble.reject(event)
            self._rejections.follow(event)
        elif isinstance(event, JobPlaced | ResultsWritten):
            for rejected in self._assemble.rejections(event.study):
                self._rejections.follow(rejected)

    def recall(self, history: Sequence[Recorded]) -> None:
        """Remember which images came in a former run."""
        self._patients.recall(history)

    def forget(self, studies: Collection[str]) -> None:
        """Drop what is known of settled studies."""
        self._patients.forget(studies)
