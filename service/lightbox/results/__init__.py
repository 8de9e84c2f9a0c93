"""An explanation becomes DICOM objects that ordinary viewers show, and archives keep.

Reads: ``domain.explained.Explained``: prediction, attribution, key frame, source headers.
Writes: Secondary Capture (a person sees), Segmentation (a viewer overlays), Structured Report
(a system reads), Parametric Map (the numbers), on request presentation states and key object notes:
files in storage, ``domain.result.Result`` values.
Refuses: an object that the validator finds wrong (``ResultError``); a kind that does not apply
is not made. A study is never refused for a header.
Start here: ``write.py``; then ``header/`` (whose object), ``provenance.py`` (who made it),
``picture/`` (what a person sees), ``lesion/`` (what a segmentation model outlined), ``report/``,
``pointing/`` (on request), ``replacing/`` (what an object takes the place of), ``note.py`` (not
analysed: why).
Standard: PS3.3 A.8, A.33, A.35, A.51, A.75; PS3.16 TID 1500, CID 217; each writer cites its own.
"""
