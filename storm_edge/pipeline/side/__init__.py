"""Side: which of several poses of nearly the same outline and depth the evidence fixes, doubts or cannot tell."""
