"""The manifest inside a bare ONNX file: written, read and replaced without the onnx package."""

from __future__ import annotations

from pathlib import Path

import onnx
import onnxruntime
import pytest

from blemish.errors import BundleError
from blemish.inspector import open_model
from blemish.model_file.bundle import _with_manifest, read_model
from blemish.model_file.onnx_file import split


@pytest.fixture
def bare(exported_file: Path, tmp_path: Path) -> Path:
    path = tmp_path / "part.onnx"
    open_model(exported_file).save(path)
    return path


def test_the_file_is_an_onnx_file_to_everybody_else(bare: Path) -> None:
    model = onnx.load(bare)
    onnx.checker.check_model(model, full_check=True)
    assert [entry.key for entry in model.metadata_props] == ["blemish"]
    meta = onnxruntime.InferenceSession(bare).get_modelmeta().custom_metadata_map
    assert meta["blemish"] == model.metadata_props[0].value


def test_the_manifest_is_taken_off_and_replaced(bare: Path) -> None:
    content, manifest = bare.read_bytes(), read_model(bare).manifest
    graph, text = split(content)
    assert content.startswith(graph)
    assert split(graph) == (graph, None)
    again, _ = _with_manifest(content, manifest.model_copy(update={"products": ("nut",)}))
    assert split(again)[0] == graph
    assert len(onnx.load_from_string(again).metadata_props) == 1
    assert text is not None
    assert text not in again


def test_metadata_of_others_is_kept(bare: Path) -> None:
    model = onnx.load(bare)
    entry = model.metadata_props.add()
    entry.key, entry.value = "owner", "line 4"
    graph, text = split(model.SerializeToString())
    assert text is not None
    assert [e.key for e in onnx.load_from_string(graph).metadata_props] == ["owner"]


def test_a_damaged_file_is_refused_and_never_half_believed(bare: Path) -> None:
    whole, wanted = bare.read_bytes(), read_model(bare)
    cuts = [0, 1, 2, 7, 100, len(whole) // 2, len(whole) - 5000, len(whole) - 1]
    for size in cuts:
        bare.write_bytes(whole[:size])
        with pytest.raises(BundleError, match=r"part\.onnx"):
            open_model(bare)
    step = len(whole) // 40
    for position in (*range(3, len(whole), step), len(whole) - 100):
        content = bytearray(whole)
        content[position] ^= 0x10
        bare.write_bytes(content)
        try:
            assert read_model(bare) == wanted, position
        except BundleError as error:
            assert "part.onnx" in str(error)  # noqa: PT017


def test_an_altered_graph_or_manifest_is_noticed(bare: Path) -> None:
    model = onnx.load(bare)
    model.graph.name = "other"
    bare.write_bytes(model.SerializeToString())
    with pytest.raises(BundleError, match=r"graph was altered.*export again"):
        open_model(bare)
    model = onnx.load(bare)
    model.metadata_props[0].value = model.metadata_props[0].value.replace('"rd"', '"hfr"')
    bare.write_bytes(model.SerializeToString())
    with pytest.raises(BundleError, match="manifest was altered"):
        open_model(bare)


def test_what_is_no_onnx_file_of_ours_is_named(tmp_path: Path, bare: Path) -> None:
    path = tmp_path / "foreign.onnx"
    path.write_bytes(split(bare.read_bytes())[0])
    with pytest.raises(BundleError, match=r"carries no blemish manifest.*blemish export"):
        open_model(path)
    path.write_bytes(b"\x89PNG\r\n\x1a\n not a graph at all")
    with pytest.raises(BundleError, match=r"foreign\.onnx"):
        open_model(path)
    with pytest.raises(BundleError, match="is a folder"):
        open_model(tmp_path.joinpath("folder.onnx").mkdir() or tmp_path / "folder.onnx")
