"""The verbs on images: register, track, refine."""
