"""How is one host reached, given the runtime, and kept in touch with? One channel, through which everything goes."""

import contextlib
import re
import subprocess
import threading
import time
from collections.abc import Mapping
from importlib.resources import files
from math import inf
from pathlib import Path
from typing import Any

from edgesim.errors import RunError
from real_runtime.control.rank_process import Hear
from real_runtime.ssh.answers import Answers
from real_runtime.ssh.channel import Channel
from real_runtime.ssh.client import SshClient
from real_runtime.ssh.clock import Answer, HostClock
from real_runtime.ssh.far_rank import FarRank
from real_runtime.ssh.frames import Frame, FrameError, finite_number, object_of, whole_number
from real_runtime.ssh.metering.from_host import METERING, FarMeter
from real_runtime.ssh.watching.from_host import LOAD, FarLoad
from real_runtime.ssh.wheel import Wheel

LEAST_PYTHON = (3, 10)
# Runs what it is sent, of so many bytes, and reads none too many; alone, whatever lies where it stands. What it is sent
# tells a Python that is too old by itself, but for those that cannot even read it.
_STUB = (
    "import os,sys;sys.version_info<(3,7)and "
    f"sys.exit('edgesim needs Python {LEAST_PYTHON[0]}.{LEAST_PYTHON[1]} or newer, this is '+sys.version);"
    "exec(b''.join(os.read(0,1)for _ in range(int(sys.argv[1]))),{'__name__':'__main__'})"
)
_PULSE_S = 0.5  # between two questions for the time, which also say that we are there
_FIRST_ANSWERS, _FIRST_PAUSE_S = 20, 0.01
_LOOK_S, _END_S, _SENDS_BYTES_PER_S = 0.01, 3.0, 50e3
PACKAGES = {"numpy": "numpy", "torch": "torch", "transformers": "transformers", "safetensors": "safetensors"}
"""What ranks load, by what is installed for it."""


class FarHost:
    """A host of the inventory, from its first answer to its end. ``named`` is how messages call it."""

    def __init__(
        self, client: SshClient, wheel: Wheel, *, packages: Mapping[str, str] = PACKAGES, tells_key: bool = False
    ) -> None:
        self.client, self._wheel, self._packages, self._tells_key = client, wheel, packages, tells_key
        self.named = f"host {client.name} ({client.host.place})"
        self.clock = HostClock()
        self.was_there = False  # the runtime, before we came
        self.arrived_s = 0.0  # that it took until the agent was there
        self.ahead_s = 0.0  # its time of day, of ours
        self._facts: dict[str, Any] = {}
        self._channel: Channel | None = None
        self.answers = Answers(self.named, client.by_hand)
        self.meter, self.load = FarMeter(self, client.name), FarLoad(self)
        self._asked: dict[int, float] = {}
        self._ranks: dict[int, FarRank] = {}
        self._heard_s, self._number, self._pings = 0.0, 0, 0
        self._over = threading.Event()

    def open(self) -> None:
        """Reach the host, give it the runtime, know its clock. Raises RunError with the cause and the way out."""
        begun_s = time.monotonic()
        within_s, says = self._arrive(), "its agent does not start"
        self.tell({"do": "describe", "interface": self.client.host.interface})
        self._facts = object_of(self.answers.of("facts", within_s=within_s, otherwise=says), "facts")
        self.ahead_s = finite_number(self._facts, "wall_s") - time.time()
        for _ in range(_FIRST_ANSWERS):
            self._ping()
            time.sleep(_FIRST_PAUSE_S)
        says = "its agent does not tell the time"
        self.answers.until(lambda: self.clock.is_known, within_s=self.client.reaching.connect_s, otherwise=says)
        self.arrived_s = time.monotonic() - begun_s
        threading.Thread(target=self._pulse, daemon=True).start()

    def _arrive(self) -> float:
        """Start what becomes the agent, and send the runtime if it is not there; in how many seconds it must speak."""
        reaching = self.client.reaching
        arrival = files("real_runtime.ssh").joinpath("on_arrival.py").read_bytes()
        options = ("-T", "-v") if self._tells_key else ("-T",)
        command = self.client.command(self.client.host.python, "-c", _STUB, str(len(arrival)), options=options)
        try:
            self._channel = Channel(command, self._hear, self._hear_end)
        except OSError as error:
            raise RunError(f"ssh cannot be started: {error} (sudo apt-get install openssh-client)") from error
        self._channel.begin()
        self._channel.send(arrival)
        self.tell(
            {
                "wheel": self._wheel.name,
                "sha256": self._wheel.sha256,
                "nbytes": len(self._wheel.content),
                "platforms": self._wheel.platforms,
                "folder": reaching.folder,
                "python": LEAST_PYTHON,
                "packages": dict(self._packages),
            }
        )
        first = self.answers.of("has", within_s=reaching.connect_s + _END_S, otherwise="it does not answer")
        self.was_there = bool(first["has"])
        if self.was_there:
            return reaching.connect_s
        self._channel.send(self._wheel.content)
        return reaching.connect_s + len(self._wheel.content) / _SENDS_BYTES_PER_S

    @property
    def host_key(self) -> str | None:
        """The kind and the fingerprint of its key, where ssh was asked to tell."""
        found = re.search(r"Server host key: (\S+) (\S+)", "" if self._channel is None else self._channel.said())
        return None if found is None else f"{found[1]} {found[2]}"

    @property
    def facts(self) -> dict[str, Any]:
        """What the host is (facts.py), as it told when it came up."""
        return self._facts

    def begin(self) -> None:
        """Let it load what ranks need; :meth:`wait_until_ready` says when that is done."""
        self.tell({"do": "begin", "silence_s": self.client.reaching.silence_s})

    def wait_until_ready(self) -> None:
        """Return when ranks can be started. Raises RunError."""
        starts_s, says = self.client.reaching.starts_s, "it does not load what ranks need"
        answer = self.answers.of("ready", "failed", within_s=starts_s, otherwise=says)
        if "failed" in answer:
            raise RunError(f"{self.named}: {answer['failed']}")

    def start(self, rank: int, folder: Path, hear: Hear) -> FarRank:
        """A new process of a rank. Raises RunError; as :data:`real_runtime.control.rank_process.Start` asks for."""
        self._number += 1
        number = self._number
        self.answers.forget()
        self._ranks[number] = FarRank(rank, number, self, hear, pid=0)
        self.tell({"do": "start", "start": number, "rank": rank})
        starts_s, says = self.client.reaching.connect_s, "it starts no process"
        answer = self.answers.of("started", "not_started", within_s=starts_s, otherwise=says)
        if "not_started" in answer:
            raise RunError(f"{self.named}: {answer.get('why', 'no process could be started')}")
        self._ranks[number].pid = whole_number(answer, "pid")
        return self._ranks[number]

    @property
    def beat_s(self) -> float:
        """When the heart of its rank was seen to beat last; infinitely long ago: never."""
        return self._ranks[self._number].beat_s if self._ranks else -inf

    @property
    def heard_s(self) -> float:
        """When it was heard last."""
        return self._heard_s

    def tell(self, frame: Frame) -> None:
        """Send a message to the agent; returns at once. To a host that is lost nothing is sent."""
        if self._channel is not None and not self.answers.lost:
            self._channel.tell(frame)

    def scratch(self) -> str:
        """The agent's folder."""
        return str(self.facts["scratch"])

    def fetch(self, there: str, here: Path) -> None:
        """Bring a file from the host, by the same connection. Raises RunError."""
        try:
            here.write_bytes(self.client.run("cat", there, timeout_s=self.client.reaching.starts_s))
        except (OSError, subprocess.SubprocessError) as error:
            said = getattr(error, "stderr", None) or b""
            why = said.decode(errors="replace").strip() or str(error)
            raise RunError(f"{self.named}: its results could not be fetched: {why}") from error

    def _pulse(self) -> None:
        """Ask for the time, again and again; a host that is silent for too long is lost."""
        while not self._over.wait(_PULSE_S):
            self._ping()
            silent_s = time.monotonic() - self._heard_s
            if silent_s > self.client.reaching.silence_s:
                self._lose(
                    f"nothing was heard of it for {silent_s:.0f} s (is it on, and its cable or Wi-Fi up? "
                    f"{self.client.by_hand})"
                )
                return

    def _ping(self) -> None:
        self._pings += 1
        self._asked[self._pings] = time.monotonic()
        self.tell({"do": "ping", "ping": self._pings})

    def _hear(self, frame: Frame) -> None:
        now_s = self._heard_s = time.monotonic()
        if "pong" in frame:
            asked_s = self._asked.pop(whole_number(frame, "pong", most=2**53), None)
            if asked_s is not None:
                self.clock.hear(Answer(asked_s=asked_s, heard_s=now_s, there_s=finite_number(frame, "at_s")))
        elif "look" in frame or "says" in frame or "ended" in frame:
            self._hear_of_rank(frame)
            return
        elif LOAD in frame:
            self.load.hear(frame)
        elif any(word in frame for word in METERING):
            self.meter.hear(frame)
        self.answers.hear(frame)

    def _hear_of_rank(self, frame: Frame) -> None:
        what = next(word for word in ("look", "says", "ended") if word in frame)
        rank = self._ranks.get(whole_number(frame, what))
        if rank is None:
            raise FrameError(f"it tells of a process {frame[what]} that nobody started")
        match what:
            case "look":
                rank.look(frame)
            case "says":
                rank.says(object_of(frame, "message"))
            case _:
                rank.ended(frame)

    def _hear_end(self, wrong: str) -> None:
        assert self._channel is not None, "it has been opened"
        if not self._over.is_set():
            self._lose(wrong or self.client.why(self._channel.said(), self._channel.exit_code()))

    def _lose(self, why: str) -> None:
        if self.answers.lose(why):
            for rank in list(self._ranks.values()):
                rank.lost(self.answers.lost)

    def close(self) -> None:
        """End the agent and all that it started, and the connection. Never raises."""
        if self._channel is None:
            return
        self._over.set()
        self.tell({"do": "end"})
        self._channel.finish()
        until_s = time.monotonic() + _END_S
        with contextlib.suppress(OSError):
            while not self.answers.lost and self._channel.exit_code() is None and time.monotonic() < until_s:
                time.sleep(_LOOK_S)
        self._channel.close()
