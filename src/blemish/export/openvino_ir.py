"""An ONNX graph as OpenVINO's intermediate representation, in float32."""

from __future__ import annotations

import tempfile
from pathlib import Path

from blemish.errors import ConfigError, MissingExtraError


def intermediate_representation(graph: bytes) -> tuple[bytes, bytes]:
    """The two members ``model.xml`` and ``model.bin`` of an ONNX file.

    Raises:
        MissingExtraError: OpenVINO is not installed.
        ConfigError: OpenVINO does not know an operation of the graph.

    Example: see :func:`blemish.export.export_model`.
    """
    try:
        import openvino
    except ModuleNotFoundError as error:
        raise MissingExtraError("Exporting to OpenVINO's format", "openvino") from error
    with tempfile.TemporaryDirectory() as folder:
        try:
            # Not convert_model(), whose tool reports its use over the internet.
            model = openvino.Core().read_model(graph)
            # By itself it halves the precision of the weights.
            openvino.save_model(model, Path(folder) / "model.xml", compress_to_fp16=False)
        except RuntimeError as error:
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            raise ConfigError(
                f"OpenVINO cannot take this model: {lines[-1] if lines else error} "
                "Export it with --format onnx."
            ) from error
        return tuple((Path(folder) / name).read_bytes() for name in ("model.xml", "model.bin"))  # type: ignore[return-value]
