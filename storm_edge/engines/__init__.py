"""Networks as engines: the Engine interface, network bundles, ONNX Runtime."""
