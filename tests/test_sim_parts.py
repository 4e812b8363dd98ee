"""A run in parts: every image is counted once, wherever it is simulated and whatever is killed."""

import itertools
import json
import multiprocessing
import os
import sys
from dataclasses import replace

import pytest
from fragile import Fragile
from sim_nets import bits, images

from bitfold.hw.planner import fit
from bitfold.model.error import BadInput
from bitfold.model.layers import BinaryConv, Chain, GlobalSum
from bitfold.model.net import Net
from bitfold.model.places import scratch
from bitfold.model.tensor import Tensor
from bitfold.sim import cluster, parts
from bitfold.sim.parts import CYCLES, LEAST, TRIES, Job, Part, cut, here, summed
from bitfold.sim.resume import journal
from bitfold.sim.verilator import Ended
from bitfold.sim.workers import processes

NET = Net(Tensor(2, 2, 1, -3, 4), Chain((GlobalSum(), BinaryConv(bits(3, 1, 1, 1, seed=1)))))
PLAN = fit(NET, 1)
IMAGES = images(NET, 10)
CUT = [Part(index, 2 * index, 2 * index + 2, index, index == 4) for index in range(5)]
"""The engine of these tests is Amaranth's, which compiles nothing."""


def batch(start, stop):
    return IMAGES[start:stop]


def job(**more):
    return Job(NET, PLAN, "amaranth", 0.1, {}, len(IMAGES), **more)


def alone(progress=lambda *_: None):
    """What comes of the parts one after the other."""
    with scratch() as work:
        return list(here(job(), job().machine(work), CUT, batch, None, progress))


@pytest.fixture(scope="module")
def expected():
    return [done for done, _ in alone()]


@pytest.mark.parametrize(("count", "cycles"), [*itertools.product((1, 16, 17, 129, 10_000), (10, 20_000, 10**8))])
def test_every_image_is_in_one_part(count, cycles):
    found = cut(count, cycles, 7)
    assert [image for part in found for image in range(part.start, part.stop)] == list(range(count))
    assert [part.index for part in found] == list(range(len(found)))
    assert [part.last for part in found] == [False] * (len(found) - 1) + [True]
    assert len({part.seed for part in found}) == len(found)
    assert found[0].seed == 7
    assert all(part.stop - part.start <= max(LEAST, CYCLES // cycles) for part in found)
    assert cut(count, cycles, 2**32 - 1)[-1].seed < 2**32
    assert len(cut(count, cycles, 0, whole=True)) == 1


def test_parts_give_what_the_network_gives(expected):
    result = summed(expected)
    assert result.exact
    assert result.images == len(IMAGES)
    assert [image for part in expected for image in part.classes] == list(NET.classify(IMAGES))
    assert len({digest for part in expected for digest in part.logits}) == len({each.tobytes() for each in NET(IMAGES)})


def test_progress_counts_all_images_up():
    seen = []
    alone(lambda *told: seen.append(told))
    assert seen == sorted(seen)
    assert seen[-1] == (len(IMAGES), len(IMAGES))


def test_a_killed_worker_loses_nothing_and_nothing_is_counted_twice(expected, tmp_path):
    seen = []
    fragile = Fragile(NET, PLAN, "amaranth", 0.1, {}, len(IMAGES), killed=tmp_path / "killed")
    found = [done for done, _ in processes(fragile, CUT, batch, 2, lambda *told: seen.append(told))]
    assert fragile.killed.read_text() == "killed\n"
    assert sorted(found, key=lambda done: done.part) == expected
    assert seen[-1] == (len(IMAGES), len(IMAGES))
    assert max(done for done, _ in seen) == len(IMAGES)


def test_a_part_that_kills_each_worker_is_given_up(tmp_path):
    fragile = Fragile(NET, PLAN, "amaranth", 0.1, {}, len(IMAGES), killed=tmp_path / "killed", at=1, always=True)
    with pytest.raises(RuntimeError, match=rf"^images 0 to 1: the worker was ended with status -9, {TRIES} times; "):
        list(processes(fragile, CUT[:1], batch, 1, lambda *_: None))
    assert fragile.killed.read_text() == "killed\n" * TRIES


def test_a_simulation_that_is_ended_runs_again(expected, monkeypatch):
    right, lost = parts.play, []

    def play(job, machine, part, *rest):
        if part.index == 1 and len(lost) < most:
            lost.append(part)
            raise Ended("the simulation was ended by signal 9")
        return right(job, machine, part, *rest)

    monkeypatch.setattr(parts, "play", play)
    most = TRIES - 1
    assert [done for done, _ in alone()] == expected
    assert len(lost) == most
    lost.clear()
    most = TRIES
    with pytest.raises(RuntimeError, match=r"^images 2 to 3: the simulation was ended by signal 9, 3 times; "):
        alone()


def test_a_worker_that_refuses_says_why(tmp_path):
    wrong = replace(job(), files={"bitfold.v": b""})
    with pytest.raises(BadInput, match="the engine amaranth does not read Verilog"):
        list(processes(wrong, CUT, batch, 1, lambda *_: None))


ABOUT = {"network": "a" * 64, "plan": "b" * 64, "count": len(IMAGES)}


def kept(path, **about):
    with journal(path, ABOUT | about, CUT) as opened:
        return dict(opened.done), opened.seconds


@pytest.fixture
def file(tmp_path, expected):
    """The file of a run in which the parts 0 and 3 are finished."""
    path = tmp_path / "run.jsonl"
    with journal(path, ABOUT, CUT) as opened:
        assert opened.done == {}
        for index in (3, 0):
            opened.add(expected[index], 1.5 + index)
    return path


def test_finished_parts_are_found_again(file, expected):
    assert kept(file) == ({0: expected[0], 3: expected[3]}, 1.5)


def test_a_line_that_was_cut_is_done_again(file, expected):
    raw = file.read_bytes()
    for length in range(len(raw) - 1, len(raw) - 40, -1):
        file.write_bytes(raw[:length])
        assert kept(file)[0] == {3: expected[3]}
    with journal(file, ABOUT, CUT) as opened:
        opened.add(expected[0], 9)
    assert kept(file) == ({0: expected[0], 3: expected[3]}, 9)
    for length in range(30):  # of the head
        file.write_bytes(raw[:length])
        assert kept(file) == ({}, 0)
        assert len(file.read_bytes().splitlines()) == 1


def test_a_fault_is_not_kept(file, expected):
    with journal(file, ABOUT, CUT) as opened:
        opened.add(replace(expected[1], fault="the machine stands still"), 9)
    assert kept(file)[0] == {0: expected[0], 3: expected[3]}


def test_the_file_of_another_run_is_refused(file, tmp_path):
    says = rf"^{file} is of another run: there network is 'a{{12}}', here 'c{{12}}'; name another file, or remove it$"
    with pytest.raises(BadInput, match=says):
        kept(file, network="c" * 64)
    with pytest.raises(BadInput, match="there count is 10, here 11"):
        kept(file, count=11)
    (tmp_path / "text").write_text("a text\n")
    (tmp_path / "json").write_text('{"bitfold": 1}\n')
    for name in ("text", "json"):
        with pytest.raises(BadInput, match="is not the file of a run; name another"):
            kept(tmp_path / name)
    assert (tmp_path / "text").read_text() == "a text\n"
    with pytest.raises(BadInput, match="cannot be written: No such file or directory"):
        kept(tmp_path / "none" / "x")


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda line: [], "it is no object of JSON"),
        (lambda line: line | {"done": line["done"] | {"part": 5}}, "part 5 is none of the run's, or was there before"),
        (
            lambda line: line | {"done": line["done"] | {"part": -1}},
            "part -1 is none of the run's, or was there before",
        ),
        (lambda line: line | {"done": line["done"] | {"part": 3}}, "part 3 is none of the run's, or was there before"),
        (lambda line: line | {"done": line["done"] | {"cycles": "9"}}, "cycles must be int, not '9'"),
        (lambda line: line | {"done": line["done"] | {"cycles": True}}, "cycles must be int, not True"),
        (
            lambda line: line | {"done": line["done"] | {"logits": ["a"]}},
            "part 0 has images 0 to 1, and the line others",
        ),
        (lambda line: line | {"more": 1}, "it must have the parts seconds, done, and no other"),
        (lambda line: line | {"seconds": float("nan")}, "it is no object of JSON"),
    ],
)
def test_a_damaged_line_is_refused(spoil, says, file):
    *lines, last = file.read_text().splitlines()
    file.write_text("\n".join([*lines, json.dumps(spoil(json.loads(last)))]) + "\n")
    with pytest.raises(BadInput, match=rf"^{file}: line 3 is damaged: {says}; remove it, or name another file$"):
        kept(file)


def test_two_runs_do_not_share_a_file(file):
    with journal(file, ABOUT, CUT), pytest.raises(BadInput, match="is used by another run that goes on"):
        kept(file)


def test_a_worker_ends_with_its_run(tmp_path):
    """Its process is gone when what waits for it is left in the middle."""
    running = processes(job(), CUT, batch, 1, lambda *_: None)
    next(running)
    [child] = multiprocessing.active_children()
    running.close()
    assert child.exitcode is not None or not child.is_alive()
    with pytest.raises(ProcessLookupError):
        os.kill(child.pid, 0)


@pytest.fixture
def on_cluster():
    """``cluster.parts_on``, where Dask is installed."""
    pytest.importorskip("distributed", reason="dask is not installed")
    return cluster.parts_on


@pytest.mark.filterwarnings("default")
def test_a_cluster_gives_the_same_and_a_killed_worker_loses_nothing(on_cluster, expected, tmp_path):
    fragile = Fragile(NET, PLAN, "amaranth", 0.1, {}, len(IMAGES), killed=tmp_path / "killed", at=1)
    seen = []
    found = [done for done, _ in on_cluster("local", fragile, CUT, batch, 2, lambda *told: seen.append(told))]
    assert fragile.killed.read_text() == "killed\n"
    assert sorted(found, key=lambda done: done.part) == expected
    assert seen == [(2 * n, len(IMAGES)) for n in range(1, 6)]


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_a_part_that_kills_the_clusters_workers_is_given_up(on_cluster, tmp_path):
    fragile = Fragile(NET, PLAN, "amaranth", 0.1, {}, len(IMAGES), killed=tmp_path / "killed", at=1, always=True)
    with pytest.raises(RuntimeError, match=r"^images 0 to 1 have ended each worker of the cluster that took them$"):
        list(on_cluster("local", fragile, CUT[:1], batch, 1, lambda *_: None))


@pytest.mark.filterwarnings("default")
def test_workers_of_another_version_are_refused(on_cluster, monkeypatch):
    monkeypatch.setattr(cluster, "sources", lambda: "others")
    with pytest.raises(BadInput, match=r"^the cluster's workers have another version of bitfold; install this one"):
        list(on_cluster("local", job(), CUT, batch, 1, lambda *_: None))


@pytest.mark.filterwarnings("default")
def test_no_scheduler_is_one_line(on_cluster, monkeypatch):
    monkeypatch.setattr(cluster, "PATIENCE", 0.5)
    with pytest.raises(BadInput, match=r"^no Dask scheduler answers at tcp://127\.0\.0\.1:9: .*; give the address"):
        list(on_cluster("tcp://127.0.0.1:9", job(), CUT, batch, 1, lambda *_: None))


def test_without_dask_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(BadInput, match=r"^the Python package distributed is missing; .*\[cluster\]'$"):
        cluster.check_installed()
