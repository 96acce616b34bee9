"""How each network becomes ONNX graphs: what they take and give, and which sizes vary.

========  ============================================================================================================
`pose`    RefineNet and ScoreNet, of both tiers
`nano`    the nano segmenter and verifier
`som`     SOM, the full tier's segmenter
`tom`     TOM, the full tier's verifier
`sam2`    SAM2, which sharpens masks
========  ============================================================================================================

Each function writes its files into a folder that exists and returns, by graph, the largest relative difference of
ONNX Runtime from torch.
"""
