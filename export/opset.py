"""The ONNX version that every file has: the oldest that all supported engines read."""

OPSET = 18
IR_VERSION = 10
