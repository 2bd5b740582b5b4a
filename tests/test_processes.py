"""Processes beside this one."""

import os
import subprocess
import sys
import textwrap

import pytest

from cct_mm.processes import FEW, map_files


def test_processes_work_where_opencv_had_threads_and_leave_it_their_number():
    script = """
        import cv2, numpy
        from cct_mm.processes import processes

        image = numpy.zeros((2000, 2000, 3), numpy.uint8)
        cv2.setNumThreads(3)
        cv2.GaussianBlur(cv2.resize(image, (3000, 3000)), (15, 15), 3)
        with processes(2) as pool:
            print(*(pool.submit(cv2.resize, image, (700, 700)).result().shape for _ in range(4)))
        print(cv2.getNumThreads())
    """
    # A process of its own, which can be ended should it hang.
    command = [sys.executable, '-c', textwrap.dedent(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.stdout.splitlines()[-2:] == [' '.join(['(700, 700, 3)'] * 4), '3'], done.stderr


@pytest.mark.parametrize(('workers', 'others'), [(1, False), (2, True)])
def test_results_are_in_the_order_of_the_items(workers, others):
    items = list(range(FEW + 40))
    found = list(map_files(_negative_and_process, items, workers))
    assert [value for value, _ in found] == [-item for item in items]
    assert (os.getpid() not in {process for _, process in found}) is others


def test_few_items_are_no_matter_for_processes():
    found = list(map_files(_negative_and_process, range(FEW), 2))
    assert {process for _, process in found} == {os.getpid()}


def test_death_of_a_process_is_told():
    with pytest.raises(RuntimeError, match='a process that reads files has died'):
        list(map_files(_end, range(FEW + 1), 2))


def _negative_and_process(item):
    return -item, os.getpid()


def _end(item):
    os._exit(1)
