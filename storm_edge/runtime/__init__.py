"""The loop over frames and what it writes."""
