"""Predicting with exported models: ONNX Runtime or OpenVINO, Pillow and NumPy; never torch."""

from __future__ import annotations

from blemish.runtime.exported import ExportedDetector, load

__all__ = ["ExportedDetector", "load"]
