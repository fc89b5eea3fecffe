"""Every method as a graph: the trained numbers, in both runtimes, for batches of any size.

Teacher and networks are small: the exporter takes blocks one by one, all alike. The real ones are
in the graphs of `model_file`, of PatchCore, and here when slow tests run.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import pytest
import torch
from building import TINY_RADAR, build_method
from numpy.typing import NDArray
from small_teachers import small_teacher

from blemish._progress import Progress
from blemish.data.images.preprocess import Preprocessing
from blemish.data.sources import training_data
from blemish.errors import ConfigError
from blemish.export.graph import intermediate_representation, onnx_graph
from blemish.inspection.network import Network, NetworkOutput
from blemish.methods.base import Batch, Method, MethodOutput
from blemish.methods.borad.model import BoRAD
from blemish.methods.radar.config import NETWORKS
from blemish.methods.radar.model import RADAR
from blemish.methods.rd.config import RDConfig
from blemish.methods.rd.model import RD
from blemish.methods.registry import method_class, names
from blemish.methods.settings import TrainedConfig
from blemish.model_file.bundle import GRAPH
from blemish.runtime.networks import IR, build_network
from blemish.teachers.teacher import build_teacher
from blemish.training.method_network import MethodNetwork
from blemish.training.options import TrainingOptions
from blemish.training.train import train

Pixels = NDArray[np.uint8]
OBLONG, SQUARE = (64, 96), (64, 64)
#: Settings of networks with few parts, by method.
SMALL = {"radar": {"patch": 32, "trees": 8}, "anomem": {"scales": 2}}


def brief(name: str, size: tuple[int, int], images: Pixels, folder: Path) -> Method:
    """Trained for two steps, so that every statistic of it is a fitted one."""
    small = size == OBLONG
    teacher = small_teacher("tiny-three") if small else build_teacher()
    with torch.random.fork_rng(), pytest.MonkeyPatch.context() as patch:
        torch.manual_seed(0)
        trained = issubclass(method_class(name).config_class, TrainedConfig)
        settings: dict[str, Any] = {"steps": 2, "batch_size": 4} if trained else {}
        if small:
            settings |= SMALL.get(name, {})
            patch.setitem(NETWORKS, "small", TINY_RADAR)
        if name == "radar":  # the graph is the same at any timestep
            settings["timestep"] = 150
        method = build_method(name, settings, teacher, size)
        options = TrainingOptions(work_dir=folder, device="cpu")
        train(
            method,
            training_data(images).samples,
            Preprocessing(*size),
            options,
            progress=Progress(quiet=True),
        )
        if isinstance(method, RADAR) and small:
            know_two_products(method)
        if isinstance(method, BoRAD):  # two steps leave its projections next to nothing
            for projection in method.projection.projections:
                projection.scale.data.fill_(1.0)
    return method.eval()


def know_two_products(method: RADAR) -> None:
    """One is as smooth, one as noisy as the pictures of :func:`check`; a timestep for each."""
    noisy = torch.randint(256, (8, 3, *method.input_size), dtype=torch.uint8)
    smooth = torch.arange(256).repeat_interleave(noisy[0].numel() // 256).view(noisy[0].shape)
    smooth = (smooth + torch.randn(8, 1, 1, 1)).clamp(0, 255).to(torch.uint8)
    method.products = ("smooth", "noisy")
    with torch.inference_mode():
        method.fit_held_out(
            Batch(images=images, products=(product,) * 8)
            for images, product in zip((smooth, noisy), method.products, strict=True)
        )
        method.timestep[1] = 400
        pictures = torch.cat([smooth, noisy]).float() / 127.5 - 1
        assert method.product(pictures).unique().tolist() == [0, 1]


class Exported(NamedTuple):
    """A method and its graph; whether making the graph left the method as it was."""

    method: Method
    graph: bytes
    untouched: bool


def agree(one: NetworkOutput, other: NetworkOutput) -> None:
    """To a tenth of what an export may differ by."""
    assert one.branches.keys() == other.branches.keys()
    pairs = {"maps": (one.maps, other.maps), "scores": (one.scores, other.scores)}
    pairs |= {name: (one.branches[name], other.branches[name]) for name in one.branches}
    assert (one.departures is None) == (other.departures is None)
    if one.departures is not None and other.departures is not None:
        pairs["departures"] = (one.departures, other.departures)
    for what, (a, b) in pairs.items():
        assert a.shape == b.shape, what
        assert a.dtype == b.dtype, what
        # Standardised scores lie around zero, and one is their unit.
        scale = max(np.abs(a).max(), 1.0 if a.ndim == 1 else 0.0)
        assert np.abs(a - b).max() <= 1e-4 * scale, what


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(
            (name, size),
            marks=[] if size == OBLONG else pytest.mark.slow,
            id=f"{name}-{size[0]}x{size[1]}",
        )
        for name in names()
        for size in (OBLONG, SQUARE)
    ],
)
def exported(
    request: pytest.FixtureRequest,
    good_parts: Pixels,
    tmp_path_factory: pytest.TempPathFactory,
) -> Exported:
    name, size = request.param
    method = brief(name, size, good_parts, tmp_path_factory.mktemp("work")).train()
    before = {key: value.clone() for key, value in method.state_dict().items()}
    numbers = torch.get_rng_state()
    graph = onnx_graph(method)
    untouched = (
        method.training
        and method.state_dict().keys() == before.keys()
        and all(torch.equal(value, before[key]) for key, value in method.state_dict().items())
        and torch.equal(torch.get_rng_state(), numbers)
    )
    return Exported(method.eval(), graph, untouched)


def check(method: Method, network: Network) -> None:
    rng = np.random.default_rng(0)
    for count in (1, 5):
        noise = rng.integers(0, 256, (count, *method.input_size, 3)).astype(np.uint8)
        smooth = np.linspace(0, 255, noise.size).astype(np.uint8).reshape(noise.shape)
        for pixels in (noise, smooth, np.concatenate([noise, smooth])):
            agree(MethodNetwork(method)(pixels), network(pixels))


def test_onnx_runtime_gives_the_trained_numbers(exported: Exported) -> None:
    method, graph, _ = exported
    check(method, build_network("onnx", {GRAPH: graph}, method.branch_names, threads=1))


def test_openvino_gives_the_trained_numbers(exported: Exported) -> None:
    pytest.importorskip("openvino")
    method, graph, _ = exported
    files = dict(zip(IR, intermediate_representation(graph), strict=True))
    check(method, build_network("openvino", files, method.branch_names, threads=1))


def test_the_graph_holds_nothing_of_the_machine_it_was_made_on(
    exported: Exported,
) -> None:
    graph = exported.graph
    model = onnx.load_from_string(graph)
    assert not [node.op_type for node in model.graph.node if node.op_type == "BatchNormalization"]
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param
    for trace in (b"site-packages", b"Traceback", str(Path(torch.__file__).parent).encode()):
        assert trace not in graph
    assert str(Path(__file__).parents[2]).encode() not in graph


def test_exporting_leaves_the_method_and_the_random_numbers_as_they_were(
    exported: Exported,
) -> None:
    assert exported.untouched


def test_a_method_without_counterpart_in_onnx_says_why() -> None:
    class Asking(RD):
        def forward(self, images: torch.Tensor) -> MethodOutput:
            if int(images.max()) > 255:  # a question that a graph cannot ask
                images = images * 0
            return super().forward(images)

    method = Asking(RDConfig(), small_teacher("tiny-three"), SQUARE)
    with pytest.raises(ConfigError, match=r"Asking model cannot be exported: .{20}"):
        onnx_graph(method)


def test_random_weights_give_another_graph(draw_part: Callable[..., Pixels]) -> None:
    """The comparison above can fail: two models of one method disagree by far more."""
    pixels = draw_part(0)[None]
    with torch.random.fork_rng():
        one, other = (build_method("rd", {}, build_teacher(), SQUARE).eval() for _ in range(2))
    with pytest.raises(AssertionError):
        agree(MethodNetwork(one)(pixels), MethodNetwork(other)(pixels))
