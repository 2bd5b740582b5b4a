"""How far the runs of a grid are, read from what they log."""

import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from .jobs import Job
from .record import read_scalars


@dataclass(frozen=True)
class RunProgress:
    """How far one run is.

    Args:
        iteration: Last logged iteration.
        total: Length of the training, None where the config doesn't say.
        seconds_per_iteration: Median of what was logged, None before the first line.
        val_miou: Last validation mIoU, in percent.
    """

    iteration: int
    total: int | None
    seconds_per_iteration: float | None
    val_miou: float | None


def read_progress(job: Job) -> RunProgress:
    """Return the progress of a job, from its record or else from its log."""
    if job.record:
        last_val = job.record['last_val']
        return RunProgress(
            job.iterations or 0,
            job.iterations,
            job.record['seconds_per_iteration'],
            last_val and last_val['mIoU'],
        )
    training, validation = read_scalars(job.train_dir)
    seconds = [line['time'] for line in training.values() if 'time' in line]
    return RunProgress(
        max([*training, *validation], default=0),
        job.iterations,
        statistics.median(seconds) if seconds else None,
        validation[max(validation)].get('mIoU') if validation else None,
    )


def seconds_left(
    jobs: Sequence[Job], progress: Sequence[RunProgress], at_a_time: int
) -> float | None:
    """Time that the remaining iterations of a grid take, validations and evaluations apart.

    A run that has logged nothing is taken to be as fast as its method's others, or as all others.

    Args:
        jobs: All jobs.
        progress: Progress of each.
        at_a_time: Jobs that run at a time.

    Returns:
        Seconds; None as long as no iteration was timed.
    """
    timed = defaultdict(list)
    for job, one in zip(jobs, progress, strict=True):
        if one.seconds_per_iteration is not None:
            timed[job.run.method].append(one.seconds_per_iteration)
            timed[None].append(one.seconds_per_iteration)
    if not timed:
        return None
    each = []
    for job, one in zip(jobs, progress, strict=True):
        if job.status in ('done', 'failed') or one.total is None:
            continue
        known = timed.get(job.run.method, timed[None])
        pace = one.seconds_per_iteration or statistics.mean(known)
        each.append(pace * max(0, one.total - one.iteration))
    return time_together(each, at_a_time)


def time_together(seconds: Sequence[float], at_a_time: int) -> float:
    """Return what runs take together, at best: as long as the longest, or as all machines full.

    Args:
        seconds: What each takes.
        at_a_time: How many run at a time.

    Example:
        >>> time_together([60.0, 60.0, 60.0], at_a_time=2)
        90.0
    """
    return max(max(seconds, default=0.0), sum(seconds) / at_a_time)


def clock(seconds: float) -> str:
    """Return ``h:mm:ss``.

    Example:
        >>> clock(3671.4)
        '1:01:11'
    """
    minutes, seconds = divmod(round(seconds), 60)
    return f'{minutes // 60}:{minutes % 60:02d}:{seconds:02d}'
