"""The picture that a person sees: original beside explanation, and what must be known, in words.

Reads: ``Explained`` and the key frame's ``Source``; the sentences of ``results/wording.py``.
Writes: an array of pixels; nothing else. No patient's name is ever drawn.
Refuses: nothing; every shape of source, every length of text gives a picture.
Start here: ``render.py`` (what stands where); then ``panels.py`` (heat and regions).
Standard: our own, measured in viewers: four empty corners, the warning in the middle, above and
below; colours even in lightness and safe for colour blindness. The letters' licence is
``fonts/LICENSE``.
"""
