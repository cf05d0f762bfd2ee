"""TinyViT-11M (Wu et al. 2022, arXiv 2207.10666) as timm builds it, with its window padding collapsed exactly.

timm pads a map smaller than the attention window with zeros up to the window: at 32x32 images the third stage attends
over 14 x 14 = 196 tokens of which 4 are real. The padded tokens are all the same token (LayerNorm of zero is its
bias); they take part as keys and values, and what they output is cropped. So one extra key and value, whose attention
bias is the log-sum-exp over the padded positions of the query's bias row, gives the same outputs and gradients:

    sum over padded p of exp(q k_pad + bias_p) v_pad  =  exp(q k_pad + logsumexp_p bias_p) v_pad
"""

from __future__ import annotations

import timm
import torch
from timm.models.tiny_vit import Attention, TinyVit, TinyVitBlock
from torch import Tensor, nn

# log 0 for positions that no padded token takes: exp of it is 0, and it is finite, so that a check for finite buffers
# and a round trip through bfloat16 both hold.
LOG_ZERO = -1e30

PARTS = {  # both patch-embedding convolutions; the three transformer stages; the head's normalisation is in no part
    "stem": ["patch_embed.conv1.conv", "patch_embed.conv2.conv"],
    "blocks": ["stages.1", "stages.2", "stages.3"],
    "hidden": [],
    "head": "head.fc",
}


class CollapsedAttention(Attention):
    """timm's `Attention` with a way to attend from part of a window as if the rest were zero padding.

    Nothing derived from the weights is kept between calls: timm keeps the gathered biases of a network in eval mode,
    which go stale when weights change without a call of `train()`, and hold a freed graph after a backward pass.
    """

    collapsed_map: tuple[int, int]  # (height, width) that the two buffers below are for
    collapsed_index: Tensor  # (n, n): row of the bias table for each pair of real tokens
    collapsed_log_count: Tensor  # (n, ws^2): log of how many padded tokens are at each offset from each real one

    def get_attention_biases(self, device: torch.device) -> Tensor:
        """(heads, ws^2, ws^2), gathered anew at each call; timm's forward asks for it."""
        return self.attention_biases[:, self.attention_bias_idxs]

    def fit(self, height: int, width: int) -> None:
        """Prepare the constants for maps of height x width pixels, where they are not those at hand."""
        if getattr(self, "collapsed_map", None) == (height, width):
            return
        with torch.inference_mode(False):  # what is made under inference mode could not be trained with later
            index, log_count = _constants(self.attention_bias_idxs, self.resolution, height, width)
        self.register_buffer("collapsed_index", index, persistent=False)
        self.register_buffer("collapsed_log_count", log_count.to(self.attention_biases.dtype), persistent=False)
        self.collapsed_map = (height, width)

    def attend(self, tokens: Tensor) -> Tensor:
        """What timm's forward gives for the real tokens of a zero-padded window; `fit` the map first.

        tokens: (N, n, C), the map row by row; the result has the same shape.
        """
        count, real, _ = tokens.shape
        query, key, value = self._heads(self.norm(tokens))
        _, pad_key, pad_value = self._heads(self.norm.bias.expand(1, 1, -1))
        key = torch.cat([key, pad_key.expand(count, -1, -1, -1)], dim=2)
        value = torch.cat([value, pad_value.expand(count, -1, -1, -1)], dim=2)
        scores = (query * self.scale) @ key.transpose(-2, -1) + self._collapsed_biases()
        mixed = scores.softmax(dim=-1) @ value
        return self.proj(mixed.transpose(1, 2).reshape(count, real, self.out_dim))

    def _heads(self, normed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(N, n, C) to queries, keys and values, each (N, heads, n, channels per head)."""
        count, length, _ = normed.shape
        split = self.qkv(normed).view(count, length, self.num_heads, -1).transpose(1, 2)
        query, key, value = split.split([self.key_dim, self.key_dim, self.val_dim], dim=-1)
        return query, key, value

    def _collapsed_biases(self) -> Tensor:
        """(heads, n, n + 1): those between real tokens, then that of the one padded token."""
        table = self.attention_biases
        padded = torch.logsumexp(table[:, None, :] + self.collapsed_log_count, dim=-1, keepdim=True)
        return torch.cat([table[:, self.collapsed_index], padded], dim=-1)


class CollapsedBlock(TinyVitBlock):
    """timm's `TinyVitBlock`, the same function, faster on maps that do not fill one attention window."""

    def collapses(self, height: int, width: int) -> bool:
        """Whether maps of height x width pixels lie in one window and leave some of it to padding."""
        return max(height, width) <= self.window_size and min(height, width) < self.window_size

    def forward(self, maps: Tensor) -> Tensor:
        """(N, H, W, C) to (N, H, W, C). A map that fills one window, or needs several, takes timm's own path."""
        count, height, width, channels = maps.shape
        if not self.collapses(height, width):
            return super().forward(maps)
        self.attn.fit(height, width)
        attended = self.attn.attend(maps.reshape(count, height * width, channels))
        maps = maps + self.drop_path1(attended.view(maps.shape))
        tokens = self.local_conv(maps.permute(0, 3, 1, 2)).flatten(2).transpose(1, 2)
        return (tokens + self.drop_path2(self.mlp(tokens))).view(maps.shape)


def _constants(table_index: Tensor, window: tuple[int, int], height: int, width: int) -> tuple[Tensor, Tensor]:
    """`collapsed_index` and `collapsed_log_count` for a map of height x width at the window's upper left.

    table_index: (ws^2, ws^2), timm's row of the bias table for each pair of positions.
    """
    row = torch.arange(window[0], device=table_index.device)[:, None]
    column = torch.arange(window[1], device=table_index.device)
    real = ((row < height) & (column < width)).flatten()
    to_padded = table_index[real][:, ~real]
    counts = torch.zeros(to_padded.shape[0], table_index.shape[1], dtype=torch.float64, device=table_index.device)
    counts.scatter_add_(1, to_padded, torch.ones_like(to_padded, dtype=torch.float64))
    return table_index[real][:, real], torch.where(counts > 0, counts.log(), LOG_ZERO)


def collapse_padding(model: nn.Module) -> None:
    """Let timm's TinyViT blocks in `model` collapse their padding, in place.

    Modules and parameters stay the same objects, state-dict keys the same names.
    """
    for block in model.modules():
        if type(block) is TinyVitBlock:
            block.__class__ = CollapsedBlock
            block.attn.__class__ = CollapsedAttention


def build(classes: int, image_size: int) -> TinyVit:
    """timm's `tiny_vit_11m_224`, untrained, same parameters and state-dict keys, for images of `image_size` pixels.

    Other image sizes work too; their first batch prepares the constants of the collapsed attention.
    """
    model = timm.create_model("tiny_vit_11m_224", pretrained=False, num_classes=classes)
    collapse_padding(model)
    size = _half(_half(image_size))
    for stage in model.stages[1:]:
        size = _half(size)
        for block in stage.blocks:
            if block.collapses(size, size):
                block.attn.fit(size, size)
    return model


def _half(size: int) -> int:
    """What a 3x3 convolution with stride 2 and padding 1 makes of `size` pixels."""
    return (size + 1) // 2
