from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from blemish.data.layouts import read_data_set
from blemish.errors import DataError

WriteImage = Callable[..., Path]
HEADER = "object,split,label,image,mask\n"


@pytest.fixture
def raw(tmp_path: Path, write_image: WriteImage) -> Path:
    rows = []
    for product in ("pcb1", "candle"):
        for i in range(3):
            name = f"{product}/Data/Images/Normal/{i:04}.JPG"
            write_image(tmp_path / name)
            rows.append(f"{product},{'test' if i == 2 else 'train'},normal,{name},")
        name, mask = (
            f"{product}/Data/Images/Anomaly/000.JPG",
            f"{product}/Data/Masks/Anomaly/000.png",
        )
        write_image(tmp_path / name)
        write_image(tmp_path / mask, 3)
        rows.append(f"{product},test,anomaly,{name},{mask}")
    (tmp_path / "split_csv").mkdir()
    (tmp_path / "split_csv" / "1cls.csv").write_text(HEADER + "\n".join(rows), encoding="utf-8")
    return tmp_path


def test_as_distributed(raw: Path) -> None:
    data_set = read_data_set(raw)
    assert (data_set.layout, data_set.products) == ("visa", ("candle", "pcb1"))
    assert data_set.problems == ()
    told = [(s.split, s.label, s.defect_kind, len(s.mask_paths)) for s in data_set.samples][:4]
    assert told == [
        ("train", 0, None, 0),
        ("train", 0, None, 0),
        ("test", 1, "anomaly", 1),
        ("test", 0, None, 0),
    ]


def test_a_partial_download(raw: Path) -> None:
    for path in (raw / "pcb1" / "Data" / "Images" / "Normal").iterdir():
        path.unlink()
    (raw / "pcb1" / "Data" / "Masks" / "Anomaly" / "000.png").unlink()
    data_set = read_data_set(raw)
    assert len(data_set.samples) == 5
    assert "pcb1: 3 images named in 1cls.csv are not there" in data_set.problems[0]
    assert "pcb1: 1 images of kind 'anomaly' have no mask" in data_set.problems[1]


def test_without_the_split_file(raw: Path) -> None:
    (raw / "split_csv" / "1cls.csv").unlink()
    with pytest.raises(DataError, match=r"There is no .*1cls\.csv"):
        read_data_set(raw)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("object,image\ncandle,x\n", "columns object, image"),
        ("", r"\(none\)"),
        (HEADER + "candle,train,odd,a.png,\n", "line 2: found object='candle'"),
        (HEADER + "candle,train,normal,../../etc/passwd,\n", "stays inside"),
        (HEADER + "candle,train,normal,/etc/passwd,\n", "stays inside"),
        (HEADER + "candle,train,normal,..\\..\\secret.png,\n", "stays inside"),
        (HEADER + "candle,train,normal,C:\\secret.png,\n", "stays inside"),
        (HEADER + "candle,train,normal,,\n", "stays inside"),
    ],
)
def test_bad_split_files(raw: Path, content: str, words: str) -> None:
    (raw / "split_csv" / "1cls.csv").write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=words):
        read_data_set(raw)


def test_not_text(raw: Path) -> None:
    (raw / "split_csv" / "1cls.csv").write_bytes(b"\xff\xfe\xff" * 10)
    with pytest.raises(DataError, match="Cannot read"):
        read_data_set(raw)


def test_converted(tmp_path: Path, write_image: WriteImage) -> None:
    category = tmp_path / "1cls" / "candle"
    for folder in ("train/good", "test/good", "test/bad"):
        write_image(category / folder / "000.JPG")
    write_image(category / "ground_truth" / "bad" / "000.png", 2)
    data_set = read_data_set(tmp_path)
    assert (data_set.layout, data_set.products, len(data_set.samples)) == ("visa", ("candle",), 3)
    assert data_set.problems == ()
    assert [len(s.mask_paths) for s in data_set.samples] == [0, 1, 0]
    inner = read_data_set(tmp_path / "1cls", layout="visa")
    assert inner.samples == data_set.samples


def test_a_column_of_groups(raw: Path) -> None:
    table = raw / "split_csv" / "1cls.csv"
    head, *rows = table.read_text(encoding="utf-8").splitlines()
    assert {s.together for s in read_data_set(raw).samples} == {None}
    table.write_text("\n".join([f"{head},group", *(f"{row},lot7" for row in rows)]), "utf-8")
    assert {s.together for s in read_data_set(raw).samples} == {"lot7"}
