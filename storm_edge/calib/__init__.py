"""Calibration sets: what reached the engines while the pipeline ran, kept for quantisation.

Where is what:

============  ========================================================================================================
`capture`     a bundle whose engines record their inputs
`collect`     the pipeline run over recordings with that bundle
`synthetic`   generated recordings, where there are no others
`sets`        a set on disk: writing, reading, refusing what no range can be read from
============  ========================================================================================================

What is made of a set is chosen by `storm_edge.export.int8_layers`.
"""
