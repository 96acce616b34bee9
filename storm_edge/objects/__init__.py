"""Onboarding: a 3D model file becomes an object bundle on disk."""
