"""How do messages reach a process on a host, and its messages us? Over the input and output of ssh, in own threads.

No call here waits for the host, but for the end of a process that was killed.
"""

import contextlib
import os
import queue
import subprocess
import tempfile
import threading
from collections.abc import Callable, Sequence

from real_runtime.ssh.frames import Frame, FrameError, lines, read, written

_END_S = 5.0
_SAID_BYTES = 20_000
_CHUNK_BYTES = 65536


class Channel:
    """A process and its pipes: ``hear`` is called with each of its messages, ``ended`` once with what is wrong.

    ``ended`` gets "" for an end of ours, and what the other end wrote that is no message.
    """

    def __init__(self, argv: Sequence[str], hear: Callable[[Frame], object], ended: Callable[[str], object]) -> None:
        """Start it; :meth:`begin` listens to it. Raises OSError without the program."""
        self._hear, self._ended = hear, ended
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 (closed with us)
        self._process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            start_new_session=True,  # Ctrl-C is ours to hear
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._input, self._output = self._process.stdin, self._process.stdout
        self._to_write: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._read, self._write)]

    def begin(self) -> None:
        """Read and write from now on: nothing is heard, nor an end, before whoever hears can have us."""
        for thread in self._threads:
            thread.start()

    @property
    def pid(self) -> int:
        """The process here."""
        return self._process.pid

    def tell(self, frame: Frame) -> None:
        """Send a message. Raises FrameError for one that is too long."""
        self._to_write.put(written(frame))

    def send(self, content: bytes) -> None:
        """Send bytes as they are."""
        for start in range(0, len(content), _CHUNK_BYTES):
            self._to_write.put(content[start : start + _CHUNK_BYTES])

    def said(self) -> str:
        """What was written beside the messages."""
        with contextlib.suppress(OSError, ValueError):  # closed with us
            return os.pread(self._log.fileno(), _SAID_BYTES, 0).decode(errors="replace")
        return ""

    def exit_code(self) -> int | None:
        """How the process here ended; None if it has not."""
        return self._process.poll()

    def _read(self) -> None:
        wrong = ""
        try:
            for line in lines(self._output):  # type: ignore[arg-type]
                message = read(line)
                try:
                    self._hear(message)
                except FrameError:
                    raise
                except Exception as error:  # a mistake of ours must end this host, not this thread without a word
                    wrong = f"a message of it could not be dealt with here: {type(error).__name__}: {error}"
                    break
        except FrameError as error:
            wrong = f"what it sends makes no sense: {error}"
        except (OSError, ValueError):  # closed while we read
            pass
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_S if not wrong else 0.01)
        self._ended(wrong)

    def _write(self) -> None:
        try:
            while (content := self._to_write.get()) is not None:
                self._input.write(content)
                self._input.flush()
        except (OSError, ValueError):  # it has ended; whoever reads says so
            return
        finally:
            with contextlib.suppress(OSError, ValueError):
                self._input.close()

    def finish(self) -> None:
        """Send what is to be sent, and no more: the other end hears the end."""
        self._to_write.put(None)

    def close(self) -> None:
        """End the process here, at once, and give back what it cost."""
        self._to_write.put(None)
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        self._process.wait()
        for thread in self._threads:
            if thread.is_alive() and thread is not threading.current_thread():
                thread.join(_END_S)
        for pipe in (self._input, self._output, self._log):
            with contextlib.suppress(OSError, ValueError):
                pipe.close()
