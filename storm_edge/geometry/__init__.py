"""Ground floor: rigid motions, cameras, surfaces, symmetries, viewing directions. NumPy only."""
