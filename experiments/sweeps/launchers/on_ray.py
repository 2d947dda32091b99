"""How does a sweep use several machines? Ray: a cluster that starts and stops with the sweep, or one that runs.

A batch whose process or machine died is made again in halves, and these in halves: so a run that kills its process is
found and recorded as failed, and all others are made.
"""

import logging
import os
import pickle
import socket
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from edgesim.errors import EdgesimError, RunError
from edgesim.scratch import RAY, scratch_folder
from experiments.configuration.places import CODE
from experiments.sweeps.workers import Batch, Outcome, SweepSpec, bury

_AHEAD = 2  # batches that wait or run, for each core of the cluster
_HOPELESS = 20  # deaths before any batch came back
_KNOCK_S = 10
_SILENT_S = 10  # without a batch, until the cluster is asked whether it has a core
_TEMPORARY = Path("/tmp")  # Ray's sockets lie there, whose paths must be short


@dataclass(frozen=True, kw_only=True)
class OnRay:
    """``address`` of a running cluster; null starts one here, with ``workers`` cores (null: all).

    Workers of other machines need the same edgesim, installed or at the same path, or ``working_dir`` to be sent there.
    ``retries`` is how often a run may be under way when its process dies.
    """

    address: str | None = None
    workers: int | None = None
    working_dir: str | None = None
    retries: int = 3
    shared_files: bool = False

    def launch(self, spec: SweepSpec, batches: Sequence[Batch]) -> Iterator[Sequence[Outcome]]:
        """Batches as they are done. Raises RunError where there is no cluster, or its machines have another edgesim."""
        with self._cluster():
            described = ray.put(pickle.dumps(spec))
            ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
            here = "" if self.working_dir else os.getcwd()
            task = ray.remote(max_retries=0)(_run_there)
            left, under_way = list(reversed(batches)), dict[Any, Batch]()
            deaths: Counter[Batch] = Counter()
            any_came = False
            while left or under_way:
                while left and len(under_way) < _AHEAD * max(1, ray.cluster_resources().get("CPU", 1)):
                    batch = left.pop()
                    under_way[task.remote(str(CODE), here, described, pickle.dumps(batch))] = batch
                done = _first(list(under_way))
                batch = under_way.pop(done)
                try:
                    yield pickle.loads(ray.get(done))
                    any_came = True
                except RayTaskError as error:
                    raise _told(error) from error
                except RayError as error:  # its process or machine died, or what it had made was lost with one
                    deaths[batch] += 1
                    if not any_came and deaths.total() >= _HOPELESS:
                        raise RunError(
                            f"the workers of the Ray cluster died {_HOPELESS} times, and made no run"
                        ) from error
                    if len(batch) > 1:
                        left += [batch[len(batch) // 2 :], batch[: len(batch) // 2]]
                    elif deaths[batch] < self.retries:
                        left.append(batch)
                    else:
                        reason = f"its process died {self.retries} times (killed, or out of memory)"
                        yield [bury(spec, batch[0], reason)]

    @contextmanager
    def _cluster(self) -> Iterator[None]:
        """A connection to the cluster; one of our own leaves nothing behind."""
        if ray.is_initialized():  # in a notebook: it is its user's
            yield
            return
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nobody is told of a sweep
        with ExitStack() as ending:
            where: dict[str, Any] = {"address": self.address}
            if self.address is None:
                folder = ending.enter_context(scratch_folder(within=_TEMPORARY, prefix=RAY))
                where = {"address": "local", "num_cpus": self.workers, "_temp_dir": str(folder)}
            ending.callback(ray.shutdown)
            try:
                _knock(self.address or "")
                ray.init(
                    **where,
                    runtime_env={"working_dir": self.working_dir} if self.working_dir else None,
                    include_dashboard=False if self.address is None else None,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                )
            except (RuntimeError, ValueError, OSError) as error:
                asked = "start here" if self.address is None else f"be reached at {self.address}"
                raise RunError(f"a Ray cluster cannot {asked}: {_first_line(error)}") from error
            yield


def _first(under_way: Sequence[Any]) -> Any:
    """The batch that is done first. Says so, each time that the cluster has lost its last core meanwhile."""
    lost = False
    while not (done := ray.wait(under_way, timeout=_SILENT_S)[0]):
        before, lost = lost, not ray.cluster_resources().get("CPU")
        if lost and not before:
            print(
                "waiting: the Ray cluster has no core left (start a machine again; Ctrl-C keeps what is finished)",
                file=sys.stderr,
            )
    return done[0]


def _knock(address: str) -> None:
    """Raise OSError where nobody listens, for whom Ray would wait many minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=_KNOCK_S).close()


def _run_there(home: str, here: str, spec: bytes, batch: bytes) -> bytes:
    """A batch's outcomes, in a process of the cluster, which takes this function as it is and imports nothing for it.

    Ray lets such a process look for modules first where the sender stands. So our packages are taken from where edgesim
    lies, before anything of them is imported, and a user's modules are found last.
    """
    from importlib import import_module

    sys.path.insert(0, home)  # of a machine that has edgesim elsewhere, nothing
    try:
        import_module("edgesim.front_door").claim()
    finally:
        sys.path.remove(home)
    if os.path.isdir(here):
        while here in sys.path:
            sys.path.remove(here)
        os.chdir(here)
    run_elsewhere = import_module("experiments.sweeps.elsewhere").run_elsewhere
    return pickle.dumps(run_elsewhere(pickle.loads(spec), pickle.loads(batch)))


def _told(error: RayTaskError) -> EdgesimError:
    """What a worker raised: ours in its words, anything else as what it is."""
    cause = error.cause
    if isinstance(cause, EdgesimError):
        return cause
    missing = isinstance(cause, ModuleNotFoundError)
    way_out = " (install the same edgesim there, or send it: launcher.working_dir=FOLDER)" if missing else ""
    return RunError(f"a worker of the Ray cluster failed: {type(cause).__name__}: {_first_line(cause)}{way_out}")


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
