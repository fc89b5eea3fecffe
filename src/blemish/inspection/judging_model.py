"""Judging model: what a model does with pictures, whichever runtime computes its network."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from blemish._names import unknown_name_message
from blemish.calibration import Calibration
from blemish.data.images.given_picture import Channels
from blemish.data.images.preprocess import Preprocessing
from blemish.data.sample import Sample
from blemish.data.sources import ImageSource, Picture, load_input, one_picture, stream_to_judge
from blemish.errors import ConfigError, PictureWarning
from blemish.inspection.learned_pictures import LearnedPictures
from blemish.inspection.network import Network
from blemish.inspection.pipeline import Load, OnError, OnTile, judge_samples
from blemish.results import Prediction

#: What a program is warned of beside the note: judged as it is, the score of it means little.
_WARNED = frozenset({"channels", "depth", "pages"})


class JudgingModel(ABC):
    """Judges pictures by the limits that it has.

    Attributes:
        products: Names of the products it was trained on.
        calibration: Its limits, ``None`` before calibration: predictions then have no verdict.
        training: What is known of its training.
    """

    products: tuple[str, ...]
    calibration: Calibration | None
    training: dict[str, Any]

    @abstractmethod
    def ready(self) -> tuple[Network, Preprocessing]:
        """What judges pixels, and what makes pixels of an image.

        Raises:
            ConfigError: The model is not trained yet.
        """

    @property
    def said(self) -> list[str]:
        """What is to be known of where it runs, usually nothing."""
        text: str = getattr(self.ready()[0], "said", "")
        return [text] if text else []

    def judge_samples(
        self,
        samples: Iterable[Sample],
        *,
        calibration: Calibration | None,
        batch_size: int = 8,
        on_error: OnError | None = None,
        on_tile: OnTile | None = None,
        load: Load = load_input,
    ) -> Iterator[tuple[Sample, Prediction]]:
        """:func:`blemish.inspection.pipeline.judge_samples` with this model."""
        network, preprocessing = self.ready()
        return judge_samples(
            network,
            preprocessing,
            samples,
            calibration=calibration,
            batch_size=batch_size,
            on_error=on_error,
            on_tile=on_tile,
            load=load,
        )

    def predict(
        self,
        images: ImageSource,
        *,
        product: str | None = None,
        batch_size: int = 8,
        on_error: OnError | None = None,
        on_tile: OnTile | None = None,
    ) -> Iterator[Prediction]:
        """Judge images, in order, one :class:`~blemish.results.Prediction` each.

        Args:
            images: Files, folders, arrays ``(N, H, W[, C])``, samples, or single pictures in any of
                the forms of :meth:`inspect`. Of an iterator pictures are taken as they are needed,
                about three batches ahead, so that it may be endless.
            product: Product of images that do not say theirs; ``None``: the one that the model
                recognises, if it can.
            batch_size: Images, or tiles of them, per forward pass.
            on_error: Called with path and error of each unreadable image, which is then left
                out; ``None`` raises.
            on_tile: Called with how many tiles of the picture under way are judged, and how many
                it has; of pictures that are not cut it is not.

        Raises:
            ConfigError: The model does not know the product.
        """
        check_product(product, self.products, self.calibration)
        pairs = self.judge_samples(
            stream_to_judge(images, product=product, bit_depth=self.ready()[1].bit_depth),
            calibration=self.calibration,
            batch_size=batch_size,
            on_error=on_error,
            on_tile=on_tile,
        )
        return (self._finished(*pair) for pair in pairs)

    def inspect(
        self, picture: Picture, *, channels: Channels = "rgb", product: str | None = None
    ) -> Prediction:
        """Judge one picture, in whatever form a program holds it.

        May be called from several threads at once.

        Args:
            picture: A path; the bytes of an image file, or the file opened for bytes; a PIL image;
                a NumPy array or torch tensor ``(H, W)``, ``(H, W, C)`` or ``(C, H, W)`` with 1, 3
                or 4 channels, uint8, uint16 or floats in [0, 1]; a sample.
            channels: Order of an array's channels: ``rgb``; ``bgr``, as OpenCV reads; ``gray`` for
                one channel alone.
            product: Its product; ``None``: the one that the model recognises, if it can.

        Raises:
            ImageError: It cannot be read as an image.
            DataError: It is no picture, several, or an array whose shape leaves open what it is.
            ConfigError: Another order of channels, or one named for what is no array; a product
                that the model does not know.

        Example:
            >>> import io
            >>> import numpy as np
            >>> from PIL import Image
            >>> from blemish import Detector
            >>> from blemish._progress import Progress
            >>> good = np.random.default_rng(0).integers(90, 110, (24, 64, 64, 3)).astype(np.uint8)
            >>> detector = Detector().fit(good, false_alarm_rate=0.2, progress=Progress(quiet=True))
            >>> file = io.BytesIO()
            >>> Image.fromarray(good[0]).save(file, "PNG")
            >>> whole = detector.inspect(good[0])
            >>> detector.inspect(file).score == whole.score
            True
            >>> detector.inspect(good[0].transpose(2, 0, 1)).score == whole.score
            True
            >>> whole.overlay().width
            512
        """
        check_product(product, self.products, self.calibration)
        depth = self.ready()[1].bit_depth
        sample = one_picture(picture, channels=channels, product=product, bit_depth=depth)
        [pair] = self.judge_samples([sample], calibration=self.calibration, batch_size=1)
        return self._finished(*pair)

    def _finished(self, sample: Sample, prediction: Prediction) -> Prediction:
        """The prediction with what only the model and the caller's picture say."""
        learned = LearnedPictures.from_json(self.training.get("pictures"))
        size = (prediction.anomaly_map.shape[0], prediction.anomaly_map.shape[1])
        notes = () if learned is None else learned.notes(size, sample.image, sample.product)
        notes = (*prediction.notes, *notes)
        for note in notes:
            if note.kind in _WARNED:
                warnings.warn(note.sentence, PictureWarning, stacklevel=3)
        limits = self.calibration and self.calibration.limits(prediction.product)
        return replace(
            prediction,
            notes=notes,
            image=sample.image,
            bit_depth=self.ready()[1].bit_depth,
            map_scale=limits.map_scale if limits else None,
        )


def check_product(
    product: str | None, learned: Sequence[str], calibration: Calibration | None
) -> None:
    """A product named for pictures must be one that was learned or has limits of its own.

    Raises:
        ConfigError: It is neither; pooled limits would judge it without a word.
    """
    limits = () if calibration is None else calibration.products
    known = [*learned, *(name for name in limits if name not in learned)]
    if product is not None and product not in known:
        raise ConfigError(
            f"{unknown_name_message('product', product, known)} Leave it out where you do not know "
            "which one a picture shows."
        )
