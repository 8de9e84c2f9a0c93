from __future__ import annotations

from for_every_test import closes_what_it_opens

__all__ = ["closes_what_it_opens"]
