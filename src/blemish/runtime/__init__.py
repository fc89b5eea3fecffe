"""Runtime: exported networks in ONNX Runtime and OpenVINO; never torch."""
