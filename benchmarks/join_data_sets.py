"""Several data sets as one line in MVTec AD's layout, made of links: more products for one model.

    pip install elpv-dataset
    python benchmarks/join_data_sets.py six ../shared/data elpv
    blemish benchmark --method rd,borad --data six --protocol one_for_all --out results

The first argument is the folder to make, the others data sets in any layout that blemish reads.
Products keep their names and each set its own split into training and test images. Good training
images go to ``train/good``, the others to ``test/<defect>``; masks, where there are any, to
``ground_truth``. Pictures are neither copied nor changed.
"""

from __future__ import annotations

import sys
from pathlib import Path

from blemish.data.layouts import read_data_set
from blemish.errors import BlemishError


def join(target: Path, sources: list[str]) -> dict[str, int]:
    """Link the samples of every source under ``target``; returns pictures by product.

    Nothing is made before every sample is known to have a place.
    """
    counts: dict[str, int] = {}
    links: list[tuple[Path, Path]] = []
    for source in sources:
        data = read_data_set(source)
        if taken := sorted(counts.keys() & {sample.product for sample in data.samples}):
            sys.exit(f"{source}: its products {', '.join(taken)} are in another data set as well.")
        for number, sample in enumerate(data.samples):
            if sample.split == "validation":
                sys.exit(f"{source}: has validation images, for which this layout has no place.")
            if sample.label is None or sample.image is not None:
                sys.exit(f"{sample.path}: expected a file that is known to be good or defective.")
            if len(sample.mask_paths) > 1:
                sys.exit(f"{sample.path}: has several masks; this layout has one per picture.")
            kind = "good" if sample.is_good else str(sample.defect_kind)
            # Numbered: two folders of one source may hold the same file name.
            stem = f"{number:05}-{sample.path.stem}"
            product = target / sample.product
            picture = product / sample.split / kind / f"{stem}{sample.path.suffix}"
            links.append((picture, sample.path))
            for mask in sample.mask_paths:
                place = product / "ground_truth" / kind / f"{stem}_mask{mask.suffix}"
                links.append((place, mask))
            counts[sample.product] = counts.get(sample.product, 0) + 1
    for place, file in links:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(file.resolve())
    return counts


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    if Path(sys.argv[1]).exists():
        sys.exit(f"{sys.argv[1]} exists: name a new folder.")
    try:
        counts = join(Path(sys.argv[1]), sys.argv[2:])
    except BlemishError as error:
        sys.exit(str(error))
    for name, count in counts.items():
        print(f"{name}: {count} pictures")
