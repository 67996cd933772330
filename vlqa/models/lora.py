"""Low-rank adapters on a backbone (LoRA, arXiv 2106.09685). The only file that imports peft."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from vlqa.artifacts import write_tensors
from vlqa.errors import CheckpointError, ConfigError, did_you_mean
from vlqa.models.clip_backbone import ClipBackbone
from vlqa.models.split_attention import SplitAttention, join_attention, joined_names, split_attention

if TYPE_CHECKING:
    from peft import PeftModel

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
"""Files of an adapter in peft's format."""

_TOWERS = {"image": "visual", "text": "text"}
_ATTENTION = re.compile(r"(.*\.)?(self_)?attn(pool)?\.[^.]+")
_BASE = "vlqa:"


@dataclass(frozen=True)
class LoraOptions:
    """Size and place of a new adapter.

    Attributes:
        rank: of the product B·A that is added to a weight.
        alpha: the product is scaled by alpha / rank.
        dropout: share of inputs left out while training.
        towers: "image", "text" or both.
        targets: "attention", "all" (every linear and convolution layer), or ends of module names ("c_fc", "head.1").
    """

    rank: int = 8
    alpha: float = 16.0
    dropout: float = 0.0
    towers: tuple[Literal["image", "text"], ...] = ("image",)
    targets: Literal["attention", "all"] | tuple[str, ...] = "attention"


class Adapters:
    """Adapters of one backbone, of which one at most is in use: W x + (alpha / rank)·B A x (arXiv 2106.09685, eq. 3).

    The backbone's own weights stay as they are and are not trained while it has adapters; switching loads nothing.
    Torch's attention is split into linear layers meanwhile, under which names peft's files know them.

    Args:
        backbone: changed in place.
    """

    def __init__(self, backbone: ClipBackbone) -> None:
        self.backbone = backbone
        self.base_digest = backbone.digest
        split_attention(backbone)
        self._layers = {tower: tuple(_layers(getattr(backbone, module))) for tower, module in _TOWERS.items()}
        self._active: str | None = None
        self._peft: PeftModel | None = None
        backbone.adapters = self

    @property
    def names(self) -> tuple[str, ...]:
        """Of all adapters, in the order in which they came."""
        return () if self._peft is None else tuple(self._peft.peft_config)

    def add(self, name: str, options: LoraOptions) -> None:
        """A new adapter, in use and ready to be trained; it changes nothing until it is.

        Raises:
            ConfigError: a name that is taken, or targets that the backbone has not.
        """
        from peft import LoraConfig

        self._check_new(name)
        config = LoraConfig(
            r=options.rank,
            lora_alpha=options.alpha,
            lora_dropout=options.dropout,
            target_modules=self._targets(options),
            base_model_name_or_path=_BASE + self.base_digest,
        )
        self._inject(name, config)
        self.use(name)

    def read(self, folder: Path, name: str) -> None:
        """An adapter from a folder in peft's format; the first one is put in use.

        Raises:
            CheckpointError: no adapter there, or one that was trained on another base.
        """
        from peft import LoraConfig, set_peft_model_state_dict
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        for file in (CONFIG, WEIGHTS):
            if not (folder / file).is_file():
                raise CheckpointError(f"{folder}: no adapter there: {file} is missing")
        self._check_new(name)
        try:
            config = LoraConfig.from_pretrained(str(folder))
            weights = load_file(folder / WEIGHTS)
        except (SafetensorError, ValueError, TypeError, KeyError) as error:
            raise CheckpointError(f"{folder}: not an adapter in peft's format ({error})") from None
        base = str(config.base_model_name_or_path)
        if base != _BASE + self.base_digest:
            found = base.removeprefix(_BASE)[:16]
            raise CheckpointError(
                f"{folder}: this adapter belongs to the base {found}, not to {self.base_digest[:16]}; load it on that"
            )
        if config.modules_to_save:
            whole = ", ".join(config.modules_to_save)
            raise CheckpointError(f"{folder}: layers trained whole (modules_to_save {whole}) are not read; merge them")
        before = self.active if self.names else name
        self._inject(name, config)
        try:
            outcome = set_peft_model_state_dict(self._wrapped, weights, adapter_name=name)
            own = re.compile(rf"\.lora_\w+\.{name}(\.|$)")  # a part of the backbone may have the same name
            wrong = [key for key in outcome.missing_keys if own.search(key)] + list(outcome.unexpected_keys)
        except RuntimeError as error:  # shapes, over several lines
            wrong = [" ".join(str(error).split())[:200]]
        if wrong:
            self._forget(name)
            raise CheckpointError(f"{folder}: tensors do not fit its configuration: {wrong[0]}")
        self.use(before)

    def write(self, name: str, folder: Path) -> None:
        """Save an adapter in peft's own format."""
        from peft import get_peft_model_state_dict

        config = self._wrapped.peft_config[self._known(name)]
        weights = get_peft_model_state_dict(self._wrapped, adapter_name=name, save_embedding_layers=False)
        write_tensors(folder / WEIGHTS, weights, {"format": "pt"})
        config.save_pretrained(str(folder))

    @property
    def active(self) -> str | None:
        """The adapter in use; None where the backbone runs as it was."""
        return self._active

    def use(self, name: str | None) -> None:
        """Put one adapter in use, or none.

        Raises:
            ConfigError: no such adapter.
        """
        if name is not None:
            self._wrapped.set_adapter(self._known(name))
        for layer in _adapted(self.backbone):
            layer.enable_adapters(name is not None)
        self._active = name

    def average(self, names: Sequence[str], name: str) -> None:
        """The mean of what several adapters add to the weights, as one new adapter in use; the several are dropped.

        Its rank is the sum of theirs, and nothing is lost by it (peft's combination "cat").

        Raises:
            ConfigError: a name that is not there, or a new one that is taken.
        """
        self._check_new(name)
        for each in names:
            self._known(each)
        shares = [1 / len(names)] * len(names)
        with torch.random.fork_rng():  # peft draws values that the mean replaces
            self._wrapped.base_model.add_weighted_adapter(list(names), shares, name, combination_type="cat")
        self._settle()
        self.use(name)
        for each in names:
            self._wrapped.delete_adapter(each)

    def merge(self) -> ClipBackbone:
        """Add the adapter in use to the weights and drop them all: the backbone is a plain one again."""
        if self._peft is not None:
            if self.active is None:
                self._peft.unload()
            else:
                self._peft.merge_and_unload(adapter_names=[self.active])
        self._peft = None
        self._active = None
        join_attention(self.backbone)
        self.backbone.merges += 1
        self.backbone.adapters = None
        return self.backbone.requires_grad_(False)

    def base_state(self) -> dict[str, Tensor]:
        """The backbone's own state dict, as it was without adapters."""
        state = self.backbone.state_dict()
        plain = {name.replace(".base_layer", ""): tensor for name, tensor in state.items() if ".lora_" not in name}
        split = [name for name, module in self.backbone.named_modules() if isinstance(module, SplitAttention)]
        return joined_names(plain, [f"{name}." for name in split])

    def _targets(self, options: LoraOptions) -> list[str]:
        chosen = options.targets

        def fits(name: str) -> bool:
            if chosen == "attention":
                return _ATTENTION.fullmatch(name) is not None
            return chosen == "all" or any(f".{name}".endswith(f".{end}") for end in chosen)

        found = {tower: [name for name in self._layers[tower] if fits(name)] for tower in options.towers}
        without = [tower for tower, names in found.items() if not names]
        if without and (len(without) == len(found) or isinstance(chosen, str)):
            where = " and ".join(without)
            raise ConfigError(f"the {where} tower has no layers {chosen!r}; give 'attention', 'all' or their names")
        return [f"{_TOWERS[tower]}.{name}" for tower, names in found.items() for name in names]

    @property
    def _wrapped(self) -> PeftModel:
        if self._peft is None:
            raise ConfigError("this backbone has no adapters; add or read one first")
        return self._peft

    def _inject(self, name: str, config: Any) -> None:
        from peft import PeftModel

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of models that transformers did not make
            try:
                if self._peft is None:
                    self._peft = PeftModel(self.backbone, config, adapter_name=name)
                else:
                    self._peft.add_adapter(name, config)
            except (ValueError, TypeError) as error:
                raise ConfigError(f"adapter {name!r}: {str(error).splitlines()[0]}") from None
        self._settle()

    def _settle(self) -> None:
        """Let the dropout of new adapters, which peft leaves at work, rest where their layer is not being trained."""
        for layer in _adapted(self.backbone):
            layer.train(layer.get_base_layer().training)

    def _forget(self, name: str) -> None:
        if self.names == (name,):
            self._wrapped.unload()
            self._peft = None
            self._active = None
        else:
            before = self.active
            self._wrapped.delete_adapter(name)
            self.use(before)

    def _check_new(self, name: str) -> None:
        if name in self.names:
            raise ConfigError(f"there is an adapter {name!r} already; choose another name")
        if not re.fullmatch(r"[\w-]+", name):
            raise ConfigError(f"an adapter's name has letters, digits, - and _ only, not {name!r}")
        if hasattr(nn.ModuleDict(), name) or hasattr(nn.ParameterDict(), name):  # in which peft keeps them by name
            raise ConfigError(f"an adapter cannot be called {name!r}, a word of torch's own; choose another name")

    def _known(self, name: str) -> str:
        if name not in self.names:
            there = ", ".join(self.names) or "none"
            raise ConfigError(f"there is no adapter {name!r}; there are {there}{did_you_mean(name, self.names)}")
        return name


def _layers(tower: nn.Module) -> Iterator[str]:
    """Names of the layers that can have an adapter: not of torch's own attention where it could not be split.

    That one reads the weights of its last layer without calling it, and grouped convolutions have no low rank.
    """
    modules = dict(tower.named_modules())
    whole = tuple(f"{name}." for name, module in modules.items() if isinstance(module, nn.MultiheadAttention))
    for name, module in modules.items():
        fits = isinstance(module, nn.Linear) or (isinstance(module, nn.Conv2d) and module.groups == 1)
        if fits and not name.startswith(whole):
            yield name


def _adapted(backbone: nn.Module) -> Iterator[Any]:
    from peft.tuners.tuners_utils import BaseTunerLayer

    return (module for module in backbone.modules() if isinstance(module, BaseTunerLayer))
