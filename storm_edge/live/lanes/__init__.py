"""Work beside the frames: the background thread, its scheduler, verification on it."""
