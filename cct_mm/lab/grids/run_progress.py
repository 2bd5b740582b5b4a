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
    work, longest = 0.0, 0.0
    for job, one in zip(jobs, progress, strict=True):
        if job.status in ('done', 'failed') or one.total is None:
            continue
        known = timed.get(job.run.method, timed[None])
        pace = one.seconds_per_iteration or statistics.mean(known)
        seconds = pace * max(0, one.total - one.iteration)
        work, longest = work + seconds, max(longest, seconds)
    return max(longest, work / at_a_time)
