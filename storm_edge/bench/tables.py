"""A record and a comparison as tables and sentences for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from storm_edge.bench.compare import Comparison, Verdict
from storm_edge.bench.player import END_TO_END, OTHER, UPLOAD, WAIT
from storm_edge.replay.summary import describe_tracker

if TYPE_CHECKING:
    from rich.table import Table


def bench_table(record: Mapping[str, Any]) -> Table:
    """A row per phase and stage, the whole way last."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    rate = "as fast as it can" if record["rate_hz"] is None else f"at {record['rate_hz']:g} Hz"
    size = "x".join(map(str, reversed(record["recording"]["size_px"])))
    title = f"storm-edge bench {record['mode']}, {rate}: bundle {record['bundle']['name']}, {size}, "
    caption = "jitter: mean change between samples; begin, end: p50 of the first, last tenth"
    table = Table(
        title=title + record["device"]["kind"],
        caption=caption,
        title_justify="left",
        caption_justify="left",
        show_edge=False,
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    table.add_column("stage [ms]", overflow="fold")
    for heading in ("samples", "p50", "p90", "p99", "max", "jitter", "begin", "end"):
        table.add_column(heading, justify="right", no_wrap=True)
    for phase in record["phases"]:
        if len(record["phases"]) > 1:
            table.add_row(f"{phase['name']}:")
        for stage, s in _ordered(phase["stages"]):
            numbers = [f"{s[key]:.2f}" for key in ("p50", "p90", "p99", "max", "jitter", "first_p50", "last_p50")]
            style = "bold" if stage == END_TO_END else None
            table.add_row(stage, str(s["count"]), *numbers, style=style)
    return table


def bench_sentences(record: Mapping[str, Any]) -> list[str]:
    """What the table does not say, a line each."""
    lines = []
    for phase in record["phases"]:
        if phase["late_count"] is not None:
            late = f"{phase['late_count']} of {phase['frame_count']} poses came after the next frame was due"
            lines.append(f"{phase['name']}: {late}; {phase['skipped_count']} frames were skipped")
        warm = phase["warm_up"]
        if warm:
            lines.append(
                f"{phase['name']}: warm-up p50 {warm['p50']:.2f} ms, max {warm['max']:.2f} ms, not counted above"
            )
    if len(record["phases"]) == 2:
        first, second = (phase["stages"][END_TO_END]["p99"] for phase in record["phases"])
        lines.append(
            f"p99 {record['phases'][1]['name']} is {second / first:.2f} times p99 {record['phases'][0]['name']}"
        )
    if record["counts"]:
        lines.append(", ".join(f"{what}: {count}" for what, count in record["counts"].items()))
    memory, checked = record["memory"], record["checked"]
    if memory["host_end_mib"] is not None:
        peak = "" if memory["host_peak_mib"] is None else f", at most {memory['host_peak_mib']:.0f}"
        begin, end = memory["host_begin_mib"], memory["host_end_mib"]
        line = f"host memory {begin:.0f} MiB after warm-up, {end:.0f} at the end{peak}"
        if memory["device_used_mib"] is not None:
            line += f"; device {memory['device_used_mib']:.0f} of {memory['device_total_mib']:.0f} MiB in use"
        lines.append(line)
    right = "" if checked["right_share"] is None else f", {checked['right_share']:.0%} of them right"
    lines.append(f"checked: followed in {checked['followed_share']:.0%} of the frames{right} ({checked['against']})")
    if record["tracker"]:
        lines.append(describe_tracker(record["tracker"]))
    profile = record["profile"]
    if profile is not None:
        kept = {True: "kept", False: "EXCEEDED", None: "not known"}[profile["within_memory"]]
        line = f"profile {profile['machine']}: memory budget of {profile['memory_mib']} MiB {kept}"
        if profile["estimated_network_ms"] is not None:
            line += f"; networks estimated at {profile['estimated_network_ms']:.1f} ms a frame (docs/budgets.md)"
        lines.append(line)
    mode = record["board"]["after"]["power_mode"]
    if mode is not None:
        lines.append(f"board: {record['board']['after']['model']}, power mode {mode}")
    return lines


def comparison_table(comparison: Comparison) -> Table:
    """A row per percentile; what changed stands out."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    title = "storm-edge bench compare, times in ms"
    table = Table(title=title, title_justify="left", show_edge=False, box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in ("", "stage", ""):
        table.add_column(heading)
    for heading in ("first", "second", "change", "99 % interval"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("")
    styles = {Verdict.SLOWER: "bold red", Verdict.FASTER: "bold green", Verdict.TOO_FEW: "dim"}
    last = ("", "")
    for c in comparison.changes:
        here = (c.phase, c.stage)
        phase, stage = "" if here[0] == last[0] else c.phase, "" if here == last else c.stage
        last = here
        share = f"{(c.after_ms / c.before_ms - 1.0):+.1%}" if c.before_ms > 0.0 else "-"
        low, high = c.interval_ms
        cells = [f"{c.before_ms:.2f}", f"{c.after_ms:.2f}", share, f"{low:+.2f} to {high:+.2f}", c.verdict.value]
        table.add_row(phase, stage, f"p{c.percentile}", *cells, style=styles.get(c.verdict))
    return table


def _ordered(stages: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """In the order a frame goes through them."""
    place = {WAIT: -2, UPLOAD: -1, OTHER: 1, END_TO_END: 2}
    return sorted(stages.items(), key=lambda item: place.get(item[0], 0))
