"""What people see of a training: a live bar on a terminal, plain lines in a log file."""

import sys
import time

from tqdm import tqdm

from defectpool.runtime.clock import clock


class ProgressBar:
    """Progress over all epochs of all folds.

    Parameters
    ----------
    title
        What is trained.
    graphs
        Graphs in all epochs together, for graphs a second and the time left.
    done
        Graphs of a resumed training that were done before.
    every
        Seconds between lines in a log file.
    """

    def __init__(self, title: str, graphs: int, done: int = 0, every: float = 5.0) -> None:
        self.title, self.total, self.graphs, self.every = title, graphs, done, every
        self.before, self.begin, self.last = done, time.monotonic(), -every
        self.bar = None
        if sys.stderr.isatty():
            self.bar = tqdm(total=graphs, initial=done, desc=title, unit="graph", leave=True)

    def epoch(self, where: str, graphs: int, loss: float, accuracy: float, *, last: bool) -> None:
        """Report an epoch that ended: where (fold, epoch), its graphs, loss and accuracy."""
        self.graphs += graphs
        figures = f"loss {loss:.4f}, validation accuracy {accuracy:.3f}"
        if self.bar is not None:
            self.bar.set_postfix_str(f"{where}, {figures}", refresh=False)
            self.bar.update(graphs)
            return
        now = time.monotonic() - self.begin
        if now - self.last < self.every and not last:
            return
        self.last = now
        rate = (self.graphs - self.before) / max(now, 1e-9)
        left = (self.total - self.graphs) / max(rate, 1e-9)
        print(
            f"{self.title}: {where}, {figures}, {rate:.0f} graphs/s, {clock(left)} left",
            flush=True,
        )

    def say(self, text: str) -> None:
        """Print a line without breaking the bar."""
        if self.bar is not None:
            self.bar.write(text)
        else:
            print(text, flush=True)

    def close(self) -> None:
        """End the bar."""
        if self.bar is not None:
            self.bar.close()
