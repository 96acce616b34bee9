"""Images of a recorded run: poses and masks on their frames, contact sheets, a video, a page of plots."""
