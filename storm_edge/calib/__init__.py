"""Calibration sets: what reached the engines while the pipeline ran, kept for quantisation."""
