"""Published experiments: for each paper what is trained on what, and what it reports of it.

One entry is one command, ``blemish reproduce NAME DATA``. Settings, teacher and input size are
those of the method's preset ``paper``; reported figures stand in ``published.json``. What the text
at hand does not state is said in ``open``, and decided as the entry has it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

_ADER = {
    "mean_ad_ader": "mAD",
    "image_auroc": "image AUROC",
    "image_ap": "image AP",
    "image_f1_max": "image F1-max",
    "pixel_auroc": "pixel AUROC",
    "pixel_ap": "pixel AP",
    "pixel_f1_max_ader": "pixel F1-max as in ADer",
    "pixel_aupro": "AUPRO",
}
_AUROC = {"image_auroc": "image AUROC, mean of 10 classes"}


@dataclass(frozen=True)
class Paper:
    """One experiment of a paper.

    Attributes:
        title: System and data set, for people.
        source: Where it was published.
        method: The system's name.
        data_set: The data set's key in ``published.json``.
        protocol: As :mod:`blemish.benchmark.protocols` has it.
        metrics: Names in the rows of what the paper reports, the headline first, each with what
            ``published.json`` and people call it.
        own: Key of the source in ``published.json`` whose figures are this system's; empty: the
            text at hand states none.
        compared: Keys of the sources whose figures stand beside them.
        claim: What it says of itself without a figure of its own.
        open: What the text at hand leaves open, and what is done here.
        categories: Those of the data set that it uses; empty: all.
        hold_out: Share of the good training images that sets limits; 0: all of them train.
        compatibility: As for the benchmark; ``ader``: the framework that the paper measures in.

    Example:
        >>> from blemish.benchmark.papers import PAPERS
        >>> PAPERS["radar-tile"].method, PAPERS["radar-tile"].categories
        ('radar', ('tile',))
    """

    title: str
    source: str
    method: str
    data_set: str
    protocol: str
    metrics: Mapping[str, str] = field(default_factory=lambda: _AUROC)
    own: str = ""
    compared: tuple[str, ...] = ()
    claim: str = ""
    open: str = ""
    categories: tuple[str, ...] = ()
    hold_out: float | None = 0.0
    compatibility: str = "none"


_BORAD = "BoRAD, arXiv 2606.14129 (2026)"
_BORAD_OPEN = (
    "Whether the last epoch counts, or the best one on the test images, is not in the text at "
    "hand: here it is the last. The seed."
)
_HFR = "A Hierarchically Feature Reconstructed Autoencoder, arXiv 2405.09148 (2024)"
_HFR_CLAIM = "Better than the systems it is compared with (abstract)."
_HFR_OPEN = (
    "Its figures, encoder, optimiser, length and how an image's score is read from its map are not "
    "in the text at hand: the preset's docstring says what stands in their place."
)


def _borad(data_set: str, key: str) -> Paper:
    """BoRAD's one protocol, on one of its three data sets."""
    return Paper(
        f"BoRAD on {data_set}, one model for all categories",
        _BORAD,
        "borad",
        key,
        "one_for_all",
        metrics=_ADER,
        own="borad",
        compared=("rd_ader", "borad_compared"),
        open=_BORAD_OPEN,
        compatibility="ader",
    )


PAPERS: Mapping[str, Paper] = {
    "borad-mvtec": _borad("MVTec AD", "mvtec_ad"),
    "borad-visa": _borad("VisA", "visa"),
    "borad-realiad": _borad("Real-IAD", "real_iad"),
    "hfr-fashion": Paper(
        "HFR on Fashion-MNIST, each class in turn the normal one",
        _HFR,
        "hfr",
        "fashion_mnist",
        "one_class",
        compared=("rd_one_class", "mkd", "geom"),
        claim=_HFR_CLAIM,
        open=_HFR_OPEN,
    ),
    "hfr-mnist": Paper(
        "HFR on MNIST, each class in turn the normal one",
        _HFR,
        "hfr",
        "mnist",
        "one_class",
        compared=("mkd",),
        claim=_HFR_CLAIM,
        open=_HFR_OPEN,
    ),
    "hfr-cifar10": Paper(
        "HFR on CIFAR-10, each class in turn the normal one",
        _HFR,
        "hfr",
        "cifar10",
        "one_class",
        compared=("rd_one_class", "panda"),
        claim=_HFR_CLAIM,
        open=_HFR_OPEN,
    ),
    "radar-tile": Paper(
        "RADAR on tile of MVTec AD",
        "Single-Step Reconstruction-Free Anomaly Detection and Segmentation via Diffusion Models, "
        "arXiv 2508.04818 (2025)",
        "radar",
        "mvtec_ad",
        "per_category",
        metrics={
            "operating_f1": "F1 at the limit",
            "operating_accuracy": "accuracy",
            "operating_precision": "precision",
            "operating_recall": "recall",
            "image_auroc": "image AUROC",
            "pixel_auroc": "pixel AUROC",
        },
        claim="F1 7 % above the next best model on MVTec AD (abstract).",
        open=(
            "Its figures and its contamination level are not in the text at hand: the limit is "
            "that of 1 % false alarms, by a fifth of the good training images, which do not train."
        ),
        categories=("tile",),
        hold_out=None,
    ),
    "anomem-cifar10": Paper(
        "AnoMem on CIFAR-10, one-class, from scratch",
        "Anomaly Detection via Multi-Scale Contrasted Memory, arXiv 2211.09041 (2022)",
        "anomem",
        "cifar10",
        "one_class",
        compared=("deep_svdd", "geom", "rot_trans", "csi"),
        claim="Up to 35 % fewer errors than the best before it on CIFAR-10, relative (abstract).",
        open=(
            "Its figures, widths, lengths and weights of the scales are not in the text at hand: "
            "those of the preset are ours."
        ),
    ),
    "logicrd-loco": Paper(
        "LogicRD on MVTec LOCO AD, one model per category",
        "Journal of Computer Applications 2025, DOI 10.11772/j.issn.1001-9081.2025020229",
        "logicrd",
        "mvtec_loco",
        "per_category",
        metrics={
            "image_auroc_mean": "image AUROC",
            "image_auroc_logical": "image AUROC, logical",
            "image_auroc_structural": "image AUROC, structural",
            "au_spro_0.05_mean": "AU-sPRO@0.05, mean",
        },
        own="logicrd",
        compared=("logicrd_compared", "efficientad", "salad"),
        open=(
            "Whether one model is trained per category, its length and the layers of its parts are "
            "not stated; its image AUROC is taken to be the mean of logical and structural, as "
            "that of DSKD beside it is."
        ),
    ),
}
