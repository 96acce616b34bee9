"""Image and geometry kernels in Warp, one source for CPU and CUDA, each with a NumPy reference."""
