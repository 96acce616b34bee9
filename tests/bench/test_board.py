"""A made-up sysfs of an Orin, laid out as L4T has it."""

from __future__ import annotations

from pathlib import Path

from storm_edge.bench.board import events_between, read_board

CPU = "sys/devices/system/cpu"
GPU = "sys/class/devfreq/17000000.gpu"
THERMAL = "sys/class/thermal"
HWMON = "sys/class/hwmon"

ORIN = {
    "proc/device-tree/model": "NVIDIA Jetson Orin NX Engineering Reference Developer Kit\0",
    "etc/nv_tegra_release": "# R36 (release), REVISION: 4.4, GCID: 1, BOARD: generic\n# more\n",
    "var/lib/nvpmodel/status": "pmode:0002\n",
    "etc/nvpmodel.conf": "< POWER_MODEL ID=0 NAME=MAXN_SUPER >\nCPU_ONLINE CORE_0 1\n< POWER_MODEL ID=2 NAME=15W >\n",
    f"{CPU}/cpu0/cpufreq/scaling_cur_freq": "729600\n",
    f"{CPU}/cpu0/cpufreq/scaling_max_freq": "1497600\n",
    f"{CPU}/cpu0/cpufreq/scaling_governor": "schedutil\n",
    f"{CPU}/cpu10/cpufreq/scaling_cur_freq": "1497600\n",
    f"{CPU}/cpufreq/nothing": "",
    f"{GPU}/cur_freq": "612000000\n",
    f"{GPU}/max_freq": "918000000\n",
    f"{GPU}/governor": "nvhost_podgov\n",
    "sys/class/devfreq/15480000.nvenc/cur_freq": "1\n",
    f"{THERMAL}/thermal_zone0/type": "cpu-thermal\n",
    f"{THERMAL}/thermal_zone0/temp": "51125\n",
    f"{THERMAL}/thermal_zone1/type": "cv0-thermal\n",  # off: its temp cannot be read
    f"{THERMAL}/cooling_device0/type": "pwm-fan\n",
    f"{THERMAL}/cooling_device0/cur_state": "3\n",
    f"{THERMAL}/cooling_device1/type": "gpu-throttle-alert\n",
    f"{THERMAL}/cooling_device1/cur_state": "1\n",
    f"{THERMAL}/cooling_device1/stats/total_trans": "4\n",
    f"{HWMON}/hwmon1/name": "ina3221\n",
    f"{HWMON}/hwmon1/in1_label": "VDD_IN\n",
    f"{HWMON}/hwmon1/in1_input": "5000\n",
    f"{HWMON}/hwmon1/curr1_input": "1500\n",
    f"{HWMON}/hwmon1/in2_label": "VDD_CPU_GPU_CV\n",
    f"{HWMON}/hwmon1/in2_input": "5000\n",
    f"{HWMON}/hwmon1/curr2_input": "no number\n",
    f"{HWMON}/hwmon1/in7_label": "sum of shunt voltages\n",
    f"{HWMON}/hwmon3/name": "soctherm_oc\n",
    f"{HWMON}/hwmon3/oc1_event_cnt": "0\n",
    f"{HWMON}/hwmon3/oc3_event_cnt": "37\n",
}


def plant(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_an_orin_is_read(tmp_path: Path) -> None:
    board = read_board(plant(tmp_path, ORIN))
    assert board.is_jetson
    assert board.model == "NVIDIA Jetson Orin NX Engineering Reference Developer Kit"
    assert board.release == "# R36 (release), REVISION: 4.4, GCID: 1, BOARD: generic"
    assert board.power_mode == "15W"
    assert board.clocks is not None
    assert list(board.clocks) == ["cpu0", "cpu10", "17000000.gpu"]
    cpu, gpu = board.clocks["cpu0"], board.clocks["17000000.gpu"]
    assert (cpu.now_mhz, cpu.limit_mhz, cpu.governor) == (729.6, 1497.6, "schedutil")
    assert (gpu.now_mhz, gpu.limit_mhz, gpu.governor) == (612.0, 918.0, "nvhost_podgov")
    assert board.clocks["cpu10"].limit_mhz is None
    assert board.temperatures_c == {"cpu-thermal": 51.125, "cv0-thermal": None}
    assert board.throttles == {"gpu-throttle-alert": 1}
    assert board.throttle_events == {"gpu-throttle-alert": 4}
    assert board.over_current_events == {"oc1": 0, "oc3": 37}
    assert board.power_mw == {"VDD_IN": 7500.0, "VDD_CPU_GPU_CV": None}


def test_what_is_absent_is_none_and_never_invented(tmp_path: Path) -> None:
    board = read_board(tmp_path)
    assert set(vars(board).values()) == {None}
    assert not board.is_jetson


def test_a_mode_that_nobody_describes_keeps_its_number(tmp_path: Path) -> None:
    plant(tmp_path, {"var/lib/nvpmodel/status": "pmode:0008\n"})
    assert read_board(tmp_path).power_mode == "8"
    plant(tmp_path, {"var/lib/nvpmodel/status": "garbage\n"})
    assert read_board(tmp_path).power_mode is None


def test_events_are_counted_over_a_run(tmp_path: Path) -> None:
    before = read_board(plant(tmp_path, ORIN))
    plant(tmp_path, {f"{HWMON}/hwmon3/oc3_event_cnt": "40\n", f"{HWMON}/hwmon3/oc1_event_cnt": "\n"})
    after = read_board(tmp_path)
    assert events_between(before.over_current_events, after.over_current_events) == {"oc1": None, "oc3": 3}
    assert events_between(None, after.over_current_events) is None
