"""What runs a network: ONNX Runtime, TensorRT, and PyTorch on development machines."""
