"""The one training loop: data, forward, losses, step, log, checkpoint, in the order in which they happen."""

from __future__ import annotations

import contextlib
import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import timm.optim
import torch
import yaml
from accelerate import Accelerator
from accelerate.utils import DataLoaderConfiguration
from torch import Tensor
from torch.utils.data import DataLoader

from vlqa import hub
from vlqa.artifacts import atomic_write
from vlqa.errors import ConfigError, VLQAError
from vlqa.predictors.ensemble import vision_language_view
from vlqa.runtime import keep_freed_memory
from vlqa.training.build import build_run
from vlqa.training.checkpoint import last_state, random_state, restore_random_state, write_state
from vlqa.training.config import OptimizerConfig, PristineConfig, TrainConfig, read_config
from vlqa.training.pristine import fit_pristine
from vlqa.training.progress import Progress

_MAY_CHANGE = {"name", "output", "half", "steps", "checkpoint_every", "log_every", "precision", "optimizer"}
"""Keys of a recipe that a resumed run may have otherwise than before."""


def train(
    config: TrainConfig | PristineConfig | str | Path | Mapping[str, Any],
    *,
    overrides: Sequence[str] = (),
    resume: bool = False,
    limit_steps: int | None = None,
    quiet: bool = False,
) -> Path:
    """Train a model from a recipe.

    A run that is killed goes on with `resume` from its last checkpoint and gives the losses it would have given: a
    batch depends on the seed and its number alone.

    Args:
        config: a recipe, its file, or the name of one that comes with vlqa.
        overrides: "key=value" changes to the recipe.
        resume: go on from the last checkpoint in the recipe's output folder, if there is one.
        limit_steps: stop after so many steps in all, as a dry run; the learning rate still follows the whole recipe.
        quiet: no progress on standard error.

    Returns:
        The folder of the trained model, `<output>/model`, which `vlqa.load` takes.

    Raises:
        ConfigError: a wrong recipe, or an output folder that holds another run.
    """
    if not isinstance(config, TrainConfig | PristineConfig):
        config = read_config(config, overrides)
    if isinstance(config, PristineConfig):
        return fit_pristine(config)
    keep_freed_memory()
    accelerator = Accelerator(
        mixed_precision="no",  # it is one for all runs of a process: the recipe's precision is a matter of this loop
        dataloader_config=DataLoaderConfiguration(split_batches=True),
    )
    torch.manual_seed(config.seed)
    run = build_run(config)
    optimizer = build_optimizer(run.objective, config.optimizer)

    parts_of_batch = config.accumulate * accelerator.num_processes
    if run.batch_size % parts_of_batch:
        what = "accumulate" if accelerator.num_processes == 1 else "accumulate × processes"
        raise ConfigError(f"{what}: a batch of {run.batch_size} has no {parts_of_batch} equal parts")

    start = 0
    checkpoints = config.output / "checkpoints"
    stored = last_state(checkpoints)
    if stored and not resume:
        raise ConfigError(f"{config.output} holds a run of {stored[0]} steps; pass --resume, or choose another output")
    if stored:
        start, state = stored
        _check_same_run(config)
        own = [{name: value for name, value in group.items() if name != "params"} for group in optimizer.param_groups]
        try:
            run.objective.load_state_dict(state["objective"])
            optimizer.load_state_dict(state["optimizer"])
            restore_random_state(state["random"])
        except (RuntimeError, ValueError, KeyError):
            raise ConfigError(f"{config.output} holds a run of another recipe; choose another output") from None
        for group, options in zip(optimizer.param_groups, own, strict=True):
            group.update(options, initial_lr=options["lr"])  # the recipe's, which may not be those of the state
    factor = warmup_cosine(config.optimizer, config.steps)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor, last_epoch=start - 1)
    last = config.steps if limit_steps is None else min(config.steps, limit_steps)
    if accelerator.is_main_process:
        with atomic_write(config.output / "config.yaml", "w") as file:
            yaml.safe_dump(config.model_dump(mode="json"), file, sort_keys=False)
        _keep_metrics_before(config.output / "metrics.jsonl", start)

    loader: Any = DataLoader(
        run.samples,
        batch_size=run.batch_size // config.accumulate,
        sampler=range(start * run.batch_size, last * run.batch_size),
        num_workers=config.data.workers,
        worker_init_fn=_one_thread,
        persistent_workers=False,
        prefetch_factor=4 if config.data.workers else None,
        generator=torch.Generator().manual_seed(config.seed),  # else each start draws from the one that dropout uses
    )
    # the bare objective stays within reach: accelerate may wrap it to average gradients over processes
    objective = run.objective
    model, optimizer, loader = accelerator.prepare(objective, optimizer, loader)
    batches: Iterator[dict[str, Tensor]] = iter(loader)
    began, waited = time.perf_counter(), 0.0

    with Progress(config.name, start, last, shown=accelerator.is_main_process and not quiet) as progress:
        for step in range(start, last):
            objective.train()
            passes = []
            for part in range(config.accumulate):
                asked = time.perf_counter()
                batch = next(batches)
                waited += time.perf_counter() - asked
                last_part = part + 1 == config.accumulate
                with contextlib.nullcontext() if last_part else accelerator.no_sync(model):
                    with torch.autocast(accelerator.device.type, torch.bfloat16, enabled=config.precision == "bf16"):
                        passes.append(model(batch, step))
                    loss = passes[-1][0]
                    if not bool(loss.isfinite()):
                        remedy = (
                            "lower optimizer.learning_rate, --resume" if step else "check the weights it starts from"
                        )
                        raise VLQAError(f"the loss of step {step + 1} is not finite; {remedy}")
                    accelerator.backward(loss / config.accumulate)
            accelerator.clip_grad_norm_(objective.parameters(), config.optimizer.clip_norm)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad(set_to_none=True)

            total, parts = _mean_of(passes)
            parts = accelerator.reduce(parts, "mean")
            total = accelerator.reduce(total, "mean")
            objective.count(parts)
            if (step + 1) % config.steps_per_epoch == 0:
                objective.end_epoch()
            if accelerator.is_main_process:
                values = {name: float(loss) for name, loss in parts.items()}
                progress.update(step + 1, float(total))
                if (step + 1) % config.log_every == 0 or step + 1 == last:
                    took = time.perf_counter() - began
                    speed = {
                        "samples_per_s": round((step + 1 - start) * run.batch_size / took, 2),
                        "model_share": round(1 - waited / took, 3),
                    }
                    _log(config.output / "metrics.jsonl", step, total, values, float(schedule.get_last_lr()[0]), speed)
                if (step + 1) % config.checkpoint_every == 0 or step + 1 == last:
                    state = {
                        "objective": objective.state_dict(),
                        "optimizer": optimizer.state_dict(),
                        "random": random_state(),
                    }
                    write_state(checkpoints, step + 1, state)

    if accelerator.is_main_process:
        _save(run.predictor(), config.output, half=config.half)
    accelerator.wait_for_everyone()
    return config.output / "model"


def _save(predictor: Any, output: Path, *, half: bool) -> None:
    hub.save(predictor, output / "model", half=half)
    high = vision_language_view(predictor)
    if high is not None and high.backbone.adapters is not None:
        hub.save(predictor, output / "merged", merge=True, half=half)


def _mean_of(passes: Sequence[tuple[Tensor, Mapping[str, Tensor]]]) -> tuple[Tensor, dict[str, Tensor]]:
    total = torch.stack([loss.detach() for loss, _ in passes]).mean()
    parts = {name: torch.stack([each[name].detach() for _, each in passes]).mean() for name in passes[0][1]}
    return total, parts


def build_optimizer(objective: torch.nn.Module, config: OptimizerConfig) -> torch.optim.Optimizer:
    """The optimiser of a recipe over all weights that are trained."""
    if config.kind == "muon":
        return _muon(objective, config)
    groups = _decayed_apart(objective, config.weight_decay)
    if config.kind == "adamw":
        return torch.optim.AdamW(groups, lr=config.learning_rate)
    if config.kind == "sgd":
        return torch.optim.SGD(groups, lr=config.learning_rate, momentum=config.momentum)
    optimizer: torch.optim.Optimizer = timm.optim.Lars(groups, lr=config.learning_rate, momentum=config.momentum)
    return optimizer


def _muon(objective: torch.nn.Module, config: OptimizerConfig) -> torch.optim.Optimizer:
    """Orthogonal steps for convolutions over neighbours; AdamW for all other weights, linear readings among them."""
    decayed, others = _decayed_apart(objective, config.weight_decay)
    kernels = [p for p in decayed["params"] if p.ndim == 4]
    linear = {"lr": config.linear_learning_rate or config.learning_rate, "use_fallback": True}
    groups: list[dict[str, Any]] = [
        {**decayed, "params": [p for p in kernels if p.shape[-1] > 1]},
        {**decayed, "params": [p for p in kernels if p.shape[-1] == 1], "use_fallback": True},
        {**decayed, "params": [p for p in decayed["params"] if p.ndim != 4], **linear},
        {**others, **linear},
    ]
    optimizer: torch.optim.Optimizer = timm.optim.Muon(groups, lr=config.learning_rate, momentum=config.momentum)
    return optimizer


def warmup_cosine(config: OptimizerConfig, steps: int) -> Any:
    """Factor of the learning rate at each step: linear warm-up, then half a cosine or several."""

    def factor(step: int) -> float:
        if step < config.warmup_steps:
            return (step + 1) / config.warmup_steps
        progress = (step - config.warmup_steps) / (config.half_period or max(steps - config.warmup_steps, 1))
        if config.half_period is None:
            progress = min(progress, 1)
        return config.final_fraction + (1 - config.final_fraction) * (1 + math.cos(math.pi * progress)) / 2

    return factor


def _decayed_apart(module: torch.nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Weight decay for matrices and kernels only; gains, biases and the temperature go without."""
    trained = [p for p in module.parameters() if p.requires_grad]
    return [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]


def _one_thread(worker: int) -> None:
    cv2.setNumThreads(0)
    torch.set_num_threads(1)


def _check_same_run(config: TrainConfig) -> None:
    """Going on with other data or another model would be a run that nobody can repeat; steps and rates may change."""
    path = config.output / "config.yaml"
    try:
        before = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except (yaml.YAMLError, UnicodeDecodeError):
        before = None
    if not isinstance(before, dict):
        raise ConfigError(f"{path}: damaged, so that nobody knows which run it was; delete it to go on all the same")
    now = config.model_dump(mode="json")
    for key in now.keys() - _MAY_CHANGE:
        if key in before and before[key] != now[key]:
            raise ConfigError(f"{config.output} holds a run with another {key}; choose another output to change it")
    kind = before.get("optimizer", {}).get("kind", config.optimizer.kind)
    if kind != config.optimizer.kind:
        raise ConfigError(f"{config.output} holds a run with optimizer.kind {kind}; choose another output to change it")


def _keep_metrics_before(path: Path, step: int) -> None:
    kept = []
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            with contextlib.suppress(ValueError):  # of a line that a killed run left unfinished
                if json.loads(line)["step"] <= step:
                    kept.append(line)
    with atomic_write(path, "w") as file:
        file.writelines(f"{line}\n" for line in kept)


def _log(
    path: Path,
    step: int,
    total: Tensor,
    values: Mapping[str, float],
    learning_rate: float,
    speed: Mapping[str, float],
) -> None:
    record = {
        "step": step + 1,
        "loss": float(total),
        **values,
        "learning_rate": learning_rate,
        **speed,  # samples a second, and the share of the time that was not spent waiting for them
    }
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")
