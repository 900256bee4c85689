"""The deliverer as its starter sees it: a process behind two pipes, neither of which ever blocks."""

import os
import re
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, final

END_GRACE_S: Final = 2.0
PIECE_BYTES: Final = 65536
_ANSWER: Final = re.compile(rb"(trying|done|held) (\d+)")


@final
class Peer:
    """A running deliverer. Lines queued here reach it as fast as it reads them."""

    def __init__(self, process: "subprocess.Popen[bytes]", *, send_to: int, read_from: int) -> None:
        self._process = process
        self._input, self._output = send_to, read_from
        for descriptor in (send_to, read_from):
            os.set_blocking(descriptor, False)
        self._to_send = b""
        self._received = b""

    @classmethod
    def start(cls, command: Sequence[str], *, environment: Mapping[str, str], log_path: Path) -> "Peer":
        """Start it in a session of its own, so that a terminal's Ctrl-C is not for it. Raises OSError."""
        log_path.parent.mkdir(parents=True, exist_ok=True)
        its_input, send_to = os.pipe()
        read_from, its_output = os.pipe()
        try:
            with log_path.open("ab") as log:
                process = subprocess.Popen(
                    command, stdin=its_input, stdout=its_output, stderr=log, env=environment, start_new_session=True
                )
        except OSError:
            os.close(send_to)
            os.close(read_from)
            raise
        finally:
            os.close(its_input)
            os.close(its_output)
        return cls(process, send_to=send_to, read_from=read_from)

    def ended(self) -> bool:
        """Whether it has ended."""
        return self._process.poll() is not None

    def queue(self, line: bytes) -> None:
        """A line to be sent."""
        self._to_send += line + b"\n"

    def send(self) -> None:
        """Write as much as the pipe takes; the rest goes next time."""
        try:
            while self._to_send:
                self._to_send = self._to_send[os.write(self._input, self._to_send[:PIECE_BYTES]) :]
        except (BlockingIOError, BrokenPipeError):
            return  # the pipe is full, or its reader has ended, which `ended` tells

    def answers(self) -> list[tuple[str, int]]:
        """('trying', 'done' or 'held', row id) of each line that has arrived; anything else on the pipe is noise."""
        try:
            while chunk := os.read(self._output, PIECE_BYTES):
                self._received += chunk
        except BlockingIOError:
            pass  # nothing more for now
        *lines, self._received = self._received.split(b"\n")
        found = (_ANSWER.fullmatch(line) for line in lines)
        return [(m[1].decode(), int(m[2])) for m in found if m]

    def end(self) -> None:
        """Kill its process group. SQLite and the ledger are safe from that, and a stopped process hears no less."""
        if not self.ended():
            os.killpg(self._process.pid, signal.SIGKILL)
            try:
                self._process.wait(timeout=END_GRACE_S)
            except subprocess.TimeoutExpired:  # in the kernel, on a dead disk: it ends when that lets go
                self._process.returncode = -signal.SIGKILL
        os.close(self._input)
        os.close(self._output)
