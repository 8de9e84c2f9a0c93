"""The arithmetic of Shapley values that methods share; no method, no image, no runtime.

Reads: v(S) through ``ports.Game``, or pairs of it as arrays.
Writes: values of players, and of pairs of players, with their standard errors.
Refuses: too many players for enumeration, with ``ExplanationError``.
Start here: ``enumeration.py`` (exact), ``odd_regression.py`` (estimated).
``pair_plan.py`` says which coalitions are asked for, ``parities.py`` finds what single players
leave unexplained, ``least_squares.py`` fits. ``known.py`` and ``interactions.py`` answer further
questions from what was evaluated.
Standard: Shapley 1953; Covert & Lee 2021; Musco & Witter 2025; Fumagalli et al. 2024, 2026.
"""
