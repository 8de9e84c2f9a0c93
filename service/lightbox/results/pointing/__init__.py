"""Objects that show nothing of their own and point at images: for destinations that ask for them.

Reads: ``Explained``, the key frame's ``Source`` and how its header says it is displayed.
Writes: a Presentation State (outline and words over the source image), Key Object Selections (the
key image and our picture of it; what a newer result replaces).
Refuses: sources in colour, and ones whose display is not stated (no presentation state for those).
Start here: ``presentation_state.py``; then ``key_images.py``, ``rejection.py``, ``key_object.py``.
Standard: PS3.3 A.33.1, A.35.4; PS3.16 TID 2010.
"""
