"""Reverse-mode differentiation written into an ONNX graph, one rule per operator.

Reads: the part of a graph between the target layer and the logits.
Writes: nodes into that graph; nothing on disk.
Refuses: an operator without a rule (``ModelPackageError`` names it).
Start here: ``gradient.py``; the rules are in ``algebra.py``, ``curves.py``,
``selection.py`` and ``windows.py``.
Standard: ONNX operators, opset 18; every rule is compared with torch's autograd in the tests.
"""
