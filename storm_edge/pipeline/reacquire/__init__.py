"""Reacquire: what helps to find again an object that was lost."""
