"""CPU forms of several kernels in one launch: a thread per pose does what a GPU launches part by part."""
