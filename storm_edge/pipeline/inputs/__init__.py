"""Inputs of the networks: one image on the device, and the pairs of crops that the pose networks compare."""
