"""Whole BOP datasets: which scenes there are to do, by whom, what is done already, and what becomes of it all."""
