"""What estimators are written to and taken from: checkpoints, ONNX, scikit-learn."""
