"""An ONNX graph, run operator by operator in PyTorch.

For development machines that have PyTorch and neither TensorRT nor an ONNX Runtime for their GPU. It knows the
operators of the graphs that this project exports (opset 18) and refuses others by name. ``onnx2torch`` 1.5.15, the
library for this, refuses six of the eight nano graphs (``Resize`` of opset 18, ``Reshape`` with ``allowzero``) and
needs torchvision. What an operator does is the ONNX specification's word.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor
from torch.nn import functional as F

from storm_edge.errors import EngineError, mismatch

Attributes = Mapping[str, Any]
Operator = Callable[..., Any]
"""Takes an operator's inputs, None for those left out, and gives its output, or a tuple of several."""

_TYPES = {
    onnx.TensorProto.FLOAT: torch.float32,
    onnx.TensorProto.FLOAT16: torch.float16,
    onnx.TensorProto.INT32: torch.int32,
    onnx.TensorProto.INT64: torch.int64,
    onnx.TensorProto.UINT8: torch.uint8,
    onnx.TensorProto.INT8: torch.int8,
    onnx.TensorProto.BOOL: torch.bool,
}
_SMALL = 16


class _UnknownVariant(Exception):
    """An operator is known here, but not with these attributes."""


class OnnxGraph:
    """The graph of a file, its weights on a device.

    Args:
        path: The file.
        device: PyTorch's name of it.

    Raises:
        EngineError: The file is no ONNX graph, or has an operator that is not known here.
    """

    def __init__(self, path: Path, device: str) -> None:
        try:
            model = onnx.load(str(path))
            onnx.checker.check_model(model)
        except Exception as error:  # protobuf, onnx and the system raise theirs
            first = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise EngineError(mismatch(path, first, "an ONNX file", "export it again")) from error
        graph = model.graph
        constants = {i.name: onnx.numpy_helper.to_array(i) for i in graph.initializer}
        self._steps: list[tuple[Operator, list[str], list[str]]] = []
        for node in graph.node:
            attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
            if node.op_type == "Constant":
                constants[node.output[0]] = onnx.numpy_helper.to_array(attributes["value"])
                continue
            try:
                operator = _OPERATORS[node.op_type](attributes)
            except KeyError:
                unknown = sorted({n.op_type for n in graph.node} - _OPERATORS.keys() - {"Constant"})
                expected = f"of {', '.join(sorted(_OPERATORS))}"
                remedy = "run it on ONNX Runtime"
                raise EngineError(mismatch(path, f"operators {', '.join(unknown)}", expected, remedy)) from None
            except _UnknownVariant as error:
                what = f"{path}: {node.op_type}"
                raise EngineError(
                    mismatch(what, error, "a variant that is known here", "run it on ONNX Runtime")
                ) from None
            self._steps.append((operator, list(node.input), list(node.output)))
        self._weights = {name: _weight(array, device) for name, array in constants.items()}
        self.inputs = [_declared(value) for value in graph.input if value.name not in constants]
        """Name, element type and sizes (None where they vary) of each input."""
        self.outputs = [_declared(value) for value in graph.output]
        """The same of each output."""
        last = {name: at for at, (_, inputs, _) in enumerate(self._steps) for name in inputs}
        kept = {name for name, _, _ in self.outputs}
        self._done: list[list[str]] = [[] for _ in self._steps]
        for name, at in last.items():
            if name not in self._weights and name not in kept:
                self._done[at].append(name)

    def __call__(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The outputs by name."""
        values: dict[str, Any] = {"": None, **self._weights, **inputs}
        for (operator, names, results), done in zip(self._steps, self._done, strict=True):
            found = operator(*(values[name] for name in names))
            values.update(zip(results, found if isinstance(found, tuple) else (found,), strict=True))
            for name in done:
                del values[name]
        return {name: values[name] for name, _, _ in self.outputs}


def _declared(value: Any) -> tuple[str, np.dtype[Any], list[int | None]]:
    kind = value.type.tensor_type
    shape = [d.dim_value if d.HasField("dim_value") else None for d in kind.shape.dim]
    return value.name, np.dtype(onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)), shape


def _weight(array: np.ndarray[Any, Any], device: str) -> Tensor:
    """A constant on the device; what says sizes and axes stays readable on the host, so that nobody waits for it."""
    weight = torch.from_numpy(np.array(array)).to(device)
    if array.size <= _SMALL:
        weight.__dict__["on_host"] = array.reshape(-1).tolist()
    return weight


def _numbers(values: Tensor | None) -> list[Any]:
    if values is None:
        return []
    found: list[Any] = values.__dict__.get("on_host") or values.reshape(-1).tolist()
    return found


def _ints(values: Tensor | None) -> list[int]:
    return [int(number) for number in _numbers(values)]


def _plain(function: Callable[..., Any]) -> Callable[[Attributes], Operator]:
    """An operator without attributes."""
    return lambda attributes: function


def _padding(a: Attributes) -> tuple[int, int]:
    """Rows and columns around an image."""
    if a.get("auto_pad", b"NOTSET") != b"NOTSET":
        raise _UnknownVariant(f"auto_pad {a['auto_pad'].decode()}")
    top, left, bottom, right = a.get("pads", (0, 0, 0, 0))
    if (top, left) != (bottom, right):
        raise _UnknownVariant(f"pads {top, left, bottom, right}")
    return top, left


def _convolution(a: Attributes) -> Operator:
    padding, stride = _padding(a), tuple(a.get("strides", (1, 1)))
    dilation, groups = tuple(a.get("dilations", (1, 1))), a.get("group", 1)
    return lambda x, w, b=None: F.conv2d(x, w, b, stride, padding, dilation, groups)


def _transposed_convolution(a: Attributes) -> Operator:
    padding, stride = _padding(a), tuple(a.get("strides", (1, 1)))
    dilation, groups = tuple(a.get("dilations", (1, 1))), a.get("group", 1)
    extra = tuple(a.get("output_padding", (0, 0)))
    return lambda x, w, b=None: F.conv_transpose2d(x, w, b, stride, padding, extra, groups, dilation)


def _average_pool(a: Attributes) -> Operator:
    kernel, padding = tuple(a["kernel_shape"]), _padding(a)
    stride, whole = tuple(a.get("strides", (1, 1))), bool(a.get("ceil_mode", 0))
    with_padding = bool(a.get("count_include_pad", 0))
    return lambda x: F.avg_pool2d(x, kernel, stride, padding, whole, with_padding)


def _max_pool(a: Attributes) -> Operator:
    kernel, padding = tuple(a["kernel_shape"]), _padding(a)
    stride, dilation = tuple(a.get("strides", (1, 1))), tuple(a.get("dilations", (1, 1)))
    whole = bool(a.get("ceil_mode", 0))
    return lambda x: F.max_pool2d(x, kernel, stride, padding, dilation, whole)


def _gemm(a: Attributes) -> Operator:
    alpha, beta = a.get("alpha", 1.0), a.get("beta", 1.0)

    def gemm(x: Tensor, y: Tensor, c: Tensor | None = None) -> Tensor:
        x, y = (x.T if a.get("transA") else x), (y.T if a.get("transB") else y)
        product = x @ y if alpha == 1.0 else alpha * (x @ y)
        return product if c is None else product + (c if beta == 1.0 else beta * c)

    return gemm


def _gather(a: Attributes) -> Operator:
    axis = a.get("axis", 0)

    def gather(x: Tensor, indices: Tensor) -> Tensor:
        at = axis % x.ndim
        wanted = indices.reshape(-1).long()
        found = x.index_select(at, torch.where(wanted < 0, wanted + x.shape[at], wanted))
        return found.reshape(*x.shape[:at], *indices.shape, *x.shape[at + 1 :])

    return gather


def _layer_norm(a: Attributes) -> Operator:
    axis, epsilon = a.get("axis", -1), a.get("epsilon", 1e-5)
    return lambda x, scale, bias=None: F.layer_norm(x, x.shape[axis:], scale, bias, epsilon)


def _pad(a: Attributes) -> Operator:
    if a.get("mode", b"constant") != b"constant":
        raise _UnknownVariant(f"mode {a['mode'].decode()}")

    def pad(x: Tensor, pads: Tensor, value: Tensor | None = None, axes: Tensor | None = None) -> Tensor:
        sizes = _ints(pads)
        at = [axis % x.ndim for axis in _ints(axes)] or list(range(x.ndim))
        before, after = dict(zip(at, sizes, strict=False)), dict(zip(at, sizes[len(at) :], strict=True))
        flat = [n for axis in reversed(range(x.ndim)) for n in (before.get(axis, 0), after.get(axis, 0))]
        return F.pad(x, flat, value=float(_numbers(value)[0]) if value is not None else 0.0)

    return pad


def _reduction(function: Callable[..., Tensor]) -> Callable[[Attributes], Operator]:
    def make(a: Attributes) -> Operator:
        keep, given = bool(a.get("keepdims", 1)), list(a.get("axes", ()))  # an attribute before opset 18

        def reduce(x: Tensor, axes: Tensor | None = None) -> Tensor:
            wanted = _ints(axes) or given
            if not wanted and a.get("noop_with_empty_axes"):
                return x
            return function(x, dim=wanted or list(range(x.ndim)), keepdim=keep)

        return reduce

    return make


def _reshape(a: Attributes) -> Operator:
    def reshape(x: Tensor, shape: Tensor) -> Tensor:
        sizes = _ints(shape)
        if not a.get("allowzero"):
            sizes = [x.shape[i] if n == 0 else n for i, n in enumerate(sizes)]
        return x.reshape(sizes)

    return reshape


def _resize(a: Attributes) -> Operator:
    wanted = {"mode": b"nearest", "coordinate_transformation_mode": b"asymmetric", "nearest_mode": b"floor"}
    defaults = {
        "mode": b"nearest",
        "coordinate_transformation_mode": b"half_pixel",
        "nearest_mode": b"round_prefer_floor",
    }
    for name, value in wanted.items():
        if a.get(name, defaults[name]) != value:
            raise _UnknownVariant(f"{name} {a.get(name, defaults[name]).decode()}")

    def resize(x: Tensor, region: Tensor | None = None, scales: Tensor | None = None) -> Tensor:
        factors = [1.0] * x.ndim if scales is None else _numbers(scales)
        for axis, factor in enumerate(factors):
            if factor != 1.0:
                places = torch.arange(int(x.shape[axis] * factor), device=x.device)
                x = x.index_select(axis, (places / factor).floor().long())
        return x

    return resize


def _slice(a: Attributes) -> Operator:
    def cut(
        x: Tensor, starts: Tensor, ends: Tensor, axes: Tensor | None = None, steps: Tensor | None = None
    ) -> Tensor:
        first, last = _ints(starts), _ints(ends)
        at = _ints(axes) or list(range(len(first)))
        by = _ints(steps) or [1] * len(first)
        windows = [slice(None)] * x.ndim
        for axis, low, high, step in zip(at, first, last, by, strict=True):
            windows[axis] = slice(low, high, step)
        return x[tuple(windows)]

    return cut


def _split(a: Attributes) -> Operator:
    axis, count = a.get("axis", 0), int(a.get("num_outputs", 1))

    def split(x: Tensor, sizes: Tensor | None = None) -> tuple[Tensor, ...]:
        if sizes is not None:
            return tuple(torch.split(x, _ints(sizes), axis))
        return tuple(torch.split(x, -(-x.shape[axis] // count), axis))

    return split


def _unsqueeze(x: Tensor, axes: Tensor) -> Tensor:
    wanted = _ints(axes)
    for axis in sorted(axis % (x.ndim + len(wanted)) for axis in wanted):
        x = x.unsqueeze(axis)
    return x


def _clip(x: Tensor, low: Tensor | None = None, high: Tensor | None = None) -> Tensor:
    return x if low is None and high is None else torch.clamp(x, low, high)


def _divide(x: Tensor, y: Tensor) -> Tensor:
    return torch.div(x, y) if x.is_floating_point() else torch.div(x, y, rounding_mode="trunc")


def _expand(x: Tensor, shape: Tensor) -> Tensor:
    return x.expand(np.broadcast_shapes(tuple(x.shape), tuple(_ints(shape))))


def _squeeze(x: Tensor, axes: Tensor | None = None) -> Tensor:
    return x.squeeze() if axes is None else x.squeeze(tuple(_ints(axes)))


def _concatenate(a: Attributes) -> Operator:
    return lambda *parts: torch.cat(parts, a["axis"])


def _cast(a: Attributes) -> Operator:
    if a["to"] not in _TYPES:
        raise _UnknownVariant(f"to {onnx.TensorProto.DataType.Name(a['to'])}")
    return lambda x: x.to(_TYPES[a["to"]])


def _transpose(a: Attributes) -> Operator:
    return lambda x: x.permute(tuple(a.get("perm", reversed(range(x.ndim)))))


def _softmax(a: Attributes) -> Operator:
    return lambda x: torch.softmax(x, a.get("axis", -1))


_OPERATORS: dict[str, Callable[[Attributes], Operator]] = {
    "Abs": _plain(torch.abs),
    "Add": _plain(torch.add),
    "Atanh": _plain(torch.atanh),
    "AveragePool": _average_pool,
    "Cast": _cast,
    "Clip": _plain(_clip),
    "Concat": _concatenate,
    "Conv": _convolution,
    "ConvTranspose": _transposed_convolution,
    "Cos": _plain(torch.cos),
    "Div": _plain(_divide),
    "Erf": _plain(torch.erf),
    "Expand": _plain(_expand),
    "Gather": _gather,
    "Gemm": _gemm,
    "Greater": _plain(torch.gt),
    "Identity": _plain(lambda x: x),
    "LayerNormalization": _layer_norm,
    "MatMul": _plain(torch.matmul),
    "MaxPool": _max_pool,
    "Mul": _plain(torch.mul),
    "Neg": _plain(torch.neg),
    "Pad": _pad,
    "ReduceMax": _reduction(torch.amax),
    "ReduceMean": _reduction(torch.mean),
    "ReduceSum": _reduction(torch.sum),
    "Relu": _plain(torch.relu),
    "Reshape": _reshape,
    "Resize": _resize,
    "Sigmoid": _plain(torch.sigmoid),
    "Sin": _plain(torch.sin),
    "Slice": _slice,
    "Softmax": _softmax,
    "Softplus": _plain(F.softplus),
    "Split": _split,
    "Squeeze": _plain(_squeeze),
    "Sub": _plain(torch.sub),
    "Transpose": _transpose,
    "Unsqueeze": _plain(_unsqueeze),
    "Where": _plain(torch.where),
}
KNOWN: Sequence[str] = tuple(_OPERATORS)
"""Operators of graphs that can be run."""
