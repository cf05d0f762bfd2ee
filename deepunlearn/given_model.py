"""A user's classifier: taken out of its wrapper or read from its file, checked before anything is computed, copied."""

from __future__ import annotations

import hashlib
import itertools
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter

from deepunlearn import archs
from deepunlearn.archs.attention_biases import copy_without_kept, gather_anew
from deepunlearn.archs.weights import load_trained
from deepunlearn.config.originals import same_model
from deepunlearn.core.arch_config import ArchConfig
from deepunlearn.core.errors import ConfigError
from deepunlearn.core.schema import GivenOriginals, Inputs

DTYPES = (torch.float32, torch.float64)


def unwrapped(model: nn.Module) -> nn.Module:
    """The network itself where it is compiled or spread over devices by one of torch's wrappers."""
    parallel = isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel)
    inner = model.module if parallel else getattr(model, "_orig_mod", None)  # what torch.compile wraps
    return unwrapped(inner) if isinstance(inner, nn.Module) else model


def dtype_of(model: nn.Module) -> torch.dtype:
    """The one type of the model's weights. Raises ConfigError where it has none, or one too coarse to train in."""
    if not isinstance(model, nn.Module) or next(model.parameters(), None) is None:
        raise ConfigError("the model has no parameters", given=type(model).__name__, allowed="a torch.nn.Module",
                          remedy="give a trained classifier")  # fmt: skip
    if any(isinstance(module, torch.jit.ScriptModule) for module in model.modules()):
        raise ConfigError("the model is scripted or traced", given=type(model).__name__, allowed="modules of Python",
                          remedy="give the network that this one was made from")  # fmt: skip
    unset = [name for name, parameter in model.named_parameters() if isinstance(parameter, UninitializedParameter)]
    types = {parameter.dtype for parameter in model.parameters()}
    if unset or len(types) > 1 or not types <= set(DTYPES):
        raise ConfigError(
            "the model's weights are not of one type that it can be trained in",
            given=f"not initialised: {', '.join(unset[:5])}" if unset else ", ".join(sorted(map(str, types))),
            allowed=" or ".join(map(str, DTYPES)),
            remedy="call the model once on a batch" if unset else "give model.float(), and .half() what comes back",
        )
    return types.pop()


def check_weights(model: nn.Module, told: str = "the model as it was given") -> None:
    """Raises ConfigError for NaN anywhere and for infinite parameters; buffers may be infinite, as masks are.

    told: what it is called.
    """
    buffers = dict(model.named_buffers())
    broken = [name for name in not_finite(model) if name not in buffers or buffers[name].isnan().any()]
    if broken:
        raise ConfigError(
            f"{told} has weights that are not finite, in {len(broken)} of its tensors",
            given=", ".join(broken[:5]),
            allowed="finite parameters, buffers without NaN",
            remedy="give a model that was trained to the end; its training diverged, or its file is damaged",
        )


def check_originals(arch: ArchConfig, classes: int, inputs: Inputs, given: GivenOriginals) -> None:
    """Raises ConfigError where a file of `given` holds no such network, a broken one, or that of another seed."""
    known: dict[str, str] = {}
    model = archs.build(arch, classes, inputs, 0)
    for file in given.files:
        load_trained(file.path, file.digest, model)
        check_weights(model, f"the original of seed {file.seed}, {file.path},")
        here, content = f"seed {file.seed}: {file.path}", _content(model)
        if content in known:
            raise same_model([known[content], here])
        known[content] = here


def _content(model: nn.Module) -> str:
    """A digest of the weights, whatever file they are from."""
    digest = hashlib.sha256()
    for parameter in model.parameters():
        digest.update(parameter.detach().numpy().tobytes())
    return digest.hexdigest()


def not_finite(model: nn.Module) -> list[str]:
    """Names of the parameters and buffers with an infinite value or NaN."""
    tensors = itertools.chain(model.named_parameters(), model.named_buffers())
    return [name for name, tensor in tensors if not torch.isfinite(tensor).all()]


def copied_model(model: nn.Module) -> nn.Module:
    """A copy that keeps no attention biases between calls. Raises ConfigError where none can be made."""
    try:
        return gather_anew(copy_without_kept(model))
    except Exception as error:
        raise ConfigError(
            "the model cannot be copied",
            given=f"{type(model).__name__}: {error}",
            allowed="a model that copy.deepcopy takes",
            remedy="keep results of a forward pass out of attributes; use torch.nn.utils.parametrizations.weight_norm "
            "or spectral_norm instead of those of torch.nn.utils, which keep such",
        ) from error


def check_fresh(fresh: Any, original: nn.Module) -> None:
    """Raises ConfigError unless `fresh()` gives a network like `original` with other weights."""
    if isinstance(fresh, nn.Module) or not callable(fresh):
        raise ConfigError("fresh is not a function", given=type(fresh).__name__, allowed="a function without arguments",
                          remedy="give fresh=lambda: Net(...)")  # fmt: skip
    made = unwrapped(fresh())
    own, wanted = (_shapes(model) for model in (made, original))
    if own != wanted:
        other = sorted(dict(set(own.items()) ^ set(wanted.items())))
        raise ConfigError(
            "fresh builds another network than the model",
            given=f"{type(made).__name__}, other in {', '.join(other[:5]) or 'everything'}",
            allowed="parameters and buffers of the same names and shapes",
            remedy="build it with the arguments that the model was built with",
        )
    trained = dict(original.named_parameters())
    if all(torch.equal(value.to(trained[name]), trained[name]) for name, value in made.named_parameters()):
        raise ConfigError("fresh gives the weights of the model itself", given="equal parameters",
                          allowed="newly initialised ones", remedy="build a new network in it")  # fmt: skip


def _shapes(model: Any) -> dict[str, tuple[int, ...]]:
    values = model.state_dict() if isinstance(model, nn.Module) else {}
    return {name: tuple(value.shape) for name, value in values.items() if isinstance(value, Tensor)}
