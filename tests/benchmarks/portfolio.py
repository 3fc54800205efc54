"""What a portfolio costs: 1 and 100 declared models, alike, in a stock create-dagster project.

`dg list defs` in a process of its own; the start of a run of one model from the moment when it is
asked for until its first step begins, by a code server that is up, as the daemon launches it; and
a tick of each sensor of the code location while nothing comes in.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from textwrap import dedent

import dagster as dg

# there is no public way to do what the daemon does
from dagster._core.definitions.selector import JobSubsetSelector
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import ModuleTarget

from mlops_assets.project import Project
from mlops_assets.sensors.location import DATA_SENSOR, DECISION_SENSOR
from tests import tiny
from tests.benchmarks.measuring import Seconds, Worker, answer_questions, measured, table

SIZES = (1, 100)
REPETITIONS = 3
PACKAGE = "portfolio"
MODEL = "model_0000"
JOB = "__ASSET_JOB"
FILES = {
    "pyproject.toml": """
        [tool.dg]
        directory_type = "project"

        [tool.dg.project]
        root_module = "portfolio"
    """,
    "portfolio/__init__.py": "",
    "portfolio/definitions.py": tiny.FILES["tiny_project/definitions.py"],
    "portfolio/columns.py": tiny.FILES["tiny_project/defs/tiny/schema.py"]
    + tiny.FILES["tiny_project/defs/tiny/features.py"],
    "portfolio/defs/__init__.py": "",
}
DECLARED = """
    type: mlops_assets.components.ModelComponent

    attributes:
      name: {name}
      windows: {{every: week, start: "2024-01-01", end: "2027-01-04"}}
      batches: {{contract: "portfolio.columns:Batch", time: at, key: [id]}}
      labels:
        contract: portfolio.columns:Outcome
        target: portfolio.columns:TARGET
        mature_after_days: 7
      features: portfolio.columns:FEATURES
"""


def run(sizes: tuple[int, ...] = SIZES) -> None:
    """Print it, by the number of models in one code location."""
    lines: list[list[object]] = []
    for models in sizes:
        with tempfile.TemporaryDirectory() as folder:
            project = make_portfolio(Path(folder) / "project", models)
            listed = measured(lambda _, project=project: list_definitions(project), REPETITIONS)
            worker = Worker("tests.benchmarks.portfolio", str(project))
            try:
                loaded = worker.ask(what="load")["seconds"]
                starts = [worker.ask(what="start")["seconds"] for _ in range(REPETITIONS + 1)]
                idle = worker.ask(what="idle")["seconds"]
            finally:
                worker.close()
            lines.append(
                [
                    f"{models:,}",
                    listed,
                    Seconds((loaded,)),
                    Seconds(tuple(starts[1:])),
                    *(Seconds(tuple(idle[name])) for name in (DATA_SENSOR, DECISION_SENSOR)),
                ]
            )
    table(
        "A portfolio: models in one code location",
        ["", "dg list defs", "code server", "a run starts", "idle tick: data", "decision"],
        lines,
    )


def make_portfolio(root: Path, models: int) -> Path:
    """Write a project of so many models, alike; return its folder."""
    files = dict(FILES)
    for number in range(models):
        name = f"model_{number:04}"
        files[f"portfolio/defs/{name}/defs.yaml"] = DECLARED.format(name=name)
    for name, text in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(dedent(text).lstrip())
    return root


def list_definitions(project: Path) -> None:
    """Let Dagster's own command list what is declared."""
    environment = tiny.environment(project) | {"VIRTUAL_ENV": str(tiny.BIN.parent)}
    subprocess.run(
        [str(tiny.BIN / "dg"), "list", "defs", "--json"],
        cwd=project,
        env=environment,
        check=True,
        capture_output=True,
    )


def serve(project: Path) -> None:
    """Answer how long things take, beside a code server of the project."""
    os.chdir(project)
    sys.path.insert(0, str(project))
    os.environ["MLOPS_HOME"] = str(project / ".mlops")
    # the code server has to find the project too
    os.environ["PYTHONPATH"] = str(project)
    found = Project.find()
    found.home.prepare()
    with ExitStack() as opened:
        instance = opened.enter_context(dg.DagsterInstance.get())
        workspace: list[WorkspaceProcessContext] = []

        def answer(what: str) -> dict[str, object]:
            if what == "load":
                target = ModuleTarget("portfolio.definitions", None, None, PACKAGE)
                begun = time.perf_counter()
                workspace.append(opened.enter_context(WorkspaceProcessContext(instance, target)))
                return {"seconds": time.perf_counter() - begun}
            if what == "start":
                return {"seconds": start(instance, workspace[0])}
            return {"seconds": idle(found, instance)}

        answer_questions({}, answer)


def start(instance: dg.DagsterInstance, workspace: WorkspaceProcessContext) -> float:
    """Ask for a run of one model, as the daemon does; return after how long its first step began."""
    begun = time.time()
    request = workspace.create_request_context()
    location = request.get_code_location(PACKAGE)
    keys = [dg.AssetKey([MODEL, stage]) for stage in ("batches", "features", "predictions")]
    job = location.get_job(JobSubsetSelector(PACKAGE, "__repository__", JOB, None, keys))
    plan = location.get_execution_plan(job, {}, None, None, instance=instance)
    run = instance.create_run(
        job_name=job.name,
        run_id=None,
        run_config={},
        resolved_op_selection=None,
        step_keys_to_execute=None,
        status=dg.DagsterRunStatus.NOT_STARTED,
        op_selection=None,
        root_run_id=None,
        parent_run_id=None,
        tags={**job.run_tags, "dagster/partition": "2024-01-01"},
        job_snapshot=job.job_snapshot,
        execution_plan_snapshot=plan.execution_plan_snapshot,
        parent_job_snapshot=job.parent_job_snapshot,
        remote_job_origin=job.get_remote_origin(),
        job_code_origin=job.get_python_origin(),
        asset_selection=frozenset(keys),
        asset_check_selection=None,
        asset_graph=location.get_repository("__repository__").asset_graph,
    )
    instance.launch_run(run.run_id, request)
    while True:
        now = instance.get_run_by_id(run.run_id)
        steps = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_START)
        if steps:
            return float(steps[0].timestamp - begun)
        if now is None or now.is_finished:
            raise RuntimeError("\n".join(str(one) for one in instance.all_logs(run.run_id)))
        time.sleep(0.02)


def idle(project: Project, instance: dg.DagsterInstance) -> dict[str, list[float]]:
    """Return how long each sensor's ticks take while nothing comes in; the first look is not one."""
    repository = project.repository
    resources = repository.get_top_level_resources()
    found: dict[str, list[float]] = {}
    for sensor in repository.sensor_defs:
        context = dg.build_sensor_context(
            instance=instance,
            repository_def=repository,
            sensor_name=sensor.name,
            resources={key: resources[key] for key in sensor.required_resource_keys},
        )
        tick = partial(sensor.evaluate_tick, context)
        found[sensor.name] = list(measured(lambda _, tick=tick: tick(), REPETITIONS).all)
    return found


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
