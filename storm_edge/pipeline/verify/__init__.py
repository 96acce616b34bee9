"""Verify: is what is tracked still the object?"""
