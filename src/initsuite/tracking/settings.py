"""Where W&B runs go: the settings of the `tracking` group, and the choice between online and offline.

The choice is made once, before the first run, in bounded time, and never asks a question.
"""

from __future__ import annotations

import os
import threading
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

from initsuite.errors import ConfigError, bad_value, check_number, check_whole_number, unknown_choice
from initsuite.spec import Stage

MODES = ("auto", "online", "offline", "disabled")
ENVIRONMENT_MODES = {
    "online": "online",
    "run": "online",
    "shared": "online",
    "offline": "offline",
    "dryrun": "offline",
    "disabled": "disabled",
}
"""What W&B accepts in `WANDB_MODE`, with the three modes that mean something here."""

FORBIDDEN_IN_PROJECT = "/\\#?%:"
"""W&B refuses a project with one of these when the first run starts; said here before the first step."""


@dataclass(frozen=True, kw_only=True)
class Tracking:
    """How trials are shown in Weights & Biases.

    Attributes:
        dir: the results folder; runs land in `<dir>/wandb/`.
        mode: auto (online when an API key is configured and the server answers, else offline; `WANDB_MODE` and
            `wandb offline` are respected), online, offline or disabled.
        project: W&B project.
        entity: W&B user or team; None is the account's default.
        stages: which trials get a W&B run: score, or tune and score.
        max_open_runs: runs of one stack that are written live; the others are written when their stack ends.
        probe_timeout_s: how long the server may take to answer the probe, seconds.
        finish_timeout_s: how long the end of a launch waits for W&B without any run being completed, seconds.

    Raises:
        ConfigError: a value outside its range.

    Example:
        >>> Tracking(dir="results", mode="offline").stages
        ('score',)
        >>> Tracking(dir="results", mode="ofline")
        Traceback (most recent call last):
        initsuite.errors.ConfigError: tracking: unknown `mode`='ofline'. Expected one of: auto, online, offline, ...
    """

    dir: str
    mode: str = "auto"
    project: str = "initsuite"
    entity: str | None = None
    stages: tuple[str, ...] = (Stage.SCORE.value,)
    max_open_runs: int = 64
    probe_timeout_s: float = 3.0
    finish_timeout_s: float = 60.0

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise unknown_choice("tracking", "mode", self.mode, MODES)
        _check_project(self.project)
        if self.entity is not None and (not isinstance(self.entity, str) or not self.entity.strip()):
            raise bad_value("tracking", "entity", self.entity, "a user or team, or null for the account's default")
        object.__setattr__(self, "stages", _checked_stages(self.stages))
        check_whole_number("tracking", "max_open_runs", self.max_open_runs)
        for name in ("probe_timeout_s", "finish_timeout_s"):
            check_number("tracking", name, getattr(self, name), above=0)
        if not str(self.dir):
            raise bad_value("tracking", "dir", self.dir, "the results folder", "Set results_dir=DIR.")


def _check_project(project: object) -> None:
    if not isinstance(project, str) or not 0 < len(project.strip()) <= 128:
        raise bad_value("tracking", "project", project, "a name of 1 to 128 characters")
    if any(character in project for character in FORBIDDEN_IN_PROJECT):
        raise bad_value("tracking", "project", project, f"a name without any of {' '.join(FORBIDDEN_IN_PROJECT)}")


def _checked_stages(stages: object) -> tuple[str, ...]:
    if not isinstance(stages, list | tuple) or not stages:
        raise bad_value(
            "tracking", "stages", stages, "a list such as [score] or [tune,score]", "For no runs: tracking=disabled."
        )
    for stage in stages:
        if stage not in list(Stage):
            raise unknown_choice("tracking", "stages", stage, list(Stage))
    return tuple(str(stage) for stage in stages)


@dataclass(frozen=True)
class Choice:
    """online, offline or disabled, and why it is not online ("" where it was asked for)."""

    mode: str
    why: str = ""


def needs_wandb(tracking: Tracking) -> bool:
    """False where the answer is already disabled, so that wandb is not even imported.

    Raises:
        ConfigError: `WANDB_MODE` holds a word that W&B does not know.
    """
    return _requested(tracking) != "disabled"


def choose_mode(tracking: Tracking, wandb: Any) -> Choice:
    """Decide where runs go.

    Args:
        tracking: the settings.
        wandb: the imported package.

    Raises:
        ConfigError: `tracking.mode=online` without an API key: W&B would stop and ask for one.
    """
    requested = _requested(tracking)
    if requested in ("offline", "disabled"):
        return Choice(requested)
    settings = wandb.setup(wandb.Settings(silent=True)).settings
    # `wandb offline` and `wandb disabled` leave their word in a settings file, which an explicit mode overrules.
    remembered = ENVIRONMENT_MODES.get(settings.mode, "online")
    if requested == "auto" and remembered != "online":
        return Choice(remembered)
    key_problem = _key_problem(wandb)
    if key_problem:
        if tracking.mode == "online":
            raise ConfigError(
                f"tracking: cannot use `mode`='online': {key_problem}. Expected a configured API key. "
                "Run `wandb login`, set WANDB_API_KEY, or choose tracking.mode=offline and upload later."
            )
        return Choice("offline", key_problem)
    if not server_answers(settings.base_url, tracking.probe_timeout_s):
        return Choice("offline", f"{settings.base_url} did not answer within {tracking.probe_timeout_s:g} s")
    return Choice("online")


def require_online(what: str, tracking: Tracking, wandb: Any) -> Choice:
    """The choice of online, for what can be done nowhere else.

    Args:
        what: who asks and what it cannot do without, as in `sync: cannot upload`.
        tracking: the settings, with `mode="online"`.
        wandb: the imported package.

    Raises:
        ConfigError: no API key, or a server that does not answer.
    """
    # WANDB_MODE=offline and `wandb offline` are how many runs come to be uploaded later: W&B would find no key there.
    wandb.setup(wandb.Settings(mode="online", silent=True))
    try:
        choice = choose_mode(tracking, wandb)
    except ConfigError as error:
        raise ConfigError(
            f"{what}: no API key can be used. Expected a configured one. Run `wandb login`, or set WANDB_API_KEY."
        ) from error
    if choice.mode != "online":
        raise ConfigError(
            f"{what}: {choice.why}. Expected a server that answers. "
            "Look at your network and at WANDB_BASE_URL, and run the same command again."
        )
    return choice


def _requested(tracking: Tracking) -> str:
    """The mode asked for: an explicit `tracking.mode`, else `WANDB_MODE`, else auto."""
    word = os.environ.get("WANDB_MODE", "").strip().lower()
    if tracking.mode != "auto" or not word:
        return tracking.mode
    if word not in ENVIRONMENT_MODES:
        raise unknown_choice("tracking", "WANDB_MODE", word, ENVIRONMENT_MODES, "Unset it or choose tracking.mode=...")
    return ENVIRONMENT_MODES[word]


def _key_problem(wandb: Any) -> str:
    """Why no API key can be used, "" when one can. Looks where W&B looks: environment, netrc, settings files."""
    try:
        # Touches no network: `verify` is what would, and `prompt` is what would ask.
        return "" if wandb.login(prompt=False, verify=False) else "no API key is configured"
    except Exception as error:
        return f"the API key cannot be used ({error})"


def server_answers(url: str, timeout_s: float) -> bool:
    """Whether any HTTP answer below 500 comes from `url` within `timeout_s` seconds.

    A thread waits for it, because neither a name look-up nor a server that sends one byte a second obeys a socket's
    timeout. A thread that is left behind is a daemon and ends with its own timeout or the program.
    """
    answers: list[bool] = []

    def probe() -> None:
        try:
            request = urllib.request.Request(url, method="HEAD", headers={"User-Agent": "initsuite"})
            with urllib.request.urlopen(request, timeout=timeout_s):
                answers.append(True)
        except urllib.error.HTTPError as error:
            answers.append(error.code < 500)
        except Exception:  # refused, unreachable, not a URL, not HTTP: all of them mean no
            answers.append(False)

    thread = threading.Thread(target=probe, name="wandb-probe", daemon=True)
    thread.start()
    thread.join(timeout_s)
    return bool(answers) and answers[0]
