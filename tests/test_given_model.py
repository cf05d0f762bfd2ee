"""`deepunlearn.unlearn` on models with frozen layers, layers without use and outputs that change with the mode."""

from __future__ import annotations

import hashlib
import pickle
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import Tensor, nn

import deepunlearn
from deepunlearn import archs
from deepunlearn.config import method_configs
from deepunlearn.core.arch_config import ArchConfig
from deepunlearn.core.errors import ConfigError, DeepUnlearnError, NotApplicable
from deepunlearn.core.schema import Features, GivenFile, GivenOriginals
from deepunlearn.given_logits import classes_of, classes_to_judge
from deepunlearn.given_model import check_originals
from deepunlearn.testing.small import equal_states, state
from tests.networks import images

CLASSES = 3
QUICK = {
    "epochs": 1,
    "batch_size": 8,
    "warmup_epochs": 1,
    "retain_batch_size": 8,
    "forget_batch_size": 8,
    "samples": 4,
    "steps": 5,
    "fine_epochs": 1,
    "reset_epochs": 0,
    "alpha": 0.5,
    "rewind": False,
}
METHODS = {name: method for name, method in method_configs().items() if method.needs is None}  # others need a sweep
WRITE_THEMSELVES = ["bt", "cfk", "cfw", "ct", "euk", "ff", "iu", "kde", "msg", "prmq", "rni", "salun"]


MLP = ArchConfig(name="mlp", title="", module="deepunlearn.archs.mlp", args={"width": 4, "depth": 1})


def originals(*models: dict[str, Tensor], folder: Path, ending: str = "safetensors") -> GivenOriginals:
    """Files of such weights, of seeds from 0."""
    files = []
    for seed, weights in enumerate(models):
        path = folder / f"{seed}.{ending}"
        save_file(weights, path) if ending == "safetensors" else torch.save(weights, path)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
        files.append(GivenFile(seed=seed, path=str(path), digest=digest))
    return GivenOriginals(files=tuple(files), recipe=False)


def weights(seed: int = 0, classes: int = CLASSES) -> dict[str, Tensor]:
    return archs.build(MLP, classes, Features(5), seed).state_dict()


@pytest.mark.parametrize("ending", ["safetensors", "pt"])
def test_files_of_such_networks_are_taken_in_other_precisions_too(ending: str, tmp_path: Path) -> None:
    half = {name: value.half() for name, value in weights(2).items()}
    check_originals(MLP, CLASSES, Features(5), originals(weights(0), weights(1), half, folder=tmp_path, ending=ending))


@pytest.mark.slow
def test_so_are_those_of_a_network_of_timm(tmp_path: Path) -> None:
    network = ArchConfig(name="t", title="", module="deepunlearn.archs.timm_models", model="test_convnext")
    given = originals(archs.build(network, CLASSES, 32, 1).state_dict(), folder=tmp_path)
    check_originals(network, CLASSES, 32, given)
    with pytest.raises(ConfigError, match="not those of this network"):
        check_originals(network, CLASSES + 1, 32, given)


def without_first(given: dict[str, Tensor]) -> dict[str, Tensor]:
    return dict(list(given.items())[1:])


def first_as(value: float) -> dict[str, Tensor]:
    given = weights()
    next(iter(given.values())).view(-1)[0] = value
    return given


UNFIT = {  # weights, what the message must name
    "another head": (weights(classes=7), ["[7, 4] instead of [3, 4]", "as many classes"]),
    "a tensor too few": (without_first(weights()), ["1 not in the file (1.weight)"]),
    "one too many": ({**weights(), "more": torch.zeros(2)}, ["1 not in the network (more)"]),
    "whole numbers": ({name: value.to(torch.int8) for name, value in weights().items()}, ["kind of numbers"]),
    "NaN": (first_as(float("nan")), ["seed 0", "0.safetensors", "not finite", "1.weight"]),
    "infinity": (first_as(float("inf")), ["not finite"]),
}


@pytest.mark.parametrize("case", UNFIT)
def test_a_file_of_another_or_a_broken_network_is_refused(case: str, tmp_path: Path) -> None:
    given, named = UNFIT[case]
    with pytest.raises(ConfigError) as told:
        check_originals(MLP, CLASSES, Features(5), originals(given, folder=tmp_path))
    assert told.value.remedy and not [name for name in named if name not in str(told.value)], told.value


def test_the_same_weights_in_another_file_are_the_same_model(tmp_path: Path) -> None:
    given = weights()
    (one,), (other,) = (originals(given, folder=tmp_path, ending=ending).files for ending in ("safetensors", "pt"))
    files = (one, other.model_copy(update={"seed": 1}))
    assert one.digest != other.digest
    with pytest.raises(ConfigError, match="same model"):
        check_originals(MLP, CLASSES, Features(5), GivenOriginals(files=files, recipe=False))


@pytest.mark.parametrize("content", [b"no tensors", pickle.dumps({"weight": print})])
def test_pickles_and_other_files_are_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "net.pt"
    path.write_bytes(content)
    file = GivenFile(seed=0, path=str(path), digest=hashlib.sha256(content).hexdigest()[:16])
    with pytest.raises(ConfigError, match="cannot be read"):
        check_originals(MLP, CLASSES, Features(5), GivenOriginals(files=(file,), recipe=False))


class Net(nn.Module):
    """Two stages, a hidden and a last linear layer; the second stage's normalisation has no parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.layer1 = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU())
        self.layer2 = nn.Sequential(nn.Conv2d(6, 6, 3, padding=1), nn.BatchNorm2d(6, affine=False), nn.ReLU())
        self.hidden = nn.Linear(6, 6)
        self.head = nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        maps: Tensor = self.layer2(self.layer1(x))
        logits: Tensor = self.head(self.hidden(maps.mean((2, 3))).relu())
        return logits


class Unused(Net):
    """As it, with layers of every kind that no output depends on."""

    def __init__(self) -> None:
        super().__init__()
        self.spare = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2))
        self.scale = nn.Parameter(torch.ones(2))
        self.out = nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        maps: Tensor = self.layer2(self.layer1(x))
        logits: Tensor = self.out(self.hidden(maps.mean((2, 3))).relu())
        return logits


DATA: dict[str, Any] = {
    part: images(count, 6, CLASSES, 1.0, seed)
    for part, count, seed in (("retain", 16, 1), ("forget", 8, 2), ("val", 8, 3))
}


@cache
def built(kind: type[nn.Module] = Net) -> nn.Module:
    """With running statistics that differ from those of a batch."""
    torch.manual_seed(0)
    net = kind().train()
    for _ in range(5):
        net(DATA["retain"][0])
    return net.eval()


def frozen(*prefixes: str) -> nn.Module:
    torch.manual_seed(0)
    net = Net()
    net.load_state_dict(built().state_dict())
    for name, parameter in net.named_parameters():
        parameter.requires_grad_(not name.startswith(prefixes))
    return net


def unlearn(net: nn.Module, method: str, **more: Any) -> nn.Module:
    params = {name: value for name, value in QUICK.items() if name in METHODS[method].space}
    fresh = type(net) if isinstance(net, Unused) else None  # its lone parameter resets with no module
    return deepunlearn.unlearn(net, method=method, **{**DATA, **params, "fresh": fresh, **more})


def moved(before: nn.Module, after: nn.Module) -> set[str]:
    start = before.state_dict()
    return {name for name, value in after.state_dict().items() if not torch.equal(value, start[name])}


# -------------------------------------------------------------------------------------------------------- frozen layers


@pytest.mark.parametrize("method", [*WRITE_THEMSELVES, "scrub"])
def test_frozen_layers_stay_as_they_are_and_come_back_frozen(method: str) -> None:
    prefixes = ("layer2.", "hidden.") if method == "cfw" else ("layer1.", "hidden.")
    net = frozen(*prefixes)
    flags = {name: parameter.requires_grad for name, parameter in net.named_parameters()}
    after = unlearn(net, method)
    changed = moved(net, after)
    assert changed and not [name for name in changed if name.startswith(prefixes)], "statistics included"
    assert {name: parameter.requires_grad for name, parameter in after.named_parameters()} == flags
    assert not any(module._forward_pre_hooks for module in after.modules()), "nothing of the run is left on the model"


@pytest.mark.parametrize("method", ["ft", "ct", "euk", "ff"])
def test_frozen_layers_move_where_that_is_asked_for(method: str) -> None:
    net, free = frozen("layer1.", "hidden."), frozen("nothing")
    after = unlearn(net, method, train_frozen=True)
    assert equal_states(state(after), state(unlearn(free, method))), "as if nothing were frozen"
    assert not net.get_parameter("hidden.weight").requires_grad
    assert not after.get_parameter("hidden.weight").requires_grad and after.get_parameter("head.weight").requires_grad


def test_a_model_that_is_frozen_as_a_whole_is_told_before_the_run() -> None:
    net = frozen("")
    before = state(net)
    with pytest.raises(NotApplicable, match="frozen") as error:
        unlearn(net, "iu")
    assert "train_frozen=True" in (error.value.remedy or "") and equal_states(before, state(net))


@pytest.mark.parametrize(
    ("method", "still", "named"),
    [
        ("ct", ("layer",), "kernel"),
        ("cfw", ("layer1.",), "noise"),
        ("msg", ("layer",), "convolution"),
        ("kde", ("layer1.", "head."), "initialised anew"),
        ("rni", ("head.",), "initialised anew"),
        ("cfk", ("layer2.", "hidden.", "head."), "last 1 blocks"),
        ("euk", ("layer2.", "hidden.", "head."), "initialised anew"),
    ],
)
def test_a_method_whose_own_step_has_nothing_left_to_change_says_so(
    method: str, still: tuple[str, ...], named: str
) -> None:
    with pytest.raises(NotApplicable, match=named) as error:
        unlearn(frozen(*still), method)
    assert error.value.given and error.value.allowed and "train_frozen=True" in (error.value.remedy or "")


def test_a_frozen_normalisation_works_with_its_running_statistics() -> None:
    """What the rest learns rests on them: batch statistics in training would be another network than the frozen one."""
    net = frozen("layer1.")
    folded = frozen("layer1.")
    scale = folded.layer1[1].weight / (folded.layer1[1].running_var + folded.layer1[1].eps).sqrt()
    shift = folded.layer1[1].bias - folded.layer1[1].running_mean * scale
    with torch.no_grad():
        folded.layer1[0].weight.mul_(scale[:, None, None, None])
        folded.layer1[0].bias.mul_(scale).add_(shift)
    folded.layer1[1] = nn.Identity()
    one, other = unlearn(net, "ft"), unlearn(folded, "ft")
    torch.testing.assert_close(one.get_parameter("head.weight"), other.get_parameter("head.weight"))


def test_layers_that_are_frozen_in_part_move_in_the_other() -> None:
    net = frozen("layer1.0.weight", "head.bias")
    for method in ("ft", "prmq", "ff", "iu", "salun", "kde", "euk"):
        changed = moved(net, unlearn(net, method))
        assert not changed & {"layer1.0.weight", "head.bias"} and "head.weight" in changed, method


def test_a_weight_that_is_shared_with_a_frozen_layer_is_frozen() -> None:
    net = frozen("hidden.")
    net.register_parameter("again", net.hidden.weight)
    for method in ("prmq", "ff"):
        after = unlearn(net, method)
        assert torch.equal(after.get_parameter("hidden.weight"), net.hidden.weight), method


# ----------------------------------------------------------------------------------------------- parameters without use


@pytest.mark.parametrize("method", sorted(METHODS))
def test_a_parameter_without_use_has_a_gradient_of_zero(method: str) -> None:
    net = built(Unused)
    after = unlearn(net, method)
    assert any(name.startswith(("layer", "hidden", "out")) for name in moved(net, after))
    assert all(torch.isfinite(value).all() for value in after.state_dict().values())


@pytest.mark.parametrize(("method", "more"), [("iu", {}), ("iu", {"solver": "cg"}), ("ft", {})])
def test_it_does_not_change_what_happens_to_the_others(method: str, more: dict[str, Any]) -> None:
    used = Net()
    used.load_state_dict({k.replace("out.", "head."): v for k, v in built(Unused).state_dict().items()
                          if not k.startswith(("spare", "scale", "head"))})  # fmt: skip
    one, other = unlearn(built(Unused), method, **more), unlearn(used, method, **more)
    torch.testing.assert_close(one.get_parameter("hidden.weight"), other.get_parameter("hidden.weight"))


def test_it_gets_the_noise_of_weights_that_do_not_matter() -> None:
    """Fisher information 0, for labels drawn or all of them."""
    for labels in ("sampled", "expected"):
        net = built(Unused)
        after = unlearn(net, "ff", labels=labels, alpha=1e-4)
        distance = {name: float((after.get_parameter(name) - net.get_parameter(name)).detach().square().mean().sqrt())
                    for name in ("spare.0.weight", "out.weight")}  # fmt: skip
        assert distance["spare.0.weight"] == pytest.approx((1e-4 * 1e3) ** 0.5, rel=0.3)


def test_where_nothing_that_may_move_is_used_this_is_told() -> None:
    net = built(Unused)
    for name, parameter in net.named_parameters():
        parameter.requires_grad_(name.startswith("spare"))
    try:
        with pytest.raises(NotApplicable, match="does not depend"):
            unlearn(net, "ft")
    finally:
        net.requires_grad_(True)


class Cut(Net):
    """A body that its forward pass never trains, and a head that is called by the name of its input."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            maps: Tensor = self.layer2(self.layer1(x))
        logits: Tensor = self.head(input=self.hidden(input=maps.mean((2, 3))).relu())
        return logits


@pytest.mark.parametrize("flags", [True, False])
@pytest.mark.parametrize("method", ["ssd", "lfssd", "ff", "sfron", "msg"])
def test_a_body_under_no_grad_has_gradients_of_zero(method: str, flags: bool) -> None:
    net = built(Cut)
    for name, parameter in net.named_parameters():
        parameter.requires_grad_(flags or not name.startswith("layer"))
    more = {} if method in ("sfron", "msg") else {"alpha": {"ff": 1e-4}.get(method, 0.5)}
    changed = moved(net, unlearn(net, method, train_frozen=True, **more))
    assert any(name.startswith(("head", "hidden")) for name in changed)
    assert method in ("ff", "msg") or not any(name.startswith("layer") and "weight" in name for name in changed)


# ------------------------------------------------------------------------------------ outputs that change with the mode


class Changing(Net):
    """In training mode it gives something else than logits."""

    def __init__(self, training_output: Any) -> None:
        super().__init__()
        self.training_output = training_output

    def forward(self, x: Tensor) -> Any:
        logits = super().forward(x)
        return self.training_output(logits) if self.training else logits


def needs_labels(_: Tensor) -> Tensor:
    raise TypeError("forward() missing 1 required positional argument: 'labels'")


@pytest.mark.parametrize(
    ("output", "told"),
    [
        (lambda logits: (logits, logits), "tuple"),
        (lambda logits: {"logits": logits}, "dict"),
        (lambda logits: logits[:, :2], "(2, 2)"),
        (lambda logits: logits[0], "(3,)"),
        (lambda logits: torch.cat([logits, logits]), "(4, 3)"),
        (lambda logits: logits.argmax(1, keepdim=True), "int64"),
        (needs_labels, "labels"),
    ],
)
def test_what_is_no_logits_in_training_mode_is_told_before_the_run(output: Any, told: str) -> None:
    with pytest.raises(ConfigError, match="in training mode") as error:
        unlearn(Changing(output), "ft")
    assert told in str(error.value.given) and error.value.remedy


@pytest.mark.parametrize("mode", ["evaluation", "training"])
def test_probabilities_are_refused_in_either_mode_and_log_probabilities_taken(mode: str) -> None:
    class Ending(Net):
        def forward(self, x: Tensor) -> Tensor:
            logits = super().forward(x)
            return logits.softmax(1) if self.training == (mode == "training") else logits.log_softmax(1)

    with pytest.raises(ConfigError, match=f"probabilities and not logits in {mode} mode") as error:
        classes_of(Ending(), DATA["retain"][0], frozenset())
    assert "softmax" in (error.value.remedy or "")
    if mode == "evaluation":
        with pytest.raises(ConfigError, match="probabilities"):
            classes_to_judge(Ending(), DATA["retain"][0])


def test_auxiliary_heads_are_told() -> None:
    net = torchvision.models.googlenet(num_classes=CLASSES, init_weights=False)
    images = torch.rand(12, 3, 32, 32)
    before = state(net)
    parts: dict[str, Any] = {"retain": (images[:8], torch.arange(8) % 3), "forget": (images[8:], torch.arange(4) % 3)}
    with pytest.raises(ConfigError, match="training mode") as error:
        deepunlearn.unlearn(net, method="ft", epochs=1, **parts)
    assert "GoogLeNetOutputs" in str(error.value) and "aux" in (error.value.remedy or "")
    assert equal_states(before, state(net))


def test_inputs_that_the_model_cannot_take_are_told() -> None:
    with pytest.raises(DeepUnlearnError, match="in evaluation mode") as error:
        deepunlearn.unlearn(built(), method="ft", retain=(torch.rand(4, 1, 6, 6), torch.arange(4) % 3),
                            forget=(torch.rand(4, 1, 6, 6), torch.arange(4) % 3))  # fmt: skip
    assert "1, 6, 6)" in str(error.value.given)


def test_the_check_leaves_random_state_and_statistics_alone() -> None:
    net = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(108), nn.Dropout(), nn.Linear(108, CLASSES))
    before, random_state = state(net), torch.get_rng_state()
    unlearn(net, "iu")
    assert equal_states(before, state(net)) and torch.equal(random_state, torch.get_rng_state())


def test_one_forget_sample_is_enough_for_the_check() -> None:
    """A batch of one has no batch statistics; such a forget set is legal."""
    deepunlearn.unlearn(built(), method="ft", epochs=1, retain=DATA["retain"], forget=images(1, 6, CLASSES, 1.0, 4))
