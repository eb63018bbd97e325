"""Networks and estimators written as ONNX files, for inference elsewhere. Needs onnx: pip install 'tinynet[onnx]'."""

from .export import export_onnx

__all__ = ["export_onnx"]
