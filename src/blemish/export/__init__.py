"""Exporting a trained model as one graph that runs without torch and gives the trained scores."""

from __future__ import annotations

from blemish.export.exporter import ExportReport, ParityError, default_path, export_model

__all__ = ["ExportReport", "ParityError", "default_path", "export_model"]
