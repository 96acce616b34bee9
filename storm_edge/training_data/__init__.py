"""Folders that the full networks are trained on, made of BOP datasets and of tracked recordings. No torch in here."""
