"""What became of a person's action, said once on the page that they come back to."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from dataclasses import dataclass

from lightbox.domain.operations import Outcome

_MOST = 100


@dataclass(frozen=True, slots=True)
class Notice:
    """An outcome, and what it is the outcome of."""

    action: str
    outcome: Outcome


class Notices:
    """Keeps each until it is shown, a hundred at most; names cannot be guessed."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Notice] = OrderedDict()

    def keep(self, notice: Notice) -> str:
        """Return the name under which :meth:`take` gives it back."""
        name = secrets.token_urlsafe(12)
        self._kept[name] = notice
        while len(self._kept) > _MOST:
            self._kept.popitem(last=False)
        return name

    def take(self, name: str) -> Notice | None:
        """Return a notice, once."""
        return self._kept.pop(name, None)
