"""Networks from and for others: ONNX, PyTorch, scikit-learn."""
