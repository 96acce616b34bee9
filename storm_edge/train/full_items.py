"""What the full networks are trained on and judged by: samples and pairs from disk, or generated pictures."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from storm_edge.choices import Framing, Network
from storm_edge.errors import ConfigError, mismatch
from storm_edge.imagenet import IMAGENET_MEAN, IMAGENET_STD
from storm_edge.networks.som import Som
from storm_edge.pipeline.segment.full_som_framing import SIZE_PX, square_image
from storm_edge.train.epoch_items import Item
from storm_edge.train.full_config import FullTrainConfig
from storm_edge.training_data.pair_file import CropPair, read_crop, read_pairs
from storm_edge.training_data.som_augment import SomAugment, som_input
from storm_edge.training_data.som_samples import SomSample, held_out_apart, read_samples
from storm_edge.training_data.view_pictures import read_views

_MIB = 2**20
_HELD_OUT_EVERY = 10


class SomLoader:
    """Reads samples of the segmenter; the objects are numbered in the order in which they come up.

    Args:
        samples: The samples.
        objects: The objects of all samples, by the folder of their views.
        augment: How they are changed; None for held-out ones.
    """

    def __init__(self, samples: Sequence[SomSample], objects: ObjectNumbers, augment: SomAugment | None) -> None:
        self._samples, self._objects, self._augment = samples, objects, augment

    def __len__(self) -> int:
        return len(self._samples)

    def __call__(self, number: int, chance: np.random.Generator) -> Item:
        """Read one; see `epoch_items.Loader`."""
        sample = self._samples[number]
        image, mask = som_input(*sample.read(), self._augment, chance)
        item = {"image": image, "mask": mask, "object": np.int64(self._objects.number(sample))}
        if sample.context is not None:
            item["context"] = np.asarray(sample.context, dtype=np.float32)
        return {key: np.asarray(value) for key, value in item.items()}


class ObjectNumbers:
    """Numbers for objects, which are the folders of their views."""

    def __init__(self, samples: Sequence[SomSample]) -> None:
        found = sorted({(sample.views, sample.name) for sample in samples})
        self.folders = found
        """Folder and name of each object."""
        self._numbers = {views: number for number, (views, _) in enumerate(found)}

    def number(self, sample: SomSample) -> int:
        """The number of a sample's object."""
        return self._numbers[sample.views]


class KeptViewTokens:
    """Tokens of objects' views, which a frozen encoder makes once.

    Args:
        objects: The objects.
        device: Where tokens are kept.
        limit_mib: How much of it they may take [MiB]; the ones used longest ago are made anew.
    """

    def __init__(self, objects: ObjectNumbers, device: torch.device, *, limit_mib: int) -> None:
        self._objects, self._device, self._limit = objects, device, limit_mib * _MIB
        self._kept: OrderedDict[int, Tensor] = OrderedDict()

    def __call__(self, net: Som, numbers: Tensor) -> Tensor:
        """Tokens ``(objects V, 256, C)`` of the objects of some numbers ``(objects,)``."""
        return torch.cat([self._of(net, number) for number in numbers.tolist()])

    def _of(self, net: Som, number: int) -> Tensor:
        if number in self._kept:
            self._kept.move_to_end(number)
            return self._kept[number]
        folder, name = self._objects.folders[number]
        pictures = [view_input(picture) for picture in read_views(folder, name=name)[: net.config.views]]
        tokens = net.tokens(torch.from_numpy(np.stack(pictures)).to(self._device))
        self._kept[number] = tokens
        while len(self._kept) > 1 and len(self._kept) * tokens.nbytes > self._limit:
            self._kept.popitem(last=False)
        return tokens


def view_input(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    """A picture of a view as the encoder takes it ``(3, 224, 224)``: as it is, or as upstream crops larger ones."""
    if picture.shape[:2] != (SIZE_PX, SIZE_PX):
        return np.asarray(square_image(picture, Framing.UPSTREAM)[0])
    normalised = (picture.astype(np.float32) / np.float32(255.0) - IMAGENET_MEAN) / IMAGENET_STD
    return np.ascontiguousarray(normalised.transpose(2, 0, 1), dtype=np.float32)


class PairLoader:
    """Reads pairs of the verifier.

    Args:
        pairs: The pairs.
    """

    def __init__(self, pairs: Sequence[CropPair]) -> None:
        self._pairs = pairs

    def __len__(self) -> int:
        return len(self._pairs)

    def __call__(self, number: int, chance: np.random.Generator) -> Item:
        """Read one; see `epoch_items.Loader`."""
        pair = self._pairs[number]
        label = np.asarray(pair.label, dtype=np.float32)
        return {"current": read_crop(pair.current), "memory": read_crop(pair.memory), "label": label}


def som_samples(config: FullTrainConfig) -> tuple[list[SomSample], list[SomSample]]:
    """Samples to train on and to be judged by.

    Raises:
        InputError: A folder is none, or there is one picture.
        SceneError: Files are missing, or views are of another object.
        ConfigError: Descriptions are asked for and an object has none.
    """
    samples = [sample for folder in config.data for sample in read_samples(folder)]
    held_out = [sample for folder in config.held_out_data for sample in read_samples(folder)]
    if not held_out:
        samples, held_out = held_out_apart(samples)
    if not config.language:
        return [replace(s, context=None) for s in samples], [replace(s, context=None) for s in held_out]
    lengths = {0 if sample.context is None else len(sample.context) for sample in (*samples, *held_out)}
    if len(lengths) != 1 or lengths == {0}:
        got = "an object without a description" if 0 in lengths else f"contexts of lengths {sorted(lengths)}"
        remedy = "storm-edge data describe the folders, with one text encoder"
        raise ConfigError(mismatch("--language", got, "one for every object, all of one length", remedy))
    return samples, held_out


def tom_pairs(config: FullTrainConfig) -> tuple[list[CropPair], list[CropPair]]:
    """Pairs to train on and to be judged by.

    Raises:
        InputError: A file is none, or there is one pair.
    """
    pairs = [pair for path in config.data for pair in read_pairs(path)]
    held_out = [pair for path in config.held_out_data for pair in read_pairs(path)]
    if held_out:
        return pairs, held_out
    if len(pairs) == 1:
        remedy = "add some, or give --held-out-data"
        raise ConfigError(mismatch("--data", "one pair", "pairs to train on and one to be judged by", remedy))
    # Neighbours show nearly the same: whole tenths are held out, the last of every ten.
    block = max(len(pairs) // (5 * _HELD_OUT_EVERY), 1)
    apart = [i // block % _HELD_OUT_EVERY == _HELD_OUT_EVERY - 1 for i in range(len(pairs))]
    if not any(apart):
        apart[-1] = True
    return (
        [pair for pair, out in zip(pairs, apart, strict=True) if not out],
        [pair for pair, out in zip(pairs, apart, strict=True) if out],
    )


def context_length(config: FullTrainConfig, samples: Sequence[SomSample]) -> int | None:
    """Length of the language context that the segmenter takes; None without."""
    if config.network is not Network.SOM or not config.language:
        return None
    context = samples[0].context
    return None if context is None else len(context)
