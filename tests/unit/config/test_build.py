"""What makes an id, a label and a context; what is refused before training."""

import copy
import sys
from pathlib import Path

import pytest

from initsuite.config import workload
from initsuite.errors import ConfigError
from initsuite.spec import short_hash

TINY = ("max_steps=2", "eval_every=2")


@pytest.fixture
def user_module(tmp_path, monkeypatch):
    """Rewrite a user's `mine.py`; the module of that name is forgotten each time."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def write(text: str) -> None:
        sys.modules.pop("mine", None)
        Path(tmp_path / "mine.py").write_text(text)

    yield write
    sys.modules.pop("mine", None)


def ids(job) -> tuple[str, str]:
    return job.cell.cell_id, job.cell.context_id


def test_what_a_cell_is(make_job) -> None:
    base = make_job()
    cell, context = ids(base)
    for same in ("protocol=quick", "seeds=3", "optimizer.lr_grid=[0.1]", "device=cpu", "tracking.mode=offline"):
        assert ids(make_job(same)) == (cell, context)
    assert ids(make_job("protocol=fixed", "optimizer.lr=0.1")) == (cell, context)
    assert ids(make_job("dataset.levels.easy=0.5", "data_dir=elsewhere")) == (cell, context)
    assert make_job("init=xavier").cell.context_id == context
    for other in ("init=xavier", "init.gain=2", "model.depth=3", "activation=tanh", "max_steps=9", "batch_size=9"):
        assert make_job(other).cell.cell_id != cell
    for other in ("optimizer.momentum=0.5", "optimizer=adam", "eval_every=10", "dataset.split_seed=1"):
        assert make_job(other).cell.context_id != context


def test_one_and_one_point_nought_are_the_same_number(make_job) -> None:
    assert ids(make_job("init=xavier", "init.gain=1")) == ids(make_job("init=xavier"))
    assert short_hash({"a": [1.0, True]}) == short_hash({"a": [1, True]}) != short_hash({"a": [1.5, True]})


def test_labels_name_what_differs_from_the_file(make_job) -> None:
    axes = make_job("init=normal", "init.std=0.1", "activation=leaky_relu", "activation.negative_slope=0.2").cell.axes
    assert axes["init"] == "normal(std=0.1)"
    assert axes["activation"] == "leaky_relu(negative_slope=0.2)"
    assert axes["dataset"] == "digits"
    assert axes["model"] == "mlp-2x64"


def test_what_an_initializer_requires_is_applied_to_its_cell_alone(make_job) -> None:
    plain, batch = make_job(), make_job("model.norm=batch")
    arm = make_job("+init.requires={model.norm: batch}")
    assert arm.cell.context_id == plain.cell.context_id
    assert arm.cell.axes["model"] == plain.cell.axes["model"]
    assert arm.cell.workload.workload_id == batch.cell.workload.workload_id
    assert len({arm.cell.cell_id, plain.cell.cell_id, batch.cell.cell_id}) == 3
    beside = make_job("+init.requires={model.norm: batch}", "model.norm=batch")
    assert beside.cell.cell_id != arm.cell.cell_id  # another context: its trials are its own


@pytest.mark.parametrize("requires", ["{model.nrom: batch}", "{optimizer.lr: 1}", "{model.name: cnn}"])
def test_a_requirement_that_no_model_can_meet_is_refused(make_job, requires) -> None:
    with pytest.raises(ConfigError, match=r"unknown `requires`=.*An initializer requires options of a model"):
        make_job(f"+init.requires={requires}")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["init=fixup"],
            "with model=mlp: it requires model.norm=none model.fixup=true.*Use model=resnet, or another",
        ),
        (
            ["init=rezero", "model=cnn"],
            "it requires model.branch_scale=true.*Use model=residual_mlp or model=resnet or model=transformer or",
        ),
        (
            ["init=zero_gamma", "model=vit"],
            "init=zero_gamma requires model.norm=batch, and this model refuses that. Vit",
        ),
    ],
)
def test_a_model_that_cannot_be_what_an_initializer_requires_is_named_with_it(make_job, overrides, message) -> None:
    with pytest.raises(ConfigError, match=message):
        make_job(*overrides)


def test_a_users_model_of_another_signature_is_told_the_contract(make_job, user_module) -> None:
    user_module("import torch\nclass Net(torch.nn.Module):\n    def __init__(self, n):\n        super().__init__()\n")
    with pytest.raises(ConfigError, match=r"one that takes input_shape, num_outputs, activation by name.*takes \(n\)"):
        make_job("model=custom", "model._target_=mine.Net", "+model.n=3")


def test_mup_takes_the_column_of_the_optimizer_of_the_sweep(make_job) -> None:
    sgd, adamw = (make_job("init=mup", f"optimizer={name}").cell for name in ("sgd", "adamw"))
    assert (sgd.initializer.optimizer, adamw.initializer.optimizer) == ("sgd", "adam")
    assert sgd.axes["init"] == adamw.axes["init"] == "mup"
    other = make_job("init=mup", "init.optimizer=adam").cell
    assert (other.initializer.optimizer, other.axes["init"]) == ("adam", "mup(optimizer=adam)")
    nesterov, same = make_job("init=mup", "optimizer=nesterov"), make_job("init=mup", "optimizer.nesterov=true")
    assert ids(nesterov) == ids(same)


def test_a_model_of_torchvision_is_named(make_job) -> None:
    cell = make_job("model=torchvision", "model.name=squeezenet1_1", "model.image_size=32").cell
    assert cell.axes["model"] == "squeezenet1_1-32px"


LAW = """
STD = {std}
class Base:
    def helper(self):
        return STD
class Law(Base):
    def __call__(self, spec, generator):
        import torch
        return torch.full(spec.shape, self.helper())
"""


def test_an_edit_of_a_users_file_makes_another_cell(make_job, user_module) -> None:
    """A module constant and a base class count, though the source of the class itself is unchanged."""
    mine = ("init=custom", "init._target_=mine.Law")
    user_module(LAW.format(std=0.1))
    before = ids(make_job(*mine))
    assert ids(make_job(*mine)) == before
    user_module(LAW.format(std=0.2))
    after = ids(make_job(*mine))
    assert after[0] != before[0]
    assert after[1] == before[1]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("raise KeyError('gain')", "KeyError: 'gain'"),
        ("import sys; sys.exit(0)", r"RuntimeError: SystemExit\(0\): the code ends Python"),
    ],
)
@pytest.mark.parametrize("is_import", [True, False])
def test_code_of_a_user_that_raises_is_an_error_in_one_line(make_job, user_module, body, said, is_import) -> None:
    inside = f"class Law:\n    def __init__(self):\n        {body}\n"
    user_module(f"{body}\n" if is_import else inside)
    where = "Importing it raises" if is_import else r"init=custom: cannot be made with \(\):"
    with pytest.raises(ConfigError, match=f"{where} {said}"):
        make_job("init=custom", "init._target_=mine.Law")


def test_an_edit_of_a_users_file_makes_another_initializer(make_job, user_module) -> None:
    """One is built for the cells that share it, and forgotten when its source changes."""
    from initsuite.engine.stack import start_of

    def weights(std: float) -> set[float]:
        user_module(LAW.format(std=std))
        cell = make_job("init=custom", "init._target_=mine.Law").cell
        start, _ = start_of(cell.workload, cell.initializer, 0)
        return {float(value) for value in start.params[cell.workload.specs[0].name].unique()}

    assert weights(0.25) == {0.25}
    assert weights(0.5) == {0.5}


@pytest.fixture
def count_draws(monkeypatch) -> list[str]:
    """The name of every tensor that is drawn."""
    from initsuite.init.base import compose

    names: list[str] = []
    draw = compose.draw
    monkeypatch.setattr(compose, "draw", lambda law, spec, seed: names.append(spec.name) or draw(law, spec, seed))
    return names


def test_a_rehearsal_is_held_once_for_an_initializer_on_a_workload(make_job, count_draws) -> None:
    """On one tensor of each kind: weight and bias of the first layer, of all hidden ones, and of the last."""
    base = ("init=orthogonal", "init.gain=1.7", "model.depth=9", "model.width=32")
    first = make_job(*base)
    assert len(count_draws) == 6
    other = make_job(*base, "optimizer.momentum=0.3")
    assert len(count_draws) == 6
    assert other.cell.initializer is first.cell.initializer
    assert other.cell.cell_id != first.cell.cell_id
    make_job(*base, "activation=tanh")
    assert len(count_draws) == 12


@pytest.mark.parametrize("depth", [1, 2, 9])
def test_a_rehearsal_of_one_tensor_of_each_kind_refuses_what_a_whole_one_does(make_job, depth) -> None:
    with pytest.raises(ConfigError, match="gelu"):
        make_job("init.gain=torch", "activation=gelu", f"model.depth={depth}")


def test_a_tree_is_built_from_and_left_as_it_was() -> None:
    from initsuite.config.build import build_tree
    from initsuite.config.sweep import compose_sweep

    (job,) = compose_sweep(["+init.requires={model.norm: batch}"])
    before = copy.deepcopy(job.tree)
    built, _ = build_tree(job.tree)
    assert job.tree == before
    assert built.cell.config["model"]["norm"] == "none"
    assert any("norm" in spec.role for spec in built.cell.workload.specs)


def test_the_jobs_of_a_launch_share_what_is_alike_and_it_is_freed_with_the_builder() -> None:
    import gc
    import weakref

    from initsuite.config.build import Builder
    from initsuite.config.sweep import build_jobs, compose_sweep

    composed = compose_sweep(["init=lsuv,he", "optimizer=sgd,adam", "protocol=smoke"])
    builder = Builder()
    first, second = build_jobs(composed, builder), build_jobs(composed[:2], builder)
    cells = [job.cell for job in (*first.jobs, *second.jobs)]
    assert len({id(cell.workload) for cell in cells}) == 1
    assert len({id(cell.initializer) for cell in cells}) == 2
    held = weakref.ref(cells[0].workload)
    assert build_jobs(composed[:1]).jobs[0].cell.workload is not held()
    del builder, first, second, cells
    gc.collect()
    assert held() is None


def test_an_edit_of_a_users_model_makes_another_workload(make_job, user_module) -> None:
    user_module(NET)
    mine = ("model=custom", "model._target_=mine.Net")
    before = make_job(*mine).cell
    assert make_job(*mine, "init=xavier").cell.workload is before.workload
    user_module(NET.replace("Linear(64, 8)", "Linear(64, 9)").replace("Linear(8,", "Linear(9,"))
    after = make_job(*mine).cell
    assert after.context_id != before.context_id
    assert after.workload.workload_id != before.workload.workload_id
    assert [spec.shape for spec in after.workload.specs] != [spec.shape for spec in before.workload.specs]


def test_optuna_looks_for_the_highest_accuracy() -> None:
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    import hydra

    from initsuite.config.groups import conf_dir

    with hydra.initialize_config_dir(version_base="1.3", config_dir=str(conf_dir())):
        for more, direction in ((), "maximize"), (("hydra.sweeper.direction=minimize",), "minimize"):
            overrides = ["hydra/sweeper=optuna", *more]
            config = hydra.compose("config", overrides=overrides, return_hydra_config=True)
            assert config.hydra.sweeper.direction == direction


LOAD = """
def load(data_dir=None):
    from initsuite.data.digits import digits
    return digits()
"""


def test_the_place_and_name_of_a_users_data_count(make_job, user_module) -> None:
    user_module(LOAD)
    mine = ("dataset=custom", "dataset._target_=mine.load", *TINY, "batch_size=8")
    a, b, c = (
        make_job(*mine, f"+dataset.data_dir={place}", f"dataset.name={name}").cell.context_id
        for place, name in (("a", "custom"), ("b", "custom"), ("a", "mydata"))
    )
    assert len({a, b, c}) == 3


NET = """
from torch import nn
class Net(nn.Sequential):
    def __init__(self, input_shape, num_outputs, activation, rate=0.0, frozen=False):
        super().__init__(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Dropout(rate), nn.Linear(8, num_outputs))
        self[1].weight.requires_grad_(not frozen)
"""


def test_a_model_with_active_dropout_is_refused(make_job, user_module) -> None:
    user_module(NET)
    mine = ("model=custom", "model._target_=mine.Net")
    assert make_job(*mine)
    with pytest.raises(ConfigError, match="Set its p to 0"):
        make_job(*mine, "+model.rate=0.5")


def test_frozen_parameters_stay(make_job, user_module) -> None:
    import torch

    from initsuite.engine.stack import Member, stack_state, start_of
    from initsuite.engine.step import make_step
    from initsuite.spec import Stage

    user_module(NET)
    cell = make_job("model=custom", "model._target_=mine.Net", "+model.frozen=true").cell
    member = Member(cell, cell.trial(0.1, 0, Stage.SCORE), *start_of(cell.workload, cell.initializer, 0))
    state = stack_state([member], torch.device("cpu"), torch.float32)
    before = {name: value.clone() for name, value in state.params.items()}
    train = cell.workload.dataset.train
    make_step(cell.workload, cell.optimizer, state)(train.inputs[None, :8], train.targets[None, :8])
    assert torch.equal(state.params["1.weight"], before["1.weight"])
    assert not torch.equal(state.params["4.weight"], before["4.weight"])


KEEPING = """
import torch
from torch import nn
class Net(nn.Module):
    def __init__(self, input_shape, num_outputs, activation):
        super().__init__()
        self.first, self.head = nn.Linear(64, 8), nn.Linear(8, num_outputs)
        self.mixing = nn.Parameter(torch.randn(3, 8))
        self.table = nn.Parameter(torch.arange(8.0), requires_grad=False)
    def forward(self, x):
        return self.head((self.first(x.flatten(1)) + self.table).relu() * self.mixing.sum(0).cos())
"""


@pytest.mark.filterwarnings("ignore:describe. cannot place")
def test_what_a_model_keeps_differs_between_seeds_and_is_told(make_job, user_module) -> None:
    import pickle

    import torch

    from initsuite.engine.stack import Member, stack_state, start_of
    from initsuite.spec import Stage
    from initsuite.train.plan.preview import kept_lines

    user_module(KEEPING)
    before = torch.get_rng_state()
    cell = make_job("model=custom", "model._target_=mine.Net").cell
    assert set(cell.workload.kept) == {"mixing", "table"}
    assert kept_lines([("net", cell.workload.kept)]) == [
        "kept: net: mixing, table: the model's own values; no initializer draws them"
    ]
    assert pickle.loads(pickle.dumps(cell.workload.own_values))(0).keys() == {"mixing", "table"}  # for worker processes

    def start(seed: int) -> Member:
        return Member(cell, cell.trial(0.1, seed, Stage.SCORE), *start_of(cell.workload, cell.initializer, seed))

    state = stack_state([start(0), start(1), start(0)], torch.device("cpu"), torch.float32)
    first, second, again = state.params["mixing"]
    assert torch.equal(first, again)
    assert (first != second).all()
    assert torch.equal(state.params["table"], torch.arange(8.0).expand(3, 8))
    assert torch.equal(torch.get_rng_state(), before)


def test_an_initializer_that_runs_the_model_sees_the_values_of_its_seed(make_job, user_module) -> None:
    import torch

    from initsuite.engine.stack import start_of
    from initsuite.spec import Initialization

    seen = []

    class Reading:
        def __call__(self, model, specs, *, seed, probe=None):
            seen.append(model.mixing.detach().clone())
            return Initialization({spec.name: torch.zeros(spec.shape) for spec in specs})

    user_module(KEEPING)
    workload = make_job("model=custom", "model._target_=mine.Net").cell.workload
    starts = [start_of(workload, Reading(), seed)[0] for seed in (0, 1)]
    assert all(torch.equal(start.params["mixing"], value) for start, value in zip(starts, seen, strict=True))
    assert not torch.equal(*seen)


@pytest.mark.filterwarnings("ignore:describe. cannot place")
def test_only_models_with_values_of_their_own_have_another_id(make_job, user_module) -> None:
    def is_plain(*overrides: str) -> bool:
        workload = make_job(*overrides).cell.workload
        return workload.own_values is None

    user_module(NET)
    assert is_plain("model=custom", "model._target_=mine.Net")
    assert is_plain("activation=prelu")  # the slopes are constants of the suite's own models
    assert not is_plain("model=custom", "model._target_=mine.Net", "+model.frozen=true")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["dataset.metric=mse"],
            "`metric`='mse'. Expected one for targets of type torch.int64: accuracy, bits_per_char",
        ),
        (["dataset.metric=f1"], "unknown `metric`='f1'"),
        (["dataset.direction=min"], "`direction`='min'. Expected max, of accuracy"),
        (["dataset=text"], "model=mlp: bad value `dataset`='text'.*Tokens need model=transformer"),
        (["dataset.levels=3"], "easy, primary and hard"),
        (["~dataset.levels.hard"], "easy, primary and hard"),
        (["dataset.levels.hard=0.1"], r"on the way from chance \(0.1\) to 1"),
        (["dataset.levels.primary=7"], "on the way from chance"),
        (["dataset.levels.easy=0.99"], "on the way from chance"),
        (["dataset.chance=-1"], "`chance`=-1"),
        (["dataset.loss=mse"], "`loss`='mse'. Expected one for targets of type torch.int64: cross_entropy"),
        (["+init.requires=5"], r"a mapping such as \{model.norm: batch\}"),
        (["optimizer.lr_grid=[]"], "Example: optimizer.lr_grid"),
        (["max_stack=0"], "`max_stack`=0"),
        (["device=cuda:7"], "cuda:7"),
        (["device=gpu"], "Expected one of: auto, cpu, cuda, cuda:N"),
        (["init=custom"], "init=custom init._target_=mypkg.MyClass"),
        (["init=custom", "init._target_=nowhere.X"], "Run from the folder of your package"),
        ([f"experiment_name={'x' * 300}"], "at most 100 printable characters"),
        (["model.name=5"], "config: model: bad value `name`=5"),
        (["init=custom", "init._target_=1"], "the import path of your own class"),
        (["init=custom", "init._target_=[]"], "the import path of your own class"),
        (["init._target_=null"], "the import path of your own class"),
        (["+model.activation=relu"], "`activation`='relu'. Expected no option of this name: the suite fills it in"),
        (["dataset.loss=[mse]"], r"config: dataset: bad value `loss`=\['mse'\]. Expected a word"),
        (["+foo=1"], "unknown `key`='foo'"),
        (["~dataset.levels"], "config: `dataset.levels` is left out. Expected a value. Leave out ~dataset.levels"),
        (["~optimizer.lr_grid"], "config: `optimizer.lr_grid` is left out"),
        (["optimizer.family=adam"], "config: optimizer=sgd: unknown `family`='adam'. Expected one of: sgd"),
        (["optimizer.name=mine", "optimizer.family=foo"], "unknown `family`='foo'. Expected one of: adam, sgd"),
        (["dataset.name=text"], "`name`='text'. Expected another one: this is the name of initsuite.data.text.text"),
        (["dataset.split_seed=1.5"], "`split_seed`=1.5. Expected a whole number"),
        (["device=cpu:5"], "unknown `device`='cpu:5'"),
        (["+tracking.dir=x"], "tracking: unknown `option`='dir'"),
        (["init=custom", "init._target_=torch"], "Expected a class or a function. It is a module"),
        (["optimizer.lr_grid=[1e-320]"], "`lr_grid`=1e-320. Expected a number that float32 holds, 1e-38 to 3e"),
        (["protocol=fixed", "optimizer.lr=1e308"], "`optimizer.lr`=1e.308. Expected a number that float32 holds"),
        (["init=constant", "init.value=1e39"], "init=constant: .* cannot be converted to type float without overflow"),
        (["+cluster.foo=1"], "cluster=local: unknown `option`='foo'. Expected none."),
        (["init.name=null"], "config: init: bad value `name`=None. Expected a name"),
        (["model.name=''"], "config: model: bad value `name`=''"),
        (["dataset.name=[1]"], r"config: dataset: bad value `name`=\[1\]"),
        (["dataset=gaussian_blobs", "dataset.num_train=1000000000000"], "dataset=gaussian_blobs: cannot be made with"),
    ],
    ids=str,
)
def test_bad_values_are_refused(make_job, overrides, message) -> None:
    with pytest.raises(ConfigError, match=message):
        make_job(*overrides)


def test_a_model_of_endless_layers_is_refused_as_soon_as_it_has_too_many(
    make_job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workload, "MOST_TENSORS", 10)
    assert len(make_job("model.depth=4").cell.workload.specs) == 10
    for depth in (5, 10**12):
        with pytest.raises(ConfigError, match=r"model=mlp: it has too many parameter tensors\. Got more than 10\."):
            make_job(f"model.depth={depth}")


def test_a_model_that_cannot_fit_into_memory_is_refused_before_it_is_made(make_job) -> None:
    """2 x 64: 10^7 wide is 100 million million weights."""
    with pytest.raises(
        ConfigError, match=r"model=mlp: its 100,\d{3},\d{3},\d{3},\d{3} parameters do not fit into memory"
    ):
        make_job("model.width=10000000")
