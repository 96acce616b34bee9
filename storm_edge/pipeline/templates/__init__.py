"""Templates: where an object may be by its shape alone, and how it is turned there."""
