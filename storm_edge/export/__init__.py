"""Torch networks to ONNX graphs."""
