"""RADAR: one step of a diffusion model instead of a reconstruction.

"Single-Step Reconstruction-Free Anomaly Detection and Segmentation via Diffusion Models",
arXiv 2508.04818 (2025).

Stated: an attention U-Net learns denoising diffusion on patches of normal images; at inference one
forward pass predicts the noise, nothing is sampled or rebuilt; Sobel edges of the noise map
localise; a feature of two numbers per image (an L2 norm, global; Sobel, local) feeds an Isolation
Forest.
Ours: ε-prediction, T = 1000, linear β, timesteps below ``train_below`` only (later ones are never
used); one timestep, fixed, or chosen for each product on anomalies planted into held-out good
images; noise fixed per position, so that scores repeat, and so the part of it that the network
always misjudges is known: the mean residual of held-out good images is subtracted; patches that
overlap by a quarter, averaged; the residual is the channel-mean of predicted minus added noise;
Sobel along edges that go on; the feature is the residual's rms and the mean of the map's largest
values; an image more regular than usual is not odd; beyond all images the forest has seen, where
its score stands still, the distance is added; calibration sets the limit, not a contamination rate.
Each of several products has a timestep, a mean residual and a forest of its own, which judge the
pictures that look most like it (:mod:`blemish.methods.radar.nearest_product`).
Deviation: there is no teacher, everything is learned from the good images.
``mode=reconstruct`` is the slow way for comparison (AnoDDPM, Wyatt et al., CVPR Workshops 2022,
with deterministic DDIM steps): noise part of the way, denoise all the way back, take the pixel
error; the same U-Net, feature and forest.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blemish.methods.base import Batch, Method, MethodOutput, ParameterGroup, Stage, StepDecay
from blemish.methods.radar.blocks import (
    AttentionUNet,
    NoiseSchedule,
    map_patches,
    patch_stride,
)
from blemish.methods.radar.choice import choose_timestep
from blemish.methods.radar.config import EPOCHS, NETWORKS, STEPS_WITHIN, RADARConfig
from blemish.methods.radar.edges import LongEdges, sobel_magnitude
from blemish.methods.radar.held_out import HeldOutResiduals, by_product
from blemish.methods.radar.isolation_forest import IsolationForest, first_group
from blemish.methods.radar.nearest_product import NearestProduct, product_code
from blemish.methods.settings import MethodConfig
from blemish.nn.anomaly_map import GaussianBlur
from blemish.nn.batch_share import drawn
from blemish.nn.picture_groups import GroupBuffers
from blemish.nn.precision import as_numbers
from blemish.teachers.teacher import NoTeacher, Teacher

#: Side of the noise field, which repeats over larger inputs.
_NOISE_SIDE = 256
#: Held-out images that choose the timestep, and below which a product has none of its own.
_CHOOSING = 8
#: Pixels of held-out residuals that are kept to know what is usual, of all products, and images at
#: the least of each.
_USUAL_PIXELS, _FEWEST_USUAL = 64_000_000, 2


class RADAR(GroupBuffers, Method):
    """RADAR (2025). See the module for what is stated and what is ours.

    Example:
        >>> import torch
        >>> from blemish.methods.radar.config import RADARConfig
        >>> from blemish.methods.radar.model import RADAR
        >>> from blemish.teachers.teacher import build_teacher
        >>> method = RADAR(RADARConfig(), build_teacher("none"), (64, 96)).eval()
        >>> tuple(method(torch.zeros(2, 3, 64, 96)).anomaly_map.shape)
        (2, 1, 64, 96)
    """

    config: RADARConfig
    config_class: ClassVar[type[MethodConfig]] = RADARConfig
    uses_teacher: ClassVar[bool] = False
    shares_batches: ClassVar[bool] = True
    held_out_share: ClassVar[float] = 0.25
    fewest_held_out: ClassVar[int] = 2  # of one alone nothing varies, and no forest grows
    # Prediction uses the moving average of these weights.
    training_only: ClassVar[tuple[str, ...]] = ("unet.",)
    noise: Tensor
    timestep: Tensor  # (G,), of the products with held-out images enough
    usual: Tensor  # (G, 1, H, W)
    least: Tensor  # (G, 2)

    def __init__(self, config: RADARConfig, teacher: Teacher, input_size: tuple[int, int]) -> None:
        # Whatever teacher the caller has at hand, none of it goes into the model file.
        super().__init__(config, NoTeacher(), input_size)
        size = NETWORKS[config.network]
        self.patch = config.patch or size.patch
        self.unet = AttentionUNet(size.widths, blocks=size.blocks, fold=size.fold)
        self.average = copy.deepcopy(self.unet).requires_grad_(False)
        self.schedule = NoiseSchedule()
        self.forest = IsolationForest(2, trees=config.trees)
        self.product = NearestProduct()
        self.smooth = GaussianBlur(config.smooth) if config.smooth else nn.Identity()
        self.long_edges = None
        if config.directions and config.smooth:
            self.long_edges = LongEdges(config.smooth, config.along, config.directions)
        self.blur = GaussianBlur(config.sigma) if config.sigma else nn.Identity()
        generator = torch.Generator().manual_seed(0)
        field = torch.randn(1, 3, _NOISE_SIDE, _NOISE_SIDE, generator=generator)
        # Saved with the model, so that scores do not hang on a generator's version.
        self.register_buffer("noise", field)
        first = config.timesteps[0] if config.timestep is None else config.timestep
        self.register_buffer("timestep", torch.tensor([first]))
        self.register_buffer("usual", torch.zeros(1, 1, *input_size))
        self.register_buffer("least", torch.zeros(1, 2))
        self._notes: list[str] = []

    def stages(self) -> list[Stage]:
        c = self.config
        group = ParameterGroup((self.unet,), c.learning_rate, clip_norm=c.clip_norm)
        steps, epochs = c.steps if c.epochs is None else None, c.epochs
        by_images = steps is None and epochs is None
        return [
            Stage(
                "denoise",
                (group,),
                steps,
                c.batch_size,
                EPOCHS if by_images else epochs,
                schedule=StepDecay(c.decay_at),
                needs_images=True,
                steps_within=STEPS_WITHIN if by_images else None,
            )
        ]

    def loss(self, batch: Batch, stage: Stage) -> dict[str, Tensor]:
        assert batch.images is not None
        clean = self._cut_patches(_scaled(batch.images))  # (M, 3, p, p)
        each, n, device = self.config.patches_per_image, len(batch.images), clean.device
        below, patch = self.config.train_below, clean.shape[1:]
        t = drawn(lambda n: torch.randint(below, (each, n), device=device), n, 1).flatten()
        noise = drawn(lambda n: torch.randn(each, n, *patch, device=device), n, 1).flatten(0, 1)
        predicted = self.unet(self.schedule.add_noise(clean, noise, t), t)
        return {"total": F.mse_loss(predicted, noise)}

    def _cut_patches(self, images: Tensor) -> Tensor:
        """Random patches ``(M, 3, p, p)``, from the images in turn."""
        p = self.patch
        height, width = (max(p, side) for side in images.shape[2:])
        images = _extended(images, height, width)
        each, n = self.config.patches_per_image, len(images)
        tops, lefts = (
            drawn(lambda n, free=side - p + 1: torch.randint(free, (each, n)), n, 1).flatten()  # type: ignore[misc]
            for side in (height, width)
        )
        places = zip(range(each * n), tops.tolist(), lefts.tolist(), strict=True)
        return torch.stack([images[i % len(images), :, y : y + p, x : x + p] for i, y, x in places])

    @torch.no_grad()
    def after_step(self, stage: Stage, step: int) -> None:
        # Shorter memory at first: the average must not remember the random start.
        keep = min(self.config.average, (1 + step) / (10 + step))
        for mean, value in zip(self.average.parameters(), self.unet.parameters(), strict=True):
            mean.lerp_(value, 1 - keep)

    def fit_held_out(self, batches: Iterable[Batch]) -> None:
        codes: dict[str, list[Tensor]] = {}

        def pictures() -> Iterator[tuple[str, Tensor]]:
            for name, image in self._by_product(batches):
                codes.setdefault(name, []).append(product_code(_scaled(image)))
                yield name, image

        found, self._notes = by_product(pictures(), self._measured, enough=_CHOOSING)
        groups = list(dict.fromkeys(found.values()))
        self.timestep = torch.cat([group.timestep for group in groups])
        usual, features = zip(*[group.finish() for group in groups], strict=True)
        self.usual = torch.cat(usual)
        self.fit_forest(*features)
        known = [torch.cat(codes[name]) for name in found]
        self.product.fit(known, [groups.index(group) for group in found.values()])

    def _by_product(self, batches: Iterable[Batch]) -> Iterator[tuple[str, Tensor]]:
        """Name of the product, and image ``(1, 3, H, W)``; all of one where none are known."""
        for batch in batches:
            images = _images(batch)
            names = batch.products if len(self.products) > 1 else None
            yield from zip(names or ("",) * len(images), images.split(1), strict=True)

    def _measured(self, images: list[Tensor]) -> HeldOutResiduals:
        """The first held-out images of a group, at the timestep that they choose."""
        c, single = self.config, self.config.mode == "single_step"
        t = c.timesteps[0] if c.timestep is None else c.timestep
        if c.timestep is None and single and len(images) > 1:
            t = self._chosen(torch.cat(images[:_CHOOSING]))
        timestep = self.timestep.new_tensor([t])
        pixels = math.prod(self.input_size) * max(1, len(self.products))
        found = HeldOutResiduals(
            timestep,
            lambda image: self._residual(image, timestep),
            self._summary,
            # As many as the memory may hold; all later ones are new to what is usual.
            max(_FEWEST_USUAL, _USUAL_PIXELS // pixels) if c.usual and single else 0,
        )
        for image in images:
            found.add(image)
        return found

    def fit_forest(self, *groups: Tensor) -> None:
        """Fit what decides on the features ``(N, 2)`` of held-out good images, of each group."""
        middle = torch.stack([features.median(0).values for features in groups])
        self.least = middle if self.config.one_sided else torch.zeros_like(middle)
        known = [torch.maximum(one, self.least[g]).cpu() for g, one in enumerate(groups)]
        self.forest.fit(*known)

    def score(self, features: Tensor, group: Tensor | None = None) -> Tensor:
        """Raw scores ``(N,)`` of features ``(N, 2)``: the forest's, and the distance beyond it.

        ``group`` ``(N,)`` says by whose forest; ``None``: by the first.
        """
        group = first_group(features) if group is None else group
        features = torch.maximum(features, self.least[group])
        beyond = self.forest.beyond(features, group)
        return self.forest(features, group) + self.config.beyond * beyond

    def notes(self) -> list[str]:
        return self._notes

    def _chosen(self, images: Tensor) -> int:
        """The timestep of ``timesteps`` at which planted anomalies stand out most."""

        def residual(image: Tensor, t: int) -> Tensor:
            return self._residual(image, self.timestep.new_tensor([t]))

        def peak(departure: Tensor) -> Tensor:
            return self._summary(departure)[:, 1]

        return choose_timestep(images, self.config.timesteps, residual, peak)

    def features(self, images: Tensor) -> Tensor:
        """The two numbers per image ``(N, 2)``: rms of the residual, mean of the map's peak."""
        return torch.cat([self._summary(self._departures(one)[0]) for one in images.split(1)])

    def forward(self, images: Tensor) -> MethodOutput:
        if _exporting():
            return self._judge(images)
        # One by one: the memory is bounded by one image's, and no image's last bits depend on
        # which others are judged with it.
        parts = [self._judge(image) for image in images.split(1)]
        maps = torch.cat([part.anomaly_map for part in parts])
        return MethodOutput(maps, torch.cat([part.score for part in parts]), {})

    def _judge(self, images: Tensor) -> MethodOutput:
        departures, group = self._departures(images)
        anomaly_map = self._map(departures)
        score = self.score(self._summary(departures, anomaly_map), group)
        return MethodOutput(anomaly_map, score, {})

    def _departures(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Residuals without what is usual ``(N, 1, H, W)``, and the groups ``(N,)`` that say it."""
        group = self.product(_scaled(images))
        return self._residual(images, self.timestep[group]) - self.usual[group], group

    def residuals(self, images: Tensor) -> Tensor:
        """How wrong the network is at each pixel of images, 0..255: ``(N, 1, H, W)``."""
        each = images.split(1)
        return torch.cat(
            [self._residual(one, self.timestep[self.product(_scaled(one))]) for one in each]
        )

    def _residual(self, images: Tensor, t: Tensor) -> Tensor:
        height, width = images.shape[2:]
        clean = self._padded(_scaled(images))
        if self.config.mode == "reconstruct":
            residual = (clean - self.reconstruct(clean)).abs().mean(1, keepdim=True)
        else:
            residual = self.noise_residual(clean, t)
        return residual[:, :, :height, :width]

    def _map(self, departures: Tensor) -> Tensor:
        """The anomaly map ``(N, 1, H, W)``, each image's by itself."""
        if self.config.mode == "reconstruct":
            return self.blur(departures)
        if self.long_edges is not None:
            return self.blur(self.long_edges(departures))
        return self.blur(sobel_magnitude(self.smooth(departures)))

    def _summary(self, departures: Tensor, anomaly_map: Tensor | None = None) -> Tensor:
        """``(N, 2)``: rms of what departs, and the mean of the largest ``peak`` of the map."""
        rms = departures.square().mean((1, 2, 3)).sqrt()
        pixels = (self._map(departures) if anomaly_map is None else anomaly_map).flatten(1)
        # torch.quantile is limited to 16 million values and has no ONNX form.
        count = max(1, round(self.config.peak * pixels.shape[1]))
        return torch.stack([rms, pixels.topk(count, dim=1).values.mean(1)], 1)

    def noise_residual(self, clean: Tensor, t: Tensor) -> Tensor:
        """Channel-mean of predicted minus added noise ``(N, 1, H, W)``, in one step.

        Pictures ``(N, 3, H, W)`` are in −1..1, their sides as the patches cover them; timesteps
        ``(N,)``.
        """
        noise = self._noise_field(clean)
        noisy = self.schedule.add_noise(clean, noise, t)
        predicted = self._predict(noisy, t, lambda part: part.mean(1, keepdim=True))
        return predicted - noise.mean(1, keepdim=True)

    def reconstruct(self, clean: Tensor) -> Tensor:
        """Noise to ``reverse_from`` and come back in ``reverse_steps`` passes: the slow way.

        Shapes: pictures as for :meth:`noise_residual` → ``(N, 3, H, W)``.
        """
        start, count = self.config.reverse_from, self.config.reverse_steps
        times = torch.linspace(start, 0, count, device=clean.device).round().long()  # (S,)
        x = self.schedule.add_noise(clean, self._noise_field(clean), times[:1])
        for step in range(count):
            now, earlier = times[step : step + 1], times[step + 1 : step + 2]
            predicted = self._predict(x, now, lambda part: part)
            if step + 1 < count:
                x = self.schedule.step_back(x, predicted, now, earlier)
        return self.schedule.predict_clean(x, predicted, times[-1:])

    def _predict(self, noisy: Tensor, t: Tensor, keep: Callable[[Tensor], Tensor]) -> Tensor:
        """What is kept of the noise in pictures, at the timestep of each ``(N,)`` or of all."""
        return map_patches(
            noisy,
            # Of every place of a patch all pictures, one after the other.
            lambda part: keep(self.average(part, t.repeat(part.shape[0] // t.shape[0]))),
            patch=self.patch,
            # About as many pixels at a time as a picture of 512×512 has, and of all pictures.
            chunk=None if _exporting() else len(t) * max(1, 512**2 // self.patch**2 // len(t)),
        )

    def _noise_field(self, images: Tensor) -> Tensor:
        height, width = images.shape[2:]
        times = (1, 1, -(-height // _NOISE_SIDE), -(-width // _NOISE_SIDE))
        return self.noise.repeat(times)[:, :, :height, :width]

    def _padded(self, images: Tensor) -> Tensor:
        """Extended to the right and below to sides that the patches cover."""
        p, stride = self.patch, patch_stride(self.patch)
        height, width = (p + max(0, -(-(side - p) // stride)) * stride for side in images.shape[2:])
        return _extended(images, height, width)

    def in_mode(self, mode: Literal["single_step", "reconstruct"]) -> RADAR:
        """The same trained weights in another mode.

        Its forest must be fitted anew: give it good images with :meth:`fit_held_out` first.
        """
        return self._unfitted(replace(self.config, mode=mode))

    def at_timestep(self, t: int) -> RADAR:
        """The same trained weights with t* fixed; its forest must be fitted anew, as above."""
        return self._unfitted(replace(self.config, timestep=t))

    def _unfitted(self, config: RADARConfig) -> RADAR:
        other = RADAR(config, self.teacher, self.input_size)
        other.average.load_state_dict(self.average.state_dict())
        other.drop_training_only()  # its network has not trained, and nothing predicts with it
        other.noise.copy_(self.noise)
        other.products = self.products
        return other.to(self.noise.device).eval()


def _scaled(images: Tensor) -> Tensor:
    """Pixels 0..255 → −1..1."""
    return as_numbers(images) / 127.5 - 1


def _extended(images: Tensor, height: int, width: int) -> Tensor:
    """Its last row and column repeated below and to the right."""
    more = (0, width - images.shape[3], 0, height - images.shape[2])
    return F.pad(images, more, mode="replicate") if any(more) else images


def _exporting() -> bool:
    """While a graph is traced, there is one call for all patches of all images."""
    traced = torch.jit.is_tracing() or torch.onnx.is_in_onnx_export()  # type: ignore[attr-defined]
    return traced or torch.compiler.is_compiling()


def _images(batch: Batch) -> Tensor:
    if batch.images is None:
        raise ValueError("RADAR works on pixels; expected a batch with images")
    return batch.images
