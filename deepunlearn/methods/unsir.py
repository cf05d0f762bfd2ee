"""Unlearning by selective impair and repair."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from deepunlearn.core.errors import NotApplicable
from deepunlearn.methods.base import Method, Problem

AUTO = "auto"
COPIES = 20  # how often a class's noise images take part in an impair epoch at most, as in the published code
PENALTY = 0.1  # of the mean square of the noise


class ImpairRepair(Method):
    """UNSIR: learn noise that the model gets wrong, train on it in the place of what is to be forgotten, then repair.

    A round is an impair epoch, SGD at lr, and a repair epoch of CE on D_R, SGD at repair_lr; both in training mode.
    Noise is learnt by Adam on the model as it is then, fixed and in evaluation mode.
    variant=class, for whole classes: per forgotten class a batch of noise, 25 steps at 0.1 on -CE(f(noise), class) +
    0.1 mean(noise^2); the impair epoch goes over D_R and 20 copies of the noise with the label of its class, or of
    fewer, one at least, where these would be more images than the class has forget samples (ours).
    variant=sample, for others: with each batch of D_R noise of its size, 5 steps at 0.01 on -MSE(f(noise), f(x)), x the
    next batch of D_F (cycled); one step on CE(f(noise), labels of the D_R batch) + CE(D_R batch).
    variant=auto: class where no class of D_F occurs in D_R. noise_steps, noise_lr: auto for the numbers above.
    Source: Tarun et al. 2023 (arXiv 2111.08947), sections IV-B to IV-D; Choi and Na 2023 (arXiv 2311.02240) (sample).
    Deviations: SGD with momentum 0.9 for the model; noise is not clipped to pixel values; batches of unequal size count
    (the published code of the variant for samples skips them, learns its noise in training mode and updates it once).
    The published 20 copies are for classes of 5,000; beside a class of a hundred they drown D_R, and one repair epoch
    does not mend that.
    Raises NotApplicable for variant=class where D_F is not of whole classes.
    """

    variant: str
    noise_lr: float | str
    noise_steps: int | str
    lr: float
    repair_lr: float
    batch_size: int
    epochs: int

    def run(self, problem: Problem) -> Iterator[None]:
        batches = self._of_classes if self._by_class(problem) else self._of_samples
        impair = problem.step(lambda *pairs: cross_entropies(problem, pairs), problem.sgd(lr=self.lr))
        repair = problem.step(problem.cross_entropy, problem.sgd(lr=self.repair_lr))
        for _ in range(self.epochs):
            for batch in batches(problem):
                problem.model.train()
                impair(*batch)
            for batch in problem.batches(problem.retain, self.batch_size):
                repair(*batch)
            yield

    def _by_class(self, problem: Problem) -> bool:
        """Whether the variant for classes is to run."""
        whole = not bool(torch.isin(problem.forget.labels, problem.retain.labels).any())
        if self.variant == "class" and not whole:
            raise NotApplicable(
                "unsir unlearns whole classes with variant=class, and the forget set is not made of them",
                given="classes that occur both in the forget and in the retain set",
                allowed="a forget set of whole classes",
                remedy="use method.params.variant=sample (or auto), or forget=classes",
            )
        return whole if self.variant == AUTO else self.variant == "class"

    def _of_classes(self, problem: Problem) -> Iterator[tuple[Tensor, ...]]:
        """An epoch over D_R and the noise of each forgotten class."""
        ((like, _),) = problem.retain.subset([0] * self.batch_size).blocks(self.batch_size)
        classes, counts = problem.forget.labels.unique(return_counts=True)
        images, truth = list[Tensor](), list[Tensor]()
        for label, samples in zip(classes, counts.tolist(), strict=True):
            of = label.expand(self.batch_size)
            noise = self._noise(problem, like, partial(against, problem, of), steps=25, lr=0.1)
            images += [noise] * copies(samples, self.batch_size)
            truth += [of] * copies(samples, self.batch_size)
        return problem.batches_with(problem.retain, torch.cat(images), torch.cat(truth), self.batch_size)

    def _of_samples(self, problem: Problem) -> Iterator[tuple[Tensor, ...]]:
        """An epoch over D_R, with noise unlike samples of D_F beside each batch."""
        forget = problem.endless(problem.forget, self.batch_size)
        for x, y in problem.batches(problem.retain, self.batch_size):
            forget_x = filled(next(forget)[0], len(y))
            problem.model.eval()
            with torch.no_grad():
                known = problem.model(forget_x)
            noise = self._noise(problem, forget_x, partial(unlike, problem, known), steps=5, lr=0.01)
            yield noise, y, x, y

    def _noise(self, problem: Problem, like: Tensor, loss: Callable[[Tensor], Tensor], steps: int, lr: float) -> Tensor:
        """Learnt noise; `steps` and `lr` where the hyper-parameters leave them to the variant."""
        own_steps = steps if self.noise_steps == AUTO else int(self.noise_steps)
        own_lr = lr if self.noise_lr == AUTO else float(self.noise_lr)
        return problem.learnt_noise(like, loss, lr=own_lr, steps=own_steps)


def copies(samples: int, batch_size: int) -> int:
    """How often the noise of a class, batch_size images, takes part: never more images than its forget samples."""
    return max(1, min(COPIES, samples // batch_size))


def against(problem: Problem, labels: Tensor, noise: Tensor) -> Tensor:
    """-CE(f(noise), labels) + 0.1 mean(noise^2): lower for noise that the model is surer not to be of the class."""
    return PENALTY * noise.square().mean() - problem.cross_entropy(noise, labels)


def unlike(problem: Problem, logits: Tensor, noise: Tensor) -> Tensor:
    """-MSE(f(noise), logits): lower the more the noise differs from the samples with these logits."""
    return -F.mse_loss(problem.model(noise), logits)


def cross_entropies(problem: Problem, pairs: tuple[Tensor, ...]) -> Tensor:
    """The sum of the cross-entropies of (images, labels, images, labels, ...), each batch passed through by itself."""
    each = [problem.cross_entropy(x, y) for x, y in zip(pairs[::2], pairs[1::2], strict=True)]
    return torch.stack(each).sum()


def filled(samples: Tensor, count: int) -> Tensor:
    """The first `count` of `samples`, begun anew where there are fewer."""
    return samples[torch.arange(count, device=samples.device) % len(samples)]
