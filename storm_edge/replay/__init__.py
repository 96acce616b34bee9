"""Recorded scenes: track and segment them, and write poses, pictures and videos."""
