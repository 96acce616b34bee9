"""Whether depth lies on colour: where their edges are, over a few images of a camera."""
