"""A job whose worker is killed in the middle of a part."""

import os
import signal
from dataclasses import dataclass
from pathlib import Path

from bitfold.sim.parts import Job


@dataclass(frozen=True)
class Fragile(Job):
    """The first worker is killed that is `at` its first or second part, and makes the file `killed`.

    With `always` each is, and adds a line to it.
    """

    killed: Path = Path()
    at: int = 2
    always: bool = False

    def machine(self, work):
        machine, runs = super().machine(work), []
        right = machine.run_all

        def run_all(*arguments):
            runs.append(None)
            if len(runs) == self.at and (self.always or not self.killed.exists()):
                with self.killed.open("a" if self.always else "x") as file:
                    file.write("killed\n")
                os.kill(os.getpid(), signal.SIGKILL)
            return right(*arguments)

        machine.run_all = run_all
        return machine
