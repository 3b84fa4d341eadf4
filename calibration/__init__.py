"""Other precisions of a verified file: quantization, measured slack, precision table. No torch."""
