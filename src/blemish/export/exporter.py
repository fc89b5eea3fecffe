"""Export: the graph is built and compared with the trained model, and only then written."""

from __future__ import annotations

import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from blemish._files import writable_target
from blemish._progress import Important, Progress
from blemish.data.good_images import good_images
from blemish.data.sample import Sample
from blemish.detector import Detector
from blemish.errors import BlemishError, ConfigError
from blemish.export.any_size import check_any_size, with_any_size
from blemish.export.graph import intermediate_representation, onnx_graph
from blemish.export.images import compared_samples
from blemish.export.parity import (
    LARGEST_BY_LETTERBOX,
    OWN_SIZE_IMAGES,
    Parity,
    compare,
    own_size_difference,
)
from blemish.inspection.learned_images import not_learned
from blemish.inspector import ExportedDetector
from blemish.model_file.bundle import GRAPH, ExportEntry, read_bundle, read_model, write_exported
from blemish.model_file.versions import installed
from blemish.runtime.networks import IR

Format = Literal["onnx", "openvino"]
_RECORDED = ("blemish", "torch", "onnx", "onnxscript", "onnxruntime", "openvino")


class ParityError(BlemishError):
    """The exported model is not the trained one; nothing was written."""


@dataclass(frozen=True)
class ExportReport:
    """What was written.

    Attributes:
        path: The file.
        entry: What its manifest says of the graph.
        parity: The comparison with the trained model.
        notes: What the user should know, one sentence each.
    """

    path: Path
    entry: ExportEntry
    parity: Parity
    notes: tuple[str, ...]


def default_path(model: str | Path, format: str, *, int8: bool = False) -> Path:
    """Where an export goes unless told otherwise: beside the model."""
    path = Path(model)
    return path.with_name(f"{path.stem}-{format}{'-int8' if int8 else ''}.blemish")


def export_model(
    model: str | Path,
    out: str | Path | None = None,
    *,
    format: Format = "onnx",
    int8: bool = False,
    any_size: bool = False,
    images: str | Path | None = None,
    progress: Progress | None = None,
) -> ExportReport:
    """Export a trained model file as one graph that runs without torch.

    The file is written only if the exported model judges the comparison's images as the trained
    one does; see :class:`blemish.export.parity.Parity`.

    Args:
        model: A model file that ``blemish fit`` wrote.
        out: Where to write: ``.onnx`` gives the bare graph, with the manifest inside it; anything
            else a model file. ``None``: beside the model.
        format: ``onnx``, or ``openvino`` for its intermediate representation.
        int8: Quantise weights and activations to eight bits. Needs ``images``.
        any_size: The graph takes pictures of any size and letterboxes them itself.
        images: Good images, best those of the calibration, on which both models are compared;
            with ``int8`` they also set the ranges and, since scores shift, the limits. ``None``:
            synthetic pictures.
        progress: Where progress is shown.

    Raises:
        ParityError: The exported model differs by more than is accepted.
        ConfigError: An unknown format, a target that cannot be written or is the model itself, or
            a method that cannot be exported.
        BundleError: ``model`` is not a trained model.
        MissingExtraError: Packages of the extra ``export`` or ``openvino`` are not installed.
    """
    if format not in ("onnx", "openvino"):
        raise ConfigError(f"format={format!r}: expected onnx or openvino.")
    model = Path(model)
    out = writable_target(out or default_path(model, format, int8=int8))
    if model.exists() and out == model.resolve():
        raise ConfigError(f"{out} is the trained model itself. Give another name with -o.")
    if out.suffix.lower() == ".onnx" and format != "onnx":
        raise ConfigError(f"{out}: a model in OpenVINO's format needs a name in .blemish.")
    if int8 and images is None:
        raise ConfigError(
            "int8 needs good images, which set the ranges and the limits. Give --images GOOD_DIR."
        )
    progress = progress or Progress(quiet=True)
    detector = Detector.from_bundle(model, read_bundle(model))
    assert detector.method is not None
    if any_size:
        check_any_size(detector.ready()[1])
    good: list[Sample] = []
    said: list[str] = []
    if images is not None:
        folders = detector.training.get("product_folders", {})
        good, said = good_images(images, detector.products, folders=folders)
    samples, source = compared_samples(good, detector.ready()[1])

    with progress.task("Building the graph"):
        graph = onnx_graph(detector.method)
    if int8:
        from blemish.export.quantise import quantise

        with progress.task("Quantising"):
            graph = quantise(graph, detector.ready()[1], good)
    if any_size:
        graph = with_any_size(graph, detector.ready()[1])
    files = {GRAPH: graph}
    if format == "openvino":
        files = dict(zip(IR, intermediate_representation(graph), strict=True))
    manifest = detector.manifest
    assert manifest is not None  # it was read from a file
    entry = ExportEntry(
        format=format,
        precision="int8" if int8 else "float32",
        source_digest=manifest.digest,
        branches=detector.branch_names,
        versions=installed(_RECORDED),
    )
    manifest = manifest.model_copy(update={"kind": "exported", "export": entry})
    notes: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        # As users will meet it: written, read, checked and run.
        trial = Path(folder) / f"trial{out.suffix if out.suffix.lower() == '.onnx' else '.blemish'}"
        write_exported(trial, manifest, files)
        exported = ExportedDetector(trial, read_model(trial))
        # Drawn pictures are unlike the learned ones; that both models say so is of no interest.
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Its colours are those of the good")
            parity = compare(detector, exported, samples, source=source, progress=progress)
            own = own_size_difference(exported, samples) if any_size else None
        problems = parity.problems(entry.precision)
        found = parity.to_json()
        if own is not None:
            found["own_size"] = own
            said = [*said, _letterbox_line(own, min(OWN_SIZE_IMAGES, len(samples)))]
            if not own <= LARGEST_BY_LETTERBOX:
                problems.append(
                    f"Of pictures at their own size the score differs by {own:.3g} relative; at "
                    f"most {LARGEST_BY_LETTERBOX:g} is accepted."
                )
        if problems:
            raise ParityError(
                f"The exported model is not the trained one; nothing was written. "
                f"{' '.join(problems)} Compared on {source}."
            )
        if int8 and detector.calibration is not None:
            notes += _recalibrate(exported, detector, good, progress)
    calibration = exported.calibration
    entry = entry.model_copy(update={"parity": found, "recalibrated": bool(notes)})
    manifest = manifest.model_copy(
        update={
            "export": entry,
            "calibration": None if calibration is None else calibration.to_json(),
        }
    )
    write_exported(out, manifest, files)
    return ExportReport(out, entry, parity, (*said, *notes))


def _letterbox_line(difference: float, images: int) -> str:
    return (
        f"The graph takes pictures of any size. It letterboxed {images} at their own size: their "
        f"scores differ from those of `blemish predict` by up to {difference:.2g} relative. Others "
        "may differ by a few times that."
    )


def _recalibrate(
    exported: ExportedDetector, detector: Detector, good: list[Sample], progress: Progress
) -> list[str]:
    """Limits from the exported model's own scores of the good images, at the same rates."""
    before = detector.calibration
    assert before is not None
    skipped: list[Path] = []
    method = detector.method
    # Images that a method has learned from keep the scores that the others gave them: measured
    # again, they would make limits that are far too tight.
    keeps = method is not None and method.cross_fits
    if not keeps:
        exported.forget_limits()
    unseen, trained = not_learned(good, detector.training, exported.calibration)
    exported.calibrate(
        unseen,
        false_alarm_rate=before.false_alarm_rate,
        unsure_rate=before.unsure_rate,
        progress=progress,
        on_error=lambda path, error: skipped.append(path),
    )
    after = exported.calibration
    assert after is not None
    notes = [
        f"The limits are new: from the int8 model's scores of {after.n} of the images given. They "
        "hold only if these are good."
    ]
    if keeps:
        notes[0] += " Images that calibrated the model before keep the scores they had."
    if skipped:
        notes.append(f"{len(skipped)} of the images could not be read and are left out.")
    lost = set(before.products) - set(after.products)
    if lost:
        notes.append(
            f"No image says it shows {', '.join(sorted(lost))}: limits are no longer its own. Sort "
            "the images into folders named as the products to keep limits by product."
        )
    if after.n < before.n:
        by = ", each measured by the others" if keeps else ""
        notes.insert(
            0,
            Important(
                f"The limits rest on {after.n} good images; those of the trained model rest on "
                f"{before.n}{by}. Give all of them with --images for limits that hold as well."
            ),
        )
    return [*trained, *notes, *after.notes(learned=keeps)]
