"""Training of any system: from a data set to a trained method, stage by stage through Lightning.

Every step draws its random numbers from (seed, stage, step) and its images from (seed, stage), so
the same seed gives the same weights, and a resumed training those of an uninterrupted one.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from blemish._progress import Important, Progress
from blemish.data.images.preprocess import Preprocessing
from blemish.data.images.roi import RegionOfInterest
from blemish.data.known_products import product_folders
from blemish.data.sample import DataSet, Sample, check_share
from blemish.data.sources import good_training_samples
from blemish.errors import ConfigError, DataError, TrainingInterruptedError
from blemish.evaluation.learned_defects import identities
from blemish.inspection.learned_images import packed
from blemish.inspection.learned_pictures import LearnedPictures
from blemish.methods.base import Method
from blemish.methods.input_choice import InputChoice
from blemish.methods.settings import MethodConfig
from blemish.methods.speeds import Speed
from blemish.teachers.teacher import Teacher, Weights, build_teacher
from blemish.training.batches import CachedBatches, TrainingBatches, training_batches
from blemish.training.devices import resolve_precision
from blemish.training.distributed import Processes, ShareDone
from blemish.training.first_look import first_look
from blemish.training.fit_report import FitReport
from blemish.training.framing import Aligned, CropTo, framed
from blemish.training.label_check import suspects_among, suspects_note
from blemish.training.log import TrainingLog
from blemish.training.method_network import MethodNetwork, ready_torch
from blemish.training.options import TrainingOptions
from blemish.training.out_of_fold import out_of_fold_records, out_of_fold_units
from blemish.training.plan import announce_plan
from blemish.training.sides import sides
from blemish.training.tile_sample import choose_tiles
from blemish.training.training_report import TrainingReport
from blemish.training.training_state import training_state, write_state
from blemish.training.two_looks import check_enough, has_two_looks, units_by_judging, with_units

#: Said when no limits could be set because there was nothing to set them from.
NOT_CALIBRATED = Important(
    "Not calibrated, so no verdicts: no readable good image could be set aside. Run "
    "`blemish calibrate` with good images that training has not seen."
)
_UNREAD = "{}: no image could be read, the model does not know it."
_STATISTICS = 16  # images that the closed-form parts see at a time


def learn(
    data_set: DataSet,
    defects: Sequence[Sample],
    config: MethodConfig,
    *,
    build: type[Method],
    teacher: str | Teacher,
    teacher_weights: Weights,
    choice: InputChoice,
    speed: Speed,
    bit_depth: int,
    hold_out_share: float | None,
    group: str,
    options: TrainingOptions,
    progress: Progress,
    roi: RegionOfInterest | None = None,
    align: Aligned = False,
    crop_to: CropTo = None,
    log: TrainingLog | None = None,
) -> tuple[Method, Preprocessing, list[Sample], FitReport]:
    """Train a method on the good training images of a data set, and on labelled defects.

    Returns:
        The method, not calibrated; its preprocessing; the good samples it has not seen, which are
        the good validation images or a share of the training images, none where the share is
        ``None`` and the method measures its training images out of fold; and the report.

    Raises:
        DataError: No good images, or too few, or a good image among the defects.
        TrainingInterruptedError: After Ctrl-C.
    """
    if hold_out_share is not None:
        check_share(hold_out_share)
    failures: list[tuple[Path, str]] = []
    good, sizes = good_training_samples(data_set, failures)
    config = config.settled(sizes)
    view, told = framed(roi, align, crop_to, good, sizes, bit_depth=bit_depth, progress=progress)
    frames = [view.frame(size) for size in sizes]
    chosen = choice.preprocessing(speed, config, frames, bit_depth)
    preprocessing = replace(chosen, roi=view.roi, alignment=view.alignment, crop=view.crop)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        frozen = build_teacher(teacher, weights=teacher_weights)
    # Where not all tiles train, no picture can be measured whole by the others.
    cross_fits = build.cross_fits and choose_tiles(good, preprocessing, seed=options.seed).whole
    split = sides(
        good,
        [s for s in data_set.split("validation").samples if s.is_good],
        defects,
        group=group,
        share=hold_out_share,
        cross_fits=cross_fits,
        seed=options.seed,
        progress=progress,
        bit_depth=bit_depth,
    )
    kept, defects = split.kept, split.defects
    if has_two_looks(preprocessing) and not cross_fits:
        check_enough(len(split.held))  # before the training, not after it
    odd = first_look([*kept, *split.held], data_set, bit_depth=bit_depth)
    seen = [*data_set.problems, *told, *split.notes, *odd]
    progress.say(seen)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        method = build(config, frozen, preprocessing.size)
        training = train(
            method,
            [*kept, *defects],
            preprocessing,
            options,
            set_aside=split.held,
            progress=progress,
            log=log,
        )
    if has_two_looks(preprocessing):
        network = MethodNetwork(method, small_passes=True)
        # What has trained is known by heart: in its units every new picture would be odd.
        units = training.units or units_by_judging(network, preprocessing, split.held, progress)
        preprocessing = with_units(preprocessing, units)
        if training.units is None:
            training.out_of_fold = []  # measured in no unit
    if hold_out_share is not None:
        training.out_of_fold = []  # those set aside calibrate alone
    broken = {path for path, _ in training.failures}
    learned = [sample for sample in defects if sample.path not in broken]
    unread = len(defects) - len(learned)
    unknown = sorted({sample.product for sample in kept} - set(method.products))
    report = FitReport(
        training_images=len(kept) - len(training.failures) + unread,
        calibration_images=0,
        products=method.products,
        layout=data_set.layout,
        failures=(*failures, *training.failures),
        notes=(
            *seen,
            *map(Important, (_UNREAD.format(name) for name in unknown)),
            *choice.notes(preprocessing, frames),
            *training.notes,
            *Processes.of(options).notes(method),
            *suspects_note(training.suspects, [*kept, *split.held]),
        ),
        seconds=training.seconds,
        training=training,
        log=log or TrainingLog(),
        labelled_defects=len(learned),
        labelled_images=identities(learned),
        learned_images=packed(d for path, d in split.learned.items() if path not in broken),
        input_images=(min(sizes), max(sizes)),
        pictures=LearnedPictures.of(good, sizes, bit_depth=bit_depth),
        groups=split.groups,
        product_folders=product_folders(good),
    )
    return method, preprocessing, split.held, report


def train(
    method: Method,
    samples: Sequence[Sample],
    preprocessing: Preprocessing,
    options: TrainingOptions,
    *,
    set_aside: Sequence[Sample] = (),
    progress: Progress | None = None,
    log: TrainingLog | None = None,
) -> TrainingReport:
    """Train all stages of a freshly built method and fit its statistics, in place.

    ``label`` 1 marks the few labelled anomalies among the samples; the good ones that are
    ``set_aside`` are looked at for wrong labels alone.

    Raises:
        TrainingInterruptedError: After Ctrl-C, once the checkpoint is safely written.
        ConfigError: ``work_dir`` holds a checkpoint of another training, or the device is not
            there.
        DataError: Fewer than two readable images.
    """
    progress, log = progress or Progress(), log or TrainingLog()
    for name, folder in (("work_dir", options.work_dir), ("cache_dir", options.cache_dir)):
        if folder is not None and Path(folder).is_file():
            raise ConfigError(f"{name} is {folder}, a file; expected a folder, there or not.")
    processes = Processes.of(options)
    if method.stages():
        processes.check_shares(type(method).__name__, method)
        processes.meet()
    elif processes.steps_only and not processes.first:
        raise ShareDone  # there is no step to share, and nothing that the processes agree upon

    def train_in(work_dir: Path, own: Processes) -> TrainingReport:
        with own.together(work_dir):
            given = (method, samples, preprocessing, options, set_aside)
            return _train_in(work_dir, *given, progress, log, own)

    def train_as(own: Processes) -> TrainingReport:
        if options.work_dir is not None:
            return train_in(Path(options.work_dir), own)
        with tempfile.TemporaryDirectory() as folder:
            try:
                return train_in(own.of_node(Path(folder)), own)
            except TrainingInterruptedError as error:
                said = str(error).partition(" The checkpoint")[0]
                if error.exit_code == TrainingInterruptedError.exit_code:  # stopped by the user
                    said += (
                        " Nothing of it is kept. To be able to go on, train with "
                        "TrainingOptions(work_dir=…) and then resume=True."
                    )
                plain = TrainingInterruptedError(said)
                plain.exit_code = error.exit_code
                raise plain from None

    if method.stages() or not processes.wait_for_the_first:
        return train_as(processes)
    processes.meet()
    with processes.together(Path(options.work_dir or "")):
        return _by_the_first(method, processes, lambda: train_as(Processes()), options.device)


def _by_the_first(
    method: Method, processes: Processes, train: Callable[[], TrainingReport], device: str
) -> TrainingReport:
    """Where no step can be shared the first does all; the others have what a file would hold."""

    def trained() -> tuple[TrainingReport, tuple[str, ...], dict[str, Tensor]]:
        report = train()
        state = {name: tensor.cpu() for name, tensor in method.inference_state().items()}
        return report, method.products, state

    report, method.products, state = processes.from_first(trained)
    if not processes.first:
        method.to(processes.device(device)).load_state_dict(state, strict=False)
        method.eval()
    return report


def _train_in(
    work_dir: Path,
    method: Method,
    samples: Sequence[Sample],
    preprocessing: Preprocessing,
    options: TrainingOptions,
    set_aside: Sequence[Sample],
    progress: Progress,
    log: TrainingLog,
    processes: Processes,
) -> TrainingReport:
    started = time.monotonic()
    ready_torch()
    report = TrainingReport()
    device = processes.device(options.device)
    report.precision = processes.from_first(lambda: resolve_precision(options.precision, device))
    options = replace(options, precision=report.precision)
    # Apple's GPUs have no float64, which the closed-form parts count in: there they train alone.
    method.to("cpu" if device == "mps" else device)
    state = processes.from_first(
        lambda: training_state(method, samples, preprocessing, options, work_dir)
    )
    cache_dir = Path(options.cache_dir or work_dir / "features")
    budget = options.cache_budget_gib * 2**30
    announce_plan(
        method,
        samples,
        preprocessing,
        options,
        progress,
        device=device,
        cache_dir=cache_dir,
        processes=processes,
        done=state["stage"],
        checkpoints=[work_dir / f"stage{n}.ckpt" for n in range(len(method.stages()))],
    )

    def batches_of(
        some: Sequence[Sample],
        failures: list[tuple[Path, str]],
        agreed: Callable[[float], float] = float,
    ) -> TrainingBatches:
        return training_batches(
            method,
            some,
            preprocessing,
            cache_dir,
            budget,
            progress=progress,
            failures=failures,
            seed=options.seed,
            workers=options.workers,
            agreed=agreed,
        )

    data = batches_of(samples, report.failures, processes.cache_agreed)
    report.cached = isinstance(data, CachedBatches)
    if report.cached:
        processes.cache_built()
    if len(data) < 2:
        raise DataError(
            f"{len(data)} readable training images were found, at least 2 are needed."
            + "".join(f"\n  {reason}" for _, reason in report.failures[:5])
        )
    rows, held = data.set_aside(method.held_out_share, options.seed)
    data.check_set_aside(held, method.fewest_held_out)
    pictures = [(sample.path, sample.product, sample.label) for sample in data.samples]
    processes.check_same("readable pictures", [type(data).__name__, pictures, rows])
    good = [row for row in rows if data.labels[row] == 0]
    # Of the images that train: a product of which none can be read is not known to the model.
    method.products = tuple(dict.fromkeys(data.samples[row].product for row in good))
    with torch.inference_mode():
        method.prepare(data.in_order(good, _STATISTICS))
    asked = options.check_labels and processes.first
    if asked and method.uses_teacher and not method.cross_fits:
        looked_at = [(data, sorted([*good, *held]))]
        if set_aside:
            aside = batches_of(set_aside, [])  # calibrating says what cannot be read
            looked_at.append((aside, list(range(len(aside)))))
        report.suspects = suspects_among(method, looked_at, seed=options.seed, progress=progress)
        # Before the training, which is then perhaps not worth waiting for.
        progress.say(suspects_note(report.suspects, [*samples, *set_aside]))
    for index, stage in enumerate(method.stages()):
        # Importing Lightning takes seconds, for which only what trains should wait.
        from blemish.training.stage import load_weights, run_stage

        checkpoint = work_dir / f"stage{index}.ckpt"
        if state["stage"] > index:
            load_weights(method, checkpoint)
            continue
        report.losses[stage.name] = run_stage(
            method,
            stage,
            data,
            rows,
            checkpoint,
            seed=(options.seed, index),
            device=device,
            precision=options.precision,
            checkpoint_seconds=options.checkpoint_seconds,
            progress=progress,
            log=log,
            callbacks=options.callbacks,
            processes=processes,
        )
        state["stage"] = index + 1
        if processes.first:
            write_state(work_dir, state)
    if processes.steps_only and not processes.first:
        raise ShareDone
    method.eval()
    with torch.inference_mode():
        batches = data.in_order(good, _STATISTICS)
        method.fit_statistics(
            progress.track(batches, "Statistics", math.ceil(len(good) / _STATISTICS))
        )
        labelled = [row for row in rows if data.labels[row]]
        if labelled:
            method.weigh(data.in_order(labelled, _STATISTICS))
        found = method.out_of_fold()
        if found is not None:
            report.units = out_of_fold_units(found, data, good)
            report.out_of_fold = out_of_fold_records(found, data, good, report.units)
            report.suspects = suspects_among(
                method, [(data, good)], found=found, seed=options.seed, progress=progress
            )
        # Where nothing could be set aside, what has trained must do.
        method.fit_held_out(data.in_order(held or good, _STATISTICS))
    report.notes = method.notes()
    report.seconds = time.monotonic() - started
    return report
