"""The runtime's parts without processes: data, modules, pacing on a fake clock, merging of times, network fits."""

from dataclasses import replace
from itertools import pairwise
from math import inf
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from runtime_builders import three_hosts

from edgesim.cluster import Network, Origin
from edgesim.model import Model, from_table
from edgesim.profile import Profile
from edgesim.schedule import Channel, Op
from edgesim.simulator import simulate
from edgesim.workload import Workload
from edgesim.zoo.bert import bert
from real_runtime import pacing
from real_runtime.assignment import Assignment
from real_runtime.control.evidence import Failure
from real_runtime.data import DataSpec
from real_runtime.data.samples import IGNORED, MASK, Source, masked_tokens
from real_runtime.failures import describe
from real_runtime.models import boundary_shapes, build_layers
from real_runtime.pacing import Dilation, Pacer
from real_runtime.playing.iteration import TaskError, check_bytes
from real_runtime.sources import refuse_unusable
from real_runtime.stages.module import StageModule, flatten_gradients
from real_runtime.testbeds import loopback, netns
from real_runtime.testbeds.merging import merge
from real_runtime.testbeds.network_fit import (
    Small,
    circuit,
    fit_network,
    message_schedule,
    relay_schedule,
    rounds_schedule,
    small,
)
from real_runtime.testbeds.opening import choose, core_fractions
from real_runtime.testbeds.spec import TestbedSpec
from real_runtime.testbeds.testbed import Choice
from real_runtime.tracing.op_counter import count
from real_runtime.transport import PeerGoneError, Transport

BERT = bert(name="small", layers=2, hidden=64, heads=4, columns=128, vocabulary=259, positions=64)
MOBILENET = from_table(table="mobilenet_v2")


def work(model: Model, samples: int = 4) -> Workload:
    tokens = 16 if model is BERT else 1
    return Workload(
        purpose="train",
        batch_samples=2 * samples,
        micro_batch_samples=samples,
        tokens=tokens,
        optimiser="sgd",
        learning_rate=0.1,
    )


class Clock:
    """A clock that only sleeping and working move."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.cpu_s = 0.0

    def monotonic(self) -> float:
        return self.now_s

    def thread_time(self) -> float:
        return self.cpu_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds

    def compute(self, seconds: float) -> None:
        self.now_s += seconds
        self.cpu_s += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(
        pacing, "time", SimpleNamespace(monotonic=clock.monotonic, thread_time=clock.thread_time, sleep=clock.sleep)
    )
    return clock


@pytest.mark.parametrize("model", [BERT, MOBILENET], ids=lambda model: model.name)
def test_every_layer_costs_what_its_module_does(model: Model) -> None:
    samples, tokens = 2, work(model).tokens
    entered = torch.zeros(samples, tokens, dtype=torch.long) if model is BERT else torch.rand(samples, 3, 64, 64)
    shapes = boundary_shapes(model, tokens)
    for index, layer in enumerate(model.layers):
        module = build_layers(model, [index], seed=0)
        counts, output = count(module, entered, frozen=False, loss=None)
        assert sum(p.nbytes for p in module.parameters()) == layer.parameter_bytes
        assert output.nbytes == layer.output_bytes(samples, tokens)
        assert tuple(output.shape[1:]) == shapes[index]
        if layer.name != "head":  # the model's head counts the loss too
            expected = layer.stash_bytes(samples, tokens)
            assert sum(counts.kept.values()) == pytest.approx(expected, rel=0.03)  # ids shared by all samples
        entered = output.detach().requires_grad_()


def test_the_first_stage_computes_no_gradient_of_its_data() -> None:
    stage = StageModule(MOBILENET, work(MOBILENET), (0, 1), seed=0)
    stage.forward(0, torch.rand(2, 3, 64, 64), None)
    output = stage.output(0)
    assert stage.backward(0, (0, 1), torch.ones_like(output)) is None
    assert float(stage.flat_gradients.abs().sum()) > 0


def test_any_cut_of_layers_gets_the_same_weights() -> None:
    whole = dict(build_layers(BERT, range(4), seed=3).named_parameters())
    tail = build_layers(BERT, range(2, 4), seed=3).named_parameters()
    for name, parameter in tail:
        index, rest = name.split(".", 1)
        torch.testing.assert_close(parameter, whole[f"{int(index) + 2}.{rest}"], rtol=0, atol=0)


def test_gradients_are_views_of_one_buffer_that_update_clears() -> None:
    stage = StageModule(BERT, work(BERT), (0, 4), seed=0)
    inputs, targets = Source(DataSpec(kind="text"), BERT, work(BERT), 0).batch(0)
    stage.forward(0, inputs[:4], targets[:4])
    assert stage.backward(0, (0, 4), None) is None
    assert float(stage.flat_gradients.abs().sum()) > 0
    before = [p.detach().clone() for p in stage.module.parameters()]
    stage.update()
    assert float(stage.flat_gradients.abs().sum()) == 0
    assert any(not torch.equal(a, b) for a, b in zip(before, stage.module.parameters(), strict=True))
    assert flatten_gradients(stage.module.parameters()).nbytes == BERT.parameter_bytes


def test_every_rank_draws_the_same_batch_and_every_sample_hides_as_many_bytes() -> None:
    draw = [Source(DataSpec(kind="text"), BERT, work(BERT), 5).batch(3) for _ in range(2)]
    assert torch.equal(draw[0][0], draw[1][0])
    inputs, labels = draw[0]
    assert ((labels != IGNORED).sum(dim=1) == masked_tokens(16)).all()
    assert ((inputs == MASK) == (labels != IGNORED)).all()
    assert not torch.equal(inputs, Source(DataSpec(kind="text"), BERT, work(BERT), 5).batch(4)[0])


def test_text_folders_and_data_kinds_are_checked(tmp_path: object) -> None:
    with pytest.raises(ValueError, match="holds no"):
        Source(DataSpec(kind="text", folder=str(tmp_path)), BERT, work(BERT), 0)
    with pytest.raises(ValueError, match="unknown data 'sound'"):
        DataSpec(kind="sound")


def test_dilation_stretches_cpu_time_and_carries_no_debt_over_a_rest(clock: Clock) -> None:
    slow = Dilation(0.25)
    _, start_s, end_s = slow.run(lambda: clock.compute(0.010), "F")
    assert end_s - start_s == pytest.approx(0.040)
    clock.now_s += 5.0
    _, start_s, end_s = slow.run(lambda: clock.compute(0.010), "F")
    assert end_s - start_s == pytest.approx(0.040)


def test_work_is_charged_what_its_kind_took_undisturbed(clock: Clock) -> None:
    slow = Dilation(0.25)
    seconds = []
    for cpu_s, kind in ((0.010, "F"), (0.013, "F"), (0.020, "B"), (0.008, "F"), (0.010, "F")):
        _, start_s, end_s = slow.run(lambda cpu_s=cpu_s: clock.compute(cpu_s), kind)
        seconds.append(end_s - start_s)
    assert seconds == pytest.approx([0.040, 0.040, 0.080, 0.032, 0.032])
    slow.forget()
    _, start_s, end_s = slow.run(lambda: clock.compute(0.010), "F")
    assert end_s - start_s == pytest.approx(0.040)


def test_dilation_gives_the_time_of_a_short_wait_to_no_computation(clock: Clock) -> None:
    slow = Dilation(0.25)
    slow.run(lambda: clock.compute(0.001), "a")
    clock.now_s += 0.002  # a message came so late, which is within the slack of sleeps
    _, start_s, end_s = slow.run(lambda: clock.compute(0.001), "a", waited=True)
    assert end_s - start_s == pytest.approx(0.004)
    clock.now_s += 0.002  # nothing was waited for: the last sleep overshot
    _, start_s, end_s = slow.run(lambda: clock.compute(0.001), "a")
    assert end_s - start_s == pytest.approx(0.002)


def test_dilation_makes_up_for_a_sleep_that_overshot(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pacing.time, "sleep", lambda seconds: clock.sleep(seconds + 0.001))
    slow = Dilation(0.5)
    spans = [slow.run(lambda: clock.compute(0.010), "F")[1:] for _ in range(10)]
    assert spans[-1][1] - spans[0][0] == pytest.approx(10 * 0.020 + 0.001)


def test_a_host_is_no_faster_than_the_core_it_runs_on() -> None:
    with pytest.raises(ValueError, match=r"fraction of one core in \(0, 1\], got 1.5"):
        Dilation(1.5)


def test_a_paced_uplink_passes_bytes_at_its_rate_whatever_the_timer_overshoots(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pacing.time, "sleep", lambda seconds: clock.sleep(seconds + 0.0002))
    uplink = Pacer(1e6)
    for _ in range(100):
        uplink.transmit(5000)
    assert clock.now_s - 100.0 == pytest.approx(0.5, rel=0.002)


def test_a_free_downlink_adds_nothing_and_a_busy_one_its_time(clock: Clock) -> None:
    downlink = Pacer(1e6)
    downlink.receive(5000)  # came in while the NIC was free
    assert clock.now_s == 100.0
    downlink.receive(5000)  # at the same instant from another peer
    assert clock.now_s == pytest.approx(100.005)


def test_bytes_pass_at_the_rate_of_the_moment_those_too_that_wait(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """1000 B/s for 2 s, none for 3 s, 4000 B/s: 2000 bytes by 2 s, the other 2000 from 5 s to 5.5 s."""
    uplink, changes = Pacer(1000.0), [(2.0, 0.0), (5.0, 4000.0)]

    def sleep(seconds: float) -> None:
        clock.sleep(seconds)
        while changes and clock.now_s >= 100.0 + changes[0][0] - 1e-9:
            uplink.change(changes.pop(0)[1])

    monkeypatch.setattr(pacing.time, "sleep", sleep)
    uplink.transmit(4000)
    assert clock.now_s - 100.0 == pytest.approx(5.5, abs=1e-3)


def test_a_host_that_is_slowed_down_computes_on_at_the_speed_of_the_moment(clock: Clock) -> None:
    """0.4 s of work: half of it by 100.2 s, then at a quarter of that speed until 100.6 s, and on."""
    slow = Dilation(0.5)
    slow.pace = [(float("-inf"), 1.0), (100.2, 0.25), (100.6, 1.0)]
    _, start_s, end_s = slow.run(lambda: clock.compute(0.2), "F")
    assert (start_s, end_s) == pytest.approx((100.0, 100.7))
    _, start_s, end_s = slow.run(lambda: clock.compute(0.2), "F")
    assert (start_s, end_s) == pytest.approx((100.7, 101.1))


def test_what_computations_take_too_long_is_told_unless_the_next_ones_make_up_for_it(clock: Clock) -> None:
    """Charged 0.1 s each: the first overruns by 0.05 s and waits for somebody; the third makes up for the second."""

    def overran(fraction: float) -> tuple[float, float]:
        slow = Dilation(fraction)
        slow.charge("F", 0.1)
        slow.run(lambda: clock.compute(0.15), "F")
        slow.run(lambda: clock.compute(0.101), "F", waited=True)
        slow.run(lambda: clock.compute(0.05), "F")
        slow.run(lambda: clock.compute(0.1), "F")
        return slow.overran_s(), slow.overran_s()

    assert overran(0.5) == (pytest.approx(0.05), 0.0)
    assert overran(1.0) == (0.0, 0.0)  # the host is its device


def test_a_message_starts_when_both_ends_are_ready_and_ends_with_its_last_byte() -> None:
    schedule = message_schedule([(0, 1)], 1000)
    send, receive = (task.name for task in schedule)
    trace = merge(schedule, {send: (3.0, 7.5), receive: (4.0, 8.0)})
    assert [(span.start_s, span.end_s) for span in trace] == [(0.0, 4.0), (0.0, 4.0)]


def test_slow_motion_is_told_in_the_boards_own_seconds() -> None:
    schedule = message_schedule([(0, 1)], 1000)
    send, receive = (task.name for task in schedule)
    assert merge(schedule, {send: (3.0, 7.0), receive: (3.0, 7.0)}, slow_motion=4.0).makespan_s == pytest.approx(1.0)


def test_a_network_fit_finds_rate_burst_and_acknowledgements() -> None:
    rate, burst = 1e6, 10_000
    least = Small(message_s=0.002, step_s=(0.0007, 0.001), hand_over_s=0.0005)
    timed = [(size, least.message_s + (size - burst) / rate) for size in (50_000, 200_000)]
    # Four steps of a ring of three pass on four thirds of its bytes.
    ring = (300_000, 4 * 0.001 + (400_000 - burst) / rate * 1.02)
    network = fit_network({pair: [*timed, *timed] for pair in circuit(3)}, least, ring, 3, source="made up")
    assert network.goodput_bytes_per_s(0, 1) == pytest.approx(rate)
    assert network.burst_bytes == pytest.approx(burst)
    assert network.acknowledgement == pytest.approx(0.02)
    assert (network.latency_s[0][1], network.step_s, network.hand_over_s) == (0.002, (0.0007, 0.001), 0.0005)


@pytest.mark.parametrize("ranks", [2, 3, 4, 7])
def test_a_relay_takes_every_link_once_each_message_sent_by_who_received_the_last(ranks: int) -> None:
    schedule = relay_schedule(ranks, 900)
    schedule.check()
    legs = sorted((task for task in schedule if task.op is Op.SEND), key=lambda task: task.micro_batch or 0)
    everyone = {(a, b) for a in range(ranks) for b in range(ranks) if a != b}
    assert {(leg.rank, leg.peers[0]) for leg in legs} == everyone
    assert len(legs) == len(everyone)
    assert all(before.peers[0] == after.rank for before, after in pairwise(legs))


def test_rounds_tell_what_a_message_a_step_and_a_hand_over_take() -> None:
    network = Network.switched(
        transmit_bytes_per_s=[inf] * 3,
        latency_s=0.002,
        goodput=1,
        hand_over_s=0.0005,
        step_s=(0.0007, 0.001),
        origin="assumed",
        source="made up",
    )
    of_two, of_three = (
        simulate(
            rounds_schedule(ranks, 5),
            cluster=replace(three_hosts(), network=network),
            model=BERT,
            profile=Profile(model=BERT.name, origin=Origin.ASSUMED, source="none", points=()),
            tokens=1,
        )
        for ranks in (2, 3)
    )
    found = small([[of_two, of_two], [of_three, of_three]])
    assert found.message_s == pytest.approx(0.002)
    assert found.step_s == pytest.approx((0.0007, 0.001))
    assert found.hand_over_s == pytest.approx(2 * 0.0005)  # simulated, each of two messages has one


def assignment_of_a_message() -> Assignment:
    return Assignment(
        schedule=message_schedule([(0, 2)], 64),
        model=BERT,
        workload=work(BERT),
        data=DataSpec(kind="text"),
        iterations=2,
        seed=1,
    )


def test_an_assignment_travels_whole_and_a_changed_schedule_is_refused() -> None:
    assignment = assignment_of_a_message()
    sent = assignment.to_dict()
    assert Assignment.from_dict(sent) == assignment
    with pytest.raises(ValueError, match="the schedule that arrived has hash"):
        Assignment.from_dict(sent | {"schedule": sent["schedule"].replace("bytes=64", "bytes=65")})


def test_a_folder_without_text_or_weights_is_refused_before_any_rank_starts(tmp_path: Path) -> None:
    assignment = assignment_of_a_message()
    refuse_unusable(assignment)
    with pytest.raises(ValueError, match="holds no"):
        refuse_unusable(replace(assignment, data=DataSpec(kind="text", folder=str(tmp_path))))
    (tmp_path / "short.txt").write_text("too short")
    with pytest.raises(ValueError, match="holds 9 bytes, a sample needs 17"):
        refuse_unusable(replace(assignment, data=DataSpec(kind="text", folder=str(tmp_path))))
    with pytest.raises(ValueError, match=r"holds no checkpoint, config\.json is missing"):
        refuse_unusable(replace(assignment, checkpoint=str(tmp_path)))
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ValueError, match=r"holds no weights, neither of model\.safetensors"):
        refuse_unusable(replace(assignment, checkpoint=str(tmp_path)))
    with pytest.raises(ValueError, match="unknown architecture 'elephant'"):
        refuse_unusable(replace(assignment, model=replace(BERT, architecture="elephant")))


def test_bytes_of_schedule_and_tensor_must_agree() -> None:
    task = replace(next(iter(message_schedule([(0, 1)], 64))), nbytes=60)
    with pytest.raises(ValueError, match="the schedule says 60 B, the tensor has 64 B"):
        check_bytes(task, torch.zeros(64, dtype=torch.uint8))


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 8 bytes"), Failure.OUT_OF_MEMORY),
        (MemoryError(), Failure.OUT_OF_MEMORY),
        (PeerGoneError("lost the connection while waiting for rank 1"), Failure.PEER_GONE),
        (ValueError("something else"), Failure.OTHER),
    ],
)
def test_errors_are_told_apart_and_name_their_task(error: Exception, failure: Failure) -> None:
    told = TaskError(next(task for task in message_schedule([(0, 1)], 64) if task.op is Op.SEND))
    told.__cause__ = error
    assert describe(told)["failure"] is failure
    assert describe(told)["task"] == "0SEND_weights0@0>1"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("[../gloo/transport/tcp/pair.cc:534] Connection closed by peer [127.0.0.1]:1234", PeerGoneError),
        ("Read error [127.0.0.1]:1234: Connection reset by peer", PeerGoneError),
        ("Tensors must be contiguous", RuntimeError),
    ],
)
def test_errors_of_the_network_library_get_types(text: str, kind: type[Exception]) -> None:
    transport = Transport.__new__(Transport)  # without its connections
    with pytest.raises(kind) as raised, transport.typed_errors("rank 1"):
        raise RuntimeError(text)
    assert type(raised.value) is kind
    assert kind is RuntimeError or "for rank 1" in str(raised.value)


@pytest.mark.parametrize(
    ("nbytes", "ring", "way"),
    [(8, (0, 1), "steps"), (1 << 20, (0, 1), "gloo"), (1 << 20, (1, 0), "steps")],
    ids=["little", "much", "much, not in gloo's order"],
)
def test_gloo_adds_up_by_itself_where_much_is_added_up_of_all_ranks(
    nbytes: int, ring: tuple[int, ...], way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    went: list[str] = []
    transport = Transport.__new__(Transport)  # without its connections
    transport.ranks, transport.uplink, transport.groups = (0, 1), None, dict.fromkeys(Channel)
    monkeypatch.setattr("torch.distributed.all_reduce", lambda flat, group: went.append("gloo"))
    monkeypatch.setattr(transport, "exchange", lambda *parts: went.append("steps"))
    transport.all_reduce(torch.zeros(nbytes // 4), ring, rank=0)
    assert went == [way] * (2 if way == "steps" else 1)


def test_the_default_testbed_falls_back_to_plain_processes_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(netns, "problem", lambda: "Operation not permitted")
    assert choose("auto") == Choice(kind="loopback", why="namespaces do not work here: Operation not permitted")
    monkeypatch.setattr(netns, "problem", lambda: None)
    assert choose("auto").kind == "netns"


def test_hosts_get_their_flop_per_s_as_fractions_of_this_machines_core_also_in_slow_motion() -> None:
    cluster = three_hosts()  # 40, 25 and 15 GFLOP/s
    assert core_fractions(TestbedSpec(), cluster, 160e9) == pytest.approx((0.25, 0.15625, 0.09375))
    assert core_fractions(TestbedSpec(slow_motion=2), cluster, 80e9) == pytest.approx((0.25, 0.15625, 0.09375))
    assert core_fractions(TestbedSpec(fractions=(0.3, 0.2, 0.1)), cluster, 80e9) == (0.3, 0.2, 0.1)
    with pytest.raises(ValueError, match=r"ask for 4\.00, 2\.50, 1\.50 of a core .* set testbed\.slow_motion=\d"):
        core_fractions(TestbedSpec(), cluster, 10e9)
    with pytest.raises(ValueError, match="2 fractions for 3 devices"):
        core_fractions(TestbedSpec(fractions=(0.3, 0.2)), cluster, 80e9)


def test_ranks_on_loopback_enter_no_namespace_and_pace_themselves() -> None:
    with loopback.hosts() as hosts:
        assert hosts.namespaces(1) == ()
        assert hosts.paces
