from __future__ import annotations

from open_files import closes_what_it_opens

__all__ = ["closes_what_it_opens"]
