"""One work of its shards: the folder that one process without shards would have left."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from storm_edge.datasets.joined import join_scenes
from storm_edge.datasets.run import write_state
from storm_edge.datasets.shard import Shard, parse_shard
from storm_edge.datasets.work_folder import SCENES, WORK, Work, WorkFolder, is_done, read_work, unit_folder
from storm_edge.errors import InputError, OutputError, mismatch
from storm_edge.folder_swap import free_name
from storm_edge.result_kind import MADE_BY

OBJECTS = "objects"
"""Folder of the onboarded models in a work folder."""
_NAMED = 3  # in a message


def merge_shards(shards: Sequence[Path], out: Path) -> list[str]:
    """Copy the results of all shards to one new folder, and join them.

    Args:
        shards: Folders of all shards of one work; a scene's result is taken from the first that has it.
        out: The new folder; one that is there already is gone on with, if it is of the same work.

    Returns:
        The scenes, in order.

    Raises:
        InputError: The folders are not of one work, or scenes are missing.
        OutputError: ``out`` holds something else, or cannot be written.
    """
    read = {path: read_work(path) for path in shards}
    _check_same(read)
    first = next(iter(read.values()))
    units: list[str] = first["units"]
    places = {u: next((p for s in shards if is_done(p := unit_folder(s, u))), None) for u in units}
    missing = [unit for unit, place in places.items() if place is None]
    if missing:
        count = parse_shard(first["shard"]).count
        given = ", ".join(sorted(content["shard"] for content in read.values()))
        got = f"no result of {len(missing)} of {len(units)} scenes, such as {', '.join(missing[:_NAMED])}"
        remedy = f"end all {count} shards first and name them all (given: {given})"
        raise InputError(mismatch("shards", got, "a result of every scene", remedy))
    work = Work(
        command=str(first[MADE_BY]).rpartition(" ")[0],
        dataset=first["dataset"],
        split=first["split"],
        units=units,
        settings=first["settings"],
    )
    with WorkFolder(out, work, Shard(), inputs=list(shards)) as folder:
        for unit in folder.pending():
            place = places[unit]
            assert place is not None
            _copy(place, folder.place(unit))
        for shard in shards:
            for thing in sorted((shard / OBJECTS).iterdir()) if (shard / OBJECTS).is_dir() else ():
                if not thing.name.startswith(".") and not (out / OBJECTS / thing.name).exists():
                    _copy(thing, out / OBJECTS / thing.name)
        write_state(folder, {}, join_scenes)
    return units


def _check_same(read: Mapping[Path, Mapping[str, Any]]) -> None:
    """Refuse folders of different works."""
    (path, first), *others = read.items()
    for other, content in others:
        for key in (MADE_BY, "dataset", "split", "units", "settings"):
            if content[key] != first[key]:
                got = f"another {key} than {path / WORK}"
                raise InputError(mismatch(other / WORK, got, "shards of one work", "name the shards of one work"))
        if parse_shard(content["shard"]).count != parse_shard(first["shard"]).count:
            got, expected = f"shard {content['shard']}", f"one of {parse_shard(first['shard']).count} shards"
            raise InputError(mismatch(other / WORK, got, expected, "name the shards of one work"))


def _copy(source: Path, place: Path) -> None:
    """Copy a folder; it appears whole."""
    part = free_name(place.with_name(f".{place.name}.partial"), "")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, part)
        if place.exists():  # a result that ended early
            shutil.rmtree(place)
        part.rename(place)
    except OSError as error:
        got = error.strerror or error
        raise OutputError(mismatch(place, got, f"room in {SCENES}/", "free some and merge again")) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
