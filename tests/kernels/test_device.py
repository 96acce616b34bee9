"""Devices: names, the quiet start, and that every kernel compiles for the robot's GPU, which needs no GPU."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys
import weakref

import numpy as np
import pytest
import warp as wp

import storm_edge.kernels
from storm_edge.errors import BackendError
from storm_edge.kernels.device import HostSide, ZeroCopyView, put, require_device, thread_span

ORIN_SM = 87

KERNEL_MODULES = [
    name
    for _, name, is_package in pkgutil.iter_modules(storm_edge.kernels.__path__, "storm_edge.kernels.")
    if not is_package
]


def test_the_cpu_is_always_there():
    assert require_device("cpu").is_cpu


@pytest.mark.parametrize("name", ["cuda:99", "gpu", ""])
def test_a_device_that_is_not_here_is_refused(name):
    with pytest.raises(BackendError, match=r"cpu always works|or use cpu"):
        require_device(name)


@pytest.mark.parametrize(
    ("toolkit", "driver", "hidden", "cause"),
    [
        (None, None, None, "this warp-lang is built without CUDA"),
        ((13, 0), None, None, "no NVIDIA driver was found"),
        (
            (13, 0),
            (12, 2),
            None,
            "the NVIDIA driver is too old \\(driver for CUDA 12.2, warp-lang built with CUDA 13.0",
        ),
        ((13, 0), (13, 0), None, "the NVIDIA driver shows no GPU"),
        ((13, 0), (13, 0), "", "CUDA_VISIBLE_DEVICES=''"),
    ],
)
def test_without_cuda_the_line_says_why(monkeypatch, toolkit, driver, hidden, cause):
    monkeypatch.setattr(wp, "is_cuda_available", lambda: False)
    monkeypatch.setattr(wp, "get_devices", lambda: [wp.get_device("cpu")])
    monkeypatch.setattr(wp, "get_cuda_toolkit_version", lambda: toolkit)
    monkeypatch.setattr(wp, "get_cuda_driver_version", lambda: driver)
    if hidden is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    with pytest.raises(BackendError, match=f"got 'cuda', but {cause}" if hidden is None else cause):
        require_device("cuda")


def test_a_cpu_thread_takes_all_items():
    assert thread_span(require_device("cpu"), 500) == 500
    assert thread_span(require_device("cpu"), 0) == 1


def test_start_says_nothing():
    """Warp's greeting and its driver warning went to the user's terminal on every command of a CPU machine."""
    code = "from storm_edge.kernels.device import require_device; require_device('cpu')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


@pytest.mark.skipif(sys.platform == "darwin", reason="Warp has no CUDA compiler on macOS")
@pytest.mark.parametrize("name", KERNEL_MODULES)
def test_kernels_compile_for_orin(name, tmp_path):
    """Warp carries NVRTC: what the compiler refuses for sm_87 is seen here, not on the robot."""
    require_device("cpu")
    module = importlib.import_module(name)
    if not any(isinstance(value, wp.Kernel) and value.module.name == name for value in vars(module).values()):
        return
    wp.compile_aot_module(module, arch=[ORIN_SM], module_dir=tmp_path)
    assert any(path.suffix == ".cubin" for path in tmp_path.iterdir())


def put_and_read(device: str) -> np.ndarray:
    array = wp.zeros(3, dtype=wp.mat33f, device=device)
    put(np.arange(18.0).reshape(2, 3, 3), array)
    return array.numpy()


def test_put_fills_the_first_rows_only():
    found = put_and_read("cpu")
    np.testing.assert_array_equal(found[:2], np.arange(18.0).reshape(2, 3, 3))
    np.testing.assert_array_equal(found[2], 0.0)


@pytest.mark.gpu
def test_put_on_cuda(cuda):
    np.testing.assert_array_equal(put_and_read(cuda), put_and_read("cpu"))


def test_the_host_side_of_an_array_reads_and_writes_what_kernels_see():
    array = wp.zeros(3, dtype=wp.mat33f, device="cpu")
    host = HostSide(array)
    host.write(np.arange(18.0).reshape(2, 3, 3))
    np.testing.assert_array_equal(array.numpy(), put_and_read("cpu"))
    array.fill_(4.0)
    np.testing.assert_array_equal(host.read(2), np.full((2, 3, 3), 4.0))


def test_an_image_of_the_right_form_is_read_in_place():
    own = wp.zeros((2, 3), dtype=wp.float32, device="cpu")
    view = ZeroCopyView(own)
    image = np.arange(6, dtype=np.float32).reshape(2, 3)
    view.assign(image)
    there = view.array
    assert there.ptr == view.address == image.ctypes.data
    assert view.array is there
    np.testing.assert_array_equal(there.numpy(), image)
    for other in (image.astype(np.float64), np.asfortranarray(image), np.repeat(image, 2, axis=1)[:, ::2]):
        view.assign(other)
        copied = view.array
        assert copied is own
        assert view.address == own.ptr
        np.testing.assert_array_equal(copied.numpy(), image)
    np.testing.assert_array_equal(there.numpy(), image)


def test_an_assigned_image_is_kept_alive_by_the_arrays_that_read_it():
    view = ZeroCopyView(wp.zeros((2, 3), dtype=wp.float32, device="cpu"))
    image = np.ones((2, 3), dtype=np.float32)
    alive = weakref.ref(image)
    view.assign(image)
    there = view.array
    del image
    view.assign(np.zeros((2, 3), dtype=np.float32))
    assert alive() is not None
    del there
    assert alive() is None
