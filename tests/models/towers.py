"""Towers small enough to build in a blink, in open_clip's own words."""

from __future__ import annotations

TEXT = {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2}
VIT = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "patch_size": 8, "width": 64, "layers": 2, "head_width": 32},
    "text_cfg": TEXT,
}
RESNET = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 64, "width": 8, "head_width": 8, "layers": [1, 1, 1, 1]},
    "text_cfg": TEXT,
}
QUALITY = {
    "embed_dim": 16,
    "vision_cfg": {"kind": "quality", "widths": [8, 8], "blocks": [1, 1], "hidden": 16, "image_size": 48},
    "text_cfg": {"context_length": 16, "width": 32, "heads": 2, "layers": 2, "vocabulary": [320, 786, 1125]},
}
