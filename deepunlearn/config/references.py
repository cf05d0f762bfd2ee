"""What to say where a reference such as `${oc.env:DATA}` in a value cannot be resolved."""

from __future__ import annotations

import re
from collections.abc import Sequence

from omegaconf.errors import OmegaConfBaseException

from deepunlearn.core.errors import ConfigError

FORMS = "${NAME} of another option, ${oc.env:VARIABLE}, or ${oc.env:VARIABLE,VALUE} with a value to use without it"


def unresolved(error: OmegaConfBaseException, value: str, near: Sequence[str] = ()) -> ConfigError:
    """The refusal of a value, given as written, that OmegaConf could not resolve.

    near: options that a reference to no option may have meant.
    """
    name, text = error.full_key or value.partition("=")[0], str(error).splitlines()[0]
    if variable := re.search(r"Environment variable '([^']+)' not found", text):
        return ConfigError(
            f"{name} refers to the environment variable {variable[1]}, which is not set",
            given=value,
            allowed=f"a variable that is set, or ${{oc.env:{variable[1]},VALUE}} with a value to use without it",
            remedy=f"type export {variable[1]}=VALUE before the command",
        )
    if key := re.search(r"Interpolation key '([^']+)' not found", text):
        hint = f"did you mean ${{{near[0]}}}?" if near else "name an option, or write the value itself"
        return ConfigError(
            f"{name} refers to {key[1]}, which is no option here", given=value, allowed=FORMS, remedy=hint
        )
    if resolver := re.search(r"Unsupported interpolation type (\S+)", text):
        return ConfigError(
            f"{name} refers to {resolver[1]}:, which is no resolver",
            given=value,
            allowed=FORMS,
            remedy="use one of these",
        )
    if "recursi" in text.lower():
        return ConfigError(f"{name} refers to itself", given=value, allowed=FORMS, remedy="write the value itself")
    if text.startswith("Missing mandatory value"):
        return ConfigError(
            f"{name} has no value", given=value, allowed="any value but ???", remedy=f"give {name}=VALUE"
        )
    return ConfigError(
        f"{name} cannot be resolved: {text[:200]}", given=value, allowed=FORMS, remedy="correct the reference"
    )
