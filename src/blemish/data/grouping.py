"""Groups of pictures: those of one part, strip, lot or hour, told from names, folders or a table.

They are alike, so that a good picture measured by others of its group looks better than a new part
will. What is guessed from names is guessed with care: a guess names many groups of few pictures
each, whose names differ in their numbers alone and whose pictures are counted within the group.
"""

from __future__ import annotations

import csv
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import NamedTuple

from blemish.data.images.image_list import natural_key
from blemish.data.sample import DataSet, Sample
from blemish.errors import ConfigError, DataError

#: Groups below which a guess is none.
_FEWEST = 5
#: Largest share of a product's pictures that a guessed group has.
_LARGEST = 0.25
#: Pictures per group, on average, below which there is nothing to keep together.
_MEAN = 1.5
#: Share of a product's pictures that bear the pattern of a guess.
_COVERED = 0.9
_DIGITS = re.compile(r"[0-9]+")
#: Words for the column of a table that names the group.
GROUP_COLUMNS = ("group", "part", "item", "strip", "lot", "batch", "serial")
_IMAGE_COLUMNS = ("image", "path", "file", "filename", "name")


class Grouping(NamedTuple):
    """Samples with their groups, and how they were found.

    Attributes:
        samples: As they were given, :attr:`Sample.group` filled in.
        rules: The pattern by product, where one was guessed or given.
        said: A sentence per product that is grouped.
    """

    samples: list[Sample]
    rules: dict[str, str]
    said: list[str]


def grouped(
    samples: Sequence[Sample], by: str = "auto", *, known: Mapping[str, str] | None = None
) -> Grouping:
    """Samples with the group that each belongs to; products never share one.

    Args:
        samples: Of any number of products.
        by: ``auto``: what the samples say already, else the known pattern, else a guess from names
            and folders; ``none``: each picture alone; a table ``*.csv`` with a column ``image``
            (file name, or path from the table's folder) and one ``group``; else a regular
            expression that is looked for in the file name and then in the path, from its end:
            its first capture group, or all of it, names the group.
        known: Patterns by product, which ``auto`` takes before it guesses.

    Raises:
        ConfigError: No regular expression, or one that no picture matches.
        DataError: A table that cannot be read, or has other columns.

    Example:
        >>> from pathlib import Path
        >>> from blemish.data.grouping import grouped
        >>> from blemish.data.sample import Sample
        >>> names = [f"kos{i:02}_Part{k}.jpg" for i in range(9) for k in range(3)]
        >>> found = grouped([Sample(Path(name), "ring", "train", 0) for name in names])
        >>> found.said
        ['ring: grouped by kosNN: 9 groups of 27 images; --group none treats each alone.']
        >>> found.samples[3].group
        'kos01'
    """
    if by == "none":
        return Grouping([replace(s, group="") for s in samples], {}, [])
    found = list(samples)
    rules: dict[str, str] = {}
    said: list[str] = []
    given = None if by == "auto" else _given(by)
    for product in dict.fromkeys(s.product for s in samples):
        rows = [row for row, s in enumerate(samples) if s.product == product]
        own = [samples[row] for row in rows]
        name_of, label, guess = given, f"'{by}'", ""
        if by == "auto":
            if any((s.group, s.part) != (None, None) for s in own):
                continue
            rule = (known or {}).get(product)
            if rule is None:
                rule = _guess(own)
                guess = "; --group none treats each alone"
            if rule is None:
                continue
            name_of, label, rules[product] = name_pattern(rule, "--group"), _label(rule, own), rule
        elif isinstance(given, partial):
            rules[product] = by
        assert name_of is not None
        for row in rows:
            found[row] = replace(samples[row], group=name_of(samples[row].path))
        sentence = _said([found[row] for row in rows], product, label)
        said += [f"{sentence}{guess}."] if sentence else []
    if given is not None and samples and all(s.group is None for s in found):
        raise ConfigError(
            f"--group {by} names none of the {len(samples)} images, such as "
            f"{samples[0].path.name}. Expected a regular expression that is found in their names, "
            "a table *.csv of images and groups, auto or none."
        )
    return Grouping(found, rules, said)


def with_groups(data_set: DataSet, by: str = "auto") -> DataSet:
    """The data set with the groups of :func:`grouped`, which its problems tell of."""
    found = grouped(data_set.samples, by)
    new = [sentence for sentence in found.said if sentence not in data_set.problems]
    return replace(data_set, samples=tuple(found.samples), problems=(*data_set.problems, *new))


def count_groups(samples: Iterable[Sample]) -> int:
    """Number of groups, each picture without one counted as a group of its own.

    Example:
        >>> from pathlib import Path
        >>> from blemish.data.grouping import count_groups
        >>> from blemish.data.sample import Sample
        >>> groups = ["a", "a", None, None]
        >>> count_groups(Sample(Path("x.png"), "nut", "train", 0, group=g) for g in groups)
        3
    """
    names = [(s.product, s.together) for s in samples]
    alone = sum(group is None for _, group in names)
    return alone + len({name for name in names if name[1] is not None})


def _said(samples: Sequence[Sample], product: str, label: str) -> str:
    good = [s for s in samples if s.is_good and s.split != "test"] or samples
    alone = sum(s.group is None for s in good)
    if alone == len(good):
        return ""
    rest = f", {alone} of which it does not name, each alone" if alone else ""
    count = count_groups(good)
    groups = f"{count} group{'' if count == 1 else 's'}"
    of = f"{product}: " if product else ""
    return f"{of}grouped by {label}: {groups} of {len(good)} images{rest}"


def _given(by: str) -> Callable[[Path], str | None]:
    """What ``--group`` says of a file."""
    if by.endswith(".csv"):
        return _table(Path(by))
    return name_pattern(by, "--group", ", a table *.csv of images and groups, auto or none")


def name_pattern(text: str, option: str, or_else: str = "") -> partial[str | None]:
    """A regular expression as a function from a picture's file to a name in it, or ``None``.

    It is looked for in the file name and then in the path, from its end: its first capture group,
    or all of it, is the name.

    Raises:
        ConfigError: It is no regular expression; ``option`` and what else that takes are named.

    Example:
        >>> from pathlib import Path
        >>> from blemish.data.grouping import name_pattern
        >>> name_pattern("part([0-9]+)", "--part-id")(Path("tuesday/part17_left.png"))
        '17'
    """
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise ConfigError(
            f"{option} {text} is no regular expression: {error}. Expected one such as "
            f"'lot[0-9]+'{or_else}."
        ) from error
    return partial(_matched, pattern)


def _matched(pattern: re.Pattern[str], path: Path) -> str | None:
    found = pattern.search(path.name)
    if found is None:
        # The last one: what lies above the data has names of its own.
        found = next(iter([*pattern.finditer(path.as_posix())][::-1]), None)
    if found is None:
        return None
    name: str | None = found.group(1) if pattern.groups else found.group()
    return name or None


def _table(path: Path) -> Callable[[Path], str | None]:
    """What a table of images and groups says of an image's file, by its path or else its name."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = {(name or "").strip().lower(): name for name in reader.fieldnames or ()}
            image, group = (
                next((columns[word] for word in words if word in columns), None)
                for words in (_IMAGE_COLUMNS, GROUP_COLUMNS)
            )
            if image is None or group is None:
                raise DataError(
                    f"{path} has the columns {', '.join(columns) or '(none)'}. Expected image "
                    "(a file name, or a path from the table's folder) and group."
                )
            rows = [((row[image] or "").strip(), (row[group] or "").strip()) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"Cannot read the table of groups {path}: {error}.") from error
    root = path.parent.resolve()
    by_path: dict[Path, str] = {}
    by_name: dict[str, set[str]] = defaultdict(set)
    for text, name in rows:
        if text and name:
            place = Path(text.replace("\\", "/"))
            by_path[root / place] = name
            by_name[place.name].add(name)

    def name_of(image: Path) -> str | None:
        named = by_name.get(image.name, set())
        return by_path.get(image.resolve()) or (next(iter(named)) if len(named) == 1 else None)

    return name_of


def _guess(samples: Sequence[Sample]) -> str | None:
    """A pattern by which names or folders of a product's good pictures clearly form groups."""
    good = [s for s in samples if s.is_good and s.split != "test"] or list(samples)
    if any(s.image is not None for s in good):  # pixels of an array have no name of their own
        return None
    return _guess_folders(good) or _guess_names([s.path.stem for s in good])


def _guess_folders(samples: Sequence[Sample]) -> str | None:
    """Folders below the one that all pictures of a split share, such as ``lot01``, ``lot02``."""
    folders: list[str] = []
    for split in dict.fromkeys(s.split for s in samples):
        parents = [s.path.parent.parts for s in samples if s.split == split]
        levels = zip(*parents, strict=False)
        shared = (depth for depth, names in enumerate(levels) if len(set(names)) > 1)
        depth = next(shared, min(map(len, parents)))
        folders += [parts[depth] if len(parts) > depth else "" for parts in parents]
    kind = _commonest(map(_skeleton, folders))
    named = [folder for folder in folders if folder and _skeleton(folder) == kind]
    if "#" not in kind or len(named) < _COVERED * len(folders) or not _plausible(named):
        return None
    return f"(?:^|/)({_regex(kind)})/"


def _guess_names(stems: Sequence[str]) -> str | None:
    """A beginning of the names that several share, counted on by what follows."""
    most = Counter(len(_DIGITS.findall(stem)) for stem in stems).most_common(1)[0][0]
    for level in range(most, 0, -1):  # from the finest groups to the coarsest
        cut = [(stem, list(_DIGITS.finditer(stem))) for stem in stems]
        heads = [stem[: runs[level - 1].end()] for stem, runs in cut if len(runs) >= level]
        tails = [stem[runs[level - 1].end() :] for stem, runs in cut if len(runs) >= level]
        kind = _commonest(map(_skeleton, heads))
        pairs = [(h, t) for h, t in zip(heads, tails, strict=True) if _skeleton(h) == kind]
        if len(pairs) < _COVERED * len(stems) or not _plausible([h for h, _ in pairs]):
            continue
        if _counted(pairs):
            return f"^({_regex(kind)})(?![0-9])"
    return None


def _plausible(names: Sequence[str]) -> bool:
    """Whether groups of these names, one per picture, could be parts: many, of few pictures."""
    sizes = Counter(names).values()
    return (
        len(sizes) >= max(_FEWEST, median(sizes))
        and max(sizes) <= _LARGEST * len(names)
        and len(names) >= _MEAN * len(sizes)
    )


def _counted(pairs: Sequence[tuple[str, str]]) -> bool:
    """Whether the pictures of most groups are told apart by a short count, or by a word each."""
    tails: dict[str, list[str]] = defaultdict(list)
    for head, tail in pairs:
        tails[head].append(tail)
    good = 0
    for own in tails.values():
        numbers = [int(run.group()) for tail in own if (run := _DIGITS.search(tail))]
        if numbers:
            good += len(numbers) == len(own) and max(numbers) - min(numbers) < 3 * len(own)
        else:
            good += len(set(own)) == len(own)
    return good >= _COVERED * len(tails)


def _skeleton(name: str) -> str:
    return _DIGITS.sub("#", name)


def _regex(skeleton: str) -> str:
    return "[0-9]+".join(map(re.escape, skeleton.split("#")))


def _commonest(names: Iterable[str]) -> str:
    return Counter(names).most_common(1)[0][0]


def _label(rule: str, samples: Sequence[Sample]) -> str:
    """The pattern as people write it, ``kosNN``, from the first name that bears it."""
    named = filter(
        None, map(name_pattern(rule, "--group"), sorted((s.path for s in samples), key=natural_key))
    )
    return _DIGITS.sub(lambda run: "N" * len(run.group()), next(named, rule))
