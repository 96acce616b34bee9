"""BOP scenes in and out, and the synthetic RGB-D generator."""
