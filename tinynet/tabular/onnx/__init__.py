"""Estimators of tables written as ONNX files, with their encoders."""

from . import estimators as _estimators  # noqa: F401 - its rules for export_onnx
