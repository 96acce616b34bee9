"""Training pictures made where the network is: batches of RGB-D scenes with exact masks and poses, on CPU or CUDA."""
