"""Players: the regions of the image among which the value is shared out.

Reads: how the source lies in the model frame; for superpixels also the model's input.
Writes: a label map of the model frame, ``Masking.regions``.
Refuses: a region without a pixel, in the model frame or in the source, with ``ExplanationError``.
Start here: ``choice.py`` (what the manifest asks for), ``grid.py``, ``superpixels.py``.
Standard: Achanta et al. 2012 for superpixels.
"""
