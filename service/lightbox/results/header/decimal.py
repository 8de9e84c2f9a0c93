"""Numbers as a decimal string holds them."""

from __future__ import annotations


def decimal(value: float) -> float:
    """Round so that the value fits a DS of 16 characters (PS3.5 6.2)."""
    return float(f"{value:.10g}")
