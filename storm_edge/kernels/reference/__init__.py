"""Plain NumPy answers to what the kernels compute: slow, short, and what the parity tests compare with."""
