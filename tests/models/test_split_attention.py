from __future__ import annotations

import pytest
import torch
from torch import nn

from vlqa.models.split_attention import SplitAttention, join_attention, split_attention


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("mask", [None, "additive", "boolean", "per head"])
def test_gives_what_torchs_attention_gives(batch_first: bool, bias: bool, mask: str | None) -> None:
    torch.manual_seed(0)
    whole = nn.MultiheadAttention(12, 3, bias=bias, batch_first=batch_first).eval()
    whole.requires_grad_(True)
    if bias:
        nn.init.normal_(whole.in_proj_bias)
    tokens = torch.randn(2, 5, 12) if batch_first else torch.randn(5, 2, 12)
    future = torch.ones(5, 5, dtype=torch.bool).triu(1)
    masks = {
        "additive": torch.zeros(5, 5).masked_fill(future, -torch.inf),
        "boolean": future,
        "per head": torch.randn(6, 5, 5),
    }
    attn_mask = masks.get(mask or "")
    expected, _ = whole(tokens, tokens, tokens, need_weights=False, attn_mask=attn_mask)
    found, _ = SplitAttention(whole)(tokens, tokens, tokens, attn_mask=attn_mask)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_splitting_and_joining_leaves_the_module_as_it_was() -> None:
    layer = nn.TransformerEncoderLayer(8, 2, dropout=0.0, batch_first=True).eval()
    before = {name: tensor.clone() for name, tensor in layer.state_dict().items()}
    split_attention(layer)
    assert isinstance(layer.self_attn, SplitAttention)
    join_attention(layer)
    after = layer.state_dict()
    assert after.keys() == before.keys() and all(torch.equal(after[name], before[name]) for name in before)
    assert type(layer.self_attn) is nn.MultiheadAttention and not layer.self_attn.training


def test_attention_between_widths_stays_whole() -> None:
    between = nn.ModuleList([nn.MultiheadAttention(8, 2, kdim=4, vdim=4)])
    split_attention(between)
    assert type(between[0]) is nn.MultiheadAttention


def test_weights_are_not_kept() -> None:
    split = SplitAttention(nn.MultiheadAttention(8, 2))
    tokens = torch.zeros(3, 1, 8)
    with pytest.raises(NotImplementedError, match="need_weights=False"):
        split(tokens, tokens, tokens, need_weights=True)
