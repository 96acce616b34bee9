"""Which exceptions are faults of a device or an engine."""

from __future__ import annotations

from storm_edge.errors import EngineError, MaskError, RunFault
from storm_edge.live.faults import first_line, is_device_fault
from tests.live.test_engine_recovery import illegal_address


def test_what_is_a_fault_of_the_device_and_what_is_a_bug() -> None:
    from onnxruntime.capi.onnxruntime_pybind11_state import RuntimeException

    for fault in (
        illegal_address(),
        MemoryError(),
        EngineError("launch of refine"),
        RuntimeException("Non-zero status"),
    ):
        assert is_device_fault(fault)
    for other in (
        RuntimeError("generator raised StopIteration"),
        ValueError("cuda"),
        MaskError("no"),
        RunFault("cuda"),
    ):
        assert not is_device_fault(other)


def test_a_fault_is_told_in_one_line() -> None:
    assert first_line(illegal_address()).endswith("an illegal memory access was encountered")
    assert first_line(MemoryError()) == "MemoryError"
