"""Makes the engine log as we do: through our handlers, what matters, one line each.

At "info" it announces its console on the web and calls SQLite a store for development; what we
keep of that advice is in ``dbos_queue.py``.
"""

from __future__ import annotations

import logging


def hush() -> None:
    """Let the engine log warnings and worse, without tracebacks unless we debug."""
    logger = logging.getLogger("dbos")
    if not logger.handlers:
        # With a handler of any kind in place the engine adds none of its own.
        logger.addHandler(logging.NullHandler())
        logger.addFilter(_one_line)
    logger.setLevel(logging.WARNING)


def _one_line(record: logging.LogRecord) -> bool:
    if record.exc_info and not logging.getLogger(__name__).isEnabledFor(logging.DEBUG):
        kind = record.exc_info[0]
        record.msg = f"{record.getMessage()} {kind.__name__ if kind else ''}".strip()
        record.args, record.exc_info, record.exc_text = (), None, None
    return True
