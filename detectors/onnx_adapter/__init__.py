"""Detectors that come as ONNX files, run by onnxruntime and described by a TOML file.

`descriptor` says what a file needs to be told; `canvas` turns an image into the network's input, and boxes
back; `model_file` reads a file safely; `session` runs it; `centre_map`, `per_stride`, `bins` and
`ready_boxes` turn each kind of output into boxes; `detector` puts them together; `entries` registers the
described models. What is heavy (onnx, onnxruntime) is imported only when a detector is identified or created.
"""
