"""Data sets on disk: each layout in its own file, recognised or asked for by name."""

from __future__ import annotations

from blemish.data.layouts.base import Layout
from blemish.data.layouts.mvtec_loco import DefectConfig, read_defects_config
from blemish.data.layouts.registry import LAYOUTS, read_data_set, recognise

__all__ = [
    "LAYOUTS",
    "DefectConfig",
    "Layout",
    "read_data_set",
    "read_defects_config",
    "recognise",
]
