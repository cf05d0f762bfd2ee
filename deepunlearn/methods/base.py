"""What a method is, and what it gets to see."""

from __future__ import annotations

import copy
import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepunlearn.archs.anatomy import Anatomy
from deepunlearn.core.errors import SMALLER_RATE, ConfigError, Diverged, NotApplicable
from deepunlearn.core.params import Value
from deepunlearn.data.loader import Part
from deepunlearn.learning import Recorded, Shards
from deepunlearn.ops.adversarial import check_real
from deepunlearn.ops.convolutions import Convolution, convolutions
from deepunlearn.ops.frozen import Frozen, nothing_to_move
from deepunlearn.ops.last_blocks import parameters_of
from deepunlearn.ops.optim import adam, sgd
from deepunlearn.ops.step import Losses, Step, gradients_of
from deepunlearn.runtime import Runtime
from deepunlearn.training import predict


@dataclass
class Problem:
    """Everything a method may use: no test set, no retrained model, no device.

    original: f_O, fixed, in evaluation mode (for teachers); model: the working copy to unlearn in place; retain,
    forget, val: un-augmented data; anatomy: stem, blocks and head of `model`; generator: the run's CPU generator;
    frozen: names of parameters that must stay as they are; notes: what a method wants to have recorded about its run.
    """

    original: nn.Module
    model: nn.Module
    anatomy: Anatomy
    retain: Part
    forget: Part
    val: Part
    classes: int
    generator: torch.Generator
    _fresh: Callable[[], nn.Module]
    _runtime: Runtime
    frozen: frozenset[str] = frozenset()
    _kept: frozenset[str] = frozenset()  # parameters of fresh networks that are not fresh, for a user's model
    _unbounded: frozenset[str] = frozenset()  # buffers of a user's model that hold infinity from the start
    _recorded: Recorded | Shards | None = None
    _difficulty: Tensor | None = None
    notes: dict[str, Value] = field(default_factory=dict)
    _watched: list[Losses] = field(default_factory=list)
    _masks: dict[Tensor, Tensor] = field(default_factory=dict)
    _outside_clock: Callable[[], AbstractContextManager[None]] = nullcontext

    def __post_init__(self) -> None:
        self._held = Frozen(self.model, self.frozen)
        self.train_only(self.model.parameters())

    def batches(self, part: Part, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """One shuffled epoch of training (images [B, 3, S, S], labels [B]); none so small that it would do harm."""
        return part.batches(batch_size, self.generator)

    def blocks(self, part: Part, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The same for sums over all samples, in evaluation mode."""
        return part.blocks(size, self.generator)

    def endless(self, part: Part, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of `part` for ever, shuffled anew in each round."""
        while True:
            yield from self.batches(part, batch_size)

    @property
    def pixel_std(self) -> Tensor | None:
        """[1, C, 1, 1]: how much of a pixel's range [0, 1] one unit of a normalised image is.

        None where inputs are rows of a table, or a caller's own, whose units are not known.
        """
        return self.forget.pixel_std

    @property
    def pixel_bounds(self) -> tuple[Tensor, Tensor] | None:
        """Black and white as they are in normalised images, [1, C, 1, 1] each; None as `pixel_std`."""
        return self.forget.pixel_bounds

    def batches_with(
        self, part: Part, images: Tensor, labels: Tensor, batch_size: int
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """One shuffled epoch of training over the samples of `part` and `images` [N, ...] with their `labels` [N]."""
        return self.batches(part.beside(images, labels), batch_size)

    def learnt_noise(self, like: Tensor, loss: Callable[[Tensor], Tensor], *, lr: float, steps: int) -> Tensor:
        """Noise shaped as the images `like`, N(0, 1) moved by `steps` of Adam so that `loss(noise)` falls.

        The working copy is fixed meanwhile, in evaluation mode, in which it is left. Raises NotApplicable where samples
        are no real numbers.
        """
        check_real(like)
        self.model.eval()
        noise = torch.empty_like(like).copy_(torch.randn(like.shape, generator=self.generator)).requires_grad_()
        optimizer = adam([noise], lr=lr)
        for _ in range(steps):
            with self._runtime.autocast():
                value = loss(noise)
            (noise.grad,) = gradients_of(value, [noise])
            optimizer.step()
        return noise.detach()

    def with_features(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(logits [B, K] of the working copy, features [B, D]: what its head is given).

        Raises NotApplicable where the head is given anything else than a row per sample, or none of it.
        """
        given: list[Tensor] = []
        hook = self.anatomy.head.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
        try:
            logits = self.model(x)
        finally:
            hook.remove()
        shapes = [tuple(one.shape) for one in given]
        if len(given) != 1 or given[0].dim() != 2 or len(given[0]) != len(x):
            raise NotApplicable(
                "the head of this model is not given one row of features for each sample",
                given=f"{shapes or 'nothing'} for {len(x)} samples",
                allowed="[samples, features], once in a forward pass",
                remedy='name the last linear layer: parts={"head": "fc"}, or arch.parts.head=fc in a command',
            )
        return logits, given[0]

    def row_beside_head(self) -> nn.Linear:
        """A newly drawn output beside the head, from its features [B, D] to [B, 1]: no part of the working copy.

        Raises NotApplicable as `with_features`.
        """
        self.model.eval()
        x, _ = next(self.forget.blocks(1))
        with torch.no_grad():
            _, features = self.with_features(x)
        return nn.Linear(features.shape[1], 1).to(features)

    # ---------------------------------------------------------------------------------------------- what may move

    def sgd(
        self, *, lr: float, weight_decay: float = 0.0, momentum: float = 0.9, beside: Iterable[nn.Parameter] = ()
    ) -> torch.optim.Optimizer:
        """SGD over the trainable parameters of the working copy, within the masks, and over those `beside` it."""
        moved = [*self._trainable(), *beside]
        return sgd(moved, lr=lr, weight_decay=weight_decay, momentum=momentum, masks=self._masks)

    def adam(self, *, lr: float, weight_decay: float = 0.0) -> torch.optim.Optimizer:
        """Adam over the trainable parameters of the working copy, within the masks."""
        return adam(self._trainable(), lr=lr, weight_decay=weight_decay, masks=self._masks)

    def _trainable(self) -> list[nn.Parameter]:
        chosen = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        if not chosen:
            raise nothing_to_move("everything that is to be trained", "no parameter with requires_grad on")
        return chosen

    def movable(self, params: Iterable[nn.Parameter], what: str) -> list[nn.Parameter]:
        """Those of `params` that are not frozen: all that a method may write to without an optimiser.

        what: words for `params`. Raises NotApplicable where there are some and all of them are frozen.
        """
        given = list(params)
        free = [parameter for parameter in given if not self._held.holds(parameter)]
        if given and not free:
            raise nothing_to_move(what, f"{len(given)} parameters, all of them frozen")
        return free

    def train_only(self, params: Iterable[nn.Parameter]) -> None:
        """Train no parameters but `params`, and of these none that is frozen.

        Optimisers and steps made before keep their old choice: make new ones.
        """
        chosen = {id(parameter) for parameter in params}
        for parameter in self.model.parameters():
            parameter.requires_grad_(id(parameter) in chosen and not self._held.holds(parameter))

    def restrict(self, masks: Mapping[nn.Parameter, Tensor]) -> None:
        """Let optimisers made from now on move weights only where their mask is true."""
        self._masks = dict[Tensor, Tensor](masks.items())

    # -------------------------------------------------------------------------------------------- the learning phase

    @property
    def recorded(self) -> Recorded:
        """What was recorded while the original was trained."""
        assert isinstance(self._recorded, Recorded), "the YAML of a method that asks for this says needs: updates"
        return self._recorded

    @property
    def shards(self) -> Shards:
        """The ensemble that stands in place of the original: `model` and `original` are of `Ensemble` then."""
        assert isinstance(self._recorded, Shards), "the YAML of a method that asks for this says needs: shards"
        return self._recorded

    @property
    def difficulty(self) -> Tensor:
        """float64 [N] on the CPU, of each forget sample in its order: high where it is hard to learn, or memorised.

        Only their order says something: scores come from how sure the original was while it was trained, or from a bank
        of memorisation scores.
        """
        assert self._difficulty is not None, "the YAML of a method that asks for this says needs: difficulty"
        return self._difficulty

    @contextmanager
    def request(self, *, retain: Part, forget: Part) -> Iterator[None]:
        """For the block a problem of its own: these parts, the working copy as it is now as its original, all free."""
        whole = self.original, self.retain, self.forget
        self.original, self.retain, self.forget = self._as_it_is(), retain, forget
        self.train_only(self.model.parameters())
        self.restrict({})
        try:
            yield
        finally:
            self.original, self.retain, self.forget = whole

    def _as_it_is(self) -> nn.Module:
        """The working copy now, fixed and in evaluation mode."""
        return copy.deepcopy(self.model).requires_grad_(False).eval()

    @torch.no_grad()
    def subtract(self, changes: Mapping[str, Tensor]) -> None:
        """Take `changes`, by name as in `state_dict`, off the working copy, in their precision. What is frozen stays.

        Raises NotApplicable where that is all.
        """
        named = self.model.state_dict(keep_vars=True)
        free = {id(named[name]): name for name in changes if name not in self._held.names}  # a shared tensor once
        if changes and not free:
            raise nothing_to_move("everything that was recorded", f"{len(changes)} tensors, all of them frozen")
        for name in free.values():
            named[name].copy_(named[name].to(changes[name].dtype) - changes[name])

    # ------------------------------------------------------------------------------------------------ other networks

    def fresh_model(self) -> nn.Module:
        """A newly initialised network of the same architecture, drawn from the global random state, off the clock."""
        self._refuse_kept(self._kept)
        return self._build()

    def reinitialise(self, modules: Iterable[nn.Module]) -> None:
        """Give `modules` of the working copy the values of a freshly built network, running statistics included.

        What is frozen stays. Raises NotApplicable where that is all.
        """
        chosen = list(modules)
        self.movable(parameters_of(chosen), "every layer that is to be initialised anew")
        inside = {id(tensor) for module in chosen for tensor in (*module.parameters(), *module.buffers())}
        named = self.model.state_dict(keep_vars=True)
        names = [name for name, tensor in named.items() if id(tensor) in inside and name not in self._held.names]
        self._refuse_kept(self._kept.intersection(names))
        fresh = self._build().state_dict()
        with torch.no_grad():
            for name in names:
                named[name].copy_(fresh[name])

    def take_back(self, member: nn.Module, shard: int, piece: int) -> None:
        """Give a `member` of the ensemble the weights that its shard had before this slice, off the clock."""
        with self._outside_clock():
            self.shards.restore(member, shard, piece)

    def _build(self) -> nn.Module:
        """Making a network is no part of unlearning: a method that needs one takes a few of its weights."""
        with self._outside_clock():
            return self._fresh()

    def _refuse_kept(self, kept: Set[str]) -> None:
        if kept:
            raise NotApplicable(
                "some parameters cannot be initialised anew: no module of the model resets them",
                given=", ".join(sorted(kept)[:5]),
                allowed="layers with reset_parameters()",
                remedy="give unlearn(..., fresh=FUNCTION) that builds a new network of this architecture",
            )

    def stem_convolutions(self) -> list[Convolution]:
        """The convolutions that see the image."""
        return [layer for module in self.anatomy.stem for layer in convolutions(module)]

    def error(self, part: Part) -> float:
        """1 - accuracy of the working copy on `part`, in evaluation mode; for rules that need it, inside the clock."""
        predicted = torch.from_numpy(predict(self.model, part, self._runtime)).argmax(1)
        return float((predicted != part.labels.cpu()).float().mean())

    # ------------------------------------------------------------------------------------------------------- steps

    def step(
        self,
        loss: Callable[..., Tensor],
        optimizer: torch.optim.Optimizer,
        adjust: Callable[[], None] | None = None,
    ) -> Step:
        """A training step of `loss`; its losses are watched for divergence at every yield.

        Nothing else of it is kept: optimisers hold as much as the weights, and a method may make one each epoch.
        """
        step = Step(loss, optimizer, self._runtime.autocast, adjust)
        self._watched.append(step.losses)
        return step

    def cross_entropy(self, x: Tensor, y: Tensor) -> Tensor:
        """Mean cross-entropy of the working copy on a batch."""
        return F.cross_entropy(self.model(x), y)

    def gradients(self, batches: Iterable[tuple[Tensor, Tensor]], params: list[nn.Parameter]) -> list[Tensor]:
        """The gradient of the mean cross-entropy over all samples of `batches`, one tensor per entry of `params`.

        Zero for a parameter that the output does not depend on.
        """
        totals = [torch.zeros_like(parameter) for parameter in params]
        samples = 0
        for x, y in batches:
            with self._runtime.autocast():
                loss = F.cross_entropy(self.model(x), y, reduction="sum")
            torch._foreach_add_(totals, gradients_of(loss, params))
            samples += len(y)
        return [total / samples for total in totals]

    def release(self) -> None:
        """Let go of gradients, and of what was put on the model."""
        self._held.release()
        self.model.zero_grad(set_to_none=True)

    def check_finite(self) -> None:
        """Raises Diverged where a loss since the last check, or a weight now, is not finite."""
        for losses in self._watched:
            losses.mean()
        watched = (value for name, value in self.model.state_dict().items() if name not in self._unbounded)
        if not _sums_are_finite(watched):
            raise Diverged(
                "the weights are not finite",
                given="infinite or NaN weights after an epoch",
                allowed="finite weights",
                remedy=SMALLER_RATE,
            )

    def check_frozen(self) -> None:
        """Raises NotApplicable where something frozen was moved, as a method of one's own may do."""
        changed = self._held.changed(self.model, self.original)
        if changed:
            raise NotApplicable(
                "the method moves layers that are frozen",
                given=", ".join(changed[:5]),
                allowed="parameters whose requires_grad is on",
                remedy="give train_frozen=True, or let the method ask problem.movable(...) what it may write to",
            )


def _sums_are_finite(values: Iterable[Any]) -> bool:
    """Whether no entry of the floating-point `values` is infinite or NaN: then so is their sum. One read in all."""
    tensors = [value for value in values if isinstance(value, Tensor)]  # a module's extra state may be anything
    floating = [value for value in tensors if value.is_floating_point()]
    sums = [value.sum(dtype=torch.promote_types(value.dtype, torch.float32)).double() for value in floating]
    return not sums or bool(torch.isfinite(torch.stack(sums)).all())


class Method(ABC):
    """An unlearning method. Subclasses annotate their hyper-parameters, which are set by name.

    `run` changes `problem.model` in place and yields after each epoch. At a yield the clock stands still: the runner
    checks for divergence, shows progress and may prune. A method does not evaluate, write or report by itself.

    together: whether `run` also works for several networks at once (deepunlearn/together.py). Its real numbers and
    epochs are then float64 [K], losses are [K]. So it takes from `problem` no more than `sgd`, `step`, `cross_entropy`
    and batches, its rates from `constant` or `cosine`, and does nothing but arithmetic with the numbers. A class with
    a `run` of its own does not inherit it.
    """

    name: ClassVar[str] = ""  # its file's name, set when it is loaded
    together: ClassVar[bool] = False

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "run" in vars(cls) and "together" not in vars(cls):
            cls.together = False

    def __init__(self, **params: Value) -> None:
        classes = [one for one in type(self).__mro__ if issubclass(one, Method) and one is not Method]
        declared = {name for one in classes for name in inspect.get_annotations(one)}
        if declared != set(params):
            raise ConfigError(
                f"{type(self).__name__} and its YAML name different hyper-parameters",
                given=", ".join(sorted(params)),
                allowed=", ".join(sorted(declared)),
                remedy="make conf/method/<name>.yaml and the class agree",
            )
        for name, value in params.items():
            setattr(self, name, value)

    @abstractmethod
    def run(self, problem: Problem) -> Iterator[None]:
        """Unlearn. Raises NotApplicable, before changing anything, on a model it cannot work on."""
