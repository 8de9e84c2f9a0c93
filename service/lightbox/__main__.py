"""``python -m lightbox`` is the command ``lightbox``."""

from __future__ import annotations

from lightbox.cli.main import main

if __name__ == "__main__":
    main()
