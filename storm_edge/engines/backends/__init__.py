"""The runtimes that networks run on.

==================  =================================================================================================
`onnxruntime`       ONNX files, on a CPU or by CUDA
`tensorrt`          engines that TensorRT or TensorRT-RTX built of them, on a GPU; and building them
`torch`             ONNX files operator by operator in PyTorch, for development machines
==================  =================================================================================================

Shared by them: `tensors` (a file's tensors under our names, checks of arrays), `channels_last` (networks that want
images ``(N, H, W, C)``), `gpu` (the CUDA device).

To add a backend, write a class that keeps the contract `engines.contract.Engine` in a module here, and name it in
`engines.backend`: in the enum, in `require_backend` and in `open_network`. ``tests/engines/backends`` shows what is
asked of each.
"""
