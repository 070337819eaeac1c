# SPDX-License-Identifier: Apache-2.0
"""Defines the MatAnyone network (arXiv 2501.14677), as a set of stages without side effects.

Rules of this file:
1. The network keeps nothing between calls: the state of a shot is passed in and returned (matting/state.py).
2. When a stage runs is decided in matting/schedule.py, and memory is searched in memory/read.py.
3. Attribute names are the key names of the published checkpoints, odd ones included: `temp_sparity` is the change
   head, `aux_computer` is used in training only.

Axes: B batch, H W padded frame (multiples of 16), h w stride 16, K key, V value, S sensory, Q queries, D embed_dim.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from matanyone_engine.model.blocks import conv1
from matanyone_engine.model.change_head import ChangeHead
from matanyone_engine.model.decoder import DecoderMaps, MaskDecoder
from matanyone_engine.model.dims import MATANYONE, Dims
from matanyone_engine.model.encoders import ImageFeatures, KeyProjection, MaskEncoder, PixelEncoder
from matanyone_engine.model.fusion import PixelFuser
from matanyone_engine.model.lite import LiteMaskEncoder, LitePixelEncoder
from matanyone_engine.model.lite_decoder import LiteDecoder
from matanyone_engine.model.object_summarizer import ObjectSummarizer
from matanyone_engine.model.object_transformer import ObjectTransformer, TransformerReadout
from matanyone_engine.model.refiner import Refiner

WARM_UP_PASSES = 10
"""The published default."""
LITE_WARM_UP_PASSES = 2
"""The most warm-up passes that a Lite network is trained with."""
IMAGE_MEAN = (0.485, 0.456, 0.406)
IMAGE_STD = (0.229, 0.224, 0.225)


class SensoryAux(nn.Module):
    """Classifies tokens linearly, by weights that are computed from the sensory map. It is used in training only."""

    def __init__(self, dims: Dims) -> None:
        super().__init__()
        self.projection = conv1(dims.sensory_dim, dims.pixel_dim + 1)

    def forward(self, pix: Tensor, sensory: Tensor) -> Tensor:
        """Map (B, pixel_dim, h, w) and (B, S, h, w) to log-odds (B, 1, h, w)."""
        classifier = self.projection(sensory)
        return (pix * classifier[:, :-1]).sum(dim=1, keepdim=True) + classifier[:, -1:]


class AuxComputer(nn.Module):
    """Holds the auxiliary head of the published training recipe. It is used in training only."""

    def __init__(self, dims: Dims) -> None:
        super().__init__()
        self.sensory_aux = SensoryAux(dims)


class MatAnyone(nn.Module):
    """Computes one object on one frame at a time. The methods stand in the order in which a frame runs them."""

    mean: Tensor
    std: Tensor
    digest: str | None = None
    """The digest of the weights as they were stored, where precision.py has changed them for speed; else None."""
    precision: str = "exact"
    """The value of a precision.Precision."""
    half_search: bool = False
    """Whether memory may be searched in half precision (precision.py)."""
    warm_up_passes: int = WARM_UP_PASSES
    """The default number of warm-up passes of a key frame: the paper's, or what suits the weights."""
    core_size: int | None = None
    """The default working size, in pixels of the shortest side; None for the plate's own size (Dims.core_size)."""

    def __init__(self, dims: Dims = MATANYONE) -> None:
        super().__init__()
        self.dims = dims
        self.core_size = dims.core_size
        lite = dims.trunk == "lite0"
        self.pixel_encoder = LitePixelEncoder(dims, IMAGE_MEAN, IMAGE_STD) if lite else PixelEncoder(dims)
        self.pix_feat_proj = conv1(dims.feature_dims[0], dims.pixel_dim)
        self.key_proj = KeyProjection(dims)
        self.mask_encoder = LiteMaskEncoder(dims) if lite else MaskEncoder(dims)
        self.mask_decoder = LiteDecoder(dims) if lite else MaskDecoder(dims)
        self.pixel_fuser = PixelFuser(dims)
        self.object_transformer = ObjectTransformer(dims)
        self.object_summarizer = ObjectSummarizer(dims)
        self.aux_computer = AuxComputer(dims)
        self.temp_sparity = ChangeHead(dims)
        self.refiner = Refiner(dims.refiner_width) if dims.refiner_width else None
        if lite:
            self.warm_up_passes = LITE_WARM_UP_PASSES
        self.register_buffer("mean", torch.tensor(IMAGE_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGE_STD).view(1, 3, 1, 1), persistent=False)

    @property
    def device(self) -> torch.device:
        """Returns the device that the weights are on."""
        return self.mean.device

    def encode_image(self, plate: Tensor) -> ImageFeatures:
        """Encode a padded plate (B, 3, H, W), display-referred 0..1. All objects of a frame share the result."""
        image = (plate - self.mean) / self.std
        f16, f8, f4, f2 = self.pixel_encoder(image)
        skip8, skip4, skip2 = self.mask_decoder.decoder_feat_proc(f8, f4, f2)
        return ImageFeatures(skip8, skip4, skip2, image, self.pix_feat_proj(f16), *self.key_proj(f16))

    def encode_mask(self, features: ImageFeatures, alpha: Tensor) -> Tensor:
        """Encode the alpha (B, 1, H, W) 0..1 of that frame into a value (B, V, h, w)."""
        return self.mask_encoder(features, alpha)

    def update_sensory_from_value(self, value: Tensor, sensory: Tensor) -> Tensor:
        """Return the sensory map (B, S, h, w), updated from the value (B, V, h, w) of a frame that goes into memory.

        This is the deep update in the table of frames in docs/architecture.md.
        """
        return self.mask_encoder.sensory_update(value, sensory)

    def summarize(self, value: Tensor, alpha: Tensor) -> Tensor:
        """Return the object summary of one frame (B, Q, D + 1), not normalised, from (B, V, h, w) and (B, 1, H, W)."""
        return self.object_summarizer(value, alpha)

    def change_logits(
        self, last_pix: Tensor, features: ImageFeatures, last_alpha: Tensor, difference: Tensor
    ) -> Tensor:
        """Return the log-odds (B, 1, h, w) that the object changed at each token since the last frame."""
        return self.temp_sparity(last_pix, features.pix, last_alpha, difference)

    def fuse(self, features: ImageFeatures, value: Tensor, sensory: Tensor, last_alpha: Tensor) -> Tensor:
        """Return the pixel read-out (B, D, h, w).

        value (B, V, h, w) as read from memory, sensory (B, S, h, w), last_alpha (B, 1, H, W) 0..1.
        """
        return self.pixel_fuser(features.pix, value, sensory, last_alpha)

    def transform(self, pixel_readout: Tensor, summary: Tensor) -> TransformerReadout:
        """Map (B, D, h, w) and the normalised summary (B, Q, D) to TransformerReadout."""
        return self.object_transformer(pixel_readout, summary)

    def decode(self, features: ImageFeatures, readout: Tensor) -> DecoderMaps:
        """Decode the transformer's read-out (B, D, h, w) into DecoderMaps; raw_alpha is not clamped."""
        return self.mask_decoder(features, readout)

    def decode_in_strips(self, features: ImageFeatures, readout: Tensor) -> DecoderMaps:
        """Decode as decode() does, but strip by strip, so that no full-size map is whole in memory. p1 is then averaged
        to stride 16.
        """
        return self.mask_decoder.in_strips(features, readout)

    def update_sensory_from_decoder(self, maps: DecoderMaps, sensory: Tensor) -> Tensor:
        """Update the sensory map after a prediction: (B, S, h, w) -> (B, S, h, w)."""
        return self.mask_decoder.sensory_update(maps, sensory)
