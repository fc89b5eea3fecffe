"""Judge: a picklable callable from a batch of paths to a dictionary of arrays.

For Ray Data and whatever else maps batches: paths travel to where it works, never pixels, and the
model is opened there when it is first called, once, and does not travel either. Of an exported
model no torch is imported.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from blemish.data.sample import Sample
from blemish.distributed.columns import Row, arrays, failed_row, parquet_library, row_of, schema
from blemish.errors import BundleError, ConfigError, ImageError
from blemish.inspection.judging_model import check_product
from blemish.inspector import Inspector, open_model

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow

    from blemish.results import Prediction


class Judge:
    """Judges pictures by their paths, a batch at a time.

    Args:
        model: The model file, as it is called where the work is done.
        product: Product of pictures that do not say theirs; ``None``: as the model recognises it.
        batch_size: Pictures per pass of the network. The same size and the same place of a picture
            in the order give the same score to the last bit.
        device, provider: As in :func:`blemish.open_model`.
        threads: Threads of an exported model's network; ``None``: ``OMP_NUM_THREADS``, which Ray
            sets to the processors of a worker, else all cores.
        digest: Digest of the model file; another one there is refused.

    Example:
        >>> import pickle
        >>> from blemish.distributed import Judge
        >>> judge = pickle.loads(pickle.dumps(Judge("line3.blemish")))  # nothing is opened yet
        >>> judge
        Judge('line3.blemish')

    """

    def __init__(
        self,
        model: str | Path,
        *,
        product: str | None = None,
        batch_size: int = 8,
        device: str = "cpu",
        provider: str = "auto",
        threads: int | None = None,
        digest: str = "",
    ) -> None:
        self.model = str(model)
        self.product, self.batch_size = product, batch_size
        self.device, self.provider = device, provider
        self.threads, self.digest = threads, digest
        self._opened: Inspector | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.model!r})"

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": None}

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
        """Judge a batch.

        Args:
            batch: The column ``path``, and where it is known ``product``; all ``(N,)``. Other
                columns are handed through.

        Returns:
            Arrays ``(N,)`` in the order of the paths, by name of the column: path, product,
            recognised, rival, verdict, score, p_value, times_limit, branches, regions,
            explanation, pose, notes, calibration, map, error, model; what they hold stands in
            ``docs/scale.md``. A picture that cannot be read has its reason in error and is empty
            in all else.

        Raises:
            ConfigError: There is no column ``path``.
            BundleError: The model file is missing or damaged, or has another digest than was said.
        """
        rows = self.rows_of(batch)
        return {**{name: np.asarray(column) for name, column in batch.items()}, **arrays(rows)}

    def rows_of(self, batch: Mapping[str, Any]) -> list[Row]:
        """A row per picture of a batch; errors as for a call."""
        if "path" not in batch:
            found = ", ".join(batch) or "none"
            raise ConfigError(f"A batch needs the column path; found {found}.")
        paths = [str(path) for path in batch["path"]]
        products = [str(name or "") for name in batch.get("product", [""] * len(paths))]
        return self.rows(paths, products)

    def rows(
        self,
        paths: Sequence[str],
        products: Sequence[str] | None = None,
        *,
        on_prediction: Callable[[int, Prediction], Row] | None = None,
    ) -> list[Row]:
        """A row per path, in their order; ``on_prediction`` adds columns to that of a place."""
        opened = self.opened()
        named = products or [""] * len(paths)
        samples = [
            Sample(Path(path), name or self.product or "", "test", None)
            for path, name in zip(paths, named, strict=True)
        ]
        rows: list[Row] = []

        def on_error(path: Path, error: ImageError) -> None:
            rows.append(failed_row(path, error, self.digest))  # told in its place in the order

        for prediction in opened.predict(samples, batch_size=self.batch_size, on_error=on_error):
            more = {} if on_prediction is None else on_prediction(len(rows), prediction)
            rows.append({**row_of(prediction, self.digest), **more})
        return rows

    def opened(self) -> Inspector:
        """The model, opened by the first call in this process."""
        if self._opened is None:
            opened = open_model(
                self.model, device=self.device, threads=self.threads, provider=self.provider
            )
            found = "" if opened.manifest is None else opened.manifest.digest
            if self.digest and found != self.digest:
                raise BundleError(
                    f"{self.model} is not the model of this run: its digest is {found[:12]}, "
                    f"expected {self.digest[:12]}. Put the same file there on every machine."
                )
            check_product(self.product, opened.products, opened.calibration)
            self.digest, self._opened = found, opened
        return self._opened


class ArrowJudge:
    """The same for engines that tell types from values: its answer is a ``pyarrow.Table``.

    In a batch of pictures without regions nothing says what a region would be. Here the types are
    those of the Parquet files, whatever is in the batch.

    Args:
        judge: As those of :class:`Judge`.

    With Ray Data, each worker opens the model once::

        ray.data.from_items([{"path": path} for path in paths]).map_batches(
            ArrowJudge, fn_constructor_args=["line3.blemish"], batch_size=256,
            compute=ray.data.ActorPoolStrategy(size=4),
        ).write_parquet("verdicts/")
    """

    def __init__(self, *judge: Any, **options: Any) -> None:
        self.judge = Judge(*judge, **options)

    def __call__(self, batch: Mapping[str, Any]) -> pyarrow.Table:
        """Judge a batch, as :class:`Judge`; other columns are handed through.

        Raises:
            MissingExtraError: pyarrow is not installed.
        """
        pa = parquet_library()
        table = pa.Table.from_pylist(self.judge.rows_of(batch), schema())
        for name in [name for name in batch if name not in table.column_names]:
            table = table.append_column(name, pa.array(batch[name]))
        return table
