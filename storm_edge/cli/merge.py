"""`storm-edge merge`: one result of the shards of a dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    shards: Annotated[
        list[Path], typer.Argument(help="Folders that runs with --shard left, all of them.", show_default=False)
    ],
    out: Annotated[Path, typer.Option(help="Folder to write the whole to.", show_default=False)],
) -> None:
    """Join the shards of a run over a dataset to what one process would have left."""
    from storm_edge.datasets.merge import merge_shards

    units = merge_shards(shards, out)
    typer.echo(f"{out}: {len(units)} scenes of {len(shards)} folders")
