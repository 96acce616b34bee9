"""CPU forms of several kernels in one launch: a thread per pose does what a GPU launches part by part.

The functions (`wp.func`) are those of the kernels next door; only the loops around them are here. So a fused launch
computes what the separate launches compute, number by number and in the same order:

====================================  ======================================================================
fused                                 the same as, one after the other
====================================  ======================================================================
`descent.descend_kernel`              `gauss_newton.find_views_kernel`; per step `point_to_plane`, `region` and
                                      `photometric` rows, `gauss_newton.sum_rows_kernel` and ``step_kernel``;
                                      then the kernels of `evidence`
`descent.update_appearance_kernel`    the kernels of `evidence`, `photometric.update_exposure_kernel`,
                                      `contour_region.count_colours_kernel` and ``update_colours_kernel``
`judge.judge_kernel`                  `crop_window`, `raster` and `agreement`, and `judge_sums` on the host
====================================  ======================================================================

A change of one form is a change of both: tests hold them to the same numbers (``tests/pipeline/refine``).
"""

from storm_edge.kernels.device import Device


def is_preferred(device: Device) -> bool:
    """Whether fused launches are the quicker ones on this device: on a CPU, where threads run one after the other.

    The one place where that is decided; who makes buffers asks here once.
    """
    return bool(device.is_cpu)
