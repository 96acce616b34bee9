"""Training of the nano networks on synthetic data."""
