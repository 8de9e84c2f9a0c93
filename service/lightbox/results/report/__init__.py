"""What the structured report says: a measurement group per outline.

Reads: ``Explained``: finding, probability, the region where the model looked, lesions.
Writes: content items of TID 1410 and TID 1501; ``structured_report.py`` makes the document.
Refuses: nothing; what cannot be measured is left out.
Start here: ``explanation.py``; then ``lesions.py``.
Standard: PS3.16 TID 1500, TID 1410, TID 1501, CID 7470; units of UCUM.
"""
