"""Jobs composed together equal those that Hydra composes individually, and those that cannot be trained are named."""

import itertools
from contextlib import contextmanager
from pathlib import Path

import hydra
import pytest
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from omegaconf import OmegaConf, open_dict

import initsuite
from initsuite.config.compose import merge as composing
from initsuite.config.compose.hydra_files import Composer
from initsuite.config.compose.resolve import compose_jobs
from initsuite.config.groups import conf_dir
from initsuite.config.sweep import build_jobs, check_can_be_planned, compose_sweep, raise_if_illegal
from initsuite.errors import ConfigError
from initsuite.train.__main__ import explain

FILES = {
    "config": """
defaults: [init: he, activation: relu, optimizer: sgd, sub/deep: one, _self_, experiment: null]
max_steps: 600
half: ${max_steps}
steps: ${init.steps}
label: ${init.name}-${activation.name}
presets: {a: {width: 3}, b: {width: 4}}
chosen: ${presets.a}
home: ${oc.env:HOME}
choice: a
""",
    "init/he": "name: he\ngain: 2\nsteps: ${max_steps}\nnested: {u: 1, v: {w: 2}}",
    "init/xavier": "name: xavier\nfan: avg\nsteps: 7",
    "init/normal": "name: normal\nstd: 0.01\nsteps: ${activation.slope}",
    "init/derived": "defaults: [he, _self_]\nname: derived\ngain: 5",
    "init/pushy": "defaults: [override /optimizer: adam]\nname: pushy\nsteps: 1",
    "init/global": "# @package _global_\ninit: {name: global, steps: 1}\nmax_steps: 9",
    "init/elsewhere": "# @package activation\nname: elsewhere\nslope: 3",
    "init/guest": "defaults: [/optimizer@init.inner: adam]\nname: guest\nsteps: 2",
    "init/named": "defaults: [{part: '${activation}'}]\nname: named\nsteps: 3",
    "init/part/relu": "of: relu",
    "init/part/tanh": "of: tanh",
    "activation/relu": "name: relu\nslope: 0",
    "activation/tanh": "name: tanh\nslope: 1",
    "activation/pushy": "defaults: [override /optimizer: sgd]\nname: pushy\nslope: 4",
    "optimizer/sgd": "name: sgd\nlr: 0.1",
    "optimizer/adam": "name: adam\nlr: 0.001\nbeta: 0.9",
    "sub/deep/one": "value: 1",
    "sub/deep/two": "value: 2\nextra: 3",
    "experiment/short": "# @package _global_\ndefaults: [override /init: xavier, override /optimizer: adam]\nhalf: 3",
    "experiment/merging": "# @package _global_\noptimizer: {lr: 7}",
    "experiment/sloping": "# @package _global_\nactivation: {slope: 8}",
    "experiment/plain": "# @package _global_\nmax_steps: 5",
}
"""A made-up application with everything that may go wrong."""
SWEEPS = [
    "init=he,xavier activation=relu,tanh optimizer.lr=1,2,3",
    "init=he,xavier,normal activation=relu,tanh max_steps=1,2,3",
    "init=he,derived optimizer=sgd,adam sub/deep=one,two",
    "init=he,pushy activation=relu,tanh,pushy optimizer.lr=1,2",
    "init=he,pushy optimizer=sgd,adam activation=relu,pushy",
    "init=he,global max_steps=1,2 activation=relu,tanh",
    "init=he,elsewhere activation=relu,tanh optimizer.lr=1,2",
    "init=he,guest optimizer=sgd,adam activation=relu,tanh",
    "init=xavier,named activation=relu,tanh optimizer.lr=1,2",
    "experiment=short,merging activation=relu,tanh optimizer.lr=1,2",
    "experiment=plain,sloping,merging activation=relu,tanh init=he,xavier optimizer.lr=1,2",
    "experiment=short,null activation=relu,tanh init=he,normal",
    "experiment=short ++init.gain=1,2 activation=relu,tanh max_steps=1,2",
    "+new.key=1,2 +new.other=3,4 activation=relu,tanh",
    "+new={a:1},{b:2} +new.c=3,4 activation=relu,tanh",
    "~init.gain activation=relu,tanh max_steps=1,2,3",
    "~init.nested.v.w init.nested.u=1,2 activation=relu,tanh optimizer.lr=1,2",
    "init.nested={u:7},{v:{w:8}} init.nested.v.w=1,2 activation=relu,tanh",
    "max_steps=choice(1,2) optimizer.lr=range(1,4) activation=relu,tanh",
    "init.name='a b','c,d' activation=relu,tanh optimizer.lr=1,2",
    "init.gain=[64,32],[64],[] activation=relu,tanh max_steps=1,2",
    "max_steps=${optimizer.lr},${init.gain} optimizer.lr=1,2 init.gain=3,4",
    "half='${activation.slope}',7 activation=relu,tanh max_steps=1,2",
    "++chosen.width=7,8 presets.a.width=1,2 activation=relu,tanh",
    "chosen='${presets.b}','${presets.a}' presets.b.width=7,8 activation=relu,tanh",
    "init=glob(*er*) activation=relu,tanh max_steps=1,2",
    "label='${hydra:job.num}' activation=relu,tanh optimizer.lr=1,2,3",
    "label='${.choice}','${presets.${choice}.width}' choice=a,b activation=relu,tanh",
    "optimizer@second=sgd,adam activation=relu,tanh max_steps=1,2",
    "+optimizer@second=sgd,adam activation=relu,tanh second.lr=1,2",
    "init={gain:9},{gain:8} activation=relu,tanh max_steps=1,2",
    "init=he,normal init.std=1,2 activation=relu,tanh",
    "init=he,xavier init.gain=1,2 activation=relu,tanh",
    "max_steps=many,2 half=1,2 init=he,xavier",
]


@contextmanager
def sweep_of(directory: Path, line: str):
    """The loader, the configuration of the sweep, and its jobs as Hydra's own sweeper makes them."""
    with hydra.initialize_config_dir(version_base="1.3", config_dir=str(directory), job_name="train"):
        loader = GlobalHydra.instance().config_loader()
        overrides = line.replace("'a b'", "'a\0b'").split(" ")
        overrides = [text.replace("\0", " ") for text in overrides]
        master = loader.load_configuration("config", overrides, RunMode.MULTIRUN)
        parsed = OverridesParser.create(config_loader=loader).parse_overrides(overrides)
        (jobs,) = BasicSweeper.split_arguments(parsed, None)
        yield loader, master, jobs


def one_by_one(loader, master, jobs) -> list[object]:
    """Each job as a launcher of Hydra's composes and resolves it; the kind of error of those that do not."""
    results: list[object] = []
    for index, job in enumerate(jobs):
        try:
            config = loader.load_sweep_config(master, list(job))
            with open_dict(config):
                config.hydra.job.id = config.hydra.job.num = index
            hydra.core.hydra_config.HydraConfig.instance().set_config(config)
            tree = {}
            for key in [key for key in config if key != "hydra"]:
                value = config[key]
                tree[key] = OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
            results.append(tree)
        except Exception as error:
            results.append(type(error))
    return results


def at_once(loader, master, jobs) -> list[object]:
    composed = compose_jobs(Composer(loader, master), jobs)
    return [type(job.error) if job.error else job.tree for job in composed]


@pytest.fixture(scope="module")
def made_up(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("conf")
    for name, text in FILES.items():
        path = folder / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("line", SWEEPS)
def test_a_sweep_composed_at_once_is_what_hydra_composes(made_up, line, monkeypatch) -> None:
    """Without the guard, which compares a few jobs and would hide a flaw."""
    monkeypatch.setattr(composing, "_agrees", lambda *_: True)
    with sweep_of(made_up, line) as (loader, master, jobs):
        assert at_once(loader, master, jobs) == one_by_one(loader, master, jobs)


@pytest.mark.slow
@pytest.mark.parametrize(
    "experiment", [None, *sorted(path.stem for path in (conf_dir() / "experiment").glob("*.yaml"))]
)
def test_every_experiment_swept_at_once_is_what_hydra_composes(experiment) -> None:
    # An experiment brings axes of its own: with all of these, hundreds of jobs.
    line = "init=he,zero activation=relu,leaky_relu"
    line += "" if experiment else " model=mlp,cnn tracking=offline,disabled max_steps=5,6"
    with sweep_of(conf_dir(), f"experiment={experiment} {line}" if experiment else line) as (loader, master, jobs):
        assert at_once(loader, master, jobs) == one_by_one(loader, master, jobs)


@pytest.fixture
def count_compositions(monkeypatch) -> list[object]:
    """One item for every time that Hydra composes files."""
    from hydra._internal.config_loader_impl import ConfigLoaderImpl

    calls: list[object] = []
    compose = ConfigLoaderImpl.load_sweep_config

    def counted(self, master, overrides):
        calls.append(overrides)
        return compose(self, master, overrides)

    monkeypatch.setattr(ConfigLoaderImpl, "load_sweep_config", counted)
    return calls


def test_choices_that_do_not_meet_are_composed_once_each(count_compositions) -> None:
    line = "init=he,zero,xavier,normal activation=relu,tanh,gelu model.depth=1,2,3,4 optimizer.momentum=0.1,0.2,0.3"
    jobs = compose_sweep(line.split())
    assert len(jobs) == 4 * 3 * 4 * 3
    groups, guard = 1 + 3 + 2, composing.CHECKED
    assert len(count_compositions) <= groups + guard
    tree = jobs[-1].tree
    assert (tree["init"]["name"], tree["activation"]["name"]) == ("normal", "gelu")
    assert (tree["model"]["depth"], tree["optimizer"]["momentum"], tree["max_steps"]) == (4, 0.3, 600)


def test_what_files_of_a_sweep_in_parts_share_is_composed_once(count_compositions) -> None:
    line = "workload=mlp_shallow_digits,mlp_deep_digits,vit_digits init=he,zero,xavier activation=relu,tanh,gelu"
    jobs = compose_sweep(line.split())
    assert [job.error for job in jobs] == [None] * 27
    bases, others, guard = 3, 2 + 2, 3
    assert len(count_compositions) <= bases + others + guard + 2  # and what tells that a workload may change anything
    assert (jobs[-1].tree["model"]["name"], jobs[-1].tree["init"]["name"]) == ("vit", "xavier")


def test_a_long_axis_of_values_reads_files_once(count_compositions) -> None:
    assert len(compose_sweep(["init=normal", "init.std=range(1,60)"])) == 59
    assert len(count_compositions) == 1


@pytest.mark.slow
def test_the_guard_sends_a_wrong_merge_back_to_hydra(monkeypatch) -> None:
    def flawed(self, jobs):
        return dict.fromkeys(jobs, self.tree)

    monkeypatch.setattr(composing._Merger, "merge", flawed)
    jobs = compose_sweep(["init=he,zero", "activation=relu,tanh", "model.depth=1,2,3"])
    assert [job.tree["model"]["depth"] for job in jobs] == [1, 2, 3] * 4


def test_jobs_share_their_equal_parts() -> None:
    jobs = compose_sweep(["init=he,zero", "activation=relu,tanh", "model.depth=1,2,3"])
    assert jobs[0].tree["dataset"] is jobs[-1].tree["dataset"]


def test_the_sweep_of_an_experiment_is_expanded() -> None:
    jobs = compose_sweep(["experiment=quickstart", "seeds=2"])
    names = [job.tree["init"]["name"] for job in jobs]
    assert names == ["zero", "normal", "xavier", "he", "orthogonal"]


def test_a_running_application_of_hydra_is_put_back() -> None:
    with hydra.initialize_config_dir(version_base="1.3", config_dir=str(conf_dir())):
        running = GlobalHydra.instance().hydra
        compose_sweep(["seeds=1"])
        assert GlobalHydra.instance().hydra is running


def test_combinations_that_cannot_be_trained_are_collected() -> None:
    built = build_jobs(compose_sweep(["init=he,custom", "model.depth=0,1,2", "activation=relu,tanh", "seeds=1"]))
    assert len(built.jobs) == 4
    assert len(built.illegal) == 8
    reasons = dict(built.illegal)
    assert "depth" in reasons["init=he model.depth=0 activation=relu"]
    assert "init._target_=mypkg.MyClass" in reasons["init=custom model.depth=1 activation=tanh"]
    with pytest.raises(
        ConfigError, match=r"8 of 12 combinations.*\n  init=he model.depth=0 activation=relu: (.|\n)*leave"
    ):
        raise_if_illegal(built)


@pytest.mark.slow
def test_what_all_illegal_combinations_share_is_said_and_a_long_list_is_cut() -> None:
    line = "init=he,zero,xavier model.depth=0,1 activation=relu,tanh,gelu,sigmoid"
    with pytest.raises(ConfigError, match=r"and 2 more; dry_run=true shows all(.|\n)*All of them have model.depth=0"):
        raise_if_illegal(build_jobs(compose_sweep(line.split())))


@pytest.mark.slow
def test_a_combination_that_does_not_compose_is_illegal_too() -> None:
    built = build_jobs(compose_sweep(["init=normal,he", "init.std=0.1,0.2", "activation=relu,tanh"]))
    assert [overrides for overrides, _ in built.illegal] == [
        " ".join(("init=he", *rest)) for rest in itertools.product(("init.std=0.1", "init.std=0.2"), ACTIVATIONS)
    ]
    assert all("init.std" in reason or "std" in reason for _, reason in built.illegal)
    raise_if_illegal(build_jobs(compose_sweep(["init=normal", "init.std=0.1,0.2"])))


ACTIVATIONS = ("activation=relu", "activation=tanh")


def test_a_sweep_without_one_job_that_can_be_trained_raises_its_error() -> None:
    with pytest.raises(ConfigError, match="`max_steps`=0"):
        build_jobs(compose_sweep(["max_steps=0,-1"]))
    with pytest.raises(hydra.errors.MissingConfigException, match="xavier"):
        build_jobs(compose_sweep(["init=he,foo"]))


def test_how_to_run_is_the_same_for_all_jobs() -> None:
    with pytest.raises(ConfigError, match="Start one command for each value"):
        build_jobs(compose_sweep(["results_dir=a,b"]))


def test_a_sweep_that_learns_cannot_be_planned() -> None:
    check_can_be_planned({"_target_": "hydra_plugins.initsuite_sweeper.sweeper.InitsuiteSweeper"})
    with pytest.raises(ConfigError, match="Leave out dry_run=true"):
        check_can_be_planned({"_target_": "hydra_plugins.hydra_optuna_sweeper.optuna_sweeper.OptunaSweeper"})


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("init=glob(zz*)", "bad value `init`='glob\\(zz\\*\\)'. Expected at least one value"),
        ("seeds=range(3,1)", "bad value `seeds`='range\\(3,1\\)'. Expected at least one value"),
        ("model.depth=range(1,1000000)", "Expected at most 100,000 combinations"),
    ],
)
def test_a_sweep_without_a_combination_or_with_too_many_is_refused_at_once(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        compose_sweep([override])


def test_what_hydra_raises_about_overrides_is_explained() -> None:
    """Whatever its type: a ValueError for a group that is set to null."""
    with pytest.raises(ValueError, match="must be a string") as caught:
        compose_sweep(["model=null"])
    said = explain(caught.value)
    assert said is not None
    assert said.startswith("config: ValueError: Config group override must be a string or a list. Got NoneType.")
    assert explain(ValueError("of ours")) is None


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda: initsuite.plan(5), "plan: bad value `overrides`=5"),
        (lambda: initsuite.plan(["init=he"]), "plan: bad value `overrides`="),
        (lambda: initsuite.load_results(None), "load_results: bad value `source`=None"),
        (lambda: initsuite.load_results(b""), "load_results: bad value `source`="),
        (lambda: initsuite.recommend(results="reference"), "recommend: bad value `results`='reference'"),
    ],
)
def test_arguments_of_another_type_are_refused(ask, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ask()
