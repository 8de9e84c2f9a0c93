"""ONNX graphs, read and extended: Grad-CAM as an output, masking as an input.

Reads: the bytes of ``weights.onnx``.
Writes: new graphs, in memory; the file is never changed.
Refuses: external data, several inputs or outputs, a graph without a layer of spatial extent.
Start here: ``cam_graph.py`` (Grad-CAM), ``mask_graph.py`` (audits); ``network.py`` is the graph
that both extend, ``vjp/`` the derivatives of heads that are not pooled and linear.
Standard: ONNX operator sets 13 to 23.
"""
