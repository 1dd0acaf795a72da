"""The flow: DVC's graph, nothing of its own, and no process that outlives it."""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from flows import gpus, graph, pipeline, terminal
from flows.children import Children, Stopped
from flows.troubles import CommandFailed, DvcBusy, FlakyIO, trouble
from unisurg import telemetry

ROOT = Path(__file__).resolve().parent.parent
STAGES = """
stages:
  first: {cmd: cp data/a first.txt, deps: [data/a], outs: [first.txt]}
  good: {cmd: env > good.txt, deps: [first.txt], outs: [good.txt]}
  bad: {cmd: echo planned mishap && false, deps: [first.txt], outs: [bad.txt]}
  after: {cmd: cp bad.txt after.txt, deps: [bad.txt], outs: [after.txt]}
"""


def run(root: Path, *command: str) -> None:
    subprocess.run(command, cwd=root, check=True, capture_output=True)


@pytest.fixture(scope="module", autouse=True)
def quiet() -> None:
    telemetry.switch_off()


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DVC repository: an import, a chain, a branch that fails, data added by hand."""
    root = tmp_path_factory.mktemp("toy")
    dvc = (sys.executable, "-m", "dvc")
    run(root, "git", "init", "--quiet")
    run(root, *dvc, "init", "--quiet")
    (root / "source").mkdir()
    (root / "source" / "a").write_text("1\n")
    (root / "source" / "by_hand").write_text("2\n")
    run(root, *dvc, "import-url", "--quiet", "source", "data")
    pointer = root / "data.dvc"
    pointer.write_text(pointer.read_text().replace("frozen: true\n", ""))
    (root / "own").write_text("3\n")
    run(root, *dvc, "add", "--quiet", "own")
    (root / "dvc.yaml").write_text(STAGES)
    return root


class Said(logging.Handler):
    """What was logged, line by line."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{record.levelname} {record.getMessage()}")


@pytest.fixture(scope="module")
def said() -> Said:
    """What the flow logs, but for its tasks."""
    return Said()


@pytest.fixture(scope="module")
def flow_run(toy: Path, said: Said, prefect_server: None) -> tuple[dict[str, str], str]:
    """The flow, run once while another DVC holds the lock at first: states, error text."""
    from dvc.repo import Repo

    logging.getLogger("prefect.flow_runs").addHandler(said)
    with pytest.MonkeyPatch.context() as patch, Repo(str(toy)) as repo:
        patch.chdir(toy)
        repo.lock.lock()
        threading.Thread(target=_after_first_dvc, args=(repo.lock.unlock,)).start()
        state = pipeline.pipeline(return_state=True)
        names = _task_states(state.state_details.flow_run_id)
    error = state.result(raise_on_failure=False)
    return names, str(error)


def _after_first_dvc(release: Callable[[], None]) -> None:
    """Call `release` when the first `dvc repro` below this process has given up."""
    first = _soon(_running_dvc, timeout_s=300.0)
    if first is not None:
        _soon(lambda: _has_ended(first), timeout_s=120.0)
    release()


def _has_ended(process: psutil.Process) -> bool:
    """Only looks: waiting for a child of ours would take its exit code away from the flow."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _running_dvc() -> psutil.Process | None:
    for process in psutil.Process().children():
        try:
            if "repro" in process.cmdline():
                return process
        except psutil.Error:
            continue
    return None


def _task_states(flow_run_id: object) -> dict[str, str]:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter

    only = FlowRunFilter(id={"any_": [flow_run_id]})
    with get_client(sync_client=True) as client:
        runs = client.read_task_runs(flow_run_filter=only)
    return {run.name: f"{run.state_name} after {run.run_count} tries" for run in runs}


def test_the_graph_is_dvcs_in_an_order_to_run_in(toy: Path) -> None:
    assert dict(graph.read(toy).needs) == {
        "data.dvc": (),
        "first": ("data.dvc",),
        "bad": ("first",),
        "good": ("first",),
        "after": ("bad",),
    }
    order = list(graph.read(toy).needs)
    assert order.index("data.dvc") < order.index("first") < order.index("after")


def test_a_target_brings_only_what_it_needs(toy: Path) -> None:
    assert list(graph.towards(graph.read(toy).needs, ["good"])) == ["data.dvc", "first", "good"]


def test_an_unknown_target_is_answered_with_the_stages_there_are(toy: Path) -> None:
    with pytest.raises(graph.UnknownStage, match=r"no stage 'goood'; there are: after, bad"):
        graph.towards(graph.read(toy).needs, ["goood"])


def test_a_failing_stage_leaves_other_branches_done_and_its_dependents_not_run(
    flow_run: tuple[dict[str, str], str], toy: Path
) -> None:
    states, error = flow_run
    assert states["good"].startswith("Completed")
    assert states["bad"] == "Failed after 1 tries"
    assert states["after"].startswith("NotReady")
    assert "bad (failed), after (not run: it needs one that failed)" in error
    assert (toy / "good.txt").is_file()


def test_a_report_that_cannot_be_written_after_a_failure_is_a_warning(
    flow_run: tuple[dict[str, str], str], said: Said
) -> None:
    (warning,) = [line for line in said.lines if "unisurg report" in line]
    assert warning.startswith("WARNING the report was not written")


def test_a_busy_dvc_is_tried_again(flow_run: tuple[dict[str, str], str]) -> None:
    states, _ = flow_run
    assert states["data.dvc"] == "Completed after 2 tries"


def test_stages_learn_which_pipeline_and_which_python_they_belong_to(
    flow_run: tuple[dict[str, str], str], toy: Path
) -> None:
    variables = (toy / "good.txt").read_text()
    assert "UNISURG_PIPELINE=prefect " in variables
    assert f"UNISURG_PYTHON={sys.executable}\n" in variables


def test_a_failure_is_told_with_the_last_lines_that_were_printed(
    flow_run: tuple[dict[str, str], str], toy: Path
) -> None:
    from prefect.logging import disable_run_logger

    with disable_run_logger(), pytest.raises(CommandFailed, match="planned mishap"):
        pipeline.reproduce.fn("bad", toy, False, Children(1), "alone")


def test_what_is_up_to_date_does_not_run(flow_run: tuple[dict[str, str], str], toy: Path) -> None:
    from prefect.logging import disable_run_logger

    with disable_run_logger():
        assert not pipeline.reproduce.fn("first", toy, False, Children(1), "alone").ran
        assert pipeline.reproduce.fn("first", toy, True, Children(1), "alone").ran


def test_stopping_ends_what_a_child_has_started_too(tmp_path: Path) -> None:
    children, lines = Children(1), list[str]()
    command = ["sh", "-c", "sleep 60 & echo $!; wait"]
    thread = threading.Thread(target=children.run, args=(command, tmp_path, {}, lines.append))
    thread.start()
    grandchild = psutil.Process(int(_soon(lambda: lines[0] if lines else None)))
    children.stop()
    thread.join(timeout=10)
    assert not thread.is_alive()
    assert _soon(lambda: not grandchild.is_running() or grandchild.status() == "zombie")


def test_after_stopping_nothing_is_started(tmp_path: Path) -> None:
    children = Children(1)
    children.stop()
    with pytest.raises(Stopped):
        children.run(["touch", "started"], tmp_path, {}, print)
    assert not (tmp_path / "started").exists()


def test_no_more_children_run_side_by_side_than_asked_for(tmp_path: Path) -> None:
    children, moments = Children(2), list[tuple[float, float]]()

    def work() -> None:
        edges: list[float] = []
        command = ["sh", "-c", "echo; sleep 0.3; echo"]
        children.run(command, tmp_path, {}, lambda _: edges.append(time.monotonic()))
        moments.append((edges[0], edges[1]))

    threads = [threading.Thread(target=work) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    together = [sum(a <= start < b for a, b in moments) for start, _ in moments]
    assert max(together) == 2


def test_the_summary_has_every_stage_the_main_metric_and_the_page(tmp_path: Path) -> None:
    metrics, page = tmp_path / "b.json", tmp_path / "index.html"
    metrics.write_text(json.dumps({"main": "f1", "pretrained": {"f1": {"mean": 0.613}}}))
    page.write_text("")
    text = pipeline.summary({"one": "ran in 3 s"}, graph.Dag({"one": ()}, (metrics,), (page,)))
    assert "| one | ran in 3 s |" in text
    assert "| b.json | f1, pretrained | 61.3 % |" in text
    assert page.as_uri() in text


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("ERROR: Unable to acquire lock. Most likely another DVC process is running", DvcBusy),
        ("unisurg: [Errno 5] Input/output error: 'data/a.mp4'", FlakyIO),
        ("OSError: [Errno 116] Stale file handle: 'data'", FlakyIO),
        ("ERROR: failed to push data to the cloud - [Errno 104] Connection reset by peer", FlakyIO),
        ("unisurg: [Errno 28] No space left on device", CommandFailed),
        ("unisurg: [Errno 2] No such file or directory: 'data'", CommandFailed),
        ("unisurg: 1 of 40 rules is broken: frames: sharp_frac", CommandFailed),
        ("  a1b2: failed: OSError: Input/output error", CommandFailed),
    ],
)
def test_locks_and_flaky_storage_are_tried_again_and_nothing_else(
    line: str, kind: type[CommandFailed]
) -> None:
    assert type(trouble("validate", 1, ["Running stage 'validate':", line])) is kind


def test_what_is_tried_again_is_told_by_a_base_class() -> None:
    from prefect.states import Failed

    flaky, broken = (Failed(data=error("x")) for error in (FlakyIO, CommandFailed))
    condition = pipeline.reproduce.retry_condition_fn
    assert condition is not None
    assert condition(pipeline.reproduce, None, flaky)  # type: ignore[arg-type]
    assert not condition(pipeline.reproduce, None, broken)  # type: ignore[arg-type]


def test_stages_that_want_a_gpu_say_so_in_dvc_yaml() -> None:
    wanting = {node.partition("@")[0] for node in graph.read(ROOT).gpu}
    assert wanting >= {"pretrain", "pretrain_long", "features", "probe", "finetune"}
    assert not wanting & {"scan", "corpus", "validate", "report"}


def test_without_a_target_the_graph_of_another_folder_is_left_alone(
    toy: Path, tmp_path: Path
) -> None:
    root = tmp_path / "toy"
    shutil.copytree(toy, root)
    (root / "aside").mkdir()
    (root / "aside" / "dvc.yaml").write_text("stages: {long: {cmd: sleep 9, deps: [../data/a]}}")
    needs = graph.read(root).needs
    assert "aside/dvc.yaml:long" in needs
    assert list(graph.usual(needs)) == list(graph.read(toy).needs)


def test_a_gpu_is_one_stages_at_a_time_and_named_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpus.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(gpus, "LOOK_AGAIN_S", 0.01)
    held, most = list[str](), list[list[str]]()

    def work() -> None:
        with gpus.one_of(("0", "3"), Children(1).check_wanted) as seen:
            held.append(seen[gpus.VISIBLE])
            most.append(sorted(held))
            time.sleep(0.03)
            held.remove(seen[gpus.VISIBLE])

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ["0", "3"] in most
    assert all(names in (["0"], ["3"], ["0", "3"]) for names in most)


def test_a_stage_that_waits_for_a_gpu_is_cancelled_with_its_flow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpus.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(gpus, "LOOK_AGAIN_S", 0.01)
    mine = Children(1)
    with (
        ThreadPoolExecutor(1) as pool,
        gpus.one_of(("0",), Children(1).check_wanted),
    ):
        waiting = pool.submit(lambda: gpus.one_of(("0",), mine.check_wanted).__enter__())
        time.sleep(0.1)
        assert not waiting.done()
        mine.stop()
        assert isinstance(waiting.exception(timeout=10), Stopped)


def test_the_gpus_are_those_that_the_user_shows_or_all_of_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("nvidia0", "nvidia10", "nvidia2", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()
    monkeypatch.setattr(gpus, "DEVICES", tmp_path)
    monkeypatch.delenv(gpus.VISIBLE, raising=False)
    assert gpus.gpus() == ("0", "2", "10")
    monkeypatch.setenv(gpus.VISIBLE, "2")
    assert gpus.gpus() == ("2",)
    monkeypatch.setenv(gpus.VISIBLE, "")
    assert gpus.gpus() == ()
    with gpus.one_of((), Children(1).check_wanted) as seen:
        assert seen == {}


@pytest.mark.parametrize(
    ("error", "code"),
    [(None, 0), (pipeline.PipelineFailed("x"), 1), (graph.UnknownStage("x"), 1),
     (KeyboardInterrupt(), 130)],
)  # fmt: skip
def test_the_exit_code_tells_how_it_ended(
    error: BaseException | None, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ended(*arguments: object) -> None:
        if error is not None:
            raise error

    monkeypatch.setattr(pipeline, "pipeline", ended)
    monkeypatch.setattr(terminal.signal, "signal", lambda *_: None)
    assert pipeline.main([]) == code


def _soon(answer, timeout_s: float = 10.0):  # type: ignore[no-untyped-def]
    """The answer as soon as it is true."""
    deadline = time.monotonic() + timeout_s
    while not (value := answer()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return value
