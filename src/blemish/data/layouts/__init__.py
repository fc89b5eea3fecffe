"""Data sets on disk: one file per family of layouts, recognised or asked for by name."""

from __future__ import annotations

from blemish.data.layouts.base import Layout
from blemish.data.layouts.registry import LAYOUTS, read_data_set, recognise
from blemish.data.layouts.roles import Folders
from blemish.data.layouts.trees import read_defects_config

__all__ = ["LAYOUTS", "Folders", "Layout", "read_data_set", "read_defects_config", "recognise"]
