"""Export a network by its recipe, and see how far FP16 answers from FP32 on the same inputs.

    python examples/export_and_parity.py export/nano-refine.yaml OUT

Needs the extra ``[export]``. The export itself holds the graphs to the recipe's gates and leaves ``OUT/report.html``.
"""

import sys
from pathlib import Path

import numpy as np

from storm_edge.engines.bundle import NetworkBundle
from storm_edge.export.recipe import read_recipe
from storm_edge.export.run import ExportOptions, export_bundle


def main(recipe: Path, out: Path) -> None:
    """Print the largest difference of every output."""
    export_bundle([read_recipe(recipe)], out, name="example", options=ExportOptions(held_out=8))
    fp32, fp16 = NetworkBundle.load(out), NetworkBundle.load(out / "fp16")
    rng = np.random.default_rng(0)
    for graph in fp32.networks:
        a, b = fp32.open(graph), fp16.open(graph)
        shapes = {tensor.name: tuple(size or 2 for size in tensor.shape) for tensor in a.spec.inputs}
        inputs = {name: rng.uniform(-1.0, 1.0, shape).astype(np.float32) for name, shape in shapes.items()}
        answers = a.run(inputs), b.run(inputs)
        for name, exact in answers[0].items():
            print(f"{graph}.{name}: FP16 differs by at most {np.abs(answers[1][name] - exact).max():.2e}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
