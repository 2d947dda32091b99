"""What if the other end of a control channel sends anything at all? No crash, no hang, nothing that counts.

Frames of every kind are drawn, and true ones with one thing changed; both ends take them as they would from a host.
"""

import ast
import io
import json
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from runtime_builders import BERT, CASES, data, workload

from edgesim.errors import RunError
from edgesim.strategies.hybrid_pipeline import hybrid_pipeline
from real_runtime.assignment import Assignment
from real_runtime.control.board import Board, shared_memory
from real_runtime.control.coordinator import Coordinator
from real_runtime.control.evidence import Patience
from real_runtime.control.meeting_place import MeetingPlace
from real_runtime.control.port import Port
from real_runtime.ssh.agent import Agent
from real_runtime.ssh.client import SshClient
from real_runtime.ssh.clock import Answer
from real_runtime.ssh.far_host import FarHost
from real_runtime.ssh.far_rank import FarRank
from real_runtime.ssh.frames import FrameError, read
from real_runtime.ssh.inventory import Host, Reaching
from real_runtime.ssh.metering.from_host import Arrived, facts_of
from real_runtime.ssh.wheel import Wheel

FEW, MANY = 150, 2600  # of each kind; all together more than ten thousand with --soak
SPEC = {"suppress_health_check": [HealthCheck.function_scoped_fixture, HealthCheck.too_slow], "deadline": None}
CODE = Path(__file__).parents[1] / "real_runtime"

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=12)
    | st.sampled_from(["", "ping", "tell", "start", "wait", "get", "add", "../../etc/passwd", "\0", "9" * 30])
)
ANY = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
OF_DRIVERS: list[dict[str, Any]] = [
    {"do": "ping", "ping": 3},
    {"do": "begin", "silence_s": 20.0},
    {"do": "describe", "interface": "lo"},
    {"do": "start", "start": 1, "rank": 0},
    {"do": "tell", "rank": 0, "message": {"do": "join", "number": 1}},
    {"do": "signal", "rank": 0, "number": 9},
    {"do": "forget", "rank": 0},
    {"do": "try_meter", "meter": {"name": "jetson_rails", "settings": {"root": "/nowhere", "period_s": 0.1}}},
    {"do": "read_meter", "read_meter": 1, "meter": {"name": "jetson_rails", "settings": {"root": "/nowhere"}}},
    {"do": "stop_meter"},
]
DOING = ["compute", "0F1", 3, 12.5, "", -1, []]
RAIL = {
    "source": "a rail",
    "covers": "module",
    "evidence": "measured",
    "quantity": "power_w",
    "period_s": 0.1,
    "resolution": 0.04,
    "averages_s": 0.0,
}
OF_HOSTS: list[dict[str, Any]] = [
    {"pong": 1, "at_s": 12.5},
    {"look": 1, "vitals": ["R", 1.0, 2.0, 0], "head": [4, 0.0, 2, 100, False], "main": DOING, "doings": [DOING]},
    {"says": 1, "message": {"iteration": 0, "times": {"0F0@0": [1.0, 2.0]}, "loss": 0.5, "late": 0.1, "number": 1}},
    {"says": 1, "message": {"done": "play", "number": 1}},
    {"says": 1, "message": {"rows": [{"block": "a", "op": "F", "seconds": 0.1}], "done": "profile", "number": 1}},
    {"says": 1, "message": {"error": {"failure": "other", "task": "0F0", "message": "no"}, "number": 1}},
    {"says": 1, "message": {"connections": [["10.0.0.1:1", "10.0.0.2:2", False]], "number": 1}},
    {"says": 1, "message": {"store": {"ask": "set", "id": 1, "keys": ["a"], "value": "00"}}},
    {"ended": 1, "code": -9, "memory": "nothing", "last_words": "", "cause": ""},
    {"ready": True},
    {"refused": "no"},
    {"reads": 1, "meter": RAIL},
    {"readings": 1, "at_s": [1.0, 1.1], "values": [5.0, None]},
    {"metered": 1, "notes": ["1 reading missing"]},
    {"no_meter": "no sensor"},
]
OF_COORDINATORS: list[dict[str, Any]] = [
    {"do": "commit", "iteration": 1, "stop": False},
    {"do": "foretell", "iteration": 1, "task": "0F0@0", "signal": 0},
    {"do": "connections", "number": 1},
    {"do": "profile", "number": 4, "samples": [1]},
    {"store": 0, "value": "00"},
]
QUESTIONS: list[dict[str, Any]] = [
    {"ask": "set", "id": 1, "keys": ["a"], "value": "00"},
    {"ask": "get", "id": 2, "keys": ["a"]},
    {"ask": "add", "id": 3, "keys": ["n"], "value": 1},
    {"ask": "check", "id": 4, "keys": ["a", "b"]},
    {"ask": "compare and set", "id": 5, "keys": ["a"], "expected": "00", "value": "01"},
    {"ask": "delete", "id": 6, "keys": ["a"]},
    {"ask": "count", "id": 7, "keys": []},
]


def changed(message: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """A message with one of its values, somewhere, another one; or without it; or with one more."""

    @st.composite
    def draw_one(draw: Callable[[st.SearchStrategy[Any]], Any]) -> dict[str, Any]:
        made = json.loads(json.dumps(message))
        node: Any = made
        while True:
            key = draw(st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node))))
            if isinstance(node[key], dict | list) and node[key] and draw(st.booleans()):
                node = node[key]
                continue
            match draw(st.sampled_from(("other", "other", "gone", "more"))):
                case "gone":
                    del node[key]
                case "more" if isinstance(node, dict):
                    node[draw(st.text(max_size=6))] = draw(ANY)
                case _:
                    node[key] = draw(ANY)
            return made  # type: ignore[no-any-return]

    return draw_one()


def of(messages: list[dict[str, Any]]) -> st.SearchStrategy[Any]:
    """True ones, changed ones, and anything."""
    return st.sampled_from(messages) | st.sampled_from(messages).flatmap(changed) | ANY


def line(message: object) -> bytes:
    """As it travels; Python's own way to write what is no number included."""
    return json.dumps(message).encode() + b"\n"


LINES_TO_AGENTS = of(OF_DRIVERS).map(line) | st.binary(max_size=60)
LINES_OF_HOSTS = of(OF_HOSTS).map(line) | st.binary(max_size=60)


class NoServer:
    """Forks nothing."""

    pid = 0

    def wait_until_ready(self) -> None:
        """It is."""

    def fork(self, given: object) -> int:
        """Refuse."""
        raise OSError("nothing is forked here")

    def kill(self) -> None:
        """Nothing to end."""


@pytest.fixture(scope="module")
def agent() -> Iterator[Agent]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", "/tmp")
        made = Agent(io.BytesIO(), io.BytesIO(), serves=lambda: NoServer())  # type: ignore[arg-type, return-value]
        yield made
        made.end()


def said_by(agent: Agent) -> list[dict[str, Any]]:
    """What an agent has said, and not sent yet."""
    said = []
    while not agent._to_write.empty():
        said.append(json.loads(agent._to_write.get()))
    return said


def take_to_agent(agent: Agent, sent: bytes) -> None:
    agent.hear(sent)
    assert all(len(frame) >= 1 for frame in said_by(agent))
    agent.hear(line({"do": "ping", "ping": 7}))
    assert any(frame.get("pong") == 7 for frame in said_by(agent))  # it goes on
    assert not agent._ranks  # and has started nothing


@settings(max_examples=FEW, **SPEC)  # type: ignore[arg-type]
@given(sent=LINES_TO_AGENTS)
def test_an_agent_refuses_whatever_is_no_order_and_goes_on(agent: Agent, sent: bytes) -> None:
    take_to_agent(agent, sent)


@pytest.mark.soak
@settings(max_examples=MANY, **SPEC)  # type: ignore[arg-type]
@given(sent=LINES_TO_AGENTS)
def test_an_agent_refuses_thousands(agent: Agent, sent: bytes) -> None:
    take_to_agent(agent, sent)


def take_from_host(tmp_path: Path, sent: bytes) -> None:
    """A host that has one rank, and says one more thing: it is believed, or the channel ends with a FrameError."""
    heard: list[tuple[int, object]] = []
    client = SshClient(name="a", host=Host(address="a"), reaching=Reaching(), folder=tmp_path)
    far = FarHost(client, Wheel(name="a-1-py3-none-any.whl", content=b""))
    far.clock.hear(Answer(asked_s=1.0, heard_s=1.001, there_s=1.0))
    far.meter._number = 1
    if "reads" not in str(sent):
        far.meter._arrived = Arrived(facts=facts_of(RAIL), clock=far.clock)
    rank = far._ranks[1] = FarRank(0, 1, far, lambda number, message: heard.append((number, message)), pid=5)
    with suppress(FrameError):
        far._hear(read(sent))
    assert all(number == 0 for number, _ in heard)
    rank.board.head()
    rank.board.doings()
    rank.vitals()
    take_by_coordinator([message for _, message in heard if isinstance(message, dict)])


def take_by_coordinator(messages: list[dict[str, Any]]) -> None:
    """What has passed the channel: the coordinator answers it, or ends with a RunError."""
    silent = SimpleNamespace(tell=lambda command: None, kill=lambda: None, leave=lambda until_s: None)
    with closing(Coordinator(lambda rank, folder, hear: silent, 1, patience=Patience(deadline_s=1))) as coordinator:  # type: ignore[arg-type, return-value]
        coordinator.asked = 1
        for message in messages:
            coordinator._hear(0, message)
        while not coordinator.heard.empty():
            coordinator._takes(*coordinator.heard.get())


@settings(max_examples=FEW, **SPEC)  # type: ignore[arg-type]
@given(sent=LINES_OF_HOSTS)
def test_what_a_host_sends_is_believed_or_ends_its_channel(tmp_path: Path, sent: bytes) -> None:
    take_from_host(tmp_path, sent)


@pytest.mark.soak
@settings(max_examples=MANY, **SPEC)  # type: ignore[arg-type]
@given(sent=LINES_OF_HOSTS)
def test_thousands_of_things_that_hosts_send(tmp_path: Path, sent: bytes) -> None:
    take_from_host(tmp_path, sent)


@pytest.fixture(scope="module")
def port() -> Iterator[tuple[Port, io.StringIO]]:
    said = io.StringIO()
    board = Board(shared_memory())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("real_runtime.control.port.shut_down_all", lambda: None)
        yield Port(said, board), said


def take_to_rank(port: tuple[Port, io.StringIO], sent: str) -> None:
    rank, said = port
    said.seek(0)
    said.truncate()
    rank.hear(sent)
    while not rank.commands.empty():
        command = rank.commands.get()
        assert type(command["number"]) is int
        assert isinstance(command["do"], str)
    assert all("error" in told or "connections" in told for told in map(json.loads, said.getvalue().splitlines()))


@settings(max_examples=FEW, **SPEC)  # type: ignore[arg-type]
@given(sent=of(OF_COORDINATORS).map(json.dumps) | st.text(max_size=40))
def test_a_rank_refuses_whatever_is_no_command(port: tuple[Port, io.StringIO], sent: str) -> None:
    take_to_rank(port, sent)


@pytest.mark.soak
@settings(max_examples=MANY, **SPEC)  # type: ignore[arg-type]
@given(sent=of(OF_COORDINATORS).map(json.dumps) | st.text(max_size=40))
def test_a_rank_refuses_thousands(port: tuple[Port, io.StringIO], sent: str) -> None:
    take_to_rank(port, sent)


def take_questions(questions: list[Any]) -> None:
    answers: list[tuple[int, dict[str, Any]]] = []
    place = MeetingPlace(lambda rank, answer: answers.append((rank, answer)))
    for question in questions:
        if isinstance(question, dict):
            with suppress(ValueError):
                place.hear(0, question)
    place.hear(1, {"ask": "set", "id": 99, "keys": ["z"], "value": "00"})
    place.hear(1, {"ask": "get", "id": 100, "keys": ["z"]})
    assert answers[-1] == (1, {"store": 100, "value": "00"})  # it still answers others


@settings(max_examples=FEW, **SPEC)  # type: ignore[arg-type]
@given(questions=st.lists(of(QUESTIONS), max_size=3))
def test_the_meeting_place_answers_others_whatever_one_asks(questions: list[Any]) -> None:
    take_questions(questions)


@pytest.mark.soak
@settings(max_examples=MANY, **SPEC)  # type: ignore[arg-type]
@given(questions=st.lists(of(QUESTIONS), max_size=3))
def test_the_meeting_place_answers_others_among_thousands(questions: list[Any]) -> None:
    take_questions(questions)


WORK = workload(BERT)
TRUE = Assignment(
    schedule=hybrid_pipeline(CASES[2].plan(BERT), BERT, WORK),
    model=BERT,
    workload=WORK,
    data=data(BERT),
    iterations=2,
    seed=1,
).to_dict()


@settings(max_examples=FEW, **SPEC)  # type: ignore[arg-type]
@given(told=changed(TRUE))
def test_a_tampered_assignment_is_refused_or_is_an_assignment(told: dict[str, Any]) -> None:
    with suppress(ValueError):
        assert isinstance(Assignment.from_dict(told), Assignment)


@pytest.mark.parametrize("place", range(0, 3600, 400))
def test_a_schedule_of_which_one_letter_was_changed_is_refused(place: int) -> None:
    text = TRUE["schedule"]
    other = text[:place] + chr(ord(text[place]) + 1) + text[place + 1 :]
    with pytest.raises(ValueError, match="assignment"):
        Assignment.from_dict(TRUE | {"schedule": other})


def test_a_host_that_tells_of_what_nobody_asked_ends_the_run_in_words() -> None:
    from real_runtime.testbeds.merging import Reports, merge, report_of

    with pytest.raises(RunError, match="a rank tells of iteration 7, and 1 are played"):
        report_of([Reports()], 7)
    with pytest.raises(RunError, match="no rank has told when it did"):
        merge(hybrid_pipeline(CASES[2].plan(BERT), BERT, WORK), {})


# --- nothing is unpickled -------------------------------------------------------------------------------------------

UNPICKLE = {"pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal", "joblib"}
OF_TORCH = {"all_gather_object", "broadcast_object_list", "gather_object", "scatter_object_list", "recv_object_list"}


def unpickling(tree: ast.Module) -> Iterator[str]:
    """What in a module could run what somebody else wrote."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            named = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
            yield from (name for name in named if name.split(".")[0] in UNPICKLE)
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            given_ = {each.arg: ast.unparse(each.value) for each in node.keywords}
            if called.endswith("torch.load") and given_.get("weights_only") != "True":
                yield called
            if called.split(".")[-1] in OF_TORCH or called in ("eval", "exec") or given_.get("allow_pickle") == "True":
                yield called


def test_nothing_in_the_runtime_unpickles_what_somebody_else_wrote() -> None:
    found = {str(path): list(unpickling(ast.parse(path.read_text()))) for path in CODE.rglob("*.py")}
    assert {path: names for path, names in found.items() if names} == {}


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from joblib import load",
        "import torch\ntorch.load('x')",
        "torch.load(f, weights_only=False)",
        "dist.all_gather_object(a, b)",
        "np.load(f, allow_pickle=True)",
        "exec(text)",
    ],
)
def test_what_unpickles_is_found(code: str) -> None:
    assert len(list(unpickling(ast.parse(code)))) == 1
