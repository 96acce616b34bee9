"""The stages from an image to a pose: segment, detect, register, refine, track, verify, reacquire."""
