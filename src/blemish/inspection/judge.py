"""Judge: what a model does with pictures, whichever runtime computes its network's output."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence

from blemish.calibration import Calibration
from blemish.data.images.preprocess import Preprocessing
from blemish.data.sample import Sample
from blemish.data.sources import ImageSource, images_to_judge, load_input
from blemish.inspection.network import Network
from blemish.inspection.pipeline import Load, OnError, OnTile, judge_samples
from blemish.results import Prediction


class Judge(ABC):
    """Judges pictures by the limits that it has.

    Attributes:
        calibration: Its limits, ``None`` before calibration: predictions then have no verdict.
    """

    calibration: Calibration | None

    @abstractmethod
    def ready(self) -> tuple[Network, Preprocessing]:
        """What judges pixels, and what makes pixels of an image.

        Raises:
            ConfigError: The model is not trained yet.
        """

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
        images: ImageSource | Sequence[Sample],
        *,
        product: str | None = None,
        batch_size: int = 8,
        on_error: OnError | None = None,
        on_tile: OnTile | None = None,
    ) -> Iterator[Prediction]:
        """Judge images, in order, one :class:`~blemish.results.Prediction` each.

        Args:
            images: Files, folders, arrays or samples.
            product: Product of images that do not say theirs; ``None``: the one that the model
                recognises, if it can.
            batch_size: Images, or tiles of them, per forward pass.
            on_error: Called with path and error of each unreadable image, which is then left
                out; ``None`` raises.
            on_tile: Called with how many tiles of the picture under way are judged, and how many
                it has; of pictures that are not cut it is not.
        """
        pairs = self.judge_samples(
            images_to_judge(images, product=product, bit_depth=self.ready()[1].bit_depth),
            calibration=self.calibration,
            batch_size=batch_size,
            on_error=on_error,
            on_tile=on_tile,
        )
        return (prediction for _, prediction in pairs)
