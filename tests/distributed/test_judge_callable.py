"""The callable for other engines: picklable, arrays in order, no torch for an exported model."""

from __future__ import annotations

import pickle
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from batch_runs import assert_same

from blemish import open_model
from blemish.distributed import ArrowJudge, Judge
from blemish.errors import BundleError, ConfigError


def test_a_batch_becomes_arrays_in_the_order_of_its_paths(
    pictures: Path, judging_file: Path
) -> None:
    paths = sorted(map(str, pictures.iterdir()))[14:20]  # one of them unreadable
    batch = {"path": np.array(paths, object), "shift": np.arange(6)}
    found = Judge(judging_file)(batch)
    assert found["path"].tolist() == paths
    assert found["shift"].tolist() == list(range(6))
    readable = [path for path in paths if "0017" not in path]
    expected = list(open_model(judging_file).predict(readable, batch_size=6))
    judged = [place for place, error in enumerate(found["error"]) if error is None]
    assert judged == [0, 1, 2, 4, 5]
    assert found["score"][judged].tolist() == [p.score for p in expected]
    assert found["verdict"][judged].tolist() == [p.verdict for p in expected]
    assert [len(regions) for regions in found["regions"][judged]] == [
        len(p.regions) for p in expected
    ]
    assert np.isnan(found["score"][3])
    assert "0017.png" in found["error"][3]
    assert all(len(column) == 6 for column in found.values())


def test_it_travels_without_the_model(pictures: Path, judging_file: Path) -> None:
    judge = Judge(judging_file)
    fresh = len(pickle.dumps(judge))
    batch = {"path": sorted(map(str, pictures.iterdir()))[:2]}
    here = judge(batch)
    assert judge.opened() is judge.opened()
    assert len(pickle.dumps(judge)) < fresh + 200  # the digest
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        there = pool.submit(judge, batch).result()
    assert there["score"].tolist() == here["score"].tolist()


def test_an_exported_model_needs_no_torch(pictures: Path, judging_file: Path) -> None:
    program = f"""
import sys
sys.modules["torch"] = None
from blemish.distributed import ArrowJudge, Judge
rows = Judge({str(judging_file)!r})({{"path": [{str(pictures / "0000.png")!r}]}})
assert rows["error"][0] is None, rows
print("ray" in sys.modules, "pyarrow" in sys.modules)
"""
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=100, check=False
    )
    assert result.stdout == "False False\n", result.stderr


def test_the_batch_may_name_products(pictures: Path, judging_file: Path) -> None:
    batch: dict[str, Any] = {"path": [str(pictures / "0000.png")] * 2, "product": ["part", ""]}
    assert Judge(judging_file)(batch)["product"].tolist() == ["part", None]
    assert Judge(judging_file, product="part")(batch)["product"].tolist() == ["part", "part"]


def test_what_is_no_batch_is_refused(judging_file: Path) -> None:
    with pytest.raises(ConfigError, match="found item"):
        Judge(judging_file)({"item": ["a.png"]})
    with pytest.raises(BundleError, match="expected 0123"):
        Judge(judging_file, digest="0123")({"path": []})


def test_a_table_has_the_same_types_whatever_is_in_it(pictures: Path, judging_file: Path) -> None:
    pytest.importorskip("pyarrow", reason="pyarrow, of blemish[ray], is absent")
    judge = ArrowJudge(judging_file, product="part")
    paths = sorted(map(str, pictures.iterdir()))
    with_regions = judge({"path": np.array(paths[:8], object), "shift": np.arange(8)})
    nothing = judge({"path": ["no.png"]})
    assert with_regions.drop_columns("shift").schema == nothing.schema
    assert with_regions["shift"].to_pylist() == list(range(8))
    assert any(with_regions["regions"].to_pylist())
    assert "no such file" in nothing["error"][0].as_py()


@pytest.mark.slow
def test_ray_data_writes_what_a_plain_run_writes(
    pictures: Path, judging_file: Path, plain_rows: Any, tmp_path: Path
) -> None:
    ray = pytest.importorskip("ray", reason="Ray, of blemish[ray], is absent")
    pytest.importorskip("pandas", reason="pandas, which Ray Data needs, is absent")
    from pyarrow.dataset import dataset

    ray.init(
        address="local",
        num_cpus=2,
        include_dashboard=False,
        object_store_memory=200 * 2**20,
        log_to_driver=False,
    )
    try:
        items = [{"path": str(path)} for path in sorted(pictures.iterdir())]
        ray.data.from_items(items).map_batches(
            ArrowJudge,
            fn_constructor_args=[str(judging_file)],
            fn_constructor_kwargs={"batch_size": 1},
            batch_size=40,
            compute=ray.data.ActorPoolStrategy(size=1),
        ).write_parquet(str(tmp_path / "verdicts"))
    finally:
        ray.shutdown()
    assert_same(dataset(tmp_path / "verdicts").to_table().to_pylist(), plain_rows)
