"""Where W&B runs go: the settings of the `tracking` group, and the choice between online and offline.

The choice is made once, before the first run, in bounded time, and never asks a question.
"""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from initsuite.errors import ConfigError, bad_value, check_number, check_whole_number, unknown_choice
from initsuite.files import own_folder
from initsuite.spec import Stage
from initsuite.tracking.service import within
from initsuite.wording import first_line, format_names

MODES = ("auto", "online", "offline", "disabled")
ENVIRONMENT_MODES = {
    "online": "online", "run": "online", "shared": "online",
    "offline": "offline", "dryrun": "offline",
    "disabled": "disabled",
}  # fmt: skip
"""By what W&B accepts in `WANDB_MODE`, the mode that it means here."""

DEFAULT_PROJECT = "initsuite"
NOT_USED = ("WANDB_NAME", "WANDB_RUN_GROUP", "WANDB_JOB_TYPE")
"""Variables that would give all trials one name, group or type; each trial has its own, by which dashboards work."""

LONGEST_TAG = 64
"""In characters; W&B refuses a run with a longer one."""

FORBIDDEN_IN_PROJECT = "/\\#?%:"
"""W&B refuses a project with one of these when the first run starts; here it is refused before the first step."""


@dataclass(frozen=True, kw_only=True)
class Tracking:
    """How trials are shown in Weights & Biases.

    Attributes:
        dir: the results folder; runs land in `<dir>/wandb/`.
        mode: auto (online when an API key is configured and the server answers, else offline; `WANDB_MODE` and
            `wandb offline` are respected), online, offline or disabled.
        project: W&B project; None is that of `WANDB_PROJECT`, else `DEFAULT_PROJECT`.
        entity: W&B user or team; None is that of `WANDB_ENTITY`, else the account's default.
        tags: of every run, beside the experiment, 1 to 64 characters each; those of `WANDB_TAGS` are among them.
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
    project: str = None  # type: ignore[assignment]  # a name, once it is made
    entity: str | None = None
    stages: tuple[str, ...] = (Stage.SCORE.value,)
    max_open_runs: int = 64
    probe_timeout_s: float = 3.0
    finish_timeout_s: float = 60.0
    tags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.project is None:
            object.__setattr__(self, "project", os.environ.get("WANDB_PROJECT", "").strip() or DEFAULT_PROJECT)
        if self.entity is None:
            object.__setattr__(self, "entity", os.environ.get("WANDB_ENTITY", "").strip() or None)
        more = (tag.strip() for tag in os.environ.get("WANDB_TAGS", "").split(","))
        object.__setattr__(self, "tags", tuple(dict.fromkeys([*_checked_tags(self.tags), *filter(None, more)])))
        if self.mode not in MODES:
            raise unknown_choice("tracking", "mode", self.mode, MODES)
        _check_project(self.project)
        if self.entity is not None and (not isinstance(self.entity, str) or not self.entity.strip()):
            raise bad_value("tracking", "entity", self.entity, "a user or team, or null for the account's default")
        if self.entity is not None and (self.entity.strip(".") == "" or set(FORBIDDEN_IN_PROJECT) & set(self.entity)):
            expected = f"a name without any of {' '.join(FORBIDDEN_IN_PROJECT)}"
            raise bad_value("tracking", "entity", self.entity, expected)
        object.__setattr__(self, "stages", _checked_stages(self.stages))
        check_whole_number("tracking", "max_open_runs", self.max_open_runs)
        for name in ("probe_timeout_s", "finish_timeout_s"):
            check_number("tracking", name, getattr(self, name), above=0)
        if not str(self.dir):
            raise bad_value("tracking", "dir", self.dir, "the results folder", "Set results_dir=DIR.")

    @property
    def directory(self) -> Path:
        """The results folder, absolute."""
        return Path(self.dir).expanduser().absolute()

    @property
    def folder(self) -> Path:
        """The folder of W&B's files in it.

        Raises:
            StoreError: it is a link that leads out of the results folder.
        """
        return own_folder(self.directory / "wandb", self.directory)


def _check_project(project: object) -> None:
    if not isinstance(project, str) or not 0 < len(project.strip()) <= 128:
        raise bad_value("tracking", "project", project, "a name of 1 to 128 characters")
    if any(character in project for character in FORBIDDEN_IN_PROJECT):
        raise bad_value("tracking", "project", project, f"a name without any of {' '.join(FORBIDDEN_IN_PROJECT)}")


def _checked_tags(tags: object) -> tuple[str, ...]:
    given = tags if isinstance(tags, list | tuple) else [None]
    if not all(isinstance(tag, str) and 0 < len(tag.strip()) <= LONGEST_TAG for tag in given):
        expected = f"a list of names of 1 to {LONGEST_TAG} characters, such as [night,wide]"
        raise bad_value("tracking", "tags", tags, expected)
    return tuple(str(tag).strip() for tag in given)


def _checked_stages(stages: object) -> tuple[str, ...]:
    if not isinstance(stages, list | tuple) or not stages:
        expected = "a list such as [score] or [tune,score]"
        raise bad_value("tracking", "stages", stages, expected, "For no runs: tracking=disabled.")
    for stage in stages:
        if stage not in list(Stage):
            raise unknown_choice("tracking", "stages", stage, list(Stage))
    return tuple(map(str, stages))


@dataclass(frozen=True)
class Choice:
    """online, offline or disabled, and why it is not online ("" where it was requested)."""

    mode: str
    why: str = ""


def unused_variables() -> list[str]:
    """What to say of the variables of W&B that are set and not used."""
    found = [name for name in NOT_USED if os.environ.get(name, "").strip()]
    if not found:
        return []
    are = "is" if len(found) == 1 else "are"
    return [f"W&B: {format_names(found)} {are} not used: each trial has a name and a group of its own. WANDB_TAGS is."]


def requested_mode(tracking: Tracking) -> str:
    """An explicit `tracking.mode`, else `WANDB_MODE`, else auto; wandb need not be imported to know it.

    Raises:
        ConfigError: a `WANDB_MODE` that W&B does not know.
    """
    mode = os.environ.get("WANDB_MODE", "").strip().lower()
    if tracking.mode != "auto" or not mode:
        return tracking.mode
    if mode not in ENVIRONMENT_MODES:
        raise unknown_choice("tracking", "WANDB_MODE", mode, ENVIRONMENT_MODES, "Unset it or choose tracking.mode=...")
    return ENVIRONMENT_MODES[mode]


def choose_mode(tracking: Tracking, wandb: Any) -> Choice:
    """Decide where runs go.

    Raises:
        ConfigError: `tracking.mode=online` without an API key (W&B would stop and ask for one), or as `requested_mode`.
    """
    requested = requested_mode(tracking)
    _clean_environment()
    if requested in ("offline", "disabled"):
        return Choice(requested)
    settings = _set_up(wandb)
    # `wandb offline` and `wandb disabled` write their mode to a settings file, which an explicit mode overrules.
    remembered = ENVIRONMENT_MODES.get(settings.mode, "online")
    if requested == "auto" and remembered != "online":
        return Choice(remembered)
    if key_problem := _key_problem(wandb):
        if tracking.mode == "online":
            raise ConfigError(
                f"tracking: cannot use `mode`='online': {key_problem}. Expected a configured API key. "
                "Run `wandb login`, set WANDB_API_KEY, or choose tracking.mode=offline and upload later."
            )
        return Choice("offline", key_problem)
    if not server_answers(settings.base_url, tracking.probe_timeout_s):
        server = server_name(settings.base_url)
        return Choice("offline", f"{server} did not answer within {tracking.probe_timeout_s:g} s")
    return Choice("online")


def require_online(what: str, tracking: Tracking, wandb: Any) -> Choice:
    """The choice of online, for what is possible nowhere else.

    Args:
        what: the beginning of the message, as in `sync: cannot upload`.

    Raises:
        ConfigError: no API key, or a server that does not answer.
    """
    # After WANDB_MODE=offline or `wandb offline`, which is how many runs come to be uploaded later, W&B finds no key.
    _set_up(wandb, mode="online")
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


def _clean_environment() -> None:
    """Write the variables of W&B as W&B takes them.

    It refuses a blank one, a mode in capitals, and spaces around a value: the line break of the file that a key was
    read from.
    """
    for name, value in list(os.environ.items()):
        if name.startswith("WANDB_"):
            os.environ[name] = value.strip().lower() if name == "WANDB_MODE" else value.strip()
            if not os.environ[name]:
                del os.environ[name]


def _set_up(wandb: Any, **given: Any) -> Any:
    """The settings that W&B reads from its variables and files.

    Raises:
        ConfigError: W&B refuses one of them.
    """
    _clean_environment()
    try:
        return wandb.setup(wandb.Settings(silent=True, **given)).settings
    except ValueError as error:
        refused = [name for name in sorted(os.environ) if name.startswith("WANDB_")]
        raise ConfigError(
            f"tracking: W&B refuses a setting: {_refusal(error)}. Expected what it understands. Look at "
            f"{format_names(refused) or 'its settings files'}, or choose tracking=disabled."
        ) from error


def _refusal(error: ValueError) -> str:
    """What pydantic says in three lines or more, in one: the setting and what is wrong with it."""
    lines = [line.strip() for line in str(error).splitlines()]
    return ": ".join(lines[1:3]).partition(" [type=")[0].rstrip(".") or first_line(error).rstrip(".")


def _key_problem(wandb: Any) -> str:
    """Why no API key can be used, "" when one can. Looks where W&B looks: environment, netrc, settings files."""
    try:
        # Without `verify` it touches no network, without `prompt` it asks no question.
        return "" if wandb.login(prompt=False, verify=False) else "no API key is configured"
    except Exception as error:
        return f"the API key cannot be used ({error})"


def server_name(url: str) -> str:
    """Host and port of a server, without the user and password that its address may hold.

    Example:
        >>> server_name("https://me:secret@wandb.example.org:8080/path")
        'wandb.example.org:8080'
    """
    return urlsplit(url).netloc.rpartition("@")[2]


def server_answers(url: str, timeout_s: float) -> bool:
    """Whether any HTTP answer below 500 comes from `url` within `timeout_s` seconds.

    Neither a name look-up nor a server that sends one byte a second obeys the socket's own timeout.
    """

    def ask() -> bool:
        try:
            request = urllib.request.Request(url, method="HEAD", headers={"User-Agent": "initsuite"})
            with urllib.request.urlopen(request, timeout=timeout_s):
                return True
        except urllib.error.HTTPError as error:
            return error.code < 500

    try:
        return within(timeout_s, ask)
    except Exception:  # too late, refused, unreachable, not a URL, not HTTP: all of them mean no
        return False
