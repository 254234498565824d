"""Scripts that an export carries: each runs alone, with numpy, scipy and onnxruntime."""
