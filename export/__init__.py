"""From a checkpoint to one verified ONNX file, and the verifier that reads only that file."""
