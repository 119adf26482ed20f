"""Facts about diagnostics, the machine and the resources."""

import sys
from pathlib import Path

import pytest

from seirenes_app.services.diagnostics import describe, record_error, shorten_home
from seirenes_app.services.formatting import megabytes
from seirenes_app.services.machine import parse_gpus, read_machine
from seirenes_app.store.resources import icon_path, presets_folder, resources_root
from training.errors import UserError


def test_home_folders_are_shortened_whosever_they_are():
    text = f"{Path.home()}/runs /home/somebody/x /Users/other/y C:\\Users\\third\\z"
    shortened = shorten_home(text)
    for name in ("somebody", "other", "third"):
        assert name not in shortened
    assert shortened.startswith("~/runs")


def test_diagnostics_name_versions_machine_paths_and_the_last_error(tmp_path):
    try:
        raise ValueError("a fault to report")
    except ValueError:
        record_error(*sys.exc_info())
    text = describe(read_machine(tmp_path), {"runs": tmp_path})
    for part in ("Python", "Memory", "PySide6-Essentials", str(tmp_path), "a fault to report"):
        assert part in text


def test_gpu_lines_are_read_and_strange_ones_kept():
    assert parse_gpus("NVIDIA A100-SXM4-40GB, 40960\n\nstrange line\n") == (
        "NVIDIA A100-SXM4-40GB, 40 GB",
        "strange line",
    )
    assert parse_gpus("") == ()


def test_sizes_are_short():
    assert [megabytes(m) for m in (740, 7782, 31_744)] == ["740 MB", "7.6 GB", "31 GB"]


def test_resources_are_found_in_the_checkout_and_by_the_environment(tmp_path, monkeypatch):
    assert icon_path("seirenes").is_file()
    assert presets_folder().is_dir()
    monkeypatch.setenv("SEIRENES_RESOURCES", str(tmp_path / "missing"))
    with pytest.raises(UserError, match="SEIRENES_RESOURCES"):
        resources_root()
