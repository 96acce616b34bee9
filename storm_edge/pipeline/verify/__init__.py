"""Verify: is what the track looks at still the object?"""
