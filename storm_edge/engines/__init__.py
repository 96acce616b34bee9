"""Networks as engines: opened from a bundle, bound to buffers once, launched in every frame.

Where is what:

===================  ================================================================================================
`contract`           what an engine is: the `Engine` protocol, its tensors, the options it is opened with
`bundle`             `NetworkBundle`: the networks of one folder, found, checked and opened
`manifest`           ``manifest.json`` of a bundle: its contents, what its networks must take and give, writing it
`launch_counts`      how often each network was launched
`backend`            which runtime opens a network; **where a backend is added**, together with `backends`
`backends`           the runtimes: ONNX Runtime, TensorRT, PyTorch
`exported_graphs`    what an export says of its graphs, for those who build engines of them
`cache`              built engines on disk, found by what they were built from; which are fresh, building the rest
`engine_key`         everything a built engine depends on
`engine_file`        one built engine on disk: its file with its manifest
`cache_report`       a page on the engines of a bundle
===================  ================================================================================================

ONNX files come from `storm_edge.export`, which also chooses their INT8 layers.
"""
