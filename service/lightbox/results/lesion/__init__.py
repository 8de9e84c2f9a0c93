"""The lesion itself, as a segmentation network outlined it; never where a classifier looked.

Reads: ``Explained.lesions``: masks in source pixels, by source frame.
Writes: a Segmentation of its own series, property type and colour; sizes for report and picture.
Refuses: masks of another size than their frames (``ResultError``).
Start here: ``lesion_segmentation.py``; then ``size.py``.
Standard: PS3.3 A.51; PS3.16 CID 7150, CID 7159, CID 7470.
"""
