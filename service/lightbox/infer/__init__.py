"""Job to prediction: decode, preprocess, one forward pass that also gives the Grad-CAM.

Reads: the job's stored instances (pixel data in child processes only); a model package's folder.
Writes: nothing; ``predict.py`` returns the prediction, the key frame and the network's output.
Refuses: a package whose manifest, digest or graph is wrong (``ModelPackageError``); pixel data that
cannot be read (``UnreadableError``); logits that are not a prediction (``ExplanationError``).
Start here: ``predict.py``; then ``packages.py`` (what a model is), ``graphs/cam_graph.py`` (why the map is
free), ``decode.py`` (why a hostile file harms nobody).
Standard: pixel module PS3.3 C.7.6.3, modality LUT C.11.1, VOI LUT C.11.2; ONNX opset 13 to 23.
"""
