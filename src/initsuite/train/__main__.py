"""The training door: `python -m initsuite.train`. See `--help`."""

from __future__ import annotations

import contextlib
import errno
import io
import math
import os
import re
import shlex
import sys
import textwrap
import traceback
from collections.abc import Iterator

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, MissingConfigException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

import initsuite.config.schema  # noqa: F401  stores the names and types of the keys
from initsuite.config.command import check_command
from initsuite.config.groups import conf_dir, shipped_file
from initsuite.errors import (
    ConfigError,
    InitsuiteError,
    TrialsFailed,
    as_typed,
    bad_value,
    say_interrupted,
    unknown_choice,
)
from initsuite.files import lasting
from initsuite.provenance import extra_with
from initsuite.spec import CONTEXT_AXES
from initsuite.train.late import late_imports
from initsuite.train.stopping import STOP
from initsuite.wording import first_line, keys_known_as

COMMAND = "python -m initsuite.train"
COMPOSING = ("hydra.", "omegaconf.", "optuna.", "hydra_plugins.hydra_")
"""Modules that read the command line: what they raise is about its overrides."""
READING = "hydra._internal.core_plugins.file_config_source"
"""The module that reads files of the configuration."""
HELP_WIDTH = 120
"""Characters in a line of the help page."""


class Refused(BaseException):
    """Carries an error out of a single Hydra run, which would print its overrides above any ordinary exception."""


@hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="config")
def train(cfg: DictConfig) -> float:
    """Train one cell; returns its score, so that a sweeper can optimise it."""
    choices = HydraConfig.get().runtime.choices
    cell = "/".join(str(choices.get(group)) for group in (*CONTEXT_AXES, "init"))
    print(f"Checking {cell} before the first step.", flush=True)
    with late_imports():  # with torch: seconds that help and the first line do not need
        from initsuite.config.build import draft
        from initsuite.train.cluster.array import launch_command
        from initsuite.train.launch import Inventory, plan_cells, raise_if_failed, run_cells
        from initsuite.train.plan.preview import print_plan
    try:
        job, settings = draft(cfg)
        inventory = Inventory()
        if not inventory.finished([job], settings):
            job = job.job  # whose cell is checked
        if settings.dry_run:
            print_plan(plan_cells([job], settings), settings)
            return math.nan
        outcome = run_cells([job], settings, inventory.store, launch_command())
        raise_if_failed(outcome, settings)
    except InitsuiteError as error:
        if HydraConfig.get().mode == RunMode.RUN:
            raise Refused from error
        raise
    return outcome.scores[0]


def main() -> None:
    """Run, and exit with 0 after success, 1 if some trials failed, 2 after bad input, 130 if interrupted."""
    wants_traceback = "HYDRA_FULL_ERROR" in os.environ
    sys.stdout, sys.stderr = lasting(sys.stdout), lasting(sys.stderr)
    STOP.listen()
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors must reach us instead of Hydra's printer
    try:
        if {"-h", "--help"}.intersection(sys.argv[1:]):
            _print_help()
        else:
            check_command(sys.argv[1:])
            train()
    except KeyboardInterrupt:
        sys.exit(say_interrupted(COMMAND, sys.argv[1:], "What is complete is stored. To go on from there"))
    except (Exception, Refused) as raised:
        error = raised.__cause__ if isinstance(raised, Refused) else raised
        message = explain(error)
        if wants_traceback or message is None:
            raise
        print(message, file=sys.stderr)
        sys.exit(1 if isinstance(error, TrialsFailed) else 2)


def _print_help() -> None:
    """Hydra's help page, with the choices of a group on as many lines as they take."""
    page = io.StringIO()
    with contextlib.redirect_stdout(page), contextlib.suppress(SystemExit):  # Hydra exits after the page
        train()
    lines = page.getvalue().replace(COMMAND, as_typed(COMMAND)).splitlines()
    for line in (line for line in lines if not line.startswith("claim: ")):  # no choice of a training run
        print("\n".join(textwrap.wrap(line, HELP_WIDTH, subsequent_indent="  ")) if len(line) > HELP_WIDTH else line)


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Turn what Hydra raises, and a user can fix, into a `ConfigError` of one block."""
    try:
        yield
    except Exception as error:
        message = explain(error)
        if message is None or isinstance(error, InitsuiteError):
            raise
        raise ConfigError(message) from error


def explain(error: BaseException | None) -> str | None:
    """One short block for an error that the user can fix; None for a defect of ours."""
    cause = error if isinstance(error, OmegaConfBaseException) else getattr(error, "__cause__", None)
    if isinstance(error, InitsuiteError):
        return str(error)
    if isinstance(error, MissingConfigException) and error.options:
        group, _, got = str(error.missing_cfg_file).rpartition("/")
        if group.startswith("hydra/") and (extra := extra_with(got, group.rpartition("/")[2])):
            return (
                f"config: cannot use `{group}`={got!r}: it is not installed. Expected the extra {extra!r} of this "
                f'package. Install it with: pip install "initsuite[{extra}]"'
            )
        return str(unknown_choice("config", group, got, error.options))
    if isinstance(cause, ConfigAttributeError | ConfigKeyError) and cause.full_key:
        return _unknown_key(cause.full_key)
    if isinstance(cause, OmegaConfBaseException):
        key = cause.full_key or "?"
        return f"config: bad value for `{key}`: {str(cause.msg or cause).splitlines()[0]}."
    if isinstance(error, HydraException):
        return f"config: {error}".replace("\n", " ")
    if isinstance(error, OSError) and (error.filename or error.errno in (errno.ENOSPC, errno.EDQUOT)):
        expected = f"a folder that can be written ({error.strerror})"
        place = str(error.filename or _results_dir())
        return str(bad_value("store", "results_dir", place, expected, "Choose another: results_dir=DIR"))
    if not isinstance(error, Exception):
        return None
    modules = _modules(error)
    if READING in modules:
        problem = getattr(error, "problem", None) or first_line(error).rstrip(".")
        where = re.search(r'in "(.+)", line (\d+)', str(getattr(error, "problem_mark", "")))
        place = f"`{where[1]}`, line {where[2]}" if where else "of the configuration"
        return f"config: bad file {place}: {problem}. Expected YAML in UTF-8, with one value for a key. Correct it."
    if modules[-1].startswith(COMPOSING):
        given = " ".join(map(shlex.quote, sys.argv[1:]))
        return f"config: {first_line(error).rstrip('.')}. Expected overrides that Hydra can compose. Got: {given}"
    return None


def _results_dir() -> str:
    """As it was given on the command line; Hydra, which writes into it first, does not say where it was."""
    given = [word.removeprefix("results_dir=") for word in sys.argv[1:] if word.startswith("results_dir=")]
    return given[-1] if given else "results"


def _modules(error: BaseException) -> list[str]:
    """The modules that an error went through, last the one that raised it."""
    frames = traceback.walk_tb(error.__traceback__)
    return [str(frame.f_globals.get("__name__", "")) for frame, _ in frames] or [""]


def _unknown_key(full_key: str) -> str:
    """The error for a key that does not exist, with the keys beside it."""
    parent, _, _ = full_key.rpartition(".")
    groups = [override for override in sys.argv[1:] if shipped_file(*override.partition("=")[::2])]
    with hydra.initialize_config_dir(version_base="1.3", config_dir=str(conf_dir())):
        default = hydra.compose("config", overrides=groups)
    node = OmegaConf.select(default, parent) if parent else default
    tree = OmegaConf.to_container(default, resolve=False)
    name = full_key.rpartition(".")[2]
    if isinstance(tree, dict) and (places := keys_known_as(name, tree)):  # type: ignore[arg-type]
        steps = (
            " The budget is counted in steps: an epoch is examples / batch_size of them." if "epochs" in name else ""
        )
        where = " or ".join(f"`{place}`" for place in places)
        return f"config: unknown `key`={full_key!r}. Expected its name here.{steps} Did you mean {where}?"
    known = [str(key) for key in node if key != "_target_"] if isinstance(node, DictConfig) else []
    message = str(unknown_choice("config", "key", full_key, [f"{parent}.{key}" if parent else key for key in known]))
    return f"{message} An option that a class takes but its file lacks is added with +{full_key}=VALUE."


if __name__ == "__main__":
    main()
