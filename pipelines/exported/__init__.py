"""Motion models as ONNX graphs, and ONNX Runtime as what computes them."""
