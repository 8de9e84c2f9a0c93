"""Explanation methods, one file each, named as in their paper; none imports another.

Reads: an ``Output`` (map methods) or a ``Game`` (methods over players).
Writes: an ``Estimate``; methods over players yield one after every chunk.
Refuses: what it cannot answer honestly, with ``ExplanationError``.
Start here: ``grad_cam.py`` (the smallest map method), ``occlusion.py`` (the smallest of players).
Each module ends in ``METHOD = MapMethod(CARD, …)`` or ``GameMethod(CARD, …)``; see
``explain/plugin.py``.
Standard: each ``CARD`` names the paper; a deviation from it has another name and is said there.
"""
