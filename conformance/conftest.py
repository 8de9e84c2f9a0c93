"""Prints what was made of each source at the end of the run, whatever process the tests ran in."""

from __future__ import annotations

import pytest

ROW = "what was made"
"""Name of the property in which a test leaves a row of the table."""


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print a line per source: its modality and the objects that it got, or why it got none."""
    rows = [
        row
        for report in terminalreporter.stats.get("passed", [])
        for name, row in getattr(report, "user_properties", ())
        if name == ROW
    ]
    if rows:
        terminalreporter.section("what was made of which source")
        for name, modality, made in sorted(rows):
            terminalreporter.write_line(f"{name:64} {modality:4} {made}")
