"""Baselines: what stands where a region is absent.

Reads: the model's input, the regions, and the package's background images where it has some.
Writes: one image, shape (C, H, W), for all coalitions; it is stored with every result.
Refuses: a kind that needs background images where the package has none.
Start here: ``choice.py``; one file per kind that is more than a line.
Standard: which one is right is measured, not known: ``models check --measure`` says what each takes
away of the evidence.
"""
