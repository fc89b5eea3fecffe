"""Numbers of a training: in the CSV always, in TensorBoard and MLflow where asked."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import lightning.pytorch as lightning
import numpy as np
import pytest
from numpy.typing import NDArray

from blemish import Detector, TrainingOptions
from blemish._progress import Progress
from blemish.data.sample import Sample
from blemish.errors import CalibrationError, ConfigError
from blemish.evaluation.evaluator import Evaluation, Evaluator
from blemish.results import Prediction

SHORT = {"steps": 4, "batch_size": 4}
EXPECTED = {
    "distill/total",
    "distill/learning_rate_0",
    "distill/pictures_per_second",
    "final/calibration_images",
    "final/training_images",
    "final/seconds",
}


def fit(good: NDArray[np.uint8], folder: Path, *, callbacks: Any = (), **options: Any) -> Detector:
    detector = Detector("rd", image_size=64, teacher_weights="random", settings=SHORT)
    training = TrainingOptions(device="cpu", work_dir=folder, **options)
    return detector.fit(good, training=training, callbacks=callbacks, progress=Progress(quiet=True))


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "training.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_file_has_losses_rates_throughput_limits_and_the_end(
    good_parts: NDArray[np.uint8], tmp_path: Path
) -> None:
    detector = fit(good_parts, tmp_path)
    found = rows(tmp_path)
    assert {row["name"] for row in found} >= EXPECTED
    losses = [(int(r["step"]), float(r["value"])) for r in found if r["name"] == "distill/total"]
    assert losses == [
        (step, pytest.approx(values["total"]))
        for step, values in detector.fit_report.training.losses["distill"]
    ]
    assert detector.calibration is not None
    product = detector.products[0]
    limit = [r["value"] for r in found if r["name"] == f"calibration/{product}/defect"]
    limits = detector.calibration.limits(product)
    assert float(limit[0]) == pytest.approx(limits.defect)
    rate = [r["value"] for r in found if r["name"] == f"calibration/{product}/defect_rate"]
    assert float(rate[0]) == pytest.approx(limits.defect_rate)


def measured() -> Evaluation:
    """Of a product with a name that MLflow refuses: three of four pairs in order, one tied."""
    evaluator = Evaluator()
    for label, score in ((0, 0.1), (0, 0.4), (1, 0.4), (1, 0.7)):
        sample = Sample(Path("x.png"), "nut (1)", "test", label)
        evaluator.add(sample, Prediction(None, "nut (1)", score, np.zeros((4, 4), "f4")))
    return evaluator.compute()


def test_what_is_measured_after_the_training_joins_its_numbers(
    good_parts: NDArray[np.uint8], tmp_path: Path
) -> None:
    fit(good_parts, tmp_path).fit_report.log.measured(measured())
    found = {row["name"]: float(row["value"]) for row in rows(tmp_path)}
    assert found["metrics/nut (1)/image_auroc"] == found["final/image_auroc"] == 0.875
    assert "final/pixel_auroc" not in found  # there are no masks, and a gap is no number
    assert "distill/total" in found


def test_a_logger_that_fails_under_way_costs_its_curves_alone(
    good_parts: NDArray[np.uint8], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Gone:
        def log_metrics(self, values: object, step: int) -> None:
            raise OSError("the server has gone")

    monkeypatch.setattr("blemish.training.log._opened", lambda *_: Gone())
    monkeypatch.setattr("blemish.training.options.check_logger", lambda asked: None)
    with pytest.warns(UserWarning, match="Gone takes no numbers: the server has gone"):
        detector = fit(good_parts, tmp_path, loggers=("mlflow:http://x",))
    assert detector.calibration is not None
    assert {row["name"] for row in rows(tmp_path)} >= EXPECTED


def test_a_resumed_training_has_every_step_once(
    good_parts: NDArray[np.uint8], tmp_path: Path
) -> None:
    class Stops(lightning.Callback):
        def on_train_batch_start(self, trainer: Any, *_: Any) -> None:
            if trainer.global_step == 2:
                raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        fit(good_parts, tmp_path, callbacks=[Stops()], checkpoint_seconds=0)
    with (tmp_path / "training.csv").open("a") as file:
        file.write("9.0,distill/total,4,1.0\n")  # a step after the last checkpoint
    fit(good_parts, tmp_path, resume=True)
    steps = [int(row["step"]) for row in rows(tmp_path) if row["name"] == "distill/total"]
    assert steps == [1, 2, 3, 4]


def test_tensorboard(good_parts: NDArray[np.uint8], tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    asked = f"tensorboard:{tmp_path / 'runs'}"
    detector = fit(good_parts, tmp_path / "work", loggers=(asked,), run_name="nut/1 · rd")
    detector.fit_report.log.measured(measured())  # after the training has ended: the same run
    assert [p.name for p in (tmp_path / "runs").iterdir()] == ["nut_1 _ rd"]
    (folder,) = {events.parent for events in (tmp_path / "runs").rglob("events.out*")}
    read = EventAccumulator(str(folder))
    read.Reload()
    assert read.Tags()["scalars"]
    assert len(read.Scalars("distill/total")) == 4
    assert read.Scalars("final/training_images")[0].value > 0
    assert read.Scalars("final/image_auroc")[0].value == pytest.approx(0.875)


def test_mlflow(
    good_parts: NDArray[np.uint8], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mlflow")
    from mlflow.tracking import MlflowClient

    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    uri = (tmp_path / "mlruns").as_uri()
    detector = fit(good_parts, tmp_path / "work", loggers=(f"mlflow:{uri}",), run_name="nut")
    detector.fit_report.log.measured(measured())
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("blemish")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "nut"
    assert len(client.get_metric_history(run.info.run_id, "distill/total")) == 4
    assert run.data.metrics["metrics/nut _1_/image_auroc"] == pytest.approx(0.875)
    assert run.data.metrics["final/image_auroc"] == pytest.approx(0.875)


def test_what_cannot_be_written_to_is_said_before_any_work(
    good_parts: NDArray[np.uint8], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.delenv("MLFLOW_ALLOW_FILE_STORE", raising=False)
    (tmp_path / "taken").write_text("")
    for asked in (f"mlflow:{tmp_path / 'mlruns'}", f"tensorboard:{tmp_path / 'taken'}"):
        with pytest.raises(ConfigError, match=f"Logging to {asked} is not possible: "):
            fit(good_parts, tmp_path / "work", loggers=(asked,))
        assert not (tmp_path / "work").exists()


def test_where_no_limits_are_found_the_run_ends_as_failed(
    good_parts: NDArray[np.uint8], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[str] = []

    class Logger:
        def log_metrics(self, values: object, step: int) -> None:
            assert not ended

        def finalize(self, status: str) -> None:
            ended.append(status)

    def fails(*_: object, **__: object) -> None:
        raise CalibrationError("no limits")

    monkeypatch.setattr("blemish.training.log._opened", lambda *_: Logger())
    monkeypatch.setattr("blemish.training.options.check_logger", lambda asked: None)
    monkeypatch.setattr("blemish.detector.Detector.calibrate", fails)
    with pytest.raises(CalibrationError, match="no limits"):
        fit(good_parts, tmp_path, loggers=("tensorboard:runs",))
    assert ended == ["failed"]


def test_callbacks_are_called_in_every_step(good_parts: NDArray[np.uint8], tmp_path: Path) -> None:
    seen: list[int] = []

    class Counts(lightning.Callback):
        def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
            seen.append(trainer.global_step)

    fit(good_parts, tmp_path, callbacks=[Counts()])
    assert seen == [1, 2, 3, 4]


@pytest.mark.parametrize("asked", ["wandb:x", "tensorboard", "mlflow:"])
def test_a_logger_that_is_none_is_refused(asked: str) -> None:
    with pytest.raises(ConfigError, match=r"tensorboard:DIR or mlflow:URI"):
        TrainingOptions(loggers=(asked,))
