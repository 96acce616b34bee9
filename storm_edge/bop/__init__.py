"""Recorded scenes in the BOP format: `scene` reads one, `writer` writes one, `results` has files of poses."""
