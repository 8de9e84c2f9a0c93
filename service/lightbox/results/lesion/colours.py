"""Colours of lesions, on pictures as in viewers; where a model looked is yellow or orange."""

from __future__ import annotations

LESION_COLOURS = ((0, 214, 152), (86, 180, 233), (204, 121, 167))
"""RGB of the first, second and third lesion, and again (after Okabe and Ito 2008: told apart with
every colour blindness)."""
