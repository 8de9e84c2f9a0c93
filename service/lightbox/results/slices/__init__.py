"""Pictures of a series: its key slices in one mosaic, and one picture of each of them.

Reads: ``Explained.slices``: the key slices beside the key frame, each with its own map.
Writes: Secondary Captures that refer to exactly the frames that they show.
Refuses: nothing; a series with one key slice gets no mosaic: its picture shows all.
Start here: ``mosaic.py``; then ``one_slice.py``. Which slices: ``domain/key_slices.py``; how it looks:
``picture/mosaic.py``.
Standard: PS3.3 A.8.1 (Secondary Capture), C.7.6.1.1.4 (Source Image Sequence).
"""
