"""When calls use threads: the policy as a function, fed by simulated machines, and what it is told at the start.

No clock is read and nothing has to be busy: a machine here is a function that says how long a call takes.
"""

import itertools
import os
import random
import textwrap

import numpy as np
import pytest

import softmax_ext
from softmax_ext import _threads
from softmax_ext._core import _Policy

US, MS, S = 1_000, 1_000_000, 1_000_000_000
CONFIG = softmax_ext.show_config(mode="dicts")
needs_openmp = pytest.mark.skipif(not CONFIG["openmp"], reason="built without OpenMP: always serial")

# Machines ------------------------------------------------------------------------------------------
# Each is a function of (random numbers, time, time of one thread, threads, whether they are awake): the call's time.

WAKING = 50 * US
SLICE = 3 * MS


def quiet(rng, now, serial, width, awake):
    return serial if width == 1 else 0.52 * serial + (0 if awake else WAKING)


def hiccups(rng, now, serial, width, awake):
    """A quiet machine, but for what every machine does now and then."""
    late = 80 * US if rng.random() < 1e-3 else 0
    return quiet(rng, now, serial, width, awake) + late


def one_busy_loop(rng, now, serial, width, awake):
    """A foreign loop has one processor for a slice, then our second thread has it for one."""
    took = quiet(rng, now, serial, width, awake)
    in_slice = now % (2 * SLICE)
    return took if width == 1 or in_slice + took < SLICE else 2 * SLICE - in_slice + took


def full(rng, now, serial, width, awake):
    """The other threads never come while the call lasts; its end waits for them."""
    return serial if width == 1 else serial + 1.5 * MS


def bistable(rng, now, serial, width, awake):
    """Good for a while, then bad for a while."""
    return (quiet if now // (200 * MS) % 2 else full)(rng, now, serial, width, awake)


def no_gain(rng, now, serial, width, awake):
    """Threads come, but share what one would have: a quota, or one processor."""
    return serial if width == 1 else 1.08 * serial


def never_woken(rng, now, serial, width, awake):
    """What threads bring is less than what it takes to wake them, again and again."""
    return serial if width == 1 else 0.5 * serial + WAKING


def run(machine, serial, *, limit=2, seconds=4.0, gap=0, crowd=lambda now: False, tells=None):
    """Calls, one after the other: for each its begin, its time, its threads.

    `tells` makes of a call's time what its own share says of one thread's; None: the truth.
    """
    policy, rng, now, slept = _Policy(), random.Random(1), 0, True
    calls = []
    while now < seconds * S:
        width = policy.width(now, limit)
        took = int(machine(rng, now, serial, width, awake=not slept))
        calls.append((now, took, width))
        now += took
        told = tells(took) if tells else serial
        policy.learn(now, took, told, width, crowd(now), expected=serial)
        slept = width == 1 or gap > 100 * US
        now += gap
    return np.array(calls)


SIZES = [16 * US, 23 * US, 100 * US, 700 * US, 2 * MS, 9 * MS]
MACHINES = [quiet, hiccups, one_busy_loop, full, bistable, no_gain, never_woken]


@pytest.mark.parametrize("gap", [0, 1 * MS], ids=["in a row", "with pauses"])
@pytest.mark.parametrize("serial", SIZES, ids=lambda t: f"{t // US}us")
@pytest.mark.parametrize("machine", MACHINES, ids=lambda f: f.__name__)
def test_threads_never_cost_more_than_they_bring(machine, serial, gap):
    """The promise: mean and 99th percentile within 1.3 of one thread's, whose time is `serial` everywhere."""
    took = run(machine, serial, gap=gap, seconds=4 if serial < MS else 20)[:, 1]
    assert took.mean() <= 1.3 * serial
    assert np.quantile(took, 0.99) <= 1.3 * serial


@pytest.mark.parametrize("serial", SIZES, ids=lambda t: f"{t // US}us")
@pytest.mark.parametrize("machine", [quiet, hiccups], ids=lambda f: f.__name__)
def test_a_quiet_machine_is_used(machine, serial):
    """All but a few calls run together, and take no longer than threads that nobody holds back."""
    took = run(machine, serial)[:, 1]
    assert took.mean() <= 1.02 * 0.52 * serial + 0.1 * US


@pytest.mark.parametrize("machine", [full, no_gain, one_busy_loop], ids=lambda f: f.__name__)
def test_a_busy_machine_is_left_alone(machine):
    """In the end, 98 of 100 calls go alone, and probes take a few percent of the time."""
    calls = run(machine, 23 * US)
    late = calls[len(calls) // 4 :]
    assert np.mean(late[:, 2] > 1) < 0.02
    assert late[late[:, 2] > 1][:, 1].sum() < 0.05 * late[:, 1].sum()


def test_a_program_that_begins_goes_alone_for_a_moment():
    """Threads of the BLAS that NumPy's import has started spin then, and hold a processor."""
    policy = _Policy()
    policy.begin(7 * S)
    assert [policy.width(7 * S + t, 2) for t in (0, 10 * MS, 59 * MS)] == [1, 1, 1]
    assert policy.width(7 * S + 61 * MS, 2) == 2


def test_a_thread_earns_its_team():
    """The runtime starts a team for each thread that makes calls. One that makes a few short ones is not worth it."""
    assert not _Policy.is_worth_a_team(0, 400 * US)
    assert not _Policy.is_worth_a_team(2 * MS, 400 * US)
    assert _Policy.is_worth_a_team(5 * MS, 20 * US)
    assert _Policy.is_worth_a_team(0, 10 * MS)


def both_interrupted(rng, now, serial, width, awake):
    """A compiler takes the processor of either thread for a slice, now and then; of one thread only once in a while."""
    took = quiet(rng, now, serial, width, awake)
    lost = rng.random() < (took / SLICE if width > 1 else 0.001)
    return took + (SLICE if lost else 0)


@pytest.mark.parametrize("serial", SIZES[:3], ids=lambda t: f"{t // US}us")
def test_a_share_that_was_interrupted_tells_nothing(serial):
    """The calling thread's own share takes as long as the call, and would say that one thread takes twice as long."""
    calls = run(both_interrupted, serial, tells=lambda took: 2 * took)
    assert np.mean(calls[:, 2] > 1) < 0.2
    assert calls[:, 1].mean() <= 1.3 * serial
    assert np.quantile(calls[:, 1], 0.99) <= 1.3 * serial


def test_a_build_that_is_slow_uses_threads():
    """Calls take five times what they are expected to."""
    policy, now, widths = _Policy(), 0, []
    for _ in range(2000):
        widths.append(policy.width(now, 2))
        now += 52 * US if widths[-1] == 2 else 100 * US
        policy.learn(now, 52 * US, 100 * US, widths[-1], expected=20 * US)
    assert np.mean(np.array(widths) == 2) > 0.95


def test_threads_are_used_again_within_a_second_or_so():
    """After whatever time of being busy."""

    def busy_for_a_while(rng, now, serial, width, awake):
        return (full if now < 10 * S else quiet)(rng, now, serial, width, awake)

    calls = run(busy_for_a_while, 23 * US, seconds=14)
    after = calls[calls[:, 0] > 11.5 * S]
    assert np.all(after[:, 2] == 2)


def test_rests_grow_while_probes_fail_and_are_bounded():
    """And each probe is several calls in a row: the first find the threads asleep."""
    calls = run(
        lambda rng, now, serial, width, awake: serial * (1.1 if width > 1 else 1), 23 * US, seconds=10
    )
    probes = [
        (begin, len(list(members)))
        for begin, members in (
            (first[0], [first, *rest])
            for together, group in itertools.groupby(calls, lambda call: call[2] > 1)
            if together
            for first, *rest in [list(group)]
        )
    ]
    begins, lengths = map(np.array, zip(*probes, strict=True))
    assert np.all(lengths >= 5)
    pauses = np.diff(begins)
    assert pauses[0] >= 200 * 23 * US  # calls for each that may have been slow
    assert np.all(np.diff(pauses) >= -MS)
    assert np.count_nonzero(pauses < 0.9 * S) <= 12
    assert 0.9 * S <= pauses.max() <= 1.1 * S


def test_the_price_of_a_probe_is_paid_in_calls():
    """Pauses pay nothing: where calls take a thousandth of the time, a probe costs them no larger share."""
    calls = run(full, 100 * US, gap=100 * MS, seconds=600)
    assert calls[:, 1].sum() <= 1.3 * 100 * US * len(calls)


def test_seldom_calls_use_threads_again_within_seconds():
    """Ten calls a second would take 20 seconds and more for as many calls as a rest wants."""

    def slow_at_first(rng, now, serial, width, awake):
        return quiet(rng, now, serial, width, awake) + (500 * US if now < 2 * S and width > 1 else 0)

    calls = run(slow_at_first, 2 * MS, gap=100 * MS, seconds=30)
    assert np.all(calls[calls[:, 0] > 9 * S][:, 2] == 2)


def calls_alone_after_a_slow_one(serial):
    """Return how many calls go alone after call 100, which was slow."""
    policy, now, widths = _Policy(), 0, []
    for call in range(300):
        widths.append(policy.width(now, 2))
        took = serial if widths[-1] == 1 else serial + 3 * MS if call == 100 else 0.55 * serial
        now += int(took)
        policy.learn(now, int(took), serial, widths[-1])
    return widths[101:].index(2)


def test_good_calls_before_a_slow_one_count():
    """A slow call is followed by so many that go alone that it is one of 200, with the calls before it."""
    assert calls_alone_after_a_slow_one(MS // 2) == 99


def test_long_calls_rest_for_a_tenth_of_a_second():
    assert calls_alone_after_a_slow_one(2 * MS) == 50


def test_other_python_threads_in_calls_send_calls_alone():
    """No probe is made meanwhile."""
    crowded = run(quiet, 23 * US, crowd=lambda now: 1 * S < now < 2 * S)
    during = crowded[(crowded[:, 0] > 1.001 * S) & (crowded[:, 0] < 1.999 * S)]
    assert np.all(during[:, 2] == 1)
    assert np.all(crowded[crowded[:, 0] > 2.1 * S][:, 2] == 2)


def test_as_many_threads_as_there_are_processors_are_found():
    """Eight are asked for where there are two processors, or four with one of them busy."""

    def two_processors(rng, now, serial, width, awake):
        return {1: serial, 2: 0.52 * serial}.get(width, 0.52 * serial + 200 * US)

    calls = run(two_processors, 100 * US, limit=8)
    assert np.mean(calls[:, 2] == 2) > 0.95
    assert calls[:, 1].mean() < 0.6 * 100 * US


def test_a_new_limit_is_tried_at_once():
    policy, now = _Policy(), 0
    for _ in range(100):
        width = policy.width(now, 2)
        now += 2 * MS
        policy.learn(now, 2 * MS, 23 * US, width)
    assert policy.width(now, 2) == 1
    assert policy.width(now, 4) == 4
    assert policy.width(now, 1) == 1


def test_policy_is_a_function_of_what_it_is_told():
    """The same trace gives the same decisions."""
    assert np.array_equal(run(hiccups, 23 * US), run(hiccups, 23 * US))


# What calls count ----------------------------------------------------------------------------------


@needs_openmp
def test_calls_are_counted(python):
    script = """
        import numpy as np
        import softmax_ext
        x = np.zeros((800, 1000), np.float32)
        def counts():
            config = softmax_ext.show_config(mode="dicts")
            return config["calls_together"] + config["calls_alone"]
        softmax_ext.set_num_threads(2)
        assert counts() == 0
        for _ in range(50):
            softmax_ext.softmax(x)
        print(counts())
        for _ in range(50):
            softmax_ext.softmax(x[0])  # which is not worth a second thread
        softmax_ext.set_num_threads(1)
        for _ in range(50):
            softmax_ext.softmax(x)
        print(counts())
        """
    assert python("-c", textwrap.dedent(script)).split() == ["50", "50"]


# The start -----------------------------------------------------------------------------------------

NUMBER = "import softmax_ext; print(softmax_ext.get_num_threads())"
CLEAN = {"SOFTMAX_EXT_NUM_THREADS": None, "OMP_NUM_THREADS": None}


@needs_openmp
@pytest.mark.parametrize(
    "binding", [{"OMP_PROC_BIND": "true"}, {"OMP_PLACES": "cores"}, {"OMP_PROC_BIND": "spread"}]
)
def test_a_runtime_that_binds_threads_leaves_their_number(python, binding):
    """It binds the thread that loads it, whose affinity then is one processor."""
    assert python("-c", NUMBER, **CLEAN, **binding) == python("-c", NUMBER, **CLEAN)


@needs_openmp
def test_a_runtime_that_is_given_processors_has_as_many_threads(python):
    free = int(python("-c", NUMBER, **CLEAN))
    cpus = "import os; print(*sorted(os.sched_getaffinity(0)))"
    first, *others = python("-c", cpus).split()
    if "GNU" in CONFIG["openmp"]:
        assert int(python("-c", NUMBER, GOMP_CPU_AFFINITY=",".join([first, *others]), **CLEAN)) == free


@needs_openmp
def test_thread_limit_of_the_runtime_is_obeyed(python):
    assert python("-c", NUMBER, OMP_THREAD_LIMIT="1", **CLEAN).strip() == "1"
    script = "import softmax_ext; softmax_ext.set_num_threads(9); print(softmax_ext.get_num_threads())"
    assert python("-c", script, OMP_THREAD_LIMIT="3", **CLEAN).strip() == "3"


@pytest.mark.parametrize("number", ["65537", "70000", "9" * 30, "9" * 5000])
def test_numbers_that_are_too_large_are_errors_that_name_the_variable(python, number):
    done = python("-c", NUMBER, SOFTMAX_EXT_NUM_THREADS=number, check=False)
    assert done.returncode != 0
    message = done.stderr.splitlines()[-1]
    assert message.startswith("ImportError: SOFTMAX_EXT_NUM_THREADS: got '")
    assert "up to 65536" in message


@pytest.mark.parametrize("number", ["70000", "9" * 12, "9" * 30, "9" * 5000])
def test_what_the_runtime_makes_of_its_own_variable_holds(python, number):
    environment = {"SOFTMAX_EXT_NUM_THREADS": None, "OMP_NUM_THREADS": number}
    assert 1 <= int(python("-c", NUMBER, **environment)) <= 65536


@pytest.mark.parametrize(
    ("asked", "for_runtimes", "of_runtime", "quota", "threads"),
    [
        ("3", "5", 5, 8, 3),  # ours rules, also over what the machine has
        (" 3 ", None, 4, 8, 3),
        ("65536", None, 4, 1, 65536),
        ("", "5,2", 5, 1, 5),  # a list: the first is for the outermost regions
        (None, "999999999", -7, 8, 65536),
        (None, "9999999999", 77, 8, 77),  # too large to be meant: what the runtime has made of it
        (None, "9999999999", -7, 8, 4),
        (None, "many", 4, 8, 4),
        (None, "0", 0, 8, 4),
        (None, None, 4, 8, 4),  # else the processors
        (None, None, 4, 3, 3),  # as far as the quota goes
    ],
)
def test_which_setting_decides(monkeypatch, asked, for_runtimes, of_runtime, quota, threads):
    """With four processors."""
    for name, value in (("SOFTMAX_EXT_NUM_THREADS", asked), ("OMP_NUM_THREADS", for_runtimes)):
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)
    monkeypatch.setattr(_threads, "_quota", lambda: quota)
    assert _threads.default_threads(4, of_runtime) == threads
    monkeypatch.setattr(_threads, "_cpus", lambda: 4)
    assert _threads.default_threads(0, of_runtime) == threads  # the runtime does not say


@pytest.mark.parametrize("asked", ["0", "-1", "two", "65537", "9" * 5000])
def test_settings_that_are_no_number_of_threads(monkeypatch, asked):
    monkeypatch.setenv("SOFTMAX_EXT_NUM_THREADS", asked)
    with pytest.raises(ImportError, match=r"^SOFTMAX_EXT_NUM_THREADS: got"):
        _threads.default_threads(4, 4)


@pytest.mark.parametrize("name", [None, *_threads.WAITING])
def test_the_environment_of_the_runtime_is_put_back(monkeypatch, name):
    """And it is left alone if the user says anything about waiting."""
    for other in _threads.WAITING:
        monkeypatch.delenv(other, raising=False)
    if name:
        monkeypatch.setenv(name, "7")
    before = dict(os.environ)
    with _threads.brief_waits():
        set_meanwhile = {key: value for key, value in os.environ.items() if before.get(key) != value}
        assert set_meanwhile == ({} if name else _threads.BRIEFLY)
    assert dict(os.environ) == before


# Control groups -------------------------------------------------------------------------------------


@pytest.fixture
def machine(tmp_path):
    """Give a function that lays out the files of a machine and returns the quota that is found."""

    def quota(groups, **files):
        for name, text in {"proc/self/cgroup": groups, **files}.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return _threads._quota(str(tmp_path))

    return quota


def test_no_control_group_sets_no_limit(machine, tmp_path):
    assert _threads._quota(str(tmp_path)) == _threads.NO_QUOTA
    assert machine("0::/\n") == _threads.NO_QUOTA
    assert machine("0::/\n", **{"sys/fs/cgroup/cpu.max": "max 100000\n"}) == _threads.NO_QUOTA


@pytest.mark.parametrize(("quota", "cpus"), [("50000", 1), ("100000", 1), ("150000", 2), ("400000", 4)])
def test_quota_of_the_root_is_found(machine, quota, cpus):
    """In a container, its own group is the root of what it sees."""
    assert machine("0::/\n", **{"sys/fs/cgroup/cpu.max": f"{quota} 100000\n"}) == cpus


def test_least_quota_on_the_way_up_counts(machine):
    group = "sys/fs/cgroup/system.slice/job.service"
    files = {f"{group}/cpu.max": "800000 100000\n", "sys/fs/cgroup/system.slice/cpu.max": "300000 100000\n"}
    assert machine("0::/system.slice/job.service\n", **files) == 3
    assert machine("0::/system.slice/job.service\n", **{f"{group}/cpu.max": "200000 100000\n"}) == 2
    assert machine("0::/other.slice\n") == _threads.NO_QUOTA


def test_path_that_leads_nowhere_leaves_the_root(machine):
    """A container may be told the host's path, or one above its own root."""
    for groups in ("0::/docker/0123456789\n", "0::/../../init.scope\n", "", "nonsense\n"):
        assert machine(groups, **{"sys/fs/cgroup/cpu.max": "200000 100000\n"}) == 2


@pytest.mark.parametrize("mount", ["cpu", "cpu,cpuacct"])
def test_version_1(machine, mount):
    group = f"sys/fs/cgroup/{mount}/slurm/job_7"
    files = {f"{group}/cpu.cfs_quota_us": "-1\n", f"{group}/cpu.cfs_period_us": "100000\n"}
    groups = "4:memory:/slurm/job_7\n3:cpu,cpuacct:/slurm/job_7\n0::/\n"
    assert machine(groups, **files) == _threads.NO_QUOTA
    parent = {
        f"sys/fs/cgroup/{mount}/slurm/cpu.cfs_quota_us": "250000\n",
        f"sys/fs/cgroup/{mount}/slurm/cpu.cfs_period_us": "100000\n",
    }
    assert machine(groups, **parent) == 3


def test_both_versions_at_once(machine):
    files = {
        "sys/fs/cgroup/unified/user.slice/cpu.max": "200000 100000\n",
        "sys/fs/cgroup/cpu/user.slice/cpu.cfs_quota_us": "400000\n",
        "sys/fs/cgroup/cpu/user.slice/cpu.cfs_period_us": "100000\n",
    }
    assert machine("2:cpu:/user.slice\n0::/user.slice\n", **files) == 2


@pytest.mark.parametrize("text", ["", "max\n", "-5 100\n", "100000 0\n", "a b c\n"])
def test_what_is_no_quota_is_none(machine, text):
    assert machine("0::/\n", **{"sys/fs/cgroup/cpu.max": text}) == _threads.NO_QUOTA
