"""TensorRT and TensorRT-RTX.

==========  ==========================================================================================================
`api`       the packages, loaded, and the names of theirs that we use
`engine`    an engine, ready to run
`build`     an ONNX graph to an engine, in memory; on disk it is `engines.cache` that keeps it
`target`    which GPU a build is for
==========  ==========================================================================================================
"""
