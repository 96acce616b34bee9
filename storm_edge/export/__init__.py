"""Networks to ONNX graphs in every precision, each held to the gates of its recipe.

Where is what:

===================  ================================================================================================
`recipe`             what ``export/*.yaml`` may say: source, profiles, FP16 islands, INT8 candidates, gates
`run`                `export_bundle`: recipes to a bundle
`sources`            the FP32 graphs: from a checkpoint, a bundle, or `published` files
`networks`           what the graphs of each network take and give
`torch_to_onnx`      one torch module to one ONNX file, checked
`reduce`             the graphs of one network in FP16 and INT8
`fp16`               FP32 graphs to FP16 with FP32 islands
`int8_layers`        **which layers become INT8**: each tried alone, the worst taken back until the gate passes
`qdq`                writing a graph with chosen layers in INT8
`compare`            how far outputs are from FP32
`task_metrics`       what a network is for, measured on held-out data; `registration` and `tracking` for RefineNet
`graph_engines`      graphs opened on ONNX Runtime, to be compared
`results`            what an export did, as values; `report` writes them as page, model card and JSON
===================  ================================================================================================

Built engines are `storm_edge.engines.cache`'s; calibration sets `storm_edge.calib`'s.
"""
