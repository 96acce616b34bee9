"""BatchNorm folded into the convolution before it: the same function, one operation less."""

from __future__ import annotations

import copy
import itertools
from typing import TypeVar

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

Module = TypeVar("Module", bound=nn.Module)


def fold_batchnorm(module: Module) -> Module:
    """A copy of ``module`` in eval mode whose BatchNorms sit in the convolutions declared just before them.

    Only the order of declaration counts, which in the networks of this package is the order of execution; a test
    compares the outputs. Weights that are used twice stay shared.
    """
    folded = copy.deepcopy(module).eval()
    for parent in list(folded.modules()):
        children = list(parent.named_children())
        for (name, first), (next_name, second) in itertools.pairwise(children):
            if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
                setattr(parent, name, fuse_conv_bn_eval(first, second))
                setattr(parent, next_name, nn.Identity())
    return folded
