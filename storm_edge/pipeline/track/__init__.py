"""Track: from the last pose to the next one."""
