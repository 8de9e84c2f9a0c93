"""Engines that run a network behind the ``Runtime`` port, one file each.

Reads: a loaded package's weights.
Writes: nothing.
Refuses: a graph that the engine cannot open (``ModelPackageError``).
Start here: ``onnx_runtime.py``.
Standard: the contract suite ``tests/contracts/runtime.py``, which every engine passes.
"""
