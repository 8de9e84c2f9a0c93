"""A result that takes the place of an earlier one says so: in words, by reference, by rejection.

Reads: ``Explained.replaces``: what the earlier job found and sent.
Writes: the sentence of what changed; references to the replaced objects. The Key Object that rejects
them is ``pointing/rejection.py``.
Refuses: nothing; where nothing is replaced, nothing is said.
Start here: ``sentence.py``; then ``references.py``.
Standard: PS3.3 C.17.2 (predecessor documents), C.12.4 (general reference), A.35.4 (key objects);
IHE RAD TF-1 33, Imaging Object Change Management.
"""
