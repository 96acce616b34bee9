"""Recordings changed so mildly that nobody would expect another verdict, and the verdict on each."""
