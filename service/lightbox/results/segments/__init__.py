"""A binary segmentation, attribute by attribute.

Reads: masks by source frame and segment; ``Source`` (plane, UIDs) of each frame.
Writes: the data set of a Segmentation (BINARY), without patient and equipment.
Refuses: nothing; who calls has looked whether a mask fits its frame.
Start here: ``binary.py``; then ``segment.py``.
Standard: PS3.3 A.51, C.8.20, C.7.6.16, C.7.6.17.
"""
