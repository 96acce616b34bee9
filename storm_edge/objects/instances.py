"""Names of instances: of several objects of one model the first keeps its name, the second becomes ``NAME#2``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from storm_edge.errors import ConfigError, mismatch
from storm_edge.objects.bundle import ObjectBundle


def name_instances(bundles: Sequence[ObjectBundle]) -> list[ObjectBundle]:
    """The same objects with a name for each.

    Raises:
        ConfigError: Two different models have one name.
    """
    named: list[ObjectBundle] = []
    for bundle in bundles:
        same = [other for other in bundles[: len(named)] if other.object_id == bundle.object_id]
        if any(other.source.sha256 != bundle.source.sha256 for other in same):
            got, remedy = f"two models named {bundle.object_id}", "onboard one of them with another --id"
            raise ConfigError(mismatch("objects", got, "a name for each", remedy))
        named.append(replace(bundle, object_id=f"{bundle.object_id}#{len(same) + 1}") if same else bundle)
    return named


def model_name(object_id: str) -> str:
    """The name without the number of the instance: ``mug`` of ``mug#2``."""
    return re.sub(r"#\d+$", "", object_id)


def instance_number(object_id: str) -> int:
    """Which instance of its model a name is of: 2 for ``mug#2``, 1 for ``mug``."""
    found = re.search(r"#(\d+)$", object_id)
    return 1 if found is None else int(found.group(1))
