"""Independent check of a model file: reads the ONNX file alone, with onnx and NumPy."""
